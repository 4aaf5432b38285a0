"""A worker that is killed at any step of a call: another one brings it to the end that its script has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from fleet import Fleet, Worker, fleet

from phone import outputs, said, types, until, virtual
from realtime_sip import Call, CallEnded, CallLimits, EndReason, Tools, TransferTargets
from realtime_sip.call.machine.takeover import INTERRUPTED
from realtime_sip.outcomes import LimitKind
from realtime_sip.sip import ContextSigner
from realtime_sip.testing import Behavior, RingingCall, Timings
from realtime_sip.testing.openai.call import EndedBy
from realtime_sip.testing.reply_faults import RequestFails
from realtime_sip.testing.scenario import CallerHangsUp, CallerSays, ModelCalls, ModelSays, Step
from realtime_sip.twilio.webhooks import CallStatusCallback

QUIET = CallLimits(silence=None, first_sound=None)


class Desk:
    """Two tools, and how often each ran."""

    def __init__(self) -> None:
        self.ran = {"book": 0, "look_up": 0}
        self.keys = set[str]()
        self.tools = Tools()
        self.tools.function(self.book)
        self.tools.function(self.look_up, idempotent=True)

    async def book(self, call: Call) -> str:
        """Book a table."""
        self.ran["book"] += 1
        await asyncio.sleep(0.5)
        return "booked"

    async def look_up(self, call: Call) -> str:
        """Look up a table."""
        self.ran["look_up"] += 1
        self.keys.add(call.idempotency_key)
        await asyncio.sleep(1.0)
        return "a table by the window"


SCRIPT: tuple[Step, ...] = (
    CallerSays("A table, please.", after=9.0),
    ModelCalls("book"),
    ModelCalls("look_up", same_response=True),
    ModelSays("It is booked."),
    CallerSays("Thank you.", after=12.0),
    ModelSays("Goodbye."),
    CallerHangsUp(after=1.0),
)


async def at(condition: Callable[[], object]) -> None:
    """Wait until something is so, to a few milliseconds."""
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(0.002)


Point = Callable[[RingingCall, Desk, Worker], object]


def has_sent(ringing: RingingCall, kind: str) -> bool:
    return kind in types(ringing.client_events)


def has_got(ringing: RingingCall, kind: str, count: int = 1) -> bool:
    return types(ringing.server_events).count(kind) >= count


POINTS: dict[str, Point] = {
    "accepted": lambda ringing, _, __: ringing.accepted_session is not None,
    "attached": lambda ringing, _, __: ringing.sidebands,
    "asked for a sign of life": lambda ringing, _, __: has_sent(ringing, "session.update"),
    "the sign of life is there": lambda ringing, _, __: has_got(ringing, "session.updated"),
    "the caller speaks": lambda ringing, _, __: has_got(ringing, "input_audio_buffer.speech_started"),
    "the caller has spoken": lambda ringing, _, __: has_got(ringing, "input_audio_buffer.committed"),
    "a response is made": lambda ringing, _, __: has_got(ringing, "response.created"),
    "a function call arrives": lambda ringing, _, __: has_got(ringing, "response.function_call_arguments.done"),
    "both function calls have arrived": lambda ringing, _, __: has_got(ringing, "response.done"),
    "one tool begins": lambda _, desk, __: desk.ran["book"],
    "both tools run": lambda _, desk, __: desk.ran["look_up"],
    "one output is sent": lambda ringing, _, __: len(outputs(ringing)) == 1,
    "both outputs are sent": lambda ringing, _, __: len(outputs(ringing)) == 2,
    "the answer is asked for": lambda ringing, _, __: has_sent(ringing, "response.create"),
    "the answer is made": lambda ringing, _, __: has_got(ringing, "response.created", 2),
    "the answer is heard": lambda ringing, _, __: has_got(ringing, "output_audio_buffer.started"),
    "the answer was heard": lambda ringing, _, __: has_got(ringing, "output_audio_buffer.stopped"),
}


UNSEEN = ("the caller speaks", "the caller has spoken", "a response is made")
"""Points from which the function calls come while nobody is attached: nobody can know of them."""


async def end_at(worker: Worker, ringing: RingingCall) -> CallEnded:
    """Wait until this worker has the call, and for its end."""
    await until(lambda: ringing.call_id in worker.host._ends)
    return await worker.host.ended(ringing.call_id)


async def ends_as_scripted(
    shop: Fleet, ringing: RingingCall, living: Worker, desk: Desk, *, unseen: bool = False
) -> None:
    ended = await end_at(living, ringing)
    assert ended.reason is EndReason.CALLER
    assert desk.ran["book"] <= 1
    assert len(desk.keys) <= 1
    # The conversation has one output of each function call that anybody saw, and what it says was answered.
    items = [frame["item"] for frame in ringing.server_events if frame["type"] == "conversation.item.added"]
    called = [item["call_id"] for item in items if item["type"] == "function_call"]
    output = [item["call_id"] for item in items if item["type"] == "function_call_output"]
    assert len(called) == 2
    assert sorted(output) == ([] if unseen else sorted(called))
    if unseen:
        assert "call it again" in str(ringing.client_events)
    assert len(said(ringing)) >= 2
    assert (ringing.tally.accepts, ringing.tally.hangups, ringing.tally.rejects) == (1, 0, 0)
    known: Any = shop.store
    assert ringing.call_id not in known._open


@pytest.mark.parametrize("point", POINTS)
@virtual
async def test_a_worker_is_killed(point: str) -> None:
    desk = Desk()
    async with fleet(limits=QUIET, tools=desk.tools) as shop:
        dead, living = shop.workers
        ringing = await shop.ring(*SCRIPT)
        await at(lambda: POINTS[point](ringing, desk, dead))
        await dead.die()
        await ends_as_scripted(shop, ringing, living, desk, unseen=point in UNSEEN)
        if point == "both tools run":
            assert sorted(outputs(ringing)) == sorted(["a table by the window", INTERRUPTED])
            assert desk.ran == {"book": 1, "look_up": 2}


@pytest.mark.parametrize("acted", [True, False])
@virtual
async def test_a_worker_is_killed_while_its_accept_is_not_answered(acted: bool) -> None:
    desk = Desk()
    async with fleet(limits=QUIET, tools=desk.tools) as shop:
        dead, living = shop.workers
        fault = RequestFails("accept", how="no answer", acted=acted)
        ringing = await shop.openai.ring(dead.host, scenario=SCRIPT, faults=[fault])
        await at(lambda: dead.host.live)
        await asyncio.sleep(0.3)
        await dead.die()
        await ends_as_scripted(shop, ringing, living, desk)


@virtual
async def test_a_worker_is_killed_after_it_accepted_and_before_it_is_attached() -> None:
    desk = Desk()
    async with fleet(limits=QUIET, tools=desk.tools, timings=Timings(attach=3.0)) as shop:
        dead, living = shop.workers
        ringing = await shop.ring(*SCRIPT)
        await ringing.until_accepted()
        await asyncio.sleep(1)
        await dead.die()
        await ends_as_scripted(shop, ringing, living, desk)


@pytest.mark.parametrize("point", ["both tools run", "one output is sent", "the answer is asked for"])
@virtual
async def test_three_workers_are_killed_one_after_the_other(point: str) -> None:
    desk = Desk()
    async with fleet(4, limits=QUIET, tools=desk.tools) as shop:
        first, *others = shop.workers
        ringing = await shop.ring(*SCRIPT)
        await at(lambda: POINTS[point](ringing, desk, first))
        await first.die()
        for _ in range(2):
            await at(lambda: any(worker.calls for worker in others))
            taker = next(worker for worker in others if worker.calls)
            await asyncio.sleep(0.2)
            await taker.die()
            others.remove(taker)
        await at(lambda: others[0].calls)
        await ends_as_scripted(shop, ringing, others[0], desk)


# --- in the middle of an end ------------------------------------------------------------------------------------------

DESKS = TransferTargets({"desk": "sip:desk@pbx.example.com"})


async def transfers(call: Call) -> None:
    if call.adopted is None:
        call.transfer("desk", after_speech=False)
    await call.wait_ended()


@pytest.mark.parametrize("acted", [True, False])
@virtual
async def test_a_worker_is_killed_while_its_refer_is_not_answered(acted: bool) -> None:
    async with fleet(talk=transfers, limits=QUIET, transfers=DESKS) as shop:
        dead, living = shop.workers
        fault = RequestFails("refer", how="no answer", acted=acted)
        ringing = await shop.openai.ring(
            dead.host, scenario=[CallerHangsUp(after=90.0)], faults=[fault], behavior=Behavior(refer="bridged")
        )
        await until(lambda: any(call.transferring for call in dead.calls))
        await asyncio.sleep(0.5)
        await dead.die()
        ended = await end_at(living, ringing)
        # A refer is never sent twice, since it may have been carried out; only its answer counts as a sign of it.
        assert (ended.reason, ended.certainty) == (EndReason.CALLER, "inferred")
        assert ("a transfer was under way" in ended.evidence) is acted
        assert len(ringing.dialed) == acted
        assert ringing.tally.hangups == 0


@virtual
async def test_a_worker_is_killed_while_a_limit_has_its_goodbye_said() -> None:
    limits = CallLimits(silence=None, first_sound=None, max_duration=20.0)
    async with fleet(limits=limits) as shop:
        dead, living = shop.workers
        ringing = await shop.ring(ModelSays("We have to stop here.", seconds=20.0), ModelSays("Goodbye."))
        await until(lambda: has_got(ringing, "output_audio_buffer.started"))
        await dead.die()
        ended = await end_at(living, ringing)
        assert (ended.reason, ended.limit) == (EndReason.LIMIT, LimitKind.DURATION)
        assert ringing.tally.hangups == 1


@virtual
async def test_a_worker_is_killed_while_it_hands_a_call_over() -> None:
    async with fleet(3, limits=QUIET) as shop:
        stopping, *others = shop.workers
        ringing = await shop.ring(CallerHangsUp(after=60.0))
        await until(lambda: stopping.calls)
        await asyncio.sleep(3)
        for worker in others:
            worker.host._claims._adopts_from = asyncio.get_running_loop().time() + 2  # they do not look for now
        draining = asyncio.create_task(stopping.host.drain())
        await at(lambda: shop.store._open[ringing.call_id].offered)
        await stopping.die()
        draining.cancel()
        await asyncio.wait({draining})
        await until(lambda: any(worker.calls for worker in others))
        (taker,) = [worker for worker in others if worker.calls]
        assert (await end_at(taker, ringing)).reason is EndReason.CALLER
        assert ringing.tally.accepts == 1


SECRET = "a context secret of the tests"
PARENT = "CA" + "a" * 32


@pytest.mark.parametrize("reported", ["while nobody has the call", "once another worker has it"])
@virtual
async def test_what_the_carrier_says_of_a_call_whose_worker_died_reaches_whoever_takes_it(reported: str) -> None:
    async with fleet(3, limits=QUIET, context_secret=SECRET) as shop:
        dead, *others = shop.workers
        signed = ContextSigner(SECRET).sign({}, parent_call_sid=PARENT, now=1_795_000_000.0)
        ringing = await shop.ring(sip_headers=signed.items())
        await until(lambda: dead.calls)
        await asyncio.sleep(1)
        await dead.die()
        over = CallStatusCallback.read(urlencode({"CallSid": PARENT, "CallStatus": "completed"}))
        if reported == "while nobody has the call":
            others[0].host.carrier(over)
        await until(lambda: any(worker.calls for worker in others))
        taker, third = sorted(others, key=lambda worker: -len(worker.calls))
        if reported == "once another worker has it":
            third.host.carrier(over)
            third.host.carrier(over)  # reports come more than once
        ended = await end_at(taker, ringing)
        assert (ended.reason, ended.certainty) == (EndReason.CALLER, "reported")
        assert ringing.tally.hangups == 1


# --- nobody is there --------------------------------------------------------------------------------------------------


@virtual
async def test_all_workers_are_dead_for_a_minute_and_one_comes_back() -> None:
    desk = Desk()
    async with fleet(2, limits=QUIET, tools=desk.tools) as shop:
        first, second = shop.workers
        script = (*SCRIPT[:4], CallerSays("Hello? Is anybody there?", after=90.0), ModelSays("Yes."), CallerHangsUp())
        ringing = await shop.ring(*script)
        await at(lambda: desk.ran["look_up"])
        await second.die()
        await first.die()
        await asyncio.sleep(60)
        third = Worker(first.client, shop.store, first.talk)
        third.answer_options = first.answer_options
        shop.workers.append(third)
        third.host.watch()
        assert (await end_at(third, ringing)).reason is EndReason.CALLER
        assert desk.ran == {"book": 1, "look_up": 2}
        (gap,) = third.calls[0].gaps
        assert 60 < gap.end - gap.start < 70


@virtual
async def test_a_call_that_ended_while_nobody_watched_has_an_end_that_is_inferred() -> None:
    async with fleet(1, limits=QUIET) as shop:
        (dead,) = shop.workers
        ringing = await shop.ring(CallerHangsUp(after=5.0))
        await until(lambda: dead.calls)
        await asyncio.sleep(2)
        await dead.die()
        assert (await ringing.ended()).by is EndedBy.CALLER
        late = Worker(dead.client, shop.store, dead.talk)
        late.answer_options = {"limits": QUIET}
        shop.workers.append(late)
        late.host.watch()
        ended = await end_at(late, ringing)
        assert (ended.reason, ended.certainty) == (EndReason.CALLER, "inferred")
        assert ended.attached_at is not None
        known: Any = shop.store
        assert ringing.call_id not in known._open

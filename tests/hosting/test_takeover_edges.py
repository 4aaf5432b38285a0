"""Calls that go from one worker to another when it matters: no time, no room, no store, and a handler that errs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest
from fleet import fleet

from phone import said, until, virtual
from realtime_sip import Call, CallLimits, EndReason, IncomingCall, Stages, Submission, Tools, TransferTargets, events
from realtime_sip.call.options import around_code
from realtime_sip.errors import CallEndedError
from realtime_sip.prompts import Exit, Flow, State
from realtime_sip.testing import Behavior
from realtime_sip.testing.openai.call import EndedBy
from realtime_sip.testing.scenario import CallerHangsUp, CallerSays, ModelCalls, ModelSays

QUIET = CallLimits(silence=None, first_sound=None)


# --- a drain that has little time -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [10.0, 4.0])
@virtual
async def test_a_drain_of_a_few_seconds_hands_calls_over_too(seconds: float) -> None:
    async with fleet(limits=QUIET) as shop:
        stopping, staying = shop.workers
        ringings = [await shop.ring(CallerHangsUp(after=40.0)) for _ in range(10)]
        await until(lambda: len(stopping.calls) == 10)
        await asyncio.sleep(3)
        began = asyncio.get_running_loop().time()
        await stopping.host.drain(seconds)
        assert asyncio.get_running_loop().time() - began < seconds
        assert len(staying.calls) == 10
        assert [(await ringing.ended()).by for ringing in ringings] == [EndedBy.CALLER] * 10


# --- nobody has room --------------------------------------------------------------------------------------------------


@virtual
async def test_law_no_caller_is_left_with_a_dead_agent__a_full_fleet_takes_the_calls_of_a_worker_that_died() -> None:
    async with fleet(limits=QUIET, max_calls=1) as shop:
        dead, living = shop.workers
        mine = await shop.ring(CallerHangsUp(after=60.0), at=1)
        theirs = await shop.ring(CallerHangsUp(after=30.0))
        await until(lambda: dead.calls and living.calls)
        await asyncio.sleep(2)
        await dead.die()
        await until(lambda: len(living.calls) == 2, 8.0)
        assert theirs.tally.unattended < 7
        assert (await living.host.ended(theirs.call_id)).reason is EndReason.CALLER
        assert (await living.host.ended(mine.call_id)).reason is EndReason.CALLER


@virtual
async def test_a_full_worker_leaves_them_to_one_that_has_room() -> None:
    async with fleet(3, limits=QUIET, max_calls=2) as shop:
        dead, full, free = shop.workers
        for _ in range(2):
            await shop.ring(CallerHangsUp(after=60.0), at=1)
        theirs = [await shop.ring(CallerHangsUp(after=30.0)) for _ in range(2)]
        await until(lambda: len(dead.calls) == 2 and len(full.calls) == 2)
        await asyncio.sleep(2)
        await dead.die()
        await until(lambda: len(free.calls) == 2, 8.0)
        assert len(full.calls) == 2
        for ringing in theirs:
            assert (await free.host.ended(ringing.call_id)).reason is EndReason.CALLER


@virtual
async def test_a_call_that_rang_when_its_worker_died_is_rejected_if_everybody_is_full() -> None:
    async with fleet(limits=QUIET, max_calls=1) as shop:
        dead, living = shop.workers
        await shop.ring(CallerHangsUp(after=60.0), at=1)
        asked = asyncio.Event()

        async def slow(incoming: IncomingCall) -> None:
            asked.set()
            await asyncio.sleep(3600)

        dead.host._on_call = slow
        theirs = await shop.ring()
        await asked.wait()
        await asyncio.sleep(1)
        await dead.die()
        rejected = await theirs.until_requested("reject")
        assert rejected.body == {"status_code": 503}
        await until(lambda: living.host.live == 1)


# --- handlers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["returns", "returns a status", "raises", "rejects"])
@virtual
async def test_law_no_caller_is_left_with_a_dead_agent__whatever_the_handler_does_with_a_call_that_it_is_given(
    how: str,
) -> None:
    async with fleet(limits=QUIET) as shop:
        dead, living = shop.workers

        async def on_call(incoming: IncomingCall) -> int | None:
            if how == "raises":
                raise ValueError("a handler that cannot begin in the middle")
            if how == "rejects":
                await living.client.calls.reject(incoming.call_id, status_code=486)
            return 486 if how == "returns a status" else None

        living.host._on_call = on_call
        ringing = await shop.ring()
        await until(lambda: dead.calls)
        await asyncio.sleep(1)
        await dead.die()
        assert (await ringing.ended()).by is EndedBy.AGENT
        ended = await living.host.ended(ringing.call_id)
        assert ended.reason is EndReason.HANDLER_FAILED


@pytest.mark.parametrize("drained", [True, False])
@virtual
async def test_a_conversation_in_stages_goes_on_in_the_state_that_it_was_in(drained: bool) -> None:
    order = State("Order", "Learn the number of the order.", exits=(Exit("It is known.", to="Confirm"),))
    stages = Stages(Flow(order, State("Confirm", "Read the order back.")))
    seen: list[str | None] = []

    async def talk(call: Call) -> None:
        await stages.enter(call)
        seen.append(stages.current(call))
        if call.adopted is None:
            await stages.enter(call, "Confirm")
        else:
            assert call.adopted.state == "Confirm"
        await call.wait_ended()

    async with fleet(talk=talk, limits=QUIET) as shop:
        first, second = shop.workers
        ringing = await shop.ring(ModelSays("Which order?"), ModelSays("Number 5?"), CallerHangsUp(after=30.0))
        await until(lambda: said(ringing) == ["Which order?", "Number 5?"])
        await asyncio.sleep(6)
        asked = [frame for frame in ringing.client_events if "instructions" in frame.get("session", {})]
        await (first.host.drain() if drained else first.die())
        await until(lambda: second.calls)
        await second.host.ended(ringing.call_id)
        assert seen == ["Order", "Confirm"]
        # Nothing was changed or said to the caller again.
        assert [frame for frame in ringing.client_events if "instructions" in frame.get("session", {})] == asked
        assert "Which order?" not in said(ringing)[1:]


@virtual
async def test_what_the_last_webhook_has_brought_is_around_the_handlers_of_calls_that_are_taken_over() -> None:
    entered: list[str] = []

    @contextmanager
    def framework() -> Iterator[None]:
        entered.append("entered")
        yield

    async with fleet(limits=QUIET) as shop:
        dead, living = shop.workers

        class View:
            async def submit(self, incoming: IncomingCall) -> Submission:
                around_code.set(framework)
                return await living.host.submit(incoming)

        mine = await shop.openai.ring(View(), scenario=[CallerHangsUp(after=2.0)])
        await mine.ended()
        theirs = await shop.ring(CallerHangsUp(after=20.0))
        await until(lambda: dead.calls)
        await asyncio.sleep(1)
        assert entered == ["entered"]
        await dead.die()
        await until(lambda: theirs.call_id in living.host._ends)
        await living.host.ended(theirs.call_id)
        assert entered == ["entered"] * 2


# --- what an old worker still does ------------------------------------------------------------------------------------


class Till:
    """A tool that counts its runs."""

    def __init__(self) -> None:
        self.runs = 0
        self.tools = Tools()
        self.tools.function(self.pay)

    async def pay(self) -> str:
        """Charge the caller's card."""
        self.runs += 1
        return "paid"


@virtual
async def test_law_no_tool_runs_twice__one_that_was_about_to_begin_does_not_once_another_worker_has_the_call() -> None:
    till = Till()
    async with fleet(limits=QUIET, tools=till.tools) as shop:
        old, new = shop.workers
        store: Any = shop.store
        accept, blocked = store.accept, asyncio.Event()

        async def slow(call_id: str, *, owner: str, **rest: Any) -> bool:
            if blocked.is_set() and owner == old.host._claims._owner:
                await asyncio.sleep(0.3)
            return bool(await accept(call_id, owner=owner, **rest))

        store.accept = slow
        ringing = await shop.ring(
            CallerSays("Pay.", after=4.0), ModelCalls("pay"), ModelSays("Well."), CallerHangsUp(after=20.0)
        )
        await until(lambda: old.calls)
        await asyncio.sleep(3)
        blocked.set()
        called = "response.function_call_arguments.done"
        await until(lambda: any(frame["type"] == called for frame in ringing.server_events))
        # Another worker takes it at this very moment, and has not read what was to be run.
        claim = store._open[ringing.call_id]
        await store.offer(ringing.call_id, owner=claim.owner, ticket=claim.ticket)
        await until(lambda: new.calls)
        await new.host.ended(ringing.call_id)
        assert till.runs == 0  # the model is told of the hole, and calls it again
        assert said(ringing)[-1] == "Well."


@pytest.mark.parametrize("second_attach", ["shared", "refused", "superseding"])
def test_law_one_call_one_worker__one_that_stood_still_does_nothing_to_a_call_that_another_has(
    second_attach: Literal["shared", "refused", "superseding"],
) -> None:
    desks = TransferTargets({"desk": "sip:desk@pbx.example.com"})

    @virtual
    async def run() -> None:
        async with fleet(limits=QUIET, transfers=desks) as shop:
            old, new = shop.workers
            behavior = Behavior(second_attach=second_attach)
            ringing = await shop.ring(CallerHangsUp(after=60.0), behavior=behavior)
            await until(lambda: old.calls)
            await asyncio.sleep(3)
            claims: Any = old.host._claims
            claims._beating.cancel()
            store: Any = shop.store
            accept, heartbeat, awake = store.accept, store.heartbeat, asyncio.Event()

            async def accept_later(call_id: str, **rest: Any) -> bool:
                if rest["owner"] == claims._owner:
                    await awake.wait()
                    await asyncio.sleep(0.1)
                return bool(await accept(call_id, **rest))

            async def heartbeat_later(owner: str, **rest: Any) -> object:
                await asyncio.sleep(0.1)
                return await heartbeat(owner, **rest)

            store.accept, store.heartbeat = accept_later, heartbeat_later
            (call,) = old.calls
            await until(lambda: new.host.live)
            await asyncio.sleep(2)
            before = len(ringing.client_events)
            awake.set()  # now it wakes, and everything that is due comes at once
            claims._beat_on()
            speech = call.respond("Say that you are back.")
            with pytest.raises(CallEndedError, match="detached"):
                await asyncio.gather(call.send(events.ResponseCreate()), call.transfer("desk", after_speech=False))
            with pytest.raises(CallEndedError, match="detached"):
                await speech
            assert call.ended is not None
            assert (call.ended.reason, call.ended.evidence) == (
                EndReason.DETACHED,
                "another worker took the call over",
            )
            assert (await call.hangup()) == call.ended
            await asyncio.sleep(5)
            asked = [frame for frame in ringing.client_events[before:] if frame["type"] == "response.create"]
            # The new worker says that there was a hole, and nothing else.
            assert [frame["event_id"].partition("_")[0] for frame in asked] in ([], ["notice"])
            assert (ringing.tally.hangups, ringing.tally.refers) == (0, 0)
            assert (await new.host.ended(ringing.call_id)).reason is EndReason.CALLER

    run()


@virtual
async def test_a_store_that_is_away_for_a_minute_is_said_to_be_away_once_and_to_be_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with fleet(1, limits=QUIET) as shop:
        (worker,) = shop.workers
        ringing = await shop.ring(CallerHangsUp(after=100.0))
        await until(lambda: worker.calls)
        await asyncio.sleep(3)
        store: Any = shop.store

        async def fails(*_: object, **__: object) -> None:
            raise ConnectionError

        store.heartbeat = store.adopt = fails
        await asyncio.sleep(60)
        del store.heartbeat, store.adopt
        await worker.host.ended(ringing.call_id)
    said = [record.getMessage() for record in caplog.records if record.name == "realtime_sip.host"]
    began, over = said
    assert began.endswith("ConnectionError; the store fails, and calls that are up go on")
    assert over.startswith("the store answers again")


# --- the store --------------------------------------------------------------------------------------------------------


@virtual
async def test_a_store_that_is_slow_to_look_for_orphans_holds_up_no_heartbeat() -> None:
    async with fleet(limits=QUIET) as shop:
        slow, other = shop.workers
        store: Any = shop.store
        adopt = store.adopt

        async def hangs(owner: str, **rest: Any) -> object:
            if owner == slow.host._claims._owner:
                await asyncio.sleep(9.0)
            return await adopt(owner, **rest)

        store.adopt = hangs
        ringing = await shop.ring(CallerHangsUp(after=60.0))
        await until(lambda: slow.calls)
        await slow.host.ended(ringing.call_id)
        assert other.calls == []
        assert ringing.tally.attaches == 1


@virtual
async def test_a_call_that_was_offered_while_the_store_failed_is_not_taken_behind_its_workers_back() -> None:
    async with fleet(limits=QUIET) as shop:
        old, other = shop.workers
        store: Any = shop.store
        offer, recall, adopt = store.offer, store.recall, store.adopt

        async def unheard(call_id: str, **rest: Any) -> bool:
            await offer(call_id, **rest)
            raise ConnectionError

        async def fails(*_: object, **__: object) -> bool:
            raise ConnectionError

        store.offer, store.recall, store.adopt = unheard, fails, fails
        ringing = await shop.ring(CallerHangsUp(after=90.0))
        await until(lambda: old.calls)
        await asyncio.sleep(3)
        (taken,) = old.host._calls.values()
        assert not await old.host._relay.give(taken)
        store.offer, store.recall = offer, recall
        await asyncio.sleep(15)
        store.adopt = adopt
        await old.host.ended(ringing.call_id)
        assert other.calls == []
        assert not store._open.get(ringing.call_id)

"""Calls that go from one worker to another: from one that died, and from one that is drained."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Literal
from urllib.parse import urlencode

import pytest
from fleet import Worker, fleet

from phone import outputs, said, until, virtual
from realtime_sip import (
    AsyncRealtimeSip,
    Call,
    CallHost,
    CallLimits,
    EndReason,
    IncomingCall,
    MemoryStore,
    RealtimeSession,
    Router,
    Tools,
    TransferTargets,
)
from realtime_sip.call.machine.takeover import INTERRUPTED
from realtime_sip.errors import ConfigurationError
from realtime_sip.hosting.taken import Submission
from realtime_sip.hosting.tickets import Seals
from realtime_sip.sip import ContextSigner
from realtime_sip.testing import Behavior, RingingCall
from realtime_sip.testing.openai.call import EndedBy
from realtime_sip.testing.scenario import CallerHangsUp, CallerSays, ModelCalls, ModelSays
from realtime_sip.twilio.webhooks import CallStatusCallback

QUIET = CallLimits(silence=None, first_sound=None)
NUMBER = "+14155550123"


async def answered_by(worker: Worker, count: int = 1) -> Call:
    await until(lambda: len(worker.calls) >= count)
    return worker.calls[count - 1]


# --- a worker that died -----------------------------------------------------------------------------------------------


@virtual
async def test_law_a_call_of_a_worker_that_died_is_served_by_another_within_seconds() -> None:
    async with fleet(limits=QUIET) as shop:
        dead, living = shop.workers
        ringing = await shop.ring(CallerHangsUp(after=60.0), caller=NUMBER)
        call = await answered_by(dead)
        await asyncio.sleep(3)
        died_at = asyncio.get_running_loop().time()
        await dead.die()
        taken = await answered_by(living)
        assert asyncio.get_running_loop().time() - died_at < 6
        assert taken.call_id == call.call_id
        assert taken.adopted is not None
        assert taken.adopted.interrupted == ()
        assert taken.incoming is not None
        assert taken.incoming.caller == NUMBER
        assert len(taken.gaps) == 1
        ended = await living.host.ended(ringing.call_id)
        assert ended.reason is EndReason.CALLER
        assert ended.started_at == taken.adopted.began_at
        assert ringing.tally.accepts == 1
        assert ringing.tally.hangups == 0


@virtual
async def test_a_worker_that_starts_takes_over_at_once_what_nobody_serves() -> None:
    async with fleet(1, limits=QUIET) as shop:
        (dead,) = shop.workers
        await shop.ring(CallerHangsUp(after=60.0))
        await answered_by(dead)
        await dead.die()
        await asyncio.sleep(10)
        client = AsyncRealtimeSip(**shop.openai.client_options)
        late = Worker(client, shop.store, dead.talk)
        shop.workers.append(late)
        late.answer_options = {"limits": QUIET}
        began = asyncio.get_running_loop().time()
        async with late.host.lifespan(None):
            await answered_by(late)
            assert asyncio.get_running_loop().time() - began < 1
            assert late.calls[0].adopted is not None


class Orders:
    """Tools that take long, and count how often they ran in each worker."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.goes_on = asyncio.Event()
        self.tools = Tools()
        self.tools.function(self.pay)
        self.tools.function(self.look_up, idempotent=True)

    async def pay(self, call: Call) -> str:
        """Charge the caller's card."""
        return await self._run(call)

    async def look_up(self, order: str, call: Call) -> str:
        """Look up an order."""
        return f"{order}: {await self._run(call)}"

    async def _run(self, call: Call) -> str:
        self.keys.append(call.idempotency_key)
        if len(self.keys) == 1:
            await self.goes_on.wait()
        return "done"


async def interrupted(name: str, arguments: dict[str, str]) -> tuple[Orders, RingingCall, Call]:
    """Let a worker die while it runs a tool; return what came of it."""
    orders = Orders()
    async with fleet(limits=QUIET, tools=orders.tools) as shop:
        dead, living = shop.workers
        scenario = [CallerSays("It is about my order."), ModelCalls(name, arguments), ModelSays("There it is.")]
        ringing = await shop.ring(*scenario, CallerHangsUp(after=5.0))
        await until(lambda: orders.keys)
        await dead.die()
        call = await answered_by(living)
        await living.host.ended(ringing.call_id)
    return orders, ringing, call


@virtual
async def test_law_no_tool_runs_twice__one_that_ran_when_its_worker_died_has_an_unknown_outcome() -> None:
    orders, ringing, call = await interrupted("pay", {})
    assert len(orders.keys) == 1
    assert outputs(ringing) == [INTERRUPTED]
    assert call.adopted is not None
    assert call.adopted.interrupted == ("pay",)
    assert "There it is." in said(ringing)


@virtual
async def test_a_tool_that_is_idempotent_runs_again_with_the_same_key_and_arguments() -> None:
    orders, ringing, call = await interrupted("look_up", {"order": "10583"})
    assert len(orders.keys) == 2
    assert len(set(orders.keys)) == 1
    assert outputs(ringing) == ["10583: done"]
    assert call.adopted is not None
    assert call.adopted.interrupted == ()
    assert "There it is." in said(ringing)


@virtual
async def test_a_call_that_was_claimed_and_not_accepted_is_answered_by_another() -> None:
    async with fleet(limits=QUIET) as shop:
        dead, living = shop.workers
        asked = asyncio.Event()

        async def slow(incoming: IncomingCall) -> None:
            asked.set()
            await asyncio.sleep(3600)

        dead.host._on_call = slow
        ringing = await shop.ring(ModelSays("Hello."), CallerHangsUp(after=5.0))
        await asked.wait()
        await dead.die()
        await answered_by(living)
        assert (await living.host.ended(ringing.call_id)).reason is EndReason.CALLER
        assert ringing.tally.accepts == 1


@virtual
async def test_limits_and_costs_go_on_from_where_they_were() -> None:
    limits = CallLimits(silence=None, first_sound=None, max_duration=40.0, goodbye=None)
    async with fleet(limits=limits) as shop:
        dead, living = shop.workers
        ringing = await shop.ring(CallerSays("Hello?"), ModelSays("The shop, good day."), CallerHangsUp(after=600.0))
        call = await answered_by(dead)
        await until(lambda: call.usage.responses == 1)
        used, cost = call.usage, call.cost
        await asyncio.sleep(2)
        await dead.die()
        taken = await answered_by(living)
        assert taken.usage.tokens == used.tokens
        assert not taken.usage.complete
        assert taken.adopted is not None
        assert taken.adopted.cost == cost == taken.cost
        ended = await living.host.ended(ringing.call_id)
        assert ended.reason is EndReason.LIMIT
        assert ended.attached_at is not None
        assert 39 < ended.ended_at - ended.attached_at < 43


@virtual
async def test_a_transfer_under_way_goes_on_from_its_record() -> None:
    desks = TransferTargets({"desk": "sip:desk@pbx.example.com"})

    async def talk(call: Call) -> None:
        if call.adopted is None:
            call.transfer("desk", after_speech=False)
        await call.wait_ended()

    async with fleet(talk=talk, limits=QUIET, transfers=desks) as shop:
        dead, living = shop.workers
        ringing = await shop.ring(behavior=Behavior(refer="bridged"))
        await ringing.until_requested("refer")
        await asyncio.sleep(0.5)
        await dead.die()
        taken = await answered_by(living)
        assert taken.transferring
        ended = await living.host.ended(ringing.call_id)
        assert ended.reason is EndReason.TRANSFERRED
        assert ringing.tally.refers == 1


@virtual
async def test_a_call_that_was_about_to_be_hung_up_is_hung_up() -> None:
    async def talk(call: Call) -> None:
        if call.adopted is None:
            await call.hangup(goodbye="Say goodbye.")
        await call.wait_ended()

    async with fleet(talk=talk, limits=QUIET) as shop:
        dead, living = shop.workers
        ringing = await shop.ring(ModelSays("Goodbye, and thank you for calling.", seconds=30.0))
        await until(lambda: said(ringing))
        await dead.die()
        await answered_by(living)
        assert (await living.host.ended(ringing.call_id)).reason is EndReason.AGENT
        assert ringing.tally.hangups == 1


@virtual
async def test_turn_detection_that_was_off_comes_back() -> None:
    async def talk(call: Call) -> None:
        if call.adopted is None:
            await call.collect_digits("Ask for the number.", timeout=120.0)
        await call.wait_ended()

    async with fleet(talk=talk, limits=QUIET) as shop:
        dead, living = shop.workers
        ringing = await shop.ring(ModelSays("Your number, please."), CallerHangsUp(after=40.0))

        def creates() -> object:
            session = ringing.session or {}
            return session["audio"]["input"]["turn_detection"]["create_response"]

        await until(lambda: ringing.session is not None and creates() is False)
        await dead.die()
        await answered_by(living)
        await until(lambda: creates() is True)


@virtual
async def test_a_router_gives_a_call_to_the_handler_that_had_it() -> None:
    async with fleet() as shop:
        dead, living = shop.workers
        served: list[tuple[str, bool]] = []

        def routed(worker: Worker, first: bool) -> Router:
            router = Router()
            session = RealtimeSession(model="gpt-realtime-2.1")

            async def sales(incoming: IncomingCall, session: RealtimeSession) -> None:
                await answer(incoming, session, "sales")

            async def support(incoming: IncomingCall, session: RealtimeSession) -> None:
                await answer(incoming, session, "support")

            async def answer(incoming: IncomingCall, session: RealtimeSession, name: str) -> None:
                async with worker.client.calls.answer(incoming, session, limits=QUIET) as call:
                    served.append((name, call.adopted is not None))
                    worker.calls.append(call)
                    await call.wait_ended()

            # What a condition says may have changed meanwhile.
            router.add(sales, session=session, when=lambda _: not first)
            router.add(support, session=session)
            return router

        dead.host._on_call = routed(dead, first=True)
        living.host._on_call = routed(living, first=False)
        ringing = await shop.ring(CallerHangsUp(after=30.0))
        await answered_by(dead)
        await asyncio.sleep(1)
        await dead.die()
        await answered_by(living)
        await living.host.ended(ringing.call_id)
        assert served == [("support", False), ("support", True)]


@virtual
async def test_a_ticket_of_another_secret_ends_the_call_that_nobody_could_serve() -> None:
    async with fleet(limits=QUIET) as shop:
        dead, living = shop.workers
        living.host._seals = Seals(AsyncRealtimeSip("sk-other", webhook_secret="whsec_b3RoZXIgc2VjcmV0IG9mIHRlc3Rz"))
        ringings = [await shop.ring() for _ in range(3)]
        await answered_by(dead, 3)
        await asyncio.sleep(1)
        await dead.die()
        assert [(await ringing.ended()).by for ringing in ringings] == [EndedBy.AGENT] * 3
        assert living.calls == []


@virtual
async def test_what_a_store_holds_of_a_call_has_neither_numbers_nor_words() -> None:
    async with fleet(limits=QUIET) as shop:
        await shop.ring(CallerSays("My name is secret."), ModelSays("Thank you."), caller=NUMBER)
        call = await answered_by(shop.workers[0])
        await until(lambda: call.usage.responses == 1)
        await asyncio.sleep(1)
        (claim,) = shop.store._open.values()
        assert claim.ticket
        for hidden in (NUMBER, NUMBER[1:], "secret", "Thank"):
            assert hidden not in claim.ticket
        seals: Any = shop.workers[0].host._seals
        known = seals.read(claim.ticket, call_id=claim.call_id)
        words = json.dumps(known.call.model_dump(mode="json"))
        for hidden in (NUMBER[1:], "secret", "Thank"):
            assert hidden not in words
        assert len(claim.ticket) < 4096


@virtual
async def test_law_one_broken_call_harms_no_other__what_cannot_be_taken_in_ends_no_heartbeat() -> None:
    async with fleet(limits=QUIET) as shop:
        dead, living = shop.workers

        def broken(*_: object) -> None:
            raise RuntimeError("a letter, or a ticket, that nobody foresaw")

        claims: Any = living.host._claims
        claims._adopted = broken
        claims._letter = broken
        mine = await shop.ring(CallerHangsUp(after=60.0), at=1)
        await answered_by(living)
        theirs = await shop.ring(CallerHangsUp(after=20.0))
        await answered_by(dead)
        await shop.store.post(mine.call_id, "a letter")
        await asyncio.sleep(1)
        await dead.die()
        assert (await living.host.ended(mine.call_id)).reason is EndReason.CALLER
        assert not claims._beating.done()
        assert (await theirs.ended()).by is EndedBy.CALLER


@virtual
async def test_a_call_that_comes_back_to_a_worker_is_not_finished_by_what_it_did_before() -> None:
    async with fleet(limits=QUIET) as shop:
        first, second = shop.workers
        lingers = asyncio.Event()

        async def talk(call: Call) -> None:
            await call.wait_ended()
            if call.ended is not None and call.ended.reason is EndReason.DETACHED:
                await lingers.wait()  # it stores what it knows, slowly

        first.talk = talk
        ringing = await shop.ring(CallerHangsUp(after=60.0))
        await answered_by(first)
        await asyncio.sleep(1)
        ticket = shop.store._open[ringing.call_id].ticket
        await shop.store.offer(ringing.call_id, owner=shop.store._open[ringing.call_id].owner, ticket=ticket)
        await answered_by(second)
        await asyncio.sleep(1)
        await second.die()
        back = await answered_by(first, 2)
        lingers.set()
        await asyncio.sleep(3)
        assert back.ended is None
        assert shop.store._open[ringing.call_id].phase == "accepted"
        assert first.host.live == 1
        assert (await ringing.ended()).by is EndedBy.CALLER


# --- a worker that stops ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("second_attach", ["shared", "refused", "superseding"])
def test_law_a_drain_hands_live_calls_over_and_no_caller_notices(
    second_attach: Literal["shared", "refused", "superseding"],
) -> None:
    @virtual
    async def run() -> None:
        async with fleet(limits=QUIET) as shop:
            stopping, staying = shop.workers
            scenario = [CallerSays("Hello?"), ModelSays("The shop."), CallerSays("Thanks.", after=20.0)]
            behavior = Behavior(second_attach=second_attach)
            ringings = [
                await shop.ring(*scenario, ModelSays("Any time."), CallerHangsUp(after=1.0), behavior=behavior)
                for _ in range(20)
            ]
            await until(lambda: len(stopping.calls) == 20)
            await until(lambda: all(said(ringing) for ringing in ringings))
            await asyncio.sleep(3)
            before = [ringing.tally.attaches for ringing in ringings]
            began = asyncio.get_running_loop().time()
            await stopping.host.drain()
            assert asyncio.get_running_loop().time() - began < 3
            assert {call.ended.reason for call in stopping.calls if call.ended} == {EndReason.DETACHED}
            assert len(staying.calls) == 20
            for ringing in ringings:
                assert (await staying.host.ended(ringing.call_id)).reason is EndReason.CALLER
                assert said(ringing)[-1] == "Any time."
            assert [ringing.tally.attaches for ringing in ringings] == [each + 1 for each in before]
            assert all(ringing.tally.unattended < 1.5 for ringing in ringings)
            assert all(ringing.tally.hangups == 0 for ringing in ringings)

    run()


@virtual
async def test_a_tool_that_runs_ends_before_its_call_is_handed_over() -> None:
    orders = Orders()
    async with fleet(limits=QUIET, tools=orders.tools) as shop:
        stopping, staying = shop.workers
        ringing = await shop.ring(CallerSays("Pay."), ModelCalls("pay"), ModelSays("Paid."), CallerHangsUp(after=20.0))
        await until(lambda: orders.keys)
        draining = asyncio.create_task(stopping.host.drain())
        await asyncio.sleep(3)
        assert staying.calls == []
        orders.goes_on.set()
        await draining
        await answered_by(staying)
        await staying.host.ended(ringing.call_id)
        assert outputs(ringing) == ["done"]
        assert len(orders.keys) == 1
        assert "Paid." in said(ringing)


@virtual
async def test_without_another_worker_a_drain_lets_calls_finish_or_hear_a_goodbye() -> None:
    async with fleet(1, limits=QUIET) as shop:
        (only,) = shop.workers
        ringing = await shop.ring(ModelSays("Goodbye."))
        await answered_by(only)
        await only.host.drain()
        assert (await ringing.ended()).by is EndedBy.AGENT
        assert ringing.tally.attaches == 1


@virtual
async def test_a_call_that_nobody_takes_after_all_goes_on_where_it_was() -> None:
    async with fleet(limits=QUIET) as shop:
        stopping, full = shop.workers
        full.host._max_calls = 1
        other = await shop.ring(CallerHangsUp(after=300.0), at=1)
        await answered_by(full)
        stopping.host._claims.elsewhere = 1  # as it was a moment ago
        full.host._free = lambda: 1  # type: ignore[method-assign]
        ringing = await shop.ring(CallerSays("Hello?", after=8.0), ModelSays("The shop."), CallerHangsUp())
        call = await answered_by(stopping)
        full.host._claims._room = lambda: 1
        full.host._claims._adopt = _nobody  # type: ignore[method-assign]
        await asyncio.sleep(2)
        await stopping.host.drain()
        assert call.ended is not None
        assert call.ended.reason is EndReason.CALLER
        assert said(ringing) == ["The shop."]
        other.hang_up()


async def _nobody() -> bool:
    return False


# --- load -------------------------------------------------------------------------------------------------------------


@virtual
async def test_a_full_worker_passes_a_new_call_on_and_a_full_fleet_says_busy_at_once() -> None:
    async with fleet(limits=QUIET, max_calls=1) as shop:
        first = await shop.ring(CallerHangsUp(after=60.0))
        await answered_by(shop.workers[0])
        second = await shop.ring(CallerHangsUp(after=60.0))
        await answered_by(shop.workers[1])
        assert [each for each in second.submissions if each is Submission.PASSED_ON]
        await asyncio.sleep(2)
        began = asyncio.get_running_loop().time()
        third = await shop.ring()
        rejected = await third.until_requested("reject")
        assert rejected.body == {"status_code": 503}
        assert asyncio.get_running_loop().time() - began < 1
        for ringing, worker in ((first, 0), (second, 1)):
            assert (await shop.workers[worker].host.ended(ringing.call_id)).reason is EndReason.CALLER
            assert ringing.tally.accepts == 1


@virtual
async def test_a_worker_that_is_drained_passes_new_calls_on() -> None:
    async with fleet(limits=QUIET) as shop:
        stopping, staying = shop.workers
        busy = await shop.ring(CallerHangsUp(after=12.0))
        await answered_by(stopping)
        staying.host._claims._watching = False  # it takes nothing for now
        draining = asyncio.create_task(stopping.host.drain())
        await asyncio.sleep(1)
        staying.host.watch()
        await asyncio.sleep(1.5)
        ringing = await shop.ring(CallerHangsUp(after=5.0))
        await until(lambda: any(call.call_id == ringing.call_id for call in staying.calls))
        await draining
        assert (await busy.ended()).by is EndedBy.CALLER
        assert (await ringing.ended()).by is EndedBy.CALLER


# --- what the carrier says, elsewhere ---------------------------------------------------------------------------------

SECRET = "a context secret of the tests"
PARENT = "CA" + "a" * 32


def over() -> CallStatusCallback:
    return CallStatusCallback.read(urlencode({"CallSid": PARENT, "CallStatus": "completed"}))


@virtual
async def test_what_the_carrier_tells_another_worker_reaches_the_one_that_has_the_call() -> None:
    async with fleet(limits=QUIET, context_secret=SECRET) as shop:
        owner, other = shop.workers
        signed = ContextSigner(SECRET).sign({}, parent_call_sid=PARENT, now=1_795_000_000.0)
        ringing = await shop.ring(sip_headers=signed.items())
        await answered_by(owner)
        await asyncio.sleep(1)
        assert not other.host.carrier(over())
        ended = await owner.host.ended(ringing.call_id)
        assert ended.reason is EndReason.CALLER
        assert ended.certainty == "reported"


@virtual
async def test_a_caller_whose_call_was_over_before_it_was_announced_to_another_worker_is_turned_away() -> None:
    async with fleet(limits=QUIET, context_secret=SECRET) as shop:
        owner, other = shop.workers
        other.host.carrier(over())
        await asyncio.sleep(0.1)
        signed = ContextSigner(SECRET).sign({}, parent_call_sid=PARENT, now=1_795_000_000.0)
        ringing = await shop.ring(sip_headers=signed.items())
        await ringing.until_delivered()
        ended = await owner.host.ended(ringing.call_id)
        assert ended.reason is EndReason.CALLER
        assert owner.calls == []


def test_a_shared_store_needs_a_secret_to_seal_what_is_handed_over() -> None:
    store = MemoryStore()
    store.shared = True

    async def on_call(incoming: IncomingCall) -> None: ...

    with pytest.raises(ConfigurationError, match="webhook_secret"):
        CallHost(on_call, client=AsyncRealtimeSip("sk-test"), store=store)

"""The host: each call once, each supervised, each decided, over the emulator on virtual time."""

from __future__ import annotations

import asyncio
import functools
from contextvars import Context
from typing import Any
from unittest.mock import AsyncMock

import pytest

from phone import SESSION, Phone, greet, phone, said, virtual, wait
from realtime_sip import (
    AsyncRealtimeSip,
    Call,
    CallHost,
    CallLimits,
    EndReason,
    IncomingCall,
    MemoryStore,
    RealtimeSip,
    Router,
    Submission,
)
from realtime_sip.errors import ConfigurationError, UnknownCallError
from realtime_sip.policy import DenyCallers
from realtime_sip.stores import Beat, Claimed, Outcome
from realtime_sip.testing import (
    CallerHangsUp,
    CallerSays,
    EndedBy,
    ModelSays,
    RingingCall,
    Timings,
)

QUIET = CallLimits(silence=None, first_sound=None)
HELLO = ModelSays("Good morning.")
BYE = CallerHangsUp()


def operations(ringing: RingingCall) -> list[str]:
    return [request.operation for request in ringing.requests]


async def over(line: Phone, ringing: RingingCall) -> None:
    await ringing.ended(timeout=3600)
    await line.idle()


@virtual
async def test_law_decide_then_say_2xx__submit_returns_when_the_call_is_accepted_and_before_it_is_attached() -> None:
    async with phone() as line:
        ringing = await line.ring(HELLO, BYE, talk=greet)
        await ringing.until_delivered(timeout=60)
        assert ringing.submissions == [Submission.STARTED]
        assert operations(ringing) == ["accept"]
        assert line.host.live == 1
        await over(line, ringing)
    assert line.host.live == 0


@virtual
async def test_the_end_of_a_call_is_told_by_the_host_and_by_the_ringing_call() -> None:
    async with phone() as line:
        ringing = await line.ring(HELLO, BYE, talk=greet)
        end = await ringing.ended(timeout=3600)
        assert end.reason is EndReason.CALLER
        assert end.by is EndedBy.CALLER
        assert (await line.host.ended(ringing.call_id)).reason is EndReason.CALLER
        with pytest.raises(UnknownCallError):
            await line.host.ended("rtc_unknown")


@virtual
async def test_law_one_call_one_handler__repeats_of_a_delivery_start_nothing() -> None:
    async with phone() as line:
        ringing = await line.openai.ring(line.host, scenario=[HELLO, BYE], duplicates=3)
        line.talk = greet
        await over(line, ringing)
    assert sorted(str(s) for s in ringing.submissions) == sorted(
        str(s) for s in [Submission.STARTED] + [Submission.REPEAT] * 3
    )
    assert operations(ringing).count("accept") == 1


@virtual
async def test_a_repeat_after_the_end_starts_nothing() -> None:
    seen: list[IncomingCall] = []

    async def on_call(incoming: IncomingCall) -> None:
        seen.append(incoming)
        await line.client.calls.reject(incoming.call_id)

    async with phone() as line:
        host = CallHost(on_call, client=line.client)
        ringing = await line.openai.ring(host)
        await ringing.ended()
        assert await host.submit(seen[0]) is Submission.REPEAT
        await host.drain(1)
    assert len(seen) == 1


@pytest.mark.parametrize("raises", [True, False])
def test_law_a_handler_that_returns_or_raises_without_deciding_gets_its_call_rejected(
    raises: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def on_call(incoming: IncomingCall) -> None:
        if raises:
            raise ValueError("a bug")

    @virtual
    async def test() -> None:
        async with phone() as line:
            host = CallHost(on_call, client=line.client)
            ringing = await line.openai.ring(host)
            end = await ringing.ended()
            assert (end.by, end.status_code) == (EndedBy.REJECTED, 503)
            assert (await host.ended(ringing.call_id)).reason is EndReason.REJECTED
            await host.drain(1)

    test()
    failures = [r for r in caplog.records if "the handler failed" in r.getMessage()]
    assert len(failures) == (1 if raises else 0)
    if raises:
        assert "rtc_" in failures[0].getMessage()


@virtual
async def test_a_handler_may_reject_by_itself() -> None:
    async def on_call(incoming: IncomingCall) -> None:
        await line.client.calls.reject(incoming.call_id, status_code=486)

    async with phone() as line:
        host = CallHost(on_call, client=line.client)
        ringing = await line.openai.ring(host)
        end = await ringing.ended()
        assert end.status_code == 486
        assert ringing.submissions == [Submission.STARTED]
        assert operations(ringing) == ["reject"]
        await host.drain(1)


@virtual
async def test_a_handler_may_accept_by_itself_and_keep_the_call() -> None:
    async def on_call(incoming: IncomingCall) -> None:
        await line.client.calls.accept(incoming.call_id, SESSION)
        async with line.client.calls.connect(incoming.call_id) as sideband:
            await sideband.response_create()
            async for _ in sideband:
                pass

    async with phone() as line:
        host = CallHost(on_call, client=line.client)
        ringing = await line.openai.ring(host, scenario=[HELLO, BYE])
        await ringing.ended(timeout=600)
        assert operations(ringing) == ["accept", "attach"]
        assert (await host.ended(ringing.call_id)).reason is EndReason.DETACHED
        await host.drain(1)


@virtual
async def test_law_full__a_call_too_many_is_rejected_with_503_and_answered_2xx() -> None:
    async with phone() as line:
        line.host = CallHost(line.on_call, client=line.client, max_calls=1)
        first = await line.ring(HELLO, CallerHangsUp(after=30.0), talk=greet)
        await first.until_accepted()
        second = await line.openai.ring(line.host)
        end = await second.ended()
        assert (end.by, end.status_code) == (EndedBy.REJECTED, 503)
        assert second.submissions == [Submission.BUSY]
        await over(line, first)
        third = await line.ring(HELLO, BYE, talk=greet)
        await over(line, third)
        assert third.submissions == [Submission.STARTED]


@virtual
async def test_a_stale_webhook_and_a_test_delivery_touch_nothing() -> None:
    async with phone() as line:
        ringing = await line.openai.ring(line.host, late=301.0)
        await ringing.until_delivered(timeout=600)
        assert (await line.host.ended(ringing.call_id)).reason is EndReason.STALE
        assert Submission.STALE in ringing.submissions
        assert operations(ringing) == []


@virtual
async def test_law_a_late_webhook_is_tried_once() -> None:
    async with phone() as line:
        ringing = await line.openai.ring(line.host, late=60.0)
        await ringing.until_delivered(timeout=600)
        assert (await line.host.ended(ringing.call_id)).reason is EndReason.STALE
        assert operations(ringing) == ["accept"]


@pytest.mark.parametrize("ahead", [35.0, 280.0])
def test_law_a_clock_that_is_off_lets_no_phone_ring_out(ahead: float) -> None:
    @virtual
    async def run() -> None:
        async with phone() as line:
            right = line.client.settings.clock
            options: dict[str, Any] = {**line.openai.client_options, "clock": lambda: right() + ahead}
            async with AsyncRealtimeSip(**options) as line.client:
                line.host = CallHost(line.on_call, client=line.client)
                ringing = await line.ring(HELLO, BYE, talk=greet)
                await over(line, ringing)
                assert (await line.host.ended(ringing.call_id)).reason is EndReason.CALLER

    run()


@virtual
async def test_a_late_repeat_of_a_call_that_is_up_says_nothing_about_its_end() -> None:
    seen: list[IncomingCall] = []

    async def on_call(incoming: IncomingCall) -> None:
        seen.append(incoming)
        await line.on_call(incoming)

    async with phone() as line:
        line.host = CallHost(on_call, client=line.client)
        ringing = await line.ring(HELLO, CallerHangsUp(after=50.0), talk=greet)
        await ringing.until_attached()
        await asyncio.sleep(40)
        assert await line.host.submit(seen[0]) is Submission.REPEAT
        await over(line, ringing)
        assert (await line.host.ended(ringing.call_id)).reason is EndReason.CALLER


@virtual
async def test_law_drain__no_new_calls_live_ones_finish_in_their_time() -> None:
    async with phone() as line:
        ringing = await line.ring(HELLO, CallerSays("Hm."), HELLO, CallerHangsUp(after=10.0), talk=greet)
        await ringing.until_attached()
        draining = asyncio.ensure_future(line.host.drain(60))
        await asyncio.sleep(0)
        late = await line.openai.ring(line.host)
        assert (await late.ended()).by is EndedBy.REJECTED
        assert late.submissions == [Submission.DRAINING]
        await draining
        assert (await ringing.ended()).by is EndedBy.CALLER


@virtual
async def test_law_drain__what_is_left_hears_a_goodbye_that_starts_early_enough() -> None:
    async def chat(call: Call) -> None:
        while True:
            await call.respond("Talk.")
            await asyncio.sleep(6)

    async with phone(strict=False) as line:
        ringing = await line.ring(*[HELLO] * 50, talk=chat)
        await ringing.until_attached()
        began = asyncio.get_running_loop().time()
        await line.host.drain(40)
        assert asyncio.get_running_loop().time() - began < 45
        end = await ringing.ended()
    assert end.by is EndedBy.AGENT
    assert end.reason is EndReason.AGENT
    last = [e for e in ringing.client_events if e["type"] == "response.create"][-1]
    assert "goodbye" in last["response"]["instructions"]


@virtual
async def test_law_drain__a_handler_that_does_not_end_is_canceled_and_its_call_hung_up() -> None:
    async def stubborn(call: Call) -> None:
        while True:
            try:
                await asyncio.sleep(10_000)
            except asyncio.CancelledError:
                raise

    async with phone() as line:
        ringing = await line.ring(HELLO, talk=stubborn, limits=None)
        await ringing.until_attached()
        await line.host.drain(2)
        assert (await ringing.ended()).by is EndedBy.AGENT


@virtual
async def test_the_lifespan_drains() -> None:
    async with phone() as line:
        async with line.host.lifespan(None):
            ringing = await line.ring(HELLO, CallerHangsUp(after=5.0), talk=greet)
            await ringing.until_attached()
        assert (await ringing.ended()).by is EndedBy.CALLER
        assert line.host.live == 0


@virtual
async def test_law_a_dead_claimants_call_is_adopted__not_accepted_again_but_attached() -> None:
    now = [0.0]
    store = MemoryStore(clock=lambda: now[0])
    async with phone() as line:
        incoming: list[IncomingCall] = []

        async def on_call(call: IncomingCall) -> None:
            incoming.append(call)
            await line.client.calls.accept(call.call_id, SESSION)

        # A host that accepts and dies: its claim stays, with the phase that it had reached.
        ringing = await line.openai.ring(CallHost(on_call, client=line.client), scenario=[HELLO, BYE])
        await ringing.until_accepted()
        await asyncio.sleep(1)
        await store.claim(ringing.call_id, owner="dead", lease=30)
        await store.accept(ringing.call_id, owner="dead", lease=30)
        line.host = CallHost(line.on_call, client=line.client, store=store)
        line.talk = greet
        assert await line.host.submit(incoming[0]) is Submission.REPEAT
        now[0] += 31
        assert await line.host.submit(incoming[0]) is Submission.STARTED
        await over(line, ringing)
        assert operations(ringing).count("accept") == 1
        assert (await line.host.ended(ringing.call_id)).reason is EndReason.CALLER


class Stolen(MemoryStore):
    """Says of each call that another worker has taken it, once `stolen` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.stolen = False
        self.claims: list[str] = []

    async def claim(self, call_id: str, *, owner: str, lease: float, ticket: str = "") -> Claimed:
        self.claims.append(call_id)
        return await super().claim(call_id, owner=owner, lease=lease, ticket=ticket)

    async def heartbeat(self, owner: str, *, lease: float, free: int = 0) -> Beat:
        return Beat(taken=tuple(self.claims) if self.stolen else ())


@virtual
async def test_law_a_claim_that_was_lost_is_let_go_without_ending_the_call() -> None:
    store = Stolen()
    async with phone(strict=False) as line:
        line.host = CallHost(line.on_call, client=line.client, store=store)
        ringing = await line.ring(HELLO, talk=wait, limits=CallLimits(silence=None, first_sound=None))
        await ringing.until_attached()
        store.stolen = True
        await asyncio.sleep(5)
        assert (await line.host.ended(ringing.call_id)).reason is EndReason.DETACHED
        assert ringing.state == "accepted"
        ringing.hang_up()


@virtual
async def test_law_a_claim_that_was_lost_is_neither_rejected_nor_hung_up_by_who_lost_it() -> None:
    async def on_call(incoming: IncomingCall) -> None:
        if by_hand:
            await line.client.calls.accept(incoming.call_id, SESSION)
        store.stolen = True
        await asyncio.sleep(25)
        raise ValueError("a bug")

    for by_hand in (False, True):
        async with phone(timings=Timings(patience=60)) as line:
            store = Stolen()
            host = CallHost(on_call, client=line.client, store=store)
            ringing = await line.openai.ring(host)
            assert (await host.ended(await _delivered(ringing))).reason is EndReason.DETACHED
            assert operations(ringing) == (["accept"] if by_hand else [])
            ringing.hang_up()
            await host.drain(1)


@virtual
async def test_law_no_live_call_ends_because_of_its_store__one_that_is_restarted_empty() -> None:
    store = MemoryStore()
    async with phone() as line:
        line.host = CallHost(line.on_call, client=line.client, store=store)
        ringing = await line.ring(HELLO, CallerHangsUp(after=60.0), talk=greet, limits=QUIET)
        await ringing.until_attached()
        store.__init__()  # type: ignore[misc]
        await over(line, ringing)
        assert (await line.host.ended(ringing.call_id)).reason is EndReason.CALLER
        answer = await store.claim(ringing.call_id, owner="another", lease=30)
        assert answer.outcome is Outcome.REPEAT


@virtual
async def test_a_worker_says_that_it_lives_once_a_second_however_many_calls_it_has_and_not_without_any() -> None:
    heartbeats: list[float] = []

    class Counting(MemoryStore):
        async def heartbeat(self, owner: str, *, lease: float, free: int = 0) -> Beat:
            heartbeats.append(asyncio.get_running_loop().time())
            return await super().heartbeat(owner, lease=lease, free=free)

    async with phone() as line:
        line.host = CallHost(line.on_call, client=line.client, store=Counting())
        ringings = [await line.ring(HELLO, CallerHangsUp(after=20.0), talk=greet, limits=QUIET) for _ in range(5)]
        for ringing in ringings:
            await over(line, ringing)
        beats = len(heartbeats)
        assert 20 <= beats <= 40
        await asyncio.sleep(60)
        assert len(heartbeats) <= beats + 1


async def _delivered(ringing: RingingCall) -> str:
    await ringing.until_delivered()
    return ringing.call_id


@virtual
async def test_calls_do_not_disturb_each_other() -> None:
    async with phone() as line:
        line.talk = greet
        rings = [
            await line.openai.ring(line.host, scenario=[HELLO, CallerSays(f"I am number {n}."), HELLO, BYE])
            for n in range(30)
        ]
        ends = [await ringing.ended(timeout=3600) for ringing in rings]
        await line.idle()
    assert {end.reason for end in ends} == {EndReason.CALLER}
    assert len({call.call_id for call in line.calls}) == 30


@virtual
async def test_the_status_of_a_call_too_many_is_a_policy() -> None:
    async with phone() as line:
        line.host = CallHost(line.on_call, client=line.client, max_calls=1, busy_status=486)
        first = await line.ring(HELLO, CallerHangsUp(after=30.0), talk=greet)
        await first.until_accepted()
        second = await line.openai.ring(line.host)
        assert (await second.ended()).status_code == 486
        await over(line, first)


async def _never(_incoming: IncomingCall) -> None:
    raise AssertionError


def _sync(_incoming: IncomingCall) -> None:
    raise AssertionError


class _Claims:
    """A store that neither counts nor knows nonces."""

    async def claim(self, call_id: str, *, owner: str, lease: float, ticket: str = "") -> Claimed:
        raise AssertionError


ASYNC, BLOCKING = AsyncRealtimeSip("sk-test"), RealtimeSip("sk-test")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"on_call": _sync}, "on_call"),
        ({"on_call": lambda incoming: _never(incoming)}, "on_call"),
        ({"on_call": functools.partial(_sync)}, "on_call"),
        ({"on_call": Router}, "on_call"),
        ({"on_call": None}, "on_call"),
        ({"client": BLOCKING}, "client"),
        ({"client": None}, "client"),
        ({"client": AsyncRealtimeSip}, "client"),
        ({"store": _Claims()}, "store"),
        ({"store": MemoryStore}, "store"),
        ({"store": {}}, "store"),
        ({"policy": DenyCallers({"+14155550199"})}, "policy"),
        ({"policy": [DenyCallers({"+14155550199"})]}, "policy"),
        ({"max_calls": 0}, "max_calls"),
        ({"max_calls": 1.5}, "max_calls"),
        ({"max_calls": True}, "max_calls"),
        ({"busy_status": 200}, "busy_status"),
        ({"busy_status": "503"}, "busy_status"),
        ({"busy_status": None}, "busy_status"),
        ({"drain_timeout": -1}, "drain_timeout"),
        ({"drain_timeout": float("inf")}, "drain_timeout"),
        ({"drain_timeout": "25"}, "drain_timeout"),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused_at_the_door(wrong: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"on_call": _never, "client": ASYNC, **wrong}
    with pytest.raises(ConfigurationError, match=said):
        CallHost(given.pop("on_call"), **given)


@pytest.mark.parametrize(
    "on_call",
    [_never, functools.partial(_never), Router(), functools.partial(Router()), AsyncMock(), Phone.on_call],
    ids=["function", "partial", "router", "partial of a router", "mock", "method"],
)
def test_whatever_can_be_awaited_may_answer_calls(on_call: Any) -> None:
    CallHost(on_call, client=ASYNC)


# --- what a handler leaves behind -------------------------------------------------------------------------------------


def test_a_handler_may_return_the_status_to_reject_its_call_with(caplog: pytest.LogCaptureFixture) -> None:
    async def on_call(_incoming: IncomingCall) -> int:
        return 480

    @virtual
    async def test() -> None:
        async with phone() as line:
            host = CallHost(on_call, client=line.client)
            ringing = await line.openai.ring(host)
            assert (await ringing.ended()).status_code == 480
            assert (await host.ended(ringing.call_id)).evidence == "the host rejected the call with 480"
            await host.drain(1)

    test()
    assert "did not decide" not in caplog.text


@pytest.mark.parametrize("returns", [200, True, "486", object()], ids=["200", "True", "text", "object"])
def test_what_is_no_status_rejects_with_that_of_the_host(returns: Any) -> None:
    async def on_call(_incoming: IncomingCall) -> Any:
        return returns

    @virtual
    async def test() -> None:
        async with phone() as line:
            host = CallHost(on_call, client=line.client, busy_status=500)
            ringing = await line.openai.ring(host)
            assert (await ringing.ended()).status_code == 500
            await host.drain(1)

    test()


@virtual
async def test_law_never_a_caller_with_a_dead_agent__who_accepts_by_hand_and_fails_has_hung_up() -> None:
    async def on_call(incoming: IncomingCall) -> None:
        await line.client.calls.accept(incoming.call_id, SESSION)
        await asyncio.sleep(2)
        raise ValueError("a bug")

    async with phone() as line:
        host = CallHost(on_call, client=line.client)
        ringing = await line.openai.ring(host)
        assert (await ringing.ended(timeout=60)).by is EndedBy.AGENT
        ended = await host.ended(ringing.call_id)
        assert (ended.reason, ended.certainty) == (EndReason.HANDLER_FAILED, "reported")
        assert ended.ended_at > ended.started_at
        await host.drain(1)
        assert operations(ringing) == ["accept", "hangup"]


@pytest.mark.parametrize("how", [{"status": 401}, {"how": "reset", "times": 50}])
def test_law_an_end_is_reported_only_if_it_was__a_reject_that_failed_is_not(how: dict[str, Any]) -> None:
    async def on_call(_incoming: IncomingCall) -> None:
        return

    @virtual
    async def test() -> None:
        async with phone() as line:
            host = CallHost(on_call, client=line.client)
            line.openai.fail("reject", **how)
            ringing = await line.openai.ring(host)
            ended = await ringing.ended(timeout=600)
            assert (ended.reason, ended.certainty) == (EndReason.REJECTED, "inferred")
            await host.drain(1)

    test()


@virtual
async def test_law_a_409_is_somebody_elses_call__it_is_neither_rejected_nor_hung_up() -> None:
    async def on_call(incoming: IncomingCall) -> None:
        async with AsyncRealtimeSip(**line.openai.client_options) as other:
            accepting = other.calls.accept(incoming.call_id, SESSION)
            await asyncio.create_task(accepting, context=Context())

    async with phone() as line:
        host = CallHost(on_call, client=line.client)
        ringing = await line.openai.ring(host)
        await ringing.until_delivered()
        ended = await host.ended(ringing.call_id)
        assert (ended.reason, ended.certainty) == (EndReason.DECIDED_ELSEWHERE, "reported")
        assert operations(ringing) == ["accept", "reject"]
        assert ringing.state == "accepted"
        ringing.hang_up()
        await host.drain(1)


PATIENT = Timings(patience=150.0)


@virtual
async def test_law_a_dead_claimants_call_is_adopted__also_where_it_died_while_it_collected_digits() -> None:
    now = [0.0]
    store = MemoryStore(clock=lambda: now[0])
    held = {"type": "server_vad", "create_response": False, "interrupt_response": True}
    async with phone(timings=PATIENT) as line:
        incoming: list[IncomingCall] = []

        async def dies(call: IncomingCall) -> None:
            incoming.append(call)
            await line.client.calls.accept(call.call_id, {**SESSION, "audio": {"input": {"turn_detection": held}}})

        ringing = await line.openai.ring(
            CallHost(dies, client=line.client), scenario=[CallerSays("Hello?", after=3.0), ModelSays("Yes."), BYE]
        )
        await ringing.until_accepted()
        await asyncio.sleep(1)
        await store.claim(ringing.call_id, owner="dead", lease=30)
        await store.accept(ringing.call_id, owner="dead", lease=30)
        line.host = CallHost(line.on_call, client=line.client, store=store)
        now[0] += 31
        assert await line.host.submit(incoming[0]) is Submission.STARTED
        ended = await line.host.ended(ringing.call_id)
        await line.idle()
    assert ended.reason is EndReason.CALLER
    assert said(ringing) == ["Yes."]


@virtual
async def test_law_decide__a_reject_that_breaks_in_an_unknown_way_leaves_nothing_behind() -> None:
    async def breaks(*_args: Any, **_kwargs: Any) -> None:
        raise RuntimeError("an HTTP client of the program's own")

    async def on_call(_incoming: IncomingCall) -> None:
        line.client.calls.reject = breaks  # type: ignore[method-assign]

    async with phone() as line:
        line.host = CallHost(on_call, client=line.client)
        ringing = await line.openai.ring(line.host)
        await asyncio.sleep(1)
        async with asyncio.timeout(60):
            assert (await line.host.ended(ringing.call_id)).reason is EndReason.REJECTED
        assert line.host.live == 0
        ringing.hang_up()

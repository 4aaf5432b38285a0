"""The host: each call once, each supervised, each decided, over the emulator on virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phone import SESSION, Phone, greet, phone, virtual, wait
from realtime_sip import Call, CallHost, CallLimits, EndReason, IncomingCall, MemoryStore, Submission
from realtime_sip.errors import ConfigurationError, UnknownCallError
from realtime_sip.testing import CallerHangsUp, CallerSays, EndedBy, ModelSays, RingingCall

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
        ringing = await line.openai.ring(line.host, late=60.0)
        await ringing.until_delivered(timeout=600)
        assert (await line.host.ended(ringing.call_id)).reason is EndReason.STALE
        assert Submission.STALE in ringing.submissions
        assert operations(ringing) == []


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
        assert await line.host.submit(seen[0]) is Submission.STALE
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
            await (await call.respond("Talk.")).heard()
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
async def test_law_drain__a_handler_that_does_not_end_is_cancelled_and_its_call_hung_up() -> None:
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
        await store.advance(ringing.call_id, owner="dead", phase="accepted")
        line.host = CallHost(line.on_call, client=line.client, dedupe=store)
        line.talk = greet
        assert await line.host.submit(incoming[0]) is Submission.REPEAT
        now[0] += 31
        assert await line.host.submit(incoming[0]) is Submission.STARTED
        await over(line, ringing)
        assert operations(ringing).count("accept") == 1
        assert (await line.host.ended(ringing.call_id)).reason is EndReason.CALLER


@virtual
async def test_law_a_claim_that_was_lost_is_let_go_without_ending_the_call() -> None:
    async def lost(_call_id: str, *, owner: str, lease: float) -> bool:
        return False

    store = MemoryStore()
    async with phone(strict=False) as line:
        line.host = CallHost(line.on_call, client=line.client, dedupe=store)
        ringing = await line.ring(HELLO, talk=wait, limits=CallLimits(silence=None, first_sound=None))
        await ringing.until_attached()
        store.renew = lost  # type: ignore[assignment]
        await asyncio.sleep(40)
        assert (await line.host.ended(ringing.call_id)).reason is EndReason.DETACHED
        assert ringing.state == "accepted"
        ringing.hang_up()


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


def test_a_host_needs_room_for_a_call() -> None:
    with pytest.raises(ConfigurationError, match="busy_status"):
        CallHost(_never, client=None, busy_status=200)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="max_calls"):
        CallHost(_never, client=None, max_calls=0)  # type: ignore[arg-type]


async def _never(_incoming: IncomingCall) -> Any:
    raise AssertionError

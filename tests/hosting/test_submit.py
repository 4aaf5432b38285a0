"""Webhooks whose client goes away: what was claimed is served or rejected all the same, over the emulator."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from phone import Phone, greet, phone, virtual, wait
from realtime_sip import CallEnded, CallHost, CallLimits, EndReason, IncomingCall, MemoryStore, Submission
from realtime_sip.errors import DeadlineError
from realtime_sip.stores import Beat, Claimed
from realtime_sip.stores.rules import WORKER_LEASE
from realtime_sip.testing import CallerHangsUp, EndedBy, ModelSays, RingingCall

HELLO = ModelSays("Good morning.")
BYE = CallerHangsUp()
QUIET = CallLimits(silence=None, first_sound=None)


class Slow(MemoryStore):
    """Takes some seconds to answer a claim, which counts by then."""

    def __init__(self, seconds: float, *, error: Exception | None = None) -> None:
        super().__init__(clock=asyncio.get_running_loop().time)
        self.seconds = seconds
        self.error = error

    async def claim(self, call_id: str, *, owner: str, lease: float, ticket: str = "") -> Claimed:
        claimed = await super().claim(call_id, owner=owner, lease=lease, ticket=ticket)
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return claimed


class Door:
    """An endpoint whose client goes away after so many seconds, so that what it awaits is canceled."""

    def __init__(self, host: CallHost, *, seconds: float) -> None:
        self.host = host
        self.seconds = seconds
        self.incoming: list[IncomingCall] = []

    async def submit(self, incoming: IncomingCall) -> Submission:
        self.incoming.append(incoming)
        async with asyncio.timeout(self.seconds):
            return await self.host.submit(incoming)

    async def ended(self, call_id: str) -> CallEnded:
        return await self.host.ended(call_id)


def operations(ringing: RingingCall) -> list[str]:
    return [request.operation for request in ringing.requests]


def outcomes(ringing: RingingCall) -> list[object]:
    """Return what became of each delivery: what was returned, or the class of what was raised."""
    return [type(each) if isinstance(each, BaseException) else each for each in ringing.submissions]


def slowly(line: Phone, seconds: float) -> None:
    """Let each reject leave late."""
    rejecting: Callable[..., Awaitable[None]] = line.client.calls.reject

    async def reject(*args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(seconds)
        await rejecting(*args, **kwargs)

    line.client.calls.reject = reject  # type: ignore[method-assign]


async def until_tried(ringing: RingingCall) -> None:
    """Wait for the first delivery, however it went."""
    async with asyncio.timeout(60):
        while not ringing.submissions:  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(0.05)


@virtual
async def test_law_one_call_one_handler__a_submit_that_is_canceled_while_it_claims_is_served_all_the_same() -> None:
    async with phone(strict=False) as line:
        line.talk = greet
        line.host = CallHost(line.on_call, client=line.client, store=Slow(3))
        door = Door(line.host, seconds=1)
        ringing = await line.openai.ring(door, scenario=[HELLO, BYE])
        assert (await ringing.ended(timeout=600)).reason is EndReason.CALLER
        await ringing.until_delivered(timeout=600)
        await line.idle()
    assert outcomes(ringing)[0] is TimeoutError
    assert outcomes(ringing)[-1] is Submission.REPEAT
    assert operations(ringing).count("accept") == 1
    assert len(line.calls) == 1


@virtual
async def test_law_decide__a_submit_that_is_canceled_while_it_rejects_for_want_of_room_has_rejected() -> None:
    async with phone(strict=False) as line:
        line.host = CallHost(line.on_call, client=line.client, max_calls=1)
        first = await line.ring(HELLO, CallerHangsUp(after=30.0), talk=wait, limits=QUIET)
        await first.until_accepted()
        slowly(line, 3)
        second = await line.openai.ring(Door(line.host, seconds=1))
        end = await second.ended(timeout=60)
        assert (end.by, end.status_code, end.reason) == (EndedBy.REJECTED, 503, EndReason.REJECTED)
        await second.until_delivered(timeout=600)
        assert outcomes(second)[0] is TimeoutError
        assert outcomes(second)[-1] is Submission.REPEAT
        assert operations(second) == ["reject"]
        await first.ended(timeout=600)
        await line.idle()


@virtual
async def test_law_drain__a_submit_that_is_canceled_while_it_rejects_for_the_drain_has_rejected() -> None:
    async with phone(strict=False) as line:
        await line.host.drain(0)
        slowly(line, 3)
        ringing = await line.openai.ring(Door(line.host, seconds=1))
        await until_tried(ringing)
        await line.host.drain(5)
        assert line.host.live == 0
        assert (await line.host.ended(ringing.call_id)).reason is EndReason.REJECTED
        assert (await ringing.ended()).by is EndedBy.REJECTED
        await ringing.until_delivered(timeout=600)
        assert outcomes(ringing)[-1] is Submission.REPEAT


@virtual
async def test_law_drain__a_claim_in_flight_is_waited_for_and_its_call_rejected() -> None:
    async with phone(strict=False) as line:
        line.host = CallHost(line.on_call, client=line.client, store=Slow(3))
        ringing = await line.openai.ring(Door(line.host, seconds=1))
        await until_tried(ringing)
        await line.host.drain(10)
        assert (await line.host.ended(ringing.call_id)).reason is EndReason.REJECTED
        assert (await ringing.ended()).by is EndedBy.REJECTED
        assert operations(ringing) == ["reject"]


@virtual
async def test_a_submit_that_is_canceled_while_the_handler_decides_changes_nothing() -> None:
    async def on_call(incoming: IncomingCall) -> None:
        await asyncio.sleep(3)
        await line.on_call(incoming)

    async with phone(strict=False) as line:
        line.talk = greet
        line.host = CallHost(on_call, client=line.client)
        ringing = await line.openai.ring(Door(line.host, seconds=1), scenario=[HELLO, BYE])
        assert (await ringing.ended(timeout=600)).reason is EndReason.CALLER
        await line.idle()
    assert operations(ringing).count("accept") == 1


def test_a_claim_that_fails_after_its_submit_was_canceled_leaves_the_call_to_the_next_delivery(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @virtual
    async def test() -> None:
        async with phone(strict=False) as line:
            line.talk = greet
            store = Slow(3, error=ConnectionError("no store"))
            line.host = CallHost(line.on_call, client=line.client, store=store)
            door = Door(line.host, seconds=1)
            ringing = await line.openai.ring(door, scenario=[HELLO, BYE])
            await until_tried(ringing)
            await asyncio.sleep(2.5)
            store.seconds, store.error, door.seconds = 0, None, 60
            assert (await ringing.ended(timeout=600)).reason is EndReason.CALLER
            await ringing.until_delivered(timeout=600)
            await line.idle()
        assert Submission.STARTED in ringing.submissions
        assert operations(ringing).count("accept") == 1

    test()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@virtual
async def test_law_one_call_one_handler__a_claim_whose_answer_was_lost_is_ours_when_it_comes_again() -> None:
    async with phone(strict=False) as line:
        line.talk = greet
        store = Slow(0, error=ConnectionError("the answer was lost"))
        line.host = CallHost(line.on_call, client=line.client, store=store)
        door = Door(line.host, seconds=60)
        ringing = await line.openai.ring(door, scenario=[HELLO, BYE])
        await until_tried(ringing)
        assert outcomes(ringing) == [ConnectionError]
        store.error = None
        assert (await ringing.ended(timeout=600)).reason is EndReason.CALLER
        await line.idle()
        assert await line.host.submit(door.incoming[-1]) in {Submission.REPEAT, Submission.STALE}
    assert operations(ringing).count("accept") == 1


@virtual
async def test_law_one_call_one_handler__deliveries_at_once_share_one_claim_and_what_it_raises() -> None:
    async with phone(strict=False) as line:
        line.talk = greet
        seen: list[IncomingCall] = []

        class Watch:
            async def submit(self, incoming: IncomingCall) -> str:
                seen.append(incoming)
                return "taken"

        ringing = await line.openai.ring(Watch(), scenario=[HELLO, BYE])
        await ringing.until_delivered(timeout=60)
        store = Slow(1, error=ConnectionError("no store"))
        line.host = CallHost(line.on_call, client=line.client, store=store)
        raised = await asyncio.gather(*(line.host.submit(seen[0]) for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in raised] == [ConnectionError] * 3
        store.error = None
        taken = await asyncio.gather(*(line.host.submit(seen[0]) for _ in range(3)))
        assert sorted(each.value for each in taken) == ["repeat", "repeat", "started"]
        await ringing.ended(timeout=600)
        await line.idle()
    assert operations(ringing).count("accept") == 1


@virtual
async def test_a_store_that_never_answers_is_waited_for_while_a_phone_rings() -> None:
    async with phone(strict=False) as line:
        line.host = CallHost(line.on_call, client=line.client, store=Slow(1e6))
        door = Door(line.host, seconds=60)
        ringing = await line.openai.ring(door)
        await until_tried(ringing)
        assert set(outcomes(ringing)) == {DeadlineError}
        assert line.host.live == 0
        ringing.hang_up()


@virtual
async def test_law_never_a_dead_agent__a_store_that_does_not_take_the_end_of_a_call_hides_it_from_nobody() -> None:
    async def stuck(_call_id: str, *, owner: str) -> bool:
        await asyncio.Event().wait()
        return True

    async with phone(strict=False) as line:
        store = MemoryStore()
        store.finish = stuck  # type: ignore[method-assign, assignment]
        line.host = CallHost(line.on_call, client=line.client, store=store)
        ringing = await line.ring(HELLO, BYE, talk=greet)
        assert (await ringing.ended(timeout=600)).reason is EndReason.CALLER
        await line.idle()


@virtual
async def test_law_no_wait_without_a_deadline__a_store_that_hangs_once_is_asked_again_before_the_claim_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked: list[float] = []

    class Hanging(MemoryStore):
        async def heartbeat(self, owner: str, *, lease: float, free: int = 0) -> Beat:
            asked.append(asyncio.get_running_loop().time())
            if len(asked) == 1:
                await asyncio.sleep(3600)
            return await super().heartbeat(owner, lease=lease, free=free)

    async with phone() as line:
        line.host = CallHost(line.on_call, client=line.client, store=Hanging(clock=asyncio.get_running_loop().time))
        await line.played(HELLO, CallerHangsUp(after=60.0), talk=greet, limits=QUIET)
    assert len(asked) > 2
    assert asked[1] - asked[0] < WORKER_LEASE
    assert "the store was not told that this host lives: DeadlineError" in caplog.text

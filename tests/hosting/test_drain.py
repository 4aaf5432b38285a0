"""Shutting down keeps its time: a drain returns, whatever fails. On virtual time, over the emulator."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from phone import SESSION, Phone, greet, phone, said, until, virtual, wait
from realtime_sip import (
    AsyncRealtimeSip,
    Call,
    CallHost,
    CallLimits,
    EndReason,
    IncomingCall,
    MemoryStore,
    Submission,
)
from realtime_sip.errors import ConfigurationError
from realtime_sip.stores import Claimed
from realtime_sip.testing import (
    CallerHangsUp,
    EndedBy,
    ModelSays,
    RingingCall,
)

HELLO = ModelSays("Good morning.")
QUIET = CallLimits(silence=None, first_sound=None)
AFTER = 2.0
"""Seconds that a drain may take beyond its timeout."""


@asynccontextmanager
async def in_time(seconds: float) -> AsyncIterator[None]:
    """Hold that the block is over in this time and no more than two seconds."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    yield
    assert loop.time() - began <= seconds + AFTER


async def up(line: Phone, **options: Any) -> RingingCall:
    """Let a call come in, and wait until it is attached."""
    ringing = await line.ring(HELLO, HELLO, limits=QUIET, **options)
    await ringing.until_attached()
    return ringing


@virtual
async def test_law_shutting_down_keeps_its_time__with_nothing_to_do_it_takes_none() -> None:
    async with phone(strict=False) as line:
        began = asyncio.get_running_loop().time()
        await line.host.drain()
        assert asyncio.get_running_loop().time() == began


@virtual
async def test_law_shutting_down_keeps_its_time__what_the_handler_does_behind_its_block_runs() -> None:
    stored: list[str] = []

    async def on_call(incoming: IncomingCall) -> None:
        async with line.client.calls.answer(incoming, SESSION, limits=QUIET) as call:
            await call.wait_ended()
        await asyncio.sleep(0.5)
        stored.append(call.call_id)

    async with phone(strict=False) as line:
        line.host = CallHost(on_call, client=line.client)
        ringing = await line.openai.ring(line.host, scenario=[HELLO] * 9)
        await ringing.until_attached()
        async with in_time(3):
            await line.host.drain(3)
        assert stored == [ringing.call_id]
        assert line.host.live == 0
        assert (await ringing.ended()).by is EndedBy.AGENT


@pytest.mark.parametrize(
    "fault", [{"status": 500, "times": 1000}, {"how": "no answer", "times": 1000}, {"how": "reset", "times": 1000}]
)
def test_law_shutting_down_keeps_its_time__where_nothing_can_be_hung_up(
    fault: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    @virtual
    async def test() -> None:
        async with phone(strict=False) as line:
            ringing = await up(line, talk=wait)
            line.openai.fail("hangup", **fault)
            async with in_time(5):
                await line.host.drain(5)
            ringing.hang_up()
            await line.idle()

    test()
    told = [record for record in caplog.records if "may still be up after the drain" in record.getMessage()]
    assert {(record.levelno, record.name) for record in told} == {(logging.ERROR, "realtime_sip.host")}


class Stubborn:
    """Talks on, whoever cancels it, until it is released."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.canceled = 0

    async def talk(self, _call: Call) -> None:
        while not self.released.is_set() and self.canceled < 10:
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                self.canceled += 1


@virtual
async def test_law_shutting_down_keeps_its_time__a_handler_that_swallows_cancellation_is_left_behind() -> None:
    stubborn = Stubborn()
    async with phone(strict=False) as line:
        ringing = await up(line, talk=stubborn.talk)
        async with in_time(5):
            await line.host.drain(5)
        assert ringing.state == "ended", "its call is hung up all the same"
        assert (line.host.live, stubborn.canceled) == (1, 1)
        stubborn.released.set()
        await line.idle()
        assert (await ringing.ended()).by is EndedBy.AGENT


@virtual
async def test_law_shutting_down_keeps_its_time__a_handler_that_never_decides_is_canceled_and_its_call_rejected() -> (
    None
):
    async def on_call(_incoming: IncomingCall) -> None:
        await asyncio.Event().wait()

    async with phone(strict=False) as line:
        line.host = CallHost(on_call, client=line.client)
        ringing = await line.openai.ring(line.host)
        await asyncio.sleep(1)
        async with in_time(1):
            await line.host.drain(1)
        assert (await ringing.ended()).by is EndedBy.REJECTED
        assert line.host.live == 0


@virtual
async def test_law_never_a_caller_with_a_dead_agent__a_call_kept_by_hand_is_hung_up() -> None:
    async def on_call(incoming: IncomingCall) -> None:
        await line.client.calls.accept(incoming.call_id, SESSION)
        await asyncio.Event().wait()

    async with phone(strict=False) as line:
        line.host = CallHost(on_call, client=line.client)
        ringing = await line.openai.ring(line.host)
        await ringing.until_accepted()
        await asyncio.sleep(1)
        async with in_time(1):
            await line.host.drain(1)
        assert (await ringing.ended()).by is EndedBy.AGENT


@virtual
async def test_law_shutting_down_keeps_its_time__a_store_that_does_not_answer_holds_nobody_up() -> None:
    class Stuck(MemoryStore):
        works = False

        async def claim(self, call_id: str, *, owner: str, lease: float, ticket: str = "") -> Claimed:
            if not self.works:
                await asyncio.Event().wait()
            return await super().claim(call_id, owner=owner, lease=lease, ticket=ticket)

    store = Stuck()
    async with phone(strict=False) as line:
        line.host = CallHost(line.on_call, client=line.client, store=store)
        ringing = await line.openai.ring(line.host)
        await asyncio.sleep(0.5)
        async with in_time(1):
            await line.host.drain(1)
        store.works = True
        await ringing.until_delivered(timeout=600)
        assert (await ringing.ended()).by is EndedBy.REJECTED
        assert Submission.DRAINING in ringing.submissions


@virtual
async def test_law_shutting_down_keeps_its_time__many_calls_that_cannot_be_hung_up_take_no_longer_than_one() -> None:
    async with phone(strict=False) as line:
        ringings = [await line.openai.ring(line.host, scenario=[HELLO] * 3) for _ in range(30)]
        for ringing in ringings:
            await ringing.until_attached()
        line.openai.fail("hangup", how="no answer", times=10_000)
        async with in_time(4):
            await line.host.drain(4)
        for ringing in ringings:
            ringing.hang_up()
        await line.idle()


@pytest.mark.parametrize(("options", "seconds"), [({}, 25.0), ({"drain_timeout": 3}, 3.0), ({"drain_timeout": 60}, 60)])
def test_the_lifespan_takes_as_long_as_the_host_says(options: dict[str, Any], seconds: float) -> None:
    @virtual
    async def test() -> None:
        stubborn = Stubborn()
        async with phone(strict=False) as line:
            line.host = CallHost(line.on_call, client=line.client, **options)
            loop = asyncio.get_running_loop()
            async with line.host.lifespan(None):
                await up(line, talk=stubborn.talk)
                began = loop.time()
            assert seconds <= loop.time() - began <= seconds + AFTER
            stubborn.released.set()
            await line.idle()

    test()


@pytest.mark.parametrize(
    ("command", "seconds"),
    [
        (["/bin/uvicorn", "shop:app", "--reload"], 0.0),
        (["/bin/fastapi", "dev", "shop.py"], 0.0),
        (["/bin/fastapi", "run", "shop.py"], 600.0),
        (["/bin/shop", "dev"], 600.0),
        (["/bin/uvicorn", "shop:app", "--reload-dir", "dev"], 600.0),
        ([""], 600.0),
    ],
)
def test_a_reloader_is_not_held_up(command: list[str], seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    async def on_call(_incoming: IncomingCall) -> None:
        raise AssertionError

    monkeypatch.setattr("sys.argv", command)
    client = AsyncRealtimeSip("sk-test")
    host = CallHost(on_call, client=client, drain_timeout=600)
    assert host.drain_seconds() == seconds
    assert host.drain_seconds(30) == 30


@virtual
async def test_a_call_that_ends_by_itself_is_waited_for_no_longer() -> None:
    async with phone(strict=False) as line:
        ringing = await line.ring(HELLO, CallerHangsUp(after=5.0), talk=greet)
        await ringing.until_attached()
        began = asyncio.get_running_loop().time()
        await line.host.drain(600)
        assert asyncio.get_running_loop().time() - began < 20
        assert (await ringing.ended()).by is EndedBy.CALLER


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "5"])
async def test_a_drain_takes_a_number_of_seconds(seconds: Any) -> None:
    async def on_call(_incoming: IncomingCall) -> None:
        raise AssertionError

    async with phone(strict=False) as line:
        with pytest.raises(ConfigurationError, match="timeout"):
            await CallHost(on_call, client=line.client).drain(seconds)


GOODBYE = ModelSays("Goodbye, and thank you.")


@virtual
async def test_law_drain__a_second_one_changes_nothing() -> None:
    """Such as that of a signal's handler, and that of the application's lifespan after it."""

    async def talk(call: Call) -> None:
        await call.wait_ended()

    async with phone(strict=False) as line:
        ringing = await line.ring(GOODBYE, GOODBYE, talk=talk, limits=CallLimits(silence=None, first_sound=None))
        await ringing.until_attached()
        first = asyncio.create_task(line.host.drain(12))
        await asyncio.sleep(0.5)
        await line.host.drain(12)
        await first
        assert (await line.host.ended(ringing.call_id)).reason is EndReason.AGENT
    assert said(ringing) == [GOODBYE.text]


@virtual
async def test_law_drain__a_call_that_is_being_finished_is_told_of_all_the_same() -> None:
    store = MemoryStore()

    async def slow(_call_id: str, *, owner: str) -> None:
        await asyncio.sleep(5)

    store.finish = slow  # type: ignore[method-assign, assignment]
    async with phone() as line:
        line.host = CallHost(line.on_call, client=line.client, store=store)
        ringing = await line.ring(HELLO, CallerHangsUp(), talk=greet)
        await until(lambda: ringing.state == "ended")
        await asyncio.sleep(1)
        await line.host.drain(1)
        async with asyncio.timeout(60):
            assert (await line.host.ended(ringing.call_id)).reason is EndReason.CALLER
        assert line.host.live == 0
        await asyncio.sleep(10)

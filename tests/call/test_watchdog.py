"""An async tool that blocks the event loop is noticed, and named."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from phone import phone, virtual
from realtime_sip import Tools
from realtime_sip.call import watchdog
from realtime_sip.call.watchdog import watched
from realtime_sip.testing import ModelCalls, ModelSays


@pytest.mark.parametrize("blocks", [True, False])
def test_law_an_async_tool_that_blocks_the_loop_is_named(
    blocks: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "HELD", 0.2)
    tools = Tools()

    @tools.function
    async def look() -> str:
        """Look."""
        await asyncio.sleep(1)
        if blocks:
            time.sleep(0.3)  # noqa: ASYNC251 - that is the mistake
        await asyncio.sleep(1)
        return "seen"

    async def talk(call: Any) -> None:
        call.respond("Greet the caller.")
        await asyncio.sleep(10)
        await call.hangup()

    @virtual
    async def test() -> None:
        async with phone() as line:
            await line.played(ModelCalls("look"), ModelSays("Hello."), talk=talk, tools=tools)

    test()
    told = [record for record in caplog.records if "event loop" in record.getMessage()]
    assert len(told) == blocks
    for record in told:
        assert (record.levelno, record.name) == (logging.WARNING, "realtime_sip.tools")
        assert record.getMessage().startswith("call rtc_")
        assert "tool look held the event loop for 0." in record.getMessage()


async def returns() -> int:
    await asyncio.sleep(0)
    return 1


async def raises() -> int:
    await asyncio.sleep(0)
    raise KeyError("x")


async def catches() -> int:
    try:
        await asyncio.sleep(100)
    except asyncio.CancelledError:
        await asyncio.sleep(0)
        return 3
    return 0


@pytest.mark.parametrize("work", [returns, raises, catches])
async def test_what_is_watched_goes_on_as_it_would(work: Callable[[], Coroutine[Any, Any, int]]) -> None:
    async def watching() -> int:
        return await watched(work(), lambda _seconds: None)

    outcomes = []
    for each in (work, watching):
        task = asyncio.ensure_future(each())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if work is catches:
            task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        outcomes.append(repr(outcome))
    assert outcomes[0] == outcomes[1]

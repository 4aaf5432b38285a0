"""Leaving the block of a call: nothing keeps it, and nothing is left of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phone import phone, virtual
from realtime_sip import (
    Call,
    CallLimits,
    EndReason,
    Tools,
    TransferTargets,
)
from realtime_sip.errors import CallEndedError
from realtime_sip.testing import (
    CallerHangsUp,
    ModelCalls,
    ModelSays,
    Timings,
)

HELLO = ModelSays("Good morning, how can I help you?")
DESKS = TransferTargets({"billing": "tel:+14155550123"})
PATIENT = Timings(patience=150.0)


@virtual
async def test_law_nothing_hangs__a_tool_that_does_not_end_does_not_keep_the_block() -> None:
    tools, stop = Tools(), asyncio.Event()

    @tools.function
    async def stubborn() -> str:
        """Take no end."""
        while not stop.is_set():
            try:
                await stop.wait()
            except asyncio.CancelledError:
                continue
        return "done"

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        await call.wait_ended()

    async with phone() as line:
        ringing = await line.ring(
            ModelCalls("stubborn"), CallerHangsUp(during="tool", after=5.0), talk=talk, tools=tools
        )
        await ringing.until_attached()
        async with asyncio.timeout(120):
            await line.host.ended(ringing.call_id)
        await line.idle()
        stop.set()
        await asyncio.sleep(1)


@virtual
async def test_what_leaves_the_block_in_a_group_because_the_call_has_ended_leaves_it_quietly() -> None:
    async def talk(call: Call) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(call.collect_digits(timeout=60.0))

    async with phone() as line:
        ended, _ = await line.played(CallerHangsUp(after=5.0), talk=talk)
    assert ended.reason is EndReason.CALLER


@virtual
async def test_law_never_an_agent_with_a_dead_line__a_handler_that_is_canceled_again_and_again_has_hung_up() -> None:
    handlers: list[asyncio.Task[Any]] = []

    async def talk(_call: Call) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.append(task)
        await asyncio.sleep(10_000)

    async with phone(strict=False) as line:
        ringing = await line.ring(HELLO, talk=talk)
        await ringing.until_attached()
        await asyncio.sleep(1)
        line.openai.fail("hangup", status=500, times=20)
        for _ in range(3):
            handlers[0].cancel()
            await asyncio.sleep(0.1)
        ended = await line.host.ended(ringing.call_id)
        assert ended.reason is EndReason.HANDLER_FAILED
        assert ringing.state == "ended"
        await line.idle()


@virtual
async def test_speech_that_is_asked_for_as_the_call_ends_is_over() -> None:
    """Digits are awaited behind a transfer, and the call ends with it."""

    async def talk(call: Call) -> None:
        await call.respond("Greet the caller.")
        call.transfer("billing")
        with pytest.raises(CallEndedError):
            await call.collect_digits("Ask for the number.")
        assert not call._runtime.waiting._futures

    async with phone(timings=PATIENT) as line:
        ended, _ = await line.played(HELLO, talk=talk, transfers=DESKS)
    assert ended.reason is EndReason.TRANSFERRED


@virtual
async def test_what_waits_for_the_end_of_a_hold_is_not_waited_for() -> None:
    """Hanging up and transferring would wait 30 seconds for it."""

    async def talk(call: Call) -> None:
        collecting = asyncio.ensure_future(call.collect_digits(timeout=60.0))
        await asyncio.sleep(1)
        call.respond("Say something later.")
        await call.hangup(after_speech=True)
        with pytest.raises(CallEndedError):
            await collecting

    async with phone(strict=False, timings=PATIENT) as line:
        ended, _ = await line.played(HELLO, talk=talk, limits=CallLimits(first_sound=None))
    assert ended.reason is EndReason.AGENT
    assert ended.ended_at - (ended.attached_at or 0) < 10

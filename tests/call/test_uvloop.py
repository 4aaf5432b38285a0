"""A call on the loop that uvicorn and granian use if it is installed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import emulated
from realtime_sip import AsyncRealtimeSip, CallHost, CallLimits, EndReason, IncomingCall
from realtime_sip.call.alarm import Alarm
from realtime_sip.testing import CallerSays, EndedBy, ModelSays, OpenAIEmulator

SESSION: Any = {"model": "gpt-realtime-2.1"}


class Clock:
    """Notes when it rings."""

    def __init__(self) -> None:
        self.rang = asyncio.Event()
        self.alarm = Alarm(self.ring)

    def ring(self) -> None:
        self.rang.set()


def run(main: Any) -> None:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_an_alarm_that_is_due_at_once_is_set_again() -> None:
    async def main() -> None:
        clock = Clock()
        now = asyncio.get_running_loop().time()
        for due in (now - 1.0, now, now + 60.0):
            clock.alarm.set(due)
        async with asyncio.timeout(30):
            await clock.rang.wait()

    run(main)


def test_a_call_goes_to_its_end() -> None:
    async def main() -> None:
        async with (
            OpenAIEmulator(speed=emulated.SPEED, strict=False) as openai,
            AsyncRealtimeSip(**openai.client_options) as client,
        ):

            async def on_call(incoming: IncomingCall) -> None:
                limits = CallLimits(max_duration=1, silence=None, first_sound=None)
                async with client.calls.answer(incoming, SESSION, limits=limits) as call:
                    call.respond("Greet the caller.")
                    await call.wait_ended()

            host = CallHost(on_call, client=client)
            scenario = [ModelSays("Hello."), *[CallerSays("And?"), ModelSays("More.")] * 5]
            ringing = await openai.ring(host, scenario=scenario)
            assert (await ringing.ended()).by is EndedBy.AGENT
            assert (await host.ended(ringing.call_id)).reason is EndReason.LIMIT

    run(main)

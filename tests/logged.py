"""The event log of one emulated call, with a tool, an interruption and a tool that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from realtime_sip import AsyncRealtimeSip, CallHost, IncomingCall, Tools
from realtime_sip.event_log import EventLogFolder
from realtime_sip.testing import CallerHangsUp, CallerSays, ModelCalls, ModelSays, OpenAIEmulator, run_virtual
from realtime_sip.testing.scenario import Step

SESSION = {
    "model": "gpt-realtime-2.1",
    "instructions": "Be brief.",
    "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}},
}
SCENARIO = (
    ModelSays("Good morning, this is the shop."),
    CallerSays("Where is my order?"),
    ModelCalls("order_status", {"order_id": "1042"}),
    ModelSays("It left our warehouse yesterday and will be with you tomorrow."),
    CallerSays("Cancel it!", interrupting=True, after=2.0),
    ModelCalls("cancel_order", {}),
    ModelSays("That did not work."),
    CallerHangsUp(),
)


def logged_call(folder: Path, *, redact: bool, scenario: Sequence[Step] = SCENARIO) -> Path:
    """Have the call, and return the path of its log."""
    tools = Tools()

    @tools.function
    async def order_status(order_id: str) -> str:
        """Look an order up."""
        await asyncio.sleep(2)
        return f"{order_id} left yesterday."

    @tools.function
    async def cancel_order() -> str:
        """Cancel the order."""
        raise ValueError("the shop is closed")

    logs = EventLogFolder(folder, redact=redact)

    async def main() -> None:
        async with (
            OpenAIEmulator(strict=False) as openai,
            AsyncRealtimeSip(**openai.client_options) as client,
        ):

            async def on_call(incoming: IncomingCall) -> None:
                async with client.calls.answer(incoming, SESSION, tools=tools, event_log=logs) as call:
                    await call.respond("Greet the caller.")
                    await call.wait_ended()

            host = CallHost(on_call, client=client)
            ringing = await openai.ring(host, scenario=scenario)
            await ringing.ended(timeout=120)
            await host.drain(5)

    run_virtual(main())
    (path,) = logs.paths()
    return path

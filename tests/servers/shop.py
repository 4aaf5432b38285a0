"""What the applications under test answer calls with, whatever framework they are made with."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from realtime_sip import AsyncRealtimeSip, CallLimits, IncomingCall, RealtimeSession, Tools

logging.basicConfig(level=logging.INFO, format="%(process)d %(name)s %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)

DRAIN = float(os.environ["SHOP_DRAIN"])
"""Seconds."""
LOOKED_UP = Path(os.environ["SHOP_LOOKED_UP"])
"""A file with a line for each run of the tool, by whichever worker."""
SESSION = RealtimeSession(model="gpt-realtime-2.1", instructions="You answer the phone of a shop.")

# An accept that a busy machine answers late is unclear, which is another test's.
client = AsyncRealtimeSip(timeout=60.0)
tools = Tools()


@tools.function
def look_up(order: str) -> str:
    """Look an order up."""
    line = os.open(LOOKED_UP, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(line, f"{order}\n".encode())
    os.close(line)
    return "It arrives tomorrow."


async def on_call(incoming: IncomingCall) -> None:
    """Answer a call."""
    limits = CallLimits(silence=None, first_sound=None)
    async with client.calls.answer(incoming, SESSION, tools=tools, limits=limits) as call:
        call.respond("Greet the caller.")
        await call.wait_ended()


def verified(body: bytes, headers: Any) -> IncomingCall:
    """Return the call of a webhook."""
    event = client.webhooks.unwrap(body, headers)
    assert isinstance(event, IncomingCall)
    return event

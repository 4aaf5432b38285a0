"""What the tests of `realtime-sip twilio` share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from realtime_sip.testing import TwilioEmulator


@contextmanager
def twilio_on_a_thread() -> Iterator[TwilioEmulator]:
    """An emulated account over a real socket, on a thread of its own."""
    twilio = TwilioEmulator()
    started, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with twilio:
            started.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(10)
    yield twilio
    over.set()
    thread.join()

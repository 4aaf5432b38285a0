"""The emulator's clock, and waiting for something to become true by a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from realtime_sip.errors import ConfigurationError, RealtimeSipError
from realtime_sip.testing.virtual_time import VirtualTimeLoop

__all__ = ["Changes", "Clock", "ScenarioError", "deadline"]

_DEADLINE = 10.0
_VIRTUAL_DEADLINE = 2 * 3600.0


class ScenarioError(RealtimeSipError, AssertionError):
    """A test waited for something that did not happen; the message says what was expected and what happened."""


def deadline(timeout: float | None) -> float:
    """Return the seconds of the running loop that a test waits: `timeout`, or the default.

    The default is 10; on a `VirtualTimeLoop`, which waits for free, 2 hours, which is longer than any call.
    """
    if timeout is not None:
        return timeout
    return _VIRTUAL_DEADLINE if isinstance(asyncio.get_running_loop(), VirtualTimeLoop) else _DEADLINE


class Clock:
    """Time that runs `speed` times faster than the event loop's.

    What the emulator does by itself (speaking, transcribing, retrying) runs on this clock. What it waits for from your
    program is never shorter than `least_patience` seconds of the loop, because your program does not run faster. The
    loop's seconds are real ones, unless the loop is a `VirtualTimeLoop`.

    `unix` is the Unix time at which the clock starts, by default the current time.
    """

    def __init__(self, speed: float = 1.0, *, least_patience: float = 1.0, unix: float | None = None) -> None:
        if not 0 < speed <= 100_000:
            raise ConfigurationError("speed must be above 0 and at most 100000")
        self.speed = speed
        self.least_patience = least_patience
        self._unix = unix
        self._loop: asyncio.AbstractEventLoop | None = None
        self._began = 0.0

    def start(self) -> None:
        """Begin to run, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        if self._unix is None and isinstance(self._loop, VirtualTimeLoop):
            self._unix = time.time()

    def now(self) -> float:
        """Return the seconds since the clock started, on this clock."""
        return self._passed() * self.speed

    def unix(self) -> float:
        """Return the Unix time for what goes over the wire, which must be true for the receiver.

        It is the current time. On a `VirtualTimeLoop`, or if a time was given, it is the time of the start and what has
        passed on the loop since.
        """
        return time.time() if self._unix is None else self._unix + self._passed()

    def real(self, seconds: float) -> float:
        """Return `seconds` of this clock in seconds of the loop."""
        return seconds / self.speed

    def patience(self, seconds: float) -> float:
        """Return the loop's seconds to wait for the program under test if the service waits `seconds`."""
        return max(seconds / self.speed, min(seconds, self.least_patience))

    async def sleep(self, seconds: float) -> None:
        """Sleep `seconds` of this clock."""
        await asyncio.sleep(max(0.0, seconds / self.speed))

    def _passed(self) -> float:
        return 0.0 if self._loop is None else self._loop.time() - self._began


class Changes:
    """Lets tasks wait until a condition on shared state holds; whoever changes the state calls `notify`."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Wake all who wait, so that they look at the state again."""
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, condition: Callable[[], bool], *, seconds: float | None = None) -> bool:
        """Wait until `condition()` is true, `seconds` of the loop's time at most (None: as long as it takes).

        Returns whether the condition holds.
        """
        loop = asyncio.get_running_loop()
        end = None if seconds is None else loop.time() + seconds
        while not condition():
            left = None if end is None else end - loop.time()
            if left is not None and left <= 0:
                return False
            waiter: asyncio.Future[None] = loop.create_future()
            self._waiters.add(waiter)
            try:
                await asyncio.wait((waiter,), timeout=left)
            finally:
                self._waiters.discard(waiter)
                waiter.cancel()
        return True

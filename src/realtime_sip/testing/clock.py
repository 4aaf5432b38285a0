"""The emulator's clock, and waiting for something to become true by a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from realtime_sip.errors import ConfigurationError, RealtimeSipError

__all__ = ["Changes", "Clock", "ScenarioError"]


class ScenarioError(RealtimeSipError, AssertionError):
    """Something that a test waited for did not happen; the message says what was expected and what happened."""


class Clock:
    """Time that runs `speed` times faster than the wall.

    What the emulator does by itself (speaking, transcribing, retrying) runs on this clock. What it waits for from your
    program is never shorter than `least_patience` real seconds, because your program does not run faster.
    """

    def __init__(self, speed: float = 1.0, *, least_patience: float = 1.0) -> None:
        if not 0 < speed <= 100_000:
            raise ConfigurationError("speed must be above 0 and at most 100000")
        self.speed = speed
        self.least_patience = least_patience
        self._start = time.monotonic()

    def now(self) -> float:
        """Return the seconds since the clock was made, on this clock."""
        return (time.monotonic() - self._start) * self.speed

    @staticmethod
    def unix() -> int:
        """Return the Unix time of the wall: what stands on the wire must be true for the receiver."""
        return int(time.time())

    def real(self, seconds: float) -> float:
        """Return how many real seconds `seconds` of this clock are."""
        return seconds / self.speed

    def patience(self, seconds: float) -> float:
        """Return the real seconds to wait for the program under test where the service waits `seconds`."""
        return max(seconds / self.speed, min(seconds, self.least_patience))

    async def sleep(self, seconds: float) -> None:
        """Sleep `seconds` of this clock."""
        await asyncio.sleep(max(0.0, seconds / self.speed))


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
        """Wait until `condition()` is true, `seconds` of real time at most (None: as long as it takes).

        Returns whether the condition holds.
        """
        loop = asyncio.get_running_loop()
        deadline = None if seconds is None else loop.time() + seconds
        while not condition():
            left = None if deadline is None else deadline - loop.time()
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

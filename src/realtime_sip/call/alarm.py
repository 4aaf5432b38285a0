"""One timer of the event loop for all timers of a call."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable


class Alarm:
    """Rings when the next timer of a call is due. If it rings early, the core does nothing, which costs little."""

    def __init__(self, rings: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._rings = weakref.WeakMethod(rings)
        self._handle: asyncio.TimerHandle | None = None

    def set(self, due: float | None) -> None:
        """Ring at this time, or before."""
        if due is None or (self._handle is not None and self._handle.when() <= due):
            return
        self.stop()
        self._handle = self._loop.call_at(due, self._due)

    def stop(self) -> None:
        """Stop ringing."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _due(self) -> None:
        # A loop that stood still has frames to read that arrived before this was due: they come first.
        self._handle = None
        rings = self._rings()
        if rings is not None:
            self._loop.call_soon(self._loop.call_soon, rings)

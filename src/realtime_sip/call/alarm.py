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
        self._handle: asyncio.Handle | None = None
        self._at = 0.0

    def set(self, due: float | None) -> None:
        """Ring at this time, or before."""
        # The time is kept here: a handle of uvloop's that is due at once does not know it.
        if due is None or (self._handle is not None and self._at <= due):
            return
        self.stop()
        self._at = due
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

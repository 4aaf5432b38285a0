"""The events that wait for a reader, who may be slow or not there at all."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

__all__ = ["EventQueue", "EventsDropped"]

T = TypeVar("T")

_MOST_WAITING = 1000


@dataclass(frozen=True, slots=True)
class EventsDropped:
    """The reader was too slow: `count` events were dropped, the oldest deltas first."""

    type: ClassVar[str] = "call.events_dropped"
    count: int


class EventQueue(Generic[T]):
    """A bounded queue for one reader. It never makes the writer wait."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[T, bool]] = deque()
        self._dropped = 0
        self._closed = False
        self._ready = asyncio.Event()

    def put(self, event: T, *, is_delta: bool) -> None:
        """Add an event; if there is no room, drop the oldest delta, or the oldest event if there is no delta."""
        if self._closed:
            return
        self._waiting.append((event, is_delta))
        if len(self._waiting) > _MOST_WAITING:
            oldest = next((index for index, (_, delta) in enumerate(self._waiting) if delta), 0)
            del self._waiting[oldest]
            self._dropped += 1
        self._ready.set()

    def close(self) -> None:
        """Let the reader have what waits, and then end."""
        self._closed = True
        self._ready.set()

    async def get(self) -> T | EventsDropped | None:
        """Return the next event, or how many were dropped before it; None at the end."""
        while True:
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                return EventsDropped(dropped)
            if self._waiting:
                return self._waiting.popleft()[0]
            if self._closed:
                return None
            self._ready.clear()
            await self._ready.wait()

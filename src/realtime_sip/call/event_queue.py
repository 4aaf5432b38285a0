"""The events that wait for a reader, who may be slow or not there at all."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Generic, NamedTuple, TypeVar

__all__ = ["EventQueue", "EventsDropped"]

T = TypeVar("T")

_MOST_WAITING = 1000
_MOST_BYTES = 1024 * 1024
"""Of the frames of the events that wait."""
_MOST_UNREAD = 40
"""Events of the service that are kept before anybody reads."""


@dataclass(frozen=True, slots=True)
class EventsDropped:
    """`count` events were dropped: the reader was too slow, or began late. The oldest deltas go first."""

    type: ClassVar[str] = "call.events_dropped"
    count: int


class _Frame(NamedTuple):
    """An event as it came: some dozen objects fewer for the collector to look at."""

    text: str | bytes


class EventQueue(Generic[T]):
    """A bounded queue for one reader. It never makes the writer wait.

    Until somebody reads, it keeps no deltas, the latest 40 events of the service, as the frames that they came in, and
    what happens to the call itself: a program that never reads shall not pay for those that do. Nothing is ever
    searched for: each event has a number.
    """

    def __init__(self, parse: Callable[[str | bytes], T]) -> None:
        self._parse = parse
        self._waiting: OrderedDict[int, tuple[T | _Frame, int]] = OrderedDict()  # with its bytes
        self._deltas: deque[int] = deque()
        self._others: deque[int] = deque()  # of the service's, without deltas, until somebody reads
        self._number = 0
        self._bytes = 0
        self._dropped = 0
        self._read = False
        self._closed = False
        self._ready = asyncio.Event()

    def put(self, event: T, *, is_delta: bool = False, own: bool = False, frame: str | bytes | None = None) -> None:
        """Add an event; if there is no room, drop the oldest delta, or the oldest event if there is no delta.

        Args:
            event: The event.
            is_delta: Whether it is a piece of something that will come as a whole.
            own: Whether it happens to the call itself, rather than being the service's.
            frame: What it came in.
        """
        if self._closed:
            return
        if is_delta and not self._read:
            self._dropped += 1
            return
        self._number += 1
        size = 0 if frame is None else len(frame)
        self._waiting[self._number] = (event if self._read or frame is None else _Frame(frame), size)
        self._bytes += size
        if is_delta:
            self._deltas.append(self._number)
        elif not self._read and not own:
            self._others.append(self._number)
            if len(self._others) > _MOST_UNREAD:
                self._drop(self._others)
        while len(self._waiting) > _MOST_WAITING or (self._bytes > _MOST_BYTES and len(self._waiting) > 1):
            self._drop(self._deltas)
        self._ready.set()

    def _drop(self, first: deque[int]) -> None:
        """Drop the oldest of these, or the oldest of all if there is none of these."""
        while first:
            if (number := first.popleft()) in self._waiting:
                _, size = self._waiting.pop(number)
                break
        else:
            _, (_, size) = self._waiting.popitem(last=False)
        self._bytes -= size
        self._dropped += 1

    def close(self) -> None:
        """Let the reader have what waits, and then end."""
        self._closed = True
        self._ready.set()

    async def get(self) -> T | EventsDropped | None:
        """Return the next event, or how many were dropped before it; None at the end."""
        if not self._read:
            self._read = True
            self._others.clear()
        while True:
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                return EventsDropped(dropped)
            if self._waiting:
                number, (event, size) = self._waiting.popitem(last=False)
                self._bytes -= size
                if self._deltas and self._deltas[0] <= number:
                    self._deltas.popleft()
                return self._parse(event.text) if isinstance(event, _Frame) else event
            if self._closed:
                return None
            self._ready.clear()
            await self._ready.wait()

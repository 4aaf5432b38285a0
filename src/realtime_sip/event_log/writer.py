"""The log of one call while it lasts: a bounded buffer, and a task that writes it to disk.

A log that cannot be written ends; the call never notices.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Executor
from contextlib import suppress
from enum import Enum
from pathlib import Path

from realtime_sip.event_log.entries import Logged, encoded_entry
from realtime_sip.event_log.file import LogFile
from realtime_sip.outcomes import CallEnded

_log = logging.getLogger("realtime_sip.event_log")

FLUSH_EVERY = 0.25
"""Seconds that an event waits to be written, at most, as long as the disk keeps up."""
CLOSE_TIMEOUT = 5.0
"""Seconds that closing waits for the disk."""
MAX_WAITING = 4 * 1024 * 1024
"""Bytes that wait for a slow disk at most. What comes after that is dropped, and counted."""
END_ROOM = 8192
"""Bytes that are kept free for the header (4,096) and the last lines: that the log is full, and how the call ended."""

_FULL = {"type": "call.log_full"}


class _State(Enum):
    WAITING = "waiting"
    OPEN = "open"
    FULL = "full"
    OVER = "over"


class EventLog:
    """Writes the log of one call. `EventLogFolder.start` makes it, and the call drives it.

    Before `begin` nothing is written or kept in memory. `write` never waits: about every quarter of a second a task
    writes to disk, in a thread. So a crash of the program loses about half a second at most. There is no fsync: a crash
    of the machine may lose more. If the disk fails or is full, that is logged once, and the log ends.

    Attributes:
        path: The file. It is there once the first event was written.
    """

    def __init__(self, file: LogFile, *, executor: Executor, max_bytes: int) -> None:
        self.path: Path = file.path
        self._file = file
        self._executor = executor
        self._room = max_bytes - END_ROOM
        self._consented = False
        self._clock = asyncio.get_running_loop().time
        self._started = self._clock()
        self._began = 0.0
        self._state = _State.WAITING
        self._lines: list[bytes] = []
        self._waiting = 0  # bytes in `_lines`, and on their way to disk
        self._dropped = 0
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    @property
    def writing(self) -> bool:
        """Whether it takes events: it has begun, and is neither full nor over."""
        return self._state is _State.OPEN

    def begin(self, *, consented: bool) -> None:
        """Begin to write; `consented` says that the caller was asked. A second `begin` does nothing."""
        if self._state is _State.WAITING:
            self._state = _State.OPEN
            self._consented = consented
            self._began = round(self._clock() - self._started, 3)

    def write(self, event: Logged, *, secret: bool = False) -> None:
        """Log an event that happens now: the service's, one that was sent, or what happens to the call. Never raises.

        A `secret` event is redacted in any log: digits of a card or a PIN, for example. Nothing is written after
        `CallEnded`.
        """
        ending = isinstance(event, CallEnded)
        if self._state is not _State.OPEN and not (ending and self._state is _State.FULL):
            return
        at = self._clock() - self._started
        if self._dropped and (ending or self._waiting < MAX_WAITING // 2):
            self._put(encoded_entry({"type": "call.log_dropped", "count": self._dropped}, at=at, redacted=False))
            self._dropped = 0
        line = encoded_entry(event, at=at, redacted=self._file.redacted, secret=secret)
        if ending:
            self._state = _State.OVER
        elif len(line) > self._room:
            self._state = _State.FULL
            line = encoded_entry(_FULL, at=at, redacted=False)
        elif self._waiting + len(line) > MAX_WAITING:
            self._dropped += 1
            return
        self._put(line)

    def _put(self, line: bytes) -> None:
        self._lines.append(line)
        self._waiting += len(line)
        self._room -= len(line)
        if self._task is None:
            self._task = asyncio.create_task(self._deliver())

    async def _deliver(self) -> None:
        """Write what waits to disk, until nothing waits."""
        loop = asyncio.get_running_loop()
        try:
            while self._lines:
                with suppress(TimeoutError):
                    async with asyncio.timeout(FLUSH_EVERY):
                        await self._closing.wait()
                lines, self._lines = b"".join(self._lines), []
                await loop.run_in_executor(self._executor, self._append, lines)
                self._waiting -= len(lines)
        except Exception as error:  # noqa: BLE001 - whatever a disk does, the call goes on
            self._give_up(type(error).__name__)
        finally:
            self._task = None

    def _append(self, lines: bytes) -> None:
        self._file.append(lines, began=self._began, consented=self._consented)

    def _give_up(self, why: str) -> None:
        self._state = _State.OVER
        self._lines.clear()
        _log.error("call %s: the event log can no longer be written: %s", self._file.call_id, why)

    async def close(self) -> None:
        """Write what waits, and take no more. It takes 5 seconds at most, and raises nothing."""
        self._state = _State.OVER
        self._closing.set()
        task = self._task
        if task is None:
            return
        _, unfinished = await asyncio.wait({task}, timeout=CLOSE_TIMEOUT)
        if unfinished:
            self._give_up("the disk takes too long")
            task.cancel()
            await asyncio.wait({task})

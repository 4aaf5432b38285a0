"""The tasks of one call: what runs beside its events and ends with it, and requests, which may end a little later."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

from realtime_sip.errors import CallEndedError

REQUESTS_END = 0.5
"""Seconds that a pending request gets to finish after its call has ended; then it goes on to its own deadline."""
WORK_ENDS = 10.0
"""Seconds within which tools have to end after their call ended."""


class Tasks:
    """Runs the tasks of one call. `broke` is called with what leaves one, unless it is that the call has ended."""

    def __init__(self, broke: Callable[[BaseException], None]) -> None:
        self._broke = weakref.WeakMethod(broke)
        self._work: set[asyncio.Task[None]] = set()
        self._requests: set[asyncio.Task[None]] = set()
        self._over = False

    @property
    def running(self) -> set[asyncio.Task[None]]:
        """All that run."""
        return self._work | self._requests

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something alongside the events, until the call has ended."""
        if self._over:
            work.close()
            return
        self._keep(asyncio.create_task(work), self._work)

    def request(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a request. The end of the call does not cancel it: the HTTP client would lose its connection."""
        self._keep(asyncio.create_task(work), self._requests)

    def _keep(self, task: asyncio.Task[None], tasks: set[asyncio.Task[None]]) -> None:
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None or isinstance(error, CallEndedError):
            return
        broke = self._broke()
        if broke is not None:
            broke(error)

    def end(self) -> None:
        """Cancel all work: the call has ended."""
        self._over = True
        current = asyncio.current_task()
        for task in self._work:
            if task is not current:
                task.cancel()
        if current in self._work:
            # It reads the socket, or runs a tool that hung up: it ends at its next wait.
            asyncio.get_running_loop().call_soon(current.cancel)

    async def finish_requests(self) -> None:
        """Wait for the requests, but not for long."""
        if self._requests:
            await asyncio.wait(self._requests, timeout=REQUESTS_END)

    async def clear(self) -> bool:
        """Cancel what is left, and wait for it. Return whether all has ended."""
        for task in self._work:
            task.cancel()
        await self.finish_requests()
        return not self._work or not (await asyncio.wait(self._work, timeout=WORK_ENDS))[1]

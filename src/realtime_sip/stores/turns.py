"""Whose turn it is to ask a server: a store has few connections, and a worker may have hundreds of calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

BESIDE = 2
"""Connections that no turn is for: one listens, and heartbeats have the other."""


class Turns:
    """Turns of one event loop. Heartbeats need none: else all calls of a worker would be taken for orphans because
    what changes of them is slow to write.

    Calls that ring do not wait for those that are up, which have half of the connections at most.
    """

    def __init__(self, connections: int) -> None:
        room = connections - BESIDE
        self._all = asyncio.Semaphore(room)
        self._up = asyncio.Semaphore(max(1, room // 2))

    @asynccontextmanager
    async def taken(self, *, rings: bool) -> AsyncIterator[None]:
        """Wait for a turn: to ask about a call that `rings`, or about anything else."""
        async with AsyncExitStack() as stack:
            if not rings:
                await stack.enter_async_context(self._up)
            await stack.enter_async_context(self._all)
            yield

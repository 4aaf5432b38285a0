"""What somebody waits for, by key: the core's `Done` resolves it, or the end of the call."""

from __future__ import annotations

import asyncio
from typing import Any


class Waiting:
    """The futures of one call."""

    def __init__(self) -> None:
        self._futures: dict[str, asyncio.Future[Any]] = {}

    def expect(self, key: str) -> asyncio.Future[Any]:
        """Return a new future under this key."""
        future = self._futures[key] = asyncio.get_running_loop().create_future()
        return future

    def get(self, key: str) -> asyncio.Future[Any] | None:
        """Return the future of this key, or None."""
        return self._futures.get(key)

    def forget(self, key: str) -> None:
        """Resolve it no more."""
        self._futures.pop(key, None)

    def resolve(self, key: str, value: object) -> None:
        """Give it its result, once."""
        future = self._futures.pop(key, None)
        if future is not None and not future.done():
            future.set_result(value)

    def resolve_all(self, value: object) -> None:
        """Give all of them the same result."""
        for key in [*self._futures]:
            self.resolve(key, value)

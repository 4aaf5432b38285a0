"""A response that was asked for, and how much of it was heard."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

from realtime_sip.errors import CallEndedError
from realtime_sip.outcomes import CallEnded, Heard


class Speech:
    """A response that `Call.respond` asked for. Await it to wait until it was heard."""

    def __init__(self, key: str, over: asyncio.Future[Heard | CallEnded]) -> None:
        self.key = key
        self._over = over

    @property
    def over(self) -> bool:
        """Whether it was heard, cut off, or given up."""
        return self._over.done()

    async def heard(self) -> Heard:
        """Wait until it is over, in a bounded time, and return how much of it was heard.

        Raises:
            CallEndedError: The call ended first.
        """
        heard = await asyncio.shield(self._over)
        if isinstance(heard, CallEnded):
            raise CallEndedError(heard)
        return heard

    def __await__(self) -> Generator[Any, None, Heard]:
        return self.heard().__await__()

    def __repr__(self) -> str:
        return f"Speech({self.key}, {'over' if self.over else 'not over'})"

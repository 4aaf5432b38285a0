"""What the log says of a store that fails: a line at the beginning, one a minute, and one at the end."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from realtime_sip.errors import RealtimeSipError

EVERY = 60.0
"""Seconds from one line on failures to the next. With hundreds of calls, each of them would be thousands a minute."""


def why(error: BaseException) -> str:
    """Return what may be logged of an error: its class, and its text if that is ours. A driver's may have a URL in it,
    and that a password."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, RealtimeSipError) else name


class Outage:
    """Counts failures of one store; each is logged for debugging, few of them as errors."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._since: float | None = None
        self._said_at = -math.inf
        self._said = False
        self._failures = 0

    @asynccontextmanager
    async def within(self, seconds: float, what: str) -> AsyncIterator[None]:
        """Give the store its time; if it fails, go on behind the block."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except Exception as error:  # noqa: BLE001 - stores may raise anything
            self.failed(what, error)
        else:
            self.answered()

    def failed(self, what: str, error: Exception) -> None:
        """Take in a failure: what was not done, and why."""
        now = asyncio.get_running_loop().time()
        if self._since is None:
            self._since, self._said, self._failures = now, False, 0
        self._failures += 1
        if now - self._said_at < EVERY:
            self._log.debug("%s: %s", what, why(error))
            return
        if self._said:
            passed = now - self._since
            self._log.error("%s: %s; it is failure %d in %.0f s", what, why(error), self._failures, passed)
        else:
            self._log.error("%s: %s; the store fails, and calls that are up go on", what, why(error))
        self._said_at, self._said = now, True

    def answered(self) -> None:
        """Take in that the store does what it is asked for."""
        if self._since is not None and self._said:
            passed = asyncio.get_running_loop().time() - self._since
            self._log.warning("the store answers again, after %.0f s and %d failures", passed, self._failures)
        self._since = None

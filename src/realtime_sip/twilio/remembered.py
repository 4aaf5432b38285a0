"""What was done to calls over REST, of which Twilio's webhooks do not tell that it was us: noted in a store."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from typing import Generic, TypeVar

from realtime_sip.stores.memory import MemoryStore
from realtime_sip.stores.rules import Store

_log = logging.getLogger("realtime_sip.twilio")

AN_HOUR = 3600.0
_MOST = 10_000
_STORE = 0.5
"""Seconds that a store may take: the whole fallback of a transfer has ten."""

_here: Store = MemoryStore(max_calls=_MOST)
"""What this process remembers if no store is given."""

T = TypeVar("T")


class Notes:
    """Notes about Twilio's calls, for an hour: of this process, or of all that share the store."""

    def __init__(self, store: Store | None) -> None:
        self._store = _here if store is None else store

    async def write(self, kind: str, sid: str, text: str) -> None:
        """Note a text in place of the one before. Raises what the store raises.

        Raises:
            TimeoutError: The store did not answer.
        """
        async with asyncio.timeout(_STORE):
            await self._store.note(_key(kind, sid), text, remember=AN_HOUR)

    async def read(self, kind: str, sid: str) -> str | None:
        """Return what was noted, or None; also if the store fails."""
        try:
            async with asyncio.timeout(_STORE):
                return await self._store.noted(_key(kind, sid))
        except Exception as error:  # noqa: BLE001 - whatever the store is, no call depends on it
            _failed(error)
            return None

    async def take(self, kind: str, sid: str) -> str | None:
        """Forget what was noted, and return it, or None: of all workers, one gets it."""
        try:
            async with asyncio.timeout(_STORE):
                return await self._store.take(_key(kind, sid))
        except Exception as error:  # noqa: BLE001 - whatever the store is, no call depends on it
            _failed(error)
            return None


def _key(kind: str, sid: str) -> str:
    return f"twilio:{kind}:{sid}"


def _failed(error: Exception) -> None:
    _log.warning("what was done to a call is not known, since the store failed: %s", type(error).__name__)


class Remembered(Generic[T]):
    """Values by the SID of a call, in this process, for an hour, ten thousand at most."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[float, T]] = OrderedDict()

    def note(self, call_sid: str, value: T) -> None:
        """Remember a value in place of the one before."""
        self._known.pop(call_sid, None)
        self._known[call_sid] = (time.monotonic(), value)
        while len(self._known) > _MOST or self._is_past(next(iter(self._known.values()))[0]):
            self._known.popitem(last=False)

    def get(self, call_sid: str | None) -> T | None:
        """Return the value, or None."""
        at, value = self._known.get(call_sid or "", (0.0, None))
        return None if value is None or self._is_past(at) else value

    @staticmethod
    def _is_past(at: float) -> bool:
        return time.monotonic() - at > AN_HOUR


dialed_for: Remembered[str] = Remembered()
"""The calls that this process made for a caller: the caller's call, of which Twilio does not know. A call is served by
the process that transfers it, so nobody else asks."""

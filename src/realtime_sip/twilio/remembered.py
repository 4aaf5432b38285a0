"""What this process did to calls over REST in the last hour, of which Twilio's webhooks do not tell that it was us."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Generic, TypeVar

AN_HOUR = 3600.0
_MOST = 10_000

T = TypeVar("T")


class Remembered(Generic[T]):
    """Values by the SID of a call, for an hour, ten thousand at most."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[float, T]] = OrderedDict()

    def note(self, call_sid: str, value: T) -> None:
        """Remember a value in place of the one before."""
        self._known.pop(call_sid, None)
        self._known[call_sid] = (time.monotonic(), value)
        while len(self._known) > _MOST or self._is_past(next(iter(self._known.values()))[0]):
            self._known.popitem(last=False)

    def get(self, call_sid: str) -> T | None:
        """Return the value, or None."""
        at, value = self._known.get(call_sid, (0.0, None))
        return None if value is None or self._is_past(at) else value

    def forget(self, call_sid: str) -> None:
        """Forget a call."""
        self._known.pop(call_sid, None)

    @staticmethod
    def _is_past(at: float) -> bool:
        return time.monotonic() - at > AN_HOUR


redirected: Remembered[frozenset[str]] = Remembered()
"""Calls that were redirected, with those that this ended. Twilio asks the old `action` first, as after a goodbye."""

dialed_for: Remembered[str] = Remembered()
"""The calls that were made for a caller, who waits in a conference: their parent, of which Twilio does not know."""

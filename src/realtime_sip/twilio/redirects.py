"""Which calls this process has redirected: Twilio asks the old `action` first, with data like a caller's end."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

AN_HOUR = 3600.0
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class _Redirect:
    at: float
    legs: frozenset[str]
    """The calls that were dialed for it and up at the time, as far as is known."""


class Redirects:
    """Calls that were redirected in the last hour, ten thousand at most, by their SID."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Redirect] = OrderedDict()

    def note(self, call_sid: str, legs: frozenset[str]) -> None:
        """Remember that a call is redirected, which ends these legs."""
        before = self._known.pop(call_sid, None)
        if before is not None and not self._is_past(before):
            legs |= before.legs
        self._known[call_sid] = _Redirect(time.monotonic(), legs)
        while len(self._known) > _MOST or self._is_past(next(iter(self._known.values()))):
            self._known.popitem(last=False)

    def forget(self, call_sid: str) -> None:
        """Forget a call, which was not redirected after all."""
        self._known.pop(call_sid, None)

    def has(self, call_sid: str, dialed_call_sid: str | None) -> bool:
        """Return whether the call was redirected; with the dialed call, whether that ended this one."""
        known = self._known.get(call_sid)
        if known is None or self._is_past(known):
            return False
        return dialed_call_sid is None or not known.legs or dialed_call_sid in known.legs

    @staticmethod
    def _is_past(redirect: _Redirect) -> bool:
        return time.monotonic() - redirect.at > AN_HOUR

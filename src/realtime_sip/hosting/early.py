"""What the carrier says of a call that OpenAI has not announced yet, if it ever does."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from realtime_sip.outcomes import CallAnswered
    from realtime_sip.twilio.call_webhooks import CallWebhook

_MOST = 1000


class Early:
    """Callers' calls by their SID: whether they are over, and who answered one that was placed."""

    def __init__(self) -> None:
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._answered: OrderedDict[str, CallAnswered] = OrderedDict()

    def note(self, payload: CallWebhook) -> None:
        """Take in a webhook about a call that is not here."""
        if payload.is_final and payload.parent_call_sid is None:
            self._gone[payload.call_sid] = None
        if payload.answered_by is not None:
            self._answered[payload.call_sid] = payload.answered_by
        for known in (self._gone, self._answered):
            if len(known) > _MOST:
                known.popitem(last=False)

    def is_gone(self, call_sid: str | None) -> bool:
        """Return whether the call was over before."""
        return call_sid in self._gone

    def answered(self, call_sid: str | None) -> CallAnswered | None:
        """Return who answered the call, if the carrier has said so."""
        return self._answered.get(call_sid or "")

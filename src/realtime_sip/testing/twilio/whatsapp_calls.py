"""Whom the emulated account may call on WhatsApp: what Twilio refuses, and with which code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from realtime_sip.testing.twilio.legs import Leg
from realtime_sip.testing.twilio.record import TwilioRefusal

__all__ = ["WhatsAppCalls"]

DAY = 86_400.0
VALIDITY = 7 * DAY
"""Seconds that a permission lasts."""
CONNECTED, MISSED = 5, 4
"""Connected calls with one user in any 24 hours, and missed calls in a row that end a permission."""
_BANNED = ("+1", "+20", "+234", "+84", "+90")
"""What numbers of the countries begin with whose senders cannot call. Of +1 all count, the Caribbean too."""


class WhatsAppCalls:
    """The permissions of users. The order in which Twilio checks what follows is a guess."""

    def __init__(self) -> None:
        self._granted: dict[tuple[str, str], float] = {}

    def permit(self, sender: str, user: str, *, at: float) -> None:
        """Let a user permit calls of a sender, for seven days."""
        self._granted[sender, user] = at

    def reject(self, sender: str, user: str) -> None:
        """Let a user permit none."""
        self._granted.pop((sender, user), None)

    def check(
        self, senders: Iterable[Mapping[str, Any]], legs: Iterable[Leg], leg: tuple[str, str], now: float
    ) -> None:
        """Refuse a call that Twilio would refuse.

        Raises:
            TwilioRefusal: 37008, 37009, 37007, 37000, 37003 or 37006.
        """
        sender, user = leg
        known = next((each for each in senders if each["sender_id"] == sender), None)
        if known is None:
            raise TwilioRefusal(37008, "From is no WhatsApp sender of the account")
        if known["configuration"]["voice_application_sid"] is None:
            raise TwilioRefusal(37009, "The sender has no voice application")
        if sender.removeprefix("whatsapp:").startswith(_BANNED):
            raise TwilioRefusal(37007, "WhatsApp lets no sender of this country place calls")
        granted = self._granted.get((sender, user))
        before = [each for each in legs if (each.from_, each.to) == leg]
        if granted is None or now >= granted + VALIDITY or _missed(before, since=granted) >= MISSED:
            raise TwilioRefusal(37000, "The user has not permitted calls")
        if any(not each.over for each in before):
            raise TwilioRefusal(37003, "A call with this user is going on")
        connected = [each for each in before if each.answered_at is not None and each.began_at > now - DAY]
        if len(connected) >= CONNECTED:
            raise TwilioRefusal(37006, "Five calls were connected with this user within 24 hours")


def _missed(legs: list[Leg], *, since: float) -> int:
    """Return how many calls in a row were missed."""
    missed = 0
    for each in legs:
        if each.began_at >= since and each.over:
            missed = 0 if each.answered_at is not None else missed + (each.status != "failed")
    return missed

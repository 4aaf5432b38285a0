"""What became of a `<Dial>`, read from what Twilio says to its `action`. Nothing is guessed from what is missing."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping

__all__ = ["AfterDial", "after_dial"]

_CODE = re.compile("[1-6][0-9][0-9]")
_INFRASTRUCTURE = {400, 404, 408, 480}
_ENDED = {"completed", "busy", "failed", "no-answer", "canceled"}


class AfterDial(enum.Enum):
    """What became of a `<Dial>`, and so what its `action` answers."""

    TALKED = "talked"
    """They talked, and it is over: hang up, or ask how it was."""
    REJECTED = "rejected"
    """The other side declined (SIP 486 or 6xx), as your handler or policy does: say so, or offer another way."""
    UNREACHABLE = "unreachable"
    """Nobody answered, for a reason that may pass (400, 404, 408, 480, 5xx, or it rang out): dial once more, then
    offer another way."""
    MISCONFIGURED = "misconfigured"
    """Twilio could not even dial, and says so in `ErrorMessage`: it would fail again. Offer another way."""
    FAILED = "failed"
    """Nobody answered, and the reason does not say whether a second try would succeed: offer another way."""
    CALLER_LEFT = "caller_left"
    """The caller hung up before it was answered: nobody hears what you answer."""
    OWN_REDIRECT = "own_redirect"
    """You redirected the call, and new TwiML follows by itself: answer an empty response, and do nothing."""
    UNKNOWN = "unknown"
    """The fields do not say. Treat the caller as one who still waits."""

    @property
    def try_again(self) -> bool:
        """Whether the same `<Dial>` may succeed. Do it once: your `action` has to remember that it did."""
        return self is AfterDial.UNREACHABLE


def after_dial(fields: Mapping[str, str], *, redirected: bool = False) -> AfterDial:
    """Return what became of a `<Dial>`, from the verified form that Twilio posted to its `action`.

    Args:
        fields: The form: `DialCallStatus`, `DialSipResponseCode`, `DialBridged`, `ErrorMessage`, `CallStatus`.
        redirected: Whether you redirected the call (`CallSid`) by REST meanwhile. Twilio asks the old `action` first,
            and nothing in the form tells that end from a goodbye.

    >>> after_dial({"DialCallStatus": "failed", "DialBridged": "false", "DialSipResponseCode": "503"})
    <AfterDial.UNREACHABLE: 'unreachable'>
    >>> after_dial({"DialCallStatus": "busy", "DialSipResponseCode": "486"})
    <AfterDial.REJECTED: 'rejected'>
    """
    if redirected:
        return AfterDial.OWN_REDIRECT
    status = fields.get("DialCallStatus", "")
    bridged = {"true": True, "false": False}.get(fields.get("DialBridged", "").lower())
    text = fields.get("DialSipResponseCode", "")
    code = int(text) if _CODE.fullmatch(text) else None
    answered = status in ("completed", "answered") if code is None else code // 100 == 2
    if bridged or (answered and bridged is None):
        return AfterDial.TALKED
    if status == "canceled" or fields.get("CallStatus") in _ENDED:
        return AfterDial.CALLER_LEFT
    if answered:
        return AfterDial.FAILED  # answered, and never connected to the caller
    return _by_status(status, fields.get("ErrorMessage", "")) if code is None else _by_code(code, status)


def _by_code(code: int, status: str) -> AfterDial:
    # How Twilio names a 603 is not documented; the code is the callee's own word.
    if code == 486 or code // 100 == 6:
        return AfterDial.REJECTED
    if code in _INFRASTRUCTURE or code // 100 == 5:
        return AfterDial.UNREACHABLE
    # Twilio's own CANCEL when the time is up is answered with 487 as well.
    return AfterDial.UNREACHABLE if code == 487 and status == "no-answer" else AfterDial.FAILED


def _by_status(status: str, message: str) -> AfterDial:
    if status == "failed" and message:
        return AfterDial.MISCONFIGURED
    known = {
        "busy": AfterDial.REJECTED,
        "no-answer": AfterDial.UNREACHABLE,
        "failed": AfterDial.UNREACHABLE,
    }
    return known.get(status, AfterDial.UNKNOWN)

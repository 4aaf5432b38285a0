"""What a webhook of the carrier means for a call of this host. It decides by what the webhook says, and never guesses.

A call is found by the SID of the caller's own call, which our TwiML signed into the call's context. Twilio's child of
that call that leads to OpenAI is the call itself, and says nothing about a transfer.
"""

from __future__ import annotations

from dataclasses import dataclass

from realtime_sip.outcomes import CallAnswered, TransferFailureReason, TransferProgress
from realtime_sip.twilio.call_webhooks import CallStatusCallback, CallWebhook, DialResult, QueueResult, ReferRequest
from realtime_sip.twilio.remembered import dialed_for
from realtime_sip.twilio.uri import leads_to_openai
from realtime_sip.webhooks import IncomingCall

_ANSWERED = {"in-progress", "answered", "completed"}
_FAILED = {
    "busy": TransferFailureReason.BUSY,
    "no-answer": TransferFailureReason.NO_ANSWER,
    "canceled": TransferFailureReason.NO_ANSWER,
    "failed": TransferFailureReason.CARRIER,
}
_REFUSED = TransferFailureReason.CARRIER


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a webhook means for one call.

    Attributes:
        says: How far its transfer is, or why it failed; None if it says nothing about that.
        caller_left: Whether the caller's own call is over.
        answered: Who answered the call, if it was placed and the carrier says so.
    """

    says: TransferProgress | TransferFailureReason | None = None
    caller_left: bool = False
    answered: CallAnswered | None = None


def dialed_call(payload: CallWebhook) -> str | None:
    """Return the call that was dialed for a transfer, of which a webhook says how it went, or None."""
    if isinstance(payload, DialResult):
        return payload.dialed_call_sid
    return payload.call_sid if isinstance(payload, CallStatusCallback) else None


def is_about(payload: CallWebhook, incoming: IncomingCall) -> bool:
    """Return whether a webhook is about this call: about the caller's own call, or one that was dialed for it."""
    parent = incoming.parent_call_sid
    known = (payload.call_sid, payload.parent_call_sid, dialed_for.get(payload.call_sid))
    return parent is not None and parent in known


def meaning(payload: CallWebhook, incoming: IncomingCall) -> Meaning:
    """Return what a webhook that is about this call means for it."""
    if payload.call_sid == incoming.parent_call_sid:
        return Meaning(_of_parent(payload, incoming), payload.is_final, payload.answered_by)
    if isinstance(payload, ReferRequest):
        return Meaning(TransferProgress.ASKED)
    if isinstance(payload, CallStatusCallback) and _is_another(
        payload.call_sid, payload.fields.text("SipCallId"), payload.fields.text("To"), incoming
    ):
        return Meaning(_says(payload.status))
    return Meaning()


def _of_parent(payload: CallWebhook, incoming: IncomingCall) -> TransferProgress | TransferFailureReason | None:
    if isinstance(payload, ReferRequest):
        return TransferProgress.ASKED
    if isinstance(payload, QueueResult):
        return TransferProgress.ANSWERED if payload.answered else _REFUSED if payload.refused else None
    if isinstance(payload, DialResult) and _is_another(payload.dialed_call_sid, payload.sip_call_id, None, incoming):
        # A call that was answered and never connected to the caller is neither.
        return None if payload.answered is False and payload.dial_status in _ANSWERED else _says(payload.dial_status)
    return None


def _says(status: str) -> TransferProgress | TransferFailureReason | None:
    return TransferProgress.ANSWERED if status in _ANSWERED else _FAILED.get(status)


def _is_another(call_sid: str | None, sip_call_id: str | None, to: str | None, incoming: IncomingCall) -> bool:
    """Whether a dialed call is certainly not the one to OpenAI. What is missing proves nothing."""
    own_sid, own_call_id = incoming.sip.get("X-Twilio-CallSid"), incoming.sip.get("Call-ID")
    # By some reports the INVITE has the SID of the caller's call, which tells nothing about the one to OpenAI.
    if own_sid == incoming.parent_call_sid:
        own_sid = None
    pairs = [(call_sid, own_sid), (sip_call_id, own_call_id)]
    told = [theirs == own for theirs, own in pairs if theirs and own]
    if to is not None:
        told.append(leads_to_openai(to))
    return bool(told) and not any(told)

"""What Twilio's webhooks say, typed. Verify a request with `TwilioSignature` first; then `read_webhook(body)`.

    twilio = TwilioSignature(os.environ["TWILIO_AUTH_TOKEN"], "https://voice.example.com")

    twilio.verify(raw_target, body, headers)
    voice = VoiceWebhook.read(body)
    voice.channel, voice.caller, voice.dialed

- Every payload has the `fields` that are known, and `extras`: everything else, as Twilio may add parameters any time.
- The signature does not cover where a field's name ends, so no attribute depends on it, and nothing in `extras` is
  proven. What a caller's network, phone or app says (`caller`, `caller_name`, `sip_headers`) is that party's claim.
- Status callbacks arrive in any order, and more than once. `is_news` orders them: keep the last status of a call or
  message under its SID, and drop what says nothing new. `key` is the same for two deliveries of one callback.
"""

from __future__ import annotations

from realtime_sip.twilio.address import TwilioAddress, TwilioChannel
from realtime_sip.twilio.call_webhooks import (
    AnsweredByCallback,
    CallStatusCallback,
    CallWebhook,
    DialResult,
    QueueResult,
    RecordingCallback,
    ReferRequest,
    VoiceWebhook,
)
from realtime_sip.twilio.fields import Fields
from realtime_sip.twilio.message_webhooks import (
    CallPermissionReply,
    IncomingMessage,
    MessageStatusCallback,
    MessageWebhook,
)
from realtime_sip.twilio.payload import TwilioWebhook, UnknownTwilioWebhook
from realtime_sip.twilio.refer_target import ReferTarget
from realtime_sip.twilio.status import UNANSWERED, is_final, is_news

__all__ = [
    "AnsweredByCallback",
    "CallPermissionReply",
    "CallStatusCallback",
    "CallWebhook",
    "DialResult",
    "Fields",
    "IncomingMessage",
    "MessageStatusCallback",
    "MessageWebhook",
    "QueueResult",
    "RecordingCallback",
    "ReferRequest",
    "ReferTarget",
    "TwilioAddress",
    "TwilioChannel",
    "TwilioWebhook",
    "UnknownTwilioWebhook",
    "VoiceWebhook",
    "is_final",
    "is_news",
    "read_webhook",
]

_PERMISSION = "VOICE_CALL_REQUEST"
_OF_A_VERB = {"Digits", "SpeechResult", "RecordingUrl", "FinishedOnKey"}


def read_webhook(body: bytes | str) -> TwilioWebhook:
    """Return the payload of a webhook, after its signature was verified; what it has decides its kind.

    Args:
        body: The body of a form, or the query of a webhook by GET.

    A route that serves one kind reads it with that class: `VoiceWebhook.read(body)`.

    >>> read_webhook("CallSid=CA1&From=%2B12025550143&CallStatus=ringing&Direction=inbound")
    <VoiceWebhook CallSid=CA1 CallStatus=ringing>

    Raises:
        WebhookPayloadError: As `TwilioWebhook.read`.
    """
    fields = Fields(body)
    return _kind(fields)(fields)


def _kind(fields: Fields) -> type[TwilioWebhook]:
    if "CallSid" in fields:
        if "ReferTransferTarget" in fields:
            return ReferRequest
        if "DialCallStatus" in fields:
            return DialResult
        if "QueueResult" in fields:
            return QueueResult
        if "AnsweredBy" in fields and "CallStatus" not in fields:
            return AnsweredByCallback
    if {"RecordingSid", "RecordingStatus"} <= fields.keys():
        return RecordingCallback
    if "CallSid" in fields:
        return CallStatusCallback if _is_progress(fields) else VoiceWebhook
    if "MessageSid" not in fields:
        return UnknownTwilioWebhook
    if "MessageStatus" in fields:
        return MessageStatusCallback
    asked = _PERMISSION in {fields.get("Body"), fields.get("ButtonText")}
    return CallPermissionReply if asked and "ButtonPayload" in fields else IncomingMessage


def _is_progress(fields: Fields) -> bool:
    """Return whether a call is reported, rather than asked about."""
    status = fields.get("CallStatus", "")
    if status and ({"CallbackSource", "SequenceNumber"} & fields.keys() or status in UNANSWERED):
        return True
    # What a verb collected comes to its action even if the caller has left meanwhile.
    return status == "completed" and ("CallDuration" in fields or not _OF_A_VERB & fields.keys())

"""Webhooks about calls: what to do with one, and how one went."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import ClassVar

from realtime_sip.outcomes import Answered, CallAnswered
from realtime_sip.sip.address import TOKEN
from realtime_sip.sip.headers import SipHeaders
from realtime_sip.twilio.address import TwilioAddress, TwilioChannel, whatsapp_user_id
from realtime_sip.twilio.payload import TwilioWebhook, number_of
from realtime_sip.twilio.refer_target import ReferTarget
from realtime_sip.twilio.status import UNANSWERED, is_final, is_news

_REFUSED = {"queue-full", "error", "system-error"}
_TAKEN = {"bridged", "redirected-from-bridged"}
_NOT_TAKEN = {"hangup", "leave", "redirected", *_REFUSED}


class CallWebhook(TwilioWebhook):
    """A webhook about a call: who calls whom."""

    __slots__ = ()

    _needs: ClassVar[Sequence[str]] = ("CallSid",)

    @property
    def call_sid(self) -> str:
        """The call. While Twilio dials somebody for a caller, it is the caller's, the parent."""
        return self.fields["CallSid"]

    @property
    def parent_call_sid(self) -> str | None:
        """The call for which this one was dialed, or None."""
        return self.fields.text("ParentCallSid")

    @property
    def status(self) -> str | None:
        """The call's status: "ringing", "in-progress", "completed" …"""
        return self.fields.text("CallStatus")

    @property
    def is_final(self) -> bool:
        """Whether the call is over."""
        return is_final(self.status)

    @property
    def direction(self) -> str | None:
        """ "inbound", "outbound-api", "outbound-dial" …, or None."""
        return self.fields.text("Direction")

    @property
    def answered_by(self) -> CallAnswered | None:
        """Who answered the call that was placed, as machine detection reports it (`AnsweredBy`); None if it does not.

        Twilio calls every machine that speaks a machine: a menu and an assistant that screens calls are `VOICEMAIL`
        here. A fax machine, and what detection cannot tell, is `UNKNOWN`.
        """
        word = self.fields.text("AnsweredBy")
        return None if word is None else call_answered(word)

    @property
    def caller_address(self) -> TwilioAddress | None:
        """Who calls, or None if there is nothing that could be an address: a claim, not authentication."""
        return self._address("From", "Caller")

    @property
    def dialed_address(self) -> TwilioAddress | None:
        """Who is called, or None."""
        return self._address("To", "Called")

    @property
    def caller(self) -> str | None:
        """The caller's number as E.164, without `whatsapp:`; None if it is withheld or there is no number."""
        return number_of(self.caller_address)

    @property
    def dialed(self) -> str | None:
        """The number that was dialed as E.164, without `whatsapp:`, or None."""
        return number_of(self.dialed_address)

    @property
    def user_id(self) -> str | None:
        """The id of a WhatsApp user, which may come beside the number or in its place, or None."""
        return self._user_id(self.caller_address)

    @property
    def parent_user_id(self) -> str | None:
        """The id that the WhatsApp user has for a parent business, or None."""
        return whatsapp_user_id(self.fields.text("ParentExternalUserId"))

    @property
    def channel(self) -> TwilioChannel:
        """How the caller came. A withheld number tells nothing, so then it is how the call was dialed."""
        address = self.caller_address
        if address is not None and (address.channel != "phone" or not address.withheld):
            return address.channel
        dialed = self.dialed_address
        if dialed is not None and dialed.channel == "whatsapp":
            return "whatsapp"
        return "sip" if self.fields.text("SipDomain") else "phone"

    @property
    def withheld(self) -> bool:
        """Whether the caller shows no address: `From` is missing, or a word or keypad number that stands for that."""
        address = self.caller_address
        return address is None or address.withheld

    @property
    def callable_back(self) -> bool | None:
        """Whether the caller can be called back: False if withheld, None if it depends (WhatsApp, SIP, an app)."""
        if self.withheld:
            return False
        return True if self.channel == "phone" and self.caller else None

    @property
    def caller_country(self) -> str | None:
        """The country of the caller's number, as two letters. Twilio makes one up for withheld callers; here, None."""
        return (self.fields.text("FromCountry") or self.fields.text("CallerCountry")) if self.caller else None

    @property
    def caller_name(self) -> str | None:
        """The name that the caller's network or Twilio's look-up gives, or None: text for a screen, no identity."""
        return self.fields.text("CallerName")

    @property
    def forwarded_from(self) -> TwilioAddress | None:
        """Who forwarded the call, or None."""
        return self._address("ForwardedFrom")

    @property
    def stir_verstat(self) -> str | None:
        """What the network says about the caller's number (STIR/SHAKEN), such as "TN-Validation-Passed-A", or None."""
        return self.fields.text("StirVerstat")

    @property
    def sip_caller_id(self) -> str | None:
        """What may stand as caller id towards SIP: the bare number, else the user's id or name, else "anonymous"."""
        address = self.caller_address
        if address is None:
            return self.user_id or "anonymous"
        return self.caller or self.user_id or address.sip_caller_id

    @property
    def sip_headers(self) -> SipHeaders:
        """The headers that a SIP caller sent (`SipHeader_…`), in any case: claims, and their names not even signed."""
        return self._sip_headers("SipHeader_")

    def _sip_headers(self, prefix: str) -> SipHeaders:
        named = ((name[len(prefix) :], value) for name, value in self.fields.pairs if name.startswith(prefix))
        return SipHeaders((name, value) for name, value in named if TOKEN.fullmatch(name) and value.isprintable())


class VoiceWebhook(CallWebhook):
    """Twilio asks what to do with a call: answer with TwiML. Also by the fallback URL, and again after verbs."""

    __slots__ = ()

    @property
    def application_sid(self) -> str | None:
        """The TwiML app that was asked, as for WhatsApp, or None."""
        return self.fields.text("ApplicationSid")

    @property
    def sip_domain(self) -> str | None:
        """The SIP domain that was called, or None."""
        return self.fields.text("SipDomain")

    @property
    def error_code(self) -> int | None:
        """Why Twilio asks the fallback URL, or None."""
        return self.fields.number("ErrorCode")

    @property
    def error_url(self) -> str | None:
        """The URL that failed, if Twilio asks the fallback URL."""
        return self.fields.text("ErrorUrl")


class DialResult(CallWebhook):
    """A `<Dial>` is over, asked at its `action`: `call_sid` is the caller's call, `status` its status.

    `twiml.after_dial(result.fields)` says what follows. A redirect by REST looks like the caller's end here.
    """

    __slots__ = ()

    _needs = ("CallSid", "DialCallStatus")

    @property
    def dial_status(self) -> str:
        """ "completed", "answered" (after a conference), "busy", "no-answer", "failed", "canceled" …"""
        return self.fields["DialCallStatus"]

    @property
    def dialed_call_sid(self) -> str | None:
        """The call that was dialed; None after a conference, or if nobody was dialed at all."""
        return self.fields.text("DialCallSid")

    @property
    def duration_s(self) -> int | None:
        """Seconds that the dialed call took; None after a conference or a redirect."""
        return self.fields.number("DialCallDuration")

    @property
    def bridged(self) -> bool | None:
        """Whether the two were connected, or None if Twilio does not say."""
        text = self.fields.text("DialBridged")
        return None if text is None else text.lower() == "true"

    @property
    def answered(self) -> bool | None:
        """Whether the two talked, or None if a status that is not known here leaves it open."""
        if self.bridged is not None:
            return self.bridged
        if self.dial_status in {"completed", "answered"}:
            return True
        return False if self.dial_status in UNANSWERED else None

    @property
    def sip_code(self) -> int | None:
        """The SIP status that ended the attempt, or None."""
        return self.fields.number("DialSipResponseCode")

    @property
    def sip_call_id(self) -> str | None:
        """The `Call-ID` of the dialed call, or None."""
        return self.fields.text("DialSipCallId")

    @property
    def error_message(self) -> str | None:
        """Why Twilio could not even dial, for you and never for the caller, or None."""
        return self.fields.text("ErrorMessage")

    @property
    def recording_url(self) -> str | None:
        """Where the recording will be. Whether it is there yet, only `RecordingCallback` says."""
        return self.fields.text("RecordingUrl")

    @property
    def caller_is_there(self) -> bool | None:
        """Whether the caller is still on the line, or None if Twilio does not say."""
        return None if self.status is None else not self.is_final

    @property
    def reply_headers(self) -> SipHeaders:
        """The `X-` headers of the last SIP reply (`DialSipHeader_…`): claims, and their names not even signed."""
        return self._sip_headers("DialSipHeader_")


class QueueResult(CallWebhook):
    """The caller has left a queue, asked at the `action` of `<Enqueue>`; if a person took the call, once that is over.

    The words are those of Twilio's page on `<Enqueue>`.
    """

    __slots__ = ()

    _needs = ("CallSid", "QueueResult")

    @property
    def queue_result(self) -> str:
        """ "bridged", "hangup", "leave", "redirected", "redirected-from-bridged", "queue-full", "error" …"""
        return self.fields["QueueResult"]

    @property
    def queue_sid(self) -> str | None:
        """The queue; None if the caller never came into one."""
        return self.fields.text("QueueSid")

    @property
    def waited_s(self) -> int | None:
        """Seconds in the queue, or None."""
        return self.fields.number("QueueTime")

    @property
    def answered(self) -> bool | None:
        """Whether a person took the call, or None if a word that is not known here leaves it open."""
        return {**dict.fromkeys(_TAKEN, True), **dict.fromkeys(_NOT_TAKEN, False)}.get(self.queue_result)

    @property
    def refused(self) -> bool:
        """Whether the queue did not take the caller, who still waits for what you answer."""
        return self.queue_result in _REFUSED


class CallStatusCallback(CallWebhook):
    """A call went on. These arrive in any order, and more than once; see `is_news`.

    An event that was subscribed to as "answered" comes as "in-progress".
    """

    __slots__ = ()

    _needs = ("CallSid", "CallStatus")

    @property
    def status(self) -> str:
        """The call's status: "queued", "initiated", "ringing", "in-progress", "completed" …"""
        return self.fields["CallStatus"]

    @property
    def sequence_number(self) -> int | None:
        """The callback's place among those of its call, from 0, in the order of what happened; or None."""
        return self.fields.number("SequenceNumber")

    @property
    def key(self) -> str:
        """The same for two deliveries of one callback, and for no other: what to remember to handle it once."""
        return f"{self.call_sid}:{self.fields.get('SequenceNumber', '')}:{self.status}"

    def is_news(self, *, after: str | None) -> bool:
        """Return whether it says more of the call than the last status that is known."""
        return is_news(self.status, after=after)

    @property
    def at(self) -> datetime | None:
        """When it happened, to the second, or None."""
        text = self.fields.text("Timestamp")
        try:
            return None if text is None else parsedate_to_datetime(text)
        except ValueError:
            return None

    @property
    def duration_s(self) -> int | None:
        """Seconds that the call took, once it is over, or None."""
        return self.fields.number("CallDuration")

    @property
    def sip_code(self) -> int | None:
        """The SIP status that ended the call, or None."""
        return self.fields.number("SipResponseCode")


class AnsweredByCallback(CallWebhook):
    """Who answered, asked of nobody: what machine detection found while the call went on (`MachineDetection.callback`).

    With "DetectMessageEnd" it comes at once for a person, and for a machine once its greeting is over.
    """

    __slots__ = ()

    _needs = ("CallSid", "AnsweredBy")

    @property
    def word(self) -> str:
        """Twilio's own word: "human", "machine_start", "machine_end_beep", "machine_end_silence", "machine_end_other",
        "fax" or "unknown"."""
        return self.fields["AnsweredBy"]

    @property
    def answered_by(self) -> CallAnswered:
        """The same as a value."""
        return call_answered(self.word)

    @property
    def key(self) -> str:
        """The same for two deliveries of one callback, and for no other."""
        return f"{self.call_sid}:{self.word}"

    @property
    def took_ms(self) -> int | None:
        """Milliseconds that detection took, or None."""
        return self.fields.number("MachineDetectionDuration")


class ReferRequest(CallWebhook):
    """The other side of a `<Dial>` sent a REFER, asked at its `referUrl`: answer with TwiML for the caller."""

    __slots__ = ()

    _needs = ("CallSid", "ReferTransferTarget")

    @property
    def target(self) -> ReferTarget:
        """Where the caller is to go; `target.kind` is "none" if that cannot be read."""
        return ReferTarget.parse(self.fields["ReferTransferTarget"])


class RecordingCallback(TwilioWebhook):
    """A recording went on. `call_sid` is the caller's call, the parent, whichever leg was recorded."""

    __slots__ = ()

    _needs = ("RecordingSid", "RecordingStatus")

    @property
    def recording_sid(self) -> str:
        """The recording."""
        return self.fields["RecordingSid"]

    @property
    def call_sid(self) -> str | None:
        """The caller's call, the parent of what was dialed; None for a conference's recording."""
        return self.fields.text("CallSid")

    @property
    def status(self) -> str:
        """ "in-progress", "completed", "absent" (there will be none) or "failed"."""
        return self.fields["RecordingStatus"]

    @property
    def is_ready(self) -> bool:
        """Whether the recording can be fetched. The URL alone, also in a `DialResult`, does not say so."""
        return self.status == "completed" and self.url is not None

    @property
    def url(self) -> str | None:
        """Its address, or None."""
        return self.fields.text("RecordingUrl")

    @property
    def duration_s(self) -> int | None:
        """Its length in seconds, or None."""
        return self.fields.number("RecordingDuration")

    @property
    def channels(self) -> int | None:
        """1, or 2: the caller and the one who was dialed apart; or None."""
        return self.fields.number("RecordingChannels")

    @property
    def source(self) -> str | None:
        """What recorded it: "DialVerb", "RecordVerb", "Conference" …, or None."""
        return self.fields.text("RecordingSource")

    @property
    def key(self) -> str:
        """The same for two deliveries of one callback, and for no other."""
        return f"{self.recording_sid}:{self.status}"


def call_answered(word: str) -> CallAnswered:
    if word == "human":
        return CallAnswered(Answered.HUMAN, "reported")
    if word.startswith("machine_"):
        return CallAnswered(Answered.VOICEMAIL, "reported", greeting_over=word.startswith("machine_end_"))
    return CallAnswered(Answered.UNKNOWN, "reported")

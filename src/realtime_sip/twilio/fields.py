"""The fields of Twilio's webhooks, read so that nothing depends on where a field's name ends.

The signature covers a name and its value without anything between them: whoever records a request can move the border,
and `Fro=m%2B1…` is signed as `From=%2B1…` is. So a field is read from both together: it is the longest known name that
they begin with, if what follows can be a value of it. Of what has been moved nothing changes, and a name that this
package does not know proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from realtime_sip.errors import WebhookPayloadError
from realtime_sip.sip.headers import ANONYMOUS
from realtime_sip.twilio.form import fields_of, out_of_bounds

_SID = re.compile("[A-Z]{2}[0-9a-fA-F]{1,32}")
_WORD = re.compile("[a-z][a-z_-]{0,31}")
_NUMBER = re.compile("[0-9]{1,9}")
_CODE = re.compile("[1-9][0-9]{2,4}")
_COUNTRY = re.compile("[A-Z]{2}")
_BOOLEAN = re.compile("true|false", re.IGNORECASE)
_URL = re.compile(r"https?://[!-~]{1,2048}")
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_VISIBLE = re.compile("[!-~]{1,512}")
_HOST = re.compile("[a-z0-9A-Z][a-zA-Z0-9.-]{0,252}")
_ANY = re.compile(".+", re.DOTALL)
_ADDRESS = re.compile(
    rf"[a-z]{{2,16}}:[^\x00-\x20\x7f]{{0,1024}}|\+?[0-9*#][0-9*#().-]{{0,31}}|"
    rf"(?i:{'|'.join(sorted(word for word in ANONYMOUS if word.isalpha()))})"
)

_SHAPES: dict[re.Pattern[str], str] = {
    _SID: "AccountSid ApplicationSid CallSid DialCallSid MessageSid MessagingServiceSid ParentCallSid QueueSid "
    "RecordingSid SipDomainSid SmsMessageSid SmsSid",
    _ADDRESS: "Called Caller ForwardedFrom From To",
    _COUNTRY: "CalledCountry CallerCountry FromCountry ToCountry",
    _WORD: "AnsweredBy CallStatus CallbackSource DialCallStatus Direction MessageStatus MessageType RecordingStatus "
    "QueueResult RecordingTrack SmsStatus StatusCallbackEvent",
    _NUMBER: "CallDuration DialCallDuration Duration MachineDetectionDuration NumMedia NumSegments RecordingChannels "
    "RecordingDuration QueueTime SequenceNumber",
    re.compile("[0-9]{6,15}"): "WaId",
    re.compile("[0-9*#A-Dw]{1,256}"): "Digits FinishedOnKey",
    _CODE: "DialSipResponseCode ErrorCode SipResponseCode",
    _BOOLEAN: "DialBridged",
    _URL: "ErrorUrl RecordingUrl",
    _NAME: "RecordingSource StirVerstat",
    _VISIBLE: "DialSipCallId SipCallId SipUsername",
    _HOST: "SipDomain",
    re.compile("[0-9A-Fa-f:.]{2,45}"): "SipSourceIp",
    re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}"): "ApiVersion",
    re.compile("[A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} (?:[+-][0-9]{4}|GMT)"): "Timestamp",
    re.compile(r"(?:whatsapp:)?[A-Z]{2}\.[A-Za-z0-9.]{1,140}"): "ExternalUserId ExternalUserIdentifier "
    "ParentExternalUserId",
    _ANY: "Body ButtonPayload ButtonText CallerName ErrorMessage ProfileName ReferTransferTarget SpeechResult",
}
_KNOWN = {name: shape for shape, names in _SHAPES.items() for name in names.split()}
_LONGEST = re.compile("|".join(sorted(_KNOWN, key=len, reverse=True)))
# Each name with the shorter ones that it begins with, the longest first.
_INSIDE = {
    name: sorted((other for other in _KNOWN if name.startswith(other)), key=len, reverse=True) for name in _KNOWN
}


class Fields(Mapping[str, str]):
    """The fields of a form that are known and can be what they are; a blank one is "".

    Attributes:
        pairs: All names and values as they came, in order.
        extras: The fields that are not known, or cannot be what their name says, by their name; of repeated ones the
            first. Nothing proves where their names end.
    """

    __slots__ = ("_known", "extras", "pairs")

    def __init__(self, body: bytes | str) -> None:
        """Read the body of a form, or the query of a webhook by GET, after its signature was verified.

        Raises:
            WebhookPayloadError: "body_type", "body_encoding", "body_too_large" or "too_many_fields".
        """
        self.pairs = _pairs(body)
        found: dict[str, set[str]] = {}
        self.extras: dict[str, str] = {}
        for name, value in self.pairs:
            known = _read(name + value)
            if known is None:
                self.extras.setdefault(name, value)
            else:
                found.setdefault(known[0], set()).add(known[1])
        # Of two that differ, nobody knows which one counts.
        self._known = {name: values.pop() for name, values in found.items() if len(values) == 1}

    def __getitem__(self, name: str) -> str:
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return f"<Fields {len(self)} known, {len(self.extras)} more>"

    def text(self, name: str) -> str | None:
        """Return the value of a field, or None if it is missing or blank."""
        return self._known.get(name) or None

    def number(self, name: str) -> int | None:
        """Return the number in a field, or None if it is missing or blank."""
        text = self.text(name)
        return None if text is None else int(text)


def _pairs(body: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(body, (bytes, str)):
        raise WebhookPayloadError("the body as it was received (bytes) is needed", reason="body_type")
    data = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body)
    wrong = out_of_bounds(data)
    if wrong is not None:
        raise WebhookPayloadError("the form is not read", reason=wrong)
    return tuple((name.decode("utf-8", "replace"), value.decode("utf-8", "replace")) for name, value in fields_of(data))


def _read(text: str) -> tuple[str, str] | None:
    longest = _LONGEST.match(text)
    for name in _INSIDE[longest[0]] if longest is not None else ():
        value = text[len(name) :]
        if not value or _KNOWN[name].fullmatch(value):
            return name, value
    return None

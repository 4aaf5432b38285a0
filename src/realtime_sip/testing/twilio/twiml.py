"""TwiML as a value: parsed, and checked against what Twilio knows, without doing anything."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from realtime_sip.testing.twilio.record import TwilioRefusal

__all__ = ["Document", "Verb", "parse"]

MAX_DOCUMENT = 64 * 1024
_MAX_NUMBER = 1_000_000

_ANSWERING = "url method statusCallback statusCallbackEvent statusCallbackMethod"
_DETECTION = (
    "machineDetection machineDetectionTimeout machineDetectionSpeechThreshold machineDetectionSpeechEndThreshold "
    "machineDetectionSilenceTimeout amdStatusCallback amdStatusCallbackMethod"
)
_RECORDED = "recordingStatusCallback recordingStatusCallbackMethod recordingStatusCallbackEvent recordingTrack trim"
_ATTRIBUTES = {
    "Response": "",
    "Dial": f"action answerOnBridge callReason callerId hangupOnStar method record referMethod referUrl ringTone "
    f"sequential timeLimit timeout events passports recordingConfigurationId {_RECORDED}",
    "Sip": f"username password codecs {_ANSWERING} {_DETECTION}",
    "Number": f"sendDigits byoc {_ANSWERING} {_DETECTION}",
    "Client": _ANSWERING,
    "WhatsApp": _ANSWERING,
    "Conference": "muted beep startConferenceOnEnter endConferenceOnExit participantLabel jitterBufferSize waitUrl "
    "waitMethod maxParticipants record region coach trim statusCallback statusCallbackEvent statusCallbackMethod "
    "recordingStatusCallback recordingStatusCallbackMethod recordingStatusCallbackEvent eventCallbackUrl "
    "recordingConfigurationId",
    "Queue": "url method reservationSid postWorkActivitySid",
    "Enqueue": "action maxQueueSize method waitUrl waitUrlMethod workflowSid",
    "Task": "priority timeout",
    "Say": "voice language loop",
    "Play": "loop digits",
    "Pause": "length",
    "Reject": "reason",
    "Redirect": "method",
    "Hangup": "",
    "Record": f"action method timeout finishOnKey maxLength playBeep transcribe transcribeCallback "
    f"recordingConfigurationId {_RECORDED}",
    "Parameter": "name value",
    "Identity": "",
    "Uri": "priority weight username password",
    "Headers": "",
    "Header": "name value",
}
_INSIDE = {
    "Response": {"Dial", "Enqueue", "Say", "Play", "Pause", "Reject", "Redirect", "Hangup", "Record"},
    "Dial": {"Sip", "Number", "Client", "WhatsApp", "Conference", "Queue"},
    "Sip": {"Uri", "Headers"},
    "Headers": {"Header"},
    "Client": {"Identity", "Parameter"},
    "Enqueue": {"Task"},
}
_NOT_EMULATED = {
    *("Gather", "Connect", "Start", "Stop", "Leave", "Pay", "Prompt", "Refer", "Sms", "Message", "Echo", "Siprec"),
    *("Application", "Sim", "Stream", "Transcription"),
}
_FREE_INSIDE = {"Say"}  # SSML


@dataclass(frozen=True, slots=True)
class Verb:
    """An element of TwiML: a verb, a noun, or what is in one."""

    name: str
    attributes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    text: str = field(default="", repr=False)
    children: tuple[Verb, ...] = ()

    def get(self, name: str, default: str = "") -> str:
        """Return an attribute."""
        return self.attributes.get(name, default)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return an attribute that is true or false."""
        return self.attributes.get(name, str(default)).strip().lower() == "true"

    def number(self, name: str, default: float) -> float:
        """Return an attribute that is a number; the default if it is not one, or cannot be meant."""
        try:
            value = float(self.attributes[name])
        except (KeyError, ValueError):
            return default
        return value if 0 <= value <= _MAX_NUMBER else default

    def method(self, name: str = "method") -> str:
        """Return an attribute that is an HTTP method, POST unless it is GET."""
        return "GET" if self.get(name).strip().upper() == "GET" else "POST"


@dataclass(frozen=True, slots=True)
class Document:
    """One TwiML document: the verbs, and what Twilio warns of in them."""

    verbs: tuple[Verb, ...]
    url: str = field(default="", repr=False)
    """What URLs in it are relative to. Empty if it came with a REST request."""
    warnings: tuple[str, ...] = ()
    not_emulated: tuple[str, ...] = ()


def parse(body: bytes | str, *, url: str = "") -> Document:
    """Read a document.

    >>> document = parse("<Response><Say>Hi.</Say><Dial calerId='+1'><Number>+14155550101</Number></Dial></Response>")
    >>> [verb.name for verb in document.verbs], document.warnings
    (['Say', 'Dial'], ('Dial has no attribute calerId',))

    Raises:
        TwilioRefusal: It is no TwiML: 12100, or 12101 if it is too large.
    """
    data = body.encode() if isinstance(body, str) else body
    if len(data) > MAX_DOCUMENT:
        raise TwilioRefusal(12101, "the document is larger than 64 KiB")
    try:
        root = ET.fromstring(data)  # noqa: S314 - it is the document of the program under test
    except (ET.ParseError, ValueError, LookupError):
        raise TwilioRefusal(12100, "the document is not well-formed XML") from None
    if root.tag != "Response":
        raise TwilioRefusal(12100, "the root of the document is not Response")
    verb = _verb(root)
    problems = list(_problems(verb))
    return Document(
        verbs=verb.children,
        url=url,
        warnings=tuple(text for text, emulated in problems if emulated),
        not_emulated=tuple(text for text, emulated in problems if not emulated),
    )


def _verb(element: ET.Element) -> Verb:
    children = tuple(_verb(child) for child in element if isinstance(child.tag, str))
    text = "".join(element.itertext()) if element.tag in _FREE_INSIDE else element.text or ""
    return Verb(element.tag, MappingProxyType(dict(element.attrib)), text.strip(), children)


def _problems(verb: Verb) -> Iterator[tuple[str, bool]]:
    """Yield what Twilio warns of, and what only the emulator does not know (False)."""
    known = _ATTRIBUTES.get(verb.name, "").split()
    for name in verb.attributes:
        if name not in known:
            yield f"{verb.name} has no attribute {name[:40]}", True
    if verb.name in _FREE_INSIDE:
        return
    for child in verb.children:
        if child.name in _NOT_EMULATED:
            yield f"{child.name} is not emulated", False
        elif child.name not in _INSIDE.get(verb.name, ()):
            yield f"{verb.name} has no {child.name[:40]} inside", True
        else:
            yield from _problems(child)

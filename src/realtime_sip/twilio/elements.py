"""Twilio's own TwiML objects with types, and without what Twilio's package lets pass.

Twilio's package has no annotations, so that a type checker believes everything about its objects. These are its
classes, with the signatures of what is used with calls. A misspelled attribute is an error here, a list of events is
written with spaces between, and text that XML cannot hold is refused when it is written. Whatever else Twilio's classes
can do is inherited.
"""

# mypy: disallow-subclassing-any=False
# The methods take no **kwargs, through which Twilio's let every misspelled attribute pass.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Self, TypeAlias, TypeVar
from xml.etree.ElementTree import Element

from realtime_sip.errors import InvalidRequestError, MissingExtraError
from realtime_sip.twilio.arguments import NO_XML, refuse, sip_caller_id, whatsapp_sender
from realtime_sip.twilio.machine_detection import MachineDetection
from realtime_sip.twilio.uri import check_uri

try:
    from twilio.twiml import TwiML, voice_response
except ImportError:
    raise MissingExtraError("twilio", "twilio") from None

CallProgress: TypeAlias = Literal["initiated", "ringing", "answered", "completed"]
"""What a status callback can be asked for. Asking for "answered" delivers `CallStatus=in-progress`."""

RecordingEvent: TypeAlias = Literal["in-progress", "completed", "absent"]

Recording: TypeAlias = Literal[
    "do-not-record",
    "record-from-answer",
    "record-from-ringing",
    "record-from-answer-dual",
    "record-from-ringing-dual",
]
"""Whether a `<Dial>` is recorded. "dual" has the caller and the other side in a channel of their own."""

Method: TypeAlias = Literal["GET", "POST"]

_Child = TypeVar("_Child")


class _Typed(TwiML):
    """What all elements have."""

    name: str
    attrs: dict[str, Any]
    verbs: list[Any]

    def __str__(self) -> str:
        return self.to_xml()

    def __enter__(self) -> Self:
        return self

    def append(self, verb: object) -> Self:
        """Append an element, of Twilio's own classes or of these, or text; return this one."""
        self.nest(verb)
        return self

    def nest(self, verb: _Child) -> _Child:
        """Append an element or text, and return what was appended."""
        super().nest(verb)
        return verb

    def to_xml(self, xml_declaration: bool = True) -> str:
        """Return the XML; `str()` does the same.

        Raises:
            InvalidRequestError: A text or attribute has a character that XML cannot hold.
        """
        written: str = super().to_xml(xml_declaration)
        return written

    def xml(self) -> Element:
        """Return the element as `ElementTree` has it, without an attribute that has no value."""
        element: Element = super().xml()
        for each in element.iter():
            texts = (each.text, each.tail, *each.attrib.values())
            if any(NO_XML.search(text) for text in texts if text):
                raise InvalidRequestError("TwiML", ((f"<{each.tag}>", "a character that XML cannot hold"),))
        return element


class Say(_Typed, voice_response.Say):
    """`<Say>`: what a voice reads out."""


class Play(_Typed, voice_response.Play):
    """`<Play>`: a file that is played, or keys that are pressed."""


class Pause(_Typed, voice_response.Pause):
    """`<Pause>`: silence."""


class Hangup(_Typed, voice_response.Hangup):
    """`<Hangup>`: the end of the call."""


class Reject(_Typed, voice_response.Reject):
    """`<Reject>`: the end of a call that was never answered, and costs nothing."""


class Redirect(_Typed, voice_response.Redirect):
    """`<Redirect>`: other TwiML takes over."""


class Record(_Typed, voice_response.Record):
    """`<Record>`: what the caller says is recorded."""


class Sip(_Typed, voice_response.Sip):
    """`<Sip>`: a SIP endpoint that is dialed."""


class Number(_Typed, voice_response.Number):
    """`<Number>`: a phone that is dialed. A caller from WhatsApp cannot be connected to one."""


class Client(_Typed, voice_response.Client):
    """`<Client>`: an app with Twilio's voice SDK that is dialed."""


class Conference(_Typed, voice_response.Conference):
    """`<Conference>`: a room where several calls meet."""


class WhatsApp(_Typed, voice_response.WhatsApp):
    """`<WhatsApp>`: a user of WhatsApp who is dialed."""


class Task(_Typed, voice_response.Task):
    """`<Task>`: attributes of the task that TaskRouter makes of an enqueued call."""


class Dial(_Typed, voice_response.Dial):
    """`<Dial>`: the caller is connected to somebody else."""

    def sip(
        self,
        sip_url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        url: str | None = None,
        method: Method | None = None,
        status_callback_event: Iterable[CallProgress] | None = None,
        status_callback: str | None = None,
        status_callback_method: Method | None = None,
        machine_detection: MachineDetection | None = None,
    ) -> Sip:
        """Add `<Sip>`.

        Raises:
            InvalidRequestError: Twilio would take the URI for something else than it seems, as of
                `;transport=tls&secure=true` and `?edge=…`; or the `callerId` of the `<Dial>` is refused for `<Sip>`, as
                one with a colon is.
        """
        check_uri(sip_url)
        refuse("<Sip>", {"callerId": sip_caller_id(self.attrs.get("callerId"))})
        return self.nest(
            Sip(
                sip_url,
                username=username,
                password=password,
                url=url,
                method=method,
                status_callback_event=_spaced(status_callback_event),
                status_callback=status_callback,
                status_callback_method=status_callback_method,
                **_detection(machine_detection),
            )
        )

    def number(
        self,
        phone_number: str,
        *,
        send_digits: str | None = None,
        url: str | None = None,
        method: Method | None = None,
        status_callback_event: Iterable[CallProgress] | None = None,
        status_callback: str | None = None,
        status_callback_method: Method | None = None,
        machine_detection: MachineDetection | None = None,
    ) -> Number:
        """Add `<Number>`. A caller from WhatsApp cannot be connected to one.

        `send_digits` are pressed once it is answered; `machine_detection` finds out by whom.
        """
        return self.nest(
            Number(
                phone_number,
                send_digits=send_digits,
                url=url,
                method=method,
                status_callback_event=_spaced(status_callback_event),
                status_callback=status_callback,
                status_callback_method=status_callback_method,
                **_detection(machine_detection),
            )
        )

    def client(
        self,
        identity: str,
        *,
        url: str | None = None,
        method: Method | None = None,
        status_callback_event: Iterable[CallProgress] | None = None,
        status_callback: str | None = None,
        status_callback_method: Method | None = None,
    ) -> Client:
        """Add `<Client>`."""
        return self.nest(
            Client(
                identity,
                url=url,
                method=method,
                status_callback_event=_spaced(status_callback_event),
                status_callback=status_callback,
                status_callback_method=status_callback_method,
            )
        )

    def conference(
        self,
        name: str,
        *,
        muted: bool | None = None,
        beep: bool | Literal["onEnter", "onExit"] | None = None,
        start_conference_on_enter: bool | None = None,
        end_conference_on_exit: bool | None = None,
        wait_url: str | None = None,
        wait_method: Method | None = None,
        max_participants: int | None = None,
        participant_label: str | None = None,
        status_callback_event: Iterable[str] | None = None,
        status_callback: str | None = None,
    ) -> Conference:
        """Add `<Conference>`. An empty `wait_url` is silence."""
        return self.nest(
            Conference(
                name,
                muted=muted,
                beep=beep,
                start_conference_on_enter=start_conference_on_enter,
                end_conference_on_exit=end_conference_on_exit,
                wait_url=wait_url,
                wait_method=wait_method,
                max_participants=max_participants,
                participant_label=participant_label,
                status_callback_event=_spaced(status_callback_event),
                status_callback=status_callback,
            )
        )

    def whats_app(
        self,
        phone_number: str,
        *,
        url: str | None = None,
        method: Method | None = None,
        status_callback_event: Iterable[CallProgress] | None = None,
        status_callback: str | None = None,
        status_callback_method: Method | None = None,
    ) -> WhatsApp:
        """Add `<WhatsApp>`.

        Raises:
            InvalidRequestError: The `callerId` of the `<Dial>` is not `whatsapp:` and a number, which it has to be.
        """
        refuse("<WhatsApp>", {"callerId": whatsapp_sender(self.attrs.get("callerId"))})
        return self.nest(
            WhatsApp(
                phone_number,
                url=url,
                method=method,
                status_callback_event=_spaced(status_callback_event),
                status_callback=status_callback,
                status_callback_method=status_callback_method,
            )
        )


class Enqueue(_Typed, voice_response.Enqueue):
    """`<Enqueue>`: the caller waits in a queue."""

    def task(self, body: str, *, priority: int | None = None, timeout: int | None = None) -> Task:
        """Add `<Task>`, whose body is JSON."""
        return self.nest(Task(body, priority=priority, timeout=timeout))


class VoiceResponse(_Typed, voice_response.VoiceResponse):
    """`<Response>`: what a voice webhook answers. Send `str()` of it as `content_type`.

    Attributes:
        content_type: "text/xml". With another, Twilio may not take the body for TwiML (12300).
    """

    content_type: ClassVar[str] = "text/xml"

    def dial(
        self,
        number: str | None = None,
        *,
        action: str | None = None,
        method: Method | None = None,
        timeout: int | None = None,
        hangup_on_star: bool | None = None,
        time_limit: int | None = None,
        caller_id: str | None = None,
        record: Recording | None = None,
        recording_status_callback: str | None = None,
        recording_status_callback_event: Iterable[RecordingEvent] | None = None,
        answer_on_bridge: bool | None = None,
        ring_tone: str | None = None,
        refer_url: str | None = None,
        refer_method: Method | None = None,
    ) -> Dial:
        """Add `<Dial>`."""
        return self.nest(
            Dial(
                number,
                action=action,
                method=method,
                timeout=timeout,
                hangup_on_star=hangup_on_star,
                time_limit=time_limit,
                caller_id=caller_id,
                record=record,
                recording_status_callback=recording_status_callback,
                recording_status_callback_event=_spaced(recording_status_callback_event),
                answer_on_bridge=answer_on_bridge,
                ring_tone=ring_tone,
                refer_url=refer_url,
                refer_method=refer_method,
            )
        )

    def say(
        self, message: str, *, voice: str | None = None, language: str | None = None, loop: int | None = None
    ) -> Say:
        """Add `<Say>`."""
        return self.nest(Say(message, voice=voice, language=language, loop=loop))

    def play(self, url: str | None = None, *, loop: int | None = None, digits: str | None = None) -> Play:
        """Add `<Play>`."""
        return self.nest(Play(url, loop=loop, digits=digits))

    def pause(self, length: int | None = None) -> Pause:
        """Add `<Pause>`, in seconds."""
        return self.nest(Pause(length=length))

    def hangup(self) -> Hangup:
        """Add `<Hangup>`."""
        return self.nest(Hangup())

    def reject(self, reason: Literal["rejected", "busy"] | None = None) -> Reject:
        """Add `<Reject>`."""
        return self.nest(Reject(reason=reason))

    def redirect(self, url: str, *, method: Method | None = None) -> Redirect:
        """Add `<Redirect>`."""
        return self.nest(Redirect(url, method=method))

    def record(
        self,
        *,
        action: str | None = None,
        method: Method | None = None,
        timeout: int | None = None,
        finish_on_key: str | None = None,
        max_length: int | None = None,
        play_beep: bool | None = None,
        recording_status_callback: str | None = None,
        recording_status_callback_event: Iterable[RecordingEvent] | None = None,
    ) -> Record:
        """Add `<Record>`."""
        return self.nest(
            Record(
                action=action,
                method=method,
                timeout=timeout,
                finish_on_key=finish_on_key,
                max_length=max_length,
                play_beep=play_beep,
                recording_status_callback=recording_status_callback,
                recording_status_callback_event=_spaced(recording_status_callback_event),
            )
        )

    def enqueue(
        self,
        name: str | None = None,
        *,
        action: str | None = None,
        method: Method | None = None,
        wait_url: str | None = None,
        wait_url_method: Method | None = None,
        workflow_sid: str | None = None,
    ) -> Enqueue:
        """Add `<Enqueue>`."""
        return self.nest(
            Enqueue(
                name,
                action=action,
                method=method,
                wait_url=wait_url,
                wait_url_method=wait_url_method,
                workflow_sid=workflow_sid,
            )
        )


def _spaced(events: Iterable[str] | None) -> str | None:
    """Return the names as TwiML has them, with spaces between; REST repeats the parameter instead."""
    return events if events is None or isinstance(events, str) else " ".join(events)


def _detection(detection: MachineDetection | None) -> dict[str, Any]:
    return {} if detection is None else detection.to_attributes()

"""`dial_openai`: the TwiML that sends a caller to OpenAI, with what we know of the call."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol, get_args, runtime_checkable

from realtime_sip.endpoints import Endpoints
from realtime_sip.errors import ConfigurationError, InvalidRequestError, MissingExtraError
from realtime_sip.sip.headers import CHANNEL_HEADER, DIALED_HEADER, Channel
from realtime_sip.sip.signed_context import CONTEXT_HEADER, ContextSigner
from realtime_sip.twilio.arguments import number, one_of, refuse, seconds, sip_caller_id, url
from realtime_sip.twilio.elements import CallProgress, Recording, VoiceResponse
from realtime_sip.twilio.uri import Edge, Region, openai_uri

try:
    from twilio.twiml import voice_response
except ImportError:
    raise MissingExtraError("twilio", "twilio") from None

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    AnyResponse = TypeVar("AnyResponse", bound=voice_response.VoiceResponse, default=VoiceResponse)
    """A response of these classes or of Twilio's own; without one, one of these is made."""
else:
    from typing import TypeVar

    AnyResponse = TypeVar("AnyResponse")

_log = logging.getLogger("realtime_sip.twilio")
_said: set[str] = set()

_SECRET = "REALTIME_SIP_CONTEXT_SECRET"  # noqa: S105 - a name
_OURS = {CHANNEL_HEADER.lower(), DIALED_HEADER.lower()}
# As SIP headers name them. An app with Twilio's voice SDK is no phone, and no WhatsApp either.
_CHANNELS: dict[str, Channel] = {"phone": "phone", "whatsapp": "whatsapp", "sip": "sip", "client": "sip"}
_ALL_PROGRESS: tuple[CallProgress, ...] = get_args(CallProgress)

MIN_RING, MAX_RING = 5, 600
MAX_CALL = 24 * 3600


@runtime_checkable
class InboundCall(Protocol):
    """What `dial_openai` needs to know of a call: the typed voice webhook has it."""

    @property
    def call_sid(self) -> str:
        """The SID of the caller's call, the parent of the one to OpenAI."""
        ...

    @property
    def caller(self) -> str | None:
        """The caller's number as E.164, without `whatsapp:`; None if it is withheld or does not exist."""

    @property
    def user_id(self) -> str | None:
        """The id of a WhatsApp user (`BR.…`), or None."""

    @property
    def channel(self) -> str:
        """How the caller came: "phone", "whatsapp", "sip" or "client"."""
        ...

    @property
    def dialed(self) -> str | None:
        """The number that was dialed as E.164, without `whatsapp:`, or None."""


def dial_openai(
    project: str,
    *,
    voice: InboundCall | None = None,
    into: AnyResponse | None = None,
    context: Mapping[str, str] | None = None,
    signer: ContextSigner | None = None,
    region: Region | None = None,
    edge: Edge | None = None,
    host: Endpoints | str = Endpoints.DEFAULT,
    secure: bool = False,
    caller_id: str | None = None,
    timeout: int = 30,
    time_limit: int = 3660,
    action: str | None = None,
    refer_url: str | None = None,
    record: Recording | None = None,
    recording_status_callback: str | None = None,
    status_callback: str | None = None,
    status_callback_events: Collection[CallProgress] = _ALL_PROGRESS,
    headers: Mapping[str, str] | None = None,
) -> AnyResponse:
    """Return a response that dials OpenAI. The caller hears it ringing until the call is accepted.

    Args:
        project: OpenAI's id of the project, `proj_…`. On Azure it is "proj_" and the resource's internal id.
        voice: The voice webhook that is answered. It gives the caller id, the channel, the number that was dialed, and
            the SID of the call, which are otherwise unknown to OpenAI's webhook.
        into: The response to append to; a new one if left out. It should be empty: any verb before `<Dial>` answers the
            call, and the caller then waits in silence.
        context: What your server says about the call: it comes back, verified and once, as `incoming.context`. Carriers
            can read it. See `ContextSigner.sign` for its limits.
        signer: Signs the context. If left out, the environment's `REALTIME_SIP_CONTEXT_SECRET` is the secret.
        region: Where Twilio sends the call from, such as "br1" for São Paulo; Virginia if left out.
        edge: The same by its newer name, such as "sao-paulo"; one of both.
        host: `Endpoints.EU`, `Endpoints.INDIA`, `Endpoints.azure(…)`, or the name of a SIP host. The client that
            answers needs the same `Endpoints`: elsewhere the call is not found.
        secure: Whether the audio is encrypted (SRTP); the signaling always is (TLS).
        caller_id: What OpenAI sees as the caller. It need not be a number of yours. By default it is the caller's
            number, or the user id of a WhatsApp user without one.
        timeout: Seconds to ring, 5 to 600, to which Twilio adds about 5. OpenAI gives up by itself, sooner.
        time_limit: Seconds that the call may last. OpenAI ends it after 60 minutes, and this a minute later.
        action: The URL that Twilio asks when it is over, or did not come about: `after_dial` says which. Without it the
            next verb follows, and without one the call ends.
        refer_url: The URL that Twilio asks for TwiML if the call is transferred by REFER. "Enhanced Programmable SIP
            Features" must be on in Twilio's console.
        record: Whether Twilio records; "dual" keeps both sides apart.
        recording_status_callback: The URL to which Twilio posts when the recording can be fetched. Give a whole one.
        status_callback: The URL to which Twilio posts the progress of the call to OpenAI. Give a whole one: by a report
            Twilio refuses a path (21609).
        status_callback_events: Of which; all four by default. "answered" arrives as `CallStatus=in-progress`.
        headers: SIP headers besides, `X-…` but not `X-Twilio…`, of printable ASCII. Anybody can forge them: what counts
            goes into `context`.

    With `voice`, `X-Channel` is always there, and `X-Dialed-Number` if a number was dialed, so that `incoming.channel`
    and `incoming.dialed` are right. With `voice` and a secret both are signed as well, with the SID of the call and
    whether there is a `refer_url`, also if there is no `context`.

    Raises:
        ConfigurationError: `project` or `host` cannot be OpenAI's, or there is a context but no secret.
        InvalidRequestError: Another argument is not valid, or all headers together are too long for Twilio. Nothing was
            appended.
    """
    response = response_of("dial_openai", into)
    problems = {
        "voice": _heard(voice),
        "signer": _signs(signer),
        "caller_id": sip_caller_id(caller_id),
        "timeout": seconds(timeout, MIN_RING, MAX_RING),
        "time_limit": seconds(time_limit, 1, MAX_CALL),
        "action": url(action),
        "refer_url": url(refer_url),
        "record": None if record is None else one_of(record, get_args(Recording)),
        "recording_status_callback": url(recording_status_callback),
        "status_callback": url(status_callback),
        "status_callback_events": _progress(status_callback_events),
    }
    if recording_status_callback is not None and record in (None, "do-not-record"):
        problems["recording_status_callback"] = "is never asked if nothing is recorded: set record"
    if isinstance(headers, Mapping):
        problems |= {f"headers.{name}": _taken(name, voice) for name in headers if isinstance(name, str)}
    refuse("dial_openai", problems)
    ours: dict[str, str] = {}
    if voice is None:
        _say_once(
            "no voice",
            "dial_openai without voice: the channel and the dialed number are unknown to OpenAI's webhook, and without "
            "caller_id a caller from WhatsApp is refused",
        )
    else:
        ours = _known(voice)
        caller_id = caller_id or _caller_id(voice)
    uri = openai_uri(
        project,
        host=host,
        secure=secure,
        region=region,
        edge=edge,
        headers=_joined(headers, ours, _context(voice, context, signer, refer_url)),
    )
    if response.verbs:
        _say_once(
            "not first",
            "dial_openai is not the first verb: the call is answered before OpenAI accepts it, and the caller waits in "
            "silence",
        )
    dial = VoiceResponse().dial(
        action=action,
        timeout=timeout,
        time_limit=time_limit,
        caller_id=caller_id,
        answer_on_bridge=True,
        record=record,
        recording_status_callback=recording_status_callback,
        refer_url=refer_url,
    )
    events = status_callback_events if status_callback is not None else None
    dial.sip(uri, status_callback=status_callback, status_callback_event=events)
    response.append(dial)
    return response


def response_of(what: str, into: AnyResponse | None) -> AnyResponse:
    """Return the response to append to, or a new one."""
    response: Any = into
    if into is None:
        response = VoiceResponse()
    if not isinstance(response, voice_response.VoiceResponse):
        raise InvalidRequestError(what, (("into", "must be a VoiceResponse"),))
    return response  # type: ignore[no-any-return]


def _heard(voice: object) -> str | None:
    """Return what is wrong with a voice webhook, or None."""
    if voice is None:
        return None
    if not isinstance(voice, InboundCall):
        return "must be the typed voice webhook"
    if voice.channel not in _CHANNELS:
        return "has a channel that is not known"
    return next(
        ("has what is no number as E.164" for one in (voice.caller, voice.dialed) if one is not None and number(one)),
        None,
    )


def _signs(signer: object) -> str | None:
    return None if signer is None or isinstance(signer, ContextSigner) else "must be a ContextSigner"


def _progress(events: object) -> str | None:
    if isinstance(events, Collection) and not isinstance(events, (str, bytes)) and events:
        return next((wrong for event in events if (wrong := one_of(event, _ALL_PROGRESS))), None)
    return f"must be a list of {', '.join(_ALL_PROGRESS)}"


def _taken(name: str, voice: InboundCall | None) -> str | None:
    """Return why a header is not the program's to set, or None."""
    if name.lower() == CONTEXT_HEADER.lower():
        return "is signed here: pass context"
    return "is what voice says" if voice is not None and name.lower() in _OURS else None


def _known(voice: InboundCall) -> dict[str, str]:
    known: dict[str, str] = {CHANNEL_HEADER: _CHANNELS[voice.channel]}
    if voice.dialed is not None:
        known[DIALED_HEADER] = voice.dialed
    return known


def _caller_id(voice: InboundCall) -> str | None:
    """Return what stands for the caller; None if Twilio's own choice is right.

    That choice is the webhook's `From`, which has a colon if the caller is on WhatsApp or in an app, and then OpenAI
    refuses the call. A withheld number is passed on by Twilio as what says so.
    """
    if voice.caller is not None or voice.channel in ("phone", "sip"):
        return voice.caller
    user = voice.user_id
    return "anonymous" if user is None or sip_caller_id(user) else user


def _context(
    voice: InboundCall | None, context: Mapping[str, str] | None, signer: ContextSigner | None, refer_url: str | None
) -> dict[str, str]:
    """Return the header of the signed context, or nothing if there is nothing to sign, or nothing to sign it with."""
    if voice is None and not context:
        return {}
    if signer is None:
        secret = os.environ.get(_SECRET)
        if secret:
            signer = ContextSigner(secret)
        elif context:
            raise ConfigurationError(f"a context has to be signed: pass signer, or set {_SECRET}")
        else:
            _say_once(
                "no secret",
                f"dial_openai without signer or {_SECRET}: the call is not known to be from here, so that the fallback "
                "of a transfer and the carrier's callbacks are off",
            )
            return {}
    return signer.sign(
        {} if context is None else context,
        parent_call_sid=None if voice is None else voice.call_sid,
        now=time.time(),
        channel=None if voice is None else _CHANNELS[voice.channel],
        dialed=None if voice is None else voice.dialed,
        refer_url=refer_url is not None,
    )


def _joined(headers: Any, *ours: Mapping[str, str]) -> Any:
    """Return all headers. Anything but a mapping stays as it is, and is refused where headers are checked."""
    if headers is not None and not isinstance(headers, Mapping):
        return headers
    return {**(headers or {}), **dict(chain.from_iterable(more.items() for more in ours))}


def _say_once(what: str, message: str) -> None:
    """Warn of what is so with every call, the first time."""
    if what not in _said:
        _said.add(what)
        _log.warning(message)

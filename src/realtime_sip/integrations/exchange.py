"""What a webhook's request means: method, target, headers and body in; what it says, or what to answer, out. No I/O."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypedDict, TypeVar
from urllib.parse import quote

from realtime_sip.errors import (
    ConfigurationError,
    DeadlineError,
    WebhookError,
    WebhookPayloadError,
    WebhookVerificationError,
)
from realtime_sip.hosting.health import Health
from realtime_sip.hosting.taken import Submission
from realtime_sip.twilio.signature import TwilioSignature
from realtime_sip.twilio.webhooks import (
    AnsweredByCallback,
    CallStatusCallback,
    CallWebhook,
    DialResult,
    IncomingMessage,
    QueueResult,
    RecordingCallback,
    ReferRequest,
    TwilioWebhook,
    VoiceWebhook,
    read_webhook,
)
from realtime_sip.webhooks import IncomingCall, OpenAIWebhooks, unwrap
from realtime_sip.webhooks.received import names_of, read_headers

_log = logging.getLogger("realtime_sip.integrations")

MAX_BODY = unwrap.MAX_BODY
"""Bytes of a body at most."""
READ_WITHIN = 10.0
"""Seconds that a body may take to arrive."""

_LENGTH, _ENCODING = "content-length", "transfer-encoding"
_NAMES = names_of([_LENGTH, _ENCODING])
_IN_A_PATH = "/!$&'()*+,;=:@~"
_TOO_LARGE = {"body_too_large", "too_many_fields"}
_MAX_KINDS = 100
_passed_over: set[str] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came in.

    Attributes:
        method: Such as "POST".
        target: Path and query, byte for byte as they were received; Twilio signs them so.
        headers: What `read_headers` takes.
        body: The body, cut off behind `MAX_BODY + 1` bytes.
        peer: The address that the connection came from.
    """

    method: str
    target: bytes = field(repr=False)
    headers: object = field(repr=False)
    body: bytes = field(repr=False)
    peer: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer."""

    status: int
    body: str = ""
    content_type: str = "text/plain; charset=utf-8"


TOO_LARGE = Reply(413, "the body is too large")
NOT_HERE = Reply(408, "the body did not arrive")


# --- the body ---------------------------------------------------------------------------------------------------------


def is_too_long(headers: object) -> bool:
    """Return whether the headers announce a body that need not be read."""
    length = _announced(headers)[0]
    return length is not None and length > MAX_BODY


def taken_by_others(why: str) -> Reply:
    """Return what to answer if the body cannot be read any more, after logging why."""
    _log.error("the body of a webhook cannot be read: %s", why)
    return Reply(500, "the body was read before the webhook was")


def late_body() -> Reply:
    """Return what to answer if the body does not arrive, after logging what may be the matter."""
    _log.error(
        "the body of a webhook did not arrive within %.0f s: the sender is slow, or a middleware has read it and does "
        "not pass it on",
        READ_WITHIN,
    )
    return NOT_HERE


def _announced(headers: object) -> tuple[int | None, bool]:
    """Return the length that the headers announce, if they do, and whether they announce a body at all."""
    try:
        found = read_headers(headers, _NAMES)
    except WebhookVerificationError:
        return None, False
    text = found.get(_LENGTH)
    text = text.decode("latin-1") if isinstance(text, bytes) else str(text or "")
    length = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None
    return length, bool(length) or bool(found.get(_ENCODING))


def _unusable(received: Received, culprits: str) -> Reply | None:
    """Return what to answer if there is no use in checking a signature: the body is not the one that was sent."""
    if len(received.body) > MAX_BODY:
        return TOO_LARGE
    if not received.body and _announced(received.headers)[1]:
        return taken_by_others(f"the request announced a body, and it is empty: {culprits}")
    return None


# --- OpenAI -----------------------------------------------------------------------------------------------------------


def incoming_call(received: Received, webhooks: OpenAIWebhooks, *, culprits: str) -> IncomingCall | Reply:
    """Return the call that a webhook of OpenAI's announces, or what to answer if it announces none.

    Args:
        received: The request.
        webhooks: Proves who sent it.
        culprits: What may have read the body before, if it is empty though it should not be.
    """
    if received.method != "POST":
        return Reply(405, "POST is expected")
    unusable = _unusable(received, culprits)
    if unusable is not None:
        return unusable
    try:
        event = webhooks.unwrap(received.body, received.headers)
    except WebhookError as error:
        _log.warning("a webhook is refused: %s", error.reason)
        return TOO_LARGE if error.reason in _TOO_LARGE else Reply(400, error.reason)
    if isinstance(event, IncomingCall):
        return event
    if event.type not in _passed_over and len(_passed_over) < _MAX_KINDS:
        _passed_over.add(event.type)
        _log.info(
            "webhooks of type %r announce no call of the Realtime API: they are answered, and nothing is done",
            event.type,
        )
    return Reply(200)


def submitted(call: IncomingCall, became: Submission) -> Reply:
    """Return what to answer once the host has the call: it is taken care of, whatever became of it."""
    _log.info("call %s: its webhook is answered: %s", call.call_id, became.value)
    return Reply(200)


def not_submitted(call: IncomingCall, error: DeadlineError) -> Reply:
    """Return what to answer if the host could not take the call, so that the webhook comes again."""
    _log.error("call %s: it is not taken: %s", call.call_id, error)
    return Reply(503, "the call could not be taken: deliver the webhook again")


# --- Twilio -----------------------------------------------------------------------------------------------------------

Payload = TypeVar("Payload", bound=TwilioWebhook)


class Twiml(Protocol):
    """TwiML, as `realtime_sip.twilio.twiml` and Twilio's own package make it."""

    def to_xml(self) -> str:
        """Return it as text."""
        ...


Answer: TypeAlias = Twiml | str | None
"""What a function answers to Twilio: TwiML, the same as text, or nothing."""

Function: TypeAlias = Callable[[Payload], Answer | Awaitable[Answer]]
"""Answers a webhook of Twilio's; plain or async."""


class Carried(Protocol):
    """A host that the carrier reports to: a `CallHost` or `ThreadCallHost`."""

    def carrier(self, payload: CallWebhook) -> bool:
        """Pass on what Twilio says about a call."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """A path of its own for one kind of Twilio's webhooks.

    Attributes:
        name: The last part of the path.
        kind: What the webhook is read as.
        function: The program's own, if there is one.
        host: Is passed the payload first.
        wants_twiml: Whether Twilio asks what to do.
    """

    name: str
    kind: type[TwilioWebhook]
    function: Function[Any] | None
    host: Carried | None
    wants_twiml: bool

    def reply(self, answer: object) -> Reply:
        """Return what to answer, given what the function returned."""
        if answer is None and not self.wants_twiml:
            return Reply(204)
        text = "<Response/>" if answer is None else answer if isinstance(answer, str) else str(answer)
        return Reply(200, text, "text/xml")


class TwilioFunctions(TypedDict, total=False):
    """The functions that `twilio_webhook` takes. Each answers, or hears, what comes to a path of its own name."""

    voice: Function[VoiceWebhook]
    """The voice URL of a number: what to do with a call."""
    after_dial: Function[DialResult]
    """The `action` of `dial_openai`: what follows it."""
    after_queue: Function[QueueResult]
    """The `action` of `enqueue_flex`: what follows it."""
    refer: Function[ReferRequest]
    """The `refer_url` of `dial_openai`: what to do with a caller who is transferred."""
    status: Function[CallStatusCallback]
    """A `status_callback`. With a host the path is there without a function too."""
    answered: Function[AnsweredByCallback]
    """The `callback` of `MachineDetection`. With a host the path is there without a function too."""
    recording: Function[RecordingCallback]
    """A `recording_status_callback`."""
    message: Function[IncomingMessage]
    """The URL of incoming messages."""


def twilio_routes(host: Carried | None, functions: TwilioFunctions) -> list[Route]:
    """Return the routes for what the program has functions for, and for what a host hears, if there is one.

    Raises:
        ConfigurationError: There is nothing to answer, or what is given is no function, or of no such name.
    """
    unknown = functions.keys() - TwilioFunctions.__annotations__.keys()
    if unknown:
        raise ConfigurationError(f"there is no webhook of Twilio's by the name of {min(unknown)}")
    routes = [
        Route("voice", VoiceWebhook, functions.get("voice"), None, True),
        Route("after_dial", DialResult, functions.get("after_dial"), host, True),
        Route("after_queue", QueueResult, functions.get("after_queue"), host, True),
        Route("refer", ReferRequest, functions.get("refer"), host, True),
        Route("status", CallStatusCallback, functions.get("status"), host, False),
        Route("answered", AnsweredByCallback, functions.get("answered"), host, False),
        Route("recording", RecordingCallback, functions.get("recording"), None, False),
        Route("message", IncomingMessage, functions.get("message"), None, True),
    ]
    for route in routes:
        if route.function is not None and not callable(route.function):
            raise ConfigurationError(f"{route.name} must be a function of the webhook's payload")
    heard = {"status", "answered"} if host is not None else set[str]()
    wanted = [each for each in routes if each.function is not None or each.name in heard]
    if not wanted:
        raise ConfigurationError("give a function for at least one kind of Twilio's webhooks, such as voice")
    return wanted


def twilio_payload(
    received: Received, kind: type[Payload], signature: TwilioSignature | None, *, culprits: str
) -> Payload | Reply:
    """Return what a webhook of Twilio's says, or what to answer if nothing proves that it is Twilio's.

    Args:
        received: The request.
        kind: What it is read as.
        signature: Proves who sent it; None if something else has proven it.
        culprits: What may have read the body before, if it is empty though it should not be.
    """
    if received.method not in {"POST", "GET"}:
        return Reply(405, "POST or GET is expected")
    unusable = _unusable(received, culprits)
    if unusable is not None:
        return unusable
    try:
        if signature is not None:
            signature.verify(
                received.target, received.body, received.headers, method=received.method, peer=received.peer
            )
    except WebhookError as error:
        _log.warning("a request that is not Twilio's is refused: %s", error.reason)
        return TOO_LARGE if error.reason in _TOO_LARGE else Reply(403, error.reason)
    except ConfigurationError as error:
        _log.error("a request cannot be proven to be Twilio's: %s", error)
        return Reply(500, "the signature cannot be checked")
    form = received.body if received.method == "POST" else received.target.partition(b"?")[2]
    try:
        return _read(form, kind)
    except WebhookPayloadError as error:
        _log.warning("a webhook of Twilio's is refused, which is no %s: %s", kind.__name__, error.reason)
        return TOO_LARGE if error.reason in _TOO_LARGE else Reply(400, error.reason)


def _read(form: bytes, kind: type[Payload]) -> Payload:
    found = read_webhook(form)
    if isinstance(found, kind):
        return found
    if issubclass(kind, IncomingMessage):
        # A report about a message has what an incoming one must have.
        raise WebhookPayloadError("this is a report about a message", reason="another_kind")
    return kind.read(form)


# --- the rest ---------------------------------------------------------------------------------------------------------


def health_reply(health: Health, *, ready: bool) -> Reply:
    """Return what to answer to a balancer that asks whether the host takes calls, or whether the process lives."""
    why = "ready" if health.ready else "draining" if health.draining else "full"
    shown = {"status": why, "live": health.live, "max_calls": health.max_calls}
    return Reply(503 if ready and not health.ready else 200, json.dumps(shown), "application/json")


def asgi_target(scope: Mapping[str, Any]) -> bytes:
    """Return the target of a request under ASGI as it was received, or written anew if the server does not say."""
    path = scope.get("raw_path") or quote(scope["path"], safe=_IN_A_PATH).encode()
    return _with_query(path, scope.get("query_string", b""))


def wsgi_target(environ: Mapping[str, Any]) -> bytes:
    """Return the target of a request under WSGI as it was received, or written anew if the server does not say.

    gunicorn and Werkzeug have it as `RAW_URI`, uWSGI and waitress as `REQUEST_URI`.
    """
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if raw:
        return str(raw).encode("latin-1", "replace")
    path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}".encode("latin-1", "replace")
    return _with_query(
        quote(path, safe=_IN_A_PATH).encode(), str(environ.get("QUERY_STRING", "")).encode("latin-1", "replace")
    )


def _with_query(path: bytes, query: bytes) -> bytes:
    return path + b"?" + query if query else path


def both_forms(path: str) -> Iterable[str]:
    """Return a path with and without a slash at its end.

    Raises:
        ConfigurationError: It does not begin with a slash.
    """
    if not isinstance(path, str) or not path.startswith("/"):
        raise ConfigurationError('path must begin with a slash, as "/openai/webhook"')
    plain = path.rstrip("/")
    return [plain, f"{plain}/"] if plain else ["/"]

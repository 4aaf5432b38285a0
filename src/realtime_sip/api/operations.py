"""Requests as values: what to send, when a failure may be repeated, and what an answer means. No I/O.

`exchange` is a generator: it yields what to do (send a `Request`, or wait for a `Pause`) and is sent the outcome (a
`Reply`, a `Failure`, or None after a pause). A driver of a few lines runs it, blocking or async; opening a WebSocket is
the same exchange as a POST.
"""

from __future__ import annotations

import email.utils
import enum
import json
import logging
import random
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote, unquote_plus

from pydantic_core import from_json

from realtime_sip import beta
from realtime_sip._redaction import redact
from realtime_sip._wire import Outbound
from realtime_sip.errors import (
    ApiKeyError,
    AuthenticationError,
    BadRequestError,
    BetaDisabledError,
    CallGoneError,
    ConfigurationError,
    DeadlineError,
    DecisionAlreadyMadeError,
    InvalidRequestError,
    NetworkError,
    NotFoundError,
    PermissionDeniedError,
    ProxyError,
    QuotaError,
    RateLimitError,
    RealtimeSipError,
    ServerError,
    ServiceError,
    UnexpectedReplyError,
)

_log = logging.getLogger("realtime_sip.http")

T = TypeVar("T")

DEADLINE = 5.0
"""Seconds that an operation may take with all its repeats. A caller who hears ringing hangs up after a few more."""

MAX_REPLY_BYTES = 1024 * 1024
"""A longer reply is cut off. The service's replies are much shorter."""

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_LONGEST_EARLY_PAUSE = 0.4  # somebody is listening to silence
_LONGEST_RETRY_AFTER = 3600.0
_LONGEST_SLEEP = 60.0  # whatever the deadline is, nobody on a phone waits longer for the service to have time
_NUMBER = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,40})?")
_REQUEST_ID = re.compile(r"req_[A-Za-z0-9_-]{1,80}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4,12}){2,4}")
_UNPAID = re.compile(r"insufficient_quota|billing_[a-z0-9_]+")
_MAX_CALL_ID = 256
_OF_CALL = re.compile(r"/realtime(?:/calls/|\?call_id=)([^/&]+)")
_MAX_CODE = 80
_SWITCHING, _PAYMENT_REQUIRED, _PROXY_AUTHENTICATION, _CONFLICT, _TOO_MANY = 101, 402, 407, 409, 429


class Repeat(enum.Enum):
    """Which failures an operation may be repeated after."""

    UNSENT = "unsent"
    """Only if the request certainly did not arrive: for what must not happen twice, such as a transfer."""
    REFUSED = "refused"
    """Also if the service said that it did not act (429)."""
    ANY = "any"
    """Also if it is unknown whether the service acted (5xx, no answer): for what does no harm twice."""


@dataclass(frozen=True, slots=True)
class Body:
    """What a request carries, and the headers that say what it is."""

    content: bytes = field(repr=False)
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Request:
    """Send this, and answer with a `Reply` or a `Failure` within `timeout` seconds."""

    method: str
    path: str
    content: bytes = field(repr=False)
    headers: Mapping[str, str]
    timeout: float
    ephemeral: Body | None = None

    def with_key(self, key: str) -> Request:
        """Return what to send with this key: an ephemeral one carries the session, so that it may ask otherwise."""
        if self.ephemeral is None or not key.startswith("ek_"):
            return self
        return replace(self, content=self.ephemeral.content, headers=self.ephemeral.headers)


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for `seconds`, then answer None. `after` is why, if something is to be repeated."""

    seconds: float
    after: RealtimeSipError | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The service answered. `headers` has lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """The service did not answer. `sent` is False if the request certainly did not arrive.

    `of` says what failed: the network, the function that brings the key, the proxy, or something that is set wrong, so
    that trying again does not help.
    """

    what: str
    sent: bool
    timed_out: bool = False
    of: Literal["network", "key", "proxy", "misuse"] = "network"
    cause: BaseException | None = field(default=None, repr=False, compare=False)


def nothing(_reply: Reply) -> None:
    """Read nothing from a reply that says only that it succeeded."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the success of an operation decides about a call that rings."""

    call_id: str
    rejected: bool


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """One thing to ask of the service.

    Attributes:
        name: What it is called in logs and errors.
        path: The path below the base URL, query included.
        repeat: Which failures it may be repeated after.
        upgrade: Whether it opens a WebSocket, so that nothing but a 101 is a success.
        early_404: Whether `call_id_not_found` may mean "not ready yet", as in the first seconds of a call.
        read: Takes the result out of the reply.
        decides: What success of this decides about a ringing call.
        ephemeral: What is sent instead if the key turns out to be an ephemeral one.
        refused: Names what a reply that is no success means, by the operation's name; as OpenAI writes it if left out.
    """

    name: str
    path: str
    read: Callable[[Reply], T]
    repeat: Repeat = Repeat.REFUSED
    early_404: bool = False
    upgrade: bool = False
    method: str = "POST"
    content: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    decides: Verdict | None = None
    ephemeral: Body | None = None
    refused: Callable[[str, Reply], ServiceError] | None = None


def exchange(
    operation: Operation[T], *, deadline: float, clock: Callable[[], float]
) -> Generator[Request | Pause, Reply | Failure | None, T]:
    """Carry `operation` out, with the repeats that are safe for it, within `deadline` seconds of `clock`.

    Raises:
        ServiceError: The service refused or failed; the last such answer if repeating did not help.
        NetworkError: No answer came; a DeadlineError if the deadline passed.
        ConfigurationError: There is no key, or something else is set wrong; nothing was sent.
    """
    end = clock() + deadline
    attempt, paused, before = 0, 0.0, ""
    while True:
        attempt += 1
        # The pauses count by themselves too: a test may have stopped the clock.
        left = min(end - clock(), deadline - paused)
        outcome = yield Request(
            operation.method,
            operation.path,
            operation.content,
            operation.headers,
            timeout=max(left, 0.001),
            ephemeral=operation.ephemeral,
        )
        if isinstance(outcome, Reply) and _is_success(operation, outcome):
            return operation.read(outcome)
        if outcome is None:
            raise TypeError("a driver must answer a Request with a Reply or a Failure")
        error = _error(operation, outcome, before)
        pause = _pause(operation, error, attempt)
        if pause is None or max(clock(), end - deadline + paused) + pause >= end:
            # Most calls end by being gone.
            _log.log(
                logging.INFO if isinstance(error, CallGoneError) else logging.WARNING,
                "%s%s failed: %s%s%s, attempt %d",
                _beginning(operation),
                operation.name,
                type(error).__name__,
                f" {error.status_code} {error.code}" if isinstance(error, ServiceError) else f" ({error})",
                f", request {error.request_id}" if isinstance(error, ServiceError) and error.request_id else "",
                attempt,
            )
            try:
                raise error from (outcome.cause if isinstance(outcome, Failure) else None)
            finally:
                del error  # else the error would hold its frame, which holds the error
        yield Pause(pause, error)
        paused += pause
        if isinstance(outcome, Reply):
            before = f"; before that: a {outcome.status}"
        elif not outcome.timed_out:
            before = f"; before that: {outcome.what}"


def _beginning(operation: Operation[Any]) -> str:
    """Return the beginning of a line about an operation: the call, if it is about one."""
    named = _OF_CALL.match(operation.path)
    return "" if named is None else f"call {unquote_plus(named[1])}: "


def _is_success(operation: Operation[T], reply: Reply) -> bool:
    return reply.status == _SWITCHING if operation.upgrade else 200 <= reply.status < 300


def _pause(operation: Operation[T], error: RealtimeSipError, attempt: int) -> float | None:
    """Return how long to wait before repeating, or None if repeating is not safe, or would not help in time."""
    backoff = min(_FIRST_PAUSE * 2.0 ** min(attempt - 1, 10), _LONGEST_PAUSE)
    # Spread, so that calls refused together do not come back together.
    spread = backoff * random.uniform(0.75, 1.25)  # noqa: S311 - nothing secret depends on it
    if isinstance(error, ConfigurationError) and not isinstance(error, ProxyError):
        return None
    if isinstance(error, NetworkError):
        return spread if operation.repeat is Repeat.ANY or not error.sent else None
    if not isinstance(error, ServiceError):
        return None
    if error.code == "call_id_not_found":
        # Whatever the service advises: a moment later it knows the call.
        return min(backoff, _LONGEST_EARLY_PAUSE) if operation.early_404 else None
    if not _may_help(operation, error):
        return None
    if isinstance(error, NotFoundError):
        return min(backoff, _LONGEST_EARLY_PAUSE)
    wait = max(error.retry_after or 0.0, spread)
    return wait if wait <= _LONGEST_SLEEP else None


def _may_help(operation: Operation[T], error: ServiceError) -> bool:
    """Whether to repeat what the service refused. Its advice is followed as far as that is safe."""
    if isinstance(error, (QuotaError, BetaDisabledError)) or error.should_retry is False:
        return False
    if isinstance(error, NotFoundError) and error.code is None:
        # Without an error of the API itself it comes from a gateway before it, which may not know the call yet.
        return operation.early_404
    if isinstance(error, (ServerError, UnexpectedReplyError)):
        return operation.repeat is Repeat.ANY
    if operation.repeat is Repeat.UNSENT or isinstance(error, (NotFoundError, DecisionAlreadyMadeError)):
        return False
    return isinstance(error, RateLimitError) or error.should_retry is True


def _error(
    operation: Operation[Any], outcome: Reply | Failure, before: str
) -> ServiceError | NetworkError | ConfigurationError:
    name = operation.name
    if isinstance(outcome, Failure):
        if outcome.of == "misuse":
            return ConfigurationError(f"{name}: {outcome.what}")
        if outcome.of == "key":
            return ApiKeyError(f"{name}: {outcome.what}", sent=outcome.sent)
        if outcome.of == "proxy":
            return ProxyError(f"{name}: {outcome.what}", sent=outcome.sent)
        if outcome.timed_out:
            return DeadlineError(f"{name}: no answer in time ({outcome.what}{before})", sent=outcome.sent)
        return NetworkError(f"{name}: {outcome.what}", sent=outcome.sent)
    if outcome.status == _PROXY_AUTHENTICATION:
        return ConfigurationError(f"{name}: the proxy wants a user and a password (407): give them in its URL")
    return (operation.refused or _service_error)(name, outcome)


def _service_error(name: str, reply: Reply) -> ServiceError:
    details = _error_object(reply.body)
    status, code = reply.status, _short(details.get("code"))
    param, request_id = _short(details.get("param")), _request_id(reply)
    message = details.get("message")
    said = redact(message) if isinstance(message, str) else "no message"
    kind: type[ServiceError]
    if 200 <= status < 300:
        return unexpected(reply, f"{name}: the service answered {status} in place of opening a WebSocket")
    unpaid = next((word for word in (code, _short(details.get("type"))) if word and _UNPAID.fullmatch(word)), None)
    if unpaid is not None or status == _PAYMENT_REQUIRED:
        kind, code = QuotaError, unpaid or code
    elif status == _TOO_MANY:
        kind = RateLimitError
    elif code == "decision_already_made" or (status == _CONFLICT and name in ("accept", "reject")):
        kind = DecisionAlreadyMadeError
    elif code == "call_id_not_found" or status == 410:
        kind = CallGoneError
    elif code == beta.DISABLED:
        kind = BetaDisabledError
        said = f"{param or 'the request'} is of the beta API, which is off; {said}"
    else:
        kind = {
            400: BadRequestError,
            401: AuthenticationError,
            403: PermissionDeniedError,
            404: NotFoundError,
            422: BadRequestError,
        }.get(status, ServerError if status >= 500 else ServiceError)
    return kind(
        f"{name}: {status}{f' {code}' if code else ''}: {said}{f' (request {request_id})' if request_id else ''}",
        status_code=status,
        code=code,
        param=param,
        request_id=request_id,
        retry_after=retry_after(reply.headers),
        should_retry={"true": True, "false": False}.get(reply.headers.get("x-should-retry", "").strip().lower()),
    )


def _error_object(body: bytes) -> dict[str, Any]:
    try:
        parsed = from_json(body)
    except ValueError:
        return {}
    error = parsed.get("error") if isinstance(parsed, dict) else None
    return error if isinstance(error, dict) else {}


def _short(value: object) -> str | None:
    """Return an identifier for logs and errors, or None if it is not valid."""
    if not isinstance(value, str) or not value.isprintable():
        return None
    return redact(value[:_MAX_CODE]) or None


def _request_id(reply: Reply) -> str | None:
    """Return the id to quote to the vendor's support, unredacted: half its digits would pass for a phone number."""
    value = reply.headers.get("x-request-id", "")
    return value if _REQUEST_ID.fullmatch(value) else _short(value)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the service's advice in seconds (RFC 9110 10.2.3; a date counts from the reply's own `date`).

    `retry-after-ms`, which Azure sends, is the finer one.
    """
    milliseconds, value = headers.get("retry-after-ms", "").strip(), headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(milliseconds):
        return min(float(milliseconds) / 1000, _LONGEST_RETRY_AFTER)
    if _NUMBER.fullmatch(value):
        return min(float(value), _LONGEST_RETRY_AFTER)
    try:
        when = email.utils.parsedate_to_datetime(value)
        now = email.utils.parsedate_to_datetime(headers.get("date", ""))
        return min(max((when - now).total_seconds(), 0.0), _LONGEST_RETRY_AFTER)
    except (ValueError, TypeError, OverflowError):
        return None


def call_path(call_id: str, action: str) -> str:
    """Return the path of `action` on a call. The id is opaque and comes from a webhook, so it is escaped.

    Raises:
        InvalidRequestError: The id is empty, too long, or has control characters.
    """
    return f"/realtime/calls/{quote(checked_call_id(call_id), safe='')}/{action}"


def checked_call_id(call_id: str) -> str:
    """Return `call_id`, or raise InvalidRequestError for what cannot be one."""
    if not isinstance(call_id, str) or not 0 < len(call_id) <= _MAX_CALL_ID or not call_id.isprintable():
        raise InvalidRequestError("call_id", (("", f"must be 1 to {_MAX_CALL_ID} printable characters"),))
    if not call_id.strip("."):
        raise InvalidRequestError("call_id", (("", "must not be only dots"),))
    return call_id


def json_body(value: Outbound | dict[str, Any], *, what: str) -> bytes:
    """Return `value`, which may hold models, as JSON.

    Raises:
        InvalidRequestError: It holds what JSON cannot.
    """
    try:
        return json.dumps(value, default=_to_wire, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, TypeError, RecursionError):
        raise InvalidRequestError(what, (("", "holds a value that JSON cannot"),)) from None


def _to_wire(value: object) -> dict[str, Any]:
    if isinstance(value, Outbound):
        return value.to_wire()
    raise TypeError


def unexpected(reply: Reply, message: str) -> UnexpectedReplyError:
    return UnexpectedReplyError(message, status_code=reply.status, request_id=_request_id(reply))

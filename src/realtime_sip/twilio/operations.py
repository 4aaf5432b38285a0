"""Requests to Twilio's REST API as values: how they are written, read and refused. No I/O.

A function that needs several requests is a generator: it yields an `Operation`, or a `Pause`, and is sent what the
operation reads. `TwilioAccount.run` and its async twin carry it out, and throw an error of an operation into it.

Whatever creates something is `Repeat.REFUSED`: repeated after 429, and never after a timeout or a 5xx, since Twilio has
no key that would make a repetition the same request. To find out whether it was made is up to the generator.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from realtime_sip._redaction import redact
from realtime_sip.api.operations import Operation, Pause, Repeat, Reply, nothing, retry_after, unexpected
from realtime_sip.errors import (
    AuthenticationError,
    BadRequestError,
    CallLimitError,
    CallPermissionError,
    DomainTakenError,
    InvalidRequestError,
    LimitReachedError,
    NetworkError,
    NotFoundError,
    NumberUnavailableError,
    PermissionDeniedError,
    RateLimitError,
    RealtimeSipError,
    RegulationError,
    ServerError,
    ServiceError,
    TrialAccountError,
    UnreachableNumberError,
    WhatsAppCallError,
    WhatsAppSenderError,
)

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

Steps: TypeAlias = Generator[Operation[Any] | Pause, Any, T]
"""What asks Twilio one thing after another, and returns what came of it."""

ACCOUNT_SID = "{AccountSid}"
"""Stands in a path for the account's SID, which whoever carries the operation out knows."""

API = f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT_SID}"
TRUNKING = "https://trunking.twilio.com/v1"
PRICING = "https://pricing.twilio.com/v1"
CONTENT = "https://content.twilio.com/v1/Content"
SENDERS = "https://messaging.twilio.com/v2/Channels/Senders"
WEBHOOKS = "https://webhooks.twilio.com/v1/Webhooks"

PAGE = 100
"""Entries that are asked for at a time."""
_MAX_PAGES = 100

_BY_CODE: dict[int, type[ServiceError]] = {
    20003: AuthenticationError,
    20404: NotFoundError,
    20429: RateLimitError,
    21404: TrialAccountError,
    21248: DomainTakenError,
    37000: CallPermissionError,
    37001: WhatsAppCallError,
    37004: RateLimitError,
    **dict.fromkeys((37003, 37006), CallLimitError),
    **dict.fromkeys((37007, 37008, 37009), WhatsAppSenderError),
    **dict.fromkeys((13224, 21211), UnreachableNumberError),
    **dict.fromkeys((21239, 21242, 21244, 21249, 21255), LimitReachedError),
    **dict.fromkeys((21421, 21422, 21451, 21452), NumberUnavailableError),
    **dict.fromkeys((21613, 21615, 21628, 21629, 21631, 21649, 21650, 21651), RegulationError),
}
_BY_STATUS: dict[int, type[ServiceError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    422: BadRequestError,
    429: RateLimitError,
}
_REQUEST_ID = re.compile(r"RQ[0-9a-f]{32}")


def ask(operation: Operation[T]) -> Steps[T]:
    """Carry one operation out."""
    read: T = yield operation
    return read


def get(name: str, path: str, model: type[M], query: Mapping[str, object] | None = None) -> Operation[M]:
    """Read a resource."""
    return Operation(
        name, _with(path, query), _read(name, model), Repeat.ANY, method="GET", headers=_ACCEPT, refused=refused
    )


def form(
    name: str, path: str, fields: Mapping[str, object], model: type[M], *, repeat: Repeat = Repeat.REFUSED
) -> Operation[M]:
    """Post a form. What is None is left out; a boolean is a word, and a list is one field for each entry."""
    written: list[tuple[str, str]] = []
    for key, value in fields.items():
        values = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
        written += [(key, _text(each)) for each in values]
    headers = {**_ACCEPT, "Content-Type": "application/x-www-form-urlencoded"}
    content = urlencode(written).encode()
    return Operation(name, path, _read(name, model), repeat, content=content, headers=headers, refused=refused)


def body(
    name: str, path: str, value: Mapping[str, object], model: type[M], *, repeat: Repeat = Repeat.REFUSED
) -> Operation[M]:
    """Post JSON. What is None is sent as null."""
    headers = {**_ACCEPT, "Content-Type": "application/json"}
    content = json.dumps(value, allow_nan=False).encode()
    return Operation(name, path, _read(name, model), repeat, content=content, headers=headers, refused=refused)


def delete(name: str, path: str) -> Steps[None]:
    """Delete a resource. That it is not there is what was wanted, as after an answer that got lost."""
    with suppress(NotFoundError):
        yield Operation(name, path, nothing, Repeat.ANY, method="DELETE", headers=_ACCEPT, refused=refused)


def listed(
    name: str,
    path: str,
    key: str,
    model: type[M],
    query: Mapping[str, object] | None = None,
    *,
    most: int = 10_000,
    page_size: str = "PageSize",
) -> Steps[list[M]]:
    """Read all pages of a list, `most` entries at most. `page_size` is what the API calls the entries of a page.

    Raises:
        UnexpectedReplyError: It does not end, or an entry is not what it should be.
    """
    found: list[M] = []
    first: dict[str, object] = {page_size: min(PAGE, most), **(query or {})}
    asked, read = first, _read_page(name, key, model)
    for _ in range(_MAX_PAGES):
        entries, following = yield Operation(
            name, _with(path, asked), read, Repeat.ANY, method="GET", headers=_ACCEPT, refused=refused
        )
        found += entries
        if following is None or len(found) >= most:
            return found[:most]
        # Only the query is taken of what Twilio says: at another place the account's key would be sent there.
        asked = {**first, **following}
    raise unexpected(Reply(200, {}), f"{name}: the list has more than {_MAX_PAGES} pages")


def may_have_acted(error: RealtimeSipError) -> bool:
    """Whether Twilio may have done what it was asked, though no answer says so."""
    return error.sent if isinstance(error, NetworkError) else isinstance(error, ServerError)


def checked_sid(value: object, prefix: str, what: str) -> str:
    """Return a SID, ready for a path.

    Raises:
        InvalidRequestError: It is not one of that kind.
    """
    if not isinstance(value, str) or not re.fullmatch(f"{prefix}[0-9a-fA-F]{{32}}", value):
        raise InvalidRequestError(what, (("", f"must be a SID: {prefix} and 32 hexadecimal digits"),))
    return value


def segment(value: str) -> str:
    """Return a text as one part of a path."""
    return quote(value, safe="")


def refused(name: str, reply: Reply) -> ServiceError:
    """Return what a refusal means, by Twilio's code and else by the status."""
    details = _object(reply.body)
    code = details.get("code")
    known = code if isinstance(code, int) and not isinstance(code, bool) and 0 < code < 1_000_000 else None
    kind = ServerError if reply.status >= 500 else _BY_CODE.get(known or 0) or _BY_STATUS.get(reply.status)
    # An answer by RFC 9457 has its message in `detail`.
    message = next((text for key in ("message", "detail") if isinstance(text := details.get(key), str)), None)
    said = "no message" if message is None else redact(message)
    more = "" if known is None else f" (https://www.twilio.com/docs/errors/{known})"
    request_id = reply.headers.get("twilio-request-id", "")
    return (kind or ServiceError)(
        f"{name}: {reply.status}{'' if known is None else f' {known}'}: {said}{more}",
        status_code=reply.status,
        code=None if known is None else str(known),
        request_id=request_id if _REQUEST_ID.fullmatch(request_id) else None,
        retry_after=retry_after(reply.headers),
    )


_ACCEPT = {"Accept": "application/json"}


def _with(path: str, query: Mapping[str, object] | None) -> str:
    written = urlencode([(name, _text(value)) for name, value in (query or {}).items() if value is not None])
    return f"{path}?{written}" if written else path


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _object(content: bytes) -> dict[str, Any]:
    try:
        parsed = from_json(content)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _read(name: str, model: type[M]) -> Callable[[Reply], M]:
    def read(reply: Reply) -> M:
        return _checked(name, model, _object(reply.body), reply)

    return read


def _read_page(name: str, key: str, model: type[M]) -> Callable[[Reply], tuple[list[M], dict[str, str] | None]]:
    def read(reply: Reply) -> tuple[list[M], dict[str, str] | None]:
        page = _object(reply.body)
        meta = page.get("meta")
        entries = page.get(key, page.get(str(meta.get("key"))) if isinstance(meta, dict) else None)
        if not isinstance(entries, list):
            raise unexpected(reply, f"{name}: the reply has no list {key!r}")
        return [_checked(name, model, entry, reply) for entry in entries], _following(page)

    return read


def _following(page: dict[str, Any]) -> dict[str, str] | None:
    """Return the query of the next page, or None. Twilio has three ways to say it."""
    meta = page.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    match page.get("next_page_uri") or meta.get("next_page_url"), meta.get("nextToken"):
        case str(url), _:
            return dict(parse_qsl(urlsplit(url).query))
        case _, str(token) if token:
            return {"pageToken": token}
    return None


def _checked(name: str, model: type[M], value: object, reply: Reply) -> M:
    try:
        return model.model_validate(value)
    except ValidationError:
        raise unexpected(reply, f"{name}: the reply lacks what it should hold") from None

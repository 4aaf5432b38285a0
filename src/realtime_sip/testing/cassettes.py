"""What vcrpy needs so that a cassette of OpenAI's or Twilio's REST API holds nothing that must not be committed."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from email.parser import BytesParser
from email.policy import HTTP
from http import HTTPStatus
from typing import Any, Protocol, TypedDict
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from realtime_sip._redaction import size_of
from realtime_sip.event_log.redaction import is_name, redacted_event

__all__ = ["VcrConfig", "vcr_config"]

_REQUEST_HEADERS = frozenset({"accept", "content-type", "openai-beta"})
_RESPONSE_HEADERS = frozenset(
    {
        *("content-type", "date", "location", "retry-after", "retry-after-ms", "x-should-retry", "x-request-id"),
        "twilio-request-id",
    }
)
_BOUNDARY = "realtime-sip"
_ACCOUNT = re.compile(r"\b(AC|SK)[0-9a-fA-F]{32}\b")
_NUMBER = re.compile(r"\+?(?<![0-9A-Za-z])[0-9]{7,}(?![0-9A-Za-z])|\+[0-9][0-9 ().-]{5,}[0-9]")
"""A phone number in a path or a header. Ids have letters beside their digits."""
_DIGITS = re.compile("[0-9]{7}")
_SECRET = re.compile(r"\b(?:sk|ek|whsec)[-_][^\s/?&;,\"]+")
_PLAIN_IN_QUERY = frozenset({"after", "before", "call_id", "limit", "model", "order", "page", "pagesize", "status"})
_MAX_PLAIN_DIGITS = 6
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_.\[\]-]{0,59}")
_STAND_IN = re.compile(r"^(127\.0\.0\.1|localhost|\[::1\]):[0-9]+$")
"""A server on a port of its own each time, which would change each cassette that is recorded again."""
_CHARSET = re.compile(r"charset=[\w-]+", re.IGNORECASE)
_SCRUBBED = re.compile(r"<(?:[0-9]+ (?:chars|items)|number|key)>")
"""What stands for a text already: vcrpy scrubs again what it reads back."""
_SDP = b"v=0\r\ns=withheld\r\n"
_ZEROS = "+" + "0" * 11
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class _Request(Protocol):
    """A request as vcrpy has it."""

    uri: str
    body: Any
    headers: Any


class VcrConfig(TypedDict):
    """The arguments of `vcr.VCR`, or what a `vcr_config` fixture of pytest-recording returns."""

    match_on: list[str]
    decode_compressed_response: bool
    before_record_request: Callable[[Any], Any]
    before_record_response: Callable[[dict[str, Any]], dict[str, Any]]


def vcr_config() -> VcrConfig:
    """Return what `vcr.VCR(**vcr_config())` needs to scrub cassettes, and to match what it has scrubbed.

    It is an allow-list, as that of the event log: names, ids, counts and codes stay, any other text becomes its
    length. So keys, phone numbers, instructions, SDP, secrets and transcripts do not reach the disk; of headers,
    only those that say what a body is, or when to try again. Of a URL the path stays, with zeros in place of
    account ids of Twilio and of numbers, and of its query what selects pages; a stand-in on loopback has no port
    there. A multipart body gets a fixed boundary. Requests are matched by method, path, query and scrubbed body,
    and not by host: a cassette that was recorded from a stand-in on a random port plays for the service's own
    address too.

    What is played back is what was scrubbed: a key in it reads "<35 chars>". Sockets are not recorded by vcrpy; use a
    `Recording` for them. Needs vcrpy 9.4 or newer.

    >>> request = vcr_config()["before_record_request"]
    >>> import vcr.request
    >>> sent = vcr.request.Request("POST", "http://x/v1/realtime/calls/rtc_1/refer",
    ...     b'{"target_uri": "tel:+14155550100"}', {"Authorization": "Bearer sk-1", "Content-Type": "application/json"})
    >>> request(sent).body, dict(request(sent).headers)
    (b'{"target_uri": "<16 chars>"}', {'Content-Type': 'application/json'})
    """
    return {
        "match_on": ["method", "path", "query", "body"],
        "decode_compressed_response": True,
        "before_record_request": _scrubbed_request,
        "before_record_response": _scrubbed_response,
    }


def _scrubbed_request(request: _Request) -> _Request:
    kept = copy.copy(request)
    headers = {name: _first(value) for name, value in dict(request.headers).items()}
    kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    body = request.body
    content = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else b""
    kept.uri = _uri(request.uri)
    kept.body = _scrubbed(content, kind)
    kept.headers = {name: _header(name, value) for name, value in headers.items() if name.lower() in _REQUEST_HEADERS}
    return kept


def _scrubbed_response(response: dict[str, Any]) -> dict[str, Any]:
    kept = copy.deepcopy(response)
    headers: Mapping[str, Any] = response.get("headers") or {}
    kind = next((_first(value) for name, value in headers.items() if name.lower() == "content-type"), "")
    kept["headers"] = {
        name: [_header(name, value) for value in values] if isinstance(values, list) else _header(name, str(values))
        for name, values in headers.items()
        if name.lower() in _RESPONSE_HEADERS
    }
    if isinstance(response.get("status"), dict):
        kept["status"]["message"] = _PHRASES.get(response["status"].get("code"), "")
    body = response.get("body") or {}
    content = body.get("string", b"")
    kept["body"] = {"string": _scrubbed(content.encode() if isinstance(content, str) else content, kind)}
    return kept


def _first(value: object) -> str:
    """Return a header's value: some stubs of vcrpy keep a list, some bytes."""
    if isinstance(value, (list, tuple)):
        value = value[0] if value else ""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _header(name: str, value: str) -> str:
    match name.lower():
        case "location":
            return _uri(value)
        case "content-type":
            media, _, rest = value.partition(";")
            if media.strip().lower().startswith("multipart/"):
                return f"multipart/form-data; boundary={_BOUNDARY}"
            charset = _CHARSET.search(rest)
            return _plain(media) + (f"; {charset[0]}" if charset else "")
        case _:
            return _plain(value)


def _plain(text: str) -> str:
    text = _ACCOUNT.sub(lambda found: found[1] + "0" * 32, text)
    return _SECRET.sub("withheld", _NUMBER.sub(_ZEROS, text))


def _uri(uri: str) -> str:
    try:
        parts = urlsplit(uri)
    except ValueError:
        return "http://withheld/"
    path = "/".join(map(_segment, parts.path.split("/")))
    pairs = [(_field(name), _of_query(name, value)) for name, value in parse_qsl(parts.query, keep_blank_values=True)]
    host = _STAND_IN.sub(r"\1", _plain(parts.netloc.rpartition("@")[2]))
    return urlunsplit((parts.scheme, host, path, urlencode(pairs, quote_via=quote), ""))


def _segment(segment: str) -> str:
    meant = segment
    while (plainer := unquote(meant)) != meant:
        meant = plainer
    kept = _plain(meant)
    return segment if kept == meant else quote(kept, safe=":+@")


def _of_query(name: str, value: str) -> str:
    if name.lower() in _PLAIN_IN_QUERY and (is_name(value) or (value.isdecimal() and len(value) <= _MAX_PLAIN_DIGITS)):
        return value
    return _text(value)


def _scrubbed(body: bytes, kind: str) -> bytes:
    if not body:
        return b""
    media = kind.partition(";")[0].strip().lower()
    if media.startswith("multipart/"):
        return _scrubbed_parts(body, kind)
    if media == "application/sdp" or body.lstrip().startswith(b"v=0"):
        return _SDP
    if media == "application/x-www-form-urlencoded":
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
        return urlencode([(_field(name), _text(value)) for name, value in pairs], quote_via=quote).encode()
    try:
        return json.dumps(_json(json.loads(body))).encode()
    except (ValueError, RecursionError):
        return _text(body.decode("utf-8", "replace")).encode()


def _json(value: object, key: str = "", parent: str = "") -> object:
    if isinstance(value, dict):
        return {_key(name): _json(part, name, key) for name, part in value.items()}
    if isinstance(value, list):
        return [_json(part, key, parent) for part in value]
    if isinstance(value, str) and _SCRUBBED.fullmatch(value):
        return value
    if parent == "error":  # whose code is a name; elsewhere it is what somebody has to enter
        (kept,) = redacted_event({parent: {key: value}})[parent].values()
    else:
        (kept,) = redacted_event({key: value}).values()
    return kept


def _key(name: str) -> str:
    if _SCRUBBED.fullmatch(name):
        return name
    if _DIGITS.search(name):
        return _text(name)
    (kept,) = redacted_event({name: None})
    return kept


def _field(name: str) -> str:
    """Return the name of a field of a form or a query, if it looks like one."""
    return name if _FIELD.fullmatch(name) and _plain(name) == name else _text(name)


def _text(text: str) -> str:
    return text if not text or _SCRUBBED.fullmatch(text) else size_of(text)


def _scrubbed_parts(body: bytes, kind: str) -> bytes:
    head = f"Content-Type: {kind}\r\n\r\n".encode("latin-1", "replace")
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    lines = []
    for part in message.iter_parts() if message.is_multipart() else ():
        payload = part.get_payload(decode=True)
        name = _field(str(part.get_param("name", header="content-disposition")))
        content = _scrubbed(payload if isinstance(payload, bytes) else b"", part.get_content_type())
        lines.append(f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + content)
    return b"\r\n".join([*lines, f"--{_BOUNDARY}--\r\n".encode()])

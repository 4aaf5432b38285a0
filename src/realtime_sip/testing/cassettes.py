"""What vcrpy needs so that a cassette of OpenAI's or Twilio's REST API holds nothing that must not be committed."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Protocol, TypedDict
from urllib.parse import parse_qsl, quote, urlencode

from realtime_sip._redaction import size_of
from realtime_sip.event_log.redaction import redacted_event

__all__ = ["VcrConfig", "vcr_config"]

_REQUEST_HEADERS = frozenset({"accept", "content-type", "host", "openai-beta"})
_RESPONSE_HEADERS = frozenset(
    {
        *("content-type", "date", "location", "retry-after", "retry-after-ms", "x-should-retry", "x-request-id"),
        "twilio-request-id",
    }
)
_BOUNDARY = "realtime-sip"
_ACCOUNT = re.compile(r"\b(AC|SK)[0-9a-fA-F]{32}\b")
_NUMBER = re.compile(r"(?:\+|%2B)[0-9]{7,15}")
_SCRUBBED = re.compile(r"<(?:[0-9]+ (?:chars|items)|number|key)>")
"""What stands for a text already: vcrpy scrubs again what it reads back."""
_SDP = b"v=0\r\ns=withheld\r\n"


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

    It is an allow-list, as that of the event log: names, ids, counts and codes stay, any other text becomes its length.
    So keys, phone numbers, instructions, SDP, secrets and transcripts do not reach the disk; of headers, only those
    that say what a body is, or when to try again. A multipart body gets a fixed boundary, and account ids of Twilio are
    zeros. Requests are matched by method, path, query and scrubbed body, and not by host: a cassette that was recorded
    from a stand-in on a random port plays for the service's own address too.

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
    kept.headers = {
        name: f"multipart/form-data; boundary={_BOUNDARY}"
        if name.lower() == "content-type" and kind.lower().startswith("multipart/")
        else value
        for name, value in headers.items()
        if name.lower() in _REQUEST_HEADERS
    }
    return kept


def _scrubbed_response(response: dict[str, Any]) -> dict[str, Any]:
    kept = copy.deepcopy(response)
    headers: Mapping[str, Any] = response.get("headers") or {}
    kind = next((_first(value) for name, value in headers.items() if name.lower() == "content-type"), "")
    kept["headers"] = {
        name: [_uri(value) for value in values] if isinstance(values, list) else _uri(str(values))
        for name, values in headers.items()
        if name.lower() in _RESPONSE_HEADERS
    }
    body = response.get("body") or {}
    content = body.get("string", b"")
    kept["body"] = {"string": _scrubbed(content.encode() if isinstance(content, str) else content, kind)}
    return kept


def _first(value: object) -> str:
    """Return a header's value: some stubs of vcrpy keep a list, some bytes."""
    if isinstance(value, (list, tuple)):
        value = value[0] if value else ""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _uri(uri: str) -> str:
    return _NUMBER.sub("%2B" + "0" * 11, _ACCOUNT.sub(lambda found: found[1] + "0" * 32, uri))


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
        return urlencode([(name, _text(value)) for name, value in pairs], quote_via=quote).encode()
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
        return redacted_event({parent: {key: value}})[parent][_key(key)]
    return redacted_event({key: value})[_key(key)]


def _key(name: str) -> str:
    if _SCRUBBED.fullmatch(name):
        return name
    (kept,) = redacted_event({name: None})
    return kept


def _text(text: str) -> str:
    return text if not text or _SCRUBBED.fullmatch(text) else size_of(text)


def _scrubbed_parts(body: bytes, kind: str) -> bytes:
    head = f"Content-Type: {kind}\r\n\r\n".encode("latin-1", "replace")
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    lines = []
    for part in message.iter_parts() if message.is_multipart() else ():
        payload = part.get_payload(decode=True)
        name = str(part.get_param("name", header="content-disposition"))
        content = _scrubbed(payload if isinstance(payload, bytes) else b"", part.get_content_type())
        lines.append(f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + content)
    return b"\r\n".join([*lines, f"--{_BOUNDARY}--\r\n".encode()])

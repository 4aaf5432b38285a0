"""The headers of a request as any framework hands them over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from realtime_sip.errors import WebhookVerificationError

_NO_VALUE = object()

TRACE = {"traceparent": 128, "tracestate": 512}
"""The headers of a W3C Trace Context, with the characters each may have. They prove nothing, so none is refused."""


def names_of(headers: Iterable[str]) -> dict[str, str]:
    """Return the names under which frameworks have these headers, in lower case, and which header each is.

    WSGI and Django's `request.META` have names of their own. Of other names the underscore is not read as a hyphen.
    """
    names = {name: name for name in headers}
    wsgi = {name: name.replace("-", "_") for name in names}
    return names | {
        text if text in {"content_type", "content_length"} else f"http_{text}": name for name, text in wsgi.items()
    }


def read_headers(headers: object, names: Mapping[str, str]) -> dict[str, object]:
    """Return the value of each header that `names` names, as it came; none but those of a trace is there twice.

    Raises:
        WebhookVerificationError: "header_repeated", or "header_malformed" if these are no headers.
    """
    found: dict[str, object] = {}
    try:
        for name, value in _pairs(headers):
            text = name if isinstance(name, str) else name.decode("latin-1") if isinstance(name, bytes) else ""
            key = names.get(text.lower())
            # Some letters beyond ASCII have one of ASCII for their lower case.
            if key is None or not text.isascii():
                continue
            if isinstance(value, (list, tuple)):
                # API gateways give lists of values.
                if len(value) > 1 and key not in TRACE:
                    refuse("a webhook header is repeated", "header_repeated")
                value = next(iter(value), _NO_VALUE)
                if value is _NO_VALUE:
                    continue
            if key in found and key not in TRACE:
                refuse("a webhook header is repeated", "header_repeated")
            found[key] = value
    except (TypeError, ValueError):
        raise WebhookVerificationError("the headers cannot be read", reason="header_malformed") from None
    return found


def header_text(value: object, limit: int) -> str:
    """Return the value of a header that must be there: ASCII, of at most `limit` characters.

    Raises:
        WebhookVerificationError: "header_missing" or "header_malformed".
    """
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if value is None or value == "":
        refuse("a webhook header is missing", "header_missing")
    if not isinstance(value, str) or not value.isascii() or len(value) > limit:
        refuse("a webhook header is malformed", "header_malformed")
    return value


def header_texts(found: Mapping[str, object], limits: Mapping[str, int]) -> dict[str, str]:
    """Return the values of headers that must all be there, each with its limit; see `header_text`."""
    texts = {}
    for name, limit in limits.items():
        value = found.get(name)
        if not (isinstance(value, str) and value and value.isascii() and len(value) <= limit):
            value = header_text(value, limit)
        texts[name] = value
    return texts


def trace_context(found: Mapping[str, object]) -> dict[str, str]:
    """Return the headers of a trace that are well formed."""
    texts = {name: value.decode("latin-1") if isinstance(value, bytes) else value for name, value in found.items()}
    return {
        name: text
        for name, limit in TRACE.items()
        if isinstance(text := texts.get(name), str) and text and text.isascii() and len(text) <= limit
    }


def refuse(message: str, reason: str) -> NoReturn:
    """Raise the error of a webhook that nothing proves."""
    raise WebhookVerificationError(message, reason=reason)


def _pairs(headers: Any) -> Iterable[tuple[object, object]]:
    pairs: Any = headers.items() if callable(getattr(headers, "items", None)) else headers
    return pairs  # type: ignore[no-any-return] # whatever it is, the loop over it tells

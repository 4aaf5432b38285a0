"""TwiML that goes over REST. It was fetched from nowhere, so a path in it is relative to nothing (15004, 11100)."""

from __future__ import annotations

from urllib.parse import urlsplit
from xml.etree import ElementTree

from realtime_sip.errors import InvalidRequestError

__all__ = ["MAX_TWIML", "document_of", "problem_of"]

MAX_TWIML = 4000
"""Characters of TwiML that a request takes."""

_OF_URLS = ("action", "url", "callback")
_WITH_URLS = {"Play", "Redirect"}


def document_of(twiml: object) -> str:
    """Return TwiML as a request takes it.

    Raises:
        InvalidRequestError: It is empty or too long, or has a path in place of a whole URL.
    """
    text = str(twiml)
    if not text.strip() or len(text) > MAX_TWIML:
        raise InvalidRequestError("redirect", (("twiml", f"must have 1 to {MAX_TWIML} characters"),))
    if (problem := problem_of(text)) is not None:
        raise InvalidRequestError("redirect", (("twiml", problem),))
    return text


def problem_of(document: str) -> str | None:
    """Return why TwiML cannot go over REST, or None.

    >>> problem_of('<Response><Enqueue action="/left">support</Enqueue></Response>')
    'has a path as action of <Enqueue>: over REST a URL must be whole'
    """
    try:
        root = ElementTree.fromstring(document.encode())  # noqa: S314 - the program's own
    except (ElementTree.ParseError, UnicodeEncodeError):
        return "must be XML"
    for element in root.iter():
        if element.tag == "Record" and not element.get("action"):
            return "has <Record> without action: it would ask for the document again, which has no URL over REST"
        text = (element.text or "").strip()
        if element.tag in _WITH_URLS and (text or element.tag == "Redirect") and _is_path(text):
            return f"has a path in <{element.tag}>: over REST a URL must be whole"
        for name, value in element.items():
            if name.lower().endswith(_OF_URLS) and value and _is_path(value):
                return f"has a path as {name} of <{element.tag}>: over REST a URL must be whole"
    return None


def _is_path(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return True
    return not (parts.scheme and parts.netloc)

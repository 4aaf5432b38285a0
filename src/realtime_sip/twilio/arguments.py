"""What the builders of TwiML take: each function returns what is wrong with a value, or None. None shows the value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from realtime_sip.errors import InvalidRequestError
from realtime_sip.sip.address import CONTROL, e164, without_whatsapp

MAX_TEXT = 4096
"""Characters that `<Say>` reads out at most."""

NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML cannot hold, however it is escaped (XML 1.0, 2.2)."""

MAX_CALLER_ID = 140
"""The longest user id of WhatsApp has 135: two letters, ".ENT.", and 128 letters and digits."""

_CALLER_ID = re.compile(rf"[A-Za-z0-9+_.-]{{1,{MAX_CALLER_ID}}}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}")
_VOICE = re.compile(r"[A-Za-z0-9._-]{1,100}")
_MAX_ROOM = 128  # 13237
_FORBIDDEN_IN_URLS = re.compile(r"[\x00-\x20\x7f\"<>\\^`{|}]|[^\x00-\x7f]")


def refuse(what: str, problems: Mapping[str, str | None]) -> None:
    """Refuse what has problems: the place of each, and what is wrong with it, or None.

    Raises:
        InvalidRequestError: There is a problem.
    """
    found = tuple((place, problem) for place, problem in problems.items() if problem)
    if found:
        raise InvalidRequestError(what, found)


def seconds(value: object, least: int, most: int) -> str | None:
    if type(value) is int and least <= value <= most:
        return None
    return f"must be a whole number of seconds, {least} to {most}"


def url(value: object) -> str | None:
    """Check a URL that Twilio asks: absolute, or relative to the one of the document."""
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        return "must be a URL; an empty one would ask the same document again"
    if _FORBIDDEN_IN_URLS.search(value):
        return "must be a URL without spaces, control characters and what else has to be escaped there"
    try:
        parts = urlsplit(value)
        absolute = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return "must be a URL"
    # With a scheme it names its host; without, it is a path. "//host" would be both.
    relative = not parts.scheme and not parts.netloc
    return None if absolute or relative else "must be an http or https URL, or a path"


def whole_url(value: object) -> str | None:
    """Check a URL that is relative to nothing."""
    if url(value) is None and isinstance(value, str) and value.startswith(("http://", "https://")):
        return None
    return "must be a whole http or https URL"


def digits(value: object, most: int) -> str | None:
    """Check keys to press; a w waits for half a second."""
    if isinstance(value, str) and 0 < len(value) <= most and re.fullmatch("[0-9*#w]+", value):
        return None
    return f"must be 1 to {most} of 0 to 9, *, # and w, which waits for half a second"


def one_of(value: object, known: tuple[str, ...]) -> str | None:
    return None if value in known else f"must be one of {', '.join(known)}"


def sid(value: object, prefix: str) -> str | None:
    if isinstance(value, str) and re.fullmatch(prefix + "[0-9a-fA-F]{32}", value):
        return None
    return f"must be a SID: {prefix} and 32 hexadecimal digits"


def sip_caller_id(value: object) -> str | None:
    """Check what `<Sip>` takes as `callerId`. It need not be a number of yours."""
    if value is None or (isinstance(value, str) and _CALLER_ID.fullmatch(value)):
        return None
    if isinstance(value, str) and ":" in value:
        return "must have no colon: Twilio refuses it for <Sip> (13214, or 13224). Of whatsapp:+… pass the number alone"
    return f"must be 1 to {MAX_CALLER_ID} letters and digits of ASCII, '+', '-', '_' and '.'"


def number(value: object) -> str | None:
    if isinstance(value, str) and e164(value) == value:
        return None
    return "must be a number as E.164: +, the country's code and the rest, digits alone"


def whatsapp_sender(value: object) -> str | None:
    """Check what `<WhatsApp>` takes as `callerId`."""
    if isinstance(value, str):
        prefixed, rest = without_whatsapp(value)
        if prefixed and value.startswith("whatsapp:") and e164(rest) == rest:
            return None
    return "must be whatsapp: and the number of a sender that is activated for calls, as E.164"


def text(value: object) -> str | None:
    """Check what is read out."""
    if isinstance(value, str) and value.strip() and len(value) <= MAX_TEXT:
        bad = NO_XML.search(value) or CONTROL.search(value.replace("\n", " ").replace("\t", " "))
        return "must have no control characters" if bad else None
    return f"must be text of 1 to {MAX_TEXT} characters"


def language(value: object) -> str | None:
    if value is None or (isinstance(value, str) and _LANGUAGE.fullmatch(value)):
        return None
    return "must be a language, such as pt-BR"


def voice(value: object) -> str | None:
    if value is None or (isinstance(value, str) and _VOICE.fullmatch(value)):
        return None
    return "must be a voice, such as Polly.Camila"


def room(value: object) -> str | None:
    if isinstance(value, str) and 0 < len(value) <= _MAX_ROOM and value.isprintable() and value == value.strip():
        return None
    return f"must be 1 to {_MAX_ROOM} characters, without control characters and without spaces around"

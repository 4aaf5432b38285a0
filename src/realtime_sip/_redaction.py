"""What may be shown of a text that can hold secrets, phone numbers or somebody's words; how secrets are miscopied."""

from __future__ import annotations

import logging
import re

MAX_SHOWN = 300
"""Characters that are shown of a service's message at most."""

# Each pattern is a fixed prefix or a run of one character class, so that none backtracks.
_SECRET = re.compile(r"\b(?:sk|ek|whsec|Bearer)[-_ ][A-Za-z0-9_\-./+=*]+")
_DIGITS = re.compile(r"\+?\d[\d ().-]{4,}\d")

_QUOTES = "\"'`“”„‘’«»"
_NAMED = re.compile(
    # A name in capitals and an equals sign that is not the padding of base64; or any name in front of a known prefix.
    r"(?:export |set )?(?:[A-Z][A-Z0-9_]{2,} ?= ?[^=]|[A-Za-z_][A-Za-z0-9_.-]* ?[=:] ?[\"']?(?:sk-|ek_|whsec_|v1,))"
)
_KNOWN = re.compile("sk-|ek_|whsec_")
_NOT_REPLACED = re.compile(r"\$[A-Z_][A-Z0-9_]*|\$\{.*\}|\$\(.*\)|%[A-Za-z_]\w*%|\{\{.*\}\}|<[^<>]*>")


def miscopied(secret: str) -> str | None:
    """Return what has come into a key or secret on its way here, and what to do; None if nothing is seen.

    >>> miscopied("OPENAI_API_KEY=sk-example")
    'has a name in front of it: remove the name and the sign behind it'
    >>> miscopied("sk-example")
    """
    if secret != secret.strip():
        return "has white space or a line end around it: remove it"
    if not secret.isprintable():
        return "has a line end or another invisible character in it: copy it again, on one line"
    quoted = [end in _QUOTES for end in (secret[:1], secret[-1:])]
    if all(quoted) or (any(quoted) and _KNOWN.search(secret)):
        return "has quotes around it: remove them (docker's --env-file, for one, takes them for a part of it)"
    if _NAMED.match(secret):
        return "has a name in front of it: remove the name and the sign behind it"
    if _NOT_REPLACED.fullmatch(secret):
        return "is a placeholder: see what should put the secret in its place"
    return None


def redact(text: str) -> str:
    """Return `text` with keys and digit runs of six or more masked, on one line, cut to `MAX_SHOWN` characters.

    >>> redact("Incorrect API key provided: sk-proj-abcdef")
    'Incorrect API key provided: [secret]'
    >>> redact("cannot dial +1 415 555 0100")
    'cannot dial [number]'
    >>> redact("no\\nERROR forged")
    'no?ERROR forged'
    """
    # With a line end or an escape sequence, somebody else could write a line of the log.
    shown = "".join(c if c.isprintable() else "?" for c in text[: MAX_SHOWN * 2])
    shown = _DIGITS.sub("[number]", _SECRET.sub("[secret]", shown))
    return shown if len(shown) <= MAX_SHOWN else shown[: MAX_SHOWN - 1] + "…"


def logger_without_wire(name: str) -> logging.Logger:
    """Return the logger to give to the WebSocket library.

    It writes keys, headers and frames at DEBUG, and lines that name no call at INFO; neither passes.

    A level of its own would not do: `logging.config` sets it back.
    """
    logger = logging.getLogger(name)
    if _is_above_info not in logger.filters:
        logger.addFilter(_is_above_info)
    return logger


def _is_above_info(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO


def size_of(value: object) -> str:
    """Describe `value` only by kind and size.

    >>> size_of("Where is my order?"), size_of([1, 2])
    ('<18 chars>', '<2 items>')
    """
    match value:
        case None | bool():
            return repr(value)
        case str() | bytes():
            return f"<{len(value)} chars>"
        case dict() | list() | tuple() | set() | frozenset():
            return f"<{len(value)} items>"
        case _:
            return f"<{type(value).__name__}>"

"""What a check found: its name, how bad it is, and what to do. Values, without I/O."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

__all__ = [
    "Finding",
    "Group",
    "Level",
    "Report",
    "by_level",
    "masked",
    "of_group",
    "scrubbed",
    "shown_url",
    "without_secrets",
]

_SHORTEST_SECRET = 8
_MAX_URL = 120


class Level(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    """Worth to know; nothing is wrong."""
    WARNING = "warning"
    """Calls go, and something about them will not, or not always."""
    ERROR = "error"
    """Calls fail."""
    NOT_CHECKED = "not checked"
    """Why is said."""


class Group(enum.StrEnum):
    """What a check is about, in the order that they are shown."""

    ENVIRONMENT = "Environment"
    PACKAGES = "Packages"
    OPENAI = "OpenAI"
    WEBHOOK = "Webhook URL"
    SIP = "SIP URI"
    TWILIO = "Twilio"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        group: What it is about.
        name: The check's name, which stays the same from release to release.
        level: How bad it is.
        found: What is there, in a sentence without a secret and without a whole phone number.
        fix: The one thing to do, if there is one.
    """

    group: Group
    name: str
    level: Level
    found: str
    fix: str = ""


Report = Callable[..., Finding]
"""Makes a finding of a group: `report(name, level, found, fix="")`."""


def of_group(group: Group) -> Report:
    """Return what makes findings of a group."""

    def report(name: str, level: Level, found: str, fix: str = "") -> Finding:
        return Finding(group, name, level, found, fix)

    return report


def by_level(findings: Iterable[Finding], level: Level) -> list[Finding]:
    """Return the findings of a level, in their order."""
    return [each for each in findings if each.level is level]


def masked(number: str) -> str:
    """Return enough of a phone number to know which one it is.

    >>> masked("+14155550199"), masked("whatsapp:+5511987654321"), masked("+1")
    ('+14…99', 'whatsapp:+55…21', '+…')
    """
    channel, colon, digits = number.rpartition(":")
    return f"{channel}{colon}{digits[:3]}…{digits[-2:]}" if len(digits) > 6 else f"{channel}{colon}{digits[:1]}…"


def shown_url(url: str) -> str:
    """Return a URL without its credentials, its query and its fragment, which may have secrets.

    >>> shown_url("https://user:word@voice.example.com/twilio/voice?token=7#rc=2")
    'https://voice.example.com/twilio/voice'
    """
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return "a URL that cannot be read"
    host = parts.hostname or ""
    shown = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path}"
    shown = "".join(c if c.isprintable() else "?" for c in shown)
    return shown if len(shown) <= _MAX_URL else f"{shown[: _MAX_URL - 1]}…"


def without_secrets(finding: Finding, secrets: Iterable[str]) -> Finding:
    """Return a finding in which no secret stands, whoever has put it there."""
    secrets = list(secrets)
    return replace(finding, found=scrubbed(finding.found, secrets), fix=scrubbed(finding.fix, secrets))


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """Return a text without the secrets: a server may echo what it is sent, and what it has."""
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "[secret]")
    return text

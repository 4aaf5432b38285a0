"""Where a trunk sends calls: its origination URLs, and which of them a call ends at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from functools import cache
from typing import get_args

from realtime_sip.errors import InvalidRequestError
from realtime_sip.sip.address import SipUri
from realtime_sip.twilio.uri import Edge, Region, check_uri

MAX_ORIGINATION_URLS = 10
"""Origination URLs of a trunk (Twilio, November 2026)."""

MAX_FRIENDLY_NAME = 64

_MAX = 65535
_OPENAI = (".openai.com", ".ai.azure.com")
_PASSED_OVER = {400, 404, 405, 410, 416, 482, 484, 486}


@dataclass(frozen=True, slots=True, repr=False)
class OriginationUrl:
    """One URL that a trunk sends calls to.

    Without a user part Twilio puts the dialed number there; with one, as OpenAI needs it, the number is in `Diversion`
    alone, where `incoming.dialed` reads it.

    Attributes:
        sip_url: A `sip:` URI: `;transport=udp|tcp|tls`, `;edge=…` (or the older `;region=…`), and `?X-…=…` headers, the
            same for each call.
        priority: 0 to 65535; the lowest comes first.
        weight: 1 to 65535; the share among URLs of the same priority.
        enabled: Whether it is used.
        friendly_name: Up to 64 characters; on a new URL the host if left out.

    Raises:
        InvalidRequestError: Twilio would refuse it, or take it for something else.

    >>> OriginationUrl("sip:proj_abc@sip.api.openai.com;transport=tls", priority=1)
    <OriginationUrl <SipUri sip:proj_abc@sip.api.openai.com;transport> priority=1 weight=10>
    """

    sip_url: str
    _: KW_ONLY
    priority: int = 10
    weight: int = 10
    enabled: bool = True
    friendly_name: str = ""

    def __post_init__(self) -> None:
        problems = [*_uri_problems(self.sip_url)]
        for name, least in (("priority", 0), ("weight", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MAX:
                problems.append((name, f"must be {least} to {_MAX}"))
        problems += flag_problems("enabled", self.enabled, (True, False))
        if not isinstance(self.friendly_name, str) or len(self.friendly_name) > MAX_FRIENDLY_NAME:
            problems.append(("friendly_name", f"must be text of {MAX_FRIENDLY_NAME} characters at most"))
        if problems:
            raise InvalidRequestError("origination URL", tuple(problems))

    @property
    def uri(self) -> SipUri:
        """The URL, read."""
        return SipUri.parse(self.sip_url)

    def __repr__(self) -> str:
        off = "" if self.enabled else " disabled"
        return f"<OriginationUrl {self.uri!r} priority={self.priority} weight={self.weight}{off}>"


def flag_problems(place: str, value: object, known: tuple[bool | None, ...]) -> list[tuple[str, str]]:
    """Return what is wrong with a value that should be a flag; 1 and 0 are numbers."""
    return [] if any(value is each for each in known) else [(place, f"must be {' or '.join(map(str, known))}")]


def _uri_problems(sip_url: object) -> list[tuple[str, str]]:
    try:
        check_uri(sip_url)
        uri = SipUri.parse(str(sip_url))
    except InvalidRequestError as error:
        return [(f"sip_url {place}".strip(), problem) for place, problem in error.problems]
    problems = []
    if uri.scheme == "sips":
        problems.append(("sip_url", "Twilio advises against sips: write sip: and ;transport=tls"))
    places = {"edge": get_args(Edge), "region": get_args(Region)}
    for name, known in places.items():
        value = uri.param(name)
        if value is not None and value not in known:
            problems.append((f"sip_url {name}", f"Twilio ignores it silently unless it is one of {', '.join(known)}"))
    if all(uri.param(name) is not None for name in places):
        problems.append(("sip_url", "has an edge and a region, which name the same thing"))
    if uri.param("secure") is not None:
        problems.append(("sip_url secure", "is a parameter of <Sip>; a trunk has secure=True"))
    if any(not name.lower().startswith("x-") for name, _ in uri.headers):
        problems.append(("sip_url", "a trunk adds headers whose name begins with X- alone"))
    if uri.host.endswith(_OPENAI):
        if (uri.param("transport") or "").lower() != "tls":
            problems.append(("sip_url", "OpenAI is reached by TLS: add ;transport=tls"))
        if not (uri.user or "").startswith("proj_"):
            problems.append(("sip_url", "OpenAI needs your project in it: sip:proj_…@"))
    return problems


def same_place(sip_url: str) -> object:
    """Return what two URLs have in common that lead to the same place: the order of parameters means nothing.

    >>> same_place("sip:a@H.example;transport=tls;edge=tokyo") == same_place("sip:a@h.example;edge=tokyo;transport=TLS")
    True
    """
    try:
        uri = SipUri.parse(sip_url)
    except InvalidRequestError:
        return sip_url
    params = frozenset((name.lower(), value.lower()) for name, value in uri.params)
    return uri.scheme, uri.user, uri.host, uri.port, params, frozenset(uri.headers)


def fails_over(status: int | None) -> bool:
    """Return whether a trunk tries the next origination URL after a SIP status; None is no answer in four seconds.

    It does not after 2xx, 400, 404, 405, 410, 416, 482, 484, 486 and 6xx (Twilio, November 2026), nor after 3xx, which
    it follows.

    >>> [fails_over(status) for status in (503, None, 403, 486, 603, 400)]
    [True, True, True, False, False, False]
    """
    if status is None:
        return True
    return not (200 <= status < 400 or status in _PASSED_OVER or 600 <= status < 700)


def call_shares(
    origination: Sequence[OriginationUrl], answers: Mapping[str, int | None] | None = None
) -> dict[str | None, Fraction]:
    """Return which part of all calls ends at each URL, by priority, weight and failover.

    Args:
        origination: The URLs of a trunk.
        answers: What a URL answers if it is not 200, by its `sip_url`: a SIP status, or None for nothing.

    Returns:
        The shares by `sip_url`, without those that get none. That of None found no URL: these calls go to the disaster
        recovery URL, or fail.

    >>> two = [OriginationUrl("sip:a.example", weight=3), OriginationUrl("sip:b.example", weight=1)]
    >>> call_shares(two)
    {'sip:a.example': Fraction(3, 4), 'sip:b.example': Fraction(1, 4)}
    >>> call_shares(two, {"sip:a.example": 503})
    {'sip:b.example': Fraction(1, 1)}
    """
    urls = [url for url in origination if url.enabled]
    said = answers or {}

    @cache
    def shares(left: frozenset[int]) -> dict[str | None, Fraction]:
        if not left:
            return {None: Fraction(1)}
        first = min(urls[number].priority for number in left)
        chosen = [number for number in sorted(left) if urls[number].priority == first]
        total = sum(urls[number].weight for number in chosen)
        found: dict[str | None, Fraction] = {}
        for number in chosen:
            url = urls[number]
            ends = shares(left - {number}) if fails_over(said.get(url.sip_url, 200)) else {url.sip_url: Fraction(1)}
            for place, share in ends.items():
                found[place] = found.get(place, Fraction(0)) + share * Fraction(url.weight, total)
        return found

    return shares(frozenset(range(len(urls))))

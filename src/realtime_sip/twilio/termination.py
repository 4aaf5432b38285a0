"""How a PBX of one's own places calls through a trunk: its domain, and who may. A trunk to OpenAI needs none of it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, get_args

from realtime_sip.errors import InvalidRequestError
from realtime_sip.sip.address import e164
from realtime_sip.twilio.uri import Edge, Region

_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,8}pstn\.twilio\.com")
_LOCALIZED = re.compile(r"pstn\.[a-z0-9-]+\.twilio\.com$")
_MAX_NAME, _MAX_USERNAME, _MIN_PASSWORD = 255, 32, 12
Problems = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class IpAccessControlList:
    """Who may place calls, by address. It belongs to the account, and is found by its name.

    Attributes:
        friendly_name: Its name, which no other list has.
        addresses: Public IPv4 addresses, or ranges, as "203.0.113.7" or "203.0.113.0/29".

    Raises:
        InvalidRequestError: Twilio would refuse it.
    """

    friendly_name: str
    addresses: Sequence[str] = field(repr=False)

    def __post_init__(self) -> None:
        problems = name_problems(self.friendly_name, _MAX_NAME)
        addresses = texts(self.addresses)
        problems += [("addresses", "must be a list of at least one address")] if not addresses else []
        object.__setattr__(self, "addresses", addresses)
        for address in addresses:
            try:
                network = ipaddress.IPv4Network(address)
            except ValueError:
                problems.append(("addresses", "must be IPv4 addresses, or ranges whose last bits are zero"))
                continue
            if not network.is_global:
                problems.append(("addresses", "a private address never reaches Twilio: name the public one"))
        if problems:
            raise InvalidRequestError("IP access control list", tuple(problems))


@dataclass(frozen=True, slots=True)
class CredentialList:
    """Who may place calls, by digest authentication. It belongs to the account, and is found by its name.

    Attributes:
        friendly_name: Its name, which no other list has.
        credentials: Passwords by username. Twilio shows no password, so that one which is there is never compared: to
            change it, delete its username first.

    Raises:
        InvalidRequestError: Twilio would refuse it.
    """

    friendly_name: str
    credentials: Mapping[str, str] = field(repr=False)

    def __post_init__(self) -> None:
        problems = name_problems(self.friendly_name, _MAX_NAME)
        credentials = self.credentials
        if not isinstance(credentials, Mapping) or not credentials:
            problems.append(("credentials", "must be a mapping of usernames to passwords"))
            credentials = {}
        for username, password in credentials.items():
            if not isinstance(username, str) or not 0 < len(username) <= _MAX_USERNAME:
                problems.append(("credentials", f"a username has 1 to {_MAX_USERNAME} characters"))
            if not _is_strong(password):
                problems.append(
                    ("credentials", f"a password has {_MIN_PASSWORD} characters or more, a digit and both cases")
                )
        if problems:
            raise InvalidRequestError("credential list", tuple(problems))


@dataclass(frozen=True, slots=True)
class Termination:
    """How calls come into a trunk from a PBX of one's own.

    Attributes:
        domain_name: The termination URI's host, `….pstn.twilio.com`; Twilio advises dashes rather than sub-domains.
        ip_access_control_lists: Who may, by address. If there are lists of both kinds, both have to agree.
        credential_lists: Who may, by password. Twilio advises to have one in any case.
        caller_ids: The numbers that the PBX shows. `verify()` looks whether the account owns or has verified them.

    Raises:
        InvalidRequestError: Twilio would refuse it, or nobody could use it.
    """

    domain_name: str
    _: KW_ONLY
    ip_access_control_lists: Sequence[IpAccessControlList] = ()
    credential_lists: Sequence[CredentialList] = ()
    caller_ids: Sequence[str] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        problems = _domain_problems(self.domain_name)
        for name, kind in (("ip_access_control_lists", IpAccessControlList), ("credential_lists", CredentialList)):
            lists = of_kind(getattr(self, name), kind)
            if lists is None:
                problems.append((name, f"must be a list of {kind.__name__}"))
                continue
            object.__setattr__(self, name, lists)
            if len({each.friendly_name for each in lists}) < len(lists):
                problems.append((name, "two lists have the same name"))
        if not problems and not self.ip_access_control_lists and not self.credential_lists:
            problems.append(("", "needs a credential list or an IP access control list: else nobody can use it"))
        caller_ids = texts(self.caller_ids)
        object.__setattr__(self, "caller_ids", caller_ids)
        problems += number_problems("caller_ids", caller_ids)
        if problems:
            raise InvalidRequestError("termination", tuple(problems))


def localized_termination_uris(domain_name: str, *, legacy: bool = False) -> dict[str, str]:
    """Return the termination URIs of a domain that lead to one place each, by edge; by region, the older way, if asked.

    >>> localized_termination_uris("shop.pstn.twilio.com")["sao-paulo"]
    'shop.pstn.sao-paulo.twilio.com'
    >>> localized_termination_uris("shop.pstn.twilio.com", legacy=True)["br1"]
    'shop.pstn.br1.twilio.com'

    Raises:
        InvalidRequestError: It is not the domain of a trunk.
    """
    if problems := _domain_problems(domain_name):
        raise InvalidRequestError("termination", tuple(problems))
    name = domain_name.removesuffix(".pstn.twilio.com")
    return {place: f"{name}.pstn.{place}.twilio.com" for place in get_args(Region if legacy else Edge)}


def peak_bandwidth(calls: int) -> int:
    """Return the kbit/s that so many calls at a time need, 100 each (G.711 and what goes around it; Twilio).

    It concerns the network of a PBX; calls to OpenAI do not pass through yours.
    """
    if isinstance(calls, bool) or not isinstance(calls, int) or calls < 0:
        raise InvalidRequestError("peak_bandwidth", (("calls", "must be a number of calls"),))
    return calls * 100


def _domain_problems(domain: object) -> Problems:
    if isinstance(domain, str) and _LOCALIZED.search(domain):
        return [("domain_name", "is a localized URI: name the domain, ….pstn.twilio.com")]
    if not isinstance(domain, str) or not _DOMAIN.fullmatch(domain):
        return [
            ("domain_name", "must be a name in lower case below pstn.twilio.com; OpenAI's host goes to origination")
        ]
    return []


def _is_strong(password: object) -> bool:
    return (
        isinstance(password, str)
        and len(password) >= _MIN_PASSWORD
        and any(c.isdigit() for c in password)
        and any(c.islower() for c in password)
        and any(c.isupper() for c in password)
    )


def name_problems(name: object, most: int) -> Problems:
    good = isinstance(name, str) and 0 < len(name) <= most and name.isprintable() and name == name.strip()
    return [] if good else [("friendly_name", f"must be text of 1 to {most} characters, without blanks around it")]


def number_problems(place: str, numbers: Iterable[object]) -> Problems:
    wrong = any(not isinstance(number, str) or e164(number) != number for number in numbers)
    return [(place, "must be numbers in E.164 with the plus, as +14155550100")] if wrong else []


def texts(values: object) -> tuple[str, ...]:
    """Return a list of texts; one text alone is a slip that would be read as its characters."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        return ()
    return tuple(values)


def of_kind(values: object, kind: type[Any]) -> tuple[Any, ...] | None:
    """Return a list whose entries are all of a kind, or None."""
    found = tuple(values) if isinstance(values, Iterable) and not isinstance(values, str) else (None,)
    return found if all(isinstance(value, kind) for value in found) else None

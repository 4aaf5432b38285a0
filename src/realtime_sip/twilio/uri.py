"""The URI of a `<Sip>`: OpenAI's with Twilio's parameters and our headers, and what Twilio does not take.

    sip:proj_ID@HOST;transport=tls[;secure=true][;region=br1 | ;edge=sao-paulo][?X-A=v&X-B=v]

Parameters come before headers. `?edge=…` is a header, which Twilio leaves out with a warning (32113), and
`;transport=tls&secure=true` is one parameter with an odd value (RFC 3261 25.1), without TLS. Neither can be made here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args
from urllib.parse import quote

from realtime_sip.endpoints import Endpoints, is_host
from realtime_sip.errors import ConfigurationError, InvalidRequestError
from realtime_sip.sip.address import SipUri

Region: TypeAlias = Literal["us1", "us2", "ie1", "de1", "sg1", "jp1", "br1", "au1"]
"""Where Twilio sends a call from, by the names that `<Sip>` documents; us1 if left out."""

Edge: TypeAlias = Literal["ashburn", "umatilla", "dublin", "frankfurt", "singapore", "tokyo", "sao-paulo", "sydney"]
"""The same places, by their newer names."""

_PLACES = dict(zip(get_args(Region), get_args(Edge), strict=True))

MAX_ADDRESS = 254
"""Characters before the headers: Twilio takes less than 255."""

MAX_HEADERS = 1023
"""Characters of all headers together, as they are written: Twilio takes less than 1024 (21227)."""

# What Twilio passes on besides X-…
_ALLOWED = {"user-to-user", "remote-party-id", "p-preferred-identity", "p-called-party-id"}
_EXTENSION = re.compile(r"X-(?!Twilio)[A-Za-z0-9-]+", re.IGNORECASE)
_PARAMETERS = {"transport", "secure", "region", "edge", "tnx"}
_TRANSPORTS = {"udp", "tcp", "tls"}
# What is read as it is meant, wherever it comes out.
_VALUE = re.compile("[ -~]+")
_OPENAI = re.compile("<?sips?:proj_", re.IGNORECASE)


def leads_to_openai(address: str) -> bool:
    """Return whether the address of a call that was dialed is a project of OpenAI's."""
    return _OPENAI.match(address) is not None


def openai_uri(
    project: str,
    *,
    host: Endpoints | str = Endpoints.DEFAULT,
    secure: bool = False,
    region: Region | None = None,
    edge: Edge | None = None,
    headers: Mapping[str, str] | None = None,
) -> str:
    """Return the URI that reaches `project`, escaped for SIP; XML is written later, by whoever writes TwiML.

    >>> openai_uri("proj_abc123", region="br1", headers={"X-Order": "7 & 8"})
    'sip:proj_abc123@sip.api.openai.com;transport=tls;region=br1?X-Order=7%20%26%208'

    Raises:
        ConfigurationError: `project` is no project id, or `host` is not OpenAI's SIP host.
        InvalidRequestError: Anything else is not valid, or too long for Twilio.
    """
    _check_project(project)
    address = _endpoints(host).sip_uri(project)
    found = (_place("region", region), _place("edge", edge), _flag("secure", secure))
    problems = [problem for problem in found if problem]
    if region is not None and edge is not None:
        problems.append(("edge", "must be left out if there is a region: both name the place"))
    problems += _header_problems(headers)
    if problems:
        raise InvalidRequestError("SIP URI", tuple(problems))
    address += ";secure=true" if secure else ""
    address += f";region={region}" if region else f";edge={edge}" if edge else ""
    # Twilio documents more escapes than the grammar asks for: also of "+" and ":".
    written = "&".join(f"{name}={quote(value, safe='')}" for name, value in (headers or {}).items())
    _check_lengths(address, written)
    return address + ("?" if written else "") + written


def check_uri(uri: object) -> None:
    """Refuse the URI of a `<Sip>` that Twilio takes for something else than it seems.

    Raises:
        InvalidRequestError: It is no SIP URI, is too long, has another transport than UDP, TCP and TLS, or a header
            that Twilio leaves out.
    """
    if not isinstance(uri, str):
        raise InvalidRequestError("SIP URI", (("", "no text"),))
    read = SipUri.parse(uri)
    address, _, headers = uri.partition("?")
    problems = [] if read.scheme in {"sip", "sips"} else [("", "the scheme is not sip or sips")]
    for name, value in read.params:
        if name.lower() == "transport" and value.lower() not in _TRANSPORTS:
            problems.append(("transport", "must be udp, tcp or tls; parameters are joined by ';', not by '&'"))
        elif "&" in name + value:
            problems.append(("parameter", "has a '&': parameters are joined by ';'"))
    if ";" in headers or "?" in headers:
        problems.append(("header", "has a ';' or '?': parameters come before the '?', and in a value both are escaped"))
    for name, _ in read.headers:
        if name.lower() in _PARAMETERS:
            problems.append((name.lower(), "is a parameter: write it with ';' before the '?'"))
        elif not is_header(name):
            problems.append(("header", "Twilio passes on X-… (but not X-Twilio…) and four others"))
    if problems:
        raise InvalidRequestError("SIP URI", tuple(problems))
    _check_lengths(address, headers)


def is_header(name: str) -> bool:
    """Return whether Twilio passes on a header of that name."""
    return _EXTENSION.fullmatch(name) is not None or name.lower() in _ALLOWED


def _check_project(project: object) -> None:
    if not isinstance(project, str):
        raise ConfigurationError("the project is no text; it is OpenAI's id of it, proj_…")
    if project.startswith(("org-", "org_")):
        raise ConfigurationError(
            "the project is an organization's id; the project's own begins with 'proj_' and is shown in its settings"
        )
    if project.startswith(("sk-", "ek_", "whsec_")):
        raise ConfigurationError("the project is a key or secret; a project's id begins with 'proj_'")


def _endpoints(host: object) -> Endpoints:
    if isinstance(host, Endpoints):
        return host
    if not isinstance(host, str) or not is_host(host):
        raise ConfigurationError("the host must be Endpoints, or the name of a SIP host, without a port")
    if host.lower().endswith(("api.openai.com", "openai.azure.com")) and not host.lower().startswith("sip"):
        raise ConfigurationError("the host is that of the API; calls go to a SIP host, such as sip.api.openai.com")
    return Endpoints(api=Endpoints.DEFAULT.api, sip=host)


def _place(argument: Literal["region", "edge"], value: object) -> tuple[str, str] | None:
    known, others = get_args(Region), get_args(Edge)
    if argument == "edge":
        known, others = others, known
    if value is None or value in known:
        return None
    if value in others:
        other = "edge" if argument == "region" else "region"
        return argument, f"names a place as {other} does: pass it as {other}="
    return argument, f"must be one of {', '.join(known)}"


def _flag(argument: str, value: object) -> tuple[str, str] | None:
    return None if isinstance(value, bool) else (argument, "must be True or False")


def _header_problems(headers: object) -> list[tuple[str, str]]:
    if headers is None:
        return []
    if not isinstance(headers, Mapping):
        return [("headers", "must be a mapping of text to text")]
    problems = []
    seen: set[str] = set()
    for name, value in headers.items():
        if not isinstance(name, str) or not is_header(name):
            problems.append(("headers", "Twilio passes on X-… (but not X-Twilio…) and four others"))
        elif name.lower() in seen:
            problems.append((f"headers.{name}", "is there twice"))
        elif not isinstance(value, str) or not _VALUE.fullmatch(value):
            problems.append(
                (f"headers.{name}", "must be text of printable ASCII; other characters go into the context")
            )
        else:
            seen.add(name.lower())
    return problems


def _check_lengths(address: str, headers: str) -> None:
    if len(address) > MAX_ADDRESS:
        raise InvalidRequestError("SIP URI", (("", f"has more than {MAX_ADDRESS} characters before the headers"),))
    if len(headers) > MAX_HEADERS:
        problem = f"have more than {MAX_HEADERS} characters as they are written (Twilio's 21227)"
        raise InvalidRequestError("SIP URI", (("headers", problem),))

"""The SIP URI that calls are sent to: whether it reaches the project, and its host is of the API's region. Pure."""

from __future__ import annotations

from typing import get_args

from realtime_sip.cli.doctor.finding import Finding, Group, Level, of_group
from realtime_sip.endpoints import Endpoints
from realtime_sip.errors import InvalidRequestError
from realtime_sip.sip.address import SipUri
from realtime_sip.twilio.uri import Edge, Region, check_uri

__all__ = ["project_of", "sip_uri"]

_report = of_group(Group.SIP)
_OPENAI = (Endpoints.DEFAULT, Endpoints.EU, Endpoints.INDIA)
_HOSTS = {each.sip: each.api for each in _OPENAI}
_AZURE = ".sip.ai.azure.com"
_TLS_PORT = 5061
_OTHER_IDS = {"org-": "an organization's id", "org_": "an organization's id", "sk-": "an API key", "whsec_": "a secret"}


def project_of(uri: str) -> str | None:
    """Return the project that a URI dials, or None if it dials none."""
    try:
        user = SipUri.parse(uri).user or ""
    except InvalidRequestError:
        return None
    return user if user.startswith("proj_") else None


def sip_uri(uri: str, *, source: str, project: str | None, endpoints: Endpoints | None) -> list[Finding]:
    """Return what is wrong with a SIP URI, and what is right.

    Args:
        uri: The URI.
        source: Where it is from, as "the TwiML".
        project: The project that the key belongs to, if it is known.
        endpoints: Where the API is, if it is known.
    """
    name = "sip-uri"
    fix = _right(project, endpoints)
    try:
        read = SipUri.parse(uri)
        check_uri(uri)
    except InvalidRequestError as error:
        said = "; ".join(f"{place} {problem}".strip() for place, problem in error.problems)
        return [_report(name, Level.ERROR, f"{source} has a SIP URI that is not valid: {said}", fix)]
    host = read.host.lower().removesuffix(".")
    if not _is_openai(host):
        where = "is the host of the API" if host.endswith(("api.openai.com", "openai.azure.com")) else "is not OpenAI's"
        mistyped = "openai" in host or host.endswith(".azure.com")
        found = f"the host of the SIP URI of {source}, {host}, {where}"
        if mistyped:
            return [_report(name, Level.ERROR, found, fix)]
        if (read.user or "").startswith("proj_"):
            # A session border controller of the user's own may pass it on.
            return [_report(name, Level.WARNING, found, f"{fix} If it is yours, let it pass calls on to OpenAI.")]
        return [_report(name, Level.NOTE, found, fix)]
    findings = [
        *_transport(read, source, fix),
        *_user(read, source, project, endpoints),
        *_place(read, source),
        *_region(host, source, endpoints),
    ]
    if any(each.level is Level.ERROR for each in findings):
        return findings
    media = ", with SRTP" if read.param("secure") == "true" else ""
    return [_report(name, Level.OK, f"the SIP URI of {source} reaches {host} by TLS{media}"), *findings]


def _right(project: str | None, endpoints: Endpoints | None) -> str:
    """Return what to write: the URI of the project, at the host that is of the API's region."""
    api = None if endpoints is None else _host_of(endpoints.api)
    right = next((each for each in _OPENAI if _host_of(each.api) == api), Endpoints.DEFAULT)
    return f"Write {right.sip_uri(project or 'proj_ID')}{'' if project else ', with the id of your project'}."


def _is_openai(host: str) -> bool:
    return host.endswith(_AZURE) or (host.startswith("sip") and host.endswith(".openai.com"))


def _transport(read: SipUri, source: str, fix: str) -> list[Finding]:
    findings = []
    if read.scheme == "sips":
        found = f"the SIP URI of {source} is sips:, which Twilio advises against"
        findings.append(_report("sip-transport", Level.WARNING, found, fix))
    elif (read.param("transport") or "").lower() != "tls":
        found = f"the SIP URI of {source} has no ;transport=tls, and OpenAI takes calls by TLS alone"
        findings.append(_report("sip-transport", Level.ERROR, found, fix))
    if read.port not in (None, _TLS_PORT):
        found = f"the SIP URI of {source} has port {read.port}, and TLS is on {_TLS_PORT}"
        findings.append(_report("sip-port", Level.ERROR, found, "Remove the port."))
    return findings


def _user(read: SipUri, source: str, project: str | None, endpoints: Endpoints | None) -> list[Finding]:
    name, user = "sip-project", read.user or ""
    if not user.startswith("proj_"):
        kind = next((what for prefix, what in _OTHER_IDS.items() if user.startswith(prefix)), "no project's id")
        found = f"the SIP URI of {source} has {kind} before the @"
        return [_report(name, Level.ERROR, found, _right(project, endpoints))]
    if project is None:
        return []
    if user != project:
        found = f"the SIP URI of {source} dials {user}, and the key belongs to {project}: its calls are not found (404)"
        fix = f"{_right(project, endpoints)} Or take key and webhook of {user}."
        return [_report(name, Level.ERROR, found, fix)]
    return [_report(name, Level.OK, f"the SIP URI of {source} dials the key's project")]


def _place(read: SipUri, source: str) -> list[Finding]:
    findings = []
    for parameter, known in (("region", get_args(Region)), ("edge", get_args(Edge))):
        value = read.param(parameter)
        if value is not None and value not in known:
            found = f"the {parameter} in the SIP URI of {source} is not one of Twilio's, which ignores it silently"
            findings.append(_report("sip-place", Level.WARNING, found, f"Take one of {', '.join(known)}."))
    return findings


def _region(host: str, source: str, endpoints: Endpoints | None) -> list[Finding]:
    name = "sip-region"
    api = None if endpoints is None else _host_of(endpoints.api)
    ours = api is not None and (api == "api.openai.com" or api.endswith(".api.openai.com"))
    wanted = _HOSTS.get(host)
    if wanted is None and (ours or not host.endswith(_AZURE)):
        found = f"the SIP host {host} is not a documented one"
        return [_report(name, Level.WARNING, found, f"Take one of {', '.join(_HOSTS)}.")]
    if wanted is None or not ours:
        return []
    if _host_of(wanted) != api:
        found = (
            f"calls to {host} are served by {_host_of(wanted)}, and the API's host here is {api}: they are not found"
        )
        fix = f"Set OPENAI_BASE_URL to {wanted}, or change the host of the SIP URI."
        return [_report(name, Level.ERROR, found, fix)]
    return [_report(name, Level.OK, f"the SIP host of {source} and the API are of one region")]


def _host_of(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].partition(":")[0].lower()

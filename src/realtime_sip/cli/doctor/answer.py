"""How a URL answered, and what stands before the program there: a redirect, a login, a tunnel, another page. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urljoin, urlsplit

from realtime_sip.cli.doctor.finding import Finding, Level, Report, shown_url

__all__ = ["Answer", "Delivery", "is_here", "is_public", "obstacle", "of_address", "slowness", "toggled_slash"]

Failure = Literal["tls", "dns", "refused", "unconnected", "timeout", "proxy", "broken"]

_SLOW = 3.0
_MARKUP = re.compile(r"<(?:!doctype|html|head|title|body|div|form|h[1-6]|p)\b", re.IGNORECASE)
_NGROK = re.compile(r"ERR_NGROK_[0-9]{1,6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A request to send: a POST."""

    url: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back.

    Attributes:
        status: None if nothing came.
        headers: Names in lower case.
        text: The beginning of the body.
        seconds: How long it took.
        failure: What kept it away.
        cause: The same in words.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    text: str = field(default="", repr=False)
    seconds: float = 0.0
    failure: Failure | None = None
    cause: str = ""

    @property
    def taken(self) -> bool:
        """Whether it is a success."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        """Whether it says that the request is not accepted, as that of a stranger is answered."""
        return self.status in (400, 401, 403, 422)

    @property
    def is_page(self) -> bool:
        """Whether it is HTML. What Flask and Django answer says so too if nothing else is said: its text counts."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return kind in ("text/html", "application/xhtml+xml") and _MARKUP.search(self.text) is not None


def of_address(report: Report, name: str, url: str, *, sender: str) -> Finding | None:
    """Return what is wrong with where a URL is, whatever answers there. `sender` is who has to reach it."""
    parts = urlsplit(url)
    if is_here(url):
        found = f"the URL is on this machine: what follows holds for here, and {sender} cannot reach it"
        return report(name, Level.NOTE, found, "Try the public URL as well.")
    if _is_private(parts.hostname or ""):
        found = f"the URL is an address of a private network, which {sender} cannot reach"
        return report(name, Level.ERROR, found, "Give it a public name, or a tunnel.")
    if parts.scheme == "http":
        found = f"the URL is http: {sender} delivers to https alone" if sender == "OpenAI" else "the URL is http"
        return report(name, Level.ERROR if sender == "OpenAI" else Level.WARNING, found, "Use https.")
    return None


def is_here(url: str) -> bool:
    """Whether a URL leads to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_public(url: str) -> bool:
    """Whether a URL may lead to a host that the internet reaches, as far as its name shows."""
    return not is_here(url) and not _is_private(urlsplit(url).hostname or "")


def _is_private(host: str) -> bool:
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".lan", ".test"))


def toggled_slash(url: str) -> str:
    """Return the URL with a slash at the end of its path, or without if it has one.

    >>> toggled_slash("https://voice.example.com/openai?a=1"), toggled_slash("https://voice.example.com/openai/")
    ('https://voice.example.com/openai/?a=1', 'https://voice.example.com/openai')
    """
    parts = urlsplit(url)
    path = parts.path[:-1] if parts.path.endswith("/") else f"{parts.path}/"
    return parts._replace(path=path).geturl()


def slowness(report: Report, name: str, answer: Answer, *, sender: str) -> list[Finding]:
    """Return whether an answer took too long to be waited for by a ringing phone."""
    if answer.seconds < _SLOW:
        return []
    found = f"the answer took {answer.seconds:.1f} s, while a phone rings and {sender} waits"
    return [report(name, Level.WARNING, found, "Answer at once, and work beside the request.")]


def obstacle(
    report: Report, name: str, url: str, answer: Answer, *, sender: str, other: Answer | None = None
) -> Finding | None:
    """Return what answers in place of the program, or keeps requests from it; None if it seems to be the program.

    Args:
        report: Makes the finding.
        name: The name of the check.
        url: The URL.
        answer: How it answered.
        sender: Whose request it is.
        other: How the URL with the other slash at its end answered, if it was asked.
    """
    if answer.status is None:
        return _unreachable(report, name, url, answer)
    redirected = _redirect(report, name, url, answer, sender)
    if redirected is not None:
        return redirected
    for look in (_tunnel, _login, _csrf, _host, _slash, _page):
        finding = look(report, name, url, answer)
        if finding is not None:
            return finding
    return _status(report, name, url, answer, other)


def _unreachable(report: Report, name: str, url: str, answer: Answer) -> Finding:
    host, place = urlsplit(url).hostname, urlsplit(url).netloc.rpartition("@")[2]
    match answer.failure:
        case "tls":
            found = f"no TLS with {host}: {answer.cause}"
            fix = "Serve a certificate of a public authority, for this name, with its intermediates."
        case "dns":
            found, fix = (
                f"the name {host} is not found",
                "Correct it, or start the tunnel again: it may have a new one.",
            )
        case "refused":
            found, fix = f"nothing listens at {place}", "Start the server, and see its address and port."
        case "unconnected":
            found = f"no connection to {place} comes about within {answer.seconds:.0f} s"
            fix = "See the address and the port, and let the firewall there take connections."
        case "timeout":
            found = f"{place} takes the request and does not answer within {answer.seconds:.0f} s"
            fix = "See where the server hangs before it answers: one worker that is busy, a body that was read twice."
        case "proxy":
            found = f"the proxy of this shell is in the way: {answer.cause}"
            fix = "See HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, or set NO_PROXY for the host."
        case _:
            found, fix = (
                f"the connection to {place} breaks: {answer.cause}",
                "See the log of the server or proxy there.",
            )
    return report(name, Level.ERROR, found, fix)


def _tunnel(report: Report, name: str, url: str, answer: Answer) -> Finding | None:
    code = answer.headers.get("ngrok-error-code", "") or "".join(_NGROK.findall(answer.text)[:1])
    if _NGROK.fullmatch(code):
        known = {
            "ERR_NGROK_3200": ("the tunnel is not up", "Start ngrok again, with this name."),
            "ERR_NGROK_8012": ("ngrok reaches nothing behind it", "Start the server on the port that ngrok has."),
            "ERR_NGROK_6024": (
                "ngrok's warning page answers in place of the program",
                "Send a header ngrok-skip-browser-warning in browsers; webhooks get it from a User-Agent of browsers.",
            ),
        }
        found, fix = known.get(code, ("ngrok answers itself", f"See https://ngrok.com/docs/errors/{code.lower()}."))
        return report(name, Level.ERROR, f"{found} ({code})", fix)
    if answer.status == 530 or (answer.status in (502, 503) and "trycloudflare" in (urlsplit(url).hostname or "")):
        return report(
            name, Level.ERROR, f"Cloudflare reaches nothing behind it ({answer.status})", "Start cloudflared again."
        )
    if answer.status == 511 or "tunnel password" in answer.text.lower():
        return report(
            name, Level.ERROR, "the tunnel asks for a password, which no webhook has", "Take a tunnel without one."
        )
    return None


def _redirect(report: Report, name: str, url: str, answer: Answer, sender: str) -> Finding | None:
    if answer.status is None or not 300 <= answer.status < 400:
        return None
    why = "and OpenAI follows no redirect" if sender == "OpenAI" else "on which the form that Twilio posts may be lost"
    said = answer.headers.get("location", "")
    try:
        to = urljoin(url, said)
        here, there = urlsplit(url), urlsplit(to)
        same_place = (here.hostname, here.path, here.query) == (there.hostname, there.path, there.query)
    except ValueError:
        to, same_place, here, there = "", False, urlsplit(url), urlsplit("")
    status = answer.status
    if not said or not to:
        return report(name, Level.ERROR, f"the URL redirects nowhere ({status})", "Give the URL that answers.")
    if same_place and (here.scheme, there.scheme) == ("http", "https"):
        found = f"the URL redirects from http to https ({status}), {why}"
        return report(name, Level.ERROR, found, f"Give {shown_url(to)}.")
    if not same_place and here.hostname == there.hostname and here.path.rstrip("/") == there.path.rstrip("/"):
        found = f"the URL redirects to the one with the other slash at its end ({status}), {why}"
        return report(name, Level.ERROR, found, f"Give {shown_url(to)}.")
    if same_place:
        found = f"the URL redirects to itself ({status})"
        return report(name, Level.ERROR, found, "Let the server know that TLS ends before it (X-Forwarded-Proto).")
    if here.hostname != there.hostname and here.path == there.path:
        found = f"the URL redirects to {there.hostname} ({status}), {why}"
        return report(name, Level.ERROR, found, f"Give {shown_url(to)}.")
    if _asks_who(f"{there.hostname}{there.path}"):
        found = f"a login answers in place of the program: the URL redirects to {shown_url(to)} ({status})"
        return report(name, Level.ERROR, found, "Exempt the webhook's path from the login: its signature proves it.")
    found = f"the URL redirects to {shown_url(to)} ({status}), {why}"
    fix = "Give the URL that answers, or exempt the webhook's path from what redirects."
    return report(name, Level.ERROR, found, fix)


def _asks_who(place: str) -> bool:
    return bool(re.search(r"log-?in|sign-?in|auth|sso|session/new|accounts?\.|access\.com", place.lower()))


def _login(report: Report, name: str, url: str, answer: Answer) -> Finding | None:  # noqa: ARG001 - as the others
    asks = answer.headers.get("www-authenticate", "").partition(" ")[0]
    if answer.status == 401 and asks:
        found = f"something before the program asks for a user ({asks[:20]}, 401), which no webhook has"
        return report(name, Level.ERROR, found, "Exempt the webhook's path: its signature proves who sent it.")
    if answer.status == 407:
        return report(name, Level.ERROR, "a proxy asks for a user (407)", "Set NO_PROXY for the host.")
    return None


def _csrf(report: Report, name: str, url: str, answer: Answer) -> Finding | None:  # noqa: ARG001
    if answer.status in (400, 403, 419) and "csrf" in answer.text.lower():
        found = f"the protection against CSRF refuses the request ({answer.status}): no webhook has its token"
        fix = "Exempt the view: `csrf_exempt` in Django, `csrf.exempt(blueprint)` with Flask-WTF."
        return report(name, Level.ERROR, found, fix)
    return None


def _host(report: Report, name: str, url: str, answer: Answer) -> Finding | None:
    text = answer.text.lower()
    host = urlsplit(url).hostname
    if answer.status in (400, 403, 421) and any(
        each in text for each in ("disallowedhost", "invalid http_host", "invalid host header", "host is not allowed")
    ):
        found = f"the application does not take requests for the host {host} ({answer.status})"
        fix = "Add the host: ALLOWED_HOSTS in Django, `allowed_hosts` of TrustedHostMiddleware."
        return report(name, Level.ERROR, found, fix)
    if answer.status == 400 and answer.is_page and "bad request (400)" in text:
        found = (
            f"a page says Bad Request (400) before a signature is looked at, as Django does for an unknown host {host}"
        )
        return report(name, Level.ERROR, found, "Add the host to ALLOWED_HOSTS, or see the log of the server.")
    return None


def _slash(report: Report, name: str, url: str, answer: Answer) -> Finding | None:
    if answer.status == 500 and "APPEND_SLASH" in answer.text:
        found = "Django would redirect to the URL with a slash at its end, and cannot redirect a POST (500)"
        return report(name, Level.ERROR, found, f"Give {shown_url(toggled_slash(url))}.")
    return None


def _page(report: Report, name: str, url: str, answer: Answer) -> Finding | None:
    if not (answer.taken and answer.is_page):
        return None
    if re.search(r"type=[\"']?password", answer.text.lower()):
        found = f"a login page answers in place of the program ({answer.status})"
        return report(name, Level.ERROR, found, "Exempt the webhook's path from the login: its signature proves it.")
    found = f"a page answers at {urlsplit(url).path or '/'} ({answer.status}, HTML), as of a web server or a front end"
    return report(name, Level.ERROR, found, "Give the webhook's path, and lead it to the program before the pages.")


def _status(report: Report, name: str, url: str, answer: Answer, other: Answer | None) -> Finding | None:
    path, status = urlsplit(url).path or "/", answer.status or 0
    elsewhere = other is not None and (other.refused or other.taken) and not other.is_page
    match status:
        case 404 | 410 if elsewhere:
            found = f"nothing is at {path} ({status}), and something is at {urlsplit(toggled_slash(url)).path}"
            return report(name, Level.ERROR, found, f"Give {shown_url(toggled_slash(url))}.")
        case 404 | 410:
            found = f"{_who(answer)} has nothing at {path} ({status})"
            fix = "Give the path of the webhook, with the prefix under which the application or router is mounted."
            return report(name, Level.ERROR, found, fix)
        case 405:
            found = f"{_who(answer)} takes no POST at {path} (405)"
            return report(name, Level.ERROR, found, "Let the route take POST, or give the path of the webhook.")
        case 408 | 413 | 415 | 429:
            reasons = {
                408: "its body does not arrive",
                413: "it is too large",
                415: "it is JSON",
                429: "there are many",
            }
            found = f"the request is refused because {reasons[status]} ({status})"
            return report(name, Level.ERROR, found, "See what stands before the program, and let webhooks pass.")
        case 502 | 503 | 504:
            found = f"a proxy answers that the program does not ({status})"
            return report(
                name, Level.ERROR, found, "Start the server, and see the address that the proxy passes on to."
            )
    return None


def _who(answer: Answer) -> str:
    """Return who answers, as far as it shows."""
    if answer.headers.get("content-type", "").startswith("application/json") and '"detail"' in answer.text:
        return "the application"
    server = answer.headers.get("server", "").partition("/")[0].strip()
    return f"the server ({server[:30]})" if server.isascii() and server.isprintable() and server else "the server"

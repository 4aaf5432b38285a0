"""What is wrong with a server that was rung, in sentences that say what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from realtime_sip.testing import CallEnd, EndedBy, RecordedRequest, TwilioAlert, WebhookResponse

__all__ = ["Environment", "Probe", "of_call", "of_probe", "of_twilio", "refusals"]

_REFUSED = (400, 401, 403, 422)
_HARMLESS = frozenset({"conversation_already_has_active_response", "response_cancel_not_active"})
"""Refusals that a server without any mistake causes too, since the service acts at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the server has to run with: `exports` in the order they are shown; `shared` are in this shell already."""

    exports: Mapping[str, str] = field(repr=False)
    shared: frozenset[str] = frozenset()

    def advice(self, name: str) -> str:
        """Return what to do so that the server has the variable `name`."""
        if name in self.shared:
            return f"start it with the {name} that this shell has."
        return f"start it again with\n\n    export {name}={self.exports[name]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How the server answered a webhook that somebody else has signed."""

    status: int
    location: str = ""
    csrf: bool = False
    """Whether the answer speaks of CSRF, as that of Django does."""


def of_probe(url: str, probe: Probe) -> str | None:
    """Return why the URL cannot be that of a webhook, if the answer to a forged one tells so."""
    path = urlsplit(url).path or "/"
    match probe.status:
        case 404 | 410:
            return f"The server has nothing at {path} ({probe.status}). Ring the URL of its webhook for OpenAI."
        case 405:
            return f"The server takes no POST at {path} (405). A webhook is a POST."
        case status if 300 <= status < 400:
            to = f" to {probe.location}" if probe.location else ""
            return f"The server redirects{to} ({status}), and OpenAI follows no redirect. Ring the URL that answers."
        case 403 if probe.csrf:
            return (
                "The server's protection against CSRF refuses the webhook (403). OpenAI has no token of it: exempt the "
                "view, in Django with csrf_exempt."
            )
    return None


def of_call(
    environment: Environment,
    url: str,
    *,
    answers: Sequence[WebhookResponse],
    requests: Sequence[RecordedRequest],
    sidebands: int,
    refusals: Iterable[str],
    end: CallEnd | None,
) -> list[str]:
    """Return what is wrong with a call that was announced at a URL, the cause first.

    `requests` are those of the server to the emulator, of whatever call.
    """
    found = _of_answers(environment, answers)
    accepted = any(request.operation == "accept" and request.status == 200 for request in requests)
    if not requests and not any(answer.status_code in _REFUSED for answer in answers):
        found.append(_not_called(environment, url, taken=any(answer.taken for answer in answers)))
    found += _of_requests(environment, requests)
    if accepted and not sidebands and not found:
        found.append(
            "The server accepted the call, and opened no WebSocket here, at "
            f"{_socket(environment)}?call_id=…: take its address from OPENAI_BASE_URL too."
        )
    if end is not None and end.by is EndedBy.REJECTED:
        found.append(f"The server rejected the call, with SIP status {end.status_code}.")
    if end is not None and end.by is EndedBy.NOT_ANSWERED and not found:
        found.append("The server neither accepted nor rejected the call while it rang.")
    return found + [f"OpenAI refused an event of the server: {message}" for message in dict.fromkeys(refusals)]


def refusals(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the messages of the errors among the service's events, but for those that are nobody's mistake."""
    errors = [event.get("error") for event in events if event.get("type") == "error"]
    return [
        str(error.get("message")) for error in errors if isinstance(error, dict) and error.get("code") not in _HARMLESS
    ]


def of_twilio(
    environment: Environment, alerts: Iterable[TwilioAlert], statuses: Sequence[int | None], *, public: str
) -> list[str]:
    """Return what is wrong with Twilio's side of a call. `statuses` are the answers of the voice URL."""
    last = statuses[-1] if statuses else None
    if last in (401, 403):
        advice = environment.advice("TWILIO_AUTH_TOKEN")
        wrong = (
            f"The server refused Twilio's signature ({last}). It is one for {public}, which the server has to take for"
        )
        return [f"{wrong} its public URL (or give --public-url). If that is right, its token is another one: {advice}"]
    if last == 404:
        return ["The server has nothing at the voice URL (404)."]
    return [f"Twilio's debugger would show {alert}." for alert in alerts]


def _of_answers(environment: Environment, answers: Sequence[WebhookResponse]) -> list[str]:
    if any(answer.taken for answer in answers) or not answers:
        return []
    status = answers[-1].status_code
    if status in _REFUSED:
        advice = environment.advice("OPENAI_WEBHOOK_SECRET")
        return [f"The server refused the signature of the webhook ({status}). Its secret is another one: {advice}"]
    if status is None:
        return ["The server did not answer the webhook within 5 seconds, after which OpenAI repeats it."]
    return [f"The server failed on the webhook ({status}): see its log."]


def _of_requests(environment: Environment, requests: Sequence[RecordedRequest]) -> list[str]:
    if any(request.status == 401 for request in requests):
        return [f"The server's API key was refused (401): {environment.advice('OPENAI_API_KEY')}"]
    if all(request.operation == "unknown" for request in requests):
        paths = sorted({request.path for request in requests})
        return [f"The server requested {path}, which is no path of OpenAI's: its URL ends in /v1." for path in paths]
    refused = [request for request in requests if request.operation in ("accept", "attach") and _failed(request)]
    done = {request.operation for request in requests if not _failed(request)}
    unmet = [request for request in refused if request.operation not in done]
    return [f"OpenAI refused to {each.operation} ({each.status}): {each.refusal}" for each in unmet[-1:]]


def _failed(request: RecordedRequest) -> bool:
    return request.status is None or request.status >= 300


def _not_called(environment: Environment, url: str, *, taken: bool) -> str:
    if not _is_here(url):
        port = urlsplit(environment.exports["OPENAI_BASE_URL"]).port
        return (
            "The server called nobody back here. It is on another machine, and the emulator listens on this one's "
            f"127.0.0.1 alone: let the other's lead here, with\n\n    ssh -R {port}:127.0.0.1:{port} HOST"
        )
    why = "so it calls api.openai.com" if taken else "and may have failed before it could, or calls api.openai.com"
    return (
        f"The server called nobody back here, {why}. OPENAI_BASE_URL says where to call, to "
        "OpenAI's Python and Node packages too: " + environment.advice("OPENAI_BASE_URL")
    )


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _socket(environment: Environment) -> str:
    return environment.exports["OPENAI_BASE_URL"].replace("http", "ws", 1) + "/realtime"

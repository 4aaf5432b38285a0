"""A project at OpenAI: what its key may do, its models, and where its webhooks are delivered.

`read` asks, by a function that carries operations out; `project` says what the answers mean, without I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar
from urllib.parse import urlsplit

from realtime_sip import beta
from realtime_sip._redaction import redact
from realtime_sip.api import models, webhook_endpoints
from realtime_sip.api.causes import UNTRUSTED
from realtime_sip.api.operations import Operation, Repeat, Reply
from realtime_sip.api.webhook_endpoints import INCOMING_CALL, WebhookEndpoint
from realtime_sip.cli.doctor.answer import is_here, is_public
from realtime_sip.cli.doctor.clock import skew, skew_of
from realtime_sip.cli.doctor.finding import Finding, Group, Level, of_group, shown_url
from realtime_sip.errors import (
    AuthenticationError,
    ConfigurationError,
    NetworkError,
    NotFoundError,
    PermissionDeniedError,
    ProxyError,
    QuotaError,
    RealtimeSipError,
)
from realtime_sip.session import MODEL_SHUTDOWNS

__all__ = ["Project", "model", "project", "read"]

T = TypeVar("T")

_report = of_group(Group.OPENAI)
_MAX_PAGES = 10
_SOON = 90
_PROJECT = re.compile(r"proj_[A-Za-z0-9_-]{1,128}")
_HIDDEN = re.compile("[.…*•]+")


@dataclass(frozen=True, slots=True)
class Project:
    """What was read.

    Attributes:
        models: When each model that the key may use is shut down; None if they could not be read.
        failure: Why not.
        id: The project, if the answer says which.
        skew: By how many seconds the service's clock is ahead of this machine's.
        endpoints: The webhook endpoints; None if they could not be read.
        endpoints_failure: Why not.
    """

    models: Mapping[str, date | None] | None = None
    failure: RealtimeSipError | None = None
    id: str | None = None
    skew: float | None = None
    endpoints: Sequence[WebhookEndpoint] | None = field(default=None, repr=False)
    endpoints_failure: RealtimeSipError | None = None


def read(run: Callable[[Operation[Any]], Any], clock: Callable[[], float]) -> Project:
    """Read what there is of the project. Nothing is changed."""
    try:
        listed, headers = run(_models())
        now = clock()
    except RealtimeSipError as error:
        return Project(failure=error)
    said = headers.get("openai-project", "")
    known = Project(models=listed, id=said if _PROJECT.fullmatch(said) else None, skew=skew_of(headers, now))
    found: list[WebhookEndpoint] = []
    after: str | None = None
    try:
        for _ in range(_MAX_PAGES):
            page = run(webhook_endpoints.page(after=after))
            found += page.data
            after = page.last_id
            if not page.has_more or after is None:
                break
    except RealtimeSipError as error:
        return Project(known.models, None, known.id, known.skew, None, error)
    return Project(known.models, None, known.id, known.skew, found)


def _models() -> Operation[tuple[dict[str, date | None], Mapping[str, str]]]:
    listed = models.shutdown_dates()

    def read_reply(reply: Reply) -> tuple[dict[str, date | None], Mapping[str, str]]:
        return listed.read(reply), reply.headers

    return Operation(listed.name, listed.path, read_reply, Repeat.ANY, method="GET")


def project(
    found: Project, *, url: str | None, secret: str | None, configured: str | None, base_url: str | None = None
) -> list[Finding]:
    """Return what is wrong with a project, and what is right.

    Args:
        found: What was read.
        url: The webhook URL, if it is known.
        secret: The webhook secret.
        configured: `OPENAI_PROJECT_ID`.
        base_url: `OPENAI_BASE_URL`, if it is set.
    """
    if found.failure is not None:
        return [_refused(found.failure, base_url)]
    findings = [_report("key-works", Level.OK, "the key works: OpenAI answers with the models that it may use")]
    findings.append(_project_id(found.id, configured))
    findings.append(skew(_report, "clock", found.skew, ours="this machine", theirs="OpenAI"))
    findings += _endpoints(found, url, secret, emulated=base_url is not None and is_here(base_url))
    return findings


def _refused(error: RealtimeSipError, base_url: str | None) -> Finding:
    name = "key-works"
    there = (
        None if base_url is None else f"See that OPENAI_BASE_URL is right, and what answers at {shown_url(base_url)}."
    )
    match error:
        case AuthenticationError():
            found = "OpenAI refuses the key (401): it is mistyped, deleted, or another region's"
            return _report(name, Level.ERROR, found, "Make a key in the project that has the webhook.")
        case QuotaError():
            return _report(name, Level.ERROR, "the account cannot pay: calls fail", "Add credit.")
        case PermissionDeniedError():
            # A restricted key without the right to list models may answer calls.
            found = "the key may not list models (403): whether it may answer calls is not known"
            return _report(name, Level.WARNING, found, "Allow it Models (read) and Realtime, or give it all rights.")
        case NotFoundError():
            found = "there is no list of models at the base URL (404)"
            return _report(name, Level.WARNING, found, "If it is no gateway, let OPENAI_BASE_URL end with /v1.")
        case ProxyError():
            found = f"OpenAI cannot be reached: {redact(str(error))}"
            return _report(
                name, Level.ERROR, found, "See HTTPS_PROXY, HTTP_PROXY and ALL_PROXY: the client obeys them."
            )
        case ConfigurationError() if UNTRUSTED in str(error):
            found = f"OpenAI cannot be reached: {redact(str(error)).removesuffix(f'; {UNTRUSTED}')}"
            fix = (
                "If an authority of your own has signed it, set SSL_CERT_FILE, here and for the server, or pass `ssl=`."
            )
            return _report(name, Level.ERROR, found, fix)
        case ConfigurationError() | NetworkError():
            found = f"OpenAI cannot be reached: {redact(str(error))}"
            return _report(name, Level.ERROR, found, there or "Let this machine reach it by HTTPS, or through a proxy.")
    fix = there or "Try again; see status.openai.com."
    return _report(name, Level.ERROR, f"OpenAI fails: {redact(str(error))}", fix)


def _project_id(there: str | None, configured: str | None) -> Finding:
    name = "project"
    if there is None:
        return _report(name, Level.NOT_CHECKED, "the answer does not say which project the key belongs to")
    if configured is not None and configured != there:
        found = f"the key acts in {there}, and OPENAI_PROJECT_ID is {configured}: its calls are not found (404)"
        return _report(name, Level.ERROR, found, "Take key, webhook and SIP URI of one project.")
    return _report(name, Level.OK, f"the key belongs to {there}")


# --- models -----------------------------------------------------------------------------------------------------------


def model(name: str, listed: Mapping[str, date | None] | None, today: date) -> Finding:
    """Return whether calls can be answered with a model, and how long. `listed` is None if OpenAI was not asked."""
    check = "model"
    if name in beta.MODELS:
        found = f"{name} is a model of the beta API, which was switched off"
        return _report(check, Level.ERROR, found, f"Take {beta.MODELS[name]}.")
    if name.startswith("gpt-live"):
        found = f"{name} is a model of the Live API, and the Realtime API answers invalid_model"
        return _report(check, Level.ERROR, found, "Take gpt-realtime-2.1.")
    ends = (listed or {}).get(name) or MODEL_SHUTDOWNS.get(name)
    if ends is not None and ends <= today:
        return _report(check, Level.ERROR, f"{name} was shut down on {ends}", "Take gpt-realtime-2.1.")
    if listed is not None and name not in listed:
        found = f"the key may not use {name}, or there is no such model"
        return _report(check, Level.ERROR, found, "See the project's limits, and the spelling.")
    if ends is not None:
        level = Level.WARNING if (ends - today).days <= _SOON else Level.NOTE
        return _report(check, level, f"{name} will be shut down on {ends}", "Try gpt-realtime-2.1 by then.")
    if listed is None:
        return _report(check, Level.NOT_CHECKED, f"OpenAI was not asked about {name}, whose end is not known here")
    if not any(each in name for each in ("realtime", "transcribe", "whisper")):
        found = f"the key may use {name}, which by its name neither answers calls nor transcribes them"
        return _report(check, Level.WARNING, found, "Take gpt-realtime-2.1.")
    return _report(check, Level.OK, f"the key may use {name}, and no day is announced on which it ends")


# --- webhook endpoints ------------------------------------------------------------------------------------------------


def _endpoints(found: Project, url: str | None, secret: str | None, *, emulated: bool) -> list[Finding]:
    name = "webhook-endpoint"
    if found.endpoints is None:
        match found.endpoints_failure:
            case PermissionDeniedError() | AuthenticationError():
                text = "the key may not list them"
            case NotFoundError():
                text = "there is no such list (404)"
            case error:
                text = redact(str(error))
        return [_report(name, Level.NOT_CHECKED, f"the project's webhook endpoints: {text}")]
    calling = [each for each in found.endpoints if INCOMING_CALL in each.event_types]
    if not calling:
        there = f"{len(found.endpoints)} for other events" if found.endpoints else "none at all"
        text = f"no webhook endpoint of the project is for {INCOMING_CALL} ({there}): calls ring, and nothing arrives"
        fix = (
            f"Make one for {INCOMING_CALL} in the project's settings (or `client.webhook_endpoints.create`), and set "
            "OPENAI_WEBHOOK_SECRET to the secret that is shown then."
        )
        return [_report(name, Level.ERROR, text, fix)]
    if not emulated and not any(_is_reached(each.url) for each in calling):
        text = f"calls are announced to {_places(calling)}, and OpenAI delivers to public https URLs alone"
        return [_report(name, Level.ERROR, text, "Give the endpoint the public https URL of your server.")]
    findings = [*_of_url(calling, url), *_twice(calling)]
    given = [each for each in calling if url is None or _same(each.url, url)]
    return findings + _hint(given, secret)


def _of_url(calling: Sequence[WebhookEndpoint], url: str | None) -> list[Finding]:
    name = "webhook-endpoint"
    places = _places(calling)
    if url is None:
        return [_report(name, Level.OK, f"calls are announced to {places}")]
    if any(_same(each.url, url) for each in calling):
        return [_report(name, Level.OK, f"calls are announced to {shown_url(url)}")]
    if is_here(url):
        text = f"calls are announced to {places}; {shown_url(url)} is on this machine"
        return [_report(name, Level.NOTE, text)]
    close = next((each for each in calling if _same(each.url.rstrip("/"), url.rstrip("/"))), None)
    if close is not None:
        text = f"calls are announced to {shown_url(close.url)}, which differs in the slash at its end"
        return [_report(name, Level.WARNING, text, "Let the endpoint have the URL that answers without a redirect.")]
    text = f"calls are announced to {places}, and not to {shown_url(url)}"
    fix = "Change the endpoint's URL, or add an endpoint, whose secret is another one."
    return [_report(name, Level.ERROR, text, fix)]


def _places(calling: Sequence[WebhookEndpoint]) -> str:
    return " and ".join(dict.fromkeys(shown_url(each.url) for each in calling[:5]))


def _is_reached(url: str) -> bool:
    return url.lower().startswith("https:") and is_public(url)


def _twice(calling: Sequence[WebhookEndpoint]) -> list[Finding]:
    name = "webhook-endpoints-twice"
    if len(calling) < 2:
        return []
    urls = {_place(each.url) for each in calling}
    if len(urls) < len(calling):
        text = f"{len(calling)} endpoints announce each call, some of them to one URL: it comes there more than once"
        return [_report(name, Level.WARNING, text, "Delete all but one of each URL.")]
    text = f"{len(calling)} endpoints announce each call, to different URLs: whichever server accepts first has it"
    return [_report(name, Level.WARNING, text, "Give each server a project of its own, or delete what is left over.")]


def _hint(endpoints: Sequence[WebhookEndpoint], secret: str | None) -> list[Finding]:
    """Compare what the service shows of the secret. How it is masked is not documented, so a difference is no error."""
    name = "webhook-secret-hint"
    hints = [hint for each in endpoints if (hint := each.signing_secret_hint)]
    if not hints or not secret or not secret.startswith("whsec_"):
        return []
    if any(_fits(hint, secret) for hint in hints):
        return [_report(name, Level.OK, "OPENAI_WEBHOOK_SECRET fits what OpenAI shows of the endpoint's secret")]
    text = "OPENAI_WEBHOOK_SECRET does not fit what OpenAI shows of the endpoint's secret: it may be another endpoint's"
    fix = "Compare both in the project's settings; rotate the secret if nobody has it."
    return [_report(name, Level.WARNING, text, fix)]


def _fits(hint: str, secret: str) -> bool:
    visible = _HIDDEN.split(hint.removeprefix("whsec_"))
    bare = secret.removeprefix("whsec_")
    return bare.startswith(visible[0]) and (len(visible) < 2 or bare.endswith(visible[-1]))


def _same(one: str, other: str) -> bool:
    return _place(one) == _place(other)


def _place(url: str) -> tuple[str, str, int | None, str, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url, "", None, "", ""
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), port or usual, parts.path or "/", parts.query

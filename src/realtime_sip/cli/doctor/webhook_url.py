"""Deliveries to a webhook URL that no call hangs on, and what their answers prove.

Three are sent: one that is signed with another secret, which has to be refused; one that is signed as OpenAI does,
which has to be taken; and one that is signed and an hour old, which has to be refused. Their event type is one that
OpenAI does not have, so that a server answers 2xx and does nothing. If the second is taken and the first is not,
whoever answers there has the secret: nothing else tells the two apart. `deliveries` sends without I/O: it yields each
and is sent the answer.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from realtime_sip._redaction import redact
from realtime_sip.cli.doctor.answer import Answer, Delivery, obstacle, of_address, slowness, toggled_slash
from realtime_sip.cli.doctor.clock import TOLERANCE, skew, skew_of
from realtime_sip.cli.doctor.finding import Finding, Group, Level, of_group
from realtime_sip.webhooks import OpenAIWebhooks

__all__ = ["EVENT_TYPE", "Answers", "deliveries", "webhook_url"]

EVENT_TYPE = "realtime_sip.doctor"
"""The type of the event in these deliveries."""

_report = of_group(Group.WEBHOOK)
_OLD = 3600.0
_MAX_WORDS = 60
# What a server writes if it parses a body and writes it again, as Python's and JavaScript's packages do.
_REWRITTEN: Mapping[str, dict[str, Any]] = {
    "json.dumps": {"ensure_ascii": True},
    "json.dumps without blanks": {"separators": (",", ":"), "ensure_ascii": True},
    "JSON.stringify or orjson": {"separators": (",", ":"), "ensure_ascii": False},
}
_AS_SENT: Mapping[str, Any] = {"indent": 1, "ensure_ascii": False}
"""How no package writes JSON unless it is asked to."""
# What this package's integrations answer if the body is gone, and what Werkzeug does.
_TAKEN_BY_OTHERS = ("the body was read before the webhook was", "sent a request that this server could not understand")
# The reasons of `WebhookError`, which this package's integrations answer.
_REASONS = {
    "header_missing": (
        "something on the way removes webhook-id, webhook-timestamp or webhook-signature",
        "Let the proxy pass all headers on.",
    ),
    "header_repeated": ("something on the way adds a header of the webhook a second time", "Let the proxy add none."),
    "too_old": ("the server takes a delivery of now for an old one: its clock is ahead", "Set its clock, by NTP."),
    "too_new": ("the server takes a delivery of now for a future one: its clock is behind", "Set its clock, by NTP."),
    "body_type": ("the signature is checked over something that is no body", "Pass the raw bytes of the request."),
}


@dataclass(frozen=True, slots=True)
class Answers:
    """How a URL answered. What was not sent is None.

    Attributes:
        url: The URL.
        forged: To what somebody else has signed.
        signed: To what was signed with the secret.
        old: To the same, an hour old.
        rewritten: To the same, with a body that stays as it is if this parses it and writes it again.
        other_slash: To the forged one, at the URL with the other slash at its end.
        skew: By how many seconds the server's clock is ahead of the one that the deliveries were signed by.
    """

    url: str
    forged: Answer
    signed: Answer | None = None
    old: Answer | None = None
    rewritten: Mapping[str, Answer] = field(default_factory=dict)
    other_slash: Answer | None = None
    skew: float | None = None


def deliveries(url: str, secret: str | None, clock: Callable[[], float]) -> Generator[Delivery, Answer, Answers]:
    """Yield what to deliver to `url`, and return how it answered. Without a secret only the forged one is sent."""

    def delivery(key: str, *, age: float = 0.0, to: str = url, form: Mapping[str, Any] = _AS_SENT) -> Delivery:
        now = clock()
        event = {
            "created_at": int(now),
            "data": {"text": "Olá, this is realtime-sip doctor: nothing is to be done."},
            "id": f"evt_{secrets.token_hex(8)}",
            "object": "event",
            "type": EVENT_TYPE,
        }
        body = json.dumps(event, **form).encode()  # its keys are in order, as those that sort them leave them
        signed = OpenAIWebhooks(key).sign(body, id=f"wh_{secrets.token_hex(8)}", timestamp=now - age)
        return Delivery(url=to, body=body, headers={"content-type": "application/json", **signed})

    strangers = secrets.token_urlsafe(24)
    forged = yield delivery(strangers)
    apart = skew_of(forged.headers, clock())
    if forged.status in (404, 410):
        other = yield delivery(strangers, to=toggled_slash(url))
        return Answers(url, forged, other_slash=other)
    if secret is None or obstacle(_report, "", url, forged, sender="OpenAI") is not None:
        return Answers(url, forged, skew=apart)
    signed = yield delivery(secret)
    old: Answer | None = None
    rewritten: dict[str, Answer] = {}
    if signed.taken and not forged.taken:
        old = yield delivery(secret, age=_OLD)
    elif signed.refused:
        for name, form in _REWRITTEN.items():
            rewritten[name] = yield delivery(secret, form=form)
    return Answers(url, forged, signed, old, rewritten, skew=apart)


def webhook_url(answers: Answers, *, clock_of: str = "this machine") -> list[Finding]:
    """Return what the answers of a webhook URL prove. The deliveries were signed by the clock of `clock_of`."""
    address = of_address(_report, "webhook-address", answers.url, sender="OpenAI")
    findings = [] if address is None else [address]
    forged, signed = answers.forged, answers.signed
    blocked = obstacle(_report, "webhook-reachable", answers.url, forged, sender="OpenAI", other=answers.other_slash)
    if blocked is not None:
        return [*findings, blocked]
    findings.append(_report("webhook-reachable", Level.OK, "the URL answers a POST"))
    findings += slowness(
        _report, "webhook-slow", max(forged, signed or forged, key=lambda each: each.seconds), sender="OpenAI"
    )
    behind = None if answers.skew is None else -answers.skew
    findings.append(skew(_report, "webhook-clock", behind, ours="the server", theirs=clock_of))
    findings.append(_of_forged(forged, signed))
    findings.append(_of_signed(answers))
    if answers.old is not None:
        findings.append(_of_old(answers.old))
    return findings


def _of_forged(forged: Answer, signed: Answer | None) -> Finding:
    name = "webhook-forged"
    if forged.taken:
        found = (
            f"a delivery that somebody else has signed is taken ({forged.status}): anyone can announce calls, unless "
            "only the types that are known are verified"
        )
        fix = "Verify each delivery over its raw bytes (`OpenAIWebhooks.unwrap`), and answer 400 if it raises."
        return _report(name, Level.ERROR, found, fix)
    if _is_eaten(forged):
        found = f"a middleware reads the body before the webhook does ({forged.status})"
        return _report(name, Level.ERROR, found, "Take it from the webhook's path, or let it pass the body on.")
    if forged.refused:
        return _report(name, Level.OK, f"a delivery that somebody else has signed is refused ({forged.status})")
    level = Level.WARNING if signed is not None and signed.taken else Level.ERROR
    found = f"a delivery that somebody else has signed is answered {forged.status}, and not refused"
    return _report(name, level, found, "See the log of the server; answer 400 if the signature does not verify.")


def _of_signed(answers: Answers) -> Finding:
    name = "webhook-signed"
    forged, signed = answers.forged, answers.signed
    if signed is None:
        return _report(name, Level.NOT_CHECKED, "there is no webhook secret here to sign a delivery with")
    if signed.status is None:
        found = f"a signed delivery is not answered ({signed.failure}), and a forged one is"
        return _report(name, Level.ERROR, found, "See where the server hangs once the signature is verified.")
    if signed.taken and forged.taken:
        found = f"a signed delivery is taken ({signed.status}), which proves nothing: so is a forged one"
        return _report(name, Level.NOT_CHECKED, found)
    if signed.taken:
        found = (
            f"a signed delivery arrives and is taken ({signed.status}), and a forged one is not: whoever answers has "
            "the secret"
        )
        return _report(name, Level.OK, found)
    if signed.status != forged.status:
        found = (
            f"the signature is right, as a forged delivery is answered {forged.status}, and then an event of another "
            f"type is answered {signed.status}"
        )
        return _report(
            name, Level.ERROR, found, "Answer 2xx to each event that is signed, also if nothing is to be done."
        )
    return _refused(name, answers, signed)


def _refused(name: str, answers: Answers, signed: Answer) -> Finding:
    """Return why a signed delivery is refused."""
    rewriter = next((each for each, answer in answers.rewritten.items() if answer.taken), None)
    if rewriter is not None:
        found = f"the signature is checked over a body that was parsed and written again, as by {rewriter}"
        fix = "Verify the raw bytes of the request (`request.get_data()`, `await request.body()`, `request.body`)."
        return _report(name, Level.ERROR, found, fix)
    if _is_eaten(signed):
        found = f"the signature is checked over a body that is gone ({signed.status})"
        return _report(name, Level.ERROR, found, "Take the middleware from the webhook's path.")
    if signed.status == 422 and '"detail"' in signed.text:
        found = "the framework reads the body as something of its own before the signature is checked (422)"
        return _report(name, Level.ERROR, found, "Let the route take the request itself, and verify its raw bytes.")
    reason = signed.text.strip()
    if reason in _REASONS:
        found, fix = _REASONS[reason]
        return _report(name, Level.ERROR, f"{found} ({signed.status})", fix)
    if answers.skew is not None and abs(answers.skew) > TOLERANCE:
        found = f"a signed delivery is refused ({signed.status}), as the clock of the server is off"
        return _report(name, Level.ERROR, found, "Set its clock, by NTP.")
    if signed.status is not None and signed.status >= 500:
        found = f"the server fails on each delivery ({signed.status})"
        fix = "See its log: it may have no secret, or no answer to what is forged and to events of other types."
        return _report(name, Level.ERROR, found, fix)
    found = (
        f"a signed delivery is refused as a forged one is ({signed.status}{_words(signed)}): the server has another "
        "secret than this shell"
    )
    fix = (
        "Give server and shell the signing secret of this URL's endpoint at OpenAI; if both have it, see what changes "
        "the body on the way."
    )
    return _report(name, Level.ERROR, found, fix)


def _is_eaten(answer: Answer) -> bool:
    return any(words in answer.text for words in _TAKEN_BY_OTHERS)


def _words(answer: Answer) -> str:
    words = "" if answer.is_page else " ".join(answer.text.split())
    return f", “{redact(words[:_MAX_WORDS])}”" if words else ""


def _of_old(old: Answer) -> Finding:
    name = "webhook-old"
    if old.taken:
        found = f"a delivery that was signed an hour ago is taken ({old.status}): what was recorded can be sent again"
        fix = f"Refuse timestamps that are more than {TOLERANCE} s off, as `OpenAIWebhooks` does."
        return _report(name, Level.WARNING, found, fix)
    return _report(name, Level.OK, f"a delivery that was signed an hour ago is refused ({old.status})")

"""The whole examination: what is looked at in which order, and what one answer says to the next check."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from realtime_sip._redaction import redact
from realtime_sip.api.settings import Settings
from realtime_sip.api.transport import Transport
from realtime_sip.cli.doctor import openai_project, packages, voice_url, webhook_url
from realtime_sip.cli.doctor.answer import is_here
from realtime_sip.cli.doctor.asking import ask_all
from realtime_sip.cli.doctor.clock import NOTICEABLE
from realtime_sip.cli.doctor.environment import environment, key_works, region_of, secret_works, secrets_of
from realtime_sip.cli.doctor.finding import Finding, Group, Level, shown_url, without_secrets
from realtime_sip.cli.doctor.openai_project import Project
from realtime_sip.cli.doctor.sip_uri import sip_uri
from realtime_sip.errors import ConfigurationError, MissingExtraError, RealtimeSipError
from realtime_sip.twilio.origination import same_place

if TYPE_CHECKING:
    from realtime_sip.twilio.trunking import Trunk

__all__ = ["Examination", "examined"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What to look at; the options of the command."""

    offline: bool = False
    url: str | None = None
    voice_url: str | None = None
    models: tuple[str, ...] = ()
    sip_uri: str | None = None
    number: str | None = field(default=None, repr=False)
    sender: str | None = field(default=None, repr=False)
    application_sid: str | None = None
    trunk: Trunk | None = None
    trunk_place: str = ""
    twilio_base_url: str | None = None
    timeout: float = 10.0


def examined(what: Examination, env: Mapping[str, str], clock: Callable[[], float]) -> list[Finding]:
    """Look at all of it, and return what was found.

    Raises:
        ConfigurationError: It is to be offline and to ask a URL that is not on this machine.
    """
    for url in (what.url, what.voice_url):
        if what.offline and url is not None and not is_here(url):
            raise ConfigurationError("with --offline no URL is asked that is not on this machine")
    findings = [*environment(env), *packages.packages(packages.installed(), sys.version_info[:2])]
    found, said = _openai(what, env, clock)
    findings += said
    if what.url is not None:
        secret = env["OPENAI_WEBHOOK_SECRET"] if secret_works(env) else None
        # Another machine's server is right to refuse what is signed by a clock that is off.
        off = found.skew if found.skew is not None and abs(found.skew) > NOTICEABLE else 0.0
        steps = webhook_url.deliveries(what.url, secret, lambda: clock() + off)
        answers = ask_all(steps, timeout=what.timeout, secrets=secrets_of(env))
        findings += webhook_url.webhook_url(answers, clock_of="OpenAI" if off else "this machine")
    else:
        why = "your server: pass its webhook for OpenAI as --url"
        findings.append(Finding(Group.WEBHOOK, "webhook-reachable", Level.NOT_CHECKED, why))
    project = found.id or env.get("OPENAI_PROJECT_ID") or None
    uris = [] if what.sip_uri is None else [("the command line", what.sip_uri)]
    if what.voice_url is not None:
        uris += _voice(what, env, findings)
    uris += _twilio(what, env, findings)
    if what.trunk is not None:
        there = [same_place(uri) for source, uri in uris if source == "the trunk"]
        to_be = [each.sip_url for each in what.trunk.origination if each.enabled]
        uris += [("the trunk that is declared", each) for each in to_be if same_place(each) not in there]
    for source, uri in dict.fromkeys(uris):
        said = sip_uri(uri, source=source, project=project, endpoints=region_of(env))
        findings += said if source != "the trunk" else (_of_trunk(each, uri, what) for each in said)
    secrets, order = secrets_of(env), list(Group)
    return sorted((without_secrets(each, secrets) for each in findings), key=lambda each: order.index(each.group))


def _of_trunk(finding: Finding, uri: str, what: Examination) -> Finding:
    """Return what is wrong with a URI of a trunk. That it is declared in another way helps only once it is gone."""
    if not finding.fix or what.trunk is None:
        return finding
    if same_place(uri) in [same_place(each.sip_url) for each in what.trunk.origination]:
        return finding
    fix = f"It is not declared: `realtime-sip twilio trunk apply {what.trunk_place} --prune` takes it away."
    return replace(finding, fix=fix)


def _openai(what: Examination, env: Mapping[str, str], clock: Callable[[], float]) -> tuple[Project, list[Finding]]:
    today = datetime.fromtimestamp(clock(), UTC).date()

    def judged(listed: Mapping[str, date | None] | None) -> list[Finding]:
        if not what.models:
            return [Finding(Group.OPENAI, "model", Level.NOT_CHECKED, "the model of your sessions: pass it as --model")]
        return [openai_project.model(name, listed, today) for name in what.models]

    def unasked(why: str) -> tuple[Project, list[Finding]]:
        return Project(), [Finding(Group.OPENAI, "key-works", Level.NOT_CHECKED, why), *judged(None)]

    def unusable(why: str) -> tuple[Project, list[Finding]]:
        fix = "Correct it: your server cannot ask OpenAI either."
        return Project(), [Finding(Group.OPENAI, "key-works", Level.ERROR, why, fix), *judged(None)]

    endpoints = region_of(env)
    if what.offline:
        return unasked("--offline: OpenAI is not asked")
    if not key_works(env) or endpoints is None:
        return unasked("there is no key, or no base URL, to ask OpenAI with")
    try:
        settings = Settings(
            api_key=env["OPENAI_API_KEY"],
            endpoints=endpoints,
            organization=env.get("OPENAI_ORG_ID") or None,
            project=env.get("OPENAI_PROJECT_ID") or None,
            timeout=what.timeout,
        )
    except ConfigurationError as error:
        return unasked(f"OpenAI cannot be asked: {redact(str(error))}")
    try:
        transport = Transport(settings)
    except ConfigurationError as error:
        return unusable(f"OpenAI cannot be asked: {redact(str(error))}")
    try:
        found = openai_project.read(transport.run, clock)
    finally:
        transport.close()
    secret = env["OPENAI_WEBHOOK_SECRET"] if secret_works(env) else None
    findings = openai_project.project(
        found,
        url=what.url,
        secret=secret,
        configured=env.get("OPENAI_PROJECT_ID") or None,
        base_url=env.get("OPENAI_BASE_URL") or None,
    )
    return found, findings + judged(found.models)


def _voice(what: Examination, env: Mapping[str, str], findings: list[Finding]) -> list[tuple[str, str]]:
    assert what.voice_url is not None
    steps = voice_url.requests(
        what.voice_url,
        env.get("TWILIO_AUTH_TOKEN") or None,
        account_sid=env.get("TWILIO_ACCOUNT_SID") or None,
        number=what.number,
        sender=what.sender,
    )
    try:
        answers = ask_all(steps, timeout=what.timeout, secrets=secrets_of(env))
    except ConfigurationError as error:
        why = f"the voice URL: {redact(str(error))}"
        findings.append(Finding(Group.TWILIO, "voice-signed", Level.NOT_CHECKED, why))
        return []
    findings += voice_url.voice_url(answers)
    return [("the TwiML", uri) for uri in voice_url.sip_uris(answers)]


def _twilio(what: Examination, env: Mapping[str, str], findings: list[Finding]) -> list[tuple[str, str]]:
    def unasked(why: str) -> list[tuple[str, str]]:
        findings.append(Finding(Group.TWILIO, "twilio-works", Level.NOT_CHECKED, why))
        return []

    asked = what.number or what.sender or what.application_sid or what.trunk
    if not env.get("TWILIO_ACCOUNT_SID") and not asked:
        return []  # whoever has another carrier is not bothered
    if what.offline:
        return unasked("--offline: Twilio is not asked")
    try:
        from realtime_sip.cli.doctor import twilio_account
        from realtime_sip.twilio.account import TwilioAccount

        account = TwilioAccount(base_url=what.twilio_base_url, timeout=what.timeout)
    except (MissingExtraError, ConfigurationError) as error:
        return unasked(f"Twilio cannot be asked: {redact(str(error))}")
    number = what.number
    if number is None and what.trunk is not None and len(what.trunk.numbers) == 1:
        number = what.trunk.numbers[0]
    wanted = twilio_account.Wanted(
        number=number,
        sender=what.sender,
        application_sid=what.application_sid,
        voice_url=what.voice_url,
        trunk=None if what.trunk is None else what.trunk_place,
        by_api_key=bool(env.get("TWILIO_API_KEY") and env.get("TWILIO_API_SECRET")),
        emulated=what.twilio_base_url is not None and is_here(what.twilio_base_url),
    )
    with account:
        try:
            found = account.run(twilio_account.read(wanted))
            findings += twilio_account.twilio(found, wanted)
            if what.trunk is not None and found.failure is None:
                findings += twilio_account.declared(account.trunks.verify(what.trunk), what.trunk_place)
        except ConfigurationError as error:
            return unasked(f"Twilio cannot be asked: {redact(str(error))}")
        except RealtimeSipError as error:
            return unasked(f"Twilio's answer cannot be read: {redact(str(error))}")
    urls = twilio_account.asked_urls(found)
    if what.voice_url is None and urls:
        why = f"the TwiML: pass your voice URL as --voice-url, {shown_url(urls[0])}"
        findings.append(Finding(Group.TWILIO, "voice-reachable", Level.NOT_CHECKED, why))
    return [("the trunk", uri) for uri in twilio_account.origination(found)]

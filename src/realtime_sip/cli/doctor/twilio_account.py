"""What a Twilio account has for calls: its number, WhatsApp sender, TwiML App and trunk, and what is wrong with them.

`read` is steps that an account carries out, which change nothing; `twilio` says what was read means, without I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar
from urllib.parse import urlsplit

from realtime_sip._redaction import redact
from realtime_sip.cli.doctor.answer import is_here, is_public
from realtime_sip.cli.doctor.finding import Finding, Group, Level, by_level, masked, of_group, shown_url
from realtime_sip.errors import (
    AuthenticationError,
    NetworkError,
    NotFoundError,
    PermissionDeniedError,
    RealtimeSipError,
    ServiceError,
)
from realtime_sip.twilio.found import TRUNKS
from realtime_sip.twilio.operations import API, Steps, ask, get, listed, segment
from realtime_sip.twilio.records import AccountRecord, OriginationRecord, PhoneNumber, TrunkRecord
from realtime_sip.twilio.senders import Sender, TwimlApp, senders
from realtime_sip.twilio.trunking import TrunkReport
from realtime_sip.twilio.webhook_rules import delivery

__all__ = ["Found", "Wanted", "asked_urls", "declared", "origination", "read", "twilio"]

_Owned = TypeVar("_Owned", PhoneNumber, Sender)

_report = of_group(Group.TWILIO)
_ENABLE_ALL = (
    "Set its transfer mode to enable-all, as `trunking.for_openai` does: in the console, at the trunk, Call Transfer "
    "(SIP REFER), to the PSTN too."
)
_SMALL_TIERS = ("50 ", "50/", "250 ", "250/", "tier_50", "tier_250")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to look at, as the command was given it.

    Attributes:
        number: In E.164.
        sender: `whatsapp:+…` or its SID.
        application_sid: A TwiML App.
        voice_url: Where Twilio has to ask for TwiML.
        trunk: Where the trunk is declared to which the number should lead, as `MODULE:NAME`.
        by_api_key: Whether Twilio is asked with an API key, in place of the auth token.
        emulated: Whether what is asked is an emulator on this machine.
    """

    number: str | None = field(default=None, repr=False)
    sender: str | None = field(default=None, repr=False)
    application_sid: str | None = None
    voice_url: str | None = None
    trunk: str | None = None
    by_api_key: bool = False
    emulated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was read.

    Attributes:
        failure: Why nothing was.
        account: The account, if the key may read it.
        numbers: How many numbers it has.
        number: The one that was asked for, or the only one.
        senders: How many WhatsApp senders it has; None if they could not be read.
        sender: The one that was asked for, or the only one.
        apps: The TwiML Apps that these name, by SID; None for one that is not there.
        trunks: The trunks that the number names, by SID, each with its origination URLs.
        rules: What the webhook configuration changes about requests to a URL, by URL.
    """

    failure: RealtimeSipError | None = None
    account: AccountRecord | None = None
    numbers: int = 0
    number: PhoneNumber | None = field(default=None, repr=False)
    senders: int | None = None
    sender: Sender | None = field(default=None, repr=False)
    apps: Mapping[str, TwimlApp | None] = field(default_factory=dict)
    trunks: Mapping[str, tuple[TrunkRecord, Sequence[OriginationRecord]] | None] = field(default_factory=dict)
    rules: Mapping[str, Sequence[str]] = field(default_factory=dict)


def read(wanted: Wanted) -> Steps[Found]:
    """Read what is there. Nothing is changed."""
    account: AccountRecord | None = None
    try:
        account = yield from ask(get("account.fetch", f"{API}.json", AccountRecord))
    except (AuthenticationError, PermissionDeniedError):
        pass  # a standard API key does everything but read the account itself
    except (ServiceError, NetworkError) as error:
        return Found(failure=error)
    try:
        path = f"{API}/IncomingPhoneNumbers.json"
        numbers = yield from listed("numbers.list", path, "incoming_phone_numbers", PhoneNumber)
    except (ServiceError, NetworkError) as error:
        return Found(failure=error, account=account)
    number = _chosen(numbers, wanted.number)
    have: Sequence[Sender] | None = None
    sender: Sender | None = None
    try:
        have = yield from senders()
        sender = _chosen(have, wanted.sender)
    except (ServiceError, NetworkError):
        pass  # said by the count that is missing
    apps: dict[str, TwimlApp | None] = {}
    for sid in dict.fromkeys(_app_sids(wanted, number, sender)):
        try:
            apps[sid] = yield from ask(get("apps.fetch", f"{API}/Applications/{segment(sid)}.json", TwimlApp))
        except (ServiceError, NetworkError):
            apps[sid] = None
    trunks: dict[str, tuple[TrunkRecord, Sequence[OriginationRecord]] | None] = {}
    if number is not None and number.trunk_sid:
        trunks[number.trunk_sid] = yield from _trunk(number.trunk_sid)
    rules: dict[str, Sequence[str]] = {}
    for url in dict.fromkeys(_urls(wanted, number, apps)):
        try:
            rules[url] = yield from delivery(url)
        except NetworkError:
            rules[url] = ["Twilio's webhook configuration (beta) cannot be read: look there for rules"]
    return Found(
        account=account,
        numbers=len(numbers),
        number=number,
        senders=None if have is None else len(have),
        sender=sender,
        apps=apps,
        trunks=trunks,
        rules=rules,
    )


def _chosen(there: Sequence[_Owned], which: str | None) -> _Owned | None:
    """Return the one of that number or SID; the only one, if none is named."""
    if which is None:
        return there[0] if len(there) == 1 else None
    return next((each for each in there if which in (each.sid, _number_of(each))), None)


def _number_of(owned: PhoneNumber | Sender) -> str | None:
    return owned.phone_number if isinstance(owned, PhoneNumber) else owned.sender_id


def _app_sids(wanted: Wanted, number: PhoneNumber | None, sender: Sender | None) -> Iterator[str]:
    if wanted.application_sid:
        yield wanted.application_sid
    if number is not None and number.route.kind == "application":
        yield number.route.target
    if sender is not None and sender.application_sid:
        yield sender.application_sid


def _urls(wanted: Wanted, number: PhoneNumber | None, apps: Mapping[str, TwimlApp | None]) -> Iterator[str]:
    if wanted.voice_url:
        yield wanted.voice_url
    if number is not None and number.route.kind == "url":
        yield number.route.target
    yield from (app.voice_url for app in apps.values() if app is not None and app.voice_url)


def _trunk(sid: str) -> Steps[tuple[TrunkRecord, Sequence[OriginationRecord]] | None]:
    path = f"{TRUNKS}/{segment(sid)}"
    try:
        record = yield from ask(get("trunks.fetch", path, TrunkRecord))
        urls = yield from listed(
            "trunks.origination_urls", f"{path}/OriginationUrls", "origination_urls", OriginationRecord
        )
    except (ServiceError, NetworkError):
        return None
    return record, urls


def origination(found: Found) -> list[str]:
    """Return the SIP URIs that the number's trunk sends calls to."""
    return [url.sip_url for trunk in found.trunks.values() if trunk is not None for url in trunk[1] if url.enabled]


def asked_urls(found: Found) -> list[str]:
    """Return the voice URLs that Twilio asks about calls to the number, to the sender, and of the app."""
    number = found.number
    urls = [number.route.target] if number is not None and number.route.kind == "url" else []
    return urls + [app.voice_url for app in found.apps.values() if app is not None and app.voice_url]


# --- what it means ----------------------------------------------------------------------------------------------------


def twilio(found: Found, wanted: Wanted) -> list[Finding]:
    """Return what is wrong with what an account has, and what is right."""
    if found.failure is not None:
        return [_refused(found.failure, wanted)]
    number, sender = [*_number(found, wanted)], [*_sender(found, wanted)]
    # An account has numbers and senders that are not for the agent: nobody who names one is bothered with the other.
    by_number, by_sender = (not by_level(each, Level.ERROR) for each in (number, sender))
    number_aside = wanted.sender is not None or (found.sender is not None and by_sender and not by_number)
    sender_aside = wanted.number is not None or (found.number is not None and by_number and not by_sender)
    return [
        _report("twilio-works", Level.OK, "Twilio takes the credentials"),
        *_account(found.account),
        *(map(_aside, number) if number_aside and wanted.number is None else number),
        *(map(_aside, sender) if sender_aside and wanted.sender is None else sender),
        *_named_app(found, wanted),
        *_rules(found),
    ]


def _aside(finding: Finding) -> Finding:
    """Return a finding about what was not asked for, when something else takes the calls: a level milder."""
    milder = {Level.ERROR: Level.WARNING, Level.WARNING: Level.NOTE}
    return replace(finding, level=milder.get(finding.level, finding.level))


def declared(report: TrunkReport, place: str) -> list[Finding]:
    """Return what `verify` says about a trunk that the program declares at `place`, `MODULE:NAME`."""
    name, shown, apply = "trunk-declared", report.plan.friendly_name, f"`realtime-sip twilio trunk apply {place}`"
    if report.plan.sid is None:
        return [_report(name, Level.ERROR, f"the trunk {shown} is not there", f"{apply} makes it.")]
    findings = []
    if report.plan.steps:
        text = f"the trunk {shown} is not as it is declared: {len(report.plan.steps)} changes are to be made"
        findings.append(_report(name, Level.ERROR, text, f"{apply} shows them, asks, and makes them."))
    for each in report.findings:
        level = Level.ERROR if each.level == "error" else Level.WARNING
        text = f"the trunk {shown}: {redact(each.text)}"
        fix = f"`realtime-sip twilio trunk verify {place}` says the same, until it is mended."
        if "not declared" in each.text:
            fix = f"Declare it, or let {apply[:-1]} --prune` take it away."
        findings.append(_report(name, level, text, fix))
    return findings or [_report(name, Level.OK, f"the trunk {shown} is as it is declared")]


def _refused(error: RealtimeSipError, wanted: Wanted) -> Finding:
    name = "twilio-works"
    if isinstance(error, (AuthenticationError, PermissionDeniedError)):
        found = f"Twilio refuses the credentials ({error.status_code})"
        if wanted.by_api_key:
            found = f"Twilio refuses the API key ({error.status_code}), which goes before the auth token"
            fix = "Take a key of this account's, with its secret; or unset TWILIO_API_KEY and TWILIO_API_SECRET."
            return _report(name, Level.ERROR, found, fix)
        fix = "Copy SID and auth token again from the console; a test credential and a sub-account's have others."
        return _report(name, Level.ERROR, found, fix)
    if isinstance(error, NotFoundError):
        return _report(name, Level.ERROR, "there is no such account (404)", "Copy TWILIO_ACCOUNT_SID again.")
    if isinstance(error, NetworkError):
        found = f"Twilio cannot be reached: {redact(str(error))}"
        fix = "Let this machine reach api.twilio.com by HTTPS, and see HTTPS_PROXY if it does so through a proxy."
        if wanted.emulated:
            fix = "Start the emulator, and see that --twilio-base-url is its own."
        return _report(name, Level.ERROR, found, fix)
    fix = "See that --twilio-base-url is an emulator's." if wanted.emulated else "Try again; see status.twilio.com."
    return _report(name, Level.ERROR, f"Twilio fails: {redact(str(error))}", fix)


def _account(account: AccountRecord | None) -> Iterator[Finding]:
    name = "twilio-account"
    if account is None:
        yield _report(name, Level.NOT_CHECKED, "whether the account is a trial: the API key may not read it")
    elif account.status not in (None, "active"):
        yield _report(name, Level.ERROR, f"the account is {account.status}", "See the console's messages.")
    elif account.type == "Trial":
        found = "the account is a trial: only verified numbers are reached, by transfers too, and callers hear so"
        yield _report(name, Level.WARNING, found, "Upgrade it.")
    else:
        yield _report(name, Level.OK, "the account is active, and no trial")


def _number(found: Found, wanted: Wanted) -> Iterator[Finding]:
    name, number = "number", found.number
    if number is None and wanted.number is not None:
        text = f"{masked(wanted.number)} is no number of this account"
        yield _report(name, Level.ERROR, text, "Buy it, or set the variables of the account that has it.")
    elif number is None and found.numbers:
        yield _report(name, Level.NOT_CHECKED, f"the account has {found.numbers} numbers: pass --number")
    elif number is None:
        yield _report(name, Level.NOT_CHECKED, "the account has no phone number")
    elif not number.takes_calls:
        yield _report(name, Level.ERROR, f"{masked(number.phone_number)} takes no calls", "Buy one with voice.")
    else:
        yield from _route(number, found, wanted)


def _route(number: PhoneNumber, found: Found, wanted: Wanted) -> Iterator[Finding]:
    name, shown, route = "number-route", masked(number.phone_number), number.route
    match route.kind:
        case "nothing":
            text = f"{shown} leads nowhere: callers hear that it is not in service"
            yield _report(name, Level.ERROR, text, _lead(wanted))
        case "url":
            yield _voice_url(name, shown, route.target, wanted, _lead(wanted))
        case "application":
            yield from _app(name, shown, route.target, found, wanted)
        case "trunk":
            if wanted.voice_url is not None:
                text = f"{shown} leads to a trunk: no voice URL is asked"
                fix = "Take it from the trunk (`account.numbers.route_to`), if TwiML is to answer."
                yield _report(name, Level.WARNING, text, fix)
            yield from _of_trunk(shown, found.trunks.get(route.target))


def _lead(wanted: Wanted) -> str:
    """Return how a number is led to the agent."""
    if wanted.trunk is not None:
        return f"`realtime-sip twilio trunk apply {wanted.trunk}` leads it to the trunk."
    by = "in the console, at the number, or by `account.numbers.route_to`"
    if wanted.voice_url is not None and _is_reached(wanted.voice_url, wanted):
        return f"Give it {shown_url(wanted.voice_url)}: {by}."
    return f"Give it your public voice URL ({by}), or a trunk (`realtime-sip twilio trunk apply`)."


def _is_reached(url: str, wanted: Wanted) -> bool:
    return wanted.emulated or is_public(url)


def _voice_url(name: str, shown: str, url: str, wanted: Wanted, lead: str) -> Finding:
    given = wanted.voice_url
    if (urlsplit(url).hostname or "") == "demo.twilio.com":
        return _report(name, Level.ERROR, f"{shown} asks Twilio's demo for TwiML", lead)
    if not _is_reached(url, wanted):
        return _report(name, Level.ERROR, f"{shown} asks {shown_url(url)} for TwiML, which Twilio cannot reach", lead)
    if given is not None and is_here(given) and not is_here(url):
        text = f"{shown} asks {shown_url(url)} for TwiML; {shown_url(given)} is on this machine"
        return _report(name, Level.NOTE, text)
    if given is not None and url.partition("#")[0] != given.partition("#")[0]:
        text = f"{shown} asks {shown_url(url)} for TwiML, and not {shown_url(given)}"
        return _report(name, Level.ERROR, text, "Give it the URL that answers, byte for byte: Twilio signs it so.")
    if url.startswith("http:") and not (wanted.emulated and is_here(url)):
        text = f"{shown} asks {shown_url(url)} for TwiML, in the clear"
        return _report(name, Level.WARNING, text, "Use https.")
    return _report(name, Level.OK, f"{shown} asks {shown_url(url)} for TwiML")


def _app(name: str, shown: str, sid: str, found: Found, wanted: Wanted) -> Iterator[Finding]:
    app = found.apps.get(sid)
    if app is None:
        text = f"{shown} leads to the TwiML App {sid}, which cannot be read"
        yield _report(name, Level.ERROR, text, "Take an app of this account.")
    elif not app.voice_url:
        text = f"{shown} leads to the TwiML App {sid}, which has no voice URL"
        yield _report(name, Level.ERROR, text, "Give the app your voice URL.")
    else:
        fix = "Give the app your public voice URL, as Request URL of its voice configuration."
        yield _voice_url(name, f"{shown}, by the TwiML App {sid},", app.voice_url, wanted, fix)


def _named_app(found: Found, wanted: Wanted) -> Iterator[Finding]:
    if wanted.application_sid is not None:
        yield from _app("twiml-app", "--application-sid", wanted.application_sid, found, wanted)


def _of_trunk(shown: str, trunk: tuple[TrunkRecord, Sequence[OriginationRecord]] | None) -> Iterator[Finding]:
    name = "trunk"
    if trunk is None:
        yield _report(name, Level.NOT_CHECKED, f"the trunk of {shown} cannot be read")
        return
    record, urls = trunk
    if not any(url.enabled for url in urls):
        text = f"the trunk of {shown} has no origination URL that is enabled: calls fail (32010)"
        yield _report(name, Level.ERROR, text, "Add sip:proj_…@sip.api.openai.com;transport=tls, or enable it.")
    else:
        yield _report(name, Level.OK, f"{shown} leads to a trunk with an origination URL")
    yield _transfers(record)
    if record.symmetric_rtp_enabled:
        text = "symmetric RTP is on at the trunk, which Twilio advises against"
        yield _report("trunk-rtp", Level.WARNING, text, "Switch it off in the console, at the trunk.")


def _transfers(record: TrunkRecord) -> Finding:
    name = "refer"
    if record.transfer_mode == "enable-all":
        return _report(name, Level.OK, "the trunk takes transfers by REFER, to phone numbers too")
    if record.transfer_mode == "sip-only":
        text = "the trunk takes transfers to SIP URIs alone: those to phone numbers are refused"
        return _report(name, Level.WARNING, text, _ENABLE_ALL)
    text = "the trunk takes no transfers by REFER: `call.transfer` cannot work over it"
    return _report(name, Level.WARNING, text, _ENABLE_ALL)


def _sender(found: Found, wanted: Wanted) -> Iterator[Finding]:
    name, sender = "whatsapp-sender", found.sender
    if found.senders is None:
        yield _report(name, Level.NOT_CHECKED, "the WhatsApp senders cannot be read")
    elif sender is None and wanted.sender is not None:
        text = f"{masked(wanted.sender)} is no WhatsApp sender of this account"
        yield _report(name, Level.ERROR, text, "Register it first, or set the variables of the account that has it.")
    elif sender is None:
        why = "the account has no WhatsApp sender" if not found.senders else f"{found.senders} senders: pass --sender"
        yield _report(name, Level.NOT_CHECKED, why)
    else:
        yield from _of_sender(sender, found, wanted)


def _of_sender(sender: Sender, found: Found, wanted: Wanted) -> Iterator[Finding]:
    name, shown = "whatsapp-sender", masked(sender.sender_id or sender.sid)
    if sender.status != "ONLINE":
        why = f" ({redact(str(sender.offline_reasons))[:120]})" if sender.offline_reasons else ""
        changing = (sender.status or "").startswith("ONLINE")
        fix = "Wait a minute: it was changed." if changing else "See the sender in the console."
        level = Level.WARNING if changing else Level.ERROR
        yield _report(name, level, f"{shown} is {sender.status}{why}", fix)
    else:
        yield _report(name, Level.OK, f"{shown} is ONLINE")
    if sender.application_sid is None:
        text = f"{shown} has no TwiML App: calls to it are off"
        given = wanted.voice_url
        url = shown_url(given) if given is not None and _is_reached(given, wanted) else "https://…"
        fix = f"Switch them on: `realtime-sip twilio whatsapp activate {sender.sid} --voice-url {url}`."
        yield _report("whatsapp-app", Level.ERROR, text, fix)
    else:
        yield from _app("whatsapp-app", shown, sender.application_sid, found, wanted)
    limit = (sender.properties and sender.properties.messaging_limit) or ""
    if limit.lower().startswith(_SMALL_TIERS):
        text = f"the tier of {shown} is {redact(limit)}: calls need that of 1,000 users a day, and a verified business"
        yield _report("whatsapp-tier", Level.WARNING, text, "Verify the business at Meta.")


def _rules(found: Found) -> Iterator[Finding]:
    name = "webhook-configuration"
    for url, said in found.rules.items():
        for text in said:
            if "cannot be read" in text:
                yield _report(name, Level.NOT_CHECKED, text)
            else:
                fix = "Change the rule in Twilio's webhook configuration, or your server."
                yield _report(name, Level.WARNING, f"{shown_url(url)}: {text}", fix)
    if found.rules and not any(found.rules.values()):
        text = "no rule of Twilio's webhook configuration (beta) changes requests to the voice URL"
        yield _report(name, Level.OK, text)

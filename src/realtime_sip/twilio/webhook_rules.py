"""Twilio's webhook configuration (beta): rules by URL that stand over what a URL says, also about how it is signed."""

from __future__ import annotations

from collections.abc import Iterable

from realtime_sip.errors import NotFoundError, ServiceError
from realtime_sip.twilio.operations import WEBHOOKS, Steps, ask, get, listed, segment
from realtime_sip.twilio.records import RuleRecord, SettingRecord


def rule_for(url: str, rules: Iterable[RuleRecord]) -> RuleRecord | None:
    """Return the rule that Twilio applies to a URL: an exact one, else the longest prefix, else the default."""
    bare = url.partition("#")[0]
    ranked: list[tuple[int, int, RuleRecord]] = []
    for rule in rules:
        match rule.matchType:
            case "EXACT_MATCH" if rule.value == bare:
                ranked.append((2, len(bare), rule))
            case "PREFIX_MATCH" if rule.prefix and bare.startswith(rule.prefix):
                ranked.append((1, len(rule.prefix), rule))
            case "DEFAULT":
                ranked.append((0, 0, rule))
    return max(ranked, key=lambda each: each[:2])[2] if ranked else None


def what_changes(url: str, setting: SettingRecord) -> list[str]:
    """Return what a setting means for whoever answers `url`, in sentences."""
    found = []
    signature, auth = setting.signature or {}, setting.auth or {}
    if key := signature.get("sharedKeyId"):
        algorithm = signature.get("algorithm") or "its algorithm"
        found.append(
            f"a webhook rule signs it with the shared key {str(key)[:80]} by {str(algorithm)[:40]}, and not with the "
            "auth token: give TwilioSignature that key"
        )
    if setting.connection and "#" in url:
        found.append("a webhook rule has timeouts and repeats of its own: those behind the # of the URL do not count")
    if auth.get("source") or auth.get("value"):
        found.append("a webhook rule lets Twilio authenticate itself, which your server has to expect")
    return found


def delivery(url: str) -> Steps[list[str]]:
    """Return what Twilio's webhook configuration changes about requests to `url`."""
    try:
        rules = yield from listed("webhooks.rules", f"{WEBHOOKS}/Rules", "rules", RuleRecord, page_size="pageSize")
        rule = rule_for(url, rules)
        found: list[str] = []
        for reference in (rule.settings or []) if rule else []:
            sid = reference.get("settingId") if isinstance(reference, dict) else None
            if isinstance(sid, str):
                path = f"{WEBHOOKS}/Settings/{segment(sid)}"
                found += what_changes(url, (yield from ask(get("webhooks.setting", path, SettingRecord))))
    except NotFoundError:
        return []
    except ServiceError as error:
        return [f"Twilio's webhook configuration (beta) cannot be read ({error.status_code}): look there for rules"]
    return list(dict.fromkeys(found))

"""Elastic SIP trunks of the emulated account, its webhook configuration and Twilio's prices: the newer APIs."""

from __future__ import annotations

import re
from typing import Any

from realtime_sip.testing.openai.server import Reply, Request
from realtime_sip.testing.twilio.account import Account, checked_fields
from realtime_sip.testing.twilio.courier import new_sid
from realtime_sip.testing.twilio.record import TwilioRefusal
from realtime_sip.testing.twilio.replies import meta_page, not_found

__all__ = ["answer"]

_HOST = "trunking.twilio.com"
_FIELDS = {
    "FriendlyName": "friendly_name",
    "DomainName": "domain_name",
    "DisasterRecoveryUrl": "disaster_recovery_url",
    "DisasterRecoveryMethod": "disaster_recovery_method",
    "TransferMode": "transfer_mode",
    "TransferCallerId": "transfer_caller_id",
    "Secure": "secure",
    "CnamLookupEnabled": "cnam_lookup_enabled",
}
_WORDS = {
    "TransferMode": ("disable-all", "enable-all", "sip-only"),
    "TransferCallerId": ("from-transferee", "from-transferor"),
    "DisasterRecoveryMethod": ("GET", "POST"),
    "Secure": ("true", "false"),
    "CnamLookupEnabled": ("true", "false"),
    "Enabled": ("true", "false"),
    "Mode": (
        *("do-not-record", "record-from-ringing", "record-from-answer"),
        *("record-from-ringing-dual", "record-from-answer-dual"),
    ),
    "Trim": ("trim-silence", "do-not-trim"),
}
_URL_FIELDS = ("SipUrl", "FriendlyName", "Priority", "Weight", "Enabled")
_DOMAIN = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.pstn\.twilio\.com")
_MAX_TRUNKS, _MAX_URLS = 100, 10
_MAPPINGS = {"IpAccessControlLists": "ip_access_control_lists", "CredentialLists": "credential_lists"}


def answer(account: Account, request: Request, path: str, fields: dict[str, str]) -> Reply:
    """Answer a request to `/v1/…`."""
    match request.method, path.removeprefix("/v1/").split("/"):
        case "GET", ["PhoneNumbers", "Countries", country]:
            return _prices(account, country)
        case "GET", ["Webhooks", "Rules"]:
            return Reply.of_json({"rules": account.rules, "meta": {"key": "rules", "nextToken": None}})
        case "GET", ["Webhooks", "Settings", sid] if sid in account.settings:
            return Reply.of_json(account.settings[sid])
        case "GET", ["Trunks"]:
            return meta_page("trunks", [_shown(trunk) for trunk in account.trunks.values()], request, _HOST)
        case "POST", ["Trunks"]:
            return _create(account, fields)
        case method, ["Trunks", sid, *below] if sid in account.trunks:
            return _trunk(account, account.trunks[sid], method, below, request, fields, path)
    raise not_found(path)


def _prices(account: Account, country: str) -> Reply:
    prices = [
        {"number_type": kind, "base_price": account.price, "current_price": account.price}
        for kind in ("local", "toll free")
    ]
    return Reply.of_json({"iso_country": country, "price_unit": "USD", "phone_number_prices": prices})


def _create(account: Account, fields: dict[str, str]) -> Reply:
    checked_fields(fields, set(_FIELDS))
    most = 1 if account.is_trial else _MAX_TRUNKS
    if len(account.trunks) >= most:
        raise TwilioRefusal(21244, "The maximum number of trunks is reached.")
    trunk: dict[str, Any] = {
        "sid": new_sid("TK"),
        "account_sid": account.sid,
        "friendly_name": None,
        "domain_name": None,
        "disaster_recovery_url": None,
        "disaster_recovery_method": "POST",
        "transfer_mode": "disable-all",
        "transfer_caller_id": "from-transferee",
        "secure": False,
        "cnam_lookup_enabled": False,
        "symmetric_rtp_enabled": False,
        "recording": {"mode": "do-not-record", "trim": "do-not-trim"},
        "origination_urls": {},
        "ip_access_control_lists": {},
        "credential_lists": {},
    }
    _update(account, trunk, fields)
    account.trunks[trunk["sid"]] = trunk
    return Reply.of_json(_shown(trunk), status=201)


def _update(account: Account, trunk: dict[str, Any], fields: dict[str, str]) -> None:
    _check_words(fields)
    if len(fields.get("FriendlyName", "")) > 64:
        raise TwilioRefusal(21245, "FriendlyName has more than 64 characters.")
    if (domain := fields.get("DomainName")) is not None:
        _check_domain(account, trunk, domain)
    for name, value in fields.items():
        is_flag = _WORDS.get(name) == ("true", "false")
        trunk[_FIELDS[name]] = value == "true" if is_flag else value or None


def _check_domain(account: Account, trunk: dict[str, Any], domain: str) -> None:
    if not _DOMAIN.fullmatch(domain):
        raise TwilioRefusal(21245, "DomainName must end with pstn.twilio.com.")
    others = {each["domain_name"] for each in account.trunks.values() if each is not trunk}
    if domain in others:
        raise TwilioRefusal(21248, "Domain name is already taken.")
    parent = domain.partition(".")[2]
    if parent != "pstn.twilio.com" and parent not in others:
        raise TwilioRefusal(21247, "The parent domain does not exist.")


def _check_words(fields: dict[str, str]) -> None:
    for name, value in fields.items():
        if name in _WORDS and value not in _WORDS[name]:
            raise TwilioRefusal(21245, f"{name} must be one of {', '.join(_WORDS[name])}.")


def _trunk(
    account: Account,
    trunk: dict[str, Any],
    method: str,
    below: list[str],
    request: Request,
    fields: dict[str, str],
    path: str,
) -> Reply:
    match method, below:
        case "GET", []:
            return Reply.of_json(_shown(trunk))
        case "POST", []:
            checked_fields(fields, set(_FIELDS))
            _update(account, trunk, fields)
            return Reply.of_json(_shown(trunk))
        case "DELETE", []:
            return _delete(account, trunk)
        case "GET", ["Recording"]:
            return Reply.of_json(trunk["recording"])
        case "POST", ["Recording"]:
            checked_fields(fields, {"Mode", "Trim"})
            _check_words(fields)
            trunk["recording"] = {**trunk["recording"], **{name.lower(): value for name, value in fields.items()}}
            return Reply.of_json(trunk["recording"], status=202)
        case _, ["OriginationUrls", *rest]:
            return _origination(trunk, method, rest, request, fields, path)
        case _, ["PhoneNumbers", *rest]:
            return _numbers(account, trunk, method, rest, request, fields, path)
        case _, [kind, *rest] if kind in _MAPPINGS:
            return _mapping(account, trunk, method, kind, rest, request, fields, path)
    raise not_found(path)


def _delete(account: Account, trunk: dict[str, Any]) -> Reply:
    domain = trunk["domain_name"]
    if domain and any((each["domain_name"] or "").endswith(f".{domain}") for each in account.trunks.values()):
        raise TwilioRefusal(21247, "The trunk has sub-domains.")
    del account.trunks[trunk["sid"]]
    for number in account.numbers.values():
        if number["trunk_sid"] == trunk["sid"]:
            number["trunk_sid"] = None
    return Reply(status=204)


def _origination(
    trunk: dict[str, Any], method: str, rest: list[str], request: Request, fields: dict[str, str], path: str
) -> Reply:
    urls: dict[str, dict[str, Any]] = trunk["origination_urls"]
    match method, rest:
        case "GET", []:
            return meta_page("origination_urls", [*urls.values()], request, _HOST)
        case "POST", []:
            checked_fields(fields, set(_URL_FIELDS), _URL_FIELDS)
            if len(urls) >= _MAX_URLS:
                raise TwilioRefusal(21249, "The maximum number of origination URLs is reached.")
            url = {"sid": new_sid("OU"), "account_sid": trunk["account_sid"], "trunk_sid": trunk["sid"]}
            url |= _origination_fields(fields)
            urls[url["sid"]] = url
            return Reply.of_json(url, status=201)
        case "POST", [sid] if sid in urls:
            checked_fields(fields, set(_URL_FIELDS))
            urls[sid] |= _origination_fields(fields)
            return Reply.of_json(urls[sid])
        case "DELETE", [sid] if sid in urls:
            del urls[sid]
            return Reply(status=204)
    raise not_found(path)


def _origination_fields(fields: dict[str, str]) -> dict[str, Any]:
    _check_words(fields)
    read: dict[str, Any] = {}
    for name, least in (("Priority", 0), ("Weight", 1)):
        if name in fields:
            if not fields[name].isdecimal() or not least <= int(fields[name]) <= 65535:
                raise TwilioRefusal(21245, f"{name} must be {least} to 65535.")
            read[name.lower()] = int(fields[name])
    if "SipUrl" in fields:
        if not fields["SipUrl"].startswith("sip:"):
            raise TwilioRefusal(21245, "SipUrl must have the scheme sip.")
        read["sip_url"] = fields["SipUrl"]
    if "Enabled" in fields:
        read["enabled"] = fields["Enabled"] == "true"
    if "FriendlyName" in fields:
        read["friendly_name"] = fields["FriendlyName"]
    return read


def _numbers(
    account: Account,
    trunk: dict[str, Any],
    method: str,
    rest: list[str],
    request: Request,
    fields: dict[str, str],
    path: str,
) -> Reply:
    attached = {sid: each for sid, each in account.numbers.items() if each["trunk_sid"] == trunk["sid"]}
    match method, rest:
        case "GET", []:
            # The kind of a number, on which its price depends, is not among what a trunk shows.
            shown = [{name: value for name, value in each.items() if name != "type"} for each in attached.values()]
            return meta_page("phone_numbers", shown, request, _HOST)
        case "POST", []:
            checked_fields(fields, {"PhoneNumberSid"}, ("PhoneNumberSid",))
            number = account.numbers.get(fields["PhoneNumberSid"])
            if number is None:
                raise not_found(f"/PhoneNumbers/{fields['PhoneNumberSid']}")
            number["trunk_sid"], number["voice_application_sid"] = trunk["sid"], None
            return Reply.of_json(number, status=201)
        case "DELETE", [sid] if sid in attached:
            attached[sid]["trunk_sid"] = None
            return Reply(status=204)
    raise not_found(path)


def _mapping(
    account: Account,
    trunk: dict[str, Any],
    method: str,
    kind: str,
    rest: list[str],
    request: Request,
    fields: dict[str, str],
    path: str,
) -> Reply:
    mapped: dict[str, dict[str, Any]] = trunk[_MAPPINGS[kind]]
    field = f"{kind[:-1]}Sid"
    match method, rest:
        case "GET", []:
            return meta_page(_MAPPINGS[kind], [*mapped.values()], request, _HOST)
        case "POST", []:
            checked_fields(fields, {field}, (field,))
            sid = fields[field]
            if sid not in account.lists[kind]:
                raise not_found(f"/{kind}/{sid}")
            if sid in mapped:
                raise TwilioRefusal(21245, "The list is mapped already.")  # that it has this code is a guess
            mapped[sid] = {"sid": sid, "friendly_name": account.lists[kind][sid]["friendly_name"]}
            return Reply.of_json(mapped[sid], status=201)
        case "DELETE", [sid] if sid in mapped:
            del mapped[sid]
            return Reply(status=204)
    raise not_found(path)


def _shown(trunk: dict[str, Any]) -> dict[str, Any]:
    kinds = ("ip_access_control_lists", "credential_lists")
    auth = [word for word, kind in zip(("IP_ACL", "CREDENTIAL_LIST"), kinds, strict=True) if trunk[kind]]
    shown = {name: value for name, value in trunk.items() if name not in (*kinds, "origination_urls")}
    return {**shown, "auth_type": ",".join(auth), "auth_type_set": auth}

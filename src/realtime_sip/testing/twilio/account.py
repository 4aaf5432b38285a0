"""What the emulated account has beside its calls: numbers, lists for SIP, trunks, webhook rules. With state."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from realtime_sip.errors import ConfigurationError
from realtime_sip.testing.openai.server import Reply, Request
from realtime_sip.testing.twilio.contents import Contents
from realtime_sip.testing.twilio.courier import new_sid
from realtime_sip.testing.twilio.record import TwilioRefusal
from realtime_sip.testing.twilio.replies import not_found, page
from realtime_sip.testing.twilio.senders import Senders

__all__ = ["Account", "checked_fields"]

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_LISTS = {"IpAccessControlLists": ("AL", "ip_access_control_lists"), "CredentialLists": ("CL", "credential_lists")}
_ENTRIES = {"IpAddresses": ("IP", "ip_addresses"), "Credentials": ("CR", "credentials")}
_MAX_LISTS = 100
# What a request may have. Twilio itself ignores a name that it does not know; here a slip is seen.
_NUMBER_FIELDS = {
    *("PhoneNumber", "FriendlyName", "AddressSid", "BundleSid", "TrunkSid", "VoiceApplicationSid"),
    *("VoiceUrl", "VoiceMethod", "VoiceFallbackUrl", "VoiceFallbackMethod", "StatusCallback", "StatusCallbackMethod"),
    *("VoiceCallerIdLookup", "SmsUrl", "SmsMethod", "SmsApplicationSid"),
}


def checked_fields(fields: Mapping[str, str], known: set[str], needed: tuple[str, ...] = ()) -> None:
    """Refuse a form that lacks something, or has a name that Twilio does not know."""
    for name in needed:
        if name not in fields:
            raise TwilioRefusal(20001, f"Missing required parameter {name} in the post body")
    unknown = sorted(set(fields) - known)
    if unknown:
        raise TwilioRefusal(None, f"{unknown[0]} is no parameter (Twilio itself would ignore it)")


class Account:
    """The account, as tests prepare and read it.

    Attributes:
        sid: Its SID.
        whatsapp: Its WhatsApp senders and TwiML Apps.
        templates: Its message templates.
        is_trial: Whether it is a trial account: one number and one trunk.
        numbers: Its numbers by SID, as REST shows them.
        available: Numbers that can be bought, as REST shows them.
        caller_ids: Numbers that were verified.
        trunks: Its trunks by SID, as REST shows them.
        rules: The rules of the webhook configuration, as REST shows them.
        settings: The settings of the webhook configuration, by id.
        price: What a number costs a month, in US dollars.
    """

    def __init__(self, sid: str) -> None:
        self.sid = sid
        self.whatsapp = Senders(sid)
        self.templates = Contents()
        self.is_trial = False
        self.numbers: dict[str, dict[str, Any]] = {}
        self.available: list[dict[str, Any]] = []
        self.caller_ids: list[str] = []
        self.trunks: dict[str, dict[str, Any]] = {}
        self.rules: list[dict[str, Any]] = []
        self.settings: dict[str, dict[str, Any]] = {}
        self.price = "1.15"
        self.lists: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in _LISTS}
        """The lists for SIP by kind and SID. Each has its entries under "entries"; a password is in none of them."""

    def own(
        self,
        number: str,
        *,
        voice_url: str = "https://demo.twilio.com/welcome/voice/",
        application_sid: str = "",
        type: str = "local",  # noqa: A002 - Twilio's word
        voice: bool = True,
    ) -> str:
        """Give the account a number, and return its SID.

        Raises:
            ConfigurationError: It is not a number.
        """
        if not _NUMBER.fullmatch(number):
            raise ConfigurationError("number must be +… in E.164")
        sid = new_sid("PN")
        self.numbers[sid] = {
            "sid": sid,
            "account_sid": self.sid,
            "phone_number": number,
            "friendly_name": number,
            "capabilities": {"voice": voice, "sms": True, "mms": False, "fax": False},
            "trunk_sid": None,
            "voice_application_sid": application_sid or None,
            "voice_url": voice_url or None,
            "voice_method": "POST",
            "voice_fallback_url": None,
            "status_callback": "",
            "type": type,
            "origin": "twilio",
            "address_requirements": "none",
            "uri": f"/2010-04-01/Accounts/{self.sid}/IncomingPhoneNumbers/{sid}.json",
        }
        return sid

    def offer(self, number: str, *, country: str = "US", type: str = "Local", needs: str = "none") -> None:  # noqa: A002
        """Let a number be one that can be bought; `needs` is the address that its country asks for."""
        self.available.append(
            {
                "phone_number": number,
                "friendly_name": number,
                "iso_country": country,
                "locality": None,
                "region": None,
                "address_requirements": needs,
                "beta": False,
                "capabilities": {"voice": True, "SMS": True, "MMS": True},
                "_type": type,
            }
        )

    def answer(self, request: Request, path: str, parts: list[str], fields: dict[str, str]) -> Reply:
        """Answer a request to what is below `/2010-04-01/Accounts/AC….json`."""
        match request.method, parts:
            case "GET", []:
                kind = "Trial" if self.is_trial else "Full"
                return Reply.of_json({"sid": self.sid, "type": kind, "status": "active", "friendly_name": "Emulated"})
            case "GET", ["OutgoingCallerIds"]:
                found = [{"sid": "PN" + f"{n:032x}", "phone_number": each} for n, each in enumerate(self.caller_ids)]
                return page("outgoing_caller_ids", _with_number(found, request), request)
            case "GET", ["AvailablePhoneNumbers", country, kind]:
                return self._search(country, kind, request, path)
            case method, ["IncomingPhoneNumbers", *rest]:
                return self._incoming(method, rest, request, fields, path)
            case method, ["Applications", *rest]:
                return self.whatsapp.answer_application(method, rest, request, fields)
            case method, ["SIP", kind, *rest] if kind in _LISTS:
                return self._list(method, kind, rest, request, fields, path)
        raise not_found(path)

    def _search(self, country: str, kind: str, request: Request, path: str) -> Reply:
        offered = [each for each in self.available if each["iso_country"] == country and each["_type"] == kind]
        if not any(each["iso_country"] == country for each in self.available):
            raise not_found(path)
        contains = request.query.get("Contains", "").replace("*", ".").replace("+", "")
        area = request.query.get("AreaCode", "")
        shown = [
            {name: value for name, value in each.items() if name != "_type"}
            for each in offered
            if re.search(contains, each["phone_number"]) and each["phone_number"][2:].startswith(area)
        ]
        size = int(request.query.get("PageSize", "30"))
        return Reply.of_json({"available_phone_numbers": shown[:size], "uri": request.target})

    def _incoming(self, method: str, rest: list[str], request: Request, fields: dict[str, str], path: str) -> Reply:
        match method, rest:
            case "GET", []:
                return page("incoming_phone_numbers", _with_number([*self.numbers.values()], request), request)
            case "POST", []:
                checked_fields(fields, _NUMBER_FIELDS, ("PhoneNumber",))
                return self._buy(fields)
        if len(rest) != 1 or rest[0] not in self.numbers:
            raise not_found(path)
        record = self.numbers[rest[0]]
        match method:
            case "GET":
                return Reply.of_json(record)
            case "POST":
                checked_fields(fields, _NUMBER_FIELDS)
                self._update(record, fields)
                return Reply.of_json(record)
            case "DELETE":
                del self.numbers[rest[0]]
                return Reply(status=204)
        raise not_found(path)

    def _buy(self, fields: dict[str, str]) -> Reply:
        number = fields["PhoneNumber"]
        if not _NUMBER.fullmatch(number):
            raise TwilioRefusal(21421, f"{number[:40]} is not a valid number")
        offered = next((each for each in self.available if each["phone_number"] == number), None)
        if offered is None:
            raise TwilioRefusal(21422, f"{number} is not available.")
        if self.is_trial and self.numbers:
            raise TwilioRefusal(21404, "Trial accounts are allowed only one Twilio number.")
        if offered["address_requirements"] != "none" and "AddressSid" not in fields:
            raise TwilioRefusal(21631, "Phone Number Requires an Address.")
        self.available.remove(offered)
        sid = self.own(number, type=offered["_type"].lower())
        self._update(self.numbers[sid], fields)
        return Reply.of_json(self.numbers[sid], status=201)

    def _update(self, record: dict[str, Any], fields: dict[str, str]) -> None:
        if (sid := fields.get("VoiceApplicationSid")) and not re.fullmatch("AP[0-9a-f]{32}", sid):
            raise TwilioRefusal(21420, "ApplicationSid is not accessible")
        if (sid := fields.get("TrunkSid")) and sid not in self.trunks:
            raise not_found(f"/Trunks/{sid}")
        if (url := fields.get("VoiceUrl")) and not url.startswith(("http://", "https://")):
            raise TwilioRefusal(21402, "VoiceUrl is not valid")
        for name, key in (
            ("FriendlyName", "friendly_name"),
            ("VoiceMethod", "voice_method"),
            ("VoiceUrl", "voice_url"),
            ("VoiceFallbackUrl", "voice_fallback_url"),
        ):
            if name in fields:
                record[key] = fields[name] or None
        # Each removes the other, says the page; an empty one removes itself.
        if "TrunkSid" in fields:
            record["trunk_sid"] = fields["TrunkSid"] or None
            record["voice_application_sid"] = None if fields["TrunkSid"] else record["voice_application_sid"]
        if "VoiceApplicationSid" in fields:
            record["voice_application_sid"] = fields["VoiceApplicationSid"] or None
            record["trunk_sid"] = None if fields["VoiceApplicationSid"] else record["trunk_sid"]

    def _list(
        self, method: str, kind: str, rest: list[str], request: Request, fields: dict[str, str], path: str
    ) -> Reply:
        prefix, key = _LISTS[kind]
        lists = self.lists[kind]
        match method, rest:
            case "GET", []:
                return page(key, [_without_entries(each) for each in lists.values()], request)
            case "POST", []:
                checked_fields(fields, {"FriendlyName"}, ("FriendlyName",))
                if len(lists) >= _MAX_LISTS:
                    raise TwilioRefusal(21255 if prefix == "AL" else 21239, "The maximum number of lists is reached.")
                sid = new_sid(prefix)
                lists[sid] = {
                    "sid": sid,
                    "account_sid": self.sid,
                    "friendly_name": fields["FriendlyName"],
                    "entries": {},
                }
                return Reply.of_json(_without_entries(lists[sid]), status=201)
        if not rest or rest[0] not in lists:
            raise not_found(path)
        entries: dict[str, dict[str, Any]] = lists[rest[0]]["entries"]
        match method, rest[1:]:
            case "DELETE", []:
                del lists[rest[0]]
                return Reply(status=204)
            case "GET", [below] if below in _ENTRIES:
                return page(_ENTRIES[below][1], [*entries.values()], request)
            case "POST", [below] if below in _ENTRIES:
                entry = _entry(below, fields, entries)
                entries[entry["sid"]] = entry
                return Reply.of_json(entry, status=201)
            case "DELETE", [below, sid] if below in _ENTRIES and sid in entries:
                del entries[sid]
                return Reply(status=204)
        raise not_found(path)


def _entry(kind: str, fields: dict[str, str], entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    sid = new_sid(_ENTRIES[kind][0])
    if kind == "IpAddresses":
        checked_fields(fields, {"FriendlyName", "IpAddress", "CidrPrefixLength"}, ("FriendlyName", "IpAddress"))
        prefix = int(fields.get("CidrPrefixLength", "32"))
        address = {"ip_address": fields["IpAddress"], "cidr_prefix_length": prefix}
        return {"sid": sid, "friendly_name": fields["FriendlyName"], **address}
    checked_fields(fields, {"Username", "Password"}, ("Username", "Password"))
    password = fields["Password"]
    if len(password) < 12 or password.lower() == password or password.upper() == password:
        raise TwilioRefusal(21243, "The password is too weak.")
    if any(each["username"] == fields["Username"] for each in entries.values()):
        raise TwilioRefusal(21243, "The username is there already.")
    return {"sid": sid, "username": fields["Username"]}


def _without_entries(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "entries"}


def _with_number(found: list[dict[str, Any]], request: Request) -> list[dict[str, Any]]:
    # Twilio takes a part of a number for a filter, and `*`.
    part = request.query.get("PhoneNumber", "").strip("*")
    return [each for each in found if part in each["phone_number"]]

"""WhatsApp senders and TwiML Apps of the emulated account."""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import from_json

from realtime_sip.testing.openai.server import Reply, Request
from realtime_sip.testing.twilio.courier import new_sid
from realtime_sip.testing.twilio.record import TwilioRefusal
from realtime_sip.testing.twilio.replies import meta_page, not_found, page
from realtime_sip.testing.twilio.whatsapp_calls import WhatsAppCalls

__all__ = ["Senders"]

_SENDER_ID = re.compile(r"whatsapp:\+[1-9][0-9]{6,14}")
_CONFIGURATION = {"waba_id", "verification_method", "verification_code", "voice_application_sid"}
_PARTS = {"sender_id", "configuration", "webhook", "profile"}
_APP_FIELDS = {"FriendlyName": "friendly_name", "VoiceUrl": "voice_url", "VoiceMethod": "voice_method"}


class Senders:
    """The senders and the TwiML Apps, by SID, as REST shows them."""

    def __init__(self, account_sid: str) -> None:
        self.account_sid = account_sid
        self.senders: dict[str, dict[str, Any]] = {}
        self.applications: dict[str, dict[str, Any]] = {}
        self.calls = WhatsAppCalls()
        """Who has permitted calls."""
        self.updates = 1
        """How often a sender is still ONLINE:UPDATING when it is read after a change."""
        self._left: dict[str, int] = {}

    def own(self, sender_id: str, *, application_sid: str | None = None) -> str:
        """Give the account a sender that is online, and return its SID."""
        sid = new_sid("XE")
        self.senders[sid] = {
            "sid": sid,
            "sender_id": sender_id,
            "status": "ONLINE",
            "configuration": {
                "verification_code": None,
                "verification_method": "sms",
                "voice_application_sid": application_sid,
                "waba_id": "1000",
            },
            "webhook": {"callback_url": None, "callback_method": "POST"},
            "profile": {"name": "Emulated"},
            # How they are worded is a guess.
            "properties": {"messaging_limit": "1K Customers/24hr", "quality_rating": "HIGH"},
            "offline_reasons": None,
            "url": f"https://messaging.twilio.com/v2/Channels/Senders/{sid}",
        }
        return sid

    def answer(self, request: Request, path: str) -> Reply:
        """Answer a request to `/v2/Channels/Senders…`."""
        match request.method, path.removeprefix("/v2/Channels/").split("/"):
            case "GET", ["Senders"]:
                if request.query.get("Channel") != "whatsapp":
                    raise TwilioRefusal(20001, "Channel is required")
                return meta_page("senders", [*self.senders.values()], request, "messaging.twilio.com")
            case "POST", ["Senders"]:
                return self._register(_json(request))
            case "GET", ["Senders", sid] if sid in self.senders:
                left = self._left.get(sid, 0)
                if left:
                    self._left[sid] = left - 1
                elif self.senders[sid]["status"] == "ONLINE:UPDATING":
                    self.senders[sid]["status"] = "ONLINE"
                return Reply.of_json(self.senders[sid])
            case "POST", ["Senders", sid] if sid in self.senders:
                return self._update(self.senders[sid], _json(request))
        raise not_found(path)

    def _register(self, value: dict[str, Any]) -> Reply:
        if not _SENDER_ID.fullmatch(str(value.get("sender_id"))):
            raise TwilioRefusal(20001, "sender_id must be whatsapp:+…")
        if any(each["sender_id"] == value["sender_id"] for each in self.senders.values()):
            raise TwilioRefusal(63100, "The sender exists already.")  # that it has this code is a guess
        sid = self.own(value["sender_id"])
        self.senders[sid]["status"] = "CREATING"
        self.senders[sid]["configuration"] |= value.get("configuration") or {}
        return Reply.of_json(self.senders[sid], status=202)

    def _update(self, sender: dict[str, Any], value: dict[str, Any]) -> Reply:
        configuration = value.get("configuration") or {}
        application = configuration.get("voice_application_sid")
        if application is not None and application not in self.applications:
            raise TwilioRefusal(20404, "The TwiML App was not found")  # that it has this code is a guess
        for part in ("configuration", "webhook", "profile"):
            sender[part] |= value.get(part) or {}
        sender["status"] = "ONLINE:UPDATING"
        self._left[sender["sid"]] = self.updates
        nothing = {"offline_reasons": None, "profile": None, "properties": None, "sender_id": None, "webhook": None}
        return Reply.of_json({**sender, **nothing}, status=202)

    def answer_application(self, method: str, rest: list[str], request: Request, fields: dict[str, str]) -> Reply:
        """Answer a request to `…/Applications….json`."""
        match method, rest:
            case "GET", []:
                name = request.query.get("FriendlyName")
                found = [each for each in self.applications.values() if name in (None, each["friendly_name"])]
                return page("applications", found, request)
            case "POST", []:
                sid = new_sid("AP")
                self.applications[sid] = {"sid": sid, "account_sid": self.account_sid, "sms_url": None}
                return Reply.of_json(self._set(sid, fields), status=201)
            case "GET", [sid] if sid in self.applications:
                return Reply.of_json(self.applications[sid])
            case "POST", [sid] if sid in self.applications:
                return Reply.of_json(self._set(sid, fields))
        raise not_found(request.path)

    def _set(self, sid: str, fields: dict[str, str]) -> dict[str, Any]:
        for name, value in fields.items():
            if name not in _APP_FIELDS:
                raise TwilioRefusal(None, f"{name} is no parameter that is emulated")
            self.applications[sid][_APP_FIELDS[name]] = value
        return self.applications[sid]


def _json(request: Request) -> dict[str, Any]:
    try:
        value = from_json(request.body)
    except ValueError:
        value = None
    if not isinstance(value, dict) or not request.header("content-type").startswith("application/json"):
        raise TwilioRefusal(20001, "The body must be a JSON object.")
    unknown = sorted({*value} - _PARTS) or sorted({*(value.get("configuration") or {})} - _CONFIGURATION)
    if unknown:
        raise TwilioRefusal(None, f"{unknown[0]} is no property (Twilio itself would ignore it)")
    return value

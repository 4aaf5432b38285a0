"""WhatsApp senders, and the TwiML App that takes their calls."""

from __future__ import annotations

from typing import Any

from realtime_sip._redaction import redact
from realtime_sip._wire import Inbound
from realtime_sip.api.operations import Pause, Repeat
from realtime_sip.errors import DeadlineError, InvalidRequestError, NetworkError, ServerError
from realtime_sip.twilio.numbers import checked_url
from realtime_sip.twilio.operations import (
    API,
    SENDERS,
    Steps,
    ask,
    body,
    checked_sid,
    form,
    get,
    listed,
    may_have_acted,
    segment,
)
from realtime_sip.twilio.records import Made
from realtime_sip.twilio.whatsapp_call import checked_sender

_EVERY = 2.0
_MAX_FRIENDLY_NAME = 64
_MAX_WAIT = 3600.0


class SenderConfiguration(Inbound):
    """How a sender is configured."""

    voice_application_sid: str | None = None
    waba_id: str | None = None


class SenderProperties(Inbound):
    """What Meta says of a sender. Calls need Business Verification, and 1,000 users a day (Twilio's page) or
    2,000 (Meta's own, June 2026).

    Attributes:
        messaging_limit: How many users it may write to in a day, as Meta words it. No page lists the words.
        quality_rating: What users think of it, likewise.
    """

    messaging_limit: str | None = None
    quality_rating: str | None = None


class Sender(Made):
    """A WhatsApp sender.

    Attributes:
        sid: `XE…`.
        sender_id: `whatsapp:` and the number; None in the answer to a change.
        status: "ONLINE", "ONLINE:UPDATING", "OFFLINE", "CREATING", "PENDING_VERIFICATION" …
        offline_reasons: Why it is offline, if it is.
    """

    sender_id: str | None = None
    status: str | None = None
    configuration: SenderConfiguration | None = None
    properties: SenderProperties | None = None
    webhook: dict[str, Any] | None = None
    offline_reasons: list[Any] | None = None

    @property
    def takes_calls(self) -> bool:
        """Whether it is online and has a TwiML App, without which calls are off."""
        return self.status == "ONLINE" and self.application_sid is not None

    @property
    def application_sid(self) -> str | None:
        """The TwiML App that takes its calls, or None if calls are off."""
        return self.configuration.voice_application_sid if self.configuration else None


class TwimlApp(Made):
    """A TwiML App."""

    friendly_name: str | None = None
    voice_url: str | None = None
    voice_method: str | None = None


def senders() -> Steps[list[Sender]]:
    """Return the senders of the account."""
    return (yield from listed("whatsapp.senders", SENDERS, "senders", Sender, {"Channel": "whatsapp"}))


def sender(which: str) -> Steps[Sender]:
    """Return a sender by `whatsapp:` and its number, or by its SID.

    Raises:
        InvalidRequestError: It is neither, or the account has no such sender.
    """
    return _sender(which if str(which).startswith("XE") else checked_sender(which))


def _sender(which: str) -> Steps[Sender]:
    if which.startswith("XE"):
        return (yield from ask(get("whatsapp.sender", _path(which), Sender)))
    found = next((each for each in (yield from senders()) if each.sender_id == which), None)
    if found is None:
        raise InvalidRequestError("sender", (("", "is not one of the account's: register it first"),))
    return (yield from ask(get("whatsapp.sender", _path(found.sid), Sender)))


def register(sender_id: str, waba_id: str | None, name: str | None, method: str) -> Steps[Sender]:
    """Return the steps that register a sender, unless the account has it."""
    checked_sender(sender_id)
    if method not in ("sms", "voice"):
        raise InvalidRequestError("register", (("verification_method", "must be sms or voice"),))
    configuration = {"waba_id": waba_id, "verification_method": method}
    value: dict[str, object] = {
        "sender_id": sender_id,
        "configuration": {key: each for key, each in configuration.items() if each is not None},
    }
    if name is not None:
        value["profile"] = {"name": name}
    return _registered(sender_id, value)


def _registered(sender_id: str, value: dict[str, object]) -> Steps[Sender]:
    have = next((each for each in (yield from senders()) if each.sender_id == sender_id), None)
    if have is not None:
        return have
    try:
        return (yield from ask(body("whatsapp.register", SENDERS, value, Sender)))
    except (NetworkError, ServerError) as error:
        if not may_have_acted(error):
            raise
        have = next((each for each in (yield from senders()) if each.sender_id == sender_id), None)
        if have is None:
            raise
        return have


def activate(
    which: str, voice_url: str | None, application_sid: str | None, app_name: str, message_url: str | None, wait: float
) -> Steps[Sender]:
    """Return the steps that switch calls on, and wait until the sender is online."""
    if (voice_url is None) == (application_sid is None):
        raise InvalidRequestError("activate", (("", "pass one of voice_url and application_sid"),))
    if voice_url is not None:
        checked_url(voice_url, "voice_url")
    if application_sid is not None:
        checked_sid(application_sid, "AP", "application_sid")
    if message_url is not None:
        checked_url(message_url, "message_url")
    if not isinstance(app_name, str) or not 0 < len(app_name) <= _MAX_FRIENDLY_NAME:
        raise InvalidRequestError("activate", (("app_name", f"must have 1 to {_MAX_FRIENDLY_NAME} characters"),))
    _check_wait(wait)
    return _activated(sender(which), voice_url, application_sid, app_name, message_url, wait)


def _activated(
    find: Steps[Sender],
    voice_url: str | None,
    application_sid: str | None,
    app_name: str,
    message_url: str | None,
    wait: float,
) -> Steps[Sender]:
    found = yield from find
    if voice_url is not None:
        application_sid = (yield from twiml_app(app_name, voice_url)).sid
    wanted: dict[str, object] = {"configuration": {"voice_application_sid": application_sid}}
    there = found.application_sid == application_sid
    if message_url is not None:
        wanted["webhook"] = {"callback_url": message_url, "callback_method": "POST"}
        there = there and (found.webhook or {}).get("callback_url") == message_url
    if there and found.status == "ONLINE":
        return found
    return (yield from _changed(found.sid, wanted, application_sid, wait))


def deactivate(which: str, wait: float) -> Steps[Sender]:
    """Return the steps that switch calls off, and wait until the sender is online."""
    _check_wait(wait)
    return _deactivated(sender(which), wait)


def _deactivated(find: Steps[Sender], wait: float) -> Steps[Sender]:
    found = yield from find
    if found.application_sid is None and found.status == "ONLINE":
        return found
    return (yield from _changed(found.sid, {"configuration": {"voice_application_sid": None}}, None, wait))


def _changed(sid: str, wanted: dict[str, object], application_sid: str | None, wait: float) -> Steps[Sender]:
    yield from ask(body("whatsapp.update", _path(sid), wanted, Sender, repeat=Repeat.ANY))
    now = yield from ask(get("whatsapp.sender", _path(sid), Sender))
    for _ in range(int(wait / _EVERY)):
        if now.status == "ONLINE" and now.application_sid == application_sid:
            return now
        if now.status == "OFFLINE":
            break
        yield Pause(_EVERY)
        now = yield from ask(get("whatsapp.sender", _path(sid), Sender))
    if now.status == "ONLINE" and now.application_sid == application_sid:
        return now
    why = f": {redact(str(now.offline_reasons))[:200]}" if now.offline_reasons else ""
    raise DeadlineError(f"the sender was changed, and is {now.status} after {wait:g} s{why}", sent=True)


def twiml_app(friendly_name: str, voice_url: str) -> Steps[TwimlApp]:
    """Return the TwiML App of that name with that voice URL, made or changed if it has to be. Nothing else is set.

    Raises:
        InvalidRequestError: Two apps have the name.
    """
    wanted = {"VoiceUrl": voice_url, "VoiceMethod": "POST"}
    found = yield from _app(friendly_name)
    if found is None:
        fields = {"FriendlyName": friendly_name, **wanted}
        try:
            return (yield from ask(form("whatsapp.create_app", f"{API}/Applications.json", fields, TwimlApp)))
        except (NetworkError, ServerError) as error:
            if not may_have_acted(error):
                raise
            found = yield from _app(friendly_name)
            if found is None:
                raise
    if found.voice_url == voice_url and found.voice_method == "POST":
        return found
    path = f"{API}/Applications/{segment(found.sid)}.json"
    return (yield from ask(form("whatsapp.update_app", path, wanted, TwimlApp, repeat=Repeat.ANY)))


def _app(friendly_name: str) -> Steps[TwimlApp | None]:
    asked = {"FriendlyName": friendly_name}
    apps = yield from listed("whatsapp.apps", f"{API}/Applications.json", "applications", TwimlApp, asked)
    named = [app for app in apps if app.friendly_name == friendly_name]
    if len(named) > 1:
        problem = f"{len(named)} TwiML Apps have this name: rename or delete all but one, or pass application_sid"
        raise InvalidRequestError("activate", (("app_name", problem),))
    return named[0] if named else None


def _check_wait(wait: object) -> None:
    if isinstance(wait, bool) or not isinstance(wait, (int, float)) or not 0 <= wait <= _MAX_WAIT:
        raise InvalidRequestError("sender", (("wait", f"must be 0 to {_MAX_WAIT:g} seconds"),))


def _path(sid: str) -> str:
    return f"{SENDERS}/{segment(checked_sid(sid, 'XE', 'sender'))}"

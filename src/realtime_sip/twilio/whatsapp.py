"""WhatsApp Business Calling: senders that take and place calls, and who may be called.

    account.whatsapp.activate("whatsapp:+551130000001", voice_url="https://voice.example.com/twilio/voice")
    permissions = whatsapp.CallPermissions(store)
    await permissions.observe(webhook)  # each message, answer and call status
    verdict = await permissions.may_call("+551130000001", "+5511987650001")

`account.whatsapp` has the same methods on `TwilioAccount` and, to be awaited, on `AsyncTwilioAccount`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from realtime_sip.outcomes import PermissionReason, PermissionVerdict
from realtime_sip.twilio import senders, template
from realtime_sip.twilio.call_permissions import CallPermissions, Reservation
from realtime_sip.twilio.operations import Steps
from realtime_sip.twilio.permission import EventKind, Limit, PermissionEvent, PermissionHistory, PermissionRules
from realtime_sip.twilio.placed_call import PlacedCall
from realtime_sip.twilio.senders import Sender, SenderConfiguration, SenderProperties
from realtime_sip.twilio.template import Approval, CallTemplate, PermissionRequestTemplate, SentMessage, TemplateRecord
from realtime_sip.twilio.thread_permissions import ThreadCallPermissions
from realtime_sip.twilio.whatsapp_call import place_call
from realtime_sip.twilio.whatsapp_user import WhatsAppUser, area_verdict

__all__ = [
    "Approval",
    "AsyncWhatsApp",
    "CallPermissions",
    "CallTemplate",
    "EventKind",
    "Limit",
    "PermissionEvent",
    "PermissionHistory",
    "PermissionReason",
    "PermissionRequestTemplate",
    "PermissionRules",
    "PermissionVerdict",
    "Reservation",
    "Sender",
    "SenderConfiguration",
    "SenderProperties",
    "SentMessage",
    "TemplateRecord",
    "ThreadCallPermissions",
    "WhatsApp",
    "WhatsAppFace",
    "WhatsAppUser",
    "area_verdict",
]

_Senders = TypeVar("_Senders")
_Sender = TypeVar("_Sender")
_Call = TypeVar("_Call")
_Template = TypeVar("_Template")
_Approval = TypeVar("_Approval")
_Sent = TypeVar("_Sent")

WAIT = 60.0
"""Seconds to wait for a sender to be online."""


class WhatsAppFace(Generic[_Senders, _Sender, _Call, _Template, _Approval, _Sent]):
    """`account.whatsapp`. What its methods return is awaited on `AsyncTwilioAccount`."""

    def __init__(self, run: Callable[[Steps[Any]], Any]) -> None:
        self._run = run

    def senders(self) -> _Senders:
        """Return the WhatsApp senders of the account. `sender` has more of each.

        Raises:
            NetworkError, ServiceError: Twilio cannot be reached, or refuses.
        """
        found: _Senders = self._run(senders.senders())
        return found

    def sender(self, which: str) -> _Sender:
        """Return a sender with its TwiML App, its messaging limit and its quality rating.

        Args:
            which: `whatsapp:` and the number, or the SID, `XE…`.

        Raises:
            InvalidRequestError: It is neither, or the account has no such sender.
            NetworkError, ServiceError: Twilio cannot be reached, or refuses.
        """
        found: _Sender = self._run(senders.sender(which))
        return found

    def register(
        self,
        sender_id: str,
        *,
        waba_id: str | None = None,
        name: str | None = None,
        verification_method: Literal["sms", "voice"] = "sms",
    ) -> _Sender:
        """Register a number as a sender, unless the account has it already. It is verified, and online, later.

        It is never asked for twice: if no answer comes, the account's senders say whether it was registered.

        Args:
            sender_id: `whatsapp:` and the number.
            waba_id: The WhatsApp Business Account, for the first sender of one.
            name: The name that users see.
            verification_method: How the number is verified.

        Raises:
            InvalidRequestError: An argument is not valid; nothing was sent.
            NetworkError, ServiceError: Twilio cannot be reached, or refuses.
        """
        made: _Sender = self._run(senders.register(sender_id, waba_id, name, verification_method))
        return made

    def activate(
        self,
        sender: str,
        *,
        voice_url: str | None = None,
        application_sid: str | None = None,
        app_name: str = "WhatsApp calls",
        message_url: str | None = None,
        wait: float = WAIT,
    ) -> _Sender:
        """Switch calls on: give a sender a TwiML App, and wait until it is online. If all is so, nothing is changed.

        Args:
            sender: `whatsapp:` and the number, or the SID.
            voice_url: Where your TwiML is. The app named `app_name` gets it, and is created if it is missing; only its
                voice URL is set.
            application_sid: An app that is there, in place of `voice_url`.
            app_name: The name of the app.
            message_url: The URL for messages to the sender, at which answers to requests for permission arrive; left as
                it is if left out.
            wait: Seconds to wait, 0 to 3600.

        Raises:
            InvalidRequestError: An argument is not valid, there is no such sender, or two apps have the name.
            DeadlineError: It was changed, and is not online yet, or went offline; the message says why.
            NetworkError, ServiceError: Twilio cannot be reached, or refuses.
        """
        steps = senders.activate(sender, voice_url, application_sid, app_name, message_url, wait)
        changed: _Sender = self._run(steps)
        return changed

    def deactivate(self, sender: str, *, wait: float = WAIT) -> _Sender:
        """Switch calls off, and wait until the sender is online. The TwiML App stays.

        Args:
            sender: `whatsapp:` and the number, or the SID.
            wait: Seconds to wait, 0 to 3600.

        Raises:
            InvalidRequestError: An argument is not valid, or there is no such sender.
            DeadlineError: It was changed, and is not online yet, or went offline; the message says why.
            NetworkError, ServiceError: Twilio cannot be reached, or refuses.
        """
        changed: _Sender = self._run(senders.deactivate(sender, wait))
        return changed

    def create_template(self, template_: CallTemplate | PermissionRequestTemplate, /) -> _Template:
        """Create a template. Sent once: two of one name are two templates.

        Raises:
            InvalidRequestError: It is no template.
            NetworkError: If `sent`, it may have been created.
            ServiceError: Twilio refuses, or failed.
        """
        made: _Template = self._run(template.create_template(template_))
        return made

    def submit_template(self, sid: str, *, name: str, category: Literal["UTILITY", "MARKETING"]) -> _Approval:
        """Submit a template for WhatsApp's approval. `approval` says what came of it.

        Args:
            sid: The template, `HX…`.
            name: Its name at WhatsApp: a to z, 0 to 9 and _.
            category: What it is for; a wrong one may be rejected.

        Raises:
            InvalidRequestError: An argument is not valid; nothing was sent.
            NetworkError, ServiceError: Twilio cannot be reached, or refuses.
        """
        said: _Approval = self._run(template.submit_template(sid, name, category))
        return said

    def approval(self, sid: str, *, wait: float = 0.0) -> _Approval:
        """Return what WhatsApp says of a template, with the reason if it was rejected.

        Args:
            sid: The template, `HX…`.
            wait: Seconds, up to 86400, to wait for a yes or a no: `is_decided` says whether there was one. WhatsApp
                takes minutes, and up to a day.

        Raises:
            InvalidRequestError: An argument is not valid.
            NetworkError, ServiceError: Twilio cannot be reached, or refuses.
        """
        said: _Approval = self._run(template.approval(sid, wait))
        return said

    def send_template(
        self,
        sender: str,
        user: str | WhatsAppUser,
        sid: str,
        *,
        variables: Mapping[str, str] | None = None,
        permission: PermissionVerdict | None = None,
        status_callback: str | None = None,
    ) -> _Sent:
        """Send a template with all of its variables: one left out would send its sample. Sent once.

        Args:
            sender: `whatsapp:` and the number of a sender.
            user: Who gets it.
            sid: The template, `HX…`.
            variables: The value of each variable, by name.
            permission: What `CallPermissions.may_request` said; a template that asks for permission needs it.
            status_callback: The URL to which Twilio posts how the message goes.

        Raises:
            CallNotAllowedError: The permission is a no; nothing was sent.
            InvalidRequestError: An argument is not valid, or these are not the variables; nothing was sent to the user.
            NetworkError: If `sent`, the message may have been sent.
            ServiceError: Twilio refuses, or failed.
        """
        steps = template.send_template(sender, user, sid, variables or {}, permission, status_callback)
        sent: _Sent = self._run(steps)
        return sent

    def place_call(
        self,
        sender: str,
        user: str | WhatsAppUser,
        *,
        permission: PermissionVerdict,
        url: str | None = None,
        twiml: object = None,
        application_sid: str | None = None,
        timeout: int | None = None,
        status_callback: str | None = None,
    ) -> _Call:
        """Call a WhatsApp user. Sent once: it is repeated after 429, and never after a timeout or a 5xx.

        Args:
            sender: `whatsapp:` and the number of a sender that is activated for calls.
            user: A number or a WhatsApp user id, dialed as it is.
            permission: What `CallPermissions.reserve` or `may_call` said.
            url: Where the TwiML is that is done when the user answers, or
            twiml: the TwiML itself, such as that of `twiml.dial_openai`, or
            application_sid: a TwiML App.
            timeout: Seconds to ring, 5 to 600; Twilio's 60 if left out.
            status_callback: The URL to which Twilio posts how the call goes: `CallPermissions.observe` reads it.

        Raises:
            CallNotAllowedError: The permission is a no; nothing was sent.
            InvalidRequestError: An argument is not valid; nothing was sent.
            CallPermissionError, CallLimitError, WhatsAppSenderError, PlacedCallError, UnreachableNumberError: Twilio
                or WhatsApp refuses the call.
            RateLimitError: Calls come too fast (37004, 429).
            NetworkError: If `sent`, the call may have been placed: look before you place another.
            ServiceError: Twilio refuses for another reason, or failed.
        """
        steps = place_call(
            sender,
            user,
            permission,
            url=url,
            twiml=twiml,
            application_sid=application_sid,
            timeout=timeout,
            status_callback=status_callback,
        )
        placed: _Call = self._run(steps)
        return placed


WhatsApp: TypeAlias = WhatsAppFace[list[Sender], Sender, PlacedCall, TemplateRecord, Approval, SentMessage]
"""`account.whatsapp`, blocking."""

AsyncWhatsApp: TypeAlias = WhatsAppFace[
    Coroutine[Any, Any, list[Sender]],
    Coroutine[Any, Any, Sender],
    Coroutine[Any, Any, PlacedCall],
    Coroutine[Any, Any, TemplateRecord],
    Coroutine[Any, Any, Approval],
    Coroutine[Any, Any, SentMessage],
]
"""`account.whatsapp`, async."""

"""Webhooks about messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from realtime_sip.sip.address import e164
from realtime_sip.twilio.address import TwilioAddress, whatsapp_user_id
from realtime_sip.twilio.payload import TwilioWebhook, number_of
from realtime_sip.twilio.status import is_final, is_news


class MessageWebhook(TwilioWebhook):
    """A webhook about a message."""

    __slots__ = ()

    _needs: ClassVar[Sequence[str]] = ("MessageSid",)

    @property
    def message_sid(self) -> str:
        """The message."""
        return self.fields["MessageSid"]

    @property
    def sender_address(self) -> TwilioAddress | None:
        """Who sent it, or None."""
        return self._address("From")

    @property
    def recipient_address(self) -> TwilioAddress | None:
        """Who gets it, or None."""
        return self._address("To")


class IncomingMessage(MessageWebhook):
    """Somebody wrote."""

    __slots__ = ()

    @property
    def number(self) -> str | None:
        """The sender's number as E.164, or None: a WhatsApp user may have none here."""
        wa_id = self.fields.text("WaId")
        return number_of(self.sender_address) or (e164(f"+{wa_id}") if wa_id else None)

    @property
    def user_id(self) -> str | None:
        """The id of a WhatsApp user, or None."""
        return self._user_id(self.sender_address)

    @property
    def parent_user_id(self) -> str | None:
        """The id that the WhatsApp user has for a parent business, or None."""
        return whatsapp_user_id(self.fields.text("ParentExternalUserId"))

    @property
    def reply_to(self) -> str | None:
        """The address to write to: the number if it is known, since Twilio has refused ids (21211); else the id."""
        address = self.sender_address
        if address is None or address.channel != "whatsapp":
            return None if address is None else address.text
        known = self.number or self.user_id
        return f"whatsapp:{known}" if known else None

    @property
    def body(self) -> str:
        """What they wrote."""
        return self.fields.get("Body", "")

    @property
    def profile_name(self) -> str | None:
        """The name that the WhatsApp user chose, or None: text for a screen, no identity."""
        return self.fields.text("ProfileName")

    @property
    def button_payload(self) -> str | None:
        """What the button that they pressed stands for, or None."""
        return self.fields.text("ButtonPayload")


class CallPermissionReply(IncomingMessage):
    """A WhatsApp user answered the request for permission to call. They may change their mind later."""

    __slots__ = ()

    _needs = ("MessageSid", "ButtonPayload")

    @property
    def answer(self) -> Literal["accepted", "rejected"] | None:
        """What they answered, or None for a word that is not known here, which permits nothing."""
        match (self.button_payload or "").upper():
            case "ACCEPTED":
                return "accepted"
            case "REJECTED":
                return "rejected"
        return None


class MessageStatusCallback(MessageWebhook):
    """A message of yours went on. These arrive in any order, and more than once; see `is_news`."""

    __slots__ = ()

    _needs = ("MessageSid", "MessageStatus")

    @property
    def status(self) -> str:
        """ "queued", "sent", "delivered", "undelivered", "failed", "read" …"""
        return self.fields["MessageStatus"]

    @property
    def is_final(self) -> bool:
        """Whether it is over. A message that was delivered may still be read."""
        return is_final(self.status)

    @property
    def error_code(self) -> int | None:
        """Why it failed, or None."""
        return self.fields.number("ErrorCode")

    @property
    def key(self) -> str:
        """The same for two deliveries of one callback, and for no other. All of a message share its SID."""
        return f"{self.message_sid}:{self.status}"

    def is_news(self, *, after: str | None) -> bool:
        """Return whether it says more of the message than the last status that is known."""
        return is_news(self.status, after=after)

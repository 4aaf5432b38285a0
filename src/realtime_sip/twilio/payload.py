"""What all webhooks of Twilio's have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from realtime_sip.errors import WebhookPayloadError
from realtime_sip.twilio.address import TwilioAddress, whatsapp_user_id
from realtime_sip.twilio.fields import Fields

# What somebody else wrote, and left empty.
_MAY_BE_BLANK = {"ReferTransferTarget", "ButtonPayload"}


class TwilioWebhook:
    """A webhook of Twilio's.

    Attributes:
        fields: What is known, by Twilio's name. A blank field is "".
    """

    __slots__ = ("fields",)

    _needs: ClassVar[Sequence[str]] = ()

    def __init__(self, fields: Fields) -> None:
        missing = [name for name in self._needs if not fields.get(name) and name not in fields.keys() & _MAY_BE_BLANK]
        if missing:
            raise WebhookPayloadError(f"a webhook of Twilio's has no {missing[0]}, or two", reason="field_missing")
        self.fields = fields

    @classmethod
    def read(cls, body: bytes | str) -> Self:
        """Read the body of a form, or the query of a webhook by GET, after its signature was verified.

        Raises:
            WebhookPayloadError: It lacks what makes it this kind of webhook, or has it twice ("field_missing"); or it
                is "body_type", "body_too_large" or "too_many_fields".
        """
        return cls(Fields(body))

    @property
    def extras(self) -> dict[str, str]:
        """The fields that are not known, or cannot be what their name says. Nothing proves where their names end."""
        return self.fields.extras

    @property
    def account_sid(self) -> str | None:
        """The account. What `TwilioSignature.verify` returns is proven as well if each account has its own token."""
        return self.fields.text("AccountSid")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.fields.pairs == self.fields.pairs

    def __hash__(self) -> int:
        return hash(self.fields.pairs)

    def __repr__(self) -> str:
        """Show SIDs and statuses, never anybody's number or words."""
        shown = [f"{n}={v}" for n, v in sorted(self.fields.items()) if v and n.endswith(("Sid", "Status"))]
        return f"<{' '.join([type(self).__name__, *shown])}>"

    def _address(self, *names: str) -> TwilioAddress | None:
        text = next((text for name in names if (text := self.fields.text(name))), None)
        return None if text is None else TwilioAddress.of(text)

    def _user_id(self, address: TwilioAddress | None) -> str | None:
        others = (self.fields.get(name) for name in ("ExternalUserId", "ExternalUserIdentifier"))
        found = (whatsapp_user_id(text) for text in others)
        return (address and address.user_id) or next((each for each in found if each), None)


class UnknownTwilioWebhook(TwilioWebhook):
    """A form of no kind that this version knows."""

    __slots__ = ()


def number_of(address: TwilioAddress | None) -> str | None:
    """Return the number of an address as E.164, or None."""
    return None if address is None else address.number

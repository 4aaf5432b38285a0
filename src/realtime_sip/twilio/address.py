"""Who is at the other end of a call or a message, as Twilio names them: a number, a SIP or WhatsApp user, an app."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from typing import Literal, Self, TypeAlias

from realtime_sip.errors import InvalidRequestError
from realtime_sip.sip.address import SipUri, e164
from realtime_sip.sip.headers import ANONYMOUS

TwilioChannel: TypeAlias = Literal["phone", "whatsapp", "sip", "client"]
"""How somebody is connected to Twilio: "client" is an app with Twilio's voice SDK."""

_USER_ID = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}")
_CALLER_ID = re.compile(r"[A-Za-z0-9+_.-]{1,256}")
_PROBLEM = "neither a number nor an address that Twilio is known to use"


def whatsapp_user_id(text: str | None) -> str | None:
    """Return the id of a WhatsApp user (`BR.…`, `US.ENT.…`), or None.

    WhatsApp gives it in place of a number, or beside one. Another number means another id.

    >>> whatsapp_user_id("BR.1502576394655843"), whatsapp_user_id("whatsapp:BR.15"), whatsapp_user_id("5511987650001")
    ('BR.1502576394655843', 'BR.15', None)
    """
    bare = (text or "").removeprefix("whatsapp:")
    return bare if _USER_ID.fullmatch(bare) else None


@dataclass(frozen=True, slots=True, repr=False)
class TwilioAddress:
    """An address of Twilio's, as in `From` and `To`. Whatever the text is, there is one; `problem` says what is wrong.

    Attributes:
        text: As it came.
        channel: What it is an address of.
        number: The number as E.164, or None. Of an address whose user is a number, that number.
        user: The user of a SIP address, or the identity of an app, or None.
        user_id: The id of a WhatsApp user, or None.
        withheld: Whether it stands for a caller who shows no number: a word, or one typed on the keys of a phone.
        problem: Why nothing is known of it, or None.

    >>> TwilioAddress.of("whatsapp:+5511987650001").number, TwilioAddress.of("client:agent_7").user
    ('+5511987650001', 'agent_7')
    >>> TwilioAddress.of("+266696687").withheld, TwilioAddress.of("whatsapp:BR.15025").user_id
    (True, 'BR.15025')
    """

    text: str
    channel: TwilioChannel
    _: KW_ONLY
    number: str | None = None
    user: str | None = None
    user_id: str | None = None
    withheld: bool = False
    problem: str | None = None

    @classmethod
    def of(cls, text: str) -> Self:
        """Read an address."""
        scheme, colon, rest = text.strip().partition(":")
        match scheme.lower() if colon else "":
            case "whatsapp":
                return cls._whatsapp(text, rest)
            case "client":
                # What Twilio calls an app that gave no identity.
                if rest.lower() in ANONYMOUS:
                    return cls(text, "client", withheld=True)
                return cls(text, "client", user=rest or None, problem=None if rest else _PROBLEM)
            case "sip" | "sips" | "tel":
                return cls._uri(text, text.strip())
        bare = text.strip().lower()
        if bare in ANONYMOUS or f"+{bare}" in ANONYMOUS or not any(c.isdigit() for c in bare):
            return cls(text, "phone", withheld=True)
        # A number without country code, and a short one, is an address, though not one to call from elsewhere.
        is_number = bare.lstrip("+").replace("-", "").isdecimal()
        return cls(text, "phone", number=e164(bare), problem=None if is_number or e164(bare) else _PROBLEM)

    @classmethod
    def _whatsapp(cls, text: str, rest: str) -> Self:
        if rest.lower() in ANONYMOUS:
            return cls(text, "whatsapp", withheld=True)
        number, user_id = e164(rest), whatsapp_user_id(rest)
        problem = None if number or user_id else _PROBLEM
        return cls(text, "whatsapp", number=number, user_id=user_id, problem=problem)

    @classmethod
    def _uri(cls, text: str, uri_text: str) -> Self:
        channel: TwilioChannel = "phone" if uri_text[:4].lower() == "tel:" else "sip"
        try:
            uri = SipUri.parse(uri_text)
        except InvalidRequestError:
            return cls(text, channel, problem=_PROBLEM)
        user = (uri.user or "").lower()
        if user in ANONYMOUS or uri.host == "anonymous.invalid":
            return cls(text, channel, withheld=True)
        return cls(text, channel, number=uri.number, user=uri.user if channel == "sip" else None)

    @property
    def sip_caller_id(self) -> str | None:
        """What may stand as caller id towards SIP, which has no colon: the number, else whatever names the user."""
        if self.withheld:
            return "anonymous"
        return next((t for t in (self.number, self.user_id, self.user) if t and _CALLER_ID.fullmatch(t)), None)

    def __repr__(self) -> str:
        """Show what kind of address it is, and whose it is never."""
        known = "withheld" if self.withheld else "problem" if self.problem else "known"
        return f"<TwilioAddress {self.channel} {known}>"

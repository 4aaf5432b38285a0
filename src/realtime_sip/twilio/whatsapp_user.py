"""A user of WhatsApp, by number, by id, or by both, and the countries in which WhatsApp carries calls."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Self

from realtime_sip.errors import InvalidRequestError
from realtime_sip.outcomes import PermissionReason, PermissionVerdict
from realtime_sip.sip.address import e164, without_whatsapp
from realtime_sip.twilio.address import whatsapp_user_id
from realtime_sip.twilio.numbers import country_of

NO_OUTBOUND = frozenset({"CA", "EG", "NG", "TR", "US", "VN"})
"""Countries whose senders cannot place calls (Twilio's page, November 2026). The user may be from anywhere."""

NOT_SERVED = frozenset({"CU", "IR", "KP", "SY"})
"""Countries without WhatsApp for businesses; three regions of Ukraine as well (Twilio's page, November 2026)."""


@dataclass(frozen=True, slots=True, repr=False)
class WhatsAppUser:
    """A user of WhatsApp.

    Attributes:
        number: The number as E.164, as it is dialed.
        user_id: The id that WhatsApp gives in place of a number, or beside it (`BR.…`).

    Raises:
        InvalidRequestError: There is neither, or one is not valid.

    >>> WhatsAppUser.of("whatsapp:+551187650001").person == WhatsAppUser.of("+5511987650001").person
    True
    """

    number: str | None = None
    _: KW_ONLY
    user_id: str | None = None

    def __post_init__(self) -> None:
        problems = []
        if self.number is None and self.user_id is None:
            problems.append(("", "needs a number or a user id"))
        if self.number is not None and not (isinstance(self.number, str) and e164(self.number) == self.number):
            problems.append(("number", "must be in E.164 with the plus"))
        if self.user_id is not None and whatsapp_user_id(str(self.user_id)) != self.user_id:
            problems.append(("user_id", "must be two letters, a dot, and letters and digits"))
        if problems:
            raise InvalidRequestError("WhatsApp user", tuple(problems))

    @classmethod
    def of(cls, address: str | Self) -> Self:
        """Read an address: a number or an id, with or without `whatsapp:`.

        Raises:
            InvalidRequestError: It is neither.
        """
        if isinstance(address, cls):
            return address
        rest = without_whatsapp(str(address))[1]
        user_id = whatsapp_user_id(rest)
        return cls(user_id=user_id) if user_id is not None else cls(rest)

    @property
    def person(self) -> str:
        """Who it is, whichever way the number is written: the number, else the id.

        WhatsApp knows Brazilian mobiles with and without the ninth digit.
        """
        return with_ninth_digit(self.number) if self.number is not None else str(self.user_id)

    @property
    def address(self) -> str:
        """The address to send to: the number if it is known, since Twilio has refused ids (21211)."""
        return f"whatsapp:{self.number or self.user_id}"

    @property
    def country(self) -> str | None:
        """The country as two letters, or None."""
        return country_of(self.number) if self.number is not None else str(self.user_id)[:2]

    def __repr__(self) -> str:
        """Show what is known, and no number."""
        known = [name for name in ("number", "user_id") if getattr(self, name)]
        return f"<WhatsAppUser {' '.join(known)}>"


def with_ninth_digit(number: str) -> str:
    """Return a Brazilian mobile number with its ninth digit, and any other number as it is.

    Brazil put a 9 before its mobile numbers, which began with 6 to 9, until 2016; WhatsApp still has accounts without.

    >>> with_ninth_digit("+551187650001"), with_ninth_digit("+551130000001"), with_ninth_digit("+14155550100")
    ('+5511987650001', '+551130000001', '+14155550100')
    """
    if number.startswith("+55") and len(number) == 13 and number[5] in "6789":
        return f"{number[:5]}9{number[5:]}"
    return number


def area_verdict(sender: str, user: WhatsAppUser) -> PermissionVerdict:
    """Return whether WhatsApp carries calls from a sender's number to a user, by their countries.

    Raises:
        MissingExtraError: phonenumbers is not installed.
    """
    warnings = []
    own, theirs = country_of(sender), user.country
    if own is None:
        warnings.append("the country of the sender's number is not known, so whether it may place calls is not either")
    if theirs is None:
        warnings.append("the country of the user's number is not known, so whether WhatsApp serves it is not either")
    for country in (own, theirs):
        if country in NOT_SERVED:
            return PermissionVerdict(PermissionReason.AREA, warnings=tuple(warnings))
    if own in NO_OUTBOUND:
        return PermissionVerdict(PermissionReason.SENDER_COUNTRY, warnings=tuple(warnings))
    if "UA" in (own, theirs):
        warnings.append("WhatsApp serves no business in Crimea, Donetsk and Luhansk, which no number shows")
    return PermissionVerdict(warnings=tuple(warnings))

"""The headers of an INVITE as they arrive in a webhook: who called, which number, by which channel.

Everything here is read from an INVITE that any party may have forged: whoever knows the project id can call its SIP
address with any `From`. A caller's number is a claim, not authentication.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Self, TypeAlias, TypeVar
from urllib.parse import unquote

from realtime_sip._redaction import redact, size_of
from realtime_sip.errors import InvalidRequestError
from realtime_sip.sip.address import (
    CONTROL,
    MAX_VALUE,
    TOKEN,
    WHATSAPP,
    NameAddr,
    Params,
    SipUri,
    e164,
    first_param,
    read_params,
    require,
    split,
    split_address,
    unquote_string,
    without_whatsapp,
)

Channel: TypeAlias = Literal["phone", "whatsapp", "sip"]
"""How a call reached the SIP trunk."""

CHANNEL_HEADER = "X-Channel"
"""The header in which our own TwiML states the channel."""

DIALED_HEADER = "X-Dialed-Number"
"""The header in which our own TwiML, or the origination URI of a trunk, states the number that was dialed."""

_MAX_ENTRIES = 50
_MAX_CALLER_NAME = 80
_MAX_SHOWN_NAMES = 30
_MAX_REMEMBERED_NAME = 64

_COUNTER = re.compile(r"[0-9]{1,4}")
_PHONE_USER = re.compile(r"\+?[().-]*[0-9*#][0-9*#().-]*")

# Words that stand for a withheld number, and what Twilio sends for one: ANONYMOUS, RESTRICTED, UNAVAILABLE, BLOCKED and
# UNKNOWN as typed on the keys of a phone. Three of these would pass for E.164 numbers.
ANONYMOUS = frozenset(
    {
        *("anonymous", "blocked", "private", "restricted", "unavailable", "unknown", "withheld"),
        *("+266696687", "+7378742833", "+86282452253", "+2562533", "+8656696"),
    }
)

# RFC 3261 7.3.3 and IANA's registry of SIP header fields.
_COMPACT = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}


_Entry = TypeVar("_Entry")


@dataclass(frozen=True, slots=True)
class Diversion:
    """One entry of a `Diversion` header (RFC 5806): a number that the call was for before it was forwarded."""

    address: NameAddr

    @property
    def number(self) -> str | None:
        """The number as E.164, or None."""
        return self.address.uri.number

    @property
    def reason(self) -> str | None:
        """Why it was forwarded: "unconditional", "no-answer", "user-busy", "deflection" ..., or None."""
        return self.address.param("reason")

    @property
    def counter(self) -> int | None:
        """How many diversions this entry stands for, or None if it does not say."""
        text = self.address.param("counter") or ""
        return int(text) if _COUNTER.fullmatch(text) else None

    @property
    def privacy(self) -> str | None:
        """Who must not see it: "full", "name", "uri", "off", or None."""
        return self.address.param("privacy")

    @property
    def screen(self) -> str | None:
        """Whether the network has checked it: "yes", "no", or None."""
        return self.address.param("screen")


@dataclass(frozen=True, slots=True, repr=False)
class UserToUser:
    """One entry of a `User-to-User` header (RFC 7433): `data` as sent, and its parameters."""

    data: str
    params: Params = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one entry.

        >>> UserToUser.parse("56a390f3d2b7310023a2;encoding=hex;purpose=isdn-uui").encoding
        'hex'

        Raises:
            InvalidRequestError: It is not an entry of this header.
        """
        require(len(text) <= MAX_VALUE, "too long")
        data, *params = split(text, ";")
        value = unquote_string(data.strip(" \t"))
        require(value != "", "no data")
        return cls(value, read_params(params))

    @property
    def encoding(self) -> str | None:
        """The `encoding` parameter; "hex" is the one that is registered."""
        return first_param(self.params, "encoding")

    @property
    def purpose(self) -> str | None:
        """The `purpose` parameter, which names the application."""
        return first_param(self.params, "purpose")

    @property
    def content(self) -> str | None:
        """The `content` parameter, which says what the data is."""
        return first_param(self.params, "content")

    @property
    def octets(self) -> bytes | None:
        """The data decoded, or None if it is not hexadecimal."""
        if (self.encoding or "hex").lower() != "hex":
            return None
        try:
            return bytes.fromhex(self.data)
        except ValueError:
            return None

    def __repr__(self) -> str:
        return (
            f"<UserToUser {size_of(self.data)} params={[redact(name) for name, _ in self.params[:_MAX_SHOWN_NAMES]]}>"
        )


class SipHeaders:
    """The headers of an INVITE, in order, with repeats; names in any case, compact forms too (RFC 3261 7.3.3).

    Iteration gives (name, value) as they came. Everything read from them is a claim of the sender, not proven. Nothing
    but the constructor raises on any content.

    >>> headers = SipHeaders([("f", "<sip:+14155550100@example.com>"), ("To", "sip:proj_a@sip.api.openai.com")])
    >>> headers.get("From"), headers.caller, headers.dialed, headers.channel
    ('<sip:+14155550100@example.com>', '+14155550100', None, 'phone')

    Raises:
        InvalidRequestError: A name is no token (RFC 3261 25.1), or a value has a control character.
    """

    # What is read from the headers is kept: reading it takes ten times as long as looking a header up.
    __slots__ = ("_called", "_calling", "_index", "_items", "_way")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        given = tuple(items)
        self._take(given)
        if len(self._items) < len(given):
            raise InvalidRequestError("SIP header", (("", "no token as name, or a control character"),))

    def _take(self, items: Iterable[tuple[str, str]]) -> None:
        """Keep what can be headers."""
        kept: list[tuple[str, str]] = []
        index: dict[str, list[str]] = {}
        for item in items:
            name, value = item
            key = _key(name) if len(name) <= _MAX_REMEMBERED_NAME else _key.__wrapped__(name)
            # A tab is white space in a header (RFC 3261 25.1, LWS). What is printable has no control character.
            if key is None or not (value.isprintable() or not CONTROL.search(value.replace("\t", " "))):
                continue
            kept.append(item)
            if key in index:
                index[key].append(value)
            else:
                index[key] = [value]
        self._items, self._index = tuple(kept), index
        self._calling: tuple[str | None, str | None] | None = None
        self._called: tuple[str | None, str | None] | None = None
        self._way: Channel | None = None

    @classmethod
    def from_wire(cls, entries: Iterable[object] | None) -> Self:
        """Return the headers of a webhook's `sip_headers`. Entries that are not {name, value} of text are skipped."""
        pairs = ((e.get("name"), e.get("value")) for e in entries or () if isinstance(e, dict))
        headers = cls.__new__(cls)
        headers._take([(name, value) for name, value in pairs if isinstance(name, str) and isinstance(value, str)])
        return headers

    def get(self, name: str) -> str | None:
        """Return the first value of that name, or None."""
        values = self._index.get(_canonical(name))
        return values[0] if values else None

    def get_all(self, name: str) -> tuple[str, ...]:
        """Return all values of that name in order."""
        return tuple(self._index.get(_canonical(name), ()))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _canonical(name) in self._index

    def __eq__(self, other: object) -> bool:
        return self._items == other._items if isinstance(other, SipHeaders) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        shown = [redact(name) for name, _ in self._items[:_MAX_SHOWN_NAMES]]
        more = len(self._items) - len(shown)
        return f"<SipHeaders {', '.join(shown)}{f' and {more} more' if more else ''}>"

    @property
    def caller(self) -> str | None:
        """The caller's number as E.164, or None if it is withheld or not a number. A claim, not authentication.

        `From` comes first. If it is present but not a number, `P-Asserted-Identity` (RFC 3325) and then
        `Remote-Party-ID` are read, unless the caller is anonymous or `Privacy` (RFC 3323) asks to withhold the number.
        """
        return self._caller()[0]

    @property
    def caller_raw(self) -> str | None:
        """The text that `caller` was read from; if it is None, `From` as it came, or None."""
        return self._caller()[1]

    @property
    def caller_name(self) -> str | None:
        """The name that the caller's network gives, or None: up to 80 characters on one line.

        A trunk that looks callers up (CNAM, US and Canada; 15 characters) has it as the display name of `From`, and so
        may anybody else: it is a stranger's text. In a prompt it belongs between quotes, as what somebody claims.
        A number in its place, and what stands for a withheld caller, is not a name.

        >>> SipHeaders([("From", '"DOE JOHN" <sip:+14155550100@pstn.twilio.com>')]).caller_name
        'DOE JOHN'
        """
        if self._wants_privacy():
            return None
        for text in (self.get("From"), *self._list("P-Asserted-Identity")):
            if _Party.of(text).anonymous:
                return None
            if name := _name(text):
                return name
        return None

    @property
    def dialed(self) -> str | None:
        """The number that was dialed as E.164, or None. A claim, not authentication.

        It is looked for in `X-Dialed-Number`, `To`, `P-Called-Party-ID` (RFC 7315), and `Diversion`. A trunk that
        points at OpenAI has the project's id in `To`, and the dialed number in `Diversion`. The first diversion is the
        latest (RFC 5806), so it is the number by which the call reached the trunk; the number that was dialed before
        the call was forwarded is the last of `diversions`.
        """
        return self._dialed()[0]

    @property
    def dialed_raw(self) -> str | None:
        """The text that `dialed` was read from; if it is None, `To` as it came, or None."""
        return self._dialed()[1]

    @property
    def channel(self) -> Channel:
        """How the call came: what `X-Channel` says, else "whatsapp", "phone" or "sip" by the caller's address.

        A number, also a local or a withheld one, is a phone; a `whatsapp:` address is WhatsApp; anything else is SIP.
        A claim, not authentication.
        """
        if self._way is None:
            self._way = self._read_channel()
        return self._way

    @property
    def diversions(self) -> tuple[Diversion, ...]:
        """The entries of `Diversion`, the latest first (RFC 5806). Unreadable ones are left out."""
        return tuple(Diversion(address) for address in self._read("Diversion", NameAddr.parse))

    @property
    def asserted_identities(self) -> tuple[NameAddr, ...]:
        """The readable entries of `P-Asserted-Identity` (RFC 3325), also of callers that asked for privacy."""
        return self._read("P-Asserted-Identity", NameAddr.parse)

    @property
    def remote_party_ids(self) -> tuple[NameAddr, ...]:
        """The readable entries of `Remote-Party-ID`, the older way to say what `P-Asserted-Identity` says."""
        return self._read("Remote-Party-ID", NameAddr.parse)

    @property
    def user_to_user(self) -> tuple[UserToUser, ...]:
        """The readable entries of `User-to-User` (RFC 7433)."""
        return self._read("User-to-User", UserToUser.parse)

    @property
    def extensions(self) -> tuple[tuple[str, str], ...]:
        """The headers whose name begins with `X-`, in order, as (name, value)."""
        return tuple((name, value) for name, value in self._items if name[:2].lower() == "x-")

    def _caller(self) -> tuple[str | None, str | None]:
        if self._calling is None:
            self._calling = self._read_caller()
        return self._calling

    def _dialed(self) -> tuple[str | None, str | None]:
        if self._called is None:
            self._called = self._read_dialed()
        return self._called

    def _read_caller(self) -> tuple[str | None, str | None]:
        text = self.get("From")
        party = _Party.of(text)
        if party.number or party.anonymous or self._wants_privacy():
            return party.number, text
        for identity in self._list("P-Asserted-Identity"):
            if number := _Party.of(identity).number:
                return number, identity
        for raw, address in self._read("Remote-Party-ID", lambda raw: (raw, NameAddr.parse(raw))):
            hidden = (address.param("privacy") or "").lower() in {"full", "uri"}
            if address.uri.number and not hidden and (address.param("party") or "calling").lower() == "calling":
                return address.uri.number, raw
        return None, text

    def _wants_privacy(self) -> bool:
        asked = {part.strip().lower() for value in self._list("Privacy") for part in value.split(";")}
        return bool(asked & {"id", "user", "header"})

    def _read_channel(self) -> Channel:
        match (self.get(CHANNEL_HEADER) or "").strip().lower():
            case "phone":
                return "phone"
            case "whatsapp":
                return "whatsapp"
            case "sip":
                return "sip"
        parties = [_Party.of(text) for text in (self.get("From"), *self._list("P-Asserted-Identity"))]
        if any(party.whatsapp for party in parties):
            return "whatsapp"
        return "phone" if self.caller or parties[0].phone or parties[0].anonymous else "sip"

    def _read_dialed(self) -> tuple[str | None, str | None]:
        to = self.get("To")
        own = self.get_all(DIALED_HEADER)[:_MAX_ENTRIES]
        for text in (*own, to, *self._list("P-Called-Party-ID"), *self._list("Diversion")):
            if number := _Party.of(text).number:
                return number, text
        return None, to

    def _list(self, name: str) -> list[str]:
        entries: list[str] = []
        for value in self.get_all(name)[:_MAX_ENTRIES]:
            if len(value) <= MAX_VALUE and len(entries) < _MAX_ENTRIES:
                entries += (entry.strip(" \t") for entry in split(value, ","))
        return entries[:_MAX_ENTRIES]

    def _read(self, name: str, parse: Callable[[str], _Entry]) -> tuple[_Entry, ...]:
        found = []
        for text in self._list(name):
            try:
                found.append(parse(text))
            except InvalidRequestError:
                continue
        return tuple(found)


@dataclass(frozen=True, slots=True)
class _Party:
    """What one address says about a party."""

    number: str | None = None
    phone: bool = False
    whatsapp: bool = False
    anonymous: bool = False

    @classmethod
    def of(cls, text: str | None) -> _Party:
        if not text:
            return cls()
        try:
            _, address, _ = split_address(text)
        except InvalidRequestError:
            return cls()
        # Twilio's own form, which is no SIP URI: `whatsapp:+5511...`, by some senders escaped.
        bare = unquote(address).lower()
        whatsapp, rest = without_whatsapp(bare)
        if whatsapp:
            return cls(number=e164(rest.partition("@")[0].partition(";")[0]), whatsapp=True)
        try:
            uri = SipUri.parse(address)
        except InvalidRequestError:
            anonymous = bare in ANONYMOUS
            number = None if anonymous else e164(bare)
            return cls(number=number, phone=_PHONE_USER.fullmatch(bare) is not None, anonymous=anonymous)
        user = (uri.user or "").lower()
        # RFC 3323 4.1.1.3 gives the host.
        anonymous = user in ANONYMOUS or uri.host == "anonymous.invalid" or uri.host.endswith(".anonymous.invalid")
        return cls(
            number=None if anonymous else uri.number,
            phone=uri.scheme == "tel" or uri.param("user") == "phone" or _PHONE_USER.fullmatch(user) is not None,
            whatsapp=user.startswith(WHATSAPP),
            anonymous=anonymous,
        )


def _name(text: str | None) -> str | None:
    try:
        display, _, _ = split_address(text or "")
    except InvalidRequestError:
        return None
    name = " ".join("".join(c if c.isprintable() else " " for c in display).split())[:_MAX_CALLER_NAME].rstrip()
    return name if any(c.isalpha() for c in name) and name.lower() not in ANONYMOUS else None


def _canonical(name: str) -> str:
    lower = name.lower()
    return _COMPACT.get(lower, lower)


@lru_cache(maxsize=256)
def _key(name: str) -> str | None:
    """Return the name that a header is found by, or None if it cannot be a header's."""
    return _canonical(name) if TOKEN.fullmatch(name) else None

"""What Twilio makes of the URI in `<Sip>`: where the INVITE goes, and with which headers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from realtime_sip.testing.twilio.record import TwilioRefusal
from realtime_sip.testing.twilio.twiml import Verb

__all__ = ["SipTarget", "read_target"]

_MAX_ADDRESS = 255
_MAX_HEADERS = 1024
_MAX_HEADER_COUNT = 50
_ADDRESS = re.compile(r"sips?:(?:(?P<user>[^@:;?]+)(?::[^@]*)?@)?(?P<host>[A-Za-z0-9.\-\[\]:]+)", re.IGNORECASE)
_OPENAI = re.compile(r"(?:[a-z0-9-]+\.)*(?:sip(?:-[a-z]+)?\.api\.openai\.com|sip\.ai\.azure\.com)", re.IGNORECASE)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_OTHER_HEADERS = {"user-to-user", "remote-party-id", "p-preferred-identity", "p-called-party-id"}
_REGIONS = {"us1", "us2", "ie1", "de1", "sg1", "jp1", "br1", "au1"}
_EDGES = {"ashburn", "umatilla", "dublin", "frankfurt", "singapore", "tokyo", "sao-paulo", "sydney"}


@dataclass(frozen=True, slots=True)
class SipTarget:
    """Where an INVITE goes.

    `headers` are those that Twilio sends, decoded; `omitted` the names of those that it leaves out with a warning.
    """

    address: str = field(repr=False)
    """The URI up to its parameters, as `sip:desk@pbx.example.com`."""
    user: str = field(repr=False)
    host: str
    params: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    omitted: tuple[str, ...] = ()
    odd: tuple[str, ...] = ()
    """What Twilio takes silently, and the writer did not mean."""

    def param(self, name: str) -> str:
        """Return a URI parameter, "" if it is absent."""
        return next((value for known, value in self.params if known == name), "")

    @property
    def encrypted(self) -> bool:
        """Whether signaling goes by TLS."""
        return self.param("transport") == "tls" or self.address.startswith("sips:")

    @property
    def openai(self) -> bool:
        """Whether it is an endpoint of OpenAI, or of Azure."""
        return _OPENAI.fullmatch(self.host.partition(":")[0]) is not None


def read_target(noun: Verb) -> SipTarget:
    """Read a `<Sip>` with its URI, or with `<Uri>` and `<Headers>` inside (the first URI, as none but it is emulated).

    >>> target = read_target(Verb("Sip", text="sip:proj_a@sip.api.openai.com;transport=tls?X-Tier=gold%3Bplus&Foo=1"))
    >>> target.encrypted, target.openai, target.headers, target.omitted
    (True, True, (('X-Tier', 'gold;plus'),), ('Foo',))

    Raises:
        TwilioRefusal: Twilio refuses it.
    """
    inside = [child for child in noun.children if child.name == "Uri"]
    text = inside[0].text if inside else noun.text
    whole, _, query = text.partition("?")
    given = [tuple(part.partition("=")[::2]) for part in query.split("&") if part]
    for child in noun.children:
        if child.name == "Headers":
            given += [(header.get("name"), header.get("value").replace("%", "%25")) for header in child.children]
    if len(whole) >= _MAX_ADDRESS or len(query) >= _MAX_HEADERS:
        raise TwilioRefusal(21227, "the SIP URI is too long: 254 characters of address, 1023 of headers")
    if not text.isascii() or not text.isprintable() or " " in text or _BAD_ESCAPE.search(text):
        raise TwilioRefusal(21228, "the SIP URI has a character that must be escaped")
    address, *params = whole.split(";")
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise TwilioRefusal(13243, "the SIP URI is not valid")
    if len(given) > _MAX_HEADER_COUNT:
        raise TwilioRefusal(13251, "the SIP URI has too many headers")
    headers, omitted = [], []
    for name, value in given:
        if not _TOKEN.fullmatch(name):
            raise TwilioRefusal(13252, "the SIP URI has a header whose name is not valid")
        lower = name.lower()
        if (lower.startswith("x-") and not lower.startswith("x-twilio")) or lower in _OTHER_HEADERS:
            headers.append((name, unquote(value)))
        else:
            omitted.append(name)
        if any(ord(character) < 32 or ord(character) == 127 for character in unquote(value)):
            raise TwilioRefusal(21229, "a header of the SIP URI has a control character")
    pairs = tuple((name.lower(), unquote(value)) for name, _, value in (part.partition("=") for part in params))
    return SipTarget(
        address=address,
        user=unquote(match["user"] or ""),
        host=match["host"].lower(),
        params=pairs,
        headers=tuple(headers),
        omitted=tuple(omitted),
        odd=tuple(_odd(pairs)),
    )


def _odd(params: tuple[tuple[str, str], ...]) -> list[str]:
    odd = []
    for name, value in params:
        if name == "transport" and value not in ("udp", "tcp", "tls"):
            odd.append("a transport that does not exist: the call goes by UDP")
        elif (name == "region" and value not in _REGIONS) or (name == "edge" and value not in _EDGES):
            odd.append(f"a {name} that does not exist is ignored")
    return odd

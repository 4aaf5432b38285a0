"""Addresses of SIP headers: URIs, numbers, and the grammar around them."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from typing import Self, TypeAlias
from urllib.parse import quote, unquote

from realtime_sip._redaction import redact
from realtime_sip.endpoints import is_host
from realtime_sip.errors import InvalidRequestError

Params: TypeAlias = tuple[tuple[str, str], ...]
"""Parameters in order, as (name, value); the value of a parameter without one is ""."""

MAX_URI = 2048
"""Characters of a URI at most: Twilio allows 255 of address and 1024 of headers."""

MAX_VALUE = 8192
"""Characters of a header's value at most; a longer one is not read."""

_MAX_NUMBER = 64
_MAX_SHOWN = 20

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")  # RFC 3261 25.1
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"')
_URI_TEXT = re.compile(r"[!#-;=?-Z\[\]_a-z~]*")  # everything that may stand unescaped somewhere in a URI, and "%"
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PORT = re.compile(r"[0-9]{1,5}")
_SUBSCRIBER = re.compile(r"\+?[().-]*[0-9A-Fa-f*#][0-9A-Fa-f*#().-]*")  # RFC 3966 3
_E164 = re.compile(r"\+[1-9][0-9]{7,14}")
_SEPARATORS = str.maketrans("", "", "-.() ")

# Characters that stand unescaped besides letters, digits and "_.-~" (RFC 3261 25.1, RFC 3966 3).
_USER_SAFE = "!*'()&=+$,;?/"
_PASSWORD_SAFE = "!*'()&=+$,"  # noqa: S105 - characters, no password
_SUBSCRIBER_SAFE = "+*#()"
_PARAM_SAFE = "!*'()[]/:&+$"
_HEADER_SAFE = "!*'()[]/?:+$"

WHATSAPP = "whatsapp:"
"""What Twilio puts before the number of a WhatsApp user."""


def e164(text: str) -> str | None:
    """Return `text` as an E.164 number, or None if it is not one beyond doubt.

    An E.164 number is "+", a first digit other than 0, and 8 to 15 digits in all. The separators of RFC 3966 5.1.1 and
    spaces are removed. A number without "+", be it national or after a prefix such as 00, depends on the
    place it was dialed from and is not guessed. What "(0)" stands for is dialed within the country only, so a number
    with it is not taken either.

    >>> e164("+1 (415) 555-0100"), e164("0041 44 555 01 00"), e164("4155550100"), e164("+44 (0)20 7946 0101")
    ('+14155550100', None, None, None)
    """
    if len(text) > _MAX_NUMBER or "(0)" in text:
        return None
    digits = text.translate(_SEPARATORS)
    return digits if _E164.fullmatch(digits) else None


@dataclass(frozen=True, slots=True, repr=False)
class SipUri:
    """A SIP, SIPS or tel URI (RFC 3261 19.1, RFC 3966). `str()` escapes everything that must be escaped.

    `user`, `params` and `headers` are unescaped. In `sip:whatsapp:+5511...@host` the colon, after which the grammar has
    a password, is part of the user. A tel URI has its number as `user` and no host. `repr` shows no number and no
    password.

    Raises:
        InvalidRequestError: A part is not valid, is longer than allowed, or has a control character.
    """

    scheme: str
    _: KW_ONLY
    user: str | None = None
    password: str | None = None
    host: str = ""
    port: int | None = None
    params: Params = ()
    headers: Params = ()

    def __post_init__(self) -> None:
        """Check the parts, so that no value of this class can be written as two URIs or two header lines."""
        if self.user is not None and self.password is not None and self.user.lower() + ":" == WHATSAPP:
            object.__setattr__(self, "user", f"{self.user}:{self.password}")
            object.__setattr__(self, "password", None)
        object.__setattr__(self, "scheme", self.scheme.lower())
        object.__setattr__(self, "host", self.host.lower())
        names = [name for name, _ in self.params + self.headers]
        for part in (self.user or "", self.password or "", *names, *(v for _, v in self.params + self.headers)):
            require(not CONTROL.search(part), "a control character")
        require(all(names), "a parameter without a name")
        if self.scheme == "tel":
            require(_SUBSCRIBER.fullmatch(self.user or "") is not None, "no telephone number")
            alone = (self.password, self.host, self.port, self.headers) == (None, "", None, ())
            require(alone, "a tel URI has a number and parameters only (RFC 3966)")
        else:
            require(self.scheme in {"sip", "sips"}, "the scheme is not sip, sips or tel")
            require(self.user != "", "an empty user")
            require(self.password is None or self.user is not None, "a password without a user")
            require(is_host(self.host), "no valid host")
            require(self.port is None or 0 < self.port < 65536, "no valid port")
        require(len(str(self)) <= MAX_URI, f"longer than {MAX_URI} characters")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URI.

        >>> uri = SipUri.parse("sip:+1-415-555-0100@pstn.twilio.com:5060;transport=tls")
        >>> uri.number, uri.port, uri.param("Transport")
        ('+14155550100', 5060, 'tls')

        Raises:
            InvalidRequestError: It is not a SIP, SIPS or tel URI.
        """
        require(isinstance(text, str), "no text")
        require(len(text) <= MAX_URI, f"longer than {MAX_URI} characters")
        require(_URI_TEXT.fullmatch(text) is not None, "a character that must be escaped")
        scheme, _, rest = text.partition(":")
        if scheme.lower() == "tel":
            number, *params = rest.split(";")
            return cls(scheme, user=_unescape(number), params=_uri_params(params))
        require(scheme.lower() in {"sip", "sips"}, "the scheme is not sip, sips or tel")
        require(rest.count("@") <= 1, "more than one @")
        userinfo, at, rest = rest.rpartition("@")
        user, colon, password = userinfo.partition(":")
        rest, _, headers = rest.partition("?")
        hostport, *params = rest.split(";")
        host, port = _host_and_port(hostport)
        return cls(
            scheme,
            user=_unescape(user) if at else None,
            password=_unescape(password) if colon else None,
            host=host,
            port=port,
            params=_uri_params(params),
            headers=_uri_params(headers.split("&")) if headers else (),
        )

    def __str__(self) -> str:
        params = "".join(";" + _pair(name, value, _PARAM_SAFE) for name, value in self.params)
        if self.scheme == "tel":
            return f"tel:{quote(self.user or '', safe=_SUBSCRIBER_SAFE)}{params}"
        userinfo = ""
        if self.user is not None:
            password = "" if self.password is None else ":" + quote(self.password, safe=_PASSWORD_SAFE)
            userinfo = quote(self.user, safe=_USER_SAFE) + password + "@"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        headers = "&".join(quote(n, safe=_HEADER_SAFE) + "=" + quote(v, safe=_HEADER_SAFE) for n, v in self.headers)
        return f"{self.scheme}:{userinfo}{host}{port}{params}{'?' if headers else ''}{headers}"

    def __repr__(self) -> str:
        """Show scheme, host and names, but no number, no password and no values of parameters."""
        user = "" if self.user is None else f"{_shown_user(self.user)}@"
        names = "".join(f";{redact(name)}" for name, _ in self.params[:_MAX_SHOWN])
        return f"<SipUri {self.scheme}:{user}{redact(self.host)}{names}>"

    def param(self, name: str) -> str | None:
        """Return the first parameter of that name in any case, "" if it has no value, None if it is absent."""
        return first_param(self.params, name)

    @property
    def number(self) -> str | None:
        """The user as an E.164 number, or None.

        A local number stays None with any `phone-context`: by RFC 3966 5.1.5 putting the two together need not give a
        valid number.
        """
        if self.user is None:
            return None
        _, rest = without_whatsapp(self.user)
        # A telephone-subscriber may bring its own parameters into the user part (RFC 3261 19.1.6).
        return e164(rest.partition(";")[0])


@dataclass(frozen=True, slots=True, repr=False)
class NameAddr:
    """An address of a header: display name, URI and header parameters (RFC 3261 20.10).

    Without angle brackets, what follows a semicolon belongs to the header, not to the URI (RFC 3261 20).
    """

    uri: SipUri
    _: KW_ONLY
    display_name: str = ""
    params: Params = ()

    def __post_init__(self) -> None:
        for part in (self.display_name, *(value for _, value in self.params)):
            require(not CONTROL.search(part), "a control character")
        require(all(TOKEN.fullmatch(name) for name, _ in self.params), "a parameter name that is no token")

    @classmethod
    def parse(cls, text: str) -> Self:
        r"""Read one address.

        >>> address = NameAddr.parse('"Doe, \\"J\\"" <sip:+14155550100@example.com>;tag=7')
        >>> address.display_name, address.uri.number, address.param("tag")
        ('Doe, "J"', '+14155550100', '7')

        Raises:
            InvalidRequestError: It is not an address, or its URI is not sip, sips or tel.
        """
        display_name, uri, params = split_address(text)
        return cls(SipUri.parse(uri), display_name=display_name, params=read_params(params))

    def __str__(self) -> str:
        display = _quote(self.display_name) + " " if self.display_name else ""
        return f"{display}<{self.uri}>{_write_params(self.params)}"

    def __repr__(self) -> str:
        return f"<NameAddr {self.uri!r} params={[redact(name) for name, _ in self.params[:_MAX_SHOWN]]}>"

    def param(self, name: str) -> str | None:
        """Return the first header parameter of that name in any case, "" if it has no value, or None."""
        return first_param(self.params, name)


def require(condition: bool, problem: str) -> None:
    if not condition:
        raise InvalidRequestError("SIP address", (("", problem),))


def _host_and_port(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        require(bracket != "" and ":" in host and rest[:1] in {"", ":"}, "no valid host")
        colon, port = rest[:1], rest[1:]
    else:
        host, colon, port = text.partition(":")
    require(not colon or _PORT.fullmatch(port) is not None, "no valid port")
    return host, int(port) if colon else None


def _unescape(text: str) -> str:
    require(not _BAD_ESCAPE.search(text), "a % that is no escape")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise InvalidRequestError("SIP address", (("", "an escape that is not UTF-8"),)) from None


def _uri_params(parts: list[str]) -> Params:
    pairs = (part.partition("=") for part in parts)
    return tuple((_unescape(name), _unescape(value)) for name, _, value in pairs)


def _pair(name: str, value: str, safe: str) -> str:
    return quote(name, safe=safe) + ("=" + quote(value, safe=safe) if value else "")


def first_param(params: Params, name: str) -> str | None:
    """Return the first parameter of that name in any case, or None."""
    return next((value for own, value in params if own.lower() == name.lower()), None)


def _shown_user(user: str) -> str:
    return redact(user) if any(c.isalpha() for c in user) else "[number]"


def without_whatsapp(text: str) -> tuple[bool, str]:
    """Return whether `text` is a WhatsApp address, and what follows the prefix."""
    found = text[: len(WHATSAPP)].lower() == WHATSAPP
    return found, text[len(WHATSAPP) :] if found else text


def split(text: str, separator: str) -> list[str]:
    """Split at each separator outside of quoted strings and angle brackets."""
    pieces = []
    start = 0
    quoted = escaped = bracketed = False
    for i, c in enumerate(text):
        if escaped:
            escaped = False
        elif quoted:
            escaped = c == "\\"
            quoted = c != '"'
        elif c == '"' and not bracketed:
            quoted = True
        elif c in "<>":
            bracketed = c == "<"
        elif c == separator and not bracketed:
            pieces.append(text[start:i])
            start = i + 1
    pieces.append(text[start:])
    return pieces


def split_address(text: str) -> tuple[str, str, list[str]]:
    """Return display name, URI and header parameters, the last two as they are written."""
    require(len(text) <= MAX_VALUE, f"longer than {MAX_VALUE} characters")
    address, *params = split(text.replace("\t", " "), ";")
    address = address.strip(" ")
    if not address.endswith(">"):
        require('"' not in address and "<" not in address, "no address")
        return "", address, params
    display = ""
    if quoted := _QUOTED.match(address):
        display = unquote_string(quoted[0])
        address = address[quoted.end() :].lstrip(" ")
        require(address.startswith("<"), "no address after the display name")
    name, bracket, uri = address[:-1].partition("<")
    require(bracket != "" and '"' not in name, "no address")
    return display or name.strip(" "), uri.strip(" "), params


def unquote_string(text: str) -> str:
    """Return the content of a quoted string, or `text` if it is not quoted."""
    if not text.startswith('"'):
        return text
    quoted = _QUOTED.fullmatch(text)
    if quoted is None:
        raise InvalidRequestError("SIP address", (("", "a quoted string that does not end"),))
    return re.sub(r"\\(.)", r"\1", quoted[1])


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def read_params(parts: list[str]) -> Params:
    """Read header parameters, each as it stands between semicolons."""
    params = []
    for part in parts:
        name, _, value = part.strip(" \t").partition("=")
        if name or value:
            name = name.strip(" \t")
            require(TOKEN.fullmatch(name) is not None, "a parameter name that is no token")
            params.append((name, unquote_string(value.strip(" \t"))))
    return tuple(params)


def _write_params(params: Params) -> str:
    return "".join(
        f";{name}" if not value else f";{name}={value if TOKEN.fullmatch(value) else _quote(value)}"
        for name, value in params
    )

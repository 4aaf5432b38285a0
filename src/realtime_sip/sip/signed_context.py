"""What our own TwiML says about a call to the webhook, signed, in a header of the INVITE.

Whoever places a call writes its SIP headers. The value of `X-Realtime-Sip-Context` counts because it is signed:

    v1.PAYLOAD.MAC

PAYLOAD is base64url without padding of the UTF-8 of a JSON object without white space: `c` the values (text to text),
`e` the end in Unix seconds, `n` the nonce, and, if known, `p` the SID of the parent call, `w` the channel, `d` the
number that was dialed, and `r` whether the TwiML has a URL for transfers. MAC is base64url without padding of
HMAC-SHA256, under the UTF-8 of the secret, over the ASCII text `realtime-sip context v1`, a line end
(0x0A), and PAYLOAD as it is written. The characters are those that a URI and a header take as they are.

It is signed, not encrypted: carriers read it. A signature holds for every call that carries it until it expires, so
whoever reads one could place a call with it. `CallHost` prevents that: it lets each nonce be used once.
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import hmac
import json
import math
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, get_args

from realtime_sip._redaction import miscopied
from realtime_sip.errors import ConfigurationError, InvalidRequestError
from realtime_sip.sip.address import CONTROL, e164
from realtime_sip.sip.headers import Channel, SipHeaders

CONTEXT_HEADER = "X-Realtime-Sip-Context"
"""The header with the signed context. Twilio passes on headers whose name begins with X-, but not X-Twilio."""

MAX_CONTEXT = 768
"""Characters of the header's value at most. Twilio takes less than 1024 of all headers, with their names (code 21227),
and the channel and the dialed number are there too."""

_MAX_ENTRIES = 16
_MAX_VALUE = 256
_MAX_LIFE = 24 * 3600.0
_CLOCKS = 600.0  # by which the clocks of those who sign and those who verify may differ
_MIN_SECRET = 16
_LAST_SECOND = 253402300799  # of the year 9999

_DOMAIN = b"realtime-sip context v1\n"
_FORMAT = re.compile(r"v1\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})")
_KEY = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


class ContextRefusal(enum.Enum):
    """Why a context does not count. The value is a fixed word, safe to log."""

    REPEATED = "repeated"
    """The header is there more than once, so it does not count."""
    TOO_LONG = "too_long"
    """It is longer than any context that is signed."""
    MALFORMED = "malformed"
    """Its format is wrong, or its values may not be signed."""
    FORGED = "forged"
    """None of the secrets signed it."""
    EXPIRED = "expired"
    """We signed it, and it expired."""


@dataclass(frozen=True, slots=True)
class SignedContext:
    """A context whose signature was right. `repr` shows none of its values.

    Attributes:
        items: The values as (key, value), in order.
        parent_call_sid: The call that our TwiML answered and from which it dialed, or None.
        expires_at: Unix seconds from which it no longer counts.
        nonce: Its unique name, to be used once.
        channel: How the call came, if our TwiML knew it.
        dialed: The number that was dialed as E.164, if our TwiML knew it.
        refer_url: Whether our TwiML gave the carrier a URL to ask when the call is transferred by REFER.
    """

    items: tuple[tuple[str, str], ...] = field(repr=False)
    parent_call_sid: str | None = field(repr=False)
    expires_at: int
    nonce: str = field(repr=False)
    channel: Channel | None = None
    dialed: str | None = field(default=None, repr=False)
    refer_url: bool | None = None

    @property
    def values(self) -> Mapping[str, str]:
        """The values by their keys; it cannot be changed."""
        return MappingProxyType(dict(self.items))


class ContextSigner:
    """Signs the context of a call, and verifies it.

    Args:
        secret: At least 16 characters that only your own programs know, such as `secrets.token_urlsafe(32)`. Several
            while a secret is rotated: the first one signs, and each of them verifies.

    Raises:
        ConfigurationError: There is no secret, or one is too short or has white space around it.

    >>> signer = ContextSigner("a secret of the documentation")
    >>> headers = signer.sign({"tier": "gold"}, parent_call_sid=None, now=1_795_000_000.0)
    >>> context = signer.verify(SipHeaders(headers.items()), now=1_795_000_004.0)
    >>> dict(context.values), context.expires_at
    ({'tier': 'gold'}, 1795000300)
    >>> signer.verify(SipHeaders(headers.items()), now=1_795_000_300.0)
    <ContextRefusal.EXPIRED: 'expired'>
    """

    def __init__(self, secret: str | Sequence[str]) -> None:
        # A secret that is missing altogether, as `os.environ.get` would have it, is for `_key` to complain about.
        several = isinstance(secret, Sequence) and not isinstance(secret, (str, bytes))
        self._keys = [_key(one) for one in (secret if several else [secret])]
        if not self._keys:
            raise ConfigurationError("no context secret is given")

    def __repr__(self) -> str:
        return f"<ContextSigner secrets={len(self._keys)}>"

    def sign(
        self,
        context: Mapping[str, str],
        *,
        parent_call_sid: str | None,
        now: float,
        expires_in: float = 300.0,
        nonce: str | None = None,
        channel: Channel | None = None,
        dialed: str | None = None,
        refer_url: bool | None = None,
    ) -> dict[str, str]:
        """Return the header, name to value: ASCII that a URI, a SIP header and XML take as it is.

        Args:
            context: At most 16 values of up to 256 characters without control characters. A key has up to 32 letters
                and digits of ASCII, "_", "-" and ".". All together fit into `MAX_CONTEXT`, which leaves about 400
                bytes, 50 fewer with all that follows. Carriers can read them.
            parent_call_sid: The call that the TwiML is for (`CallSid` of its webhook). The INVITE's own
                `X-Twilio-CallSid` is that of the leg to OpenAI, another call.
            now: Unix seconds.
            expires_in: Seconds from `now` to its end, at most a day. It must outlast the time from the TwiML to the
                webhook, and the difference between both clocks.
            nonce: Its unique name, 8 to 64 letters and digits of ASCII, "_" and "-"; a random one if left out.
            channel: How the call came. What is signed comes before what `X-Channel` claims.
            dialed: The number that was dialed, as E.164. It comes before what `X-Dialed-Number` claims.
            refer_url: Whether the TwiML has a `referUrl`.

        Raises:
            InvalidRequestError: The context is not valid, or too long.
            ConfigurationError: `expires_in` is not more than zero and at most a day.
        """
        if not 0 < expires_in <= _MAX_LIFE:
            raise ConfigurationError("expires_in must be a number of seconds of at most a day")
        nonce = secrets.token_urlsafe(12) if nonce is None else nonce
        problems = _problems(context, parent_call_sid, nonce) + _strange(channel, dialed, refer_url)
        if not 0 <= now <= _LAST_SECOND - _MAX_LIFE:
            problems.append(("now", "must be Unix seconds"))
        if problems:
            raise InvalidRequestError("context", tuple(problems))
        content: dict[str, Any] = {"c": dict(context), "e": math.ceil(now + expires_in), "n": nonce}
        known = {"p": parent_call_sid, "w": channel, "d": dialed, "r": refer_url}
        content |= {name: value for name, value in known.items() if value is not None}
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        payload = _encoded(text.encode())
        value = f"v1.{payload}.{_mac(self._keys[0], payload)}"
        if len(value) > MAX_CONTEXT:
            raise InvalidRequestError("context", (("", f"signed, it has more than {MAX_CONTEXT} characters"),))
        return {CONTEXT_HEADER: value}

    def verify(self, headers: SipHeaders, *, now: float) -> SignedContext | ContextRefusal | None:
        """Return the context of an INVITE, or why it does not count, or None if it has no such header.

        It never raises, whatever the headers hold. `now` is Unix seconds.
        """
        value = headers.get(CONTEXT_HEADER)
        if value is None:
            return None
        if len(headers.get_all(CONTEXT_HEADER)) > 1:
            return ContextRefusal.REPEATED
        if len(value) > MAX_CONTEXT:
            return ContextRefusal.TOO_LONG
        parts = _FORMAT.fullmatch(value.strip(" \t"))
        if parts is None:
            return ContextRefusal.MALFORMED
        payload, mac = parts.groups()
        # Every secret is tried, whatever matched before, so that time does not tell which did.
        if not sum(hmac.compare_digest(_mac(key, payload), mac) for key in self._keys):
            return ContextRefusal.FORGED
        context = _read(payload)
        if context is None or context.expires_at - now > _MAX_LIFE + _CLOCKS:
            return ContextRefusal.MALFORMED
        return context if now < context.expires_at else ContextRefusal.EXPIRED


def _key(secret: object) -> bytes:
    if not isinstance(secret, str) or len(secret) < _MIN_SECRET:
        raise ConfigurationError(f"a context secret must be text of at least {_MIN_SECRET} characters")
    wrong = miscopied(secret)
    if wrong is not None:
        raise ConfigurationError(f"a context secret {wrong}")
    return secret.encode()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _mac(key: bytes, payload: str) -> str:
    return _encoded(hmac.digest(key, _DOMAIN + payload.encode(), hashlib.sha256))


def _problems(context: object, parent_call_sid: object, nonce: object) -> list[tuple[str, str]]:
    """Return what may not be signed, and does not count if it was. It shows no value."""
    problems = []
    if not isinstance(context, Mapping):
        return [("", "must be a mapping of text to text")]
    if len(context) > _MAX_ENTRIES:
        problems.append(("", f"has more than {_MAX_ENTRIES} values"))
    for key, value in context.items():
        if not (isinstance(key, str) and _KEY.fullmatch(key)):
            problems.append(("", "a key must have 1 to 32 letters and digits of ASCII, '_', '-' and '.'"))
        elif not isinstance(value, str) or len(value) > _MAX_VALUE or CONTROL.search(value):
            problems.append((key, f"must be text of at most {_MAX_VALUE} characters, without control characters"))
    if parent_call_sid is not None and not _is_id(parent_call_sid):
        problems.append(("parent_call_sid", "must have 8 to 64 letters and digits of ASCII, '_' and '-'"))
    if not _is_id(nonce):
        problems.append(("nonce", "must have 8 to 64 letters and digits of ASCII, '_' and '-'"))
    return problems


def _strange(channel: object, dialed: object, refer_url: object) -> list[tuple[str, str]]:
    problems = []
    if channel is not None and channel not in get_args(Channel):
        problems.append(("channel", "must be 'phone', 'whatsapp' or 'sip'"))
    if dialed is not None and not (isinstance(dialed, str) and e164(dialed) == dialed):
        problems.append(("dialed", "must be a number as E.164"))
    if refer_url is not None and not isinstance(refer_url, bool):
        problems.append(("refer_url", "must be True or False"))
    return problems


def _is_id(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _read(payload: str) -> SignedContext | None:
    """Return what a payload says whose signature was right. It may have been signed by another program of ours."""
    try:
        content = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    values: Any = content.get("c")
    nonce: Any = content.get("n")
    expires_at, parent = content.get("e"), content.get("p")
    channel, dialed, refer_url = (content.get(name) for name in ("w", "d", "r"))
    if _problems(values, parent, nonce) or _strange(channel, dialed, refer_url):
        return None
    if type(expires_at) is not int or not 0 < expires_at <= _LAST_SECOND:
        return None
    return SignedContext(tuple(values.items()), parent, expires_at, nonce, channel, dialed, refer_url)

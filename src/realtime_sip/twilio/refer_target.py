"""The target of a REFER: `ReferTransferTarget`, in whichever form it comes."""

from __future__ import annotations

import html
import re
from dataclasses import KW_ONLY, dataclass, replace
from typing import Literal, Self
from urllib.parse import unquote

from realtime_sip.errors import InvalidRequestError
from realtime_sip.sip.address import NameAddr, SipUri, e164
from realtime_sip.sip.headers import SipHeaders

MAX_TARGET = 2048
"""Characters of a target at most; Twilio passes on 256."""

CLIENT_HOST, QUEUE_HOST = "client.invalid", "queue.invalid"
"""Hosts of SIP URIs that stand for what is at Twilio itself, and has no URI. No network leads there (RFC 2606)."""

_NO_HEADERS = SipHeaders()
_ESCAPED = re.compile("(?i:%3c|(?:sips?|tel)%3a)")


@dataclass(frozen=True, slots=True, repr=False)
class ReferTarget:
    """Where to send the caller. Whatever the text is, there is one; `problem` says what is wrong with it.

    Attributes:
        kind: "number" (a tel URI, or a bare number), "sip", "client" (an app with Twilio's voice SDK, which we write as
            `sip:identity@client.invalid`), "queue" (`sip:name@queue.invalid`), or "none" if it cannot be read.
        uri: The URI without headers, or None.
        name: The identity of a "client", or the name of a "queue" or its workflow's SID (`WW…`, Flex), or None.
        number: The number of a "number" as E.164, or None.
        number_in_user: The number that a SIP URI has as its user, as E.164, or None. The host decides whether it
            reaches the phone network: Twilio refuses it for any but its own.
        headers: The headers inside of the URI, unescaped: what came along for the next one who answers.
        problem: Why it cannot be read, or None.

    >>> ReferTarget.parse("<tel:+1-202-555-0143>").number
    '+12025550143'
    >>> target = ReferTarget.parse('"Ann" <sip:a@pbx.example.com;transport=tls?X-Queue=billing>')
    >>> target.kind, target.uri, target.headers.get("X-Queue")
    ('sip', 'sip:a@pbx.example.com;transport=tls', 'billing')
    >>> app = ReferTarget.parse("<sip:anna@client.invalid>")
    >>> app.kind, app.name
    ('client', 'anna')
    """

    kind: Literal["number", "sip", "client", "queue", "none"]
    _: KW_ONLY
    uri: str | None = None
    name: str | None = None
    number: str | None = None
    number_in_user: str | None = None
    headers: SipHeaders = _NO_HEADERS
    problem: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a target: a URI, in angle brackets or not, with a name before it or not, escaped as a whole or not."""
        text = text.strip()
        if len(text) > MAX_TARGET:
            return cls("none", problem="too long")
        if text.startswith("&lt;"):
            text = html.unescape(text)
        if _ESCAPED.match(text):
            text = unquote(text)
        try:
            if number := e164(text):
                return cls("number", uri=f"tel:{number}", number=number)
            # Without brackets everything belongs to the URI: Twilio writes none around a URI with parameters.
            return cls._of(NameAddr.parse(text).uri if "<" in text else SipUri.parse(text))
        except InvalidRequestError as error:
            return cls("none", problem=error.problems[0][1] if text else "empty")

    @classmethod
    def _of(cls, uri: SipUri) -> Self:
        bare = replace(uri, headers=())
        if uri.scheme == "tel":
            problem = None if uri.number else "no number with its country code (RFC 3966)"
            return cls("number" if uri.number else "none", uri=str(bare), number=uri.number, problem=problem)
        if uri.password is not None:
            return cls("none", problem="a colon in the user")  # such as sip:tel:+1…@host
        if uri.host in (CLIENT_HOST, QUEUE_HOST):
            if not uri.user:
                return cls("none", problem="no name before the @")
            kind: Literal["client", "queue"] = "client" if uri.host == CLIENT_HOST else "queue"
            return cls(kind, uri=str(bare), name=uri.user, headers=SipHeaders(uri.headers))
        return cls("sip", uri=str(bare), number_in_user=uri.number, headers=SipHeaders(uri.headers))

    def __repr__(self) -> str:
        """Show the kind, and what is wrong."""
        return f"<ReferTarget {self.kind}{f' problem={self.problem!r}' if self.problem else ''}>"

"""The places that a call can be transferred to, by name; one transfer that was asked for, and how far it got."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Literal

from realtime_sip.errors import ConfigurationError, InvalidRequestError
from realtime_sip.outcomes import Certainty, TransferProgress
from realtime_sip.sip.address import SipUri, e164
from realtime_sip.sip.headers import Channel

if TYPE_CHECKING:
    from realtime_sip.webhooks import IncomingCall

_MAX_URI = 256
"""Characters of a Refer-To that Twilio takes (voice guide, November 2026)."""
_MAX_TARGETS = 100
_MAX_DESCRIPTION = 200
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class TransferTarget:
    """A place to which a caller can be transferred.

    Attributes:
        uri: A number as E.164, with or without `tel:`, or a `sip:` or `sips:` URI, of 256 characters at most. On a
            trunk only a number reaches the phone network: `sip:+…@` an address is refused by Twilio with 403.
        description: Who is there, for the model to choose by.
        ring_time: Seconds that it may ring. If nothing is heard of the transfer, it has failed ten seconds after that.

    >>> TransferTarget("tel:+14155550123", description="Invoices and refunds.").uri
    <SipUri tel:[number]@>

    Raises:
        ConfigurationError: The URI, the description or the time is not valid.
    """

    uri: SipUri
    description: str = ""
    ring_time: float = 35.0

    def __init__(self, uri: str | SipUri, *, description: str = "", ring_time: float = 35.0) -> None:
        """Check everything here, before a caller waits."""
        try:
            parsed = (
                uri
                if isinstance(uri, SipUri)
                else SipUri.parse(f"tel:{uri}" if isinstance(uri, str) and e164(uri) == uri else uri)
            )
        except InvalidRequestError:
            raise ConfigurationError(
                "a target of a transfer must be a number as E.164, or a tel: or sip: URI"
            ) from None
        if parsed.scheme != "tel" and (parsed.user or "").lower() == "tel" and parsed.password is not None:
            raise ConfigurationError("a target of a transfer is a sip: URI with a tel: URI in it: write tel:+… alone")
        if len(str(parsed)) > _MAX_URI:
            raise ConfigurationError(f"a target of a transfer has at most {_MAX_URI} characters")
        if parsed.scheme == "tel" and parsed.number is None:
            raise ConfigurationError("a tel: target must be a number as E.164, as in tel:+14155550123")
        if not isinstance(ring_time, (int, float)) or not 0 < ring_time <= 600:
            raise ConfigurationError("ring_time must be more than 0 and at most 600 seconds")
        if len(description) > _MAX_DESCRIPTION:
            raise ConfigurationError(f"a description has at most {_MAX_DESCRIPTION} characters")
        object.__setattr__(self, "uri", parsed)
        object.__setattr__(self, "description", description)
        object.__setattr__(self, "ring_time", float(ring_time))

    @property
    def on_phone_network(self) -> bool:
        """Whether it is certainly on the phone network, which takes no WhatsApp callers (Twilio, November 2026).

        A SIP URI says so with `user=phone` (RFC 3261 19.1.1); any other may still lead there.
        """
        return self.uri.scheme == "tel" or (self.uri.param("user") or "").lower() == "phone"


def _is_number(uri: object) -> bool:
    return isinstance(uri, str) and e164(uri) == uri


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRequest:
    """One transfer that was asked for: what a `TransferFallback` gets, and `CallHost.transfer_of` returns.

    Attributes:
        call_id: The call.
        name: The target's name in the allow-list.
        target: The target.
        reason: Why, in a few words of the model or of the program, or "".
        summary: What the person who answers should know, or "".
        parent_call_sid: The carrier's id of the caller's leg, if the webhook's verified context has it.
        channel: How the caller came, if that is known.
    """

    call_id: str
    name: str
    target: TransferTarget
    reason: str = field(default="", repr=False)
    summary: str = field(default="", repr=False)
    parent_call_sid: str | None = None
    channel: Channel | None = None


TransferFallback = Callable[[TransferRequest], Awaitable[None]]
"""Another way to transfer, tried if a refer failed: usually the carrier's own API.

It returns when the carrier was asked, and raises if the carrier certainly was not. After ten seconds it is canceled,
and the carrier was perhaps asked.
"""


class TransferTargets(Mapping[str, TransferTarget]):
    """The allow-list: the names under which a call can be transferred, and nowhere else.

    >>> desks = TransferTargets({"billing": TransferTarget("tel:+14155550123"), "night": "sip:night@pbx.example.com"})
    >>> sorted(desks)
    ['billing', 'night']

    Args:
        targets: Name -> target or its URI. A name has 1 to 64 letters, digits, `_` and `-`.
        fallback: Another way, tried if a refer fails. Without it the agent keeps the caller.
        refer_within: Seconds from an answered refer for Twilio to request the `referUrl` of our TwiML; then the
            fallback is tried. It counts if the signed context says that there is a `referUrl`, and the program passes
            the request on (`CallHost.carrier`, `Call.transfer_progress`).

    Raises:
        ConfigurationError: A name or a target is not valid, or there are no targets, or more than 100, or the seconds
            are not a positive number.
    """

    def __init__(
        self,
        targets: Mapping[str, TransferTarget | SipUri | str],
        *,
        fallback: TransferFallback | None = None,
        refer_within: float = 5.0,
    ) -> None:
        if isinstance(refer_within, bool) or not isinstance(refer_within, (int, float)) or not 0 < refer_within < inf:
            raise ConfigurationError("refer_within must be a positive number of seconds")
        if not 1 <= len(targets) <= _MAX_TARGETS:
            raise ConfigurationError(f"there must be 1 to {_MAX_TARGETS} transfer targets")
        for name in targets:
            if _NAME.fullmatch(name) is None:
                raise ConfigurationError("the name of a target has 1 to 64 letters, digits, _ and -")
        self._targets = {
            name: target if isinstance(target, TransferTarget) else TransferTarget(target)
            for name, target in targets.items()
        }
        self.fallback = fallback
        self.refer_within = refer_within

    def __getitem__(self, name: str) -> TransferTarget:
        """Return the target of that name."""
        return self._targets[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._targets)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._targets)

    def __repr__(self) -> str:
        """Show only the names."""
        return f"<TransferTargets {', '.join(self._targets)}>"

    def reachable(self, channel: Channel | None) -> dict[str, TransferTarget]:
        """Return the targets that a caller of this channel can be transferred to."""
        return {
            name: target
            for name, target in self._targets.items()
            if not (channel == "whatsapp" and target.on_phone_network)
        }

    def request(
        self, call_id: str, name: str, incoming: IncomingCall | None, *, reason: str = "", summary: str = ""
    ) -> TransferRequest:
        """Return the request for a transfer to the target of that name.

        Raises:
            InvalidRequestError: There is no such target.
        """
        return TransferRequest(
            call_id=call_id,
            name=name,
            target=self.chosen(name),
            reason=reason,
            summary=summary,
            parent_call_sid=None if incoming is None else incoming.parent_call_sid,
            channel=None if incoming is None else incoming.channel,
        )

    def chosen(self, name: str, *, channel: Channel | None = None) -> TransferTarget:
        """Return the target of that name.

        Raises:
            InvalidRequestError: There is no such target, or WhatsApp callers cannot be transferred there.
        """
        if name not in self._targets:
            raise InvalidRequestError("target", (("", f"must be one of: {', '.join(self._targets)}"),))
        if name not in self.reachable(channel):
            raise InvalidRequestError("target", (("", "is on the phone network, which takes no WhatsApp callers"),))
        return self._targets[name]


BEYOND_RINGING = 10.0
"""Seconds beyond a target's ring time until a transfer of which nothing is heard is given up."""


Fallback = Literal["none", "there", "asked for", "answered"]
"""How far the other way is."""


@dataclass(slots=True)
class Handover:
    """One transfer, from the moment that it is wanted until it has failed, which is the end of it."""

    key: str
    request: TransferRequest
    fallback: Fallback
    refer_within: float | None = None
    begun: bool = False
    sign: TransferProgress | None = None
    """The strongest so far."""
    there: bool | None = None
    """Whether the caller was seen to be there since the transfer was due; None if nobody asked."""
    seen: list[str] = field(default_factory=list)

    @property
    def evidence(self) -> str:
        """What was seen of it, in a sentence that is safe to log."""
        return "; ".join(self.seen) or f"the refer was not {'answered' if self.begun else 'sent'} yet"

    @property
    def certainty(self) -> Certainty:
        """How sure it is that the caller was transferred, if the leg leaves now."""
        return "reported" if self.sign is TransferProgress.ANSWERED else "inferred"

    @property
    def dialed(self) -> bool:
        """Whether something speaks for the target having been dialed."""
        return self.sign is not None and self.sign >= TransferProgress.ASKED

    @property
    def seconds(self) -> float:
        return self.request.target.ring_time + BEYOND_RINGING

    def note(self, words: str) -> None:
        if words not in self.seen:
            self.seen.append(words)

    def saw(self, sign: TransferProgress, words: str) -> None:
        self.sign = sign if self.sign is None else max(self.sign, sign)
        self.note(words)

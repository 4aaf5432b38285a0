"""Handing a caller over: where to, by which ways, and what speaks for it; decided without I/O.

A refer that is answered with success proves nothing: some never reached the carrier (field reports, May 2026), and no
event of the service tells. So the evidence is graded, in the order of `TransferSign`, each wait has a deadline, and a
second way is taken only where nothing speaks for the target having been dialled.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from realtime_sip.errors import (
    ConfigurationError,
    InvalidRequestError,
    NetworkError,
    RealtimeSipError,
    ServerError,
    ServiceError,
)
from realtime_sip.outcomes import TransferFailure, TransferSign
from realtime_sip.sip.address import SipUri
from realtime_sip.sip.headers import Channel

__all__ = [
    "Refer",
    "SecondPath",
    "TakeSecondPath",
    "TransferGivenUp",
    "TransferOver",
    "TransferRequest",
    "TransferTarget",
    "Transferring",
    "Transfers",
]

BEYOND_RINGING = 10.0
"""Seconds beyond a target's ring time until a transfer of which nothing is heard is given up."""
LEAVING = 10.0
"""Seconds that the caller's leg may stay after its target has answered."""
_MAX_URI = 256
"""Characters of a Refer-To that Twilio takes (voice guide, November 2026)."""
_MAX_TARGETS = 100
_MAX_DESCRIPTION = 200
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REQUEST_TIMEOUT = 408


@dataclass(frozen=True, slots=True)
class TransferTarget:
    """Where a caller can be transferred to.

    Attributes:
        uri: A `tel:` URI with a number as E.164, or a `sip:` or `sips:` URI, of 256 characters at most.
        description: Who is there, for the model to choose by.
        ring_time: Seconds that it rings before nobody is there. Ten seconds later a transfer of which nothing is heard
            has failed.

    >>> TransferTarget("tel:+14155550123", description="Invoices and refunds.").uri
    <SipUri tel:[number]@>

    Raises:
        ConfigurationError: The URI, the description or the time is none.
    """

    uri: SipUri
    description: str = ""
    ring_time: float = 35.0

    def __init__(self, uri: str | SipUri, *, description: str = "", ring_time: float = 35.0) -> None:
        """Check everything here, before a caller waits."""
        try:
            parsed = uri if isinstance(uri, SipUri) else SipUri.parse(uri)
        except InvalidRequestError:
            raise ConfigurationError("a target of a transfer must be a tel: or sip: URI") from None
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
        """Whether it is surely on the phone network, which takes no WhatsApp callers (Twilio, November 2026).

        A SIP URI says so with `user=phone` (RFC 3261 19.1.1); any other may lead there all the same.
        """
        return self.uri.scheme == "tel" or (self.uri.param("user") or "").lower() == "phone"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRequest:
    """One transfer that is asked for.

    Attributes:
        call_id: The call.
        name: The target's name in the allow-list.
        target: The target.
        reason: Why, in a few words of the model or of the program; "" where nobody said.
        summary: What the person who answers should know; "" where nobody said.
        parent_call_sid: The carrier's id of the caller's leg, where the webhook's verified context has it.
    """

    call_id: str
    name: str
    target: TransferTarget
    reason: str = field(default="", repr=False)
    summary: str = field(default="", repr=False)
    parent_call_sid: str | None = None


SecondPath = Callable[[TransferRequest], Awaitable[None]]
"""Another way to transfer, taken where a refer has come to nothing: as a rule, the carrier's own API.

It returns when the carrier has been asked, and raises where it certainly was not. It is told to stop after ten seconds,
and what it did then counts as perhaps done.
"""


class Transfers(Mapping[str, TransferTarget]):
    """The allow-list: the names under which a call can be transferred, and nowhere else.

    >>> desks = Transfers({"billing": TransferTarget("tel:+14155550123"), "night": "sip:night@pbx.example.com"})
    >>> sorted(desks)
    ['billing', 'night']

    Args:
        targets: From names, of 1 to 64 letters, digits, `_` and `-`, to targets or their URIs.
        second_path: Another way, for where a refer comes to nothing. Without it the agent keeps the caller.

    Raises:
        ConfigurationError: A name or a target is not valid, or there are none, or more than 100.
    """

    def __init__(
        self, targets: Mapping[str, TransferTarget | SipUri | str], *, second_path: SecondPath | None = None
    ) -> None:
        if not 1 <= len(targets) <= _MAX_TARGETS:
            raise ConfigurationError(f"there must be 1 to {_MAX_TARGETS} targets of transfers")
        for name in targets:
            if _NAME.fullmatch(name) is None:
                raise ConfigurationError("the name of a target is made of 1 to 64 letters, digits, _ and -")
        self._targets = {
            name: target if isinstance(target, TransferTarget) else TransferTarget(target)
            for name, target in targets.items()
        }
        self.second_path = second_path

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
        """Show the names alone."""
        return f"<Transfers {', '.join(self._targets)}>"

    def reachable(self, channel: Channel | None) -> dict[str, TransferTarget]:
        """Return the targets that a caller of this channel can be transferred to."""
        return {
            name: target
            for name, target in self._targets.items()
            if not (channel == "whatsapp" and target.on_phone_network)
        }

    def chosen(self, name: str, *, channel: Channel | None = None) -> TransferTarget:
        """Return the target of that name.

        Raises:
            InvalidRequestError: There is none, or WhatsApp callers cannot be transferred there.
        """
        if name not in self._targets:
            raise InvalidRequestError("target", (("", f"must be one of: {', '.join(self._targets)}"),))
        if name not in self.reachable(channel):
            raise InvalidRequestError("target", (("", "is on the phone network, which takes no WhatsApp callers"),))
        return self._targets[name]


@dataclass(frozen=True, slots=True)
class TransferGivenUp:
    """A transfer has failed, and the caller is still on the line. It is told among the events of the call."""

    type: ClassVar[str] = "call.transfer_given_up"
    target: str
    failure: TransferFailure
    evidence: str


@dataclass(frozen=True, slots=True)
class Refer:
    """Ask the service for the transfer, and report with `referred` or `refer_failed`."""

    request: TransferRequest


@dataclass(frozen=True, slots=True)
class TakeSecondPath:
    """Take the second path, and report with `second_path_taken` or `second_path_failed`."""

    request: TransferRequest


@dataclass(frozen=True, slots=True)
class TransferOver:
    """The transfer has failed, and the caller is still there."""

    request: TransferRequest
    failure: TransferFailure
    evidence: str


_Move = Refer | TakeSecondPath | TransferOver


class Transferring:
    """One transfer under way, from the moment that it is wanted until it has failed, which ends the use of it.

    Attributes:
        request: What was asked for.
        sign: The strongest sign so far, or None.
        certainty: "reported" once the target has answered.
    """

    def __init__(self, request: TransferRequest, *, second_path: bool) -> None:
        self.request = request
        self.sign: TransferSign | None = None
        self._second_path: Literal["none", "there", "asked for", "answered"] = "there" if second_path else "none"
        self._wait = request.target.ring_time + BEYOND_RINGING
        self._begun = False
        self._until: float | None = None
        self._evidence: list[str] = []

    @property
    def certainty(self) -> Literal["reported", "inferred"]:
        """How sure it is that the caller was transferred, if the leg leaves now."""
        return "reported" if self.sign is TransferSign.ANSWERED else "inferred"

    @property
    def evidence(self) -> str:
        """What was seen of it, in a sentence that is safe to log."""
        return "; ".join(self._evidence) or f"the refer was not {'answered' if self._begun else 'sent'} yet"

    @property
    def deadline(self) -> float | None:
        """Until when the target has time to answer, or the caller's leg to leave; None before it has begun."""
        return self._until

    def begin(self, now: float) -> list[_Move]:
        """Ask for it now, once: what was to be said was heard."""
        if self._begun:
            return []
        self._begun = True
        self._until = now + self._wait
        return [Refer(self.request)]

    def referred(self) -> None:
        """Note that the refer was answered with success."""
        self._saw(TransferSign.REFERRED, "the refer was answered with success")

    def refer_failed(self, error: RealtimeSipError, now: float) -> list[_Move]:
        """Say what a failed refer means: the next way, or, where it may have been sent, waiting for the deadline."""
        self._note(f"the refer failed ({type(error).__name__})")
        unclear = isinstance(error, ServerError) or (isinstance(error, NetworkError) and error.sent)
        unclear = unclear or (isinstance(error, ServiceError) and error.status_code == _REQUEST_TIMEOUT)
        # What the carrier has taken was sent, whatever the service says; and the second path goes on without the first.
        if unclear or self._dialled or self._second_path in ("asked for", "answered"):
            return []
        return self._next(TransferFailure.REFUSED, now)

    def second_path_taken(self, now: float) -> None:
        """Note that the carrier was asked by the second way."""
        self._second_path = "answered"
        if self.sign is not TransferSign.ANSWERED:
            self._until = now + self._wait
        self._saw(TransferSign.ASKED, "the second path was taken")

    def second_path_failed(self, what: str) -> list[_Move]:
        """Note that the second way failed; there is no third. What the carrier has told all the same counts."""
        self._second_path = "answered"
        self._note(f"the second path failed ({what})")
        return [] if self._dialled else self._fail(TransferFailure.REFUSED)

    def signed(self, sign: TransferSign, now: float) -> None:
        """Note what the carrier tells of it."""
        if not self._begun or (self.sign is not None and sign <= self.sign):
            return
        if sign is TransferSign.ANSWERED:
            self._until = now + LEAVING
        self._saw(sign, f"the carrier reported: {sign.name.lower()}")

    def failed(self, failure: TransferFailure) -> list[_Move]:
        """Note that it failed: as the carrier tells, or because the caller spoke. The target is not dialled again.

        What a carrier tells before it was asked is of another transfer, or of the refer that the second path follows.
        """
        if not (self._begun or failure is TransferFailure.INTERRUPTED):
            return []
        self._note(f"it failed: {failure.value}")
        return [] if self._second_path == "asked for" else self._fail(failure)

    def expired(self, now: float, *, there: bool) -> list[_Move]:
        """Take the next way, because the deadline has passed, and the target is not known to have answered.

        `there` says whether the caller's leg surely is: else there is no next way, for it may have been transferred.
        """
        self._note("nothing was heard of it in time")
        failure = TransferFailure.NO_ANSWER if self._dialled else TransferFailure.NO_SIGN
        return self._next(failure, now) if there else self._fail(failure)

    @property
    def left_as_transferred(self) -> bool:
        """Whether a caller's leg that leaves now was most likely transferred: a way was taken, or is being taken.

        The refer is no such way before it is answered; the carrier acts before it answers.
        """
        return self.sign is not None or self._second_path == "asked for"

    @property
    def _dialled(self) -> bool:
        return self.sign is not None and self.sign >= TransferSign.ASKED

    def _note(self, words: str) -> None:
        if words not in self._evidence:
            self._evidence.append(words)

    def _saw(self, sign: TransferSign, words: str) -> None:
        self.sign = sign if self.sign is None else max(self.sign, sign)
        self._note(words)

    def _next(self, failure: TransferFailure, now: float) -> list[_Move]:
        """Take the second way, once, and only where nothing says that the target has been dialled."""
        if self._second_path != "there" or self._dialled:
            return self._fail(failure)
        self._second_path = "asked for"
        self._until = now + self._wait  # in case that it never answers
        self._note("the second path was asked for")
        return [TakeSecondPath(self.request)]

    def _fail(self, failure: TransferFailure) -> list[_Move]:
        return [TransferOver(self.request, failure, self.evidence)]

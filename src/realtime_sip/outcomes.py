"""How things end: a call, a socket, a transfer, something that was said. Values, with nothing below them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import ClassVar, Literal

__all__ = [
    "CallEnded",
    "EndReason",
    "Heard",
    "LimitKind",
    "LimitNear",
    "SidebandGap",
    "SocketClose",
    "SocketCloseKind",
    "TransferFailed",
    "TransferFailureReason",
    "TransferProgress",
]


class EndReason(Enum):
    """Why a call ended."""

    CALLER = "caller"
    """The caller hung up, or gave up while it rang."""
    AGENT = "agent"
    """The program hung up: `hangup()`, the `end_call` tool, or the end of the `answer` block."""
    REJECTED = "rejected"
    """The program rejected it."""
    TRANSFERRED = "transferred"
    """The caller was transferred: reported where the carrier said that the target has answered; inferred where the
    caller's leg left after a refer that was answered with success, or with the second path."""
    EXPIRED = "expired"
    """The session had reached its longest duration (60 minutes, API guide, November 2026)."""
    LIMIT = "limit"
    """One of the call's own limits; `CallEnded.limit` says which."""
    STALE = "stale"
    """The webhook came too late to answer anything."""
    DECIDED_ELSEWHERE = "decided elsewhere"
    """Another program had accepted or rejected it."""
    NOT_CONNECTED = "not connected"
    """It was accepted, but there was no call to attach to: the accept was not what it said, or the caller gave up."""
    CONNECTION_LOST = "connection lost"
    """The service could not be reached any more. The call was hung up as far as that was possible."""
    HANDLER_FAILED = "handler failed"
    """The program broke: an exception ended its block."""
    DETACHED = "detached"
    """The program let go of it with `detach()`; the call itself goes on."""


class LimitKind(Enum):
    """What a call can have too much of."""

    DURATION = "duration"
    SILENCE = "silence"
    FIRST_SOUND = "first sound"
    EXPIRY = "expiry"
    COST = "cost"
    TOKENS = "tokens"
    TOOL_ROUNDS = "tool rounds"
    NO_AUDIO = "no audio"


class SocketCloseKind(Enum):
    """What a close means. None of them proves that the call has ended: only attaching again does."""

    OURS = "ours"
    """This side closed."""
    NORMAL = "normal"
    """The service closed in good order (1000, or no code at all, 1005)."""
    EXPIRED = "expired"
    """The session had reached its longest duration: the service said so before it closed."""
    GOING_AWAY = "going away"
    """The service closed because it stops or restarts (1001, 1012, 1013, 1014)."""
    DROPPED = "dropped"
    """The connection broke without a close (1006). Hang-ups look like this too."""
    REFUSED = "refused"
    """The service did not like what it got (1002, 1003, 1007, 1008, 1009, 1010, and its own 3000 to 4999)."""
    FAILED = "failed"
    """The service failed (1011 and everything else)."""


@dataclass(frozen=True, slots=True)
class SocketClose:
    """How a WebSocket closed (RFC 6455 7.4).

    Attributes:
        code: The close code; 1005 where the close frame had none, 1006 where none came.
        reason: What the service wrote beside it, redacted and cut; often "".
    """

    kind: SocketCloseKind
    code: int
    reason: str = ""

    @property
    def quiet(self) -> bool:
        """Whether iterating over the events ends without an error."""
        return self.kind in (SocketCloseKind.OURS, SocketCloseKind.NORMAL, SocketCloseKind.EXPIRED)

    def __str__(self) -> str:
        """Say it in one line.

        >>> str(SocketClose(SocketCloseKind.DROPPED, 1006))
        'dropped (1006)'
        """
        return f"{self.kind.value} ({self.code}{f' {self.reason}' if self.reason else ''})"


@dataclass(frozen=True, slots=True)
class SidebandGap:
    """A time in which the sideband was down. What the service said meanwhile is lost. Unix seconds."""

    type: ClassVar[str] = "call.gap"
    start: float
    end: float
    close: SocketClose


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded:
    """How a call ended.

    Attributes:
        reason: Why.
        certainty: "reported" where the service said so, "inferred" where it is what remains.
        evidence: What speaks for it, in a sentence that is safe to log.
        limit: Which limit, where that was the reason.
        started_at: Unix seconds at which answering began.
        attached_at: Unix seconds at which the sideband was attached first, or None.
        ended_at: Unix seconds at which the end was known.
        close: How the sideband closed last, or None where there was none.
    """

    reason: EndReason
    certainty: Literal["reported", "inferred"]
    evidence: str
    limit: LimitKind | None = None
    started_at: float
    attached_at: float | None
    ended_at: float
    close: SocketClose | None = None

    def __str__(self) -> str:
        """Say it in one line, safe to log."""
        return f"{self.reason.value} ({self.certainty}): {self.evidence}"


class Heard(Enum):
    """How much of a response was heard."""

    ENTIRELY = "entirely"
    """It was played to its end."""
    IN_PART = "in part"
    """It was cut off, by the caller or by us."""
    NOT_AT_ALL = "not at all"
    """It ended without any audio: text, tool calls, a cancellation before the first word."""
    FAILED = "failed"
    """The service refused it, lost it, or failed to make it."""
    ASSUMED = "assumed"
    """Nothing told that it was heard, but it must be over by now."""


class TransferProgress(IntEnum):
    """What speaks for a transfer, the weakest first. `Call.transfer_progress` takes what the carrier tells."""

    REFERRED = 1
    """The service has taken the refer."""
    ASKED = 2
    """The carrier has taken it: as a rule, it has asked for what to do with the caller (Twilio's `referUrl`)."""
    LEFT = 3
    """The caller's leg has left the service."""
    ANSWERED = 4
    """The target has answered. Only this is a transfer for sure."""


class TransferFailureReason(Enum):
    """Why a transfer has failed; the caller is still on the line."""

    REFUSED = "refused"
    """The service, or the second path, does not do it."""
    NO_SIGN = "no sign"
    """Nothing was heard of it within the deadline."""
    BUSY = "busy"
    """The target was busy, as the carrier said."""
    NO_ANSWER = "no answer"
    """Nobody answered, as the carrier said, or as time did where it had begun to dial."""
    CARRIER = "carrier"
    """The carrier could not do it, as it said."""
    INTERRUPTED = "interrupted"
    """The caller spoke before the announcement had ended, and the transfer was to be given up then."""
    PENDING = "pending"
    """Another transfer of the call is under way."""
    UNREACHABLE = "unreachable"
    """This caller cannot be transferred there: WhatsApp callers reach no phone network."""


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """A transfer has failed, and the caller is still on the line. It is told among the events of the call."""

    type: ClassVar[str] = "call.transfer_failed"
    target: str
    failure: TransferFailureReason
    evidence: str


@dataclass(frozen=True, slots=True)
class LimitNear:
    """A limit will be reached in `seconds`, unless something changes. Told once for each approach.

    `seconds` is None for cost and tokens, which are told at 80 % of the limit, the response under way estimated.
    """

    type: ClassVar[str] = "call.limit_near"
    limit: LimitKind
    seconds: float | None

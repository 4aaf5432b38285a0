"""How a call ended, and when it was not heard."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Literal

from realtime_sip.limits import LimitKind
from realtime_sip.protocol import Close

__all__ = ["CallEnded", "EndReason", "Gap"]


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


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which the sideband was down. What the service said meanwhile is lost. Unix seconds."""

    type: ClassVar[str] = "call.gap"
    start: float
    end: float
    close: Close


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
    close: Close | None = None

    def __str__(self) -> str:
        """Say it in one line, safe to log."""
        return f"{self.reason.value} ({self.certainty}): {self.evidence}"

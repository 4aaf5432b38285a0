"""How a call, a socket, a transfer or a speech can end, why one may not begin, and who answered: values alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import ClassVar, Literal

__all__ = [
    "Answered",
    "CallAnswered",
    "CallEnded",
    "Certainty",
    "EndReason",
    "Heard",
    "LimitKind",
    "LimitNear",
    "PermissionReason",
    "PermissionVerdict",
    "RefusalKind",
    "ServiceRefused",
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
    """The program rejected the call."""
    TRANSFERRED = "transferred"
    """The caller was transferred. Reported if the carrier said that the target answered; inferred if the caller's leg
    left after a refer that was answered with success, or after the fallback was taken."""
    EXPIRED = "expired"
    """The session reached its longest duration (60 minutes, API guide, November 2026)."""
    LIMIT = "limit"
    """One of the call's own limits was reached; `CallEnded.limit` says which."""
    STALE = "stale"
    """The webhook came too late to answer anything."""
    DECIDED_ELSEWHERE = "decided elsewhere"
    """Another program had accepted or rejected the call."""
    NOT_CONNECTED = "not connected"
    """The accept succeeded, but there was no call to attach to: the accept had not worked, or the caller gave up."""
    CONNECTION_LOST = "connection lost"
    """The service could no longer be reached. The call was hung up as far as that was possible."""
    HANDLER_FAILED = "handler failed"
    """The program broke: an exception ended its block."""
    DETACHED = "detached"
    """The program let go of the call with `detach()`; the call itself goes on."""


class LimitKind(Enum):
    """Which limit of a call is near, or was reached."""

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
    """The session reached its longest duration: the service said so before it closed."""
    GOING_AWAY = "going away"
    """The service closed because it stops or restarts (1001, 1012, 1013, 1014)."""
    DROPPED = "dropped"
    """The connection broke without a close (1006). Hang-ups look like this too."""
    REFUSED = "refused"
    """The service rejected what it got (1002, 1003, 1007, 1008, 1009, 1010, and its own 3000 to 4999)."""
    BETA = "beta"
    """The service takes what it got for the beta API's, which is switched off (4000, `beta_api_shape_disabled`). No
    other socket fares better."""
    FAILED = "failed"
    """The service failed (1011 and everything else)."""


@dataclass(frozen=True, slots=True)
class SocketClose:
    """How a WebSocket closed (RFC 6455 7.4).

    Attributes:
        code: The close code; 1005 if the close frame had none, 1006 if none came.
        reason: What the service wrote beside it, redacted and cut; often "". If something was of the beta API, also the
            field that the service named.
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
class Adopted:
    """What is known of a call that another worker served before. `Call.adopted` has it.

    Attributes:
        began_at: Unix seconds at which that worker began to answer it, or None if that is not known.
        interrupted: The functions that ran there and whose outcome nobody knows. The model was told so.
        cost: What it had cost there, in US dollars, or None if that is not known. `Call.cost` goes on from it.
        state: The state of `Stages` that it was in, or None. `Stages.enter(call)` leaves it there.
    """

    began_at: float | None = None
    interrupted: tuple[str, ...] = ()
    cost: Decimal | None = None
    state: str | None = None


Certainty = Literal["reported", "inferred"]
"""Whether the service, or the carrier, has said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded:
    """How a call ended.

    Attributes:
        reason: Why.
        certainty: "reported" if the service said so, "inferred" if no other reason remains.
        evidence: What shows it, in a sentence that is safe to log.
        limit: Which limit, if that was the reason.
        started_at: Unix seconds at which answering began.
        attached_at: Unix seconds at which the sideband was first attached, or None.
        ended_at: Unix seconds at which the end was known.
        close: How the sideband last closed, or None if it never opened.
    """

    reason: EndReason
    certainty: Certainty
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
    """The caller or the program cut it off, or the service did not finish it."""
    NOT_AT_ALL = "not at all"
    """It ended without any audio: text, tool calls, a cancellation before the first word."""
    FAILED = "failed"
    """The service refused it, lost it, or failed to make it."""
    ASSUMED = "assumed"
    """No event showed that it was heard, but it must be over by now."""


class TransferProgress(IntEnum):
    """How far a transfer is, the weakest evidence first. Pass what the carrier reports to `Call.transfer_progress`."""

    REFERRED = 1
    """The service accepted the refer."""
    ASKED = 2
    """The carrier accepted it: usually it asked what to do with the caller (Twilio's `referUrl`)."""
    LEFT = 3
    """The caller's leg left the service."""
    ANSWERED = 4
    """The target answered. Only this proves a transfer."""


class TransferFailureReason(Enum):
    """Why a transfer failed; the caller is still on the line."""

    REFUSED = "refused"
    """The service refused, or the fallback failed."""
    NO_SIGN = "no sign"
    """Nothing was heard of the transfer within its deadline."""
    BUSY = "busy"
    """The carrier said that the target was busy."""
    NO_ANSWER = "no answer"
    """Nobody answered: the carrier said so, or the ring time passed after it had begun to dial."""
    CARRIER = "carrier"
    """The carrier said that it could not do it."""
    INTERRUPTED = "interrupted"
    """The caller spoke before the announcement had ended, and `unless_interrupted` was set."""
    PENDING = "pending"
    """Another transfer of the call is under way."""
    UNREACHABLE = "unreachable"
    """This caller cannot be transferred there: WhatsApp callers cannot reach the phone network."""


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """A transfer failed, and the caller is still on the line. It is among the events of the call."""

    type: ClassVar[str] = "call.transfer_failed"
    target: str
    failure: TransferFailureReason
    evidence: str


@dataclass(frozen=True, slots=True)
class LimitNear:
    """A limit will be reached in `seconds`, unless something changes. Emitted once for each approach.

    `seconds` is None for cost and tokens. Their event is emitted at 80 % of the limit, with an estimate of the response
    under way.
    """

    type: ClassVar[str] = "call.limit_near"
    limit: LimitKind
    seconds: float | None


class RefusalKind(StrEnum):
    """What the service did not do."""

    INCOMPLETE = "incomplete"
    """It stopped in the middle of a response."""
    FAILED = "failed"
    """It failed to make a response."""
    QUOTA = "quota"
    """Likewise, and no waiting helps: the account has no more quota, or a problem with its billing."""
    NOTHING_TO_HEAR = "nothing to hear"
    """A response has no audio, in a session of audio."""
    REFUSED = "refused"
    """An `error` event refused an item, an update, a response or anything else that was sent; or a response that was
    asked for was not begun in time."""
    APPROVAL_DENIED = "approval denied"
    """A call of an MCP server was not approved, by the program or because it cannot approve any."""


@dataclass(frozen=True, slots=True)
class ServiceRefused:
    """Something that the service did not do, cut short or left out. It is among the events of the call, and logged.

    Attributes:
        kind: What it did not do.
        code: The service's code or reason, redacted and cut; or None.
        param: What the service says is wrong, redacted and cut; or None.
        response_id: The response, if it is about one that was made.
        item_id: The item, if it is about one.
        again: Whether the same is asked for again.
    """

    type: ClassVar[str] = "call.service_refused"
    kind: RefusalKind
    code: str | None = None
    param: str | None = None
    response_id: str | None = None
    item_id: str | None = None
    again: bool = False

    def __str__(self) -> str:
        """Say it in one line, safe to log.

        >>> str(ServiceRefused(RefusalKind.FAILED, "server_error", response_id="resp_1", again=True))
        'failed (server_error): response resp_1, asked for again'
        """
        reasons = ", ".join(part for part in (self.code, self.param and f"param {self.param}") if part)
        about = f"response {self.response_id}" if self.response_id else f"item {self.item_id}" if self.item_id else ""
        rest = ", ".join(part for part in (about, "asked for again" if self.again else "") if part)
        return f"{self.kind}{reasons and f' ({reasons})'}{rest and f': {rest}'}"


class Answered(StrEnum):
    """Who answered a call that was placed."""

    HUMAN = "human"
    """A person."""
    VOICEMAIL = "voicemail"
    """A machine that takes a message. Twilio's word for it covers menus and screening as well."""
    IVR = "ivr"
    """A menu that asks for keys or words."""
    SCREENING = "screening"
    """An assistant that asks who calls, and why, before a person decides: the call screening of phones."""
    UNKNOWN = "unknown"
    """Nobody can tell. Also an announcement that takes no message, a full mailbox, a fax machine."""


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """Who answered a call that was placed. It is among the events of the call.

    Attributes:
        who: Who it was.
        certainty: "reported" if the carrier said so, "inferred" from the first words.
        greeting_over: Whether the carrier heard the end of a machine's greeting, usually a tone: a message may begin.
    """

    type: ClassVar[str] = "call.answered"
    who: Answered
    certainty: Certainty = "inferred"
    greeting_over: bool = False


class PermissionReason(StrEnum):
    """Why a user may not be called, or asked for permission."""

    NOT_ASKED = "not_asked"
    UNANSWERED = "unanswered"
    REJECTED = "rejected"
    EXPIRED = "expired"
    REVOKED = "revoked"
    CALL_UNDER_WAY = "call_under_way"
    CALL_LIMIT = "call_limit"
    SENDER_FULL = "sender_full"
    REQUEST_LIMIT = "request_limit"
    CONVERSATION_CLOSED = "conversation_closed"
    SENDER_COUNTRY = "sender_country"
    AREA = "area"


_TEXTS = {
    PermissionReason.NOT_ASKED: "they were never asked for permission: send a request",
    PermissionReason.UNANSWERED: "they have not answered the request",
    PermissionReason.REJECTED: "they rejected the request",
    PermissionReason.EXPIRED: "the permission, or the request, has expired: send another request",
    PermissionReason.REVOKED: "too many calls in a row were missed, which ended the permission: send another request",
    PermissionReason.CALL_UNDER_WAY: "a call with them is under way",
    PermissionReason.CALL_LIMIT: "as many calls were connected with them as may be",
    PermissionReason.SENDER_FULL: "the sender has as many calls as it may have at a time",
    PermissionReason.REQUEST_LIMIT: "they were asked as often as they may be",
    PermissionReason.CONVERSATION_CLOSED: "they have not written lately: a template without approval is not delivered",
    PermissionReason.SENDER_COUNTRY: "WhatsApp lets no sender of this country place calls",
    PermissionReason.AREA: "WhatsApp does not serve the country of this number",
}


@dataclass(frozen=True, slots=True)
class PermissionVerdict:
    """Whether something may be done now. It is true if so.

    Attributes:
        reason: Why not, or None if it is allowed.
        allowed_at: When it will be allowed if nothing else happens, as Unix seconds; None if waiting does not help.
        permitted_until: Until when the user's permission lasts, `math.inf` if for good; None without one.
        missed: How many calls in a row they have missed.
        warnings: What to know, and what could not be checked.
    """

    reason: PermissionReason | None = None
    allowed_at: float | None = None
    permitted_until: float | None = None
    missed: int = 0
    warnings: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.reason is None

    def __str__(self) -> str:
        if self.reason is None:
            return "allowed"
        if self.allowed_at is None:
            return f"{self.reason}: {_TEXTS[self.reason]}"
        when = datetime.fromtimestamp(self.allowed_at, UTC)
        return f"{self.reason}: {_TEXTS[self.reason]}; allowed from {when:%Y-%m-%d %H:%M:%S} UTC"

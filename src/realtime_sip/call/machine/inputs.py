"""What can happen to a call: everything that `core.step` takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from realtime_sip import events
from realtime_sip.call.machine.keypad import DigitCollector
from realtime_sip.call.machine.targets import TransferRequest
from realtime_sip.call.machine.ticket import Ticket
from realtime_sip.errors import RealtimeSipError
from realtime_sip.outcomes import SocketClose, TransferFailureReason, TransferProgress
from realtime_sip.response import ResponseConfig
from realtime_sip.session import RealtimeSession

# --- answering, and the sideband --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer the call."""

    age: float = 0.0
    """Seconds since it began to ring, as far as the host's clock tells."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """Attach to a call that another worker had accepted."""

    ticket: Ticket | None = None
    """What that worker knew; None if nothing is known."""
    idempotent: frozenset[str] = frozenset()
    """The functions that may run again."""
    request: TransferRequest | None = None
    """The transfer that the ticket names."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """Let another worker take the call: close the sideband once the call is at rest. `key` names who waits for that."""

    key: str


@dataclass(frozen=True, slots=True)
class Kept:
    """Nobody took the call that was to be handed over."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Another worker has the call."""


@dataclass(frozen=True, slots=True)
class NoCaller:
    """Nobody is there to be answered: the webhook is too old, or the carrier reported that the caller is gone."""

    reported: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """The accept was answered with success, which proves nothing."""


@dataclass(frozen=True, slots=True)
class AcceptFailed:
    error: RealtimeSipError


@dataclass(frozen=True, slots=True)
class Rejected:
    """The reject is over; `error` says why it failed."""

    error: RealtimeSipError | None = None


@dataclass(frozen=True, slots=True)
class Attached:
    """The sideband is open."""


@dataclass(frozen=True, slots=True)
class AttachFailed:
    error: RealtimeSipError


@dataclass(frozen=True, slots=True)
class Closed:
    """The socket closed, which is not the end of the call.

    `cut_off` says that workers share the call's store, and that this one could not reach it for longer than its lease:
    another may have the call.
    """

    close: SocketClose
    cut_off: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """The service says something."""

    event: events.ServerEvent


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed. Whatever arrived meanwhile was put in before."""


# --- what the program wants -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Respond:
    """Ask for a response when it is its turn. `key` names its speech; `instructions` add to the session's own."""

    key: str
    instructions: str | None = field(default=None, repr=False)
    config: ResponseConfig = field(default_factory=ResponseConfig)


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Stop what is being made and what is being heard."""


@dataclass(frozen=True, slots=True)
class SendEvent:
    """Send this event of the program. A `session.update` is one of those that are answered in order."""

    event: events.ClientEvent
    key: str = ""


@dataclass(frozen=True, slots=True)
class Update:
    """Change the session, until the service did so; `key` is the event's id."""

    key: str
    session: RealtimeSession


@dataclass(frozen=True, slots=True)
class Collect:
    """Collect digits; `prompt` instructs the model what to say first."""

    key: str
    collector: DigitCollector
    prompt: str | None = field(repr=False)
    barge_in: bool
    secret: bool


@dataclass(frozen=True, slots=True)
class Transfer:
    """Transfer the call, once the speech under way or the announcement was heard."""

    key: str
    request: TransferRequest
    announcement: str | None = field(default=None, repr=False)
    after_speech: bool = True
    unless_interrupted: bool = False
    fallback: bool = False
    refer_within: float | None = None
    """Seconds for the carrier to ask what to do with the caller, if it was told whom to ask; None if it was not."""
    reachable: bool = True
    """Whether this caller can be transferred there. If not, the model learns that the transfer failed."""


@dataclass(frozen=True, slots=True)
class Hangup:
    """Hang up: now, after the speech under way, or after a goodbye, which instructs the model."""

    after_speech: bool = False
    goodbye: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Hurry:
    """End the call within so many seconds, with what is known by then: nobody can wait any longer."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Fail:
    """The program failed: end the call at once."""

    evidence: str


@dataclass(frozen=True, slots=True)
class Abandon:
    """Whoever waited for the update or the digits of this key no longer does."""

    key: str


@dataclass(frozen=True, slots=True)
class LetGo:
    """Let go of the call, which goes on, with turn detection as it was."""

    key: str


# --- what came of what was asked for ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolBegan:
    """A function runs. At these seconds of `progress` the model says that it is still at it; with `background` it is
    answered at once."""

    call_id: str
    name: str
    progress: tuple[float, ...] = ()
    background: bool = False


@dataclass(frozen=True, slots=True)
class ToolEnded:
    """A tool has its output; with `respond`, the model says something about it. Output tells the model if it failed."""

    call_id: str
    output: str = field(repr=False)
    respond: bool = True
    failed: bool = False


@dataclass(frozen=True, slots=True)
class ApprovalDecided:
    request_id: str
    approve: bool


@dataclass(frozen=True, slots=True)
class Spent:
    """What the call has cost so far, in US dollars and tokens; `estimate` includes what is being said."""

    cost: Decimal | None
    estimate: Decimal | None
    tokens: int


@dataclass(frozen=True, slots=True)
class Referred:
    """The refer was answered with success, which proves nothing."""

    request: TransferRequest


@dataclass(frozen=True, slots=True)
class ReferFailed:
    request: TransferRequest
    error: RealtimeSipError


@dataclass(frozen=True, slots=True)
class FallbackTaken:
    """The fallback asked the carrier, or may have."""

    request: TransferRequest


@dataclass(frozen=True, slots=True)
class FallbackFailed:
    """The fallback failed; `what` is safe to log."""

    request: TransferRequest
    what: str


@dataclass(frozen=True, slots=True)
class CarrierSays:
    """What the carrier reports about a transfer. It may come after the end."""

    says: TransferProgress | TransferFailureReason


@dataclass(frozen=True, slots=True)
class CallerLeft:
    """The carrier reports that the caller's own call is over. It may come after the end."""


@dataclass(frozen=True, slots=True)
class HungUp:
    """The service hung up."""


@dataclass(frozen=True, slots=True)
class HangupFailed:
    error: RealtimeSipError


@dataclass(frozen=True, slots=True)
class AwaitQuiet:
    """The program waits until what is being said was heard."""

    key: str


Input = (
    Answer
    | Adopt
    | HandOver
    | Kept
    | Taken
    | NoCaller
    | Accepted
    | AcceptFailed
    | Rejected
    | Attached
    | AttachFailed
    | Closed
    | Received
    | Tick
    | Respond
    | AwaitQuiet
    | Interrupt
    | SendEvent
    | Update
    | Collect
    | Transfer
    | Hangup
    | Hurry
    | Fail
    | LetGo
    | Abandon
    | ToolBegan
    | ToolEnded
    | ApprovalDecided
    | Spent
    | Referred
    | ReferFailed
    | FallbackTaken
    | FallbackFailed
    | CarrierSays
    | CallerLeft
    | HungUp
    | HangupFailed
)

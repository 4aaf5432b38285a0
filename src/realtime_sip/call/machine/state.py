"""The state of a call: three regions that are drawn, a few records, and one function that moves a region.

    socket   what joins us to the call: it rings, it is being attached, it is open, it is lost or gone
    floor    what the service does: nothing, what we asked for, a response, or nobody knows
    end      what becomes of the call: nothing yet, a transfer, a hang-up that was decided, or it is over

The caller speaking, a tool running and any wait are not regions, because they overlap with all of these. A wait is a
timer, and what follows from a state is derived from it (`core`), never queued.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

from realtime_sip import events
from realtime_sip.call.machine.call_limits import CallLimits
from realtime_sip.call.machine.effects import Effect, Send
from realtime_sip.call.machine.keypad import Digits
from realtime_sip.call.machine.targets import Handover
from realtime_sip.call.machine.timers import Timers
from realtime_sip.call.record.responses import Book
from realtime_sip.outcomes import CallEnded, EndReason, Heard, LimitKind, SocketClose
from realtime_sip.response import ResponseConfig

_log = logging.getLogger("realtime_sip.call")

_TRACE = 64
_REMEMBERED = 512


class Socket(Enum):
    """What joins us to the call."""

    RINGING = "ringing"
    ATTACHING = "attaching"
    OPEN = "open"
    AWAY = "away"
    """Closed by us, so that another worker can take the call."""
    LOST = "lost"
    """Given up, though the call may be up."""
    GONE = "gone"


class Floor(Enum):
    """What the service does."""

    IDLE = "idle"
    ASKED = "asked"
    """A response of ours was asked for, and neither granted nor refused."""
    MODEL = "model"
    """A response is being made."""
    UNKNOWN = "unknown"
    """A response may be being made, of which nothing is known."""


class End(Enum):
    """What becomes of the call."""

    NONE = "none"
    TRANSFERRING = "transferring"
    """Meanwhile nothing hangs up; what is decided is done if the transfer fails."""
    ENDING = "ending"
    """It is being hung up."""
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Called:
    """A function call that runs: its item, and the function."""

    item_id: str
    function: str


class Tool(Enum):
    """How far a function call is, or a call of an MCP server. Calls that were answered are no longer there."""

    RUNNING = "running"
    """It holds up the answer for as long as its timer runs."""
    SENT = "sent"
    """Its output was sent, and has to be answered."""
    KNOWN = "known"
    """The conversation has its output, which has to be answered."""


Region = Socket | Floor | End

MOVES: dict[Region, dict[Region, str]] = {
    Socket.RINGING: {
        Socket.ATTACHING: "accepted, or perhaps",
        Socket.GONE: "stale, or decided elsewhere",
    },
    Socket.ATTACHING: {
        Socket.OPEN: "it opened",
        Socket.RINGING: "no call, so accept again",
        Socket.LOST: "given up",
        Socket.GONE: "over",
    },
    Socket.OPEN: {
        Socket.ATTACHING: "it closed",
        Socket.AWAY: "offered to others",
        Socket.LOST: "it closed while hanging up",
        Socket.GONE: "over",
    },
    Socket.AWAY: {
        Socket.ATTACHING: "nobody took it",
        Socket.GONE: "taken, or over",
    },
    Socket.LOST: {Socket.GONE: "over"},
    Socket.GONE: {},
    Floor.IDLE: {
        Floor.ASKED: "response.create",
        Floor.MODEL: "response.created",
        Floor.UNKNOWN: "attached again, or no id",
    },
    Floor.ASKED: {
        Floor.MODEL: "response.created",
        Floor.IDLE: "refused, or late",
        Floor.UNKNOWN: "another is active",
    },
    Floor.MODEL: {
        Floor.IDLE: "response.done",
        Floor.ASKED: "done, ours is unanswered",
        Floor.UNKNOWN: "attached again",
    },
    Floor.UNKNOWN: {
        Floor.MODEL: "a sign of one",
        Floor.IDLE: "done, or no sign",
        Floor.ASKED: "done, ours is unanswered",
    },
    End.NONE: {
        End.TRANSFERRING: "transfer()",
        End.ENDING: "it is to be hung up",
        End.OVER: "gone, or let go of",
    },
    End.TRANSFERRING: {
        End.NONE: "it failed, or the leg stays",
        End.OVER: "the leg left, or over",
    },
    End.ENDING: {End.OVER: "hung up"},
    End.OVER: {},
}
"""From each state of a region the states that may follow, and when. `docs/concepts/` is drawn from it."""

_REGIONS: dict[type[Region], str] = {Socket: "socket", Floor: "floor", End: "end"}


@dataclass(slots=True)
class Want:
    """A response that we want. `key` becomes its event's id, and names its speech."""

    key: str
    config: ResponseConfig
    despite_hold: bool = False
    tries: int = 0
    maybe_sent: bool = False
    """Whether it was asked for before the sideband was lost, so that it was perhaps granted."""
    covers: frozenset[str] = frozenset()
    """The tools whose outputs were sent before it was asked for."""

    @property
    def answers(self) -> bool:
        """Whether it answers tools, rather than somebody who waits for its speech."""
        return self.key.startswith("answer_")


@dataclass(slots=True)
class Ask:
    """What was asked of the service, until it is seen done, is refused, or is late (timer `ask NAME`).

    After the sideband was lost, what can be sent again under its id is sent again. A response cannot, since nobody
    knows whether it was granted; it becomes a want again.
    """

    event: events.ClientEvent
    at: float
    frames: int
    """How many frames the service had sent when it was asked."""
    want: Want | None = None
    tool: str = ""
    """The call whose output it brings."""
    refusals: int = 0
    untagged: bool = False
    """Whether a response that nobody asked for was created since."""


@dataclass(slots=True)
class Line:
    """How the call is reached."""

    began: float
    unix_ahead: float
    """What to add to the clock for Unix seconds."""
    accepted: str = ""
    """How it was accepted, in words; "" if it was not, as far as anybody knows."""
    late: bool = False
    """Whether the webhook came when nobody lets a phone ring any more, if the host's clock is right."""
    taking: bool = False
    """Whether it was accepted before, by another worker most likely, and was not attached here yet."""
    maybe_accepted: bool = False
    """Whether an accept of ours may have arrived that was not answered with success."""
    attached_at: float | None = None
    """When the sideband was first open."""
    frame_at: float = 0.0
    frames: int = 0
    """How many frames the service has sent."""
    proven: bool = False
    """Whether the service has spoken over the socket that is open."""
    close: SocketClose | None = None
    shut: bool = True
    """Whether the socket that was closed for another worker is closed."""
    lost_at: float = 0.0
    """When a sideband over which the service had spoken was last lost: when it closed, or when it fell silent."""
    closed_at: float = 0.0
    awaited: bool = False
    """Whether the service had something to say when the sideband was lost."""
    wall: float | None = None
    """When the service ends the session."""
    drops: int = 0
    """How many sockets in a row did not stay."""
    failures: int = 0
    gone: int = 0
    """How often in a row attaching again met no call."""


@dataclass(slots=True)
class Ending:
    """An end that was decided, and not carried out yet."""

    reason: EndReason
    evidence: str
    limit: LimitKind | None = None
    tries: int = 0
    harmless: bool = False
    """Whether the call is gone as far as we know, so that hanging up is tried once."""
    confirmed: bool = False
    """Whether the service has said that it hung up."""
    reported: bool = False
    """Whether the carrier has said that this is the reason, however the leg leaves."""
    handing_over: bool = False
    """Whether a transfer was under way, whose target may yet be reported to have answered."""


Steps = Generator[tuple[Callable[[], bool], float | None], None, None]


@dataclass(slots=True)
class Sequence:
    """Something that takes several steps: a generator, and the condition that it waits for."""

    steps: Steps
    condition: Callable[[], bool] = lambda: True
    since: float = 0.0
    seconds: float | None = None
    """Seconds beyond the end of what is known to be said; the timer `sequence KEY` stands for it. None: no bound."""


@dataclass(slots=True)
class Hold:
    """Whether the service starts responses by itself, as we want it and as it is."""

    own: dict[str, Any] | None
    """The session's turn detection without a hold, until the service reports it; None if it is off."""
    reasons: set[str] = field(default_factory=set)
    there: bool | None = False
    """Whether the service has what we made of its turn detection, rather than `own`; None for unknown."""
    off: bool = False
    """Whether the call was accepted with turn detection off, which is how it is held until that comes back."""
    asked: bool = False
    """What was last asked for, in the terms of `there`."""
    sent: dict[str, Any] | None = None
    update: str = ""
    """The id of the event that asks, until it is answered."""
    tries: int = 0

    @property
    def on(self) -> bool:
        """Whether responses have to wait. Before the greeting was heard, they do not."""
        return bool(self.reasons - {"greeting"})


@dataclass(slots=True)
class Session:
    """What is known about the session."""

    instructions: str | None = field(repr=False)
    has_prompt: bool
    """Whether a stored prompt may stand for the instructions."""
    forces_tools: bool
    """Whether its `tool_choice` makes every response call a tool."""
    transcribes: bool = False
    """Whether it has the caller's words written down."""
    speaks: bool = True
    """Whether it asks the model for audio."""
    updates: OrderedDict[str, events.SessionUpdate | None] = field(default_factory=OrderedDict)
    """The updates that wait for their answer, in order; None for one that the session shows to be accepted already."""
    voiced: bool = False
    """Whether the model was heard, so that its voice is locked."""


@dataclass(slots=True)
class CallState:
    """Everything that decides about a call."""

    limits: CallLimits
    line: Line
    hold: Hold
    session: Session
    digits: Digits
    now: float
    call_id: str = ""
    """Names the call in the log."""
    socket: Socket = Socket.RINGING
    floor: Floor = Floor.IDLE
    end: End = End.NONE
    timers: Timers = field(default_factory=Timers)
    book: Book = field(default_factory=Book)
    asks: dict[str, Ask] = field(default_factory=dict)
    wants: deque[Want] = field(default_factory=deque)
    tools: dict[str, Tool] = field(default_factory=dict)
    called: dict[str, Called] = field(default_factory=dict)
    """The function calls that run, by their id."""
    calling: dict[str, None] = field(default_factory=dict)
    """The items of function calls that have begun and were not seen complete."""
    seen: dict[str, None] = field(default_factory=dict)
    """Call ids and approval requests that were taken up."""
    told: dict[str, Heard] = field(default_factory=dict)
    """Keys whose speech is over, and how much of it was heard."""
    active: str = ""
    """The response that is being made in the conversation; "" if that is not known."""
    stray: str = ""
    """A response that the service seems to have started during a hold."""
    service_responds: bool = True
    background: dict[str, str] = field(default_factory=dict)
    """The functions that run in the background, by their call."""
    progress_at: float | None = None
    """When the model was last to say that it is still at it."""
    rounds: int = 0
    """Answers to tools since the caller's turn."""
    tries: int = 0
    """How often the answer that is due was refused."""
    failures: int = 0
    """How often in a row a response that the caller waits for failed."""
    interruptions: int = 0
    sounded: bool = False
    had_input: bool = False
    """Whether the caller has ever spoken or pressed a key."""
    wordless: int = 0
    """How often in a row the caller began to speak, and no words came of it."""
    unanswered: int = 0
    """Turns of the model while there was no input at all."""
    unattended: bool = False
    """Whether the caller has not answered since the model was to ask if anybody is there."""
    leaving: bool = False
    """Whether the program wants the call to end."""
    near: set[LimitKind] = field(default_factory=set)
    """Limits of cost for which `LimitNear` was emitted."""
    sequences: dict[str, Sequence] = field(default_factory=dict)
    withheld: bool = False
    """Whether the last event received is secret."""
    handover: Handover | None = None
    decided: Ending | None = None
    """The end that was decided; during a transfer, in case the transfer fails."""
    ended: CallEnded | None = None
    out: list[Effect] = field(default_factory=list)
    trace: deque[str] = field(default_factory=lambda: deque(maxlen=_TRACE))

    @property
    def unix(self) -> float:
        """Unix seconds at `now`."""
        return self.now + self.line.unix_ahead


strict = False
"""Whether a forbidden move raises. It does in tests; on a live call an assertion would be a dead agent."""


def move(s: CallState, to: Region, why: str) -> None:
    """Move a region, as `MOVES` allows it. Nothing else changes one."""
    name = _REGIONS[type(to)]
    before: Region = getattr(s, name)
    if before is to:
        return
    if to not in MOVES[before]:
        if strict:
            raise AssertionError(f"{name}: {before.name} -> {to.name} ({why})")
        _log.error("call %s: forbidden move of %s: %s to %s (%s)", s.call_id, name, before.value, to.value, why)
    line = f"{s.now:.3f} {name}: {before.name} -> {to.name} ({why})"
    s.trace.append(line)
    _log.debug("call %s: %s", s.call_id, line)
    setattr(s, name, to)


def is_over(s: CallState) -> bool:
    """Whether the call is over, so that nothing follows."""
    return s.end is End.OVER


def send(s: CallState, event: events.ClientEvent) -> None:
    """Send an event if the socket is open. What must arrive is in the ledger too, and sent again."""
    if s.socket is Socket.OPEN:
        s.out.append(Send(event))


def ask(s: CallState, name: str, event: events.ClientEvent, seconds: float | None = None, **facts: Any) -> Ask:
    """Record what is asked of the service, and send it if the socket is open."""
    asked = s.asks[name] = Ask(event, s.now, s.line.frames, **facts)
    if seconds is not None:
        s.timers.set(f"ask {name}", s.now + seconds)
    send(s, event)
    return asked


def answered(s: CallState, name: str) -> Ask | None:
    """Take what was asked for out of the ledger: it is done, refused or late."""
    s.timers.stop(f"ask {name}")
    return s.asks.pop(name, None)


Noted = TypeVar("Noted")


def remember(known: dict[str, Noted], name: str, what: Noted) -> bool:
    """Record something under its name in a bounded memory; return whether it is new."""
    if name in known:
        return False
    known[name] = what
    if len(known) > _REMEMBERED:
        del known[next(iter(known))]
    return True

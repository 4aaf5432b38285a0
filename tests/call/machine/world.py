"""A world around one call: a service, a network, a carrier, a program and a clock that do anything in any order.

What happens comes from bytes, four for each action, so that a run can be made smaller and be seen again. The shell
keeps its word: each thing that is to be carried out is carried out once and reported once, and there is one socket at
most. The service mostly answers what it is asked; and it does anything else as well. After each step everything is
checked that has to hold of the state and of what is to be carried out, and in the end the call has to end.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import wire

from realtime_sip import events
from realtime_sip.call.machine import core, effects, floor, inputs, state, tools, wants
from realtime_sip.call.machine.call_limits import CallLimits
from realtime_sip.call.machine.keypad import DigitCollector
from realtime_sip.call.machine.session import as_wanted, detection_of
from realtime_sip.call.machine.state import Called, End, Floor, Socket, Tool
from realtime_sip.call.machine.targets import TransferRequest, TransferTarget
from realtime_sip.call.machine.ticket import KeptEnding, Ticket
from realtime_sip.errors import (
    AuthenticationError,
    CallGoneError,
    DeadlineError,
    DecisionAlreadyMadeError,
    NetworkError,
    NotFoundError,
    RateLimitError,
    RealtimeSipError,
    ServerError,
    ServiceError,
)
from realtime_sip.items import UserMessage
from realtime_sip.outcomes import EndReason, SocketClose, SocketCloseKind, TransferFailureReason, TransferProgress
from realtime_sip.response import ResponseConfig
from realtime_sip.session import AudioConfig, AudioInput, RealtimeSession, SemanticVad, ServerVad

state.strict = True
T = TypeVar("T")
SIZE = 4
UNIX = 1_790_000_000.0

GONE = CallGoneError("no such call", status_code=404, code="call_id_not_found")
MISSING = NotFoundError("not found", status_code=404)
CONFLICT = ServiceError("conflict", status_code=409)
DECIDED = DecisionAlreadyMadeError("decided", status_code=400, code="decision_already_made")
BUSY = RateLimitError("too many", status_code=429)
FAILED = ServerError("failed", status_code=503)
UNSENT, SENT = NetworkError("no connection", sent=False), NetworkError("no answer", sent=True)
LATE = DeadlineError("too late", sent=True)
DENIED = AuthenticationError("no", status_code=401)
ERRORS: tuple[RealtimeSipError, ...] = (GONE, MISSING, CONFLICT, DECIDED, BUSY, FAILED, UNSENT, SENT, LATE, DENIED)
MAYBE_ACCEPTED = (FAILED, SENT, LATE)
"""Errors of an accept that may have been performed."""
CLOSES = tuple(SocketClose(kind, 1000) for kind in SocketCloseKind)
NO_LIMITS = CallLimits(max_duration=None, silence=None, first_sound=None, tool_rounds=None, no_audio=None)
TICKETS = (
    Ticket(at=UNIX - 5, began=UNIX - 60),
    Ticket(at=UNIX, began=UNIX - 60, attached=UNIX - 59, detection={"type": "server_vad"}, held=True),
    Ticket(
        at=UNIX - 5,
        began=UNIX - 60,
        attached=UNIX - 59,
        tools={
            "call call_a": Tool.RUNNING,
            "call call_b": Tool.RUNNING,
            "call call_c": Tool.SENT,
            "mcp item_m": Tool.RUNNING,
        },
        functions={"call_a": Called("item_a", "pay"), "call_b": Called("item_b", "look_up")},
        outputs={"call call_c": "item_c"},
        background={"call_d": "slow"},
        calling=("item_e",),
        seen=("call_a", "call_b", "call_c", "call_d"),
        detection={"type": "server_vad"},
        held=False,
    ),
    Ticket(at=UNIX - 5, began=UNIX - 60, attached=UNIX - 59, held=False, leaving=True),
    Ticket(
        at=UNIX - 5,
        began=UNIX - 60,
        attached=UNIX - 59,
        held=False,
        ending=KeptEnding(reason=EndReason.AGENT, evidence="the program hung up"),
    ),
)
"""What other workers may have known of a call."""
LIMITS = (
    NO_LIMITS,
    NO_LIMITS,
    NO_LIMITS,
    CallLimits(),
    CallLimits(max_duration=90, silence=20, first_sound=10, goodbye=None),
    CallLimits(max_duration=60, silence=None, max_cost=1, max_tokens=1000, tool_rounds=2),
)
OFF = AudioConfig(input=AudioInput(turn_detection=None))
SESSIONS = (
    RealtimeSession(instructions="Be kind."),
    RealtimeSession(),
    RealtimeSession(tool_choice="required"),
    RealtimeSession(audio=OFF),
    RealtimeSession(audio=AudioConfig(input=AudioInput(turn_detection=SemanticVad(eagerness="low")))),
    RealtimeSession(audio=AudioConfig(input=AudioInput(turn_detection=ServerVad(idle_timeout_ms=5000)))),
)
UPDATES = (
    RealtimeSession(instructions="Be brief."),
    RealtimeSession(audio=OFF),
    RealtimeSession(audio=AudioConfig(input=AudioInput(turn_detection=ServerVad(create_response=False)))),
    RealtimeSession(),
)
BESIDE = ResponseConfig(conversation="none")


class _Errors(logging.Handler):
    """What the core logs as an error: a forbidden move, or rules that do not come to rest."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.getMessage())


_errors = _Errors()
logging.getLogger("realtime_sip.call").addHandler(_errors)


class Fault(AssertionError):  # noqa: N818 - what the word says
    """Something that has to hold does not."""


def run(data: bytes) -> World:
    """Live through what these bytes say, and end it."""
    w = World(data[:SIZE])
    for at in range(SIZE, len(data) - SIZE + 1, SIZE):
        w.act(data[at : at + SIZE])
    w.end(data[:SIZE])
    return w


def smaller(data: bytes, fails: Callable[[bytes], bool]) -> bytes:
    """Return a shorter run that fails too."""
    size = max(len(data) // SIZE // 2, 1)
    while size:
        at, shorter = SIZE, False
        while at < len(data):
            tried = data[:at] + data[at + size * SIZE :]
            if fails(tried):
                data, shorter = tried, True
            else:
                at += size * SIZE
        size = size if shorter and size == 1 else size // 2
    return data


class World:
    """One call, and all that is around it."""

    def __init__(self, start: bytes) -> None:
        _errors.seen.clear()  # what other tests have logged in this process
        self._mix(start)
        self.now = 1000.0
        self.log: list[str] = []
        self.flying: list[Any] = []
        """What is being carried out."""
        self.up = False
        self.there = True
        """Whether the caller is on the line."""
        self.mood = "fair"
        self.detection: dict[str, Any] | None = None
        self.lied = False
        """Whether the core was told what the session is not, or not told what it is."""
        self.wire: deque[wire.Frame] = deque()
        self.script: deque[wire.Frame] = deque()
        """What the active response has still to send."""
        self.background: deque[wire.Frame] = deque()
        self.active = ""
        self.playing: deque[tuple[str, float]] = deque()
        self.plays_until = 0.0
        self.past: deque[wire.Frame] = deque(maxlen=30)
        self.recording: deque[wire.Frame] = deque()
        self.items: set[str] = set()
        self.count = 0
        self.connection = 0
        self.keys: dict[str, str] = {}
        """What was asked for under each key, until it is done."""
        self.done: set[str] = set()
        self.calls: list[str] = []
        self.ran: Counter[str] = Counter()
        self.output_ids: dict[str, str] = {}
        self.sent: set[tuple[int, str]] = set()
        self.owed: set[str] = set()
        """Calls whose output is to be followed by a response."""
        self.asked: tuple[str, float, int] | None = None
        self.requests: list[TransferRequest] = []
        self.referred: set[int] = set()
        self.fallen_back: set[int] = set()
        self.dialed = False
        self.performed = False
        """Whether an accept may have been performed that was ours."""
        self.refused = False
        self.sent_again: set[tuple[int, str]] = set()
        self.begun = False
        self.answered = False
        self.finished = False
        self.steps = self.spins = 0
        maybe = self.one((False, False, False, True))
        self.performed = maybe
        session, undisturbed = self.one(SESSIONS), self.one((False, False, False, True))
        self.detection = None if undisturbed else detection_of(session)
        self.s = core.start(
            session, self.one(LIMITS), now=self.now, unix=UNIX, maybe_accepted=maybe, greet_undisturbed=undisturbed
        )
        self.beginning = self.one(("open", "open", "open", "answer", "answer", "adopt", "stale"))
        match self.beginning:
            case "adopt":
                self.performed = True
                self.step(inputs.Adopt(self.one((None, *TICKETS)), frozenset({"look_up"})))
            case "stale" if self.one((True, False, False)):
                self.step(inputs.NoCaller())
            case _:
                self.step(inputs.Answer(self.one((0.0, 0.0, 60.0))))
        if self.beginning == "open":
            self.report(good=True)
            self.now += 0.5
            self.report(good=True)
        elif self.one((True, *[False] * 5)):
            self.step(inputs.Fail("the handler failed") if self.below(2) else inputs.Hangup())

    # --- choosing -----------------------------------------------------------------------------------------------------

    def _mix(self, action: bytes) -> None:
        self._chance = int.from_bytes(action, "little")

    def below(self, most: int) -> int:
        self._chance = (self._chance * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
        return (self._chance >> 8) % most

    def one(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}_{self.count}"

    def response_id(self) -> str:
        known = [self.active, self.s.active, *list(self.s.book.open)[-3:], *list(self.s.book.responses)[-3:]]
        return self.one([*filter(None, known), f"resp_x{self.below(6)}"])

    def item_id(self) -> str:
        known = [name.partition(" ")[2] for name in [*self.s.asks, *self.s.tools] if " " in name]
        return self.one([*known[:4], f"item_x{self.below(6)}"])

    def call_id(self) -> str:
        known = [name.removeprefix("call ") for name in self.s.tools]
        return self.one([*known[:4], f"call_x{self.below(6)}"])

    def key(self) -> str | None:
        asked = [one.event.event_id for one in self.s.asks.values()]
        return self.one([None, None, "event_x", *asked[:4], *list(self.s.session.updates)[:2], *list(self.keys)[:2]])

    def tag(self) -> str | None:
        speech = [key for key, kind in self.keys.items() if kind == "respond"]
        wanted = [want.key for want in self.s.wants]
        return self.one([None, None, "key_x", *speech[:2], *wanted[:2], *_key(self.s)])

    # --- one step, and what has to hold -------------------------------------------------------------------------------

    def step(self, what: inputs.Input) -> None:
        s, over = self.s, self.s.end is End.OVER
        self.steps += 1
        held = {name for name, asked in s.asks.items() if asked.tool}
        self.log.append(f"{self.now:9.2f} {what!r:.300}")
        out = core.step(s, what, self.now)
        self.log += [f"            {effect!r:.300}" for effect in out]
        if over and out:
            raise Fault(f"something follows the end: {out}")
        if isinstance(what, inputs.ToolEnded) and what.respond and not s.leaving:
            self.owed |= {asked.tool for name, asked in s.asks.items() if asked.tool and name not in held}
        if isinstance(what, inputs.Received) and what.event.type == "response.created":
            self.owed.clear()
        spins = isinstance(what, inputs.Tick) and s.timers.next is not None and s.timers.next <= self.now
        self.spins = self.spins + 1 if spins else 0
        if self.spins > 3:
            raise Fault(f"time stands still: {s.timers}")
        for effect in out:
            if self.finished:
                raise Fault(f"{effect} follows the end")
            self.carry_out(effect)
        self.check()

    def carry_out(self, effect: effects.Effect) -> None:
        s = self.s
        match effect:
            case effects.Send(event):
                if not self.up:
                    raise Fault(f"sent without a socket: {event!r}")
                self.sending(event)
                self.service(event)
            case effects.Done(key, value):
                if key in self.done:
                    raise Fault(f"done twice: {key}")
                self.done.add(key)
                self.keys.pop(key, None)
                if key == "answer":
                    self.answered = value is None
                    self.finished = value is not None
            case effects.Finish(ended):
                self.finished = True
                if s.ended is not ended:
                    raise Fault("it ended in another way")
                given = "took the call over" in ended.evidence
                if ended.reason is EndReason.DETACHED and s.hold.reasons and not s.leaving and not given:
                    raise Fault(f"let go of with turn detection held: {s.hold.reasons}")
            case effects.RunTool(call_id) | effects.AskApproval(call_id):
                self.ran[call_id] += 1
                if self.ran[call_id] > 1:
                    raise Fault(f"run twice: {call_id}")
                self.flying.append(effect)
            case effects.Tell():
                if type(effect.what).__name__ == "Escalation":
                    self.owed.clear()
            case effects.Refer(request):
                self.once(self.referred, request)
                self.dialed = False
                self.flying.append(effect)
            case effects.Fallback(request):
                self.once(self.fallen_back, request)
                if self.dialed:
                    raise Fault("dialed twice")
                self.flying.append(effect)
            case effects.HangUp():
                if s.end is End.TRANSFERRING:
                    raise Fault("hung up during a transfer")
                if self.refused:
                    raise Fault("hung up a call that is somebody else's")
                self.flies(effect)
            case _:
                self.flies(effect)

    def flies(self, effect: effects.Effect) -> None:
        if effect in self.flying:
            raise Fault(f"asked for twice: {effect}")
        if isinstance(effect, effects.Attach) and self.up:
            raise Fault("two sockets")
        self.flying.append(effect)

    def once(self, known: set[int], request: TransferRequest) -> None:
        if id(request) in known:
            raise Fault(f"twice: {request.name}")
        known.add(id(request))

    def sending(self, event: events.ClientEvent) -> None:
        """Check what is sent."""
        match event:
            case events.ConversationItemCreate(item=item) if type(item).__name__ == "FunctionCallOutput":
                call_id: str = getattr(item, "call_id", "")
                if getattr(item, "output", "") == tools.NOT_TAKEN:  # in the place of one that was refused again
                    call_id += " instead"
                one = self.output_ids.setdefault(call_id, str(item.id))
                if one != item.id:
                    raise Fault(f"two outputs of {call_id}")
                if (self.connection, one) in self.sent:
                    if (self.connection, one) in self.sent_again:
                        raise Fault(f"answered more than once after a refusal: {call_id}")
                    self.sent_again.add((self.connection, one))
                self.sent.add((self.connection, one))
            case events.ResponseCreate() if self.s.asks.get("response") and event.event_id in _key(self.s):
                before = self.asked
                if before is not None and before[2] == self.connection and self.now < before[1] + floor.UNKNOWN:
                    raise Fault(f"asked for two responses at a time: {before[0]}, {event.event_id}")
                self.asked = str(event.event_id), self.now, self.connection
                self.owed.clear()
            case events.ResponseCreate(response=config) if config is None or config.conversation != "none":
                if self.s.end is not End.OVER and event.event_id not in self.by_program:
                    raise Fault(f"a response that is not in the ledger: {event!r}")

    by_program: frozenset[str] = frozenset({"by_program"})

    def check(self) -> None:
        """Check what has to hold of any state."""
        s = self.s
        if _errors.seen:
            problem = _errors.seen[0]
            _errors.seen.clear()
            raise Fault(problem)
        timers = s.timers._at
        if s.timers.next != min(timers.values(), default=None):
            raise Fault("the next timer is another")
        if s.end is End.OVER:
            if timers or s.asks or s.wants or s.sequences:
                raise Fault(f"left after the end: {s.timers} {[*s.asks]} {[*s.wants]} {[*s.sequences]}")
            if not self.finished:
                raise Fault("over, and nobody was told")
            return
        going = s.socket is Socket.AWAY or any(isinstance(effect, effects.DropSocket) for effect in self.flying)
        if self.up is not (s.socket is Socket.OPEN) and not (self.up and going):
            raise Fault(f"the socket is {'open' if self.up else 'closed'}, and said to be {s.socket}")
        for problem in self.problems():
            raise Fault(problem)
        if self.steps % 8 == 0:
            repr(s)

    def problems(self) -> list[str]:
        s, found = self.s, []
        timers = s.timers._at
        flying = {type(effect).__name__ for effect in self.flying}

        def waits(holds: bool, what: str) -> None:
            if holds:
                found.append(f"a wait without a timer: {what}; {s.timers}; flying {sorted(flying)}")

        for name in s.asks:
            waits(f"ask {name}" not in timers, f"ask {name}")
        for name in timers:
            kind, _, rest = name.partition(" ")
            if kind not in core._TIMERS:
                found.append(f"a timer of no kind: {name}")
            if kind == "ask" and rest not in s.asks:
                found.append(f"a timer for nothing: {name}")
            if kind == "tool" and s.tools.get(rest) is not Tool.RUNNING:
                found.append(f"a timer for nothing: {name}")
            if kind == "sequence" and rest not in s.sequences:
                found.append(f"a timer for nothing: {name}")
        waits(s.floor is Floor.MODEL and "active" not in timers, "a response")
        waits(s.floor is Floor.UNKNOWN and "unknown" not in timers, "what the floor is")
        waits(s.floor is Floor.ASKED and "response" not in s.asks, "what was asked for")
        waits(s.floor is Floor.IDLE and "response" in s.asks, "idle, and asked")
        waits(bool(s.active) is not (s.floor is Floor.MODEL), f"active {s.active!r} at {s.floor}")
        waits(bool(s.book.open) and "heard" not in timers, "what is heard")
        match s.socket:
            case Socket.RINGING:
                waits(s.end is not End.ENDING and not {"Accept", "Reject"} & flying and self.begun, "ringing")
            case Socket.ATTACHING:
                waits(not {"Attach", "Reject", "Accept"} & flying and "attach" not in timers, "attaching")
            case Socket.OPEN:
                waits(
                    not {"silent", "proof", "awaited"} & timers.keys() and "DropSocket" not in flying, "the open socket"
                )
            case Socket.LOST:
                waits(s.end is End.NONE, "a lost socket")
        waits(
            s.end is End.ENDING and "HangUp" not in flying and not {"hangup", "closing"} & timers.keys(), "hanging up"
        )
        if s.end is End.TRANSFERRING:
            checked = s.handover is not None and s.handover.there is False
            checks = s.socket in (Socket.ATTACHING, Socket.AWAY) or "proof" in timers or "DropSocket" in flying
            waits(not {"transfer", "sequence transfer"} & timers.keys() and not (checked and checks), "a transfer")
        if (s.handover is not None) is not (s.end is End.TRANSFERRING):
            found.append(f"{s.handover} while {s.end}")
        for key, sequence in s.sequences.items():
            waits(sequence.seconds is not None and f"sequence {key}" not in timers, f"sequence {key}")
        collector = s.digits.collector
        waits(collector is not None and "digits" not in s.sequences, "digits")
        if collector is not None and timers.get("digits") != collector.deadline:
            found.append("the deadline for digits is another")
        carried = {want.key for want in s.wants} | {asked.want.key for asked in s.asks.values() if asked.want}
        carried |= {name.removeprefix("beside ") for name in s.asks}
        carried |= {each.key for each in s.book.open.values() if each.key is not None}
        for key, kind in self.keys.items():
            waits(kind == "respond" and s.end is not End.ENDING and self.begun and key not in carried, f"speech {key}")
        open_ = s.socket is Socket.OPEN and s.end is not End.ENDING
        if open_:
            waits(not as_wanted(s.hold) and "hold" not in timers and s.hold.tries < 12, "a hold")
            free = s.floor is Floor.IDLE and not {"caller", "own"} & timers.keys()
            if free and any(want.despite_hold or not s.hold.on for want in s.wants):
                found.append("something is to be said, and is not asked for")
            due = not s.hold.on and not tools.tools_hold(s) and "again" not in timers and tools.to_answer(s)
            if free and due:
                found.append(f"not answered: {s.tools}")
            counts = s.limits.silence is not None and s.end is End.NONE and "limit" not in s.sequences
            if counts and not wants.busy(s) and "limit silence" not in timers:
                found.append("silence is not counted")
        for what, size, most in (
            ("trace", len(s.trace), 64),
            ("seen", len(s.seen), 512),
            ("told", len(s.told), 512),
            ("calling", len(s.calling), 100),
            ("updates", len(s.session.updates), 100),
            ("book", len(s.book.responses), 2000),
            ("open responses", len(s.book.open), 33),
        ):
            if size > most:
                found.append(f"{what} grows: {size}")
        return found

    # --- the shell ----------------------------------------------------------------------------------------------------

    def report(self, *, good: bool) -> None:
        """Report what came of something that is being carried out."""
        if not self.flying:
            return
        effect = self.flying.pop(self.below(len(self.flying)))
        error = None if good else self.one(ERRORS)
        match effect:
            case effects.Accept():
                self.performed = self.performed or error is None or error in MAYBE_ACCEPTED
                if error in (CONFLICT, DECIDED) and not self.performed:
                    self.refused = True
                self.begun = True
                self.step(inputs.Accepted() if error is None else inputs.AcceptFailed(error))
            case effects.Reject():
                self.step(inputs.Rejected(error))
            case effects.Attach():
                error = GONE if not self.there and error is None else error
                if error is None:
                    self.up = not self.finished
                    self.connection += 1
                    self.wire.clear()
                self.step(inputs.Attached() if error is None else inputs.AttachFailed(error))
            case effects.DropSocket():
                self.close(
                    self.one((SocketClose(SocketCloseKind.OURS, 1000), SocketClose(SocketCloseKind.DROPPED, 1006)))
                )
            case effects.HangUp():
                self.step(inputs.HungUp() if error is None else inputs.HangupFailed(error))
            case effects.Refer(request):
                self.step(inputs.Referred(request) if error is None else inputs.ReferFailed(request, error))
            case effects.Fallback(request):
                if error is None:
                    # The shell gives a fallback ten seconds; this one may be of a transfer that was given up since.
                    of = self.s.handover
                    self.dialed = self.dialed or (of is not None and of.request is request)
                    self.step(inputs.FallbackTaken(request))
                else:
                    self.step(inputs.FallbackFailed(request, "no"))
            case effects.RunTool(call_id):
                self.step(inputs.ToolEnded(call_id, "fine", respond=self.one((True, True, True, False))))
            case effects.AskApproval(request_id):
                self.step(inputs.ApprovalDecided(request_id, approve=good))

    def close(self, close: SocketClose) -> None:
        if not self.up:
            return
        self.up = False
        self.wire.clear()
        self.flying = [effect for effect in self.flying if not isinstance(effect, effects.DropSocket)]
        self.step(inputs.Closed(close, cut_off=self.one((False, False, True))))

    def receive(self, frame: wire.Frame, *, honest: bool = False) -> None:
        if not self.up:
            return
        self.lied = self.lied or ("session" in frame and not honest)
        self.past.append(frame)
        event = wire.parsed(frame)
        shown = frame.get("response") if event.type in ("response.created", "response.done") else frame.get("error")
        if isinstance(shown, dict) and self.asked is not None:
            metadata = shown.get("metadata")
            tag = metadata.get("realtime_sip") if isinstance(metadata, dict) else None
            cause = shown.get("event_id") if isinstance(shown.get("event_id"), str) else ""
            if self.asked[0] in (tag, cause) or (not cause and shown.get("code") == floor.BUSY):
                self.asked = None
        self.step(inputs.Received(event))

    # --- the service --------------------------------------------------------------------------------------------------

    def say(self, kind: str, **fields: Any) -> None:
        if self.up:
            self.wire.append({"type": kind, "event_id": "event_1", **fields})

    def service(self, event: events.ClientEvent) -> None:
        """Have the service answer what it was sent."""
        mood = self.mood
        if mood == "deaf" or (mood == "odd" and self.below(3) == 0):
            return
        if mood == "odd" and self.below(3) == 0:
            self.refuse(event, self.one(("invalid_value", floor.BUSY, "item_not_found")))
            return
        match event:
            case events.SessionUpdate(session=session):
                heard = session.audio.input if session.audio is not None else None
                if heard is not None and "turn_detection" in heard.model_fields_set:
                    detection = heard.turn_detection
                    self.detection = None if detection is None else detection.to_wire()
                self.say("session.updated", session={"audio": {"input": {"turn_detection": self.detection}}})
            case events.ConversationItemCreate(item=item):
                if str(item.id) in self.items:
                    self.refuse(event, "item_already_exists")
                else:
                    self.items.add(str(item.id))
                    self.say("conversation.item.added", item=item.to_wire())
                    self.say("conversation.item.done", item=item.to_wire())
            case events.ConversationItemRetrieve(item_id=item_id):
                self.say("conversation.item.retrieved", item={**wire.item(self), "id": item_id})
            case events.ResponseCreate(event_id=key, response=config):
                outside = config is not None and config.conversation == "none"
                if self.active and not outside:
                    self.refuse(event, floor.BUSY)
                else:
                    self.respond(key, outside=outside)
            case events.ResponseCancel():
                if self.active:
                    self.script.clear()
                    self.say("response.done", response=self.shown(self.active, "cancelled"))
                    self.active = ""
                else:
                    self.refuse(event, "response_cancel_not_active")
            case events.OutputAudioBufferClear() if self.playing:
                self.say("output_audio_buffer.cleared", response_id=self.playing[0][0])
                self.playing.clear()
            case _:
                pass

    def refuse(self, event: events.ClientEvent, code: str) -> None:
        named = event.event_id if self.below(8) else None
        self.say("error", error={"type": "invalid", "message": "no", "code": code, "event_id": named})

    def shown(self, response_id: str, status: str, *output: wire.Frame, audio: int = 0, **more: Any) -> wire.Frame:
        shown = {"id": response_id, "status": status, "conversation_id": "conv_1", "output": [*output], **more}
        return {**shown, "usage": wire.usage(audio)} if status != "in_progress" else shown

    def respond(self, key: str | None, *, outside: bool = False) -> None:
        """Make a response."""
        response_id = self.name("resp")
        more: dict[str, Any] = {"conversation_id": None} if outside else {}
        if key is not None and not (self.mood == "odd" and self.below(4) == 0):
            more["metadata"] = {"realtime_sip": key}
        self.say("response.created", response=self.shown(response_id, "in_progress", **more))
        kind = self.one(("says", "says", "says", "calls", "calls twice", "mcp", "approval", "failed", "cut", "empty"))
        script: list[tuple[str, dict[str, Any]]] = []
        output, status, audio = [], "completed", 0
        part = {"response_id": response_id, "item_id": self.name("item"), "output_index": 0, "content_index": 0}
        if kind in ("says", "cut", "calls twice") and not outside:
            audio = self.one((20, 60, 400, 900))
            script += [("response.output_audio_transcript.delta", {**part, "delta": "x" * (audio // 4)})] * 2
            script += [("output_audio_buffer.started", {"response_id": response_id, "seconds": audio / 20})]
            output.append({**wire.item(self, "message"), "id": part["item_id"], "status": "completed"})
        for _ in range({"calls": 1, "calls twice": 2}.get(kind, 0)):
            call = {**wire.item(self, "function_call"), "id": self.name("item"), "call_id": self.name("call")}
            for step in ("in_progress", "completed"):
                item = {**call, "status": step}
                added = "response.output_item." + ("added" if step == "in_progress" else "done")
                script += [(added, {"response_id": response_id, "output_index": 0, "item": item})]
            output.append(item)
        if kind == "approval":
            output.append({**wire.item(self, "mcp_approval_request"), "id": self.name("item")})
        if kind == "mcp":
            output.append({**wire.item(self, "mcp_call"), "id": self.name("item")})
            for step in ("in_progress", self.one(("completed", "failed"))):
                frame = {"item_id": output[-1]["id"], "output_index": 0, "event_id": "event_1"}
                self.background.append({"type": f"response.mcp_call.{step}", **frame})
        if kind == "failed":
            status, more["status_details"] = "failed", {"error": {"code": self.one(("server_error", "billing_hard"))}}
        if kind == "cut":
            status, more["status_details"] = "incomplete", {"reason": "max_output_tokens"}
        script.append(("response.done", {"response": self.shown(response_id, status, *output, audio=audio, **more)}))
        if outside:
            for kind, fields in script:
                self.say(kind, **fields)
        else:
            self.active = response_id
            self.script = deque({"type": kind, "event_id": "event_1", **fields} for kind, fields in script)

    def go_on(self) -> None:
        """Have the service do the next thing that it is about to do."""
        if self.script:
            frame = self.script.popleft()
            if not self.script:
                self.active = ""
            if frame["type"] == "output_audio_buffer.started":
                self.playing.append((frame["response_id"], frame["seconds"]))
                if len(self.playing) > 1:
                    return
                self.plays_until = self.now + frame["seconds"]
            if self.up:
                self.wire.append(frame)
        elif self.background:
            frame = self.background.popleft()
            if self.up:
                self.wire.append(frame)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        while self.playing and self.now >= self.plays_until:
            self.say("output_audio_buffer.stopped", response_id=self.playing.popleft()[0])
            if self.playing:
                self.say("output_audio_buffer.started", response_id=self.playing[0][0])
                self.plays_until += self.playing[0][1]

    # --- what may happen ----------------------------------------------------------------------------------------------

    def act(self, action: bytes) -> None:
        """Do one thing."""
        self._mix(action)
        self.pass_time(_PAUSES[action[3] % len(_PAUSES)])
        _ACTIONS[action[0] % len(_ACTIONS)](self)

    def deliver(self) -> None:
        for _ in range(self.one((1, 1, 2, 4, 8))):
            if not self.wire:
                self.go_on()
            if self.wire:
                self.receive(self.wire.popleft(), honest=True)

    def lose(self) -> None:
        if not self.wire:
            self.go_on()
        if self.wire:
            self.lied = "session" in self.wire.popleft() or self.lied

    def reorder(self) -> None:
        self.go_on()
        if len(self.wire) > 1:
            at = self.below(len(self.wire))
            frame = self.wire[at]
            del self.wire[at]
            self.receive(frame)

    def repeat(self) -> None:
        if self.past:
            self.receive(self.one(self.past))

    def mangle(self) -> None:
        if not self.wire:
            self.go_on()
        if self.wire:
            self.receive(wire.mangled(self, self.wire.popleft()))

    def anything(self) -> None:
        self.receive(wire.documented(self, self.one(wire.KINDS)))

    def anything_mangled(self) -> None:
        self.receive(wire.mangled(self, wire.documented(self, self.one(wire.KINDS))))

    def anything_unknown(self) -> None:
        frame = wire.documented(self, self.one(wire.KINDS))
        self.receive({**frame, "type": self.one(wire.UNKNOWN)})

    def a_recording(self) -> None:
        recordings = wire.recorded()
        if recordings and not self.recording:
            self.recording.extend(self.one(recordings))
        for _ in range(self.one((1, 3, 10))):
            if self.recording:
                self.receive(self.recording.popleft())

    def tick(self) -> None:
        due = self.s.timers.next
        if due is not None and due > self.now:
            self.pass_time(due - self.now)
        self.step(inputs.Tick())

    def tick_early(self) -> None:
        self.step(inputs.Tick())

    def tick_late(self) -> None:
        self.pass_time(self.one((1.0, 5.0, 12.0, 30.0, 61.0, 130.0)))
        self.step(inputs.Tick())

    def well(self) -> None:
        self.report(good=True)

    def badly(self) -> None:
        self.report(good=False)

    def lost(self) -> None:
        self.close(self.one(CLOSES))

    def flaps(self) -> None:
        """Have sockets open, and close at once."""
        close = self.one(CLOSES)
        for _ in range(self.one((2, 4, 6))):
            self.close(close)
            if not any(isinstance(effect, effects.Attach) for effect in self.flying):
                self.tick()
            self.report(good=True)

    def all_is_well(self) -> None:
        """Have everything go as it should, for a while."""
        for _ in range(self.one((5, 10, 30))):
            self.elapse(good=True)

    def caller_goes(self) -> None:
        self.there = False
        if self.below(3):
            self.close(self.one(CLOSES[1:]))

    def caller_speaks(self) -> None:
        item_id = self.name("item")
        self.say("input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=1)
        if self.playing:
            self.say("output_audio_buffer.cleared", response_id=self.playing[0][0])
            self.playing.clear()

    def caller_stops(self) -> None:
        item_id = self.name("item")
        self.say("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=1)
        self.say("input_audio_buffer.committed", item_id=item_id)
        if _creates(self.detection) and not self.active:
            self.respond(None)

    def caller_presses(self) -> None:
        self.say("input_audio_buffer.dtmf_event_received", event=self.one("0123456789*#"), received_at=1)

    def service_changes(self) -> None:
        self.mood = self.one(("fair", "fair", "odd", "deaf"))

    def service_responds(self) -> None:
        if not self.active:
            self.respond(None)

    # --- the program --------------------------------------------------------------------------------------------------

    def wish(self, kind: str) -> str:
        key = self.name(kind)
        self.keys[key] = kind
        return key

    def program(self, what: Callable[[], inputs.Input]) -> None:
        if self.answered:
            self.step(what())

    def responds(self) -> None:
        words = self.one((None, "Greet the caller."))
        self.program(lambda: inputs.Respond(self.wish("respond"), words))

    def responds_beside(self) -> None:
        self.program(lambda: inputs.Respond(self.wish("respond"), None, BESIDE))

    def interrupts(self) -> None:
        self.program(inputs.Interrupt)

    def updates(self) -> None:
        self.program(lambda: inputs.Update(self.wish("update"), self.one(UPDATES)))

    def sends(self) -> None:
        of_program: tuple[events.ClientEvent, ...] = (
            events.SessionUpdate(session=self.one(UPDATES)),
            events.InputAudioBufferClear(),
            events.ConversationItemCreate(item=UserMessage.text("Hello.")),
            events.ResponseCreate(event_id="by_program"),
        )
        self.program(lambda: inputs.SendEvent(self.one(of_program)))

    def collects(self) -> None:
        collector = DigitCollector(
            max_digits=self.one((1, 2, 4)), terminator=self.one(("#", None)), timeout=10, inter_digit_timeout=3
        )
        prompt = self.one((None, "Ask for the number."))
        flags = self.one((True, False)), self.one((True, False))
        self.program(lambda: inputs.Collect(self.wish("collect"), collector, prompt, *flags))

    def transfers(self) -> None:
        target = TransferTarget("tel:+14155550123", ring_time=self.one((10.0, 35.0)))
        request = TransferRequest(call_id="rtc_1", name=self.name("desk"), target=target)
        self.requests.append(request)
        self.program(
            lambda: inputs.Transfer(
                self.wish("transfer"),
                request,
                self.one((None, "Tell the caller.")),
                self.one((True, False)),
                self.one((True, False)),
                self.one((True, False)),
                refer_within=5.0 if len(self.s.trace) % 2 else None,
            )
        )

    def hangs_up(self) -> None:
        what = self.one((inputs.Hangup(), inputs.Hangup(after_speech=True), inputs.Hangup(goodbye="Say goodbye.")))
        if self.begun:
            self.step(what)

    def fails(self) -> None:
        if self.begun or self.below(4) == 0:
            self.step(inputs.Fail("the handler failed"))

    def lets_go(self) -> None:
        self.program(lambda: inputs.LetGo(self.wish("let go")))

    def hands_over(self) -> None:
        self.program(lambda: inputs.HandOver(self.wish("hand over")))

    def keeps(self) -> None:
        self.program(inputs.Kept)

    def gives(self) -> None:
        if self.s.socket is Socket.AWAY or self.below(4) == 0:
            self.program(inputs.Taken)

    def abandons(self) -> None:
        keys = [key for key, kind in self.keys.items() if kind in ("update", "collect")]
        if keys:
            key = self.one(keys)
            del self.keys[key]
            self.program(lambda: inputs.Abandon(key))

    def outputs(self) -> None:
        call_id = self.call_id()
        if " " not in call_id:
            self.program(lambda: inputs.ToolEnded(call_id, "by hand", respond=self.one((True, False))))

    def decides(self) -> None:
        self.program(lambda: inputs.ApprovalDecided(self.item_id(), approve=self.one((True, False))))

    def spends(self) -> None:
        cost = self.one((None, Decimal("0.1"), Decimal("0.85"), Decimal(2)))
        self.program(lambda: inputs.Spent(cost, cost, self.one((0, 100, 900, 2000))))

    def carrier_says(self) -> None:
        says = self.one((*TransferProgress, *TransferFailureReason))
        of = self.s.handover
        if isinstance(says, TransferProgress) and says >= TransferProgress.ASKED and of is not None and of.begun:
            self.dialed = True
        self.step(inputs.CarrierSays(says))

    def caller_left(self) -> None:
        self.step(inputs.CallerLeft())
        if self.s.end not in (End.ENDING, End.OVER):
            raise Fault(f"the caller is gone, and the call goes on: {self.s.end}")
        self.there = self.one((False, False, True))  # reports may be wrong

    # --- the end ------------------------------------------------------------------------------------------------------

    def end(self, how: bytes) -> None:
        """Let time run out: everything that was asked for comes to something, and the call ends."""
        self._mix(how[::-1] + b"\x01")
        way = self.one(("calm", "calm", "hang up", "nobody answers"))
        self.begun = True
        # A host waits for another worker only so long.
        for key in [key for key, kind in self.keys.items() if kind == "hand over"]:
            del self.keys[key]
            self.step(inputs.Abandon(key))
        self.step(inputs.Kept())
        if way == "calm":
            self.be_calm()
        self.mood = "deaf" if way == "nobody answers" else "fair"
        if self.s.end is not End.OVER:
            self.step(self.one((inputs.Hangup(), inputs.Hangup(after_speech=True), inputs.Hangup(goodbye="Bye."))))
        for _ in range(600):
            if self.s.end is End.OVER:
                break
            self.elapse(good=way != "nobody answers")
        else:
            raise Fault(f"it does not end: {self.s!r}")
        while self.flying:
            self.report(good=self.one((True, False)))
        for what in (
            inputs.Tick(),
            inputs.HungUp(),
            inputs.Respond("late"),
            inputs.CarrierSays(TransferProgress.ANSWERED),
            inputs.CallerLeft(),
        ):
            self.step(what)
        ended = self.s.ended
        if ended is not None and ended.reason is EndReason.TRANSFERRED and not self.requests:
            raise Fault("transferred, though nobody asked for it")

    def elapse(self, *, good: bool) -> None:
        """Let everything that is about to happen happen, until the next timer."""
        if self.flying:
            if not good:
                self.pass_time(5.0)
            hears = good or isinstance(self.flying[0], (effects.DropSocket, effects.Attach))
            self.report(good=hears and (good or self.below(2) == 0))
        elif good and self.up and (self.wire or self.script or self.background):
            self.deliver()
        else:
            self.tick()

    def be_calm(self) -> None:
        """Let the world be as it should be for a while: then nothing is left to be done."""
        self.mood = "fair"
        until = self.now + 600.0
        for _ in range(2000):
            if self.s.end is End.OVER or self.now > until:
                break
            self.elapse(good=True)
            if not self.flying and self.s.timers.next is None:
                break
        s = self.s
        if s.end is not End.NONE:
            return
        left = [*s.asks, *s.wants, *tools.to_answer(s), *s.sequences, *s.hold.reasons, *self.keys, *self.owed]
        if not as_wanted(s.hold) and s.hold.tries < 12:
            left.append("turn detection")
        if not self.lied and s.hold.tries < 12 and _creates(self.detection) is not _creates(s.hold.own):
            left.append(f"turn detection is {self.detection}, and was {s.hold.own}")
        if left or s.floor is not Floor.IDLE or s.socket is not Socket.OPEN:
            raise Fault(f"not at rest: {left}, {s.floor}, {s.socket}; {s.timers}")


def _creates(detection: dict[str, Any] | None) -> bool:
    return detection is not None and detection.get("create_response") is not False


def _key(s: state.CallState) -> tuple[str | None, ...]:
    asked = s.asks.get("response")
    return () if asked is None else (asked.event.event_id,)


_PAUSES = (0.0, 0.0, 0.0, 0.0, 0.01, 0.05, 0.1, 0.3, 0.6, 1.0, 2.0, 5.0)
_WEIGHTS: tuple[tuple[int, Callable[[World], None]], ...] = (
    (40, World.deliver),
    (30, World.well),
    (10, World.badly),
    (20, World.tick),
    (5, World.tick_early),
    (5, World.tick_late),
    (4, World.lose),
    (4, World.reorder),
    (4, World.repeat),
    (4, World.mangle),
    (14, World.anything),
    (6, World.anything_mangled),
    (3, World.anything_unknown),
    (4, World.a_recording),
    (8, World.lost),
    (3, World.flaps),
    (3, World.all_is_well),
    (1, World.caller_goes),
    (8, World.caller_speaks),
    (8, World.caller_stops),
    (6, World.caller_presses),
    (3, World.service_changes),
    (8, World.service_responds),
    (10, World.responds),
    (4, World.responds_beside),
    (3, World.interrupts),
    (4, World.updates),
    (4, World.sends),
    (4, World.collects),
    (5, World.transfers),
    (2, World.hangs_up),
    (1, World.fails),
    (1, World.lets_go),
    (2, World.hands_over),
    (2, World.keeps),
    (1, World.gives),
    (2, World.abandons),
    (3, World.outputs),
    (2, World.decides),
    (3, World.spends),
    (8, World.carrier_says),
    (2, World.caller_left),
)
_ACTIONS = tuple(action for weight, action in _WEIGHTS for _ in range(weight))

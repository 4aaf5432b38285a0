"""The state machine of a call: one state, and one function through which everything that happens to the call passes.

    step(state, what, now) -> effects

`what` is an input (`inputs`): what the service says, what came of a request, what the program wants, and that time has
passed. Its handler notes it in the state. Then the rules derive what follows from the state as it is, until nothing
more follows. What is to be carried out is returned as effects (`effects`), in order. The shell (`call.runtime`) carries
them out and reports the results through the same function.

    step(s, Answer(), 0.0)                 -> [Accept()]               `socket`: the call is accepted,
    step(s, Accepted(), 0.2)               -> [Attach()]               and attached, if it must be for 8 s
    step(s, Attached(), 0.8)               -> [Done("answer", None), Send(session.update)]
    step(s, Respond("speech_1", …), 0.8)   -> [Send(response.create)]  `wants`: nothing else is being said
    step(s, Received(response.created), 1) -> []                       `floor`: the model has it
    step(s, Closed(close), 9.0)            -> [Attach()]               `socket`: a closed socket is not the end

Each concern has its room, with whichever it needs of handlers of inputs, of events by their type, of timers by their
name, and rules:

    socket     accepting; attaching; attaching again for up to 15 s after a close; whether a call that is gone has ended
    floor      the responses of the service, the caller's turns, refusals
    wants      what we want to be said, and when it is its turn; the answer to tools
    tools      function calls and calls of MCP servers, from the call to the answer
    progress   what is said while a tool takes long; tools in the background
    session    which updates were taken; turn detection that is switched off for a while
    handover   a transfer: the refer, the fallback, what proves that it succeeded
    digits     keys that are collected
    limits     when the call is ended automatically
    hearing    whether anybody hears anybody
    ending     hanging up, again and again if it must be; how the call ended
    takeover   a call that goes from one worker to another, with its ticket
    refusals   what the service did not do, told to the program

A wait is a timer with a name (`timers`). It runs out when a `Tick` says so; anything that arrived in the meantime is
handled first. What takes several steps is a generator (`sequences`). What was asked of the service is in one ledger
(`state.Ask`) until it is seen done, refused or late; after the sideband was lost it is sent again from there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from realtime_sip import events
from realtime_sip.call.machine import (
    digits,
    ending,
    floor,
    handover,
    hearing,
    inputs,
    limits,
    progress,
    sequences,
    session,
    socket,
    takeover,
    tools,
    wants,
)
from realtime_sip.call.machine.call_limits import CallLimits
from realtime_sip.call.machine.effects import Effect
from realtime_sip.call.machine.keypad import Digits
from realtime_sip.call.machine.state import CallState, Hold, Line, Session, answered, is_over
from realtime_sip.session import RealtimeSession

_log = logging.getLogger("realtime_sip.call")

_MAX_ROUNDS = 100


def start(
    session_: RealtimeSession,
    limits_: CallLimits,
    *,
    now: float,
    unix: float,
    call_id: str = "",
    maybe_accepted: bool = False,
    greet_undisturbed: bool = False,
) -> CallState:
    """Return the state of a ringing call.

    Args:
        session_: What it is to be accepted with.
        limits_: The limits at which it is ended.
        now: The time of a clock that only goes forward.
        unix: The wall clock at the same moment.
        call_id: What the log calls it.
        maybe_accepted: Whether a program that died may have accepted it.
        greet_undisturbed: Whether it is accepted without turn detection, which comes back after the first speech.
    """
    own = session.detection_of(session_)
    off = greet_undisturbed and own is not None
    state = CallState(
        limits=limits_,
        line=Line(began=now, unix_ahead=unix - now, maybe_accepted=maybe_accepted, frame_at=now),
        hold=Hold(own, {"greeting"} if off else set(), there=off, off=off, asked=off),
        session=Session(
            instructions=session_.instructions_text(),
            has_prompt=session_.prompt is not None,
            forces_tools=session.forces_tools(session_.tool_choice),
            transcribes=session.transcribes(session_),
            speaks="audio" in (session_.output_modalities or ["audio"]),
        ),
        digits=Digits(),
        now=now,
        call_id=call_id,
    )
    if off:
        sequences.start(state, "greeting", wants.greeting(state))
    return state


def step(s: CallState, what: inputs.Input, now: float) -> list[Effect]:
    """Record what happened, and return what is to be done now, in order. This is the one way in.

    After the call has ended, inputs do nothing, except that a carrier's report may add detail to how it ended.
    """
    s.now = max(now, s.now)
    s.withheld = False
    if is_over(s) and type(what) not in _AFTER_THE_END:
        return []
    s.out = []
    if type(what) is inputs.Received:
        if not _received(s, what.event):
            return []
    else:
        _HANDLERS[type(what)](s, what)
    _settle(s)
    return s.out


def _received(s: CallState, event: events.ServerEvent) -> bool:
    """Record an event; return whether rules have to see what follows."""
    kind = event.type
    changes = socket.frame(s)
    if kind.startswith("response."):
        response_id = getattr(event, "response_id", None)
        if isinstance(response_id, str) and response_id:
            changes = floor.sign(s, response_id) or changes
    for handler in _EVENTS.get(kind, ()):
        changes = handler(s, event) is not False or changes
        if is_over(s):
            break
    return changes


def _settle(s: CallState) -> None:
    """Apply the rules until nothing more follows from the state."""
    for _ in range(_MAX_ROUNDS):
        followed = False
        for rule in RULES:
            if is_over(s):
                return
            followed = rule(s) or followed
        if not followed:
            return
    _log.error("call %s: its rules do not come to rest: %s", s.call_id, s.trace[-1] if s.trace else "")


def _time(s: CallState, _what: inputs.Tick) -> None:
    """Handle the timers that are due, the earliest first."""
    for name in s.timers.due(s.now):
        at = s.timers.at(name)
        if is_over(s) or at is None or at > s.now:
            continue
        s.timers.stop(name)
        kind, _, rest = name.partition(" ")
        _TIMERS[kind](s, rest)


def _late(s: CallState, name: str) -> None:
    """Give up on what was neither done nor refused in time."""
    if name not in s.asks:
        return
    match name.partition(" ")[0]:
        case "item":
            tools.late(s, name)
        case "update":
            session.late(s, name)
        case "retrieve":
            answered(s, name)
        case _:
            floor.late(s, name)


def _respond(s: CallState, what: inputs.Respond) -> None:
    wants.respond(s, what.key, what.instructions, what.config)


def _abandon(s: CallState, what: inputs.Abandon) -> None:
    """Record that nobody waits for this any more."""
    answered(s, f"update {what.key}")
    sequences.stop(s, f"quiet {what.key}")
    sequences.stop(s, f"hand over {what.key}")
    if s.digits.key == what.key:
        sequences.stop(s, "digits")


_HANDLERS: dict[type, Callable[[CallState, Any], None]] = {
    inputs.Answer: socket.answer,
    inputs.Adopt: takeover.adopt,
    inputs.HandOver: takeover.hand_over,
    inputs.Kept: lambda s, _: takeover.kept(s),
    inputs.Taken: lambda s, _: takeover.taken(s),
    inputs.NoCaller: socket.no_caller,
    inputs.Accepted: lambda s, _: socket.accepted(s),
    inputs.AcceptFailed: socket.accept_failed,
    inputs.Rejected: socket.rejected,
    inputs.Attached: lambda s, _: socket.attached(s),
    inputs.AttachFailed: socket.attach_failed,
    inputs.Closed: socket.closed,
    inputs.Tick: _time,
    inputs.Respond: _respond,
    inputs.AwaitQuiet: wants.await_quiet,
    inputs.Interrupt: lambda s, _: wants.interrupt(s),
    inputs.SendEvent: session.send_event,
    inputs.Update: session.update,
    inputs.Collect: digits.collect,
    inputs.Transfer: handover.transfer,
    inputs.Hangup: ending.hangup,
    inputs.Hurry: ending.hurry,
    inputs.Fail: ending.fail,
    inputs.LetGo: ending.let_go,
    inputs.Abandon: _abandon,
    inputs.ToolBegan: progress.began,
    inputs.ToolEnded: progress.ended,
    inputs.ApprovalDecided: tools.approval_decided,
    inputs.Spent: limits.spent,
    inputs.Referred: handover.referred,
    inputs.ReferFailed: handover.refer_failed,
    inputs.FallbackTaken: handover.fallback_taken,
    inputs.FallbackFailed: handover.fallback_failed,
    inputs.CarrierSays: handover.carrier_says,
    inputs.CallerLeft: lambda s, _: handover.caller_left(s),
    inputs.HungUp: lambda s, _: ending.hung_up(s),
    inputs.HangupFailed: ending.hangup_failed,
}

_AFTER_THE_END = (inputs.CarrierSays, inputs.CallerLeft)

_Handler = Callable[[CallState, events.ServerEvent], object]
"""Records an event. It returns False if nothing follows from it, and then emits nothing."""

_ROOMS: tuple[dict[str, _Handler], ...] = (
    limits.HANDLERS,
    hearing.HANDLERS,
    session.HANDLERS,
    tools.HANDLERS,
    digits.HANDLERS,
    floor.HANDLERS,
)
_EVENTS: dict[str, tuple[_Handler, ...]] = {
    kind: tuple(room[kind] for room in _ROOMS if kind in room) for room in _ROOMS for kind in room
}
"""What each type of event means to the rooms, in their order. Any other event only shows that the socket is alive, and
so is the response that it belongs to."""


def _unnamed(handler: Callable[[CallState], None]) -> Callable[[CallState, str], None]:
    return lambda s, _rest: handler(s)


def _no_sign_of(timer: str) -> Callable[[CallState, str], None]:
    return lambda s, _rest: floor.no_sign(s, timer)


_TIMERS: dict[str, Callable[[CallState, str], None]] = {
    **{name: _unnamed(handler) for room in (socket.TIMERS, ending.TIMERS) for name, handler in room.items()},
    **{name: _no_sign_of(name) for name in ("active", "unknown", "played", "called")},
    "ask": _late,
    "tool": tools.unreported,
    "progress": progress.due,
    "sequence": sequences.late,
    "near": limits.near,
    "limit": limits.reached,
    "transfer": lambda s, _: handover.due(s),
    "digits": lambda s, _: digits.late(s),
    # These have no handler: the rules see that they ran out.
    **{
        name: (lambda _s, _rest: None)
        for name in ("caller", "own", "again", "deaf", "hold", "heard", "secret", "ringing", "settling", "shaky")
    },
}
"""What it means that a timer is due, by the first word of its name."""

RULES: tuple[Callable[[CallState], bool], ...] = (
    wants.rule_speech,
    sequences.rule_sequences,
    wants.rule_ask,
    session.rule_hold,
    digits.rule_digits,
    limits.rule_limits,
    socket.rule_awaited,
)
"""In this order: what was heard resumes what waited for it, which decides what is asked for; what counts silence, and
what is awaited, comes last, since it reads all that."""

"""A call that goes from one worker to another: what the taker makes of its ticket, and how the giver lets go.

The media never touches a worker, so whoever takes over only attaches. Nothing is assumed about what came meanwhile, as
after any sideband that was lost. What the giver ran and did not see answered has an unknown outcome: the model is told
so, unless the function is idempotent, which is run again. An output that was sent and not shown is not in the ticket;
under its id the model gets that the outcome is unknown, which the service refuses if it has the output.
"""

from __future__ import annotations

from realtime_sip.call.machine import limits, sequences, session, tools, wants
from realtime_sip.call.machine.effects import Done, DropSocket
from realtime_sip.call.machine.ending import finish, hang_up, hangup
from realtime_sip.call.machine.handover import resumed
from realtime_sip.call.machine.inputs import Adopt, HandOver, Hangup, ToolEnded
from realtime_sip.call.machine.sequences import start
from realtime_sip.call.machine.socket import BEARABLE, RINGING, attach_from
from realtime_sip.call.machine.state import CallState, End, Ending, Hold, Socket, Steps, Tool, move, remember
from realtime_sip.call.machine.ticket import Ticket
from realtime_sip.items import FunctionCallOutput
from realtime_sip.outcomes import EndReason, LimitKind, SocketClose, SocketCloseKind
from realtime_sip.tools.registry import error_output

INTERRUPTED = error_output(
    "It was interrupted, and nobody knows whether it was done. Find out if you can, else tell the caller so. Do not "
    "simply call it again."
)
_BEHIND = "The function {name}, which ran in the background, was interrupted. Nobody knows whether it was done."
_LOST = SocketClose(SocketCloseKind.DROPPED, 1006, "with the worker that had it")
_OURS = SocketClose(SocketCloseKind.OURS, 1000)


# --- taking -----------------------------------------------------------------------------------------------------------


def adopt(s: CallState, what: Adopt) -> None:
    """Attach to a call that another worker had accepted, and go on with what it knew."""
    s.line.accepted, s.line.taking = "another worker had accepted the call", True
    if what.ticket is not None and what.ticket.attached is not None:
        _restore(s, what, what.ticket, what.ticket.attached)
        s.timers.set("shaky", s.now + BEARABLE)
    else:
        s.timers.set("ringing", s.now + RINGING)
        s.hold.there = None  # it may have left turn detection as it is for a greeting, or for collecting digits
    attach_from(s, "adopted")
    if s.decided is not None and s.end is End.NONE:
        hang_up(s)


def _restore(s: CallState, what: Adopt, ticket: Ticket, attached: float) -> None:
    line, ahead = s.line, s.line.unix_ahead
    line.began, line.attached_at = ticket.began - ahead, attached - ahead
    line.closed_at = line.lost_at = min(ticket.at - ahead, s.now)
    line.close, line.awaited = _LOST, not ticket.handed
    line.wall = None if ticket.wall is None else ticket.wall - ahead
    if s.limits.max_duration is not None:
        limits.set_limit(s, LimitKind.DURATION, line.attached_at + s.limits.max_duration)
    sequences.stop(s, "greeting")
    s.hold = Hold(ticket.detection, there=ticket.held, off=ticket.undisturbed, asked=bool(ticket.held))
    s.near = set(ticket.near)
    s.rounds, s.failures = ticket.rounds, ticket.failures
    s.wordless, s.unanswered = ticket.wordless, ticket.unanswered
    s.sounded, s.had_input = ticket.sounded, ticket.had_input
    s.session.voiced = ticket.voiced
    for call_id in ticket.seen:
        remember(s.seen, call_id, None)
    _restore_tools(s, what, ticket)
    if ticket.transfer is not None and what.request is not None:
        resumed(s, ticket.transfer, what.request)
    if ticket.ending is not None:
        of = ticket.ending
        s.decided = Ending(of.reason, of.evidence, of.limit, reported=of.reported)
    elif ticket.leaving:
        hangup(s, Hangup(after_speech=True))


def _restore_tools(s: CallState, what: Adopt, ticket: Ticket) -> None:
    for item_id in ticket.calling:
        tools.tool_of_item(s, item_id)
    for name, state in ticket.tools.items():
        kind, _, key = name.partition(" ")
        if state is Tool.KNOWN:
            s.tools[name] = state
        elif state is Tool.SENT:
            _unknown_outcome(s, name, ticket.outputs.get(name))
        elif kind == "ask":
            s.seen.pop(key, None)
            tools.tool_of_item(s, key)  # it is asked for again, and decided again
        elif kind == "call":
            _interrupted(s, what, ticket, key)
        else:
            tools.run(s, name, tools.MCP)
    for call_id, function in ticket.background.items():
        later = f"later {call_id}"
        session.tell(s, _BEHIND.format(name=function), tool=later)
        s.tools[later] = Tool.SENT


def _interrupted(s: CallState, what: Adopt, ticket: Ticket, call_id: str) -> None:
    called = ticket.functions.get(call_id)
    if called is not None and called.item_id and called.function in what.idempotent:
        s.seen.pop(call_id, None)
        tools.tool_of_item(s, called.item_id)  # its arguments are asked for, and it runs again
        return
    remember(s.seen, call_id, None)
    s.tools[f"call {call_id}"] = Tool.RUNNING
    tools.tool_ended(s, ToolEnded(call_id, INTERRUPTED))


def _unknown_outcome(s: CallState, name: str, item_id: str | None) -> None:
    """Make sure that the conversation has an output, though not which."""
    if item_id is None or not name.startswith("call "):
        s.tools[name] = Tool.KNOWN
        return
    tools.put(s, FunctionCallOutput(id=item_id, call_id=name.partition(" ")[2], output=INTERRUPTED), tool=name)
    # Asked over the giver's sideband, as far as a refusal is concerned: the output is most likely there.
    s.asks[f"item {item_id}"].at = s.line.closed_at
    s.tools[name] = Tool.SENT


# --- giving -----------------------------------------------------------------------------------------------------------


def hand_over(s: CallState, what: HandOver) -> None:
    """Close the sideband once the call is at rest, so that another worker can have it; `Done` says when."""
    start(s, f"hand over {what.key}", _hand_over(s, what.key))


def _hand_over(s: CallState, key: str) -> Steps:
    yield lambda: _at_rest(s), None
    move(s, Socket.AWAY, "offered")
    for timer in ("proof", "silent", "awaited", "stays"):
        s.timers.stop(timer)
    s.line.close, s.line.closed_at, s.line.lost_at = _OURS, s.now, s.now
    s.line.awaited = s.line.shut = False
    s.book.gap(s.now)
    session.closed(s)
    limits.rest(s)
    s.out += [DropSocket(), Done(key, None)]


def _at_rest(s: CallState) -> bool:
    """Whether nothing is under way that another worker could not go on with."""
    alive = s.socket is Socket.OPEN and "silent" in s.timers and "proof" not in s.timers
    if not alive or s.end is not End.NONE or s.leaving or s.decided is not None:
        return False
    under_way = any(not name.startswith("hand over ") for name in s.sequences)
    own = any(r.key is not None and not r.key.startswith(wants.NOBODYS) for r in s.book.open.values())
    tools_run = tools.tools_hold(s) or s.background or s.calling or Tool.SENT in s.tools.values()
    return not (under_way or own or tools_run or s.wants or s.asks) and session.as_wanted(s.hold)


def kept(s: CallState) -> None:
    """Attach again, once the socket that we closed is closed: nobody took the call."""
    if s.socket is Socket.AWAY:
        start(s, "kept", _kept(s))


def _kept(s: CallState) -> Steps:
    yield lambda: s.line.shut, None
    if s.socket is Socket.AWAY:
        s.timers.set("shaky", s.now + BEARABLE)
        attach_from(s, "nobody took it")


def taken(s: CallState) -> None:
    """Let go at once: another worker has the call."""
    finish(s, EndReason.DETACHED, "reported", "another worker took the call over")

"""How the call is joined: accepted, attached, attached again, and what it means if that fails.

A closed socket is not the end: attaching again decides, because hang-ups look like breaks, and breaks like hang-ups.
Attaching also settles an unclear accept. The shell makes each try once; this module decides when the next one is due.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from realtime_sip.call.machine import floor, handover, hearing, limits, session, tools, wants
from realtime_sip.call.machine.effects import Accept, Attach, Done, DropSocket, Reject, Send, Tell
from realtime_sip.call.machine.ending import CALLER_GONE, close, closing, end, finish, finish_decided, named
from realtime_sip.call.machine.inputs import AcceptFailed, Answer, AttachFailed, Closed, NoCaller, Rejected
from realtime_sip.call.machine.sequences import start
from realtime_sip.call.machine.state import CallState, End, Floor, Socket, Steps, move
from realtime_sip.errors import (
    BetaDisabledError,
    CallGoneError,
    DecisionAlreadyMadeError,
    NetworkError,
    NotFoundError,
    QuotaError,
    RateLimitError,
    RealtimeSipError,
    ServerError,
    ServiceError,
    UnexpectedReplyError,
)
from realtime_sip.outcomes import EndReason, SidebandGap, SocketCloseKind

RINGS = 30.0
"""Seconds that a phone rings at most, as far as is known. A call that is older is accepted all the same, since the
webhook or the host's clock may be late; but that there is no such call then means that it is over."""
RINGING = 8.0
"""Seconds from the beginning within which the call is accepted and a first sideband is tried."""
SETTLED = 1.5
"""Seconds after an unclear accept for its call to be there; then the call is accepted again."""
BEARABLE = 15.0
"""Seconds without a lasting sideband after which the call is given up: no caller puts up with more."""
GIVES_WAY = 10.0
"""Seconds in which a worker that is cut off from the store leaves the call to another's sideband, if there is one."""
LONGEST = 3600.0
"""Seconds that a session lasts at most (API guide, November 2026)."""
STAYS = 5.0
"""Seconds after which a sideband over which the service speaks counts as lasting."""
AWAITED = 10.0
"""Seconds without any frame after which the service is asked for one, if it has something to say."""
SILENT = 30.0
"""Seconds without any frame after which the service is asked for a sign of life."""
QUIET = 6.0
"""Seconds after a hole until the model learns that what was awaited did not come."""
A_TURN = 1.0
"""Seconds without a sideband in which a caller may have had a whole turn, of which nothing shows any more."""
_EARLY_PAUSES = (0.1, 0.2, 0.4)
_DROPS_AT_ONCE = 3
_PAUSES = (0.25, 0.5, 1.0, 2.0)
_SURE = 0.5
"""Seconds between the two answers that prove that a call is gone whose socket broke."""
_CONFLICT = 409
_HOLE = (
    "The connection to you was lost for a moment, and with it whatever you asked for then. If you have called a "
    "function that has no output, call it again. If the caller waits for an answer, give it now."
)


# --- accepting --------------------------------------------------------------------------------------------------------


def answer(s: CallState, what: Answer) -> None:
    s.line.late = what.age > RINGS
    s.timers.set("ringing", s.now + RINGING)
    s.out.append(Accept(early=not s.line.late))


def no_caller(s: CallState, what: NoCaller) -> None:
    if what.reported:
        finish(s, EndReason.CALLER, "reported", CALLER_GONE)
    else:
        finish(s, EndReason.STALE, "inferred", "the webhook was older than any phone rings")


def accepted(s: CallState) -> None:
    s.line.accepted = "the accept was answered with success"
    if s.end is End.NONE:
        attach_from(s, "accepted")


def accept_failed(s: CallState, what: AcceptFailed) -> None:
    """Decide what a failed accept means. A certain failure is raised in the program."""
    error = what.error
    decided = isinstance(error, DecisionAlreadyMadeError)
    decided = decided or (isinstance(error, ServiceError) and error.status_code == _CONFLICT)
    unclear = isinstance(error, ServerError) or (isinstance(error, NetworkError) and error.sent)
    if s.end is not End.NONE:
        if s.end is End.ENDING and not (unclear or s.line.maybe_accepted):
            finish_decided(s, "inferred")  # it is not ours, so we do not hang it up
        return
    if s.line.late and isinstance(error, NotFoundError) and not s.line.maybe_accepted:
        finish(s, EndReason.STALE, "inferred", "the webhook came late, and there was no call to accept any more")
    elif isinstance(error, CallGoneError) and not s.line.maybe_accepted:
        finish(s, EndReason.CALLER, "inferred", "there was no such call to accept within the deadline")
    elif decided and not s.line.maybe_accepted:
        finish(s, EndReason.DECIDED_ELSEWHERE, "reported", "the call had been accepted or rejected before")
    elif decided or unclear or isinstance(error, CallGoneError):
        s.line.maybe_accepted = True
        s.line.taking = decided  # what came between that accept and now, nobody saw
        attach_from(s, "the accept was unclear")
    elif s.line.maybe_accepted:
        _refuse(s)
    else:
        s.out.append(Done("answer", error))
        close(s, "the accept was refused")


def _refuse(s: CallState) -> None:
    """Reject a call that could not be accepted, so that its trunk goes on."""
    s.timers.stop("attach")
    s.out.append(Reject())


def rejected(s: CallState, what: Rejected) -> None:
    if s.decided is not None:
        # The program hung up meanwhile, which goes on if the reject failed.
        if s.socket is Socket.ATTACHING:
            move(s, Socket.LOST, "there is no call")
        if what.error is None:
            finish_decided(s, "reported")
        return
    evidence = "the accept was unclear, and there was no call to attach to within the deadline"
    evidence += "; it was rejected" if what.error is None else f"; rejecting it failed ({type(what.error).__name__})"
    finish(s, EndReason.NOT_CONNECTED, "inferred", evidence)


# --- attaching --------------------------------------------------------------------------------------------------------


def attach_from(s: CallState, why: str) -> None:
    """Begin to attach, from a state in which that was not tried."""
    move(s, Socket.ATTACHING, why)
    s.timers.set("settling", s.now + SETTLED)
    attach(s)


def attach(s: CallState) -> None:
    """Try to open the sideband."""
    s.timers.stop("attach")
    s.out.append(Attach())


def attach_failed(s: CallState, what: AttachFailed) -> None:
    """Decide what it means that the sideband cannot be opened."""
    error = what.error
    if s.end is End.ENDING:
        # The end that was decided is being carried out. Until then, the call is attached to keep the model quiet.
        if isinstance(error, CallGoneError):
            finish_decided(s, "inferred")
        elif not _again(s, error, _PAUSES[-1], until="shaky"):
            move(s, Socket.LOST, "not attached while hanging up")
        return
    if s.line.attached_at is None:
        _first_failed(s, error)
    elif isinstance(error, CallGoneError):
        _gone(s)
    elif _again(s, error, _pause(s.line.failures + 1), until="shaky"):
        s.line.gone = 0
        s.line.failures += 1
    else:
        _lose(s, f"the sideband could not be opened ({named(error)})")


def _first_failed(s: CallState, error: RealtimeSipError) -> None:
    line = s.line
    early = isinstance(error, NotFoundError) and error.code in (None, "call_id_not_found")
    line.failures += 1
    pauses = _EARLY_PAUSES if early else _PAUSES
    if early and not line.accepted and "ringing" not in s.timers:
        _refuse(s)
    elif early and not line.accepted and "settling" not in s.timers:
        # Our accept did not arrive, or was not carried out: the call rings on.
        move(s, Socket.RINGING, "there is no call yet")
        s.out.append(Accept(early=not line.late))
    elif _again(s, error, pauses[min(line.failures, len(pauses)) - 1], until="ringing"):
        pass
    elif early:
        evidence = f"{line.accepted}, but there was no call to attach to within the deadline"
        move(s, Socket.LOST, "there is no call")
        end(s, EndReason.NOT_CONNECTED, evidence, harmless=True)
    else:
        _lose(s, f"the sideband could not be opened ({named(error)})")


def _again(s: CallState, error: RealtimeSipError, pause: float, *, until: str) -> bool:
    """Try to open the sideband again, if that can help before the timer `until` is due. Return whether it can."""
    conflict = isinstance(error, ServiceError) and error.status_code == _CONFLICT
    if conflict and s.line.taking and s.line.accepted and s.now < s.line.began + LONGEST:
        # The worker before still has a sideband, so the caller is not alone: it may only be cut off from the store.
        s.timers.set("attach", s.now + _PAUSES[-1])
        return True
    due = s.timers.at(until)
    advised = error.retry_after or 0.0 if isinstance(error, ServiceError) else 0.0
    if due is None or not _passes(error) or s.now + advised > due:
        return False
    s.timers.set("attach", s.now + max(pause, advised))
    return True


def _gone(s: CallState) -> None:
    """Record that the call is gone. That is proof if the socket closed in good order, else if it is said twice."""
    s.line.gone += 1
    broke = s.line.close is None or s.line.close.kind not in (SocketCloseKind.NORMAL, SocketCloseKind.EXPIRED)
    if broke and s.line.gone < 2:
        s.timers.set("attach", s.now + _SURE)
        return
    evidence = f"the socket closed ({s.line.close}), and the call was gone when attaching again"
    if s.end is End.TRANSFERRING:
        handover.left(s, evidence)
    elif s.line.wall is not None and s.line.closed_at >= s.line.wall:
        finish(s, EndReason.EXPIRED, "inferred", f"{evidence}, past the session's longest duration")
    else:
        finish(s, EndReason.CALLER, "inferred", evidence)


def _lose(s: CallState, evidence: str) -> None:
    move(s, Socket.LOST, evidence)
    end(s, EndReason.CONNECTION_LOST, evidence)
    handover.lost(s)


def _passes(error: RealtimeSipError) -> bool:
    if isinstance(error, CallGoneError):
        return True  # not ready yet
    if isinstance(error, (QuotaError, BetaDisabledError)):
        return False
    if isinstance(error, ServiceError) and error.should_retry is False:
        return False
    if isinstance(error, (NetworkError, ServerError, RateLimitError, NotFoundError, UnexpectedReplyError)):
        return True
    return isinstance(error, ServiceError) and error.status_code == _CONFLICT  # the old socket still counts


def _pause(tries: int) -> float:
    return _PAUSES[min(tries, len(_PAUSES)) - 1]


def attached(s: CallState) -> None:
    """Record that the sideband is open. Nothing is replayed, so nothing from before is assumed."""
    line, again = s.line, s.line.attached_at is not None
    move(s, Socket.OPEN, "attached")
    awaited = _awaited(s) if again else line.taking
    if not again or line.taking:
        line.attached_at = line.attached_at or s.now
        line.taking = False
        s.out.append(Done("answer", None))
    if again and line.close is not None:
        s.out.append(Tell(SidebandGap(line.closed_at + line.unix_ahead, s.unix, line.close)))
    line.frame_at, line.proven = s.now, False
    line.failures = line.gone = 0
    s.timers.set("silent", s.now + SILENT)
    s.timers.set("stays", s.now + STAYS)
    session.probe(s)
    if again:
        _say_again(s)
    if awaited:
        start(s, "hole", _after_hole(s))
    limits.attached(s, first=not again)
    hearing.heard(s)


def _say_again(s: CallState) -> None:
    """Send again what the conversation and the session were not seen to have; want again the responses asked for."""
    floor.attached_again(s)
    session.attached_again(s)
    for name, asked in s.asks.items():
        beside = name.startswith("beside ")
        if not beside or asked.at >= s.line.closed_at:
            s.out.append(Send(asked.event))
    tools.retrieve(s)


def _awaited(s: CallState) -> bool:
    """Whether something was about to come when the sideband was lost, or may have begun since then.

    So that silence would have a cause.
    """
    return s.line.awaited or bool(s.calling) or s.now - s.line.lost_at >= A_TURN


def _after_hole(s: CallState) -> Steps:
    before = s.book.signs, len(s.seen)

    def goes_on() -> bool:
        more = (s.book.signs, len(s.seen)) != before
        return more or "caller" in s.timers or bool(s.active) or s.end is not End.NONE or s.socket is not Socket.OPEN

    yield goes_on, QUIET
    if not goes_on() and not wants.busy(s) and not s.hold.on and not s.leaving:
        session.tell(s, _HOLE)
        wants.respond(s, f"notice_{secrets.token_hex(8)}")


def closed(s: CallState, what: Closed) -> None:
    """Record that the socket closed."""
    line = s.line
    line.shut = True
    if s.socket is not Socket.OPEN:
        return
    presumed = s.floor is Floor.UNKNOWN
    line.awaited = (
        "hole" in s.sequences
        or (s.floor is Floor.MODEL and "response" not in s.asks and not _is_heard(s))
        or ("own" in s.timers and not presumed)
        or "caller" in s.timers
    )
    line.close, line.closed_at = what.close, s.now
    if line.proven:
        dead = "proof" in s.timers or "silent" not in s.timers
        line.lost_at = line.frame_at if dead else s.now
    if line.drops == 0:
        s.timers.set("shaky", s.now + BEARABLE)
    line.drops += 1
    for timer in ("proof", "silent", "awaited", "stays"):
        s.timers.stop(timer)
    s.book.gap(s.now)
    session.closed(s)
    limits.rest(s)
    confirmed = s.decided is not None and s.decided.confirmed
    leaves = s.end is End.ENDING and (confirmed or what.close.kind is SocketCloseKind.NORMAL)
    move(s, Socket.LOST if leaves else Socket.ATTACHING, str(what.close))
    if what.close.kind is SocketCloseKind.EXPIRED:
        _expired(s)
    elif s.end is End.ENDING:
        if confirmed:
            closing(s)
        elif leaves:
            s.timers.set("closing", s.now + session.PROOF_OF_LIFE)
        else:
            s.timers.set("attach", s.now + _PAUSES[-2])  # usually hanging up is answered before that
    elif what.close.kind is SocketCloseKind.BETA:
        _lose(s, f"the service refused the sideband as one of the beta API ({what.close})")
    elif what.cut_off and line.drops > 1 and what.close.kind is SocketCloseKind.NORMAL:
        # Most likely another worker has the call, and its sideband takes the place of this one: each would close the
        # other's, until one of them gave the call up.
        s.timers.set("attach", s.now + GIVES_WAY)
        s.timers.set("shaky", s.now + GIVES_WAY + BEARABLE)
    elif "shaky" not in s.timers:
        _lose(s, f"the sideband did not stay open within {BEARABLE:g} s")
    elif line.drops <= _DROPS_AT_ONCE:
        attach(s)
    else:
        s.timers.set("attach", s.now + _pause(line.drops - _DROPS_AT_ONCE))


def _is_heard(s: CallState) -> bool:
    """Whether the caller hears the response that is being made."""
    response = s.book.get(s.active)
    return response is not None and response.began_at is not None


def _expired(s: CallState) -> None:
    evidence = "the service said that the session expired"
    if s.end is End.TRANSFERRING:
        handover.left(s, evidence, EndReason.EXPIRED, "reported")
    elif s.decided is None:
        finish(s, EndReason.EXPIRED, "reported", evidence)
    else:
        s.decided.evidence += f"; {evidence} before that was done"
        finish_decided(s, "reported")


# --- signs of life ----------------------------------------------------------------------------------------------------


def frame(s: CallState) -> bool:
    """Record that the service said something; return whether that changes anything but the time."""
    line = s.line
    line.frame_at = s.now
    line.frames += 1
    if line.proven and "proof" not in s.timers:
        return False
    line.proven = True
    s.timers.stop("proof")
    handover.alive(s)
    return True


def no_proof(s: CallState) -> None:
    """Drop a socket over which the service says nothing."""
    if s.socket is Socket.OPEN:
        for timer in ("silent", "awaited", "stays"):
            s.timers.stop(timer)  # without "silent", an open socket is one that is being dropped
        s.out.append(DropSocket())


def stays(s: CallState) -> None:
    if s.line.proven:
        s.line.drops = 0
        s.timers.stop("shaky")


def silent(s: CallState) -> None:
    """Ask for a sign of life, unless there was one since."""
    _ask_for_life(s, "silent", SILENT)


def awaited(s: CallState) -> None:
    """Ask for a sign of life sooner, since the service has something to say."""
    _ask_for_life(s, "awaited", AWAITED)


def _ask_for_life(s: CallState, timer: str, seconds: float) -> None:
    if s.line.frame_at + seconds > s.now:
        s.timers.set(timer, s.line.frame_at + seconds)
        return
    s.timers.set("silent", s.now + SILENT)
    if "proof" not in s.timers:
        session.probe(s)


def rule_awaited(s: CallState) -> bool:
    """Record whether the service has something to say: that a response begins, or how it goes on."""
    if s.socket is not Socket.OPEN or s.floor is Floor.IDLE:
        s.timers.stop("awaited")
    elif "awaited" not in s.timers and "proof" not in s.timers and "silent" in s.timers:
        s.timers.set("awaited", s.now + AWAITED)
    return False


TIMERS: dict[str, Callable[[CallState], None]] = {
    "attach": attach,
    "proof": no_proof,
    "silent": silent,
    "awaited": awaited,
    "stays": stays,
}

"""How a call ends: decided once, carried out until it is done, known for a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from realtime_sip.call.machine import sequences
from realtime_sip.call.machine.effects import Done, Finish, HangUp
from realtime_sip.call.machine.inputs import Fail, Hangup, HangupFailed, Hurry, LetGo
from realtime_sip.call.machine.session import as_wanted, hold, release
from realtime_sip.call.machine.state import CallState, End, Ending, Socket, Steps, move
from realtime_sip.call.machine.wants import interrupt, respond, speaking, withdraw
from realtime_sip.errors import BetaDisabledError, CallGoneError, QuotaError, RealtimeSipError, ServiceError
from realtime_sip.outcomes import CallEnded, Certainty, EndReason, LimitKind

PROOF_OF_CLOSE = 1.0
"""Seconds for the service to close the socket after it hung up, or to answer after it closed the socket."""
UNANSWERED = 1.0
"""Seconds after which a model whose call is not hung up yet no longer answers anybody."""
RESTORED = 10.0
"""Seconds for turn detection to come back before the call is let go of."""
_PAUSES = (0.25, 0.5, 1.0, 2.0, 5.0)
_MAX_HANGUPS = 28
CALLER_GONE = "the carrier reported that the caller's call is over"
_AGENT = "the program hung up"


def end(
    s: CallState,
    reason: EndReason,
    evidence: str,
    *,
    limit: LimitKind | None = None,
    harmless: bool = False,
    reported: bool = False,
) -> None:
    """Decide that the call ends now, or, during a transfer, when that fails. A second decision changes nothing.

    `harmless` means that the call is gone as far as we know: one hang-up makes sure of it. `reported` means that the
    carrier has said so.
    """
    if s.decided is not None:
        return
    s.decided = Ending(reason, evidence, limit, harmless=harmless, reported=reported)
    if s.end is End.TRANSFERRING:
        return  # hanging up would undo what the caller waits for: it is done if the transfer fails
    hang_up(s)


def hang_up(s: CallState) -> None:
    """Carry out the end that was decided."""
    assert s.decided is not None
    first = s.end is not End.ENDING
    move(s, End.ENDING, s.decided.reason.value)
    s.decided.tries += 1
    s.timers.stop("hangup")
    if first:
        s.timers.set("quiet", s.now + UNANSWERED)
    s.out.append(HangUp())


def quiet(s: CallState) -> None:
    """Make sure that the model answers nobody while hanging up is tried again."""
    s.timers.stop("quiet")
    if "ending" not in s.hold.reasons:
        withdraw(s)
        interrupt(s)
        hold(s, "ending")


def hung_up(s: CallState) -> None:
    """Record that the service hung up. It closes the socket now, and how it does belongs to the end."""
    if s.end is not End.ENDING:
        return
    assert s.decided is not None
    s.decided.confirmed = True
    s.timers.stop("quiet")
    if s.socket is Socket.OPEN:
        s.timers.set("closing", s.now + PROOF_OF_CLOSE)
    else:
        closing(s)


def closing(s: CallState) -> None:
    """Finish the end that was decided: the service hung up, or closed the socket."""
    s.timers.stop("closing")
    assert s.decided is not None
    if not s.decided.confirmed:
        s.decided.evidence += "; the socket closed before hanging up was answered"
    finish_decided(s, "reported" if s.decided.confirmed else "inferred")


def hangup_failed(s: CallState, what: HangupFailed) -> None:
    """Record that hanging up failed: the call was over, or it is tried again."""
    if s.end is not End.ENDING or s.decided is None:
        return
    early = s.line.attached_at is None and "ringing" in s.timers and not s.decided.harmless
    if isinstance(what.error, CallGoneError) and not early:
        if not s.decided.harmless:
            s.decided.evidence += "; it was over when it was to be hung up"
        finish_decided(s, "inferred")
    elif s.decided.harmless or "closing" in s.timers or not _is_tried_again(s.decided.tries, what.error):
        s.decided.evidence += f"; it could not be hung up ({named(what.error)}), and may be up"
        finish_decided(s, "inferred")
    else:
        quiet(s)
        s.timers.set("hangup", s.now + _PAUSES[min(s.decided.tries, len(_PAUSES)) - 1])


def _is_tried_again(tries: int, error: RealtimeSipError) -> bool:
    return tries < _MAX_HANGUPS and not isinstance(error, (QuotaError, BetaDisabledError))


def named(error: RealtimeSipError) -> str:
    """Return what failed, for evidence: without the service's own words."""
    kind = type(error).__name__
    if isinstance(error, ServiceError):
        field = f" {error.param}" if isinstance(error, BetaDisabledError) and error.param else ""
        return f"{kind} {error.status_code}{f' {error.code}' if error.code else ''}{field}"
    return f"{kind}: {error}"


def finish_decided(s: CallState, certainty: Certainty) -> None:
    """Finish as it was decided."""
    if s.decided is None:
        return
    if s.decided.reported:
        certainty = "reported"
    finish(s, s.decided.reason, certainty, s.decided.evidence, s.decided.limit)


def finish(
    s: CallState, reason: EndReason, certainty: Certainty, evidence: str, limit: LimitKind | None = None
) -> None:
    """Record that the call is over, once."""
    if s.end is End.OVER:
        return
    attached_at = s.line.attached_at
    s.ended = CallEnded(
        reason=reason,
        certainty=certainty,
        evidence=evidence,
        limit=limit,
        started_at=s.line.began + s.line.unix_ahead,
        attached_at=None if attached_at is None else attached_at + s.line.unix_ahead,
        ended_at=s.unix,
        close=s.line.close,
    )
    s.out.append(Finish(s.ended))
    close(s, reason.value)


def close(s: CallState, why: str) -> None:
    """Leave nothing that waits, and nothing from which anything could follow."""
    move(s, End.OVER, why)
    move(s, Socket.GONE, why)
    s.asks.clear()
    s.wants.clear()
    sequences.stop_all(s)
    s.timers.stop_all()


def amend(s: CallState, *, certainty: Certainty, evidence: str, reason: EndReason | None = None) -> None:
    """Add to how the call ended what was learned later."""
    if s.ended is not None:
        s.ended = replace(
            s.ended,
            reason=reason or s.ended.reason,
            certainty=certainty,
            evidence=f"{s.ended.evidence}; {evidence}",
        )


# --- what the program wants -------------------------------------------------------------------------------------------


def hurry(s: CallState, what: Hurry) -> None:
    s.timers.set("hurry", s.now + what.seconds)


def late(s: CallState) -> None:
    """Finish with what is known: hanging up was not answered in time. That does not undo a transfer."""
    if s.end is End.TRANSFERRING:
        return
    if s.decided is None:
        finish(s, EndReason.AGENT, "inferred", "there was no time to hang up, and the call may be up")
    else:
        s.decided.evidence += "; hanging up was not answered in time, and the call may be up"
        finish_decided(s, "inferred")


def fail(s: CallState, what: Fail) -> None:
    end(s, EndReason.HANDLER_FAILED, what.evidence)


def hangup(s: CallState, what: Hangup) -> None:
    """Hang up: now, or when the speech under way or the goodbye was heard or cut off. One goodbye is enough."""
    first, s.leaving = not s.leaving, True
    if what.goodbye is not None and first:
        sequences.start(s, "goodbye", _after_goodbye(s, what.goodbye))
    elif what.goodbye is not None or what.after_speech:
        sequences.start(s, "hangup", _after_speech(s))
    else:
        end(s, EndReason.AGENT, _AGENT)


def _after_speech(s: CallState) -> Steps:
    before = s.interruptions
    yield lambda: not speaking(s) or s.interruptions > before, sequences.AFTER_SPEECH
    end(s, EndReason.AGENT, _AGENT)


def _after_goodbye(s: CallState, words: str) -> Steps:
    yield lambda: s.end is not End.TRANSFERRING, None
    if s.decided is None:
        withdraw(s)
        respond(s, "goodbye_program", words, despite_hold=True)
        yield lambda: "goodbye_program" in s.told, sequences.AFTER_SPEECH
        end(s, EndReason.AGENT, _AGENT)


def let_go(s: CallState, what: LetGo) -> None:
    sequences.start(s, "let go", _let_go(s, what.key))


def _let_go(s: CallState, key: str) -> Steps:
    if s.hold.reasons and s.decided is None and not s.leaving:
        for reason in [*s.hold.reasons]:
            release(s, reason)
        yield lambda: as_wanted(s.hold), RESTORED
    s.out.append(Done(key, None))
    if s.decided is None:
        finish(s, EndReason.DETACHED, "reported", "the program let go of the call")


TIMERS: dict[str, Callable[[CallState], None]] = {"quiet": quiet, "closing": closing, "hangup": hang_up, "hurry": late}

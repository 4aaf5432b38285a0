"""Handing a caller over: by which ways, what speaks for it, and what follows.

A refer that is answered with success proves nothing: some never reached the carrier (field reports, May 2026), and no
event of the service tells. So the evidence is graded, in the order of `TransferProgress`, each wait has a timer, and
the fallback is taken only if nothing speaks for the target having been dialed. Before it is, the service is asked if
the caller is still there: a leg may have left with the socket open, and dialing again would dial twice.
"""

from __future__ import annotations

import secrets

from realtime_sip.call.machine import session
from realtime_sip.call.machine.effects import Done, Fallback, Refer, Tell
from realtime_sip.call.machine.ending import CALLER_GONE, amend, end, finish, hang_up
from realtime_sip.call.machine.inputs import (
    CarrierSays,
    FallbackFailed,
    FallbackTaken,
    ReferFailed,
    Referred,
    Transfer,
)
from realtime_sip.call.machine.limits import listen_anew, rest
from realtime_sip.call.machine.sequences import AFTER_SPEECH, start, stop
from realtime_sip.call.machine.state import CallState, End, Ending, Socket, Steps, move
from realtime_sip.call.machine.targets import Handover, TransferRequest
from realtime_sip.call.machine.ticket import KeptTransfer
from realtime_sip.call.machine.wants import give_up, interrupt, respond, speaking
from realtime_sip.errors import CallGoneError, NetworkError, RealtimeSipError, ServerError, ServiceError
from realtime_sip.outcomes import Certainty, EndReason, TransferFailed, TransferFailureReason, TransferProgress

ANSWERED = "the carrier reported: answered"
SOON = 5.0
"""Seconds from the end of the call within which a report of the caller's end explains it. Later the caller may have
talked to somebody else meanwhile."""
LEAVING = 10.0
"""Seconds that the caller's leg may stay after its target has answered."""
_REQUEST_TIMEOUT = 408
_UNREACHABLE = "it is on the phone network, which takes no WhatsApp callers"
_FAILED = (
    "The transfer to {name} has failed ({failure}). The caller is still on the line with you. Tell them so in one "
    "sentence, and offer something else."
)


# --- saying it, and beginning -----------------------------------------------------------------------------------------


def transfer(s: CallState, what: Transfer) -> None:
    """Transfer the call, one transfer at a time."""
    name = what.request.name
    if not what.reachable:
        s.out.append(Done(what.key, TransferFailed(name, TransferFailureReason.UNREACHABLE, _UNREACHABLE)))
        tell_of_failure(s, name, TransferFailureReason.UNREACHABLE)
    elif s.end is End.TRANSFERRING:
        s.out.append(
            Done(what.key, TransferFailed(what.request.name, TransferFailureReason.PENDING, "another one is under way"))
        )
    elif s.end is End.NONE:
        s.handover = Handover(what.key, what.request, "there" if what.fallback else "none", what.refer_within)
        move(s, End.TRANSFERRING, what.request.name)
        rest(s)
        start(s, "transfer", _announce(s, what))


def _announce(s: CallState, what: Transfer) -> Steps:
    before, key = s.interruptions, f"announcement_{what.key}"
    if what.announcement is not None:
        respond(s, key, what.announcement)

    def was_said() -> bool:
        interrupted = s.interruptions > before
        if what.announcement is not None:
            return key in s.told or (what.unless_interrupted and interrupted)
        return interrupted or not speaking(s)

    if what.after_speech or what.announcement is not None:
        yield was_said, AFTER_SPEECH
    if s.handover is None or s.handover.key != what.key:
        return
    if what.unless_interrupted and s.interruptions > before:
        s.handover.note(f"it failed: {TransferFailureReason.INTERRUPTED.value}")
        _fail(s, TransferFailureReason.INTERRUPTED)
        return
    give_up(s, key)
    session.hold(s, "transfer")
    interrupt(s)
    s.handover.begun = True
    s.timers.set("transfer", s.now + s.handover.seconds)
    s.out.append(Refer(what.request))


def resumed(s: CallState, kept: KeptTransfer, request: TransferRequest) -> None:
    """Go on with a transfer that another worker had begun."""
    of = s.handover = Handover(f"transfer_{secrets.token_hex(8)}", request, kept.fallback, kept.refer_within)
    of.begun, of.sign, of.seen = kept.begun, kept.sign, [*kept.seen]
    move(s, End.TRANSFERRING, request.name)
    rest(s)
    if not of.begun:
        start(s, "transfer", _announce(s, Transfer(of.key, request)))
        return
    session.hold(s, "transfer")
    due = s.now + of.seconds if kept.due is None else kept.due - s.line.unix_ahead
    s.timers.set("transfer", max(due, s.now))


# --- what came of it --------------------------------------------------------------------------------------------------


def _of(s: CallState, request: TransferRequest) -> Handover | None:
    """Return the transfer under way, unless what was answered is the request of one before it."""
    return s.handover if s.handover is not None and s.handover.request is request else None


def referred(s: CallState, what: Referred) -> None:
    of = _of(s, what.request)
    if of is not None:
        of.saw(TransferProgress.REFERRED, "the refer was answered with success")
        _expect_the_carrier(s, of)


def refer_failed(s: CallState, what: ReferFailed) -> None:
    """Try the next way; or, if the refer may have been sent, wait for the timer."""
    of, error = _of(s, what.request), what.error
    if of is None:
        return
    if isinstance(error, CallGoneError):
        left(s, "the call was gone when it was to be transferred")
        return
    of.note(f"the refer failed ({type(error).__name__})")
    # A refer that the carrier accepted was sent, whatever the service says; and the fallback goes on without it.
    if of.dialed or of.fallback in ("asked for", "answered"):
        return
    if _is_unclear(error):
        _expect_the_carrier(s, of)
    else:
        _next(s, of, TransferFailureReason.REFUSED)


def _expect_the_carrier(s: CallState, of: Handover) -> None:
    """Give the carrier a few seconds to ask what to do with the caller, if it was told whom to ask."""
    if of.refer_within is not None and not of.dialed:
        s.timers.set("transfer", s.now + min(of.refer_within, of.seconds))


def _is_unclear(error: RealtimeSipError) -> bool:
    if isinstance(error, ServiceError) and error.status_code == _REQUEST_TIMEOUT:
        return True
    return isinstance(error, ServerError) or (isinstance(error, NetworkError) and error.sent)


def fallback_taken(s: CallState, what: FallbackTaken) -> None:
    of = _of(s, what.request)
    if of is None:
        return
    of.fallback = "answered"
    if of.sign is not TransferProgress.ANSWERED:
        s.timers.set("transfer", s.now + of.seconds)
    of.saw(TransferProgress.ASKED, "the fallback was taken")


def fallback_failed(s: CallState, what: FallbackFailed) -> None:
    """Give up: there is no third way. What the carrier reported still counts."""
    of = _of(s, what.request)
    if of is not None:
        of.fallback = "answered"
        of.note(f"the fallback failed ({what.what})")
        if not of.dialed:
            _fail(s, TransferFailureReason.REFUSED)


def carrier_says(s: CallState, what: CarrierSays) -> None:
    """Record what the carrier reports. After the end, that may explain the end."""
    if s.decided is not None and s.decided.handing_over:
        _said_after_the_caller_left(s, s.decided, what)
        return
    if s.end is End.OVER:
        _said_after_the_end(s, what)
        return
    of = s.handover
    if of is None or not of.begun:
        return  # it is about another transfer
    if isinstance(what.says, TransferProgress):
        if of.sign is not None and what.says <= of.sign:
            return
        if what.says is TransferProgress.ANSWERED:
            s.timers.set("transfer", s.now + LEAVING)
        elif of.refer_within is not None and not of.dialed and what.says is TransferProgress.ASKED:
            s.timers.set("transfer", s.now + of.seconds)  # now the target rings
        of.saw(what.says, f"the carrier reported: {what.says.name.lower()}")
    else:
        of.note(f"it failed: {what.says.value}")
        if of.fallback != "asked for":  # else it may be about the refer that the fallback follows
            _fail(s, what.says)


def _said_after_the_caller_left(s: CallState, decided: Ending, what: CarrierSays) -> None:
    """Record that the target had answered: reports arrive in any order."""
    if what.says is not TransferProgress.ANSWERED:
        return
    decided.handing_over = False
    decided.reason = EndReason.TRANSFERRED
    decided.evidence += f"; {ANSWERED}"
    if s.end is End.OVER:
        amend(s, reason=EndReason.TRANSFERRED, certainty="reported", evidence=ANSWERED)


def caller_left(s: CallState) -> None:
    """Hang up, because the carrier reports that the caller is gone. After the end, that may explain the end."""
    ended, of = s.ended, s.handover
    if s.end is End.OVER:
        unexplained = ended is not None and ended.reason is EndReason.CALLER and ended.certainty == "inferred"
        if ended is not None and unexplained and s.unix <= ended.ended_at + SOON:
            amend(s, certainty="reported", evidence=CALLER_GONE)
    elif of is not None:
        answered = of.sign is TransferProgress.ANSWERED
        reason = EndReason.TRANSFERRED if answered else EndReason.CALLER
        _hang_up(s, reason, f"{of.evidence}; then {CALLER_GONE}", "the caller is gone")
        assert s.decided is not None
        s.decided.handing_over = of.begun and not answered  # before that it is about another transfer
    else:
        end(s, EndReason.CALLER, CALLER_GONE, reported=True)


def _said_after_the_end(s: CallState, what: CarrierSays) -> None:
    ended = s.ended
    if ended is None or ended.reason is not EndReason.TRANSFERRED or ended.certainty != "inferred":
        return
    if what.says is TransferProgress.ANSWERED:
        amend(s, certainty="reported", evidence=ANSWERED)
    elif (
        isinstance(what.says, TransferFailureReason)
        and f"the carrier reported: {what.says.value}" not in ended.evidence
    ):
        amend(s, certainty="inferred", evidence=f"the carrier reported: {what.says.value}")


def left(
    s: CallState, evidence: str, otherwise: EndReason = EndReason.CALLER, certainty: Certainty = "inferred"
) -> None:
    """Say why the caller's leg left during a transfer: it was transferred, as far as anybody knows, or not."""
    of = s.handover
    assert of is not None
    answered = of.sign is TransferProgress.ANSWERED
    # A way was taken, or is being taken. A refer does not count before it is answered; the carrier acts before it
    # answers.
    taken = of.sign is not None or of.fallback == "asked for"
    if answered or (otherwise is EndReason.CALLER and taken):
        finish(s, EndReason.TRANSFERRED, of.certainty, f"{of.evidence}; then {evidence}")
    else:
        finish(s, otherwise, certainty, f"{evidence}; a transfer was under way: {of.evidence}")


# --- what time does ---------------------------------------------------------------------------------------------------


def due(s: CallState) -> None:
    """Try the next way, because time passed and the target is not known to have answered."""
    of = s.handover
    if of is None:
        return
    if of.sign is TransferProgress.ANSWERED:
        _stayed(s, of)
    elif s.socket is Socket.LOST:
        of.note("nothing was heard of it in time")
        _fail(s, _reason(of))
    elif of.there is None:
        # The leg may have left without a report. A frame shows that it has not, or the end of the socket that it has.
        of.there = False
        if s.socket is Socket.OPEN and "silent" in s.timers:
            session.probe(s)


def _stayed(s: CallState, of: Handover) -> None:
    """Hang up the leg of a caller whose target answered."""
    evidence = f"{of.evidence}; the caller's leg stayed, and was hung up"
    _hang_up(s, EndReason.TRANSFERRED, evidence, "the target answered")


def _hang_up(s: CallState, reason: EndReason, evidence: str, why: str) -> None:
    """Hang up in the middle of a transfer, for a reason that the carrier reported."""
    stop(s, "transfer")
    s.timers.stop("transfer")
    s.handover, s.decided = None, None
    move(s, End.NONE, why)
    end(s, reason, evidence, reported=True)


def alive(s: CallState) -> None:
    """Record that the caller is there, if that was asked."""
    of = s.handover
    if of is not None and of.there is False and s.socket is not Socket.LOST:
        of.there = True
        of.note("nothing was heard of it in time")
        _next(s, of, _reason(of))


def lost(s: CallState) -> None:
    """Give up waiting for a caller who can no longer be seen."""
    of = s.handover
    if of is not None and of.there is False and of.sign is not TransferProgress.ANSWERED:
        s.timers.set("transfer", s.now)


def _reason(of: Handover) -> TransferFailureReason:
    return TransferFailureReason.NO_ANSWER if of.dialed else TransferFailureReason.NO_SIGN


def _next(s: CallState, of: Handover, failure: TransferFailureReason) -> None:
    """Try the fallback, once, and only if nothing says that the target was dialed."""
    of.there = None  # that the caller was there says nothing about later
    if of.fallback != "there" or of.dialed:
        _fail(s, failure)
        return
    of.fallback = "asked for"
    of.note("the fallback was asked for")
    s.timers.set("transfer", s.now + of.seconds)  # in case it never answers
    s.out.append(Fallback(of.request))


def _fail(s: CallState, failure: TransferFailureReason) -> None:
    """Give the transfer up. The caller hears of it; or the end that was decided meanwhile follows."""
    of = s.handover
    assert of is not None
    s.handover = None
    s.timers.stop("transfer")
    stop(s, "transfer")
    given_up = TransferFailed(of.request.name, failure, of.evidence)
    s.out += [Done(of.key, given_up), Tell(given_up)]
    move(s, End.NONE, f"the transfer failed: {failure.value}")
    session.release(s, "transfer")
    if s.decided is not None:
        hang_up(s)
        return
    listen_anew(s)
    if not s.leaving:
        tell_of_failure(s, of.request.name, failure)


def tell_of_failure(s: CallState, name: str, failure: TransferFailureReason) -> None:
    """Tell the model, so that it keeps the caller. A caller who interrupted is being answered already."""
    session.tell(s, _FAILED.format(name=name, failure=failure.value))
    if failure is not TransferFailureReason.INTERRUPTED:
        respond(s, f"notice_{secrets.token_hex(8)}")

"""The life of a call, from the webhook to a known end, decided without I/O.

`Lifecycle` is told what happened and when, and returns what to do now. A call is accepted, then attached; a socket that
closes is attached again, because only that tells whether the call is over; every call ends with a reason, with what
speaks for it, and with how certain that is. Limits see to it that it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum
from typing import Literal

from realtime_sip.call.machine.limits import CallLimits, LimitNear
from realtime_sip.call.machine.transfer import Refer, TakeSecondPath, TransferOver, TransferRequest, Transferring
from realtime_sip.errors import (
    CallGoneError,
    DecisionAlreadyMadeError,
    NetworkError,
    RateLimitedError,
    RealtimeSipError,
    ServerError,
)
from realtime_sip.outcomes import CallEnded, Close, CloseKind, EndReason, Gap, LimitKind, TransferFailure, TransferSign

__all__ = [
    "Act",
    "Attach",
    "DropSocket",
    "Finish",
    "HangUp",
    "Lifecycle",
    "Probe",
    "SayGoodbye",
]

RINGING = 8.0
"""Seconds from the beginning in which a first sideband is tried: accepting and attaching share them."""
AWAITED = 10.0
"""Seconds without any frame after which it is asked for one where it has something to say."""
SILENT_SOCKET = 30.0
"""Seconds without any frame after which the service is asked for a sign of life."""
PROOF_OF_LIFE = 5.0
"""Seconds for that sign."""
_MOST_ATTACHES = 5
_ATTACHES_COUNT_FOR = 60.0
_MOST_FAILED_ATTACHES = 3
_LONGEST_SESSION = 86_400.0
"""Seconds; an `expires_at` beyond is none. The wall is at 60 minutes (API guide, November 2026)."""
_HANGUP_PAUSE = 5.0
_NEAR = Decimal("0.8")
_MOST_HANGUPS = 12


@dataclass(frozen=True, slots=True)
class Attach:
    """Open the sideband. `again` if it was open before: then 404 means that the call is over."""

    again: bool


@dataclass(frozen=True, slots=True)
class HangUp:
    """Hang up, and report with `hung_up` or `hangup_failed`."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask the service for a sign of life."""


@dataclass(frozen=True, slots=True)
class DropSocket:
    """Close the socket, which is dead, and report with `closed`."""


@dataclass(frozen=True, slots=True)
class SayGoodbye:
    """Let the model say this, and report with `goodbye_said` when it was heard."""

    words: str


@dataclass(frozen=True, slots=True)
class Finish:
    """It is over."""

    ended: CallEnded


Act = Attach | HangUp | Probe | DropSocket | SayGoodbye | LimitNear | Finish | Refer | TakeSecondPath | TransferOver


class _Phase(Enum):
    DECIDING = "deciding"
    ATTACHING = "attaching"
    LIVE = "live"
    OVER = "over"


@dataclass(slots=True)
class _Ending:
    """An end that was decided, and not carried out yet."""

    reason: EndReason
    evidence: str
    limit: LimitKind | None = None
    tries: int = 0
    next_try: float | None = None


class Lifecycle:
    """The life of one call. `now` is a clock that only goes forward; `unix` is the wall clock at the same moment."""

    def __init__(self, limits: CallLimits, *, now: float, unix: float, owned: bool = False) -> None:
        self._limits = limits
        self._unix_ahead = unix - now
        self._began = now
        self._owned = owned
        self._phase = _Phase.DECIDING
        self._how_accepted = "the accept was answered with success"
        self._started_at = unix
        self._attached_at: float | None = None
        self._attaches: list[float] = []
        self._close: Close | None = None
        self._lost_at: float | None = None
        self._ending: _Ending | None = None
        self._goodbye: tuple[LimitKind, float] | None = None  # which limit it is for, and how long it may take
        self._failed_attaches = 0
        self._frame_at = 0.0
        self._awaited_since: float | None = None
        self._proof_until: float | None = None
        self._proven = False  # that the service speaks over the socket that is open
        self._busy = False
        self._sounded = False
        self._unattended = False  # the caller has not answered since the model was to ask whether anybody is there
        self._wall: float | None = None
        self._reached_at: dict[LimitKind, float] = {}  # as things are now
        self._told: set[LimitKind] = set()
        self._transfer: Transferring | None = None
        self._end_after: _Ending | None = None  # decided during a transfer, in case it fails
        # Whether the caller was seen to be there since the transfer was due; None where nobody asked.
        self._alive: bool | None = None
        self._unreachable = False
        self.ended: CallEnded | None = None

    # --- answering ----------------------------------------------------------------------------------------------------

    def stale(self, now: float) -> list[Act]:
        """Note that the webhook is too old for the call to be there."""
        return self._finish(EndReason.STALE, "inferred", "the webhook was older than any phone rings", now)

    def adopted(self) -> list[Act]:
        """Note that a program that died had accepted the call, so that it is attached."""
        self._how_accepted = "another program had accepted the call"
        return self.accepted()

    def accepted(self) -> list[Act]:
        """Note that the accept was answered with success, which proves nothing."""
        if self._phase is _Phase.OVER or self._ending is not None:
            return []
        self._phase = _Phase.ATTACHING
        return [Attach(again=False)]

    def accept_failed(self, error: RealtimeSipError, now: float) -> list[Act] | None:
        """Say what a failed accept means; None where nothing but raising it is left.

        An unclear one is settled by attaching. So is a call that was decided already, if it is claimed by us.
        """
        if self._phase is _Phase.OVER or self._ending is not None:
            return []
        match error:
            case CallGoneError():
                evidence = "there was no such call to accept within the deadline"
                return self._finish(EndReason.CALLER, "inferred", evidence, now)
            case DecisionAlreadyMadeError() if not self._owned:
                evidence = "the call had been accepted or rejected before"
                return self._finish(EndReason.DECIDED_ELSEWHERE, "reported", evidence, now)
            case DecisionAlreadyMadeError() | ServerError() | NetworkError(sent=True):
                self._how_accepted = "the accept was unclear"
                return self.accepted()
        return None

    # --- the sideband -------------------------------------------------------------------------------------------------

    def attached(self, now: float) -> list[Act]:
        """Note that the sideband is open."""
        if self._phase is _Phase.OVER:
            return []
        self._phase = _Phase.LIVE
        if self._attached_at is None:
            self._attached_at = now + self._unix_ahead
            if self._limits.max_duration is not None:
                self._reached_at[LimitKind.DURATION] = now + self._limits.max_duration
        self._listen_anew(now)
        self._attaches = [at for at in self._attaches if at > now - _ATTACHES_COUNT_FOR] + [now]
        self._lost_at = None
        self._frame_at = now
        self._proof_until = now + PROOF_OF_LIFE
        self._proven = False
        return [Probe()]

    def attach_failed(self, error: RealtimeSipError, now: float) -> list[Act]:
        """Say what it means that the sideband cannot be opened."""
        if self._phase is _Phase.OVER:
            return []
        if self._ending is not None:
            # What was decided is being carried out; that the call is gone is all that matters any more.
            return self._finish_ending("inferred", now) if isinstance(error, CallGoneError) else []
        if isinstance(error, CallGoneError):
            if self._attached_at is not None:
                evidence = f"the socket closed ({self._close}), and the call was gone when attaching again"
                if self._transfer is not None:
                    return self._left(evidence, now)
                if self._wall is not None and self._lost_at is not None and self._lost_at >= self._wall:
                    return self._finish(EndReason.EXPIRED, "inferred", f"{evidence}, past the session's wall", now)
                return self._finish(EndReason.CALLER, "inferred", evidence, now)
            evidence = self._how_accepted
            evidence += ", but there was no call to attach to within the deadline"
            return self._finish(EndReason.NOT_CONNECTED, "inferred", evidence, now)
        self._failed_attaches += 1
        passing = isinstance(error, (NetworkError, ServerError, RateLimitedError))
        ringing = self._attached_at is None and now >= self._began + RINGING
        if passing and not ringing and self._failed_attaches < _MOST_FAILED_ATTACHES:
            return [Attach(again=self._attached_at is not None)]
        return self.end(EndReason.CONNECTION_LOST, f"the sideband could not be opened ({type(error).__name__})")

    def frame(self, now: float) -> None:
        """Note that the service said something."""
        self._frame_at = now
        self._proof_until = None
        self._proven = True
        self._failed_attaches = 0
        if self._alive is False:
            self._alive = True

    def awaits(self, *, something: bool, now: float) -> None:
        """Note whether the service has something to say, so that a dead socket is noticed sooner."""
        if not something:
            self._awaited_since = None
        elif self._awaited_since is None:
            self._awaited_since = now

    @property
    def _silent_at(self) -> float:
        """When the socket has been silent for too long."""
        silent = self._frame_at + SILENT_SOCKET
        return (
            silent if self._awaited_since is None else min(silent, max(self._frame_at, self._awaited_since) + AWAITED)
        )

    def expires_at(self, unix: float) -> None:
        """Note when the session's wall is, as `session.updated` says. What cannot be true is ignored."""
        if not self._started_at < unix < self._started_at + _LONGEST_SESSION:
            return
        wall = unix - self._unix_ahead
        if wall != self._wall:
            self._wall = wall
            self._reached_at[LimitKind.EXPIRY] = wall - self._limits.goodbye_time - PROOF_OF_LIFE
            self._told.discard(LimitKind.EXPIRY)

    def closed(self, close: Close, now: float) -> list[Act]:
        """Note that the socket closed. That is not the end: attaching again decides."""
        if self._phase is not _Phase.LIVE:
            return []
        self._close, self._lost_at = close, now
        self._phase = _Phase.ATTACHING
        # Nobody knows what is said from now on, until the sideband is back.
        self._reached_at.pop(LimitKind.SILENCE, None)
        self._reached_at.pop(LimitKind.FIRST_SOUND, None)
        if close.kind is CloseKind.EXPIRED:
            evidence = "the service said that the session expired"
            if self._transfer is not None:
                return self._left(evidence, now, EndReason.EXPIRED, "reported")
            if self._ending is None:
                return self._finish(EndReason.EXPIRED, "reported", evidence, now)
            self._ending.evidence += f"; {evidence} before that was done"
            return self._finish_ending("reported", now)
        if self._ending is not None:
            return []  # what was decided is being carried out
        recent = [at for at in self._attaches if at > now - _ATTACHES_COUNT_FOR]
        if len(recent) >= _MOST_ATTACHES:
            return self.end(EndReason.CONNECTION_LOST, f"the socket closed {len(recent)} times within a minute")
        if self._failed_attaches >= _MOST_FAILED_ATTACHES:
            return self.end(EndReason.CONNECTION_LOST, "the sideband opened, but the service said nothing over it")
        return [Attach(again=True)]

    def gap(self, now: float) -> Gap | None:
        """Return the hole that ends now, where the sideband was lost."""
        if self._lost_at is None or self._close is None:
            return None
        return Gap(self._lost_at + self._unix_ahead, now + self._unix_ahead, self._close)

    # --- ending -------------------------------------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """Whether the call may still be up."""
        return self._phase is not _Phase.OVER

    @property
    def ending(self) -> bool:
        """Whether the end was decided."""
        return self._ending is not None

    def end(self, reason: EndReason, evidence: str, *, limit: LimitKind | None = None) -> list[Act]:
        """Decide that the call ends now, or, during a transfer, when that fails. A second decision changes nothing."""
        if self._phase is _Phase.OVER or self._ending is not None:
            return []
        if self._transfer is not None:
            # Hanging up would undo what the caller waits for. It is done if the transfer fails.
            self._end_after = self._end_after or _Ending(reason, evidence, limit)
            self._unreachable = self._unreachable or reason is EndReason.CONNECTION_LOST
            return []
        self._ending = _Ending(reason, evidence, limit)
        return self._end_now()

    def detached(self, now: float) -> list[Act]:
        """Let go of the call, which goes on. Where its end was decided, that is carried out all the same."""
        if self._ending is not None or self._end_after is not None:
            return []
        return self._finish(EndReason.DETACHED, "reported", "the program let go of the call", now)

    def rejected(self, now: float) -> list[Act]:
        """Note that the call was rejected."""
        return self._finish(EndReason.REJECTED, "reported", "the program rejected the call", now)

    def hung_up(self, now: float) -> list[Act]:
        """Note that the service has hung up."""
        return self._finish_ending("reported", now)

    def hangup_failed(self, error: RealtimeSipError, now: float) -> list[Act]:
        """Say what a failed hangup means: the call was over, or it is tried again."""
        if self._phase is _Phase.OVER or self._ending is None:
            return []
        if isinstance(error, CallGoneError):
            self._ending.evidence += "; it was over when it was to be hung up"
            return self._finish_ending("inferred", now)
        if self._ending.tries >= _MOST_HANGUPS:
            self._ending.evidence += f"; it could not be hung up ({type(error).__name__}), and may be up"
            return self._finish_ending("inferred", now)
        self._ending.next_try = now + _HANGUP_PAUSE
        return []

    def goodbye_said(self) -> list[Act]:
        """Note that the goodbye was heard."""
        return [] if self._goodbye is None else self._limit_over(self._goodbye[0])

    def _end_now(self) -> list[Act]:
        assert self._ending is not None
        self._ending.tries += 1
        self._ending.next_try = None
        return [HangUp()]

    def _finish_ending(self, certainty: Literal["reported", "inferred"], now: float) -> list[Act]:
        if self._ending is None:
            return []
        if self._ending.reason is EndReason.TRANSFERRED:
            certainty = "reported"  # the target has answered, however the leg left
        return self._finish(self._ending.reason, certainty, self._ending.evidence, now, self._ending.limit)

    def _finish(
        self,
        reason: EndReason,
        certainty: Literal["reported", "inferred"],
        evidence: str,
        now: float,
        limit: LimitKind | None = None,
    ) -> list[Act]:
        if self._phase is _Phase.OVER:
            return []
        self._phase = _Phase.OVER
        self._transfer = None
        self.ended = CallEnded(
            reason=reason,
            certainty=certainty,
            evidence=evidence,
            limit=limit,
            started_at=self._started_at,
            attached_at=self._attached_at,
            ended_at=now + self._unix_ahead,
            close=self._close,
        )
        return [Finish(self.ended)]

    # --- transfer -----------------------------------------------------------------------------------------------------

    @property
    def transferring(self) -> bool:
        """Whether a transfer is wanted or under way. Meanwhile nothing here hangs up."""
        return self._transfer is not None

    def transfer(self, request: TransferRequest, *, second_path: bool) -> None:
        """Note that the call is to be transferred, once what is being said was heard; one at a time."""
        if self._phase is not _Phase.OVER and self._ending is None and self._transfer is None:
            self._transfer = Transferring(request, second_path=second_path)

    def transfer_begins(self, now: float) -> list[Act]:
        """Transfer now."""
        return [] if self._transfer is None else self._moved(self._transfer.begin(now), now)

    def referred(self, request: TransferRequest) -> None:
        """Note that the refer was answered with success, which proves nothing."""
        transfer = self._transfer_of(request)
        if transfer is not None:
            transfer.referred()

    def refer_failed(self, error: RealtimeSipError, now: float, request: TransferRequest) -> list[Act]:
        """Say what a failed refer means."""
        transfer = self._transfer_of(request)
        if transfer is None:
            return []
        if isinstance(error, CallGoneError):
            return self._left("the call was gone when it was to be transferred", now)
        return self._moved(transfer.refer_failed(error, now), now)

    def second_path_taken(self, now: float, request: TransferRequest) -> None:
        """Note that the carrier was asked by the second path."""
        transfer = self._transfer_of(request)
        if transfer is not None:
            transfer.second_path_taken(now)

    def second_path_failed(self, what: str, now: float, request: TransferRequest) -> list[Act]:
        """Note that the second path failed; `what` is safe to log."""
        transfer = self._transfer_of(request)
        return [] if transfer is None else self._moved(transfer.second_path_failed(what), now)

    def _transfer_of(self, request: TransferRequest) -> Transferring | None:
        """Return the transfer under way, unless what was answered is the request of one before it."""
        return self._transfer if self._transfer is not None and self._transfer.request is request else None

    def transfer_signed(self, sign: TransferSign, now: float) -> None:
        """Note what the carrier tells; that the target has answered may come after the caller's leg has left."""
        if self._transfer is not None:
            self._transfer.signed(sign, now)
        elif sign is TransferSign.ANSWERED and self._was_transferred is not None:
            evidence = f"{self._was_transferred.evidence}; the carrier reported: answered"
            self.ended = replace(self._was_transferred, certainty="reported", evidence=evidence)

    def transfer_failed(self, failure: TransferFailure, now: float) -> list[Act]:
        """Note that it failed, as the carrier tells. Where the caller's leg has left, that is all that can be done."""
        if self._transfer is not None:
            return self._moved(self._transfer.failed(failure), now)
        told = f"; the carrier reported: {failure.value}"
        if self._was_transferred is not None and told not in self._was_transferred.evidence:
            self.ended = replace(self._was_transferred, evidence=self._was_transferred.evidence + told)
        return []

    @property
    def _was_transferred(self) -> CallEnded | None:
        """The end, where it is inferred that the caller was transferred."""
        ended = self.ended
        inferred = ended is not None and ended.reason is EndReason.TRANSFERRED and ended.certainty == "inferred"
        return ended if inferred else None

    def _left(
        self,
        evidence: str,
        now: float,
        otherwise: EndReason = EndReason.CALLER,
        certainty: Literal["reported", "inferred"] = "inferred",
    ) -> list[Act]:
        """Say why the caller's leg left during a transfer: it was transferred, as far as anybody can tell, or not."""
        assert self._transfer is not None
        seen = self._transfer.evidence
        answered = self._transfer.certainty == "reported"
        if answered or (otherwise is EndReason.CALLER and self._transfer.left_as_transferred):
            return self._finish(EndReason.TRANSFERRED, self._transfer.certainty, f"{seen}; then {evidence}", now)
        return self._finish(otherwise, certainty, f"{evidence}; a transfer was under way: {seen}", now)

    def _moved(self, moves: Sequence[Refer | TakeSecondPath | TransferOver], now: float) -> list[Act]:
        acts: list[Act] = [*moves]
        if moves:
            self._alive = None  # that the caller was there says nothing about later
        if any(isinstance(move, TransferOver) for move in moves):
            self._transfer = None
            self._ending, self._end_after = self._end_after, None
            if self._ending is not None:
                acts += self._end_now()
            self._listen_anew(now)
        return acts

    def _transfer_due(self, now: float) -> list[Act]:
        transfer = self._transfer
        assert transfer is not None
        if transfer.sign is TransferSign.ANSWERED:
            self._transfer = self._end_after = None
            return self.end(EndReason.TRANSFERRED, f"{transfer.evidence}; the caller's leg stayed, and was hung up")
        if self._unreachable:
            return self._moved(transfer.expired(now, there=False), now)
        if self._alive is None:
            # The leg may have left with nobody telling: then dialling again would dial twice.
            self._alive = False
            if self._phase is not _Phase.LIVE:
                return []
            self._proof_until = now + PROOF_OF_LIFE
            return [Probe()]
        return self._moved(transfer.expired(now, there=True), now)

    # --- limits -------------------------------------------------------------------------------------------------------

    def spent(self, now: float, *, cost: Decimal | None, estimate: Decimal | None, tokens: int) -> list[Act]:
        """Note what the call has cost so far, in US dollars and tokens; `estimate` with what is being said."""
        if self._phase is _Phase.OVER:
            return []
        limits = self._limits
        most_cost = None if limits.max_cost is None else Decimal(str(limits.max_cost))
        acts: list[Act] = []
        for limit, used, likely, most in (
            (LimitKind.COST, cost, estimate, most_cost),
            (LimitKind.TOKENS, Decimal(tokens), Decimal(tokens), limits.max_tokens),
        ):
            if most is None or used is None:
                continue
            if used >= most:
                self._reached_at.setdefault(limit, now)
            elif max(used, likely or used) >= most * _NEAR and limit not in self._told:
                self._told.add(limit)
                acts.append(LimitNear(limit, None))
        return acts

    def sound(self) -> None:
        """Note that somebody was heard: the first sound has come."""
        self._sounded = True
        self._reached_at.pop(LimitKind.FIRST_SOUND, None)

    def activity(self, now: float, *, busy: bool) -> None:
        """Note that something has happened; while `busy`, silence does not count."""
        self._busy = busy
        if self._unattended:
            return
        self._told.discard(LimitKind.SILENCE)
        self._reached_at.pop(LimitKind.SILENCE, None)
        if not busy:
            self._count_silence(now)

    def caller_silent(self, now: float) -> None:
        """Note that the model is about to ask whether anybody is there. Until the caller answers, that is silence."""
        self._unattended = True
        if LimitKind.SILENCE not in self._reached_at:
            self._count_silence(now)

    def caller_there(self) -> None:
        """Note that the caller has spoken or pressed a key."""
        self._unattended = False

    def _count_silence(self, now: float) -> None:
        if self._phase is _Phase.LIVE and self._limits.silence is not None:
            self._reached_at[LimitKind.SILENCE] = now + self._limits.silence

    def _listen_anew(self, now: float) -> None:
        self._unattended = False
        self.activity(now, busy=self._busy)
        if self._limits.first_sound is not None and not self._sounded and self._phase is _Phase.LIVE:
            self._told.discard(LimitKind.FIRST_SOUND)
            self._reached_at[LimitKind.FIRST_SOUND] = now + self._limits.first_sound

    def _reached(self, limit: LimitKind, now: float) -> list[Act]:
        words = self._limits.goodbye
        self._reached_at.clear()
        if words is None or limit is LimitKind.FIRST_SOUND or self._phase is not _Phase.LIVE:
            return self._limit_over(limit)
        self._goodbye = (limit, now + self._limits.goodbye_time)
        return [SayGoodbye(words)]

    def _limit_over(self, limit: LimitKind) -> list[Act]:
        self._goodbye = None
        return self.end(EndReason.LIMIT, f"the limit of {limit.value} was reached", limit=limit)

    @property
    def deadline(self) -> float | None:
        """When `tick` must be called at the latest, unless something happens before; None for never."""
        if self._phase is _Phase.OVER:
            return None
        times = []
        if self._ending is not None:
            if self._ending.next_try is not None:
                times.append(self._ending.next_try)
        elif self._transfer is not None:
            if self._transfer.deadline is not None and (self._alive is not False or self._unreachable):
                times.append(self._transfer.deadline)
        elif self._goodbye is not None:
            times.append(self._goodbye[1])
        else:
            for limit, at in self._reached_at.items():
                times.append(at if limit in self._told else max(at - self._limits.warning, 0.0))
        if self._phase is _Phase.LIVE:
            times.append(self._proof_until if self._proof_until is not None else self._silent_at)
        return min(times, default=None)

    def tick(self, now: float) -> list[Act]:
        """Do what is due: a limit, its warning, a probe, another try at hanging up."""
        if self._phase is _Phase.OVER:
            return []
        acts: list[Act] = []
        if self._phase is _Phase.LIVE:
            if self._proof_until is not None and self._proof_until <= now:
                self._proof_until = None
                self._frame_at = now
                self._failed_attaches += not self._proven
                return [DropSocket()]
            if self._proof_until is None and self._silent_at <= now:
                self._proof_until = now + PROOF_OF_LIFE
                acts.append(Probe())
        if self._ending is not None:
            if self._ending.next_try is not None and self._ending.next_try <= now:
                acts += self._end_now()
            return acts
        if self._transfer is not None:
            due = self._transfer.deadline is not None and self._transfer.deadline <= now
            return (
                [*acts, *self._transfer_due(now)] if due and (self._alive is not False or self._unreachable) else acts
            )
        if self._goodbye is not None:
            limit, until = self._goodbye
            return [*acts, *(self._limit_over(limit) if until <= now else [])]
        for limit, at in sorted(self._reached_at.items(), key=lambda entry: entry[1]):
            if at <= now:
                return [*acts, *self._reached(limit, now)]
            if limit not in self._told and at - self._limits.warning <= now:
                self._told.add(limit)
                acts.append(LimitNear(limit, at - now))
        return acts

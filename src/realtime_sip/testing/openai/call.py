"""The life of one emulated call: ringing, accepted, over."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from realtime_sip.testing.clock import Changes, Clock
from realtime_sip.testing.faults import LineFault
from realtime_sip.testing.openai.account import account
from realtime_sip.testing.openai.attendance import Tally
from realtime_sip.testing.openai.behavior import Behavior, Timings
from realtime_sip.testing.openai.frames import Frame, Ids
from realtime_sip.testing.openai.line import Line
from realtime_sip.testing.openai.record import LineRecord, RecordedRequest
from realtime_sip.testing.openai.recording import Recording
from realtime_sip.testing.openai.webhook import CallTarget, Deliveries
from realtime_sip.testing.openai.websocket import WebSocket
from realtime_sip.testing.reply_faults import CallFault, DecidedElsewhere, ReplyFaults, RequestFails, check_call_faults
from realtime_sip.testing.scenario import CallerHangsUp, Scenario

__all__ = ["CallEnd", "CallState", "EmulatedCall", "EndedBy"]


class CallState(StrEnum):
    """How far a call is."""

    RINGING = "ringing"
    ACCEPTED = "accepted"
    ENDED = "ended"


class EndedBy(StrEnum):
    """Who or what ended a call, as the emulated service saw it."""

    CALLER = "caller"
    """The caller hung up, or gave up while it rang."""
    AGENT = "agent"
    """The program called hangup."""
    REJECTED = "rejected"
    """The program called reject."""
    NOT_ANSWERED = "not answered"
    """Nobody decided while it rang."""
    TRANSFERRED = "transferred"
    """The caller's leg left for a target: after refer, or because the carrier was told to take it there."""
    EXPIRED = "expired"
    """The session reached its longest duration."""
    FAILED = "failed"
    """Accept was answered 200, and there was no call afterwards (`Behavior.bad_accept` and `accept`)."""
    EMULATOR = "emulator"
    """The emulator was closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnd:
    """The end of a call.

    Attributes:
        by: Who or what ended it.
        close_code: How the sideband was closed; None if none was open, or if it stays open.
        status_code: The SIP status of a reject; None otherwise.
        target_uri: Where a transferred caller went; None otherwise.
        seconds: How long the call was up since the webhook was sent, on the emulator's clock.
        seen: What the program under test says about the end, if `ring` was given an object that says it
            (`CallHost.ended`); None otherwise. `reason`, `certainty` and `evidence` are those of it.
    """

    by: EndedBy
    close_code: int | None = None
    status_code: int | None = None
    target_uri: str | None = field(default=None, repr=False)
    seconds: float
    seen: Any = None

    @property
    def reason(self) -> Any:
        """The program's own reason for the end: an `EndReason`, or None if it says nothing."""
        return getattr(self.seen, "reason", None)

    @property
    def certainty(self) -> Any:
        """How sure the program is of that, or None if it says nothing."""
        return getattr(self.seen, "certainty", None)

    @property
    def evidence(self) -> Any:
        """From what the program concludes that, or None if it says nothing."""
        return getattr(self.seen, "evidence", None)


class EmulatedCall:
    """What the calls API changes, and what the caller does. Holds no HTTP."""

    def __init__(
        self,
        call_id: str,
        *,
        ids: Ids,
        clock: Clock,
        timings: Timings,
        behavior: Behavior,
        scenario: Scenario,
        recording: Recording | None = None,
        faults: Iterable[CallFault] = (),
        strict: bool = False,
    ) -> None:
        self.call_id = call_id
        self.state = CallState.RINGING
        self.end: CallEnd | None = None
        self.behavior = behavior
        self.record = LineRecord()
        self.changes = Changes()
        self.requests: list[RecordedRequest] = []
        self.deliveries = Deliveries(self.changes)
        self.targets: list[CallTarget] = []
        """The objects in this process that the call was given to."""
        self.accepted_session: Frame | None = None
        self.line: Line | None = None
        self.dialed: list[str] = []
        """The targets that the carrier dialed for the caller."""
        self.decided = False
        self.abandoned = False
        """Whether the caller gave up while it rang."""
        self.scenario = scenario
        self.strict = strict
        """Whether the scenario has to be played as it is written."""
        self.clock = clock
        self._ids = ids
        self._timings = timings
        self._recording = recording
        given = check_call_faults(faults)
        self._faults = [fault for fault in given if isinstance(fault, LineFault)]
        self.reply_faults = ReplyFaults(fault for fault in given if isinstance(fault, RequestFails))
        """Which requests on this call fail."""
        self.carrier: Callable[[str], None] | None = None
        """What takes a refer in place of `Behavior.refer`, if the carrier is emulated too."""
        self.decides = next((fault for fault in given if isinstance(fault, DecidedElsewhere)), None)
        """What another worker decides."""
        self.elsewhere = False
        """Whether another worker has the call."""
        self._counts = {"accepts": 0, "rejects": 0, "refers": 0, "hangups": 0}
        self._rang_at = clock.now()
        self._accepted_at = 0.0
        self._transfers = 0

    @property
    def plays_recording(self) -> bool:
        """Whether it plays a recording in place of a scenario."""
        return self._recording is not None

    @property
    def early_for_accept(self) -> bool:
        """Whether accept does not find the call yet."""
        return self.clock.now() < self._rang_at + self.behavior.early

    @property
    def early_for_sideband(self) -> bool:
        """Whether attach and hangup do not find the call yet."""
        return self.state is CallState.ACCEPTED and self.clock.now() < self._accepted_at + self.behavior.early

    @property
    def no_sideband_yet(self) -> bool:
        """Whether attach does not find the call yet, though it is up."""
        return self.clock.now() < self._accepted_at + self.behavior.sideband_after

    @property
    def unattended(self) -> bool:
        """Whether the call is up, and nobody is attached."""
        return self.line is not None and self.line.wire.attendance.alone

    @property
    def tally(self) -> Tally:
        """What was done to the call."""
        if self.line is None:
            return Tally(**self._counts)
        alone = self.line.wire.attendance
        return Tally(
            **self._counts, attaches=self.record.sockets, unattended=alone.longest, unattended_in_all=alone.total
        )

    def carried_out(self, operation: str) -> None:
        """Count a request of the program that was carried out."""
        self._counts[f"{operation}s"] += 1
        if self.elsewhere:
            self.record.note(f"the program did {operation} to a call that another worker has")

    async def decided_elsewhere(self, decision: DecidedElsewhere) -> None:
        """Have another worker decide."""
        await self.clock.sleep(decision.after)
        if self.state is not CallState.RINGING:
            self.record.note("another worker was to decide, but came too late")
        elif decision.by == "reject":
            self.reject(603)
        else:
            self.elsewhere = True
            self.accept({"type": "realtime"})

    async def ring(self) -> None:
        """Ring until somebody decides or everybody gives up."""
        self._rang_at = self.clock.now()
        first = self.scenario.next
        if isinstance(first, CallerHangsUp) and first.while_ringing:
            self.scenario.advance()
            await self.clock.sleep(first.after)
            if self.state is CallState.ACCEPTED:
                self.record.note("the caller was to give up while it rang, but the call was accepted before")
                self.finish(EndedBy.CALLER)
            if self.decided:
                return
            self.cancel()
        patience = self.clock.patience(self._timings.ring)
        if not await self.changes.until(lambda: self.decided, seconds=patience):
            self.finish(EndedBy.CALLER if self.abandoned else EndedBy.NOT_ANSWERED)

    def cancel(self) -> None:
        """Have the caller, or the carrier, give up while it rings."""
        self.abandoned = True
        if self.behavior.canceled == "gone":
            self.finish(EndedBy.CALLER)
        self.changes.notify()

    def accept(self, session: Frame) -> None:
        """Accept with a session that is known to be valid."""
        self.decided = True
        self.state = CallState.ACCEPTED
        self.accepted_session = session
        self._accepted_at = self.clock.now()
        self.line = Line(
            ids=self._ids,
            clock=self.clock,
            timings=self._timings,
            behavior=self.behavior,
            record=self.record,
            changes=self.changes,
            config=session,
            scenario=self.scenario,
            recording=self._recording,
            faults=self._faults,
            primary=False,
            on_end=lambda by: self.finish(EndedBy(by)),
        )
        self.line.wire.elsewhere = self.elsewhere
        self.line.start(caller=not self.abandoned)
        self.changes.notify()

    def believe(self) -> None:
        """Answer an accept as if all were well, and lose the call."""
        self.decided = True
        self.finish(EndedBy.FAILED)

    def reject(self, status_code: int) -> None:
        """Reject."""
        self.decided = True
        self.finish(EndedBy.REJECTED, status_code=status_code)

    def refer(self, target_uri: str) -> None:
        """Have the carrier hand the caller over, as `Behavior.refer` says."""
        assert self.line is not None
        if self.behavior.refer == "ignored":
            return
        if self.carrier is not None:
            self.carrier(target_uri)
            return
        if self._transfers:
            self.record.note("a refer came while another one was under way; what happens then is not known: both dial")
        self.dial(target_uri)
        self._transfers += 1
        self.line.divert(True)
        self.line.wire.spawn(self._transfer(target_uri))

    def redirect(self, target_uri: str) -> bool:
        """Have the carrier take the caller's leg to a target by itself; return whether there is a leg to take."""
        if self.abandoned or (self.end is not None and self.end.by in (EndedBy.CALLER, EndedBy.EMULATOR)):
            return False
        if self.end is not None and self.end.by is EndedBy.TRANSFERRED:
            self.record.note("the carrier took the caller away from a target that was reached before")
        self.dial(target_uri)
        self.finish(EndedBy.TRANSFERRED, target_uri=target_uri)
        return True

    async def attach(self, socket: WebSocket) -> None:
        """Serve a sideband."""
        assert self.line is not None
        if self.elsewhere:
            self.record.note("the program attached to a call that another worker has")
        await self.line.serve(socket)

    async def attachable(self) -> None:
        """Wait until the sideband opens after accept, as it does a little later."""
        left = self._accepted_at + self._timings.attach - self.clock.now()
        if left > 0:
            await self.clock.sleep(left)

    def finish(self, by: EndedBy, *, status_code: int | None = None, target_uri: str | None = None) -> None:
        """End the call; the second time does nothing."""
        if self.state is CallState.ENDED:
            return
        self.state = CallState.ENDED
        self.decided = True
        close_code = None
        if self.line is not None:
            closes = self.behavior.closes_at_end or by is EndedBy.EMULATOR
            self.line.end(self.behavior.end_code, close=closes)
            close_code = self.line.wire.close_code
        self.end = CallEnd(
            by=by,
            close_code=close_code,
            status_code=status_code,
            target_uri=target_uri,
            seconds=self.clock.now() - self._rang_at,
        )
        self.changes.notify()

    async def stopped(self) -> None:
        """Wait until nothing of the call runs any more."""
        if self.line is not None:
            await self.line.wire.stopped()

    def dial(self, target_uri: str) -> None:
        """Record a target that the carrier dials for the caller."""
        self.record.keep(self.dialed, target_uri)
        self.changes.notify()

    async def _transfer(self, target_uri: str) -> None:
        assert self.line is not None
        outcome = self.behavior.refer
        at_once = outcome in ("leaves", "busy")
        await self.clock.sleep(self._timings.transfer if at_once else self._timings.target_rings)
        if outcome in ("leaves", "bridged"):
            self.finish(EndedBy.TRANSFERRED, target_uri=target_uri)
        elif outcome == "given up":
            self.finish(EndedBy.CALLER)
        else:
            self._transfers -= 1
            self.line.divert(self._transfers > 0)

    def account(self) -> str | None:
        """Say how the call differed from its scenario, if it is strict; None if it did not."""
        if not self.strict:
            return None
        replay = None if self.line is None else self.line.replay
        end = "nobody" if self.end is None else str(self.end.by)
        return account(f"call {self.call_id}", self.scenario, self.record, replay, end=f"ended by: {end}")

    def describe(self) -> str:
        """Say what has happened so far, without anybody's words or numbers."""
        sockets = 0 if self.line is None else len(self.line.wire.sockets)
        parts = [str(self.state), f"{sockets} sideband(s) open, {self.record.sockets} opened so far"]
        if self.end is not None:
            parts[0] = f"ended by: {self.end.by}"
        answers: list[Any] = [answer.status_code for answer in self.deliveries.responses]
        parts.append("the webhook was answered " + (", ".join(str(a or "not at all") for a in answers) or "not yet"))
        done = [f"{request.operation} {request.status}" for request in self.requests]
        parts.append("requests: " + (", ".join(done[-10:]) or "none"))
        sent = [str(event.get("type")) for event in self.record.client_events]
        parts.append("the client sent: " + (", ".join(sent[-10:]) or "nothing"))
        if self.line is not None and self.line.replay is not None:
            parts.append(f"the recording waits for {self.line.replay.awaited or 'nothing'}")
        else:
            parts.append(self.scenario.describe())
        parts += self.record.notes[-5:]
        return "; ".join(parts)

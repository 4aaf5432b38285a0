"""A test's handle on a call of the emulated Twilio."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from realtime_sip.testing.clock import ScenarioError, deadline
from realtime_sip.testing.openai.ringing import RingingCall
from realtime_sip.testing.twilio.call import Queued, VoiceCall
from realtime_sip.testing.twilio.legs import Leg, LegStatus
from realtime_sip.testing.twilio.record import RequestKind, TwilioAlert, TwilioRequest

__all__ = ["TwilioCall"]


class TwilioCall:
    """A call that `TwilioEmulator.ring` made, or that was created over REST: what was seen of it, and what to wait for.

    The lists grow while the call lasts. `timeout` is as in `RingingCall`.
    """

    def __init__(self, call: VoiceCall, *, alerts: Iterable[int | None] = ()) -> None:
        self._call = call
        self._expected = Counter(alerts)

    def __repr__(self) -> str:
        """Show SID and status."""
        return f"<TwilioCall {self.sid} {self.status}>"

    @property
    def sid(self) -> str:
        """The call's SID: `CallSid` of its webhooks, and the parent of what its TwiML dials."""
        return self._call.leg.sid

    @property
    def status(self) -> LegStatus:
        """The status of the caller's leg."""
        return self._call.leg.status

    @property
    def history(self) -> list[LegStatus]:
        """Every status of the caller's leg, in order."""
        return self._call.leg.history

    @property
    def requests(self) -> list[TwilioRequest]:
        """The requests to the program for this call and the legs that it dialed, in order of their answers."""
        return self._call.requests

    @property
    def alerts(self) -> list[TwilioAlert]:
        """What Twilio's debugger would show of this call."""
        return self._call.alerts

    @property
    def heard(self) -> list[str]:
        """The texts of Say and the URLs of Play that the caller heard."""
        return self._call.heard

    @property
    def children(self) -> list[Leg]:
        """The legs that were dialed, in order. Each has `sid`, `to`, `from_`, `status`, `history`, `sip_code`."""
        return self._call.children

    @property
    def queued(self) -> list[Queued]:
        """The queues that the caller was put into, in order."""
        return self._call.queued

    @property
    def openai_calls(self) -> list[RingingCall]:
        """The calls that rang at OpenAI, in order."""
        return self._call.openai_calls

    def requested(self, kind: RequestKind) -> list[TwilioRequest]:
        """Return the requests of one kind, such as "action"."""
        return [request for request in self.requests if request.kind == kind]

    def hang_up(self) -> None:
        """Let the caller hang up now."""
        self._call.leave()

    async def until_requested(
        self,
        kind: RequestKind,
        *,
        count: int = 1,
        timeout: float | None = None,  # noqa: ASYNC109 - a deadline with a message
    ) -> TwilioRequest:
        """Wait until `count` requests of one kind were answered, and return the last one of them.

        Raises:
            ScenarioError: They were not.
        """
        await self._until(f"{count} request(s) for {kind}", lambda: len(self.requested(kind)) >= count, timeout)
        return self.requested(kind)[count - 1]

    async def until_openai(self, *, count: int = 1, timeout: float | None = None) -> RingingCall:  # noqa: ASYNC109
        """Wait until `count` calls have rung at OpenAI, and return the last one of them.

        Raises:
            ScenarioError: They did not, or the call is over.
        """
        await self._until(
            f"{count} call(s) to OpenAI", lambda: len(self.openai_calls) >= count, timeout, until_over=True
        )
        return self.openai_calls[count - 1]

    async def until_dialed(
        self,
        *,
        count: int = 1,
        answered: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> Leg:
        """Wait until `count` legs have been dialed, and the last one of them was `answered`; return that one.

        Raises:
            ScenarioError: They were not, or the call is over.
        """

        def dialed() -> bool:
            legs = self.children[count - 1 : count]
            return bool(legs) and not (answered and legs[0].answered_at is None)

        await self._until(f"{count} leg(s) to be dialed", dialed, timeout, until_over=True)
        return self.children[count - 1]

    async def until_queued(self, *, count: int = 1, timeout: float | None = None) -> Queued:  # noqa: ASYNC109
        """Wait until the caller was put into `count` queues, and return the last one of them.

        Raises:
            ScenarioError: They were not, or the call is over.
        """
        await self._until(f"{count} queue(s)", lambda: len(self.queued) >= count, timeout, until_over=True)
        return self.queued[count - 1]

    async def until_status(self, status: LegStatus, *, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Wait until the caller's leg has had a status.

        Raises:
            ScenarioError: It has not.
        """
        await self._until(f"the status {status}", lambda: status in self.history, timeout, until_over=True)

    async def ended(self, *, timeout: float | None = None) -> LegStatus:  # noqa: ASYNC109
        """Wait until the call is over and all status callbacks were sent; return its final status.

        Raises:
            ScenarioError: It is still up.
        """
        await self._until("the call to end", self._over, timeout)
        return self.status

    def account(self) -> str | None:
        """Say how the call differed from what was expected of it; None if it did not, or is not strict."""
        if not self._call.strict:
            return None
        seen, expected = Counter(alert.code for alert in self.alerts), self._expected
        missing = sorted((expected - seen).elements(), key=str)
        wrong = [f"Twilio's debugger shows {alert}" for alert in self.alerts if seen[alert.code] > expected[alert.code]]
        wrong += [f"an alert with the code {code} was expected" for code in missing]
        if self._call.scenarios is not self._call.board.scenarios and any(self._call.scenarios):
            wrong.append("not all scenarios were played, since OpenAI did not ring so often")
        return f"call {self.sid}: {'; '.join(wrong)}. It is: {self.describe()}" if wrong else None

    def describe(self) -> str:
        """Say what has happened so far, without anybody's words or numbers."""
        asked = [f"{request.kind} {request.status_code or 'without an answer'}" for request in self.requests]
        legs = [f"{leg.to.partition(':')[0] if ':' in leg.to else 'number'} {leg.status}" for leg in self.children]
        return (
            f"{self.status}; requests: {', '.join(asked[-20:]) or 'none'}; dialed: {', '.join(legs[-20:]) or 'nobody'}"
            f"; queued {len(self.queued)} time(s); alerts: {', '.join(map(str, self.alerts[-10:])) or 'none'}"
        )

    def _over(self) -> bool:
        return self._call.leg.over and not self._call.board.reports_left

    async def _until(
        self, expected: str, condition: Callable[[], bool], patience: float | None, *, until_over: bool = False
    ) -> None:
        seconds = deadline(patience)
        await self._call.board.changes.until(
            lambda: condition() or (until_over and self._call.leg.over), seconds=seconds
        )
        if not condition():
            raise ScenarioError(f"expected {expected} within {seconds:g} s; it is: {self.describe()}")

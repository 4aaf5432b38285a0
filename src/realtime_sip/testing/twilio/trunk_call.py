"""A call to a number that belongs to a trunk: its origination URLs are tried, and one of them takes it, or none."""

from __future__ import annotations

import random
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from realtime_sip.testing.clock import ScenarioError, deadline
from realtime_sip.testing.openai.invite import Invite
from realtime_sip.testing.openai.ringing import RingingCall
from realtime_sip.testing.scenario import Step
from realtime_sip.testing.twilio.ends import Callee, CalleeEnd, FarEnd, OpenAIEnd
from realtime_sip.testing.twilio.legs import Leg, LegStatus
from realtime_sip.testing.twilio.nouns import word_of
from realtime_sip.testing.twilio.record import TwilioAlert
from realtime_sip.testing.twilio.sip_uri import SipTarget, read_target
from realtime_sip.testing.twilio.twiml import Verb

if TYPE_CHECKING:
    from realtime_sip.testing.twilio.ringing import TwilioCall
    from realtime_sip.testing.twilio.switchboard import Switchboard

__all__ = ["TrunkCall"]

_NO_ANSWER = 4.0
"""Seconds without a SIP response, after which the next URL is tried (documented)."""
_FINAL = {400, 404, 405, 410, 416, 482, 484, 486}


class TrunkCall:
    """A call that `TwilioEmulator.ring_trunk` made: what was seen of it, and what to wait for.

    Attributes:
        tried: The origination URLs that were tried, in order, each with the SIP status of its answer; None for none.
        openai_calls: The calls that rang at OpenAI, in order.
        transferred: Where a REFER took the caller, or None.
        disaster: The call that the disaster recovery URL got, or None.
        alerts: What Twilio's debugger would show.
    """

    def __init__(
        self,
        board: Switchboard,
        leg: Leg,
        trunk: dict[str, Any],
        *,
        caller_name: str,
        scenarios: Iterable[Iterable[Step]],
        alerts: Iterable[int | None],
        strict: bool,
        recover: Callable[[str, str], Awaitable[TwilioCall]],
    ) -> None:
        self.tried: list[tuple[str, int | None]] = []
        self.openai_calls: list[RingingCall] = []
        self.transferred: str | None = None
        self.disaster: TwilioCall | None = None
        self.alerts: list[TwilioAlert] = []
        self._board = board
        self._leg = leg
        self._trunk = trunk
        self._name = caller_name or leg.from_
        self._scenarios = [list(each) for each in scenarios]
        self._expected = sorted(alerts, key=str)
        self._strict = strict
        self._recover = recover
        self._left = False

    @property
    def status(self) -> LegStatus:
        """The status of the caller's leg."""
        return self._leg.status

    def hang_up(self) -> None:
        """Let the caller hang up now."""
        self._left = True
        self._board.changes.notify()

    async def until_openai(self, *, count: int = 1, timeout: float | None = None) -> RingingCall:  # noqa: ASYNC109
        """Wait until `count` calls have rung at OpenAI, and return the last one of them.

        Raises:
            ScenarioError: They did not, or the call is over.
        """
        await self._until(f"{count} call(s) to OpenAI", lambda: len(self.openai_calls) >= count, timeout)
        return self.openai_calls[count - 1]

    async def ended(self, *, timeout: float | None = None) -> LegStatus:  # noqa: ASYNC109
        """Wait until the call is over, and return its final status.

        Raises:
            ScenarioError: It is still up.
        """
        await self._until("the call to end", lambda: self._leg.over, timeout)
        return self.status

    def account(self) -> str | None:
        """Say how the call differed from what was expected of it; None if it did not, or is not strict."""
        codes = sorted((alert.code for alert in self.alerts), key=str)
        if not self._strict or codes == self._expected:
            return None
        return f"trunk call {self._leg.sid}: alerts {codes}, and {self._expected} were expected: {self.describe()}"

    def describe(self) -> str:
        """Say what has happened so far, without anybody's words or numbers."""
        answers = ", ".join(str(answer or "no answer") for _, answer in self.tried)
        return f"{self.status}; answers: {answers or 'none'}; alerts: {', '.join(map(str, self.alerts)) or 'none'}"

    async def live(self) -> None:
        """Try the URLs until one takes the call, and let it talk."""
        left = [url for url in self._trunk["origination_urls"].values() if url["enabled"]]
        if not left:
            self._alert(32010, "no valid origination URLs")
            self._leg.move("failed")
            return
        while left and not self._left:
            first = min(url["priority"] for url in left)
            among = [url for url in left if url["priority"] == first]
            # Which of them gets this call is a matter of chance, also at Twilio.
            (url,) = random.choices(among, [each["weight"] for each in among])  # noqa: S311
            left.remove(url)
            answer = await self._try(url["sip_url"])
            if answer is not None and (answer < 400 or answer >= 600 or answer in _FINAL):
                if not self._leg.over:
                    self._leg.move(word_of(answer, self._board.behavior))
                return
        await self._fail()

    async def _fail(self) -> None:
        """Nobody took the call: the disaster recovery URL gets it, if there is one."""
        url = self._trunk["disaster_recovery_url"]
        if url and not self._left:
            self.disaster = await self._recover(url, self._trunk["disaster_recovery_method"])
            self._leg.move(await self.disaster.ended())
        else:
            self._leg.move("no-answer" if self._left else "failed")

    async def _try(self, sip_url: str) -> int | None:
        """Call one URL; return the SIP status of its answer when the call there is over, or None for no answer."""
        sip = read_target(Verb("Sip", text=sip_url))
        end = await self._reach(sip, sip_url)
        if end is None:
            self.tried.append((sip_url, None))
            return None
        work = self._board.spawn(end.live())
        try:
            return await self._follow(end, sip_url, silent=_is_silent(end, self._board.callee(sip_url, sip.host)))
        finally:  # also if the emulator is left meanwhile
            if end.code == 200 and not end.gone:
                end.bye(transferred=self.transferred)
            elif end.code is None:
                end.cancel()
            work.cancel()

    async def _follow(self, end: FarEnd, sip_url: str, *, silent: bool) -> int | None:
        changes = self._board.changes
        await changes.until(
            lambda: end.code is not None or self._left or bool(end.gone),
            seconds=self._board.clock.real(_NO_ANSWER) if silent else None,
        )
        self.tried.append((sip_url, end.code))
        if end.code == 200:
            self._leg.move("in-progress")
            await changes.until(lambda: bool(end.gone) or self._left or self.transferred is not None)
            self._leg.move("completed")
        return end.code

    async def _reach(self, sip: SipTarget, sip_url: str) -> FarEnd | None:
        board, secure = self._board, bool(self._trunk["secure"])
        if not sip.openai:
            return CalleeEnd(board.callee(sip_url, sip.host), board.clock, board.changes.notify)
        if not (sip.encrypted or secure):
            self._alert(None, "OpenAI is not reached without ;transport=tls", warning=True)
            return None
        if board.openai is None or board.openai_webhook is None:
            self._alert(None, "OpenAI was called, but TwilioEmulator has no openai or no openai_webhook")
            return None
        call_id = f"{self._leg.sid[2:]}@0.0.0.0"
        media: Literal["rtp", "srtp"] = "srtp" if secure else "rtp"
        rung = await board.openai._ring(
            board.openai_webhook,
            Invite.with_headers(self._headers(sip, call_id), media_security=media),
            scenario=self._scenarios.pop(0) if self._scenarios else (),
            strict=self._strict,
            carrier=self._refers,
        )
        self.openai_calls.append(RingingCall(rung))
        board.changes.notify()
        return OpenAIEnd(rung, call_id, board.changes.notify)

    def _headers(self, sip: SipTarget, call_id: str) -> list[tuple[str, str]]:
        leg = self._leg
        name = self._name if self._trunk["cnam_lookup_enabled"] else leg.from_
        return [
            ("From", f'"{name}" <sip:{leg.from_}@pstn.twilio.com>;tag={secrets.token_hex(8)}'),
            ("To", f"<{sip.address};transport=tls>"),
            ("Call-ID", call_id),
            ("Diversion", f"<sip:{leg.to}@twilio.com>;reason=unconditional"),
            ("X-Twilio-AccountSid", leg.account_sid),
            ("X-Twilio-CallSid", leg.sid),
            *sip.headers,
        ]

    def _refers(self, target: str) -> None:
        """Carry a REFER out as the trunk's transfer mode lets it."""
        mode, is_number = self._trunk["transfer_mode"], target.startswith("tel:")
        if mode == "disable-all" or (is_number and mode != "enable-all"):
            self._alert(32218, f"a REFER was not carried out: the transfer mode is {mode}")
        elif not is_number and target.startswith("sip:+"):
            self._alert(None, "a REFER was answered 403: a number in a SIP address is not a phone (tel:)")
        else:
            self.transferred = target
            self._board.changes.notify()

    def _alert(self, code: int | None, message: str, *, warning: bool = False) -> None:
        alert = TwilioAlert(code=code, message=message, call_sid=self._leg.sid, warning=warning)
        self.alerts.append(alert)
        self._board.alerts.append(alert)
        self._board.changes.notify()

    async def _until(self, expected: str, condition: Callable[[], bool], patience: float | None) -> None:
        seconds = deadline(patience)
        await self._board.changes.until(lambda: condition() or self._leg.over, seconds=seconds)
        if not condition():
            raise ScenarioError(f"expected {expected} within {seconds:g} s; it is: {self.describe()}")


def _is_silent(end: FarEnd, callee: Callee) -> bool:
    return isinstance(end, CalleeEnd) and callee.outcome == "no answer"

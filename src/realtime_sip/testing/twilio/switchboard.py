"""What all calls of one emulated account share: legs, alerts, who is at the other end, and status callbacks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from realtime_sip.testing.clock import Changes, Clock
from realtime_sip.testing.openai.webhook import CallTarget
from realtime_sip.testing.scenario import Step
from realtime_sip.testing.twilio.behavior import TwilioBehavior, TwilioTimings
from realtime_sip.testing.twilio.conference import Conference
from realtime_sip.testing.twilio.courier import Courier
from realtime_sip.testing.twilio.ends import Callee
from realtime_sip.testing.twilio.legs import Callback, Leg
from realtime_sip.testing.twilio.record import RequestKind, TwilioAlert, TwilioRequest

if TYPE_CHECKING:
    from realtime_sip.testing.openai.emulator import OpenAIEmulator
    from realtime_sip.testing.twilio.call import VoiceCall
    from realtime_sip.testing.twilio.senders import Senders

__all__ = ["Switchboard"]

_logger = logging.getLogger("realtime_sip.testing")


class Switchboard:
    """One account."""

    def __init__(
        self,
        *,
        account_sid: str,
        auth_token: str,
        shared_key: tuple[str, str] | None,
        clock: Clock,
        timings: TwilioTimings,
        behavior: TwilioBehavior,
        tunnels: Mapping[str, str],
        openai: OpenAIEmulator | None,
        openai_webhook: str | CallTarget | Iterable[str | CallTarget] | None,
        callees: Mapping[str, Callee],
    ) -> None:
        self.account_sid = account_sid
        self.clock = clock
        self.timings = timings
        self.behavior = behavior
        self.openai = openai
        self.openai_webhook = openai_webhook
        self.callees = dict(callees)
        self.scenarios: list[list[Step]] = []
        """What is played on the next calls to OpenAI of calls that REST makes."""
        self.calls: dict[str, VoiceCall] = {}
        """The calls that play TwiML, by the SID of their leg."""
        self.legs: dict[str, Leg] = {}
        self.conferences: list[Conference] = []
        self.senders: Senders | None = None
        """The WhatsApp senders of the account, once it has an API."""
        self.alerts: list[TwilioAlert] = []
        self.changes = Changes()
        """What happened anywhere: whoever waits for a request looks again."""
        self.courier = Courier(
            auth_token=auth_token,
            shared_key=shared_key,
            clock=clock,
            timings=timings,
            behavior=behavior,
            tunnels=tunnels,
            changed=self.changes.notify,
        )
        self.mistakes: list[BaseException] = []
        """What the emulator itself failed with."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsent: dict[str, list[tuple[Callback, dict[str, str]]]] = {}
        self._sending: set[str] = set()

    async def close(self) -> None:
        """End all calls and all work."""
        for call in list(self.calls.values()):
            call.leave()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.courier.close()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` until it ends or the emulator does; a mistake in it is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def add(self, leg: Leg) -> Leg:
        """Keep a leg."""
        self.legs[leg.sid] = leg
        return leg

    def callee(self, *addresses: str, default: Callee | None = None) -> Callee:
        """Return who is at the first of these addresses that is known."""
        return next((self.callees[address] for address in addresses if address in self.callees), default or Callee())

    def check_whatsapp(self, from_: str, to: str) -> None:
        """Refuse a call to a WhatsApp user that Twilio would refuse.

        Raises:
            TwilioRefusal: The sender may not call this user.
        """
        if self.senders is not None and to.startswith("whatsapp:") and self.behavior.whatsapp_calls == "checked":
            known = self.senders.senders.values()
            self.senders.calls.check(known, self.legs.values(), (from_, to), self.clock.unix())

    def call_of(self, leg: Leg) -> VoiceCall | None:
        """Return the call that a leg plays, or belongs to."""
        return self.calls.get(leg.sid) or (None if leg.parent is None else self.call_of(leg.parent))

    def log_of(self, leg: Leg) -> list[TwilioRequest]:
        """Return where the requests for a leg are kept."""
        call = self.call_of(leg)
        return [] if call is None else call.requests

    def alert(self, code: int | None, message: str, *, leg: Leg | None = None, warning: bool = False) -> None:
        """Note what Twilio's debugger would show."""
        alert = TwilioAlert(code=code, message=message, call_sid=None if leg is None else leg.sid, warning=warning)
        self.alerts.append(alert)
        call = None if leg is None else self.call_of(leg)
        if call is not None:
            call.alerts.append(alert)
            call.changes.notify()
        self.changes.notify()

    def report(self, leg: Leg, callback: Callback, params: dict[str, str]) -> None:
        """Send a status callback of a leg, after those that were sent before."""
        unsent = self._unsent.setdefault(leg.sid, [])
        unsent.append((callback, params))
        if self.behavior.status_callbacks == "reversed" and not leg.over:
            return
        if leg.sid not in self._sending:
            self._sending.add(leg.sid)
            self.spawn(self._send_reports(leg, unsent))

    def tell(self, kind: RequestKind, callback: Callback, params: dict[str, str], *, log: list[TwilioRequest]) -> None:
        """Send a callback that is in no order with others."""
        self.spawn(self._tell(kind, callback, params, log))

    def conference(self, name: str) -> Conference:
        """Return the conference of a name that has not ended, a new one if there is no such one."""
        for known in self.conferences:
            if name in (known.name, known.sid) and known.status != "completed":
                return known
        self.conferences.append(Conference(name, self))
        return self.conferences[-1]

    async def _tell(
        self, kind: RequestKind, callback: Callback, params: dict[str, str], log: list[TwilioRequest]
    ) -> None:
        await self.courier.request(kind, callback.url, params, method=callback.method, log=log)

    async def _send_reports(self, leg: Leg, unsent: list[tuple[Callback, dict[str, str]]]) -> None:
        while unsent:
            callback, params = unsent.pop(-1 if self.behavior.status_callbacks == "reversed" else 0)
            for _ in range(self.behavior.status_copies):
                log = self.log_of(leg)
                response = await self.courier.request("status", callback.url, params, method=callback.method, log=log)
                if response is None or response.status_code >= 300:
                    self.alert(11200, "a status callback was not answered with 2xx", leg=leg, warning=True)
        self._sending.discard(leg.sid)

    @property
    def reports_left(self) -> bool:
        """Whether a status callback is still to be sent."""
        return bool(self._sending)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.changes.notify()
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.mistakes.append(error)
            _logger.error("the emulated Twilio failed on a call", exc_info=error)

"""Runs calls beside a web server: each once, each supervised, none forgotten."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

from realtime_sip.api.decision import Decision, deciding
from realtime_sip.call.call import Call
from realtime_sip.call.machine.lifecycle import Lifecycle
from realtime_sip.call.machine.limits import CallLimits
from realtime_sip.client import AsyncRealtimeSip
from realtime_sip.errors import ConfigurationError, RealtimeSipError, UnknownCallError
from realtime_sip.outcomes import CallEnded
from realtime_sip.policy import CallPolicy, Refusal
from realtime_sip.stores.memory import MemoryStore
from realtime_sip.stores.nonces import use_context
from realtime_sip.stores.rules import Outcome, Store
from realtime_sip.webhooks.unwrap import IncomingCall

__all__ = ["CallHost", "OnCall", "Submission"]

_log = logging.getLogger("realtime_sip.host")

OnCall = Callable[[IncomingCall], Awaitable[None]]
"""A handler of calls: it answers one with `client.calls.answer`, or rejects it with `client.calls.reject`."""

LEASE = 30.0
"""Seconds after which a call whose host shows no life is adopted by another."""
RETRY = 2.0
"""Seconds until a store that has failed is asked again."""
DECIDE = 10.0
"""Seconds that a webhook waits for its call to be decided. Nobody lets a phone ring for much longer."""
GOODBYE = "You have to end this call now. Apologise and say goodbye in one short sentence."
GOODBYE_TIME = 12.0
"""Seconds before the end of a drain at which calls that are still up hear a goodbye."""
_REMEMBERED = 1000


class Submission(Enum):
    """What became of a webhook. Each of them is answered with 200: the call is taken care of, as far as it can be."""

    STARTED = "started"
    """The handler has decided about the call, and goes on with it."""
    REPEAT = "repeat"
    """It was submitted before, here or elsewhere."""
    BUSY = "busy"
    """As many calls are up as may be; this one was rejected."""
    DRAINING = "draining"
    """No new calls are taken; this one was rejected."""
    REFUSED = "refused"
    """The policy refuses the call; it was rejected with the status of the rule."""
    STALE = "stale"
    """It is too late to answer, or a test delivery that nobody can answer."""


@dataclass(slots=True)
class _Taken:
    """A call that is this host's to decide about, and to serve."""

    incoming: IncomingCall
    decision: Decision
    adopted: bool
    """Another program has claimed it before, and perhaps accepted it."""
    refusal: Refusal | None = None

    @property
    def cost(self) -> Decimal | None:
        """What the call has cost so far, in USD, where that is known."""
        if self.decision.rejected or not self.decision.made.is_set():
            return Decimal(0)
        return self.decision.call.cost if isinstance(self.decision.call, Call) else None


class CallHost:
    """Runs `on_call` for each call, as a task of the running event loop, and sees to it that every call is decided.

    A handler that returns or raises without having accepted or rejected its call gets it rejected. An exception is
    logged once, with the call's id. Deliveries of one call are told apart from new calls by `store`.

    Args:
        on_call: The handler.
        client: What calls are rejected with; mostly the one that the handler uses.
        store: Where claims, counters and nonces are kept. A `MemoryStore` serves one process and survives no crash.
        max_calls: How many calls may be up at a time; more are rejected.
        policy: Who may call. It is asked before the handler, and counts in `store`.
        busy_status: The SIP status of a call that cannot be taken. Trunks try their next route after a 5xx, such as
            503, and never after 486 or a 6xx.
    """

    def __init__(
        self,
        on_call: OnCall,
        *,
        client: AsyncRealtimeSip,
        store: Store | None = None,
        max_calls: int = 200,
        policy: CallPolicy | None = None,
        busy_status: int = 503,
    ) -> None:
        """Make a host. Nothing is started.

        Raises:
            ConfigurationError: `max_calls` is not positive, or `busy_status` is not 300 to 699.
        """
        if max_calls < 1:
            raise ConfigurationError("max_calls must be 1 or more")
        if not 300 <= busy_status <= 699:
            raise ConfigurationError("busy_status must be a final SIP failure, 300 to 699")
        self._busy_status = busy_status
        self._on_call = on_call
        self._client = client
        self._store: Store = MemoryStore() if store is None else store
        self._max_calls = max_calls
        self._policy = CallPolicy() if policy is None else policy
        self._owner = secrets.token_hex(8)  # anew at each start, so that nobody takes a dead host for this one
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._decisions: dict[str, Decision] = {}
        self._ends: OrderedDict[str, asyncio.Future[CallEnded]] = OrderedDict()
        self._draining = False

    @property
    def live(self) -> int:
        """How many calls are up, or being decided."""
        return len(self._calls)

    async def submit(self, incoming: IncomingCall) -> Submission:
        """Take a call. Returns once it is decided, so that the webhook can be answered.

        Raises what the store raises: then nothing was taken, and 500 brings the webhook back.
        """
        if incoming.is_test or incoming.is_stale(self._client.calls.transport.settings.clock()):
            _log.info("call %s: %s", incoming.call_id, "a test delivery" if incoming.is_test else "stale")
            if incoming.call_id not in self._ends:  # else it is a late repeat, of a call that may be up
                self._over(incoming.call_id, self._end_without_call("stale"))
            return Submission.STALE
        call_id = incoming.call_id
        incoming = await use_context(incoming, self._store, now=self._client.calls.transport.settings.clock())
        claimed = await self._store.claim(call_id, owner=self._owner, lease=LEASE)
        if claimed.outcome is Outcome.REPEAT or call_id in self._calls:
            return Submission.REPEAT
        self._remember(call_id)
        # An adopted call is up with nobody on our side: it is taken however full it is.
        adopted = claimed.outcome is Outcome.ADOPTED and claimed.claim.phase == "accepted"
        if not adopted and (self._draining or len(self._calls) >= self._max_calls):
            await self._reject(call_id)
            self._over(call_id, self._end_without_call("rejected"))
            await self._store.finish(call_id, owner=self._owner)
            return Submission.DRAINING if self._draining else Submission.BUSY
        decision = Decision(call_id, adopted=adopted)
        self._decisions[call_id] = decision
        taken = _Taken(incoming, decision, adopted=claimed.outcome is Outcome.ADOPTED)
        self._calls[call_id] = asyncio.create_task(self._serve(taken), name=f"call {call_id}")
        await self._decided(decision, self._calls[call_id])
        return Submission.STARTED if taken.refusal is None else Submission.REFUSED

    async def _decided(self, decision: Decision, task: asyncio.Task[None]) -> None:
        waiting = asyncio.ensure_future(decision.made.wait())
        try:
            await asyncio.wait({waiting, task}, timeout=DECIDE, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    async def _serve(self, taken: _Taken) -> None:
        incoming, decision, call_id = taken.incoming, taken.decision, taken.incoming.call_id
        renewing = asyncio.create_task(self._renew(taken))
        deciding.set(decision)
        try:
            if not await self._refused(taken):
                await self._on_call(incoming)
        except RealtimeSipError as error:
            _log.error("call %s: the handler failed: %s: %s", call_id, type(error).__name__, error)
        except Exception as error:  # noqa: BLE001 - one broken call must not end the others
            # What the handler raises is the program's own, so it is logged whole.
            _log.error("call %s: the handler failed: %s", call_id, type(error).__name__, exc_info=error)
        finally:
            renewing.cancel()
            try:
                await self._settle(taken)
            finally:
                call = decision.call
                how: Literal["rejected", "detached"] = (
                    "rejected" if decision.rejected or not decision.made.is_set() else "detached"
                )
                self._calls.pop(call_id, None)
                self._decisions.pop(call_id, None)
                self._over(call_id, (call.ended if isinstance(call, Call) else None) or self._end_without_call(how))

    async def _settle(self, taken: _Taken) -> None:
        """Reject a call that nobody has decided about, free its places, and finish its claim."""
        incoming, call_id = taken.incoming, taken.incoming.call_id
        if not taken.decision.made.is_set():
            if taken.refusal is None:
                _log.warning("call %s: the handler did not decide; rejecting it", call_id)
            await asyncio.shield(self._reject(call_id, taken.refusal))
        if taken.refusal is None:
            await asyncio.shield(self._policy.ended(incoming, store=self._store, cost=taken.cost))
        await asyncio.shield(self._finish(call_id))

    async def _finish(self, call_id: str) -> None:
        try:
            await self._store.finish(call_id, owner=self._owner)
        except Exception as error:  # noqa: BLE001 - a store that fails does not undo the end of a call
            _log.error("call %s: its claim is not finished: %s", call_id, type(error).__name__)

    async def _refused(self, taken: _Taken) -> bool:
        """Ask the policy about a call. One that is up already takes its places without being asked about."""
        if taken.adopted:
            await self._policy.renew(taken.incoming, store=self._store, lease=LEASE)
            return False
        taken.refusal = await self._policy.check(taken.incoming, store=self._store, lease=LEASE)
        if taken.refusal is None:
            return False
        _log.info(
            "call %s: %s refuses it with %d", taken.incoming.call_id, taken.refusal.rule, taken.refusal.status_code
        )
        return True

    async def _renew(self, taken: _Taken) -> None:
        """Keep the claim and the places alive, and note that the call was accepted: then it can be adopted."""
        decision = taken.decision
        accepted = asyncio.ensure_future(decision.made.wait())
        try:
            await asyncio.wait({accepted}, timeout=DECIDE)
            renewed = True
            while renewed:
                try:
                    if accepted.done():
                        await self._store.advance(decision.call_id, owner=self._owner, phase="accepted")
                    await asyncio.sleep(LEASE / 3)
                    renewed = await self._store.renew(decision.call_id, owner=self._owner, lease=LEASE)
                except Exception as error:  # noqa: BLE001 - a store that fails for a while may work again
                    _log.error("call %s: its claim is not renewed: %s", decision.call_id, type(error).__name__)
                    await asyncio.sleep(RETRY)
                    continue
                if renewed:
                    await self._policy.renew(taken.incoming, store=self._store, lease=LEASE, cost=taken.cost)
            _log.warning("call %s: the claim was lost to another host; letting go", decision.call_id)
            if isinstance(decision.call, Call):
                await decision.call.detach()
        finally:
            accepted.cancel()

    async def _reject(self, call_id: str, refusal: Refusal | None = None) -> None:
        status_code = self._busy_status if refusal is None else refusal.status_code
        try:
            await self._client.calls.reject(call_id, status_code=status_code)
        except Exception as error:  # noqa: BLE001 - an HTTP client of the program's own may raise anything
            _log.warning("call %s: it could not be rejected: %s", call_id, type(error).__name__)

    async def ended(self, call_id: str) -> CallEnded:
        """Wait for the end of a call that was submitted here, and return it. The last thousand are remembered.

        Raises:
            UnknownCallError: No such call is known.
        """
        if call_id not in self._ends:
            raise UnknownCallError("no such call was submitted to this host")
        return await asyncio.shield(self._ends[call_id])

    def _remember(self, call_id: str) -> None:
        self._ends[call_id] = asyncio.get_running_loop().create_future()
        for old in [i for i, end in self._ends.items() if end.done()][: max(len(self._ends) - _REMEMBERED, 0)]:
            del self._ends[old]

    def _over(self, call_id: str, ended: CallEnded) -> None:
        if call_id not in self._ends:
            self._remember(call_id)
        if not self._ends[call_id].done():
            self._ends[call_id].set_result(ended)

    def _end_without_call(self, how: Literal["stale", "rejected", "detached"]) -> CallEnded:
        """Return the end of a call that no `answer` block kept; `detached` is one that the handler keeps by itself."""
        now = asyncio.get_running_loop().time()
        lifecycle = Lifecycle(CallLimits(), now=now, unix=self._client.calls.transport.settings.clock())
        {"stale": lifecycle.stale, "rejected": lifecycle.rejected, "detached": lifecycle.detached}[how](now)
        assert lifecycle.ended is not None
        return lifecycle.ended

    async def drain(self, timeout: float = 60.0) -> None:  # noqa: ASYNC109 - what happens before it is over
        """Take no new calls, let those that are up finish, and end what is left within `timeout` seconds.

        Calls that are still up twelve seconds before hear a goodbye first. A transfer under way is waited for, longer
        than that where it must be. Calling it again changes nothing.
        """
        self._draining = True
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        await self._wait(max(timeout - GOODBYE_TIME, 0.0))
        calls = [decision.call for decision in self._decisions.values() if isinstance(decision.call, Call)]
        goodbyes = [asyncio.ensure_future(self._say_goodbye(call)) for call in calls]
        await self._wait(max(end - loop.time(), 0.0))
        for task in [*goodbyes, *self._calls.values()]:
            task.cancel()
        await asyncio.gather(*goodbyes, *self._calls.values(), return_exceptions=True)

    async def _wait(self, seconds: float) -> None:
        if self._calls:
            await asyncio.wait(set(self._calls.values()), timeout=seconds)

    async def _say_goodbye(self, call: Call) -> None:
        try:
            await call.hangup(goodbye=GOODBYE)
        except RealtimeSipError as error:
            _log.warning("call %s: no goodbye: %s", call.call_id, type(error).__name__)

    @asynccontextmanager
    async def lifespan(self, _app: Any) -> AsyncIterator[None]:
        """Drain when the application stops: `FastAPI(lifespan=host.lifespan)`, or Starlette's."""
        try:
            yield
        finally:
            await self.drain()

"""Runs calls beside a web server: each once, each supervised, none forgotten."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from realtime_sip._program_errors import ProgramErrors, telling
from realtime_sip.call import takeover
from realtime_sip.call.decision import Decision
from realtime_sip.call.machine.ending import CALLER_GONE
from realtime_sip.call.machine.targets import TransferRequest
from realtime_sip.call.options import Around, OnError, around_code
from realtime_sip.client import AsyncRealtimeSip
from realtime_sip.hosting import at_exit, contexts, endings, transfers
from realtime_sip.hosting.claims import Claims
from realtime_sip.hosting.draining import drain, is_reloaded
from realtime_sip.hosting.ends import Ends
from realtime_sip.hosting.handlers import OnCall, check_async, check_loop, is_whole, require, seconds
from realtime_sip.hosting.health import Health
from realtime_sip.hosting.relay import Relay
from realtime_sip.hosting.reports import Reports
from realtime_sip.hosting.taken import Submission, Taken
from realtime_sip.hosting.tickets import HandedOver, Seals
from realtime_sip.outcomes import CallEnded, EndReason
from realtime_sip.policy import CallPolicy
from realtime_sip.sip.status import FINAL_FAILURE, is_final_failure
from realtime_sip.stores.memory import MemoryStore
from realtime_sip.stores.outage import why
from realtime_sip.stores.rules import PLACE_LEASE, Claim, Outcome, Store
from realtime_sip.webhooks import IncomingCall

if TYPE_CHECKING:
    from realtime_sip.telemetry import Telemetry
    from realtime_sip.twilio.call_webhooks import CallWebhook

_log = logging.getLogger("realtime_sip.host")


class CallHost:
    """Runs `on_call` for each call, as a task of the running event loop, and makes sure that every call is decided.

    If a handler returns or raises without having accepted or rejected its call, the call is rejected. An exception is
    logged once, with the call's id. `store` tells repeated deliveries of one call from new calls.

    Args:
        on_call: The handler: an async function of the call, or a `Router`. It answers the call, rejects it, or returns
            the SIP status to reject it with.
        client: The client that rejects calls; usually the one that the handler uses.
        store: Keeps claims, counters, nonces and notes. A `MemoryStore` serves one process and survives no crash.
        max_calls: How many calls may be up at a time. More are passed on to other workers of the `store` that have
            room, or rejected. Only what a worker that died has left is taken beyond that, if no other has room.
        policy: Who may call. It is asked before the handler, and counts in `store`.
        busy_status: The SIP status of a call that cannot be taken. Trunks try their next route after a 5xx, such as
            503, and never after 486 or a 6xx.
        drain_timeout: Seconds that `drain` may take. Kubernetes and gunicorn kill a process 30 seconds after they ask
            it to stop. Below a reloader it is 0, so that calls do not hold a reload up.
        around: Returns a context manager that is entered around each handler, in its task, and each tool, in its task
            or its thread: what a framework sets up for a request. The webhooks of `realtime_sip.integrations` bring
            that of their framework.
        on_error: Called with each exception of a handler, and of the tools and callbacks of its calls; plain or async.
        log_exceptions: Whether the messages of exceptions are logged too, which may hold anything.
        telemetry: Traces and metrics of the calls, over OpenTelemetry.
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
        drain_timeout: float = 25.0,
        around: Around | None = None,
        on_error: OnError | None = None,
        log_exceptions: bool = False,
        telemetry: Telemetry | None = None,
    ) -> None:
        """Make a host. Nothing is started.

        Raises:
            ConfigurationError: An argument is of the wrong kind, `max_calls` is not positive, `busy_status` is not 300
                to 699, or `drain_timeout` is not a number of seconds.
        """
        check_async(on_call, "on_call")
        store = MemoryStore() if store is None else store
        policy = CallPolicy() if policy is None else policy
        require(isinstance(client, AsyncRealtimeSip), "client must be an AsyncRealtimeSip")
        require(isinstance(store, Store) and not isinstance(store, type), "store must be a Store, as MemoryStore() is")
        require(isinstance(policy, CallPolicy), "policy must be a CallPolicy, which holds the rules")
        require(is_whole(max_calls) and max_calls >= 1, "max_calls must be a whole number of 1 or more")
        require(is_final_failure(busy_status), f"busy_status {FINAL_FAILURE}")
        self._busy_status = busy_status
        self._on_call = on_call
        self._client = client
        self._store = store
        self._clock = client.calls.transport.settings.clock
        self._max_calls = max_calls
        self._policy = policy
        self._drain_timeout = seconds(drain_timeout, "drain_timeout")
        require(around is None or callable(around), "around must be a function that returns a context manager")
        self._around = around
        self._brought: Around = nullcontext
        """What the last webhook's framework enters around the program's code."""
        self._errors = ProgramErrors(on_error=on_error, log_exceptions=log_exceptions)
        require(telemetry is None or hasattr(telemetry, "took"), "telemetry must be a Telemetry, as Telemetry() is")
        self._telemetry = telemetry
        self._claiming: dict[str, asyncio.Task[Taken | None]] = {}
        self._calls: dict[str, Taken] = {}
        self._ends = Ends()
        self._draining = False
        seals = self._seals = Seals(client) if store.shared else None
        self._reports = Reports(client, self._calls, self._ends, store, seals)
        self._claims = Claims(store, free=self._free, adopted=self._adopted, letter=self._reports.letter)
        self._relay = Relay(self._claims, seals)
        self._ending: set[asyncio.Task[None]] = set()
        self._cut: dict[str, Taken] = {}
        """Calls whose supervision was canceled: the loop was closed beside them."""
        self.loop: asyncio.AbstractEventLoop | None = None
        self.transport = client.calls.transport
        self.has_lifespan = False
        """Whether `lifespan` has begun, so that something drains this host."""

    @property
    def client(self) -> AsyncRealtimeSip:
        """The client that was given."""
        return self._client

    @property
    def store(self) -> Store:
        """The store of claims, counters and nonces."""
        return self._store

    @property
    def live(self) -> int:
        """How many calls are up, or being decided."""
        return len(self._calls)

    def health(self) -> Health:
        """Return how the host is. Answer a balancer 200 if it is `ready`, and 503 if not. Any thread may ask."""
        return Health(live=self._up(), max_calls=self._max_calls, draining=self._draining)

    def _up(self) -> int:
        return sum(each.handling is not None for each in [*self._calls.values()])

    # --- taking calls -------------------------------------------------------------------------------------------------

    async def submit(self, incoming: IncomingCall) -> Submission:
        """Take a call. Return once it is decided, so that the webhook can be answered.

        If this is canceled, because whoever sent the webhook went away, the call is still taken.

        Raises what the store raises: then the call was not taken, and answering 500 brings the webhook back.

        Raises:
            DeadlineError: The store did not answer within ten seconds.
            MisuseError: The host's client belongs to another event loop, or this one ends with the submit.
        """
        check_loop(self.transport, CallHost.submit.__code__)
        became = await self._submit(incoming)
        if self._telemetry is not None:
            self._telemetry.webhook(became.value, incoming.age(self._clock()))
        return became

    async def _submit(self, incoming: IncomingCall) -> Submission:
        call_id = incoming.call_id
        if incoming.is_test or incoming.is_stale(self._clock()):
            late = "a test delivery" if incoming.is_test else "the webhook was older than any phone rings"
            _log.info("call %s: %s", call_id, late)
            if call_id not in self._ends:  # else it is a late repeat of a call that may be up
                nobody = Taken(incoming=incoming, decision=Decision(call_id), clock=self._clock)
                self._ends.over(call_id, nobody.ended(EndReason.STALE, "inferred", late))
            return Submission.STALE
        if call_id in self._calls:
            return Submission.REPEAT
        claiming = self._claiming.get(call_id)
        first = claiming is None
        if claiming is None:
            # A task of the host and not of whoever asks, who may go away: a call that is claimed has a handler.
            claiming = asyncio.create_task(self._claim(incoming), name=f"claim of call {call_id}")
            self._claiming[call_id] = claiming
            claiming.add_done_callback(lambda done: self._claimed(call_id, done))
        taken = await asyncio.shield(claiming)
        if taken is None or not first:
            return Submission.REPEAT
        await taken.decided()
        return taken.became

    async def _claim(self, incoming: IncomingCall) -> Taken | None:
        """Claim a call. If it is ours, a task has it when this returns."""
        self.watch()
        got = await self._claims.take(
            incoming, ticket=self._relay.ticket, known=incoming.call_id in self._ends, now=self._clock()
        )
        if got is None:
            return None
        incoming, claimed = got
        known = None
        if claimed.outcome is Outcome.ADOPTED and self._seals is not None:
            known = self._seals.read(claimed.claim.ticket, call_id=incoming.call_id)
        gone = await self._reports.announced(incoming)
        return self._take(incoming, claimed.claim, known, adopted=claimed.outcome is Outcome.ADOPTED, gone=gone)

    def _take(
        self, incoming: IncomingCall, claim: Claim, known: HandedOver | None, *, adopted: bool, gone: bool = False
    ) -> Taken:
        """Serve a call that is ours, or turn it away."""
        telling.set(self._errors)
        if self._around is not None:
            around_code.set(self._around)
        elif around_code.get() is nullcontext:
            around_code.set(self._brought)  # no webhook of this process has brought the call
        else:
            self._brought = around_code.get()
        # A call that is up with nobody on our side is taken even if the host is full.
        up = adopted and claim.phase == "accepted"
        context = contexts.of_call(incoming.call_id)
        decision = Decision(
            incoming.call_id,
            accepted_before=up,
            maybe_accepted=adopted,
            ticket=None if known is None else known.call,
            route=None if known is None else known.route,
            state=None if known is None else known.state,
        )
        taken = Taken(incoming=incoming, decision=decision, clock=self._clock)
        decision.note_transfer = partial(transfers.note, self._store, self._seals)
        webhook = context.get(contexts.webhooks_span)
        offered = known is not None and known.offered
        taken.watch(self._telemetry, webhook=webhook, adopted=adopted, offered=offered)
        decision.answered = self._reports.answered(incoming)
        if gone:
            taken.became = Submission.STALE
            self._reports.leave(taken)
        elif not up and self._draining:
            taken.became = Submission.DRAINING
        elif not up and self._up() >= self._max_calls:
            taken.became = Submission.BUSY
        else:
            taken.handling = asyncio.create_task(
                self._handle(taken), name=f"handler of call {taken.call_id}", context=context.copy()
            )
        self._ends.expect(taken.call_id)
        self._calls[taken.call_id] = taken
        self.loop = asyncio.get_running_loop()
        at_exit.watch(self)
        taken.serving = asyncio.create_task(self._serve(taken), name=f"call {taken.call_id}", context=context)
        return taken

    def _claimed(self, call_id: str, claiming: asyncio.Task[Taken | None]) -> None:
        del self._claiming[call_id]
        if not claiming.cancelled() and (error := claiming.exception()) is not None:
            # Whoever asked may be gone, so it is said here too.
            _log.warning("call %s: it was not claimed: %s", call_id, why(error))

    # --- serving them -------------------------------------------------------------------------------------------------

    async def _serve(self, taken: Taken) -> None:
        """Make sure that a call is decided, leave the policy's counters, and finish its claim, whatever happens."""
        ended = taken.ended(EndReason.DETACHED, "inferred", "the program stopped")
        status: int | None = self._busy_status
        try:
            if taken.handling is not None:
                await asyncio.wait({taken.handling})
                if not taken.handling.cancelled() and taken.handling.exception() is None:
                    status = taken.handling.result()
            ended = await self._end(taken, status)
            if taken.lost:  # its claim and its places are another host's
                await self._policy.renew(taken.incoming, store=self._store, lease=PLACE_LEASE, cost=taken.cost)
            else:
                if taken.handling is not None and taken.refusal is None:
                    await self._policy.ended(taken.incoming, store=self._store, cost=taken.cost)
                await self._claims.finish(taken.call_id)
        except asyncio.CancelledError:
            self._cut[taken.call_id] = taken
            raise
        finally:
            if self._calls.get(taken.call_id) is taken:  # else it came back to this host meanwhile
                del self._calls[taken.call_id]
            if taken.call_id not in self._cut and not self._reports.keep(taken):
                taken.decision.call = None  # contexts of its tasks hold the decision longer than anybody the call
            if not self._calls and not self._cut:
                at_exit.forget(self)
            taken.over(ended)
            self._ends.over(taken.call_id, ended)

    async def _handle(self, taken: Taken) -> int | None:
        """Let the handler decide. Return the status to reject the call with, None if the handler gives none."""
        keeping = asyncio.create_task(self._keep(taken))
        taken.decision.watch()
        status = None
        try:
            with taken.span(), around_code.get()():
                if await self._refused(taken):
                    return None
                status = await self._on_call(taken.incoming)
        except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - one broken call must not end the others, nor sys.exit() the loop
            self._errors.tell(_log, "the handler", error, call_id=taken.call_id, call=taken.call)
        else:
            return status if is_final_failure(status) else None
        finally:
            keeping.cancel()
        return self._busy_status

    async def _keep(self, taken: Taken) -> None:
        """Keep the claim and the places of a call alive."""

        async def renewed() -> None:
            await self._policy.renew(taken.incoming, store=self._store, lease=PLACE_LEASE, cost=taken.cost)

        await self._claims.keep(taken.decision, ticket=lambda: self._relay.ticket_of(taken), renewed=renewed)
        taken.decision.lost = True
        await self._claims.lose(taken.call_id)
        _log.warning("call %s: another host has it; letting go", taken.call_id)
        if taken.call is not None:
            takeover.give(taken.call)

    async def _refused(self, taken: Taken) -> bool:
        """Ask the policy about a call. A call that is up already takes its places and is never refused."""
        if taken.decision.accepted_before:
            await self._policy.renew(taken.incoming, store=self._store, lease=PLACE_LEASE, cost=Decimal(0))
            return False
        taken.refusal = await self._policy.check(taken.incoming, store=self._store, lease=PLACE_LEASE)
        if taken.refusal is None:
            return False
        taken.became = Submission.REFUSED
        _log.info("call %s: %s refuses it with %d", taken.call_id, taken.refusal.rule, taken.refusal.status_code)
        return True

    async def _end(self, taken: Taken, status: int | None) -> CallEnded:
        """Reject a call that nobody decided about, hang up one that nobody serves, and return how the call ended."""
        decision, call = taken.decision, taken.call
        if taken.leaving is not None and call is None:
            await taken.leaving
            return taken.ended(EndReason.CALLER, "reported", CALLER_GONE)
        turned_away = taken.became in (Submission.BUSY, Submission.DRAINING)
        if turned_away and await self._relay.pass_on(taken):
            taken.became = Submission.PASSED_ON
        if taken.lost and (call is None or call.ended is None):
            return taken.ended(EndReason.DETACHED, "inferred", "another host took the call over")
        if not decision.made.is_set():
            if taken.refusal is not None:
                status = taken.refusal.status_code
            elif status is None:
                _log.warning("call %s: the handler did not decide; rejecting it", taken.call_id)
            return await endings.reject(self._client, taken, self._busy_status if status is None else status)
        if decision.rejected and (call is None or call.ended is None):  # else the call itself knows why it was
            return taken.ended(EndReason.REJECTED, "reported", "the program rejected the call")
        if call is not None:
            return await call.wait_ended()  # a canceled handler leaves before its call is hung up
        if status is not None or decision.accepted_before:
            return await endings.hang_up(self._client, taken)
        return taken.ended(EndReason.DETACHED, "reported", "the program let go of the call")

    # --- with other workers -------------------------------------------------------------------------------------------

    def watch(self, *, around: Around | None = None) -> None:
        """Look for calls to take over from now on, if other workers share the store: theirs who have died or stop.

        `lifespan` does this, and the first webhook. `around` is entered around handlers and tools if the host was made
        without one, as what a framework's webhook brings is for calls that come after it.
        """
        self._around = self._around or around
        self.loop = self.loop or asyncio.get_running_loop()
        if not self._draining:
            self._claims.watch()

    def _free(self) -> int:
        return 0 if self._draining else max(0, self._max_calls - self._up())

    def _adopted(self, claim: Claim) -> None:
        known = None if self._seals is None else self._seals.read(claim.ticket, call_id=claim.call_id)
        if known is None:
            _log.error("call %s: its ticket cannot be read: do all workers have one webhook secret?", claim.call_id)
            ending = asyncio.create_task(endings.unreadable(self._client, claim, self._claims.finish))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            return
        cause = "its worker gives it away" if known.offered else "nobody served it"
        _log.info("call %s: taken over, since %s", claim.call_id, cause)
        self._take(known.incoming, claim, known, adopted=True)

    # --- what the carrier says ----------------------------------------------------------------------------------------

    def carrier(self, payload: CallWebhook) -> bool:
        """Pass on what Twilio says about a call: a typed webhook, once its signature was verified.

        Pass each `ReferRequest`, `DialResult`, `QueueResult`, `CallStatusCallback` and `AnsweredByCallback`, in any
        order and as often. The call is found by the SID of the caller's own call, from its verified context. A request
        to `referUrl` and what becomes of the target are told to the transfer under way (`Call.transfer_progress`), or
        to one of the last hundred calls that have left with a transfer. If the caller's own call is over, the call is
        hung up, or rejected if nobody has answered it, also if OpenAI announces it later; its end is
        `EndReason.CALLER`, reported. Who answered a call that was placed is told to it, also before it is announced.
        It may be called in any thread.

        Returns:
            Whether such a call is known here. If not, answer the request all the same: if another worker has the call,
            it is told through the store.

        Raises:
            ConfigurationError: That is no typed webhook about a call.
        """
        return self._reports.take(payload, self.loop)

    async def transfer_of(self, payload: CallWebhook) -> TransferRequest | None:
        """Return the transfer that a webhook of Twilio's is about: the last one that its call has asked for, or None.

        It is for the TwiML that `refer_url` answers: where to, why, what the person should know, and how the caller
        came. It is known for ten minutes beyond the target's ring time, in each worker that has the same `store`, and
        also if the call to OpenAI has ended meanwhile.

        Args:
            payload: A typed webhook about the caller's call or one that was dialed for it, once it was verified.

        Raises:
            ConfigurationError: That is no typed webhook about a call.
        """
        asked = [taken.decision.transfer for taken in self._reports.about(payload)]
        here = next((each for each in asked if each is not None), None)
        if here is not None:
            return here
        return await transfers.noted(self._store, self._seals, (payload.parent_call_sid, payload.call_sid))

    async def ended(self, call_id: str) -> CallEnded:
        """Wait for the end of a call that was submitted here, and return it. The last thousand ends are remembered.

        Raises:
            UnknownCallError: No such call is known.
        """
        return await self._ends.wait(call_id)

    # --- stopping -----------------------------------------------------------------------------------------------------

    async def drain(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - what happens before it is over
        """Take no new calls, let those that are up finish, and end the rest after `timeout` seconds.

        If other workers share the store, they get the calls first: each as soon as nothing is under way in it, until
        the goodbyes begin. Of a short drain, half is for that, up to three seconds.

        It returns within two seconds more, whatever fails; what has not ended by then is logged. Calls that are still
        up twelve seconds before the end hear a goodbye. At the end they are hung up, so that the code after their
        handlers' blocks still runs, and handlers that have no block are canceled; a second later all are. A transfer
        under way is left alone. If this is called again meanwhile, the shorter timeout counts.

        Args:
            timeout: Seconds, in place of `drain_timeout`.

        Raises:
            ConfigurationError: That is not a number of seconds.
        """
        seconds = self.drain_seconds(timeout)
        self._draining = True
        await self._claims.rest()
        await drain(self._calls, self._claiming, seconds, give=self._relay.give if self._store.shared else None)

    def drain_seconds(self, timeout: float | None = None) -> float:
        """Return how many seconds a drain is given: `drain_timeout` if none are named, 0 below a reloader.

        Raises:
            ConfigurationError: That is not a number of seconds.
        """
        if timeout is not None:
            return seconds(timeout, "timeout")
        return 0.0 if is_reloaded() else self._drain_timeout

    def left_over(self) -> list[tuple[str, bool]]:
        """Return the calls that `at_exit` has to end, each with whether it was accepted."""
        left = {**self._cut, **self._calls}.values()
        # Hanging up would undo a transfer.
        up = [each for each in left if each.is_up and not (each.call is not None and each.call.transferring)]
        return [(each.call_id, each.decision.made.is_set()) for each in up]

    @asynccontextmanager
    async def lifespan(self, _app: Any) -> AsyncIterator[None]:
        """Drain when the application stops: `FastAPI(lifespan=host.lifespan)`, or Starlette's."""
        self.has_lifespan = True
        self.watch()
        try:
            yield
        finally:
            await self.drain()

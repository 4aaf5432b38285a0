"""The claims of one host in a store: taken, kept while calls are served, handed over, and finished.

The host is one worker. It has one heartbeat however many calls it serves, and hears by it which calls others took and
what others posted. If others share the store, it looks for orphans as well: twice a second, and at once when one is
offered.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import os
import random
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from realtime_sip.call.decision import Decision
from realtime_sip.errors import DeadlineError
from realtime_sip.stores.nonces import use_context
from realtime_sip.stores.outage import Outage
from realtime_sip.stores.rules import (
    CLAIM_LEASE,
    HEARTBEAT,
    PLACE_LEASE,
    WORKER_LEASE,
    Beat,
    Claim,
    Claimed,
    Outcome,
    Store,
)
from realtime_sip.webhooks import IncomingCall

_log = logging.getLogger("realtime_sip.host")
T = TypeVar("T")

RETRY = 2.0
"""Seconds until a store that failed is asked again."""
DECIDE = 10.0
"""Seconds within which a call has to be decided. Nobody lets a phone ring for much longer."""
STORE_TIMEOUT = 10.0
"""Seconds that a store may take to answer."""
SWEEP = 0.5
"""Seconds from one look for calls that nobody serves to the next."""
SPARED = 1.5
"""Seconds after a store was away for long in which nobody's calls are taken over."""
SAVED = 0.5
"""Seconds that a tool waits until others could know of it."""
SETTLED = 1.0
"""Seconds in which what changes of a call is written once."""
_AGAIN = PLACE_LEASE / 3
"""Seconds after which what the store knows of a call is written again, and its places are renewed."""
_HURRY = 0.1
"""Seconds between heartbeats while a call is handed over."""
_AT_ONCE = 10
"""Calls to take over at once, so that several workers share those of one that died."""


class _Kept:
    """A call that is this host's: whether another has taken it, and whether what the store knows of it is old."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.changed = asyncio.Event()
        self.saved = asyncio.Event()
        """Set once what has changed is written."""
        self.urgent = asyncio.Event()
        self.offered = False
        """Whether it may be offered, since taking the offer back failed."""

    def change(self) -> None:
        self.changed.set()
        self.saved.clear()


class Claims:
    """The claims of one host in a store.

    Args:
        store: Where they are.
        free: Returns how many more calls the host would take.
        adopted: Serves a call that was taken over.
        letter: Reads what was posted to a call.
    """

    def __init__(
        self,
        store: Store,
        *,
        free: Callable[[], int],
        adopted: Callable[[Claim], None],
        letter: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._room = free
        self._adopted = adopted
        self._letter = letter
        self._token = secrets.token_hex(8)
        self._calls: dict[str, _Kept] = {}
        self._beating: asyncio.Task[None] | None = None
        self._watching = False
        self._looking: asyncio.Task[None] | None = None
        self._resting: asyncio.Task[None] | None = None
        self._beat_at = -HEARTBEAT
        self._heard_at = math.inf
        """When the store last answered a heartbeat, or failed to."""
        self._heard = asyncio.Event()
        """Set when it does so again."""
        self._told_at = math.inf
        self._adopts_from = 0.0
        self._outage = Outage(_log)
        self._given_up: set[asyncio.Task[Any]] = set()
        self.elsewhere = 0
        """How many more calls other workers would take."""

    @property
    def _owner(self) -> str:
        # New at each start, so that nobody takes a dead host for this one; and a server may fork after it was made.
        return f"{self._token}-{os.getpid()}"

    async def _asked(self, operation: Coroutine[Any, Any, T], *, within: float = STORE_TIMEOUT) -> T:
        """Wait for the store only so many seconds, also for a driver that is slow to give up.

        Raises what the store raises.

        Raises:
            DeadlineError: The store did not answer.
        """
        asking = asyncio.get_running_loop().create_task(operation)
        try:
            await asyncio.wait({asking}, timeout=within)
        finally:
            if not asking.done():
                self._given_up.add(asking)
                asking.add_done_callback(self._came_late)
                asking.cancel()
        if not asking.done():
            raise DeadlineError(f"the store did not answer within {within:g} s", sent=True)
        return asking.result()

    def _came_late(self, asked: asyncio.Task[Any]) -> None:
        self._given_up.discard(asked)
        if not asked.cancelled():
            asked.exception()  # which is too late for anybody

    # --- one call -----------------------------------------------------------------------------------------------------

    async def take(
        self, incoming: IncomingCall, *, ticket: Callable[[IncomingCall], str], known: bool, now: float
    ) -> tuple[IncomingCall, Claimed] | None:
        """Claim a call. Return it, without its context if that does not count; None if another host serves it.

        If the claim is ours and this host does not know the call, the answer to the claim was lost: the call is ours.

        Raises what the store raises.

        Raises:
            DeadlineError: The store did not answer.
        """

        async def claim() -> tuple[IncomingCall, Claimed]:
            used = await use_context(incoming, self._store, now=now)
            return used, await self._store.claim(
                used.call_id, owner=self._owner, lease=CLAIM_LEASE, ticket=ticket(used)
            )

        incoming, claimed = await self._asked(claim())
        unheard = claimed.claim.owner == self._owner and claimed.claim.phase == "claimed" and not known
        if claimed.outcome is Outcome.REPEAT and not unheard:
            return None
        self._begin(incoming.call_id)
        return incoming, claimed

    def _begin(self, call_id: str) -> None:
        self._calls[call_id] = _Kept()
        self._beat_on()

    async def keep(
        self, decision: Decision, *, ticket: Callable[[], str | None], renewed: Callable[[], Awaitable[None]]
    ) -> None:
        """Record that a call was accepted, and what another worker would need to go on with it; keep its places in
        counters. Return if another host has taken it."""
        kept = self._calls[decision.call_id]
        if self._store.shared:
            decision.changed, decision.saved = kept.change, lambda: _saved(kept)
            decision.ours, decision.cut_off = lambda: self._is_ours(kept), self._is_cut_off
        loop, made = asyncio.get_running_loop(), asyncio.ensure_future(decision.made.wait())
        places_at, written_at = loop.time(), -math.inf
        try:
            await asyncio.wait({made}, timeout=DECIDE)
            while not kept.lost.is_set():
                up = made.done() and not decision.rejected
                try:
                    # Again and again: a store may have lost what it had.
                    if up and (kept.changed.is_set() or loop.time() >= written_at + _AGAIN):
                        kept.changed.clear()
                        text, written_at = ticket(), loop.time()
                        if not await self._asked(self._keeps(kept, decision.call_id, text)):
                            kept.lost.set()
                            return
                        if not kept.changed.is_set():
                            kept.saved.set()
                except Exception as error:  # noqa: BLE001 - a store that fails for a while may work again
                    self._outage.failed(f"call {decision.call_id}: its claim was not renewed", error)
                    kept.changed.set()
                    await _passed(RETRY, kept.lost)
                    continue
                due = min(places_at, written_at if up else math.inf) + _AGAIN
                await _passed(due - loop.time(), kept.lost, kept.changed)
                await _passed(SETTLED, kept.lost, kept.urgent)
                kept.urgent.clear()
                if not kept.lost.is_set() and loop.time() >= places_at + _AGAIN:
                    places_at = loop.time()
                    await renewed()
        finally:
            made.cancel()

    async def _keeps(self, kept: _Kept, call_id: str, ticket: str | None) -> bool:
        """Record that a call is up here; return whether it is this host's."""
        if kept.offered and not await self._store.recall(call_id, owner=self._owner):
            return False
        kept.offered = False
        return await self._store.accept(call_id, owner=self._owner, lease=WORKER_LEASE, ticket=ticket)

    async def hand_over(self, call_id: str, ticket: str, *, within: float) -> bool:
        """Offer a call to the others for so many seconds; return whether one of them has it."""
        kept, clock = self._calls.get(call_id), asyncio.get_running_loop().time
        if kept is None:
            return True
        end = clock() + within
        try:
            if not await self._asked(self._store.offer(call_id, owner=self._owner, ticket=ticket)):
                return True
            while not kept.lost.is_set() and (left := end - clock()) > 0:
                await _passed(min(left, _HURRY), kept.lost)
                if clock() - self._beat_at >= _HURRY:  # one is for all calls
                    await self._beat()
            if kept.lost.is_set():
                return True
            return not await self._asked(self._store.recall(call_id, owner=self._owner))
        except Exception as error:  # noqa: BLE001 - no call ends because of its store
            self._outage.failed(f"call {call_id}: it was not handed over", error)
            kept.offered = True
            kept.change()
            return kept.lost.is_set()

    def _is_cut_off(self) -> bool:
        """Return whether the store was not reached for longer than the lease: others may have this host's calls."""
        return asyncio.get_running_loop().time() - self._told_at > WORKER_LEASE

    async def _is_ours(self, kept: _Kept) -> bool:
        """Return whether no other worker has the call, as far as is known.

        If this process stood still for longer than its lease, the store is asked first, but not for long.
        """
        if asyncio.get_running_loop().time() - self._heard_at > WORKER_LEASE:
            await _passed(SAVED, self._heard, kept.lost)
        return not kept.lost.is_set()

    async def lose(self, call_id: str) -> None:
        """Forget a call that another host has. From now on it may come back, as any other that is taken over."""
        self._calls.pop(call_id, None)
        await self._beat_off()

    async def finish(self, call_id: str) -> None:
        """Record that a call is done."""
        await self.lose(call_id)
        try:
            await self._asked(self._store.finish(call_id, owner=self._owner))
        except Exception as error:  # noqa: BLE001 - a store that fails does not undo the end of a call
            self._outage.failed(f"call {call_id}: its claim was not finished", error)

    # --- all of them --------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Look for calls to take over from now on, also while this host has none, if others share the store."""
        if self._store.shared and not self._watching:
            self._watching = True
            self._beat_on()

    async def rest(self) -> None:
        """Take over no more calls, and learn soon what the others would take."""
        self._watching = False
        await self._beat_off()
        if self._calls and self._store.shared:
            self._resting = asyncio.create_task(self._beat(), name="last words of a call host")

    def _beat_on(self) -> None:
        if self._beating is None or self._beating.done():
            # Not in the context of the webhook that happened to be the first.
            self._beating = asyncio.get_running_loop().create_task(
                self._beat_always(), name="heartbeat of a call host", context=contextvars.Context()
            )

    async def _beat_off(self) -> None:
        if not self._calls and not self._watching and self._beating is not None:
            self._beating.cancel()
            await asyncio.wait({self._beating})

    async def _beat_always(self) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while self._calls or self._watching:
                if clock() - self._beat_at >= HEARTBEAT - SWEEP:
                    await self._beat()
                if self._looking is None or self._looking.done():
                    # Beside the heartbeats: they tell that the calls which are up here are served.
                    self._looking = asyncio.create_task(self._look(), name="look for calls that nobody serves")
                await self._pause()
        finally:
            if self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def _beat(self) -> None:
        """Let the store know that this host lives, and hear what the others did."""
        self._beat_at = asyncio.get_running_loop().time()
        try:
            beating = self._store.heartbeat(self._owner, lease=WORKER_LEASE, free=self._free())
            beat = await self._asked(beating, within=WORKER_LEASE / 2)
        except Exception as error:  # noqa: BLE001 - no call ends because of its store
            self._outage.failed("the store was not told that this host lives", error)
            beat = Beat()
        else:
            self._outage.answered()
            if self._beat_at - self._told_at > WORKER_LEASE / 2:
                # Others could not say so either: they get the time to, before their calls are taken for orphans.
                self._adopts_from = self._beat_at + SPARED
            self._told_at = self._beat_at
        self.elsewhere = beat.free
        for call_id in beat.taken:
            if call_id in self._calls:
                self._calls[call_id].lost.set()
        heard, self._heard = self._heard, asyncio.Event()
        self._heard_at = asyncio.get_running_loop().time()
        heard.set()
        for call_id, text in beat.letters:
            self._done(call_id, self._letter, call_id, text)

    def _done(self, call_id: str, do: Callable[..., None], *arguments: object) -> bool:
        """Do something about one call; whatever it raises, the heartbeat goes on for all others."""
        try:
            do(*arguments)
        except Exception as error:  # noqa: BLE001 - a heartbeat that ends would take every call from this host
            _log.error("call %s: %s", call_id, type(error).__name__, exc_info=error)
            return False
        return True

    def _free(self) -> int:
        return self._room() if self._watching else 0

    def _most(self) -> int:
        """Return how many calls to take over now. If nobody has room, that is better than to leave them to nobody."""
        free = self._free()
        return min(free, _AT_ONCE) if free > 0 or self.elsewhere or not self._watching else _AT_ONCE

    async def _look(self) -> None:
        while await self._adopt():
            pass

    async def _adopt(self) -> bool:
        """Take over what nobody serves. Return whether there may be more."""
        most = self._most()
        if most <= 0 or asyncio.get_running_loop().time() < self._adopts_from:
            return False
        try:
            claims = await self._asked(self._store.adopt(self._owner, lease=CLAIM_LEASE, most=most))
        except Exception as error:  # noqa: BLE001 - orphans are looked for again
            self._outage.failed("calls that nobody serves were not looked for", error)
            return False
        for claim in claims:
            if claim.call_id in self._calls:
                continue  # it was heard of, and is not written yet
            self._calls[claim.call_id] = _Kept()
            if not self._done(claim.call_id, self._adopted, claim):
                del self._calls[claim.call_id]
        return len(claims) == most

    async def _pause(self) -> None:
        # Workers that began together do not look for the same orphans at the same time.
        if not self._store.shared:
            await asyncio.sleep(HEARTBEAT)
            return
        try:
            await self._asked(self._store.news(SWEEP * random.uniform(0.8, 1.2)), within=WORKER_LEASE / 2)  # noqa: S311
        except Exception as error:  # noqa: BLE001 - sweeping is enough without news
            _log.debug("no news from the store: %s", type(error).__name__)


async def _saved(kept: _Kept) -> bool:
    """Wait until the others could know what changed, but not for long. Return whether the call is still ours."""
    kept.change()
    kept.urgent.set()
    clock = asyncio.get_running_loop().time
    while True:
        began = clock()
        await _passed(SAVED, kept.saved, kept.lost)
        if kept.saved.is_set() or kept.lost.is_set() or clock() - began < WORKER_LEASE:
            return not kept.lost.is_set()
        # This process stood still meanwhile, and the time is not the store's.


async def _passed(seconds: float, *events: asyncio.Event) -> None:
    """Wait for so many seconds, or for one of the events."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()

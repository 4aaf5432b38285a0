"""The claims of one host in a store: taken, kept while calls are served, and finished, whatever the store does."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Awaitable, Callable

from realtime_sip.call.decision import Decision
from realtime_sip.hosting.handlers import in_time
from realtime_sip.stores.nonces import use_context
from realtime_sip.stores.rules import (
    CLAIM_LEASE,
    HEARTBEAT,
    PLACE_LEASE,
    WORKER_LEASE,
    Claimed,
    Outcome,
    Store,
)
from realtime_sip.webhooks import IncomingCall

_log = logging.getLogger("realtime_sip.host")

RETRY = 2.0
"""Seconds until a store that failed is asked again."""
DECIDE = 10.0
"""Seconds within which a call has to be decided. Nobody lets a phone ring for much longer."""
STORE_TIMEOUT = 10.0
"""Seconds that a store may take to answer."""


class Claims:
    """The claims of one host in a store: one worker, whose heartbeat goes as long as it has calls."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._token = secrets.token_hex(8)
        self._lost: dict[str, asyncio.Event] = {}
        """For each call that is this host's, whether another has taken it."""
        self._beating: asyncio.Task[None] | None = None

    @property
    def _owner(self) -> str:
        # New at each start, so that nobody takes a dead host for this one; and a server may fork after it was made.
        return f"{self._token}-{os.getpid()}"

    async def take(self, incoming: IncomingCall, *, known: bool, now: float) -> tuple[IncomingCall, Claimed] | None:
        """Claim a call. Return it, without its context if that does not count; None if another host serves it.

        If the claim is ours and this host does not know the call, the answer to the claim was lost: the call is ours.

        Raises what the store raises.

        Raises:
            DeadlineError: The store did not answer.
        """
        async with in_time(STORE_TIMEOUT, "the store", sent=True):
            incoming = await use_context(incoming, self._store, now=now)
            claimed = await self._store.claim(incoming.call_id, owner=self._owner, lease=CLAIM_LEASE)
        unheard = claimed.claim.owner == self._owner and claimed.claim.phase == "claimed" and not known
        if claimed.outcome is Outcome.REPEAT and not unheard:
            return None
        self._lost[incoming.call_id] = asyncio.Event()
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat(), name="heartbeat of a call host")
        return incoming, claimed

    async def keep(self, decision: Decision, *, renewed: Callable[[], Awaitable[None]]) -> None:
        """Record that a call was accepted, and keep its places in counters. Return if another host has taken it."""
        made = asyncio.ensure_future(decision.made.wait())
        lost = self._lost[decision.call_id]
        try:
            await asyncio.wait({made}, timeout=DECIDE)
            while not lost.is_set():
                try:
                    if made.done() and not decision.rejected:
                        # Again and again: a store may have lost what it had.
                        async with in_time(STORE_TIMEOUT, "the store", sent=True):
                            if not await self._store.accept(decision.call_id, owner=self._owner, lease=WORKER_LEASE):
                                return
                except Exception as error:  # noqa: BLE001 - a store that fails for a while may work again
                    _log.error("call %s: its claim was not renewed: %s", decision.call_id, type(error).__name__)
                    await _passed(lost, RETRY)
                else:
                    await _passed(lost, PLACE_LEASE / 3)
                    if not lost.is_set():
                        await renewed()
        finally:
            made.cancel()

    async def finish(self, call_id: str) -> None:
        """Record that a call is done."""
        self._lost.pop(call_id, None)
        if not self._lost and self._beating is not None:
            self._beating.cancel()
            await asyncio.wait({self._beating})
        try:
            async with in_time(STORE_TIMEOUT, "the store", sent=True):
                await self._store.finish(call_id, owner=self._owner)
        except Exception as error:  # noqa: BLE001 - a store that fails does not undo the end of a call
            _log.error("call %s: its claim was not finished: %s", call_id, type(error).__name__)

    async def _beat(self) -> None:
        """Let the store know that this host lives as long as it has calls, and hear which of them others have taken."""
        while self._lost:
            try:
                async with in_time(WORKER_LEASE / 2, "the store", sent=True):
                    taken = await self._store.heartbeat(self._owner, lease=WORKER_LEASE)
            except Exception as error:  # noqa: BLE001 - no call ends because of its store
                _log.error("the store was not told that this host lives: %s", type(error).__name__)
                taken = []
            for call_id in taken:
                if call_id in self._lost:
                    self._lost[call_id].set()
            await asyncio.sleep(HEARTBEAT)


async def _passed(event: asyncio.Event, seconds: float) -> None:
    """Wait for so many seconds, or for the event."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass

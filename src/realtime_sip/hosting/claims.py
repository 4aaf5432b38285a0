"""The claims of one host: taken, kept alive while calls are served, and finished, whatever the store does."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable

from realtime_sip.call.decision import Decision
from realtime_sip.hosting.handlers import in_time
from realtime_sip.stores.nonces import use_context
from realtime_sip.stores.rules import LEASE, Claimed, Outcome, Store
from realtime_sip.webhooks import IncomingCall

_log = logging.getLogger("realtime_sip.host")

RETRY = 2.0
"""Seconds until a store that failed is asked again."""
DECIDE = 10.0
"""Seconds within which a call has to be decided. Nobody lets a phone ring for much longer."""
STORE_TIMEOUT = 10.0
"""Seconds that a store may take to answer."""


class Claims:
    """The claims of one host in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._owner = secrets.token_hex(8)  # new at each start, so that nobody takes a dead host for this one

    async def take(self, incoming: IncomingCall, *, known: bool, now: float) -> tuple[IncomingCall, Claimed] | None:
        """Claim a call. Return it, without its context if that does not count; None if another host serves it.

        If the claim is ours and this host does not know the call, the answer to the claim was lost: the call is ours.

        Raises what the store raises.

        Raises:
            DeadlineError: The store did not answer.
        """
        async with in_time(STORE_TIMEOUT, "the store", sent=True):
            incoming = await use_context(incoming, self._store, now=now)
            claimed = await self._store.claim(incoming.call_id, owner=self._owner, lease=LEASE)
        lost = claimed.claim.owner == self._owner and claimed.claim.phase == "claimed" and not known
        return None if claimed.outcome is Outcome.REPEAT and not lost else (incoming, claimed)

    async def keep(self, decision: Decision, *, renewed: Callable[[], Awaitable[None]]) -> None:
        """Keep a claim alive, and record that the call was accepted: then it can be adopted. Return if it is lost."""
        made = asyncio.ensure_future(decision.made.wait())
        try:
            await asyncio.wait({made}, timeout=DECIDE)
            while True:
                try:
                    if made.done() and not decision.rejected:
                        async with in_time(STORE_TIMEOUT, "the store", sent=True):
                            await self._store.advance(decision.call_id, owner=self._owner, phase="accepted")
                    await asyncio.sleep(LEASE / 3)
                    async with in_time(STORE_TIMEOUT, "the store", sent=True):
                        kept = await self._store.renew(decision.call_id, owner=self._owner, lease=LEASE)
                    if not kept:
                        return
                except Exception as error:  # noqa: BLE001 - a store that fails for a while may work again
                    _log.error("call %s: its claim was not renewed: %s", decision.call_id, type(error).__name__)
                    await asyncio.sleep(RETRY)
                else:
                    await renewed()
        finally:
            made.cancel()

    async def finish(self, call_id: str) -> None:
        """Record that a call is done."""
        try:
            async with in_time(STORE_TIMEOUT, "the store", sent=True):
                await self._store.finish(call_id, owner=self._owner)
        except Exception as error:  # noqa: BLE001 - a store that fails does not undo the end of a call
            _log.error("call %s: its claim was not finished: %s", call_id, type(error).__name__)

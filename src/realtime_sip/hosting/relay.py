"""Hands the calls of one host to other workers: those that ring if it is full, those that are up if it is drained."""

from __future__ import annotations

import asyncio

from realtime_sip.call import takeover
from realtime_sip.hosting.claims import Claims
from realtime_sip.hosting.taken import Taken
from realtime_sip.hosting.tickets import Seals
from realtime_sip.webhooks import IncomingCall

HAND_OVER = 1.0
"""Seconds for another worker to take a call that is handed over; its tools are not answered meanwhile."""
AT_REST = 0.1
"""Seconds to wait for a call to be at rest, before the next one is tried."""
PASS_ON = 2.0
"""Seconds for another worker to take a call that rings."""


class Relay:
    """Hands calls over. Without `seals` no other worker shares the store, and there are no tickets."""

    def __init__(self, claims: Claims, seals: Seals | None) -> None:
        self._claims = claims
        self._seals = seals

    def ticket(self, incoming: IncomingCall, *, offered: bool = False) -> str:
        """Return the ticket of a call that rings."""
        return "" if self._seals is None else self._seals.ticket(incoming, offered=offered)

    def ticket_of(self, taken: Taken, *, offered: bool = False) -> str | None:
        """Return the ticket of a call as it is now."""
        if self._seals is None:
            return None
        call = None if taken.call is None else takeover.ticket_of(taken.call)
        return taken.ticket(self._seals, call, offered=offered)

    async def pass_on(self, taken: Taken) -> bool:
        """Let another worker decide about a call that rings, if one has room. Return whether it does."""
        ticket = self.ticket(taken.incoming, offered=True)
        if not ticket or not self._claims.elsewhere:
            return False
        return await self._gone(taken, ticket, within=PASS_ON)

    async def give(self, taken: Taken) -> bool:
        """Hand over a call that is up, if it is at rest and another worker takes it. Return whether it left."""
        call = taken.call
        if call is None or not self._claims.elsewhere:
            return False
        try:
            async with asyncio.timeout(AT_REST):
                if not await takeover.let_others(call):
                    return True
        except TimeoutError:
            return False
        ticket = self.ticket_of(taken, offered=True)
        if ticket and await self._gone(taken, ticket, within=HAND_OVER):
            takeover.give(call)
            return True
        takeover.keep(call)
        return False

    async def _gone(self, taken: Taken, ticket: str, *, within: float) -> bool:
        """Offer a call, and forget it once another worker has it."""
        if not await self._claims.hand_over(taken.call_id, ticket, within=within):
            return False
        taken.decision.lost = True
        await self._claims.lose(taken.call_id)
        return True

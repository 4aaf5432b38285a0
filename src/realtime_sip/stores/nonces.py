"""A signed context is used by one call: its nonce is claimed in the store in which calls are claimed."""

from __future__ import annotations

import logging

from realtime_sip.stores.claims import DedupeStore, Outcome
from realtime_sip.webhooks import IncomingCall

__all__ = ["use_context"]

_log = logging.getLogger("realtime_sip.context")

MARGIN = 600.0
"""Seconds for which a nonce is remembered after its context has expired: the clocks of several hosts differ."""


async def use_context(incoming: IncomingCall, dedupe: DedupeStore, *, now: float) -> IncomingCall:
    """Return the call, without its context where another call has used that before.

    The call's id stands for the owner of the claim. So a call keeps its context however often it is announced, by
    several endpoints too, and whichever host adopts it. Another call with the same nonce has copied the header; the log
    names it. A call without a context, or with an expired one, takes no claim.

    It comes before the call itself is claimed, because it raises what the store raises: then nothing was taken, and 500
    brings the webhook back. `now` is Unix seconds.
    """
    context = incoming.signed_context
    if context is None:
        return incoming
    remaining = context.expires_at - now
    if remaining <= 0:
        _log.warning("call %s: its context has expired before it was used", incoming.call_id)
        return incoming.without_context()
    key = f"context:{context.nonce}"
    claimed = await dedupe.claim(key, owner=incoming.call_id, lease=remaining + MARGIN)
    if claimed.outcome is Outcome.ADOPTED or claimed.claim.owner != incoming.call_id:
        _log.warning("call %s: its context was used by another call before; it does not count", incoming.call_id)
        return incoming.without_context()
    if claimed.outcome is Outcome.NEW:
        # What is done is never adopted, and a full store in memory forgets it before a call that is being served.
        await dedupe.finish(key, owner=incoming.call_id, remember=remaining + MARGIN)
    return incoming

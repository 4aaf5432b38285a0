"""Lets only one call use a signed context: its nonce is recorded in the store that has the claims."""

from __future__ import annotations

import logging

from realtime_sip.stores.rules import Store
from realtime_sip.webhooks import IncomingCall

_log = logging.getLogger("realtime_sip.context")

MARGIN = 600.0
"""Seconds for which a nonce is remembered after its context has expired: the clocks of several hosts differ."""


async def use_context(incoming: IncomingCall, store: Store, *, now: float) -> IncomingCall:
    """Return the call, without its context if another call has used that before.

    A call keeps its context however often it is announced, by several endpoints too, and whichever host adopts it.
    Another call with the same nonce has copied the header; the log names it. A call without a context, or with an
    expired one, uses no nonce.

    Use it before the call itself is claimed, because it raises what the store raises: then the call was not taken, and
    answering 500 brings the webhook back. `now` is Unix seconds.
    """
    context = incoming.signed_context
    if context is None:
        return incoming
    remaining = context.expires_at - now
    if remaining <= 0:
        _log.warning("call %s: its context has expired before it was used", incoming.call_id)
        return incoming.without_context()
    if await store.use(context.nonce, by=incoming.call_id, remember=remaining + MARGIN):
        return incoming
    _log.warning("call %s: its context was used by another call before; it does not count", incoming.call_id)
    return incoming.without_context()

"""What a host does with a call that goes from one worker to another: its ticket, and letting go of it."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from realtime_sip.call.machine import inputs
from realtime_sip.call.machine.ticket import Ticket
from realtime_sip.outcomes import Adopted, CallEnded

if TYPE_CHECKING:
    from realtime_sip.call.call import Call
    from realtime_sip.call.runtime import Runtime


def adopt(runtime: Runtime, ticket: Ticket | None) -> Adopted:
    """Attach to a call that another worker had accepted, and return what is known of it."""
    transfers, idempotent = runtime.options.transfers, frozenset(t.name for t in runtime.options.tools if t.idempotent)
    cost = None
    if ticket is not None and ticket.usage is not None:
        runtime.record.meter.begin_with(ticket.usage)
        cost = runtime.record.meter.cost
    runtime.record.missed()
    named = None if ticket is None or ticket.transfer is None else ticket.transfer.name
    request = None
    if transfers is not None and named is not None and named in transfers:
        request = transfers.request(runtime.call_id, named, runtime.incoming)
    runtime.step(inputs.Adopt(ticket, idempotent, request))
    began_at = None if ticket is None else ticket.began
    state = None if runtime.decision is None else runtime.decision.state
    interrupted = () if ticket is None else ticket.interrupted(idempotent)
    return Adopted(began_at=began_at, interrupted=interrupted, cost=cost, state=state)


def ticket_of(call: Call) -> Ticket:
    """Return what another worker needs to go on with the call as it is now."""
    return Ticket.of(call._runtime.state, call.usage)


async def let_others(call: Call) -> bool:
    """Close the sideband once the call is at rest. Return False if it ended before that.

    If it is canceled, the call goes on here.
    """
    runtime, key = call._runtime, f"hand_over_{secrets.token_hex(8)}"
    at_rest = runtime.waiting.expect(key)
    runtime.step(inputs.HandOver(key))
    try:
        return not isinstance(await at_rest, CallEnded)
    except asyncio.CancelledError:
        runtime.step(inputs.Abandon(key))
        keep(call)
        raise


def keep(call: Call) -> None:
    """Go on with a call that nobody took."""
    call._runtime.step(inputs.Kept())


def give(call: Call) -> None:
    """Let go of a call that another worker has, at once."""
    call._runtime.step(inputs.Taken())

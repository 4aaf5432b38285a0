"""Ends calls that no `answer` block ends: nobody decided about them, nobody serves them, or the caller is gone."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from realtime_sip.call.machine.ending import CALLER_GONE
from realtime_sip.client import AsyncRealtimeSip
from realtime_sip.errors import CallGoneError, DecisionAlreadyMadeError
from realtime_sip.hosting.taken import Taken
from realtime_sip.outcomes import CallEnded, EndReason
from realtime_sip.stores.rules import Claim

_log = logging.getLogger("realtime_sip.host")

UNAVAILABLE = 503
TERMINATED = 487
"""The SIP status of a call whose caller has left (RFC 3261 21.4.25)."""


async def reject(client: AsyncRealtimeSip, taken: Taken, status: int) -> CallEnded:
    """Reject a call that nobody decided about."""
    try:
        await client.calls.reject(taken.call_id, status_code=status)
    except CallGoneError:
        _log.info("call %s: it was over before it could be rejected", taken.call_id)
        return taken.ended(EndReason.CALLER, "inferred", "there was no longer a call to reject")
    except DecisionAlreadyMadeError:
        _log.info("call %s: it was decided before it could be rejected", taken.call_id)
        return taken.ended(EndReason.DECIDED_ELSEWHERE, "reported", "another program had decided about the call")
    except Exception as error:  # noqa: BLE001 - an HTTP client of the program's own may raise anything
        name = type(error).__name__
        _log.warning("call %s: it could not be rejected: %s", taken.call_id, name)
        return taken.ended(EndReason.REJECTED, "inferred", f"it could not be rejected ({name}), and may ring on")
    return taken.ended(EndReason.REJECTED, "reported", f"the host rejected the call with {status}")


async def hang_up(client: AsyncRealtimeSip, taken: Taken) -> CallEnded:
    """End a call that was accepted, by its handler or by a host that died, and that nobody serves."""
    _log.warning("call %s: it was accepted, and the handler does not serve it; hanging up", taken.call_id)
    evidence = "the handler did not serve the call, which was accepted"
    try:
        await client.calls.hangup(taken.call_id)
    except CallGoneError:
        return taken.ended(EndReason.CALLER, "inferred", f"{evidence}; it was over when it was to be hung up")
    except Exception as error:  # noqa: BLE001 - an HTTP client of the program's own may raise anything
        name = type(error).__name__
        _log.error("call %s: it could not be hung up: %s", taken.call_id, name)
        return taken.ended(EndReason.HANDLER_FAILED, "inferred", f"{evidence}; it could not be hung up ({name})")
    return taken.ended(EndReason.HANDLER_FAILED, "reported", evidence)


async def unreadable(client: AsyncRealtimeSip, claim: Claim, finish: Callable[[str], Awaitable[None]]) -> None:
    """End a call of which nobody knows how to serve it: a model would talk to the caller with nobody on our side."""
    try:
        if claim.phase == "accepted":
            await client.calls.hangup(claim.call_id)
        else:
            await client.calls.reject(claim.call_id, status_code=UNAVAILABLE)
    except Exception as error:  # noqa: BLE001 - an HTTP client of the program's own may raise anything
        _log.warning("call %s: it could not be ended: %s", claim.call_id, type(error).__name__)
    await finish(claim.call_id)


async def caller_left(client: AsyncRealtimeSip, taken: Taken) -> None:
    """End a call that nobody is answering and whose caller is gone: reject it, or hang up if it was accepted."""
    calls, decision = client.calls, taken.decision
    _log.info("call %s: %s before it was answered", taken.call_id, CALLER_GONE)
    try:
        if not decision.made.is_set():
            try:
                await calls.reject(taken.call_id, status_code=TERMINATED)
                decision.rejected = True
                return
            except DecisionAlreadyMadeError:
                pass  # the handler has accepted it meanwhile
        await calls.hangup(taken.call_id)
    except CallGoneError:
        pass
    except Exception as error:  # noqa: BLE001 - an HTTP client of the program's own may raise anything
        _log.warning("call %s: it could not be ended: %s", taken.call_id, type(error).__name__)
    finally:
        decision.made.set()

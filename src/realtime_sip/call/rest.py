"""What a call asks of the service over REST, and of the carrier. Each returns its result as an input of the core."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from realtime_sip.api import calls
from realtime_sip.api.operations import Operation, Repeat
from realtime_sip.api.transport import AsyncTransport
from realtime_sip.call.decision import Decision
from realtime_sip.call.machine import inputs
from realtime_sip.call.machine.targets import TransferRequest, TransferTargets
from realtime_sip.call.options import Failed
from realtime_sip.errors import NetworkError, RealtimeSipError
from realtime_sip.session import AudioConfig, AudioInput, RealtimeSession

_log = logging.getLogger("realtime_sip.call")

FALLBACK = 10.0
"""Seconds that asking the carrier may take."""
BUSY = 503
"""The SIP status of a call that could not be accepted: after it, trunks try their next route."""


async def _asked(
    transport: AsyncTransport,
    call_id: str,
    operation: Operation[None],
    done: inputs.Input,
    failed: Callable[[RealtimeSipError], inputs.Input],
) -> inputs.Input:
    try:
        await transport.run(operation)
    except RealtimeSipError as error:
        return failed(error)
    except Exception as error:  # noqa: BLE001 - an HTTP client of the program's own may raise anything
        _log.error("call %s: %s failed: %s", call_id, operation.name, type(error).__name__)
        return failed(NetworkError(f"{operation.name}: {type(error).__name__}", sent=True))
    return done


async def accept(
    transport: AsyncTransport, call_id: str, session: RealtimeSession, *, early: bool, undisturbed: bool
) -> inputs.Input:
    """Accept the call; `early` repeats it until the service knows the call, `undisturbed` leaves turn detection off."""
    if undisturbed:
        audio = session.audio or AudioConfig()
        deaf = (audio.input or AudioInput()).model_copy(update={"turn_detection": None})
        session = session.model_copy(update={"audio": audio.model_copy(update={"input": deaf})})
    try:
        operation = replace(calls.accept(call_id, session), early_404=early)
    except RealtimeSipError as error:
        return inputs.AcceptFailed(error)
    return await _asked(transport, call_id, operation, inputs.Accepted(), inputs.AcceptFailed)


async def reject(transport: AsyncTransport, call_id: str) -> inputs.Input:
    return await _asked(transport, call_id, calls.reject(call_id, status_code=BUSY), inputs.Rejected(), inputs.Rejected)


async def hang_up(transport: AsyncTransport, call_id: str) -> inputs.Input:
    # Once: the core decides when to try again, and keeps the model quiet meanwhile.
    once = replace(calls.hangup(call_id, attached=True), repeat=Repeat.UNSENT)
    return await _asked(transport, call_id, once, inputs.HungUp(), inputs.HangupFailed)


async def refer(
    transport: AsyncTransport, call_id: str, request: TransferRequest, decision: Decision | None
) -> inputs.Input:
    if decision is not None:
        await decision.transferring(request)
    operation = calls.refer(call_id, target_uri=request.target.uri)
    return await _asked(
        transport, call_id, operation, inputs.Referred(request), lambda error: inputs.ReferFailed(request, error)
    )


async def take_fallback(transfers: TransferTargets | None, request: TransferRequest, failed: Failed) -> inputs.Input:
    """Try the program's fallback for a transfer. One that is too late may have reached the carrier."""
    assert transfers is not None
    assert transfers.fallback is not None
    deadline = asyncio.timeout(FALLBACK)
    try:
        async with deadline:
            await transfers.fallback(request)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the program's own code, which must not end the call
        if not deadline.expired():
            failed(_log, "the fallback of a transfer", error)
            return inputs.FallbackFailed(request, type(error).__name__)
    return inputs.FallbackTaken(request)

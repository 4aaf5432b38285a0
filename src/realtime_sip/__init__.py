"""Answer phone and WhatsApp calls with OpenAI's Realtime API over SIP.

    client = AsyncRealtimeSip()

    async def on_call(incoming: IncomingCall) -> None:
        async with client.calls.answer(incoming, session, tools=tools) as call:
            call.respond("Greet the caller and ask how you can help.")
            await call.wait_ended()

    host = CallHost(on_call, client=client)
    await host.submit(client.webhooks.unwrap(body, headers))    # in your webhook, for an IncomingCall

`unwrap` verifies the signature and the age of a webhook. `submit` drops a call that was submitted before, by its call
id (across processes with a shared `stores.Store`), and returns once the handler has accepted or rejected it. The
sideband is attached again by itself if it drops. `call.transfer` and `call.hangup` hand the caller over and end it.

Beneath that: `client.calls.accept`, `reject`, `refer`, `hangup`, and `client.calls.connect` for the bare sideband.

Events are reached as `events.ResponseDone`, the parts of a session as `session.ServerVad`, the parts of a conversation
as `items.UserMessage`, and what can go wrong as `errors.CallGoneError`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_sip import errors, events, items, session
    from realtime_sip.api.sideband import AsyncSideband, Sideband
    from realtime_sip.call.call import Call
    from realtime_sip.call.event_queue import EventsDropped
    from realtime_sip.call.machine.call_limits import CallLimits
    from realtime_sip.call.machine.effects import AskApproval
    from realtime_sip.call.machine.targets import TransferRequest, TransferTarget, TransferTargets
    from realtime_sip.call.ready_tools import end_call, transfer_to_human
    from realtime_sip.call.record.struggle import Escalation, EscalationCause, EscalationRules
    from realtime_sip.call.runtime import CallEvent
    from realtime_sip.call.speech import Speech
    from realtime_sip.call.stages import Stages
    from realtime_sip.client import AsyncRealtimeSip, RealtimeSip
    from realtime_sip.endpoints import Endpoints
    from realtime_sip.errors import RealtimeSipError
    from realtime_sip.event_log import EventLogFolder
    from realtime_sip.hosting.host import CallHost
    from realtime_sip.hosting.router import Router
    from realtime_sip.hosting.taken import Submission
    from realtime_sip.hosting.threads import ThreadCallHost
    from realtime_sip.outcomes import (
        CallEnded,
        EndReason,
        Heard,
        LimitKind,
        LimitNear,
        RefusalKind,
        ServiceRefused,
        SidebandGap,
        TransferFailed,
        TransferFailureReason,
        TransferProgress,
    )
    from realtime_sip.policy import CallPolicy
    from realtime_sip.rates import RateCard
    from realtime_sip.session import RealtimeSession, TranscriptionSession
    from realtime_sip.stores.memory import MemoryStore
    from realtime_sip.tools.registry import ToolOutput, Tools
    from realtime_sip.webhooks import IncomingCall, OpenAIWebhooks

    __version__: str

__all__ = [
    "AskApproval",
    "AsyncRealtimeSip",
    "AsyncSideband",
    "Call",
    "CallEnded",
    "CallEvent",
    "CallHost",
    "CallLimits",
    "CallPolicy",
    "EndReason",
    "Endpoints",
    "Escalation",
    "EscalationCause",
    "EscalationRules",
    "EventLogFolder",
    "EventsDropped",
    "Heard",
    "IncomingCall",
    "LimitKind",
    "LimitNear",
    "MemoryStore",
    "OpenAIWebhooks",
    "RateCard",
    "RealtimeSession",
    "RealtimeSip",
    "RealtimeSipError",
    "RefusalKind",
    "Router",
    "ServiceRefused",
    "Sideband",
    "SidebandGap",
    "Speech",
    "Stages",
    "Submission",
    "ThreadCallHost",
    "ToolOutput",
    "Tools",
    "TranscriptionSession",
    "TransferFailed",
    "TransferFailureReason",
    "TransferProgress",
    "TransferRequest",
    "TransferTarget",
    "TransferTargets",
    "end_call",
    "errors",
    "events",
    "items",
    "session",
    "transfer_to_human",
]

# A name is imported when it is first asked for (PEP 562), so that a program loads only what it uses.
_MODULES = {"errors", "events", "items", "session"}
_PLACES = {
    "AskApproval": "realtime_sip.call.machine.effects",
    "AsyncRealtimeSip": "realtime_sip.client",
    "AsyncSideband": "realtime_sip.api.sideband",
    "Call": "realtime_sip.call.call",
    "CallEnded": "realtime_sip.outcomes",
    "CallEvent": "realtime_sip.call.runtime",
    "CallHost": "realtime_sip.hosting.host",
    "CallLimits": "realtime_sip.call.machine.call_limits",
    "CallPolicy": "realtime_sip.policy",
    "EndReason": "realtime_sip.outcomes",
    "Endpoints": "realtime_sip.endpoints",
    "Escalation": "realtime_sip.call.record.struggle",
    "EscalationCause": "realtime_sip.call.record.struggle",
    "EscalationRules": "realtime_sip.call.record.struggle",
    "EventLogFolder": "realtime_sip.event_log",
    "EventsDropped": "realtime_sip.call.event_queue",
    "Heard": "realtime_sip.outcomes",
    "IncomingCall": "realtime_sip.webhooks",
    "LimitKind": "realtime_sip.outcomes",
    "LimitNear": "realtime_sip.outcomes",
    "MemoryStore": "realtime_sip.stores.memory",
    "OpenAIWebhooks": "realtime_sip.webhooks",
    "RateCard": "realtime_sip.rates",
    "RealtimeSession": "realtime_sip.session",
    "RealtimeSip": "realtime_sip.client",
    "RealtimeSipError": "realtime_sip.errors",
    "RefusalKind": "realtime_sip.outcomes",
    "Router": "realtime_sip.hosting.router",
    "ServiceRefused": "realtime_sip.outcomes",
    "Sideband": "realtime_sip.api.sideband",
    "SidebandGap": "realtime_sip.outcomes",
    "Speech": "realtime_sip.call.speech",
    "Stages": "realtime_sip.call.stages",
    "Submission": "realtime_sip.hosting.taken",
    "ThreadCallHost": "realtime_sip.hosting.threads",
    "ToolOutput": "realtime_sip.tools.registry",
    "Tools": "realtime_sip.tools.registry",
    "TranscriptionSession": "realtime_sip.session",
    "TransferFailed": "realtime_sip.outcomes",
    "TransferFailureReason": "realtime_sip.outcomes",
    "TransferProgress": "realtime_sip.outcomes",
    "TransferRequest": "realtime_sip.call.machine.targets",
    "TransferTarget": "realtime_sip.call.machine.targets",
    "TransferTargets": "realtime_sip.call.machine.targets",
    "end_call": "realtime_sip.call.ready_tools",
    "transfer_to_human": "realtime_sip.call.ready_tools",
}


# Not for type checkers, which would believe in every name then.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return import_module(f"realtime_sip.{name}")
        if name in _PLACES:
            value = getattr(import_module(_PLACES[name]), name)
        elif name == "__version__":
            from importlib.metadata import version

            value = version("realtime-sip")
        else:
            raise AttributeError(f"module 'realtime_sip' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__")), "__version__"})

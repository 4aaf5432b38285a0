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

from importlib.metadata import version

from realtime_sip import errors, events, items, session
from realtime_sip.api.sideband import AsyncSideband, Sideband
from realtime_sip.call.call import Call
from realtime_sip.call.event_queue import EventsDropped
from realtime_sip.call.machine.limits import CallLimits
from realtime_sip.call.machine.targets import TransferTarget, TransferTargets
from realtime_sip.call.ready_tools import end_call, transfer_to_human
from realtime_sip.call.record.struggle import Escalation, EscalationCause
from realtime_sip.call.speech import Speech
from realtime_sip.call.tool_runner import ToolOutput
from realtime_sip.client import AsyncRealtimeSip, RealtimeSip
from realtime_sip.endpoints import Endpoints
from realtime_sip.errors import RealtimeSipError
from realtime_sip.event_log import EventLogFolder
from realtime_sip.hosting.host import CallHost, Submission
from realtime_sip.hosting.router import Router
from realtime_sip.outcomes import (
    CallEnded,
    EndReason,
    Heard,
    LimitKind,
    LimitNear,
)
from realtime_sip.policy import CallPolicy
from realtime_sip.rates import RateCard
from realtime_sip.session import RealtimeSession, TranscriptionSession
from realtime_sip.stores.memory import MemoryStore
from realtime_sip.tools.registry import Tools
from realtime_sip.webhooks import IncomingCall, OpenAIWebhooks

__version__ = version("realtime-sip")

__all__ = [
    "AsyncRealtimeSip",
    "AsyncSideband",
    "Call",
    "CallEnded",
    "CallHost",
    "CallLimits",
    "CallPolicy",
    "EndReason",
    "Endpoints",
    "Escalation",
    "EscalationCause",
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
    "Router",
    "Sideband",
    "Speech",
    "Submission",
    "ToolOutput",
    "Tools",
    "TranscriptionSession",
    "TransferTarget",
    "TransferTargets",
    "end_call",
    "errors",
    "events",
    "items",
    "session",
    "transfer_to_human",
]

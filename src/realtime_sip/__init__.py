"""Answer phone and WhatsApp calls with OpenAI's Realtime API over SIP.

    client = AsyncRealtimeSip()
    event = client.webhooks.unwrap(body, headers)              # a signed webhook says that a call rings
    await client.calls.accept(event.call_id, session)          # or reject, refer, hangup
    async with client.calls.connect(event.call_id) as sideband:
        await sideband.response_create()
        async for event in sideband: ...                       # typed events

Events are reached as `events.ResponseDone`, the parts of a session as `session.ServerVad`, the parts of a conversation
as `items.UserMessage`, and what can go wrong as `errors.CallGoneError`.
"""

from __future__ import annotations

from importlib.metadata import version

from realtime_sip import errors, events, items, session
from realtime_sip.calls import WebRtcCall
from realtime_sip.client import AsyncRealtimeSip, RealtimeSip
from realtime_sip.client_secrets import ClientSecret
from realtime_sip.errors import RealtimeSipError
from realtime_sip.hosts import Hosts
from realtime_sip.protocol import Close, CloseKind
from realtime_sip.session import RealtimeSession, TranscriptionSession
from realtime_sip.sideband import AsyncSideband, Sideband
from realtime_sip.sip import SipHeaders, SipUri
from realtime_sip.webhooks import IncomingCall, OpenAIWebhooks, UnknownWebhookEvent, WebhookVerificationError

__version__ = version("realtime-sip")

__all__ = [
    "AsyncRealtimeSip",
    "AsyncSideband",
    "ClientSecret",
    "Close",
    "CloseKind",
    "Hosts",
    "IncomingCall",
    "OpenAIWebhooks",
    "RealtimeSession",
    "RealtimeSip",
    "RealtimeSipError",
    "Sideband",
    "SipHeaders",
    "SipUri",
    "TranscriptionSession",
    "UnknownWebhookEvent",
    "WebRtcCall",
    "WebhookVerificationError",
    "errors",
    "events",
    "items",
    "session",
]

"""OpenAI's webhooks: `OpenAIWebhooks` proves that the service sent one, and parses it."""

from __future__ import annotations

from realtime_sip.errors import WebhookPayloadError, WebhookVerificationError
from realtime_sip.webhooks.events import (
    IncomingCall,
    LiveCallIncoming,
    LiveTransportConnected,
    LiveTransportIncoming,
    UnknownWebhookEvent,
    WebhookEvent,
)
from realtime_sip.webhooks.unwrap import OpenAIWebhooks

__all__ = [
    "IncomingCall",
    "LiveCallIncoming",
    "LiveTransportConnected",
    "LiveTransportIncoming",
    "OpenAIWebhooks",
    "UnknownWebhookEvent",
    "WebhookEvent",
    "WebhookPayloadError",
    "WebhookVerificationError",
]

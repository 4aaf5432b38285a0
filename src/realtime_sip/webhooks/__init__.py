"""Webhooks of OpenAI: `OpenAIWebhooks` proves that one comes from the service, and says what it says."""

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

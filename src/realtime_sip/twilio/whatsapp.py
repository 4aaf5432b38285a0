"""WhatsApp Business Calling: whether a user may be called, and asked for it.

permissions = whatsapp.CallPermissions(store)
await permissions.observe(webhook)  # each message, answer and call status
verdict = await permissions.may_call("+551130000001", "+5511987650001")
if not verdict:
    print(verdict)  # call_limit: …; allowed from 2026-11-27 09:00:00 UTC
"""

from __future__ import annotations

from realtime_sip.twilio.call_permissions import CallPermissions
from realtime_sip.twilio.permission import (
    EventKind,
    Limit,
    PermissionEvent,
    PermissionHistory,
    PermissionReason,
    PermissionRules,
    PermissionVerdict,
)
from realtime_sip.twilio.whatsapp_user import WhatsAppUser, area_verdict

__all__ = [
    "CallPermissions",
    "EventKind",
    "Limit",
    "PermissionEvent",
    "PermissionHistory",
    "PermissionReason",
    "PermissionRules",
    "PermissionVerdict",
    "WhatsAppUser",
    "area_verdict",
]

"""What users may import beside the root; everything else is private."""

from __future__ import annotations

PUBLIC = [
    f"realtime_sip.{name}"
    for name in (
        *("errors", "events", "items", "response", "session", "webhooks", "sip", "tools"),
        *("prompts", "prompts.spoken", "policy", "outbound", "event_log", "stores", "telemetry"),
        *("twilio", "twilio.calls", "twilio.numbers", "twilio.trunking"),
        *("twilio.twiml", "twilio.voice", "twilio.webhooks", "twilio.whatsapp", "testing", "migration"),
        *("integrations", "integrations.fastapi", "integrations.flask", "integrations.django"),
    )
]

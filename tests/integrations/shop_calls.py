"""What the settings of the Django tests name."""

from __future__ import annotations

from webhook_requests import TWILIO, client_of_tests, nobody

from realtime_sip import ThreadCallHost
from realtime_sip.twilio import twiml
from realtime_sip.twilio.webhooks import VoiceWebhook

host = ThreadCallHost(nobody, client=client_of_tests())
twilio = TWILIO


def voice(call: VoiceWebhook) -> twiml.VoiceResponse:
    return twiml.say(f"You called {call.dialed}.")

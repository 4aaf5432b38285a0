"""What a voice webhook answers to Twilio: TwiML, built of twilio's own objects."""

from __future__ import annotations

from realtime_sip.twilio.elements import VoiceResponse

__all__ = ["VoiceResponse"]

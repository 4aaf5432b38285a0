"""What a voice webhook answers to Twilio: TwiML, built of twilio's own objects, with every argument checked.

    def voice(call: VoiceWebhook) -> twiml.VoiceResponse:
        return twiml.dial_openai("proj_abc123", voice=call, region="br1", action="/twilio/after_dial")

    app.include_router(twilio_webhook(signature, voice=voice))

| function | the caller |
|---|---|
| `dial_openai` | talks to the model |
| `dial_whatsapp` | is connected to a user of WhatsApp |
| `enqueue_flex` | waits for a person in Flex |
| `studio_flow_url` | goes through a flow of Studio: a URL, no TwiML |
| `reject` | is turned away, unanswered |
| `say` | hears a sentence, or a voicemail takes it |
| `press` | is a menu, whose keys are pressed |
| `voicemail` | leaves a message |
| `transfer_to` | is connected to the target of a transfer: a number, an app, a SIP address, a queue |
| `warm_transfer_wait`, `warm_transfer_join` | waits in a conference; the person who joins hears a summary first |

`BusinessHours` says whether somebody is there, before a call to OpenAI costs anything. `after_dial` says what became of
a `<Dial>`, from the form that Twilio posts to its `action`.

Each builder returns a `VoiceResponse`, Twilio's own with types, to which more can be appended, or appends to the one
that it gets as `into`.
"""

from __future__ import annotations

from realtime_sip.twilio.answers import (
    dial_whatsapp,
    enqueue_flex,
    press,
    reject,
    say,
    studio_flow_url,
    voicemail,
    warm_transfer_join,
    warm_transfer_wait,
)
from realtime_sip.twilio.business_hours import BusinessHours
from realtime_sip.twilio.elements import VoiceResponse
from realtime_sip.twilio.fallback import AfterDial, after_dial
from realtime_sip.twilio.referred import transfer_to
from realtime_sip.twilio.to_openai import InboundCall, dial_openai
from realtime_sip.twilio.uri import Edge, Region, openai_uri

__all__ = [
    "AfterDial",
    "BusinessHours",
    "Edge",
    "InboundCall",
    "Region",
    "VoiceResponse",
    "after_dial",
    "dial_openai",
    "dial_whatsapp",
    "enqueue_flex",
    "openai_uri",
    "press",
    "reject",
    "say",
    "studio_flow_url",
    "transfer_to",
    "voicemail",
    "warm_transfer_join",
    "warm_transfer_wait",
]

"""A phone at Twilio with an agent of OpenAI; if the agent does not answer, the caller leaves a message.

    pip install 'realtime-sip[fastapi,twilio]' uvicorn
    export OPENAI_API_KEY=… OPENAI_WEBHOOK_SECRET=… OPENAI_PROJECT_ID=proj_…
    export TWILIO_AUTH_TOKEN=… PUBLIC_URL=https://… REALTIME_SIP_CONTEXT_SECRET=…
    uvicorn --factory examples.voicemail:from_environment

At Twilio the voice URL is PUBLIC_URL and `/twilio/voice`; at OpenAI the webhook is PUBLIC_URL and `/openai/webhook`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import MutableMapping
from dataclasses import dataclass, field, replace

from fastapi import FastAPI

from realtime_sip import AsyncRealtimeSip, CallHost, IncomingCall, RealtimeSession, Tools, end_call
from realtime_sip.integrations.fastapi import openai_webhook, twilio_webhook
from realtime_sip.twilio import TwilioSignature, twiml
from realtime_sip.twilio.twiml import AfterDial
from realtime_sip.twilio.webhooks import DialResult, RecordingCallback, VoiceWebhook

log = logging.getLogger("voicemail")

SESSION = RealtimeSession(
    model="gpt-realtime-2.1",
    instructions="You answer the phone of a repair shop, in short sentences. The shop is open from 9 to 18. "
    "When the caller has no more questions, say goodbye and call end_call.",
)
GREETING = "Sorry, nobody can answer now. Please leave a message after the tone, and press the pound key when done."
THANKS = "Thank you. We will call you back."


@dataclass(frozen=True)
class Missed:
    """A caller whom nobody answered, and what they left. Fetch `recording` with your account's SID and token."""

    caller: str | None = field(repr=False)
    recording: str | None = field(default=None, repr=False)
    seconds: int | None = None


def create_app(
    client: AsyncRealtimeSip,
    *,
    project: str,
    twilio: TwilioSignature,
    public_url: str,
    missed: MutableMapping[str, Missed],
    max_calls: int = 20,
) -> FastAPI:
    """Return the server. `missed` is given each caller whom nobody answered, by the SID of their call."""

    async def on_call(incoming: IncomingCall) -> None:
        async with client.calls.answer(incoming, SESSION, tools=Tools([end_call])) as call:
            call.respond("Greet the caller and ask how you can help.")
            await call.wait_ended()

    host = CallHost(on_call, client=client, max_calls=max_calls)  # who calls beyond that leaves a message

    def voice(call: VoiceWebhook) -> twiml.VoiceResponse:
        return twiml.dial_openai(project, voice=call, action="/twilio/after_dial")

    def after_dial(call: DialResult) -> twiml.VoiceResponse:
        became = twiml.after_dial(call.fields)
        log.info("the dial to OpenAI: %s", became.value)
        if became in (AfterDial.TALKED, AfterDial.CALLER_LEFT):
            return twiml.VoiceResponse()
        # Kept at once, since a caller who says nothing causes no further request.
        missed.setdefault(call.call_sid, Missed(call.caller))
        # A whole URL: by a report Twilio refuses a path as the URL of a callback, and the message would be lost.
        ready = f"{public_url}/twilio/recording"
        return twiml.voicemail(GREETING, action="/twilio/goodbye/voice", recording_status_callback=ready)

    def recording(ready: RecordingCallback) -> None:
        """Keep where the message is. Twilio asks this when the audio is there, and perhaps more than once."""
        sid = ready.call_sid or ""
        if ready.is_ready and sid in missed:
            missed[sid] = replace(missed[sid], recording=ready.url, seconds=ready.duration_s)
            log.info("a message of %s seconds was left", ready.duration_s)

    def goodbye(_: VoiceWebhook) -> twiml.VoiceResponse:
        return twiml.say(THANKS)

    app = FastAPI()
    app.include_router(openai_webhook(host))
    app.include_router(twilio_webhook(twilio, host=host, voice=voice, after_dial=after_dial, recording=recording))
    app.include_router(twilio_webhook(twilio, path="/twilio/goodbye", voice=goodbye))
    return app


def from_environment() -> FastAPI:
    """Return the server with keys from the environment, for uvicorn's --factory."""
    logging.basicConfig(level=logging.INFO)
    public_url = os.environ["PUBLIC_URL"].rstrip("/")
    twilio = TwilioSignature(os.environ["TWILIO_AUTH_TOKEN"], public_url)
    project = os.environ["OPENAI_PROJECT_ID"]
    return create_app(AsyncRealtimeSip(), project=project, twilio=twilio, public_url=public_url, missed={})

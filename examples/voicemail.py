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

from fastapi import FastAPI, HTTPException, Request, Response

from realtime_sip import AsyncRealtimeSip, CallHost, IncomingCall, RealtimeSession, Tools, end_call
from realtime_sip.errors import WebhookError
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
    app = FastAPI(lifespan=host.lifespan)

    async def verified(request: Request) -> bytes:
        """Return the body of a request of Twilio's. What is signed is the target as it came in."""
        body, query = await request.body(), request.scope["query_string"]
        target = request.scope["raw_path"] + (b"?" + query if query else b"")
        try:
            twilio.verify(target, body, request.headers)
        except WebhookError as error:
            log.warning("a request that is not Twilio's: %s", error.reason)
            raise HTTPException(status_code=403) from None
        return body

    def answer(response: twiml.VoiceResponse) -> Response:
        return Response(str(response), media_type=response.content_type)

    @app.post("/twilio/voice")
    async def voice(request: Request) -> Response:
        call = VoiceWebhook.read(await verified(request))
        return answer(twiml.dial_openai(project, voice=call, action="/twilio/after"))

    @app.post("/twilio/after")
    async def after(request: Request) -> Response:
        call = DialResult.read(await verified(request))
        became = twiml.after_dial(call.fields)
        log.info("the dial to OpenAI: %s", became.value)
        if became in (AfterDial.TALKED, AfterDial.CALLER_LEFT):
            return answer(twiml.VoiceResponse())
        # Kept at once, since a caller who says nothing causes no further request.
        missed.setdefault(call.call_sid, Missed(call.caller))
        # A whole URL: by a report Twilio refuses a path as the URL of a callback, and the message would be lost.
        ready = f"{public_url}/twilio/recording"
        return answer(twiml.voicemail(GREETING, action="/twilio/goodbye", recording_status_callback=ready))

    @app.post("/twilio/goodbye")
    async def goodbye(request: Request) -> Response:
        await verified(request)
        return answer(twiml.say(THANKS))

    @app.post("/twilio/recording")
    async def recording(request: Request) -> Response:
        """Keep where the message is. Twilio asks this when the audio is there, and perhaps more than once."""
        ready = RecordingCallback.read(await verified(request))
        sid = ready.call_sid or ""
        if ready.is_ready and sid in missed:
            missed[sid] = replace(missed[sid], recording=ready.url, seconds=ready.duration_s)
            log.info("a message of %s seconds was left", ready.duration_s)
        return Response(status_code=204)

    @app.post("/openai/webhook")
    async def webhook(request: Request) -> Response:
        try:
            event = client.webhooks.unwrap(await request.body(), request.headers)
        except WebhookError:
            return Response(status_code=400)
        if isinstance(event, IncomingCall):
            await host.submit(event)
        return Response(status_code=200)

    return app


def from_environment() -> FastAPI:
    """Return the server with keys from the environment, for uvicorn's --factory."""
    logging.basicConfig(level=logging.INFO)
    public_url = os.environ["PUBLIC_URL"].rstrip("/")
    twilio = TwilioSignature(os.environ["TWILIO_AUTH_TOKEN"], public_url)
    project = os.environ["OPENAI_PROJECT_ID"]
    return create_app(AsyncRealtimeSip(), project=project, twilio=twilio, public_url=public_url, missed={})

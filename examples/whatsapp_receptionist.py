"""A receptionist in Portuguese for a WhatsApp sender or a number at Twilio; if nobody can answer, a voice says so.

    pip install 'realtime-sip[fastapi,twilio]' uvicorn
    export OPENAI_API_KEY=… OPENAI_WEBHOOK_SECRET=… OPENAI_PROJECT_ID=proj_…
    export TWILIO_AUTH_TOKEN=… PUBLIC_URL=https://… REALTIME_SIP_CONTEXT_SECRET=…
    uvicorn --factory examples.whatsapp_receptionist:from_environment

At Twilio the voice URL is PUBLIC_URL and `/twilio/voice`; at OpenAI the webhook is PUBLIC_URL and `/openai/webhook`.
"""

from __future__ import annotations

import logging
import os

from fastapi import FastAPI, HTTPException, Request, Response

from realtime_sip import AsyncRealtimeSip, CallHost, IncomingCall, RealtimeSession, Tools, end_call
from realtime_sip.errors import WebhookError
from realtime_sip.session import AudioConfig, AudioInput, Transcription
from realtime_sip.twilio import TwilioSignature, twiml
from realtime_sip.twilio.twiml import AfterDial
from realtime_sip.twilio.webhooks import DialResult, VoiceWebhook

log = logging.getLogger("receptionist")

SESSION = RealtimeSession(
    model="gpt-realtime-2.1",
    instructions="Você é a recepcionista de uma clínica. Atenda em português do Brasil, com frases curtas. "
    "Quando a pessoa não tiver mais perguntas, despeça-se e chame end_call.",
    audio=AudioConfig(input=AudioInput(transcription=Transcription(model="gpt-realtime-whisper", language="pt"))),
)
SORRY = "No momento ninguém pode atender. Por favor, ligue mais tarde."


def create_app(client: AsyncRealtimeSip, *, project: str, twilio: TwilioSignature) -> FastAPI:
    """Return the server: Twilio asks it what to do with a call, and then OpenAI announces the call."""

    async def on_call(incoming: IncomingCall) -> None:
        async with client.calls.answer(incoming, SESSION, tools=Tools([end_call])) as call:
            log.info("call %s came by %s", call.call_id, incoming.channel)
            call.respond("Cumprimente a pessoa e pergunte como pode ajudar.")
            await call.wait_ended()

    host = CallHost(on_call, client=client)
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
        return answer(twiml.dial_openai(project, voice=call, region="br1", action="/twilio/after"))

    @app.post("/twilio/after")
    async def after(request: Request, tried: bool = False) -> Response:
        call = DialResult.read(await verified(request))
        became = twiml.after_dial(call.fields)
        log.info("the dial to OpenAI: %s", became.value)
        if became in (AfterDial.TALKED, AfterDial.CALLER_LEFT):
            return answer(twiml.VoiceResponse())
        if became.try_again and not tried:
            return answer(twiml.dial_openai(project, voice=call, region="br1", action="/twilio/after?tried=1"))
        return answer(twiml.say(SORRY, language="pt-BR"))

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
    twilio = TwilioSignature(os.environ["TWILIO_AUTH_TOKEN"], os.environ["PUBLIC_URL"])
    return create_app(AsyncRealtimeSip(), project=os.environ["OPENAI_PROJECT_ID"], twilio=twilio)

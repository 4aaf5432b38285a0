"""Call people at their phone or on WhatsApp, with OpenAI's model on the other leg; a voicemail gets a message.

    pip install 'realtime-sip[fastapi,twilio]' uvicorn
    export OPENAI_API_KEY=… OPENAI_WEBHOOK_SECRET=… OPENAI_PROJECT_ID=proj_…
    export TWILIO_ACCOUNT_SID=AC… TWILIO_AUTH_TOKEN=… TWILIO_NUMBER=+… WHATSAPP_SENDER=whatsapp:+…
    export PUBLIC_URL=https://… REALTIME_SIP_CONTEXT_SECRET=… CALLS_TOKEN=…
    uvicorn --factory examples.outbound_call:from_environment
    curl -H "Authorization: Bearer $CALLS_TOKEN" -d +14155550123 https://…/calls

The sender's URL for messages is PUBLIC_URL and `/twilio/message`, where users permit calls. At OpenAI the webhook is
PUBLIC_URL and `/openai/webhook`. `MemoryStore` forgets permissions with the process: keep them in Redis or Postgres.
"""

from __future__ import annotations

import hmac
import logging
import os
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response

from realtime_sip import AsyncRealtimeSip, Call, CallHost, IncomingCall, MemoryStore, RealtimeSession, Tools, end_call
from realtime_sip.errors import CallNotAllowedError, InvalidRequestError, NetworkError, ServiceError
from realtime_sip.integrations.fastapi import openai_webhook, twilio_webhook
from realtime_sip.outbound import Answered
from realtime_sip.twilio import AsyncTwilioAccount, TwilioSignature, twiml, voice
from realtime_sip.twilio.calls import MachineDetection
from realtime_sip.twilio.webhooks import CallStatusCallback, IncomingMessage, VoiceWebhook
from realtime_sip.twilio.whatsapp import CallPermissions

log = logging.getLogger("outbound_call")

MESSAGE = "Hello, this is the bicycle workshop. Your bicycle is ready, and you can fetch it any day until six. Goodbye."
QUIET = {"type": "server_vad", "create_response": False, "interrupt_response": False}
LISTENING = RealtimeSession.model_validate(
    {
        "model": "gpt-realtime-2.1",
        "instructions": "You call for a bicycle workshop: the bicycle is ready, to be fetched any day until 18. Speak "
        "in short sentences. When everything is said, say goodbye and call end_call.",
        # The model says nothing until it is known who answered, and does not stop for a recorded greeting.
        "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}, "turn_detection": QUIET}},
    }
)
TALKING = {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}


@dataclass(frozen=True)
class Shop:
    """Who calls: a number at Twilio for phones, a sender for WhatsApp users."""

    project: str
    public_url: str
    number: str
    sender: str
    token: str


def create_app(
    client: AsyncRealtimeSip,
    *,
    shop: Shop,
    account: AsyncTwilioAccount,
    twilio: TwilioSignature,
    permissions: CallPermissions,
) -> FastAPI:
    """Return the server."""

    async def on_call(incoming: IncomingCall) -> None:
        async with client.calls.answer(incoming, LISTENING, tools=Tools([end_call])) as call:
            answered = await call.who_answered()
            log.info("call %s: answered by: %s (%s)", incoming.call_id, answered.who, answered.certainty)
            match answered.who:
                case Answered.VOICEMAIL:
                    if await call.greeting_over(within=30):
                        await call.respond(f"Say exactly this, and nothing else: {MESSAGE}").heard()
                case Answered.IVR if "pressed" not in incoming.context:
                    await press(incoming, "ww0")  # an operator; what the menu says then is heard by a new call
                case Answered.IVR:
                    pass  # leaving the block hangs up
                case Answered.SCREENING:
                    await talk(call, "Say in one sentence who you are and why you call, and wait.")
                case Answered.HUMAN | Answered.UNKNOWN:
                    await talk(call, "Say hello, who you are and why you call.")

    async def talk(call: Call, first: str) -> None:
        await call.update(TALKING)
        call.respond(first)
        await call.wait_ended()

    async def press(incoming: IncomingCall, keys: str) -> None:
        known = voice.KnownCall.of(incoming)
        again = twiml.dial_openai(shop.project, voice=known, context={"pressed": keys}, into=twiml.press(keys))
        await account.calls.redirect(known.call_sid, twiml=again)

    def connect(call: VoiceWebhook) -> twiml.VoiceResponse:
        return twiml.dial_openai(shop.project, voice=call)

    async def observe(webhook: CallStatusCallback | IncomingMessage) -> None:
        await permissions.observe(webhook)

    async def place(to: str) -> str:
        url, status = f"{shop.public_url}/twilio/voice", f"{shop.public_url}/twilio/status"
        if not to.startswith("whatsapp:"):
            detection = MachineDetection(callback=f"{shop.public_url}/twilio/answered")
            return (
                await account.calls.place(shop.number, to, url=url, machine_detection=detection, status_callback=status)
            ).sid
        async with permissions.calling(shop.sender, to) as reserved:
            placed = await account.whatsapp.place_call(
                shop.sender, to, permission=reserved.verdict, url=url, status_callback=status
            )
            reserved.sid = placed.sid
        return placed.sid

    host = CallHost(on_call, client=client)
    app = FastAPI()
    app.include_router(openai_webhook(host))
    app.include_router(twilio_webhook(twilio, host=host, voice=connect, status=observe, message=observe))

    @app.post("/calls")
    async def calls(request: Request) -> Response:
        """Call the number in the body: `+…`, or `whatsapp:+…`. Whoever could do this could spend your money."""
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), shop.token.encode()):
            return Response("the token is wrong", status_code=401)
        try:
            sid = await place((await request.body()).decode("ascii", "replace").strip())
        except CallNotAllowedError as error:
            return Response(str(error.verdict), status_code=409)
        except InvalidRequestError as error:
            return Response(str(error), status_code=400)
        except (ServiceError, NetworkError) as error:
            log.warning("the call was not placed: %s", error)
            return Response(type(error).__name__, status_code=502)
        return Response(sid, status_code=201)

    return app


def from_environment() -> FastAPI:
    """Return the server with keys from the environment, for uvicorn's --factory."""
    logging.basicConfig(level=logging.INFO)
    public_url = os.environ["PUBLIC_URL"].rstrip("/")
    shop = Shop(
        project=os.environ["OPENAI_PROJECT_ID"],
        public_url=public_url,
        number=os.environ["TWILIO_NUMBER"],
        sender=os.environ["WHATSAPP_SENDER"],
        token=os.environ["CALLS_TOKEN"],
    )
    return create_app(
        AsyncRealtimeSip(),
        shop=shop,
        account=AsyncTwilioAccount(),
        twilio=TwilioSignature(os.environ["TWILIO_AUTH_TOKEN"], public_url),
        permissions=CallPermissions(MemoryStore()),
    )

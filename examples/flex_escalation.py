"""A support line at Twilio, by phone or WhatsApp, whose agent hands callers over to people in Twilio Flex.

    pip install 'realtime-sip[fastapi,twilio]' uvicorn
    export OPENAI_API_KEY=… OPENAI_WEBHOOK_SECRET=… OPENAI_PROJECT_ID=proj_…
    export TWILIO_AUTH_TOKEN=… PUBLIC_URL=https://… REALTIME_SIP_CONTEXT_SECRET=… FLEX_WORKFLOW_SID=WW…
    uvicorn --factory examples.flex_escalation:from_environment

At Twilio the voice URL is PUBLIC_URL and `/twilio/voice`; at OpenAI the webhook is PUBLIC_URL and `/openai/webhook`.
A transfer needs "Enhanced Programmable SIP Features", a switch in Twilio's voice settings.
"""

from __future__ import annotations

import logging
import os

from fastapi import FastAPI, HTTPException, Request, Response

from realtime_sip import (
    AsyncRealtimeSip,
    Call,
    CallHost,
    Escalation,
    EscalationCause,
    IncomingCall,
    RealtimeSession,
    Tools,
    TransferTarget,
    TransferTargets,
    end_call,
    transfer_to_human,
)
from realtime_sip.errors import TransferError, WebhookError
from realtime_sip.session import AudioConfig, AudioInput, Transcription
from realtime_sip.twilio import TwilioSignature, twiml
from realtime_sip.twilio.webhooks import ReferRequest, VoiceWebhook

log = logging.getLogger("flex")

LINES = {"1042": "A cable is being repaired in their street. It should work again by six this evening."}
INSTRUCTIONS = """\
# Role
- You are the first voice on the support line of an internet provider. Speak in short sentences, one question at a time.
- Look up a customer's line with line_status. When the caller has no more questions, say goodbye and call end_call.

# Safety and escalation
Call escalate_to_human, and try nothing else first, as soon as one of these is true:
- somebody may come to harm, or the caller threatens or insults
- the caller wants a person, in whatever words
- the caller is angry, swears, or has complained about the same thing before
- line_status has failed twice, or three times in a row you could not make out what the caller wants
- it is about something other than the caller's line, such as a contract, a bill, or advice of any kind
In the same turn, before you call it, thank the caller for waiting and say that a colleague takes over.

# When no colleague can be reached
- Apologize once, offer what you can do yourself, and say that colleagues are there from 9 to 18.
"""
SESSION = RealtimeSession(
    model="gpt-realtime-2.1",
    instructions=INSTRUCTIONS,
    audio=AudioConfig(input=AudioInput(transcription=Transcription(model="gpt-realtime-whisper"))),
)
# Nobody is behind this address. Twilio asks our refer_url what to do, and the answer puts the caller into the queue.
DESKS = TransferTargets({"flex": TransferTarget("sip:flex@desk.invalid", description="Colleagues for whatever it is.")})
SORRY = "Sorry, none of my colleagues can be reached. Please call again later."


def create_app(client: AsyncRealtimeSip, *, project: str, twilio: TwilioSignature, workflow_sid: str) -> FastAPI:
    """Return the server. Callers are handed over by a REFER, to which the answer is the queue of `workflow_sid`."""
    tools = Tools([end_call])
    tools.function(transfer_to_human, name="escalate_to_human")
    tasks: dict[str | None, dict[str, str]] = {}  # what the person in Flex is shown, by the SID of the caller's call

    @tools.function
    async def line_status(customer_number: str) -> str:
        """Tell whether a customer's line works, and since when."""
        return LINES[customer_number]  # an unknown number raises, and counts as a failure

    async def on_call(incoming: IncomingCall) -> None:
        try:
            async with client.calls.answer(incoming, SESSION, tools=tools, transfers=DESKS) as call:
                call.respond("Greet the caller and ask how you can help.")
                async for event in call:
                    if isinstance(event, Escalation):
                        reason = event.reason or event.cause.value
                        log.info("call %s: a person should help: %s", call.call_id, event.cause.value)
                        tasks[incoming.parent_call_sid] = {"reason": reason, "summary": event.summary}
                        if event.cause is not EscalationCause.MODEL:  # else the transfer is under way
                            await hand_over(call, reason)
        finally:
            tasks.pop(incoming.parent_call_sid, None)

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
        return answer(twiml.dial_openai(project, voice=call, refer_url="/twilio/refer"))

    @app.post("/twilio/refer")
    async def refer(request: Request) -> Response:
        asked = ReferRequest.read(await verified(request))
        host.carrier(asked)
        task = tasks.get(asked.call_sid) or tasks.get(asked.parent_call_sid)
        return answer(twiml.enqueue_flex(workflow_sid, task=task or {}, action="/twilio/left"))

    @app.post("/twilio/left")
    async def left(request: Request) -> Response:
        """Say so if the queue took the caller back; else they have talked to somebody, or hung up."""
        result = VoiceWebhook.read(await verified(request)).fields.text("QueueResult")
        log.info("the queue of Flex: %s", result)
        failed = result in ("error", "system-error", "queue-full")
        return answer(twiml.say(SORRY) if failed else twiml.VoiceResponse())

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


async def hand_over(call: Call, reason: str) -> None:
    """Transfer the caller, once they have heard why. If that fails the model is told so, and goes on."""
    try:
        await call.transfer(
            "flex", announcement="Thank the caller, and say that a colleague takes over.", reason=reason
        )
    except TransferError as failed:
        log.warning("call %s: no transfer: %s", call.call_id, failed.reason.value)


def from_environment() -> FastAPI:
    """Return the server with keys from the environment, for uvicorn's --factory."""
    logging.basicConfig(level=logging.INFO)
    return create_app(
        AsyncRealtimeSip(),
        project=os.environ["OPENAI_PROJECT_ID"],
        twilio=TwilioSignature(os.environ["TWILIO_AUTH_TOKEN"], os.environ["PUBLIC_URL"]),
        workflow_sid=os.environ["FLEX_WORKFLOW_SID"],
    )

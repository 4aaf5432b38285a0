"""A support line at Twilio, by phone or WhatsApp, whose agent hands callers over to people in Twilio Flex.

Callers come into the queue by a REFER; if none arrives, by Twilio's API; and if the agent does not answer, at once.

    pip install 'realtime-sip[fastapi,twilio]' uvicorn
    export OPENAI_API_KEY=… OPENAI_WEBHOOK_SECRET=… OPENAI_PROJECT_ID=proj_…
    export TWILIO_ACCOUNT_SID=AC… TWILIO_AUTH_TOKEN=… FLEX_WORKFLOW_SID=WW…
    export PUBLIC_URL=https://… REALTIME_SIP_CONTEXT_SECRET=…
    uvicorn --factory examples.flex_escalation:from_environment

At Twilio the voice URL is PUBLIC_URL and `/twilio/voice`; at OpenAI the webhook is PUBLIC_URL and `/openai/webhook`.
A REFER needs "Enhanced Programmable SIP Features", a switch in Twilio's voice settings.
"""

from __future__ import annotations

import logging
import os

from fastapi import FastAPI
from twilio.rest import Client

from realtime_sip import (
    AsyncRealtimeSip,
    Call,
    CallHost,
    Escalation,
    EscalationCause,
    IncomingCall,
    RealtimeSession,
    Tools,
    TransferRequest,
    TransferTarget,
    TransferTargets,
    end_call,
    transfer_to_human,
)
from realtime_sip.errors import TransferError
from realtime_sip.integrations.fastapi import openai_webhook, twilio_webhook
from realtime_sip.session import AudioConfig, AudioInput, Transcription
from realtime_sip.twilio import TwilioSignature, twiml, voice
from realtime_sip.twilio.twiml import AfterDial
from realtime_sip.twilio.webhooks import DialResult, QueueResult, ReferRequest, VoiceWebhook

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
FLEX = TransferTarget("sip:flex@desk.invalid", description="Colleagues for whatever it is.")
SORRY = "Sorry, none of my colleagues can be reached. Please call again later."


def create_app(
    client: AsyncRealtimeSip, *, project: str, twilio: TwilioSignature, rest: Client, workflow_sid: str, public_url: str
) -> FastAPI:
    """Return the server. Callers are handed over to the queue of `workflow_sid`."""

    def queue(reason: str, summary: str = "") -> twiml.VoiceResponse:
        """Return TwiML that puts the caller into the queue. Over REST it needs a whole URL."""
        task = {"reason": reason, "summary": summary}  # what the person in Flex is shown
        return twiml.enqueue_flex(workflow_sid, task=task, action=f"{public_url}/twilio/after_queue")

    def by_api(request: TransferRequest) -> twiml.VoiceResponse:
        return queue(request.reason, request.summary)

    desks = TransferTargets({"flex": FLEX}, fallback=voice.redirect(rest, twiml=by_api))
    tools = Tools([end_call])
    tools.function(transfer_to_human, name="escalate_to_human")

    @tools.function
    async def line_status(customer_number: str) -> str:
        """Tell whether a customer's line works, and since when."""
        return LINES[customer_number]  # an unknown number raises, and counts as a failure

    async def on_call(incoming: IncomingCall) -> None:
        async with client.calls.answer(incoming, SESSION, tools=tools, transfers=desks) as call:
            call.respond("Greet the caller and ask how you can help.")
            async for event in call:
                if isinstance(event, Escalation):
                    log.info("call %s: a person should help: %s", call.call_id, event.cause.value)
                    if event.cause is not EscalationCause.MODEL:  # else the transfer is under way
                        await hand_over(call, event.cause.value)

    host = CallHost(on_call, client=client)

    def rings(call: VoiceWebhook) -> twiml.VoiceResponse:
        return twiml.dial_openai(project, voice=call, refer_url="/twilio/refer", action="/twilio/after_dial")

    async def after_dial(call: DialResult) -> twiml.VoiceResponse:
        became = twiml.after_dial(call.fields, redirected=await voice.was_redirected(call))
        log.info("the dial to OpenAI: %s", became.value)
        over = became in (AfterDial.TALKED, AfterDial.CALLER_LEFT, AfterDial.OWN_REDIRECT)
        return twiml.VoiceResponse() if over else queue("the agent did not answer")

    async def refer(asked: ReferRequest) -> twiml.VoiceResponse:
        transfer = await host.transfer_of(asked)
        return queue("not known") if transfer is None else by_api(transfer)

    def after_queue(call: QueueResult) -> twiml.VoiceResponse:
        """Say so if the queue took the caller back; else they have talked to somebody, or hung up."""
        log.info("the queue of Flex: %s", call.queue_result)
        return twiml.say(SORRY) if call.refused else twiml.VoiceResponse()

    app = FastAPI()
    app.include_router(openai_webhook(host))
    app.include_router(
        twilio_webhook(twilio, host=host, voice=rings, after_dial=after_dial, refer=refer, after_queue=after_queue)
    )
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
    token, public_url = os.environ["TWILIO_AUTH_TOKEN"], os.environ["PUBLIC_URL"].rstrip("/")
    return create_app(
        AsyncRealtimeSip(),
        project=os.environ["OPENAI_PROJECT_ID"],
        twilio=TwilioSignature(token, public_url),
        rest=Client(os.environ["TWILIO_ACCOUNT_SID"], token, http_client=voice.AsyncTwilioHttp()),
        workflow_sid=os.environ["FLEX_WORKFLOW_SID"],
        public_url=public_url,
    )

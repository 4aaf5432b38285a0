"""A receptionist in Portuguese for a WhatsApp sender at Twilio: looks free times up, and fetches a colleague in Flex.

    pip install 'realtime-sip[fastapi,twilio]' uvicorn
    export OPENAI_API_KEY=… OPENAI_WEBHOOK_SECRET=… OPENAI_PROJECT_ID=proj_…
    export TWILIO_AUTH_TOKEN=… FLEX_WORKFLOW_SID=WW… PUBLIC_URL=https://… REALTIME_SIP_CONTEXT_SECRET=…
    uvicorn --factory examples.whatsapp_receptionist:from_environment

At Twilio the voice URL is PUBLIC_URL and `/twilio/voice`; at OpenAI the webhook is PUBLIC_URL and `/openai/webhook`.
A REFER needs "Enhanced Programmable SIP Features", a switch in Twilio's voice settings. Numbers work as WhatsApp does.

`realtime-sip demo` runs this file, and rings it.
"""

from __future__ import annotations

import logging
import os

from fastapi import FastAPI

from realtime_sip import (
    AsyncRealtimeSip,
    CallHost,
    EventLogFolder,
    IncomingCall,
    RealtimeSession,
    Tools,
    TransferTarget,
    TransferTargets,
    end_call,
    transfer_to_human,
)
from realtime_sip.integrations.fastapi import openai_webhook, twilio_webhook
from realtime_sip.prompts import (
    Instructions,
    Language,
    Personality,
    Role,
    SafetyAndEscalation,
    ToolRule,
    ToolRules,
    UnclearAudio,
    Variety,
    Verbosity,
)
from realtime_sip.session import AudioConfig, AudioInput, Transcription
from realtime_sip.twilio import TwilioSignature, twiml
from realtime_sip.twilio.twiml import AfterDial
from realtime_sip.twilio.webhooks import CallWebhook, DialResult, QueueResult, ReferRequest, VoiceWebhook

log = logging.getLogger("receptionist")

INSTRUCTIONS = Instructions(
    Role(
        "Você é a recepcionista da Clínica Boa Vista e atende o telefone.",
        objective="a pessoa desliga sabendo quais horários estão livres, ou é transferida para a equipe.",
    ),
    Personality("atenciosa e tranquila.", tone="cordial e simples, sem muita formalidade."),
    Language("pt-BR"),
    Verbosity(),
    Variety(),
    UnclearAudio(),
    ToolRules(
        ToolRule("free_times", "read", use="a pessoa quiser marcar uma consulta", preamble="Vou ver os horários."),
        ToolRule("end_call", use="a pessoa não precisar de mais nada; despeça-se antes"),
    ),
    SafetyAndEscalation(
        tool="transfer_to_human",
        danger="oriente a pessoa a ligar para o 192, o SAMU",
        out_of_scope=("diagnósticos e remédios", "preços e convênios"),
    ),
    locale="pt-BR",
)
SESSION = RealtimeSession(
    model="gpt-realtime-2.1",
    instructions=INSTRUCTIONS,
    audio=AudioConfig(input=AudioInput(transcription=Transcription(model="gpt-realtime-whisper", language="pt"))),
)
FREE = {"quinta-feira": "10:30 e 16:00", "sexta-feira": "nenhum"}
# Nobody is behind this address: Twilio asks /twilio/refer where to, and the answer is the queue of Flex.
DESK = TransferTargets({"equipe": TransferTarget("sip:flex@desk.invalid", description="As colegas da recepção.")})
SORRY = "No momento não podemos atender. Por favor, ligue mais tarde."

tools = Tools([end_call, transfer_to_human])


@tools.function(timeout=5)
async def free_times(day: str) -> str:
    """Tell at which times somebody can come.

    Args:
        day: The day of the week, in Portuguese.
    """
    return FREE.get(day, "nenhum")


def create_app(
    client: AsyncRealtimeSip,
    *,
    project: str,
    twilio: TwilioSignature,
    workflow_sid: str,
    event_log: EventLogFolder | None = None,
) -> FastAPI:
    """Return the server: Twilio asks it what to do with a call, and then OpenAI announces the call."""

    async def on_call(incoming: IncomingCall) -> None:
        async with client.calls.answer(incoming, SESSION, tools=tools, transfers=DESK, event_log=event_log) as call:
            log.info("accepted, and sideband attached; the caller came by %s", incoming.channel)
            call.respond("Cumprimente a pessoa e pergunte como pode ajudar.")
            ended = await call.wait_ended()
        log.info("the call to the model has ended: %s (%s)", ended.reason.value, ended.certainty)

    host = CallHost(on_call, client=client)

    def dial(call: CallWebhook, *, action: str) -> twiml.VoiceResponse:
        return twiml.dial_openai(project, voice=call, region="br1", action=action, refer_url="/twilio/refer")

    def voice(call: VoiceWebhook) -> twiml.VoiceResponse:
        return dial(call, action="/twilio/after_dial")

    def after_dial(call: DialResult, *, tried: bool = False) -> twiml.VoiceResponse:
        became = twiml.after_dial(call.fields)
        log.info("the dial to OpenAI: %s", became.value)
        if became in (AfterDial.TALKED, AfterDial.CALLER_LEFT):
            return twiml.VoiceResponse()
        if became.try_again and not tried:
            return dial(call, action="/twilio/again/after_dial")
        return twiml.say(SORRY, language="pt-BR")

    def after_again(call: DialResult) -> twiml.VoiceResponse:
        return after_dial(call, tried=True)

    async def refer(asked: ReferRequest) -> twiml.VoiceResponse:
        transfer = await host.transfer_of(asked)
        task = {"language": "pt-BR", "summary": transfer.summary if transfer else ""}  # what the colleague is shown
        return twiml.enqueue_flex(workflow_sid, task=task, action="/twilio/after_queue")

    def after_queue(call: QueueResult) -> twiml.VoiceResponse:
        """Say so if the queue did not take the caller; else they have talked to a colleague, or hung up."""
        return twiml.say(SORRY, language="pt-BR") if call.refused else twiml.VoiceResponse()

    app = FastAPI()
    app.include_router(openai_webhook(host))
    app.include_router(
        twilio_webhook(twilio, host=host, voice=voice, after_dial=after_dial, refer=refer, after_queue=after_queue)
    )
    app.include_router(twilio_webhook(twilio, host=host, path="/twilio/again", after_dial=after_again))
    return app


def from_environment() -> FastAPI:
    """Return the server with keys from the environment, for uvicorn's --factory."""
    logging.basicConfig(level=logging.INFO)
    return create_app(
        AsyncRealtimeSip(),
        project=os.environ["OPENAI_PROJECT_ID"],
        twilio=TwilioSignature(os.environ["TWILIO_AUTH_TOKEN"], os.environ["PUBLIC_URL"]),
        workflow_sid=os.environ["FLEX_WORKFLOW_SID"],
    )

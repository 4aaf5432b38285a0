"""A shop's phone that fetches a person if the agent cannot help, and takes a message if nobody answers.

The model fetches a person as its instructions say. If a tool fails twice in a row, or three turns in a row come to
nothing, the program does.

    pip install 'realtime-sip[fastapi]' uvicorn
    export OPENAI_API_KEY=… OPENAI_WEBHOOK_SECRET=…
    uvicorn --factory examples.escalation:from_environment
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from fastapi import FastAPI

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
from realtime_sip.errors import TransferError
from realtime_sip.integrations.fastapi import openai_webhook
from realtime_sip.prompts import (
    Instructions,
    Personality,
    Role,
    SafetyAndEscalation,
    Section,
    ToolRule,
    ToolRules,
    UnclearAudio,
)
from realtime_sip.tools import not_understood, wait_for_user

log = logging.getLogger("escalation")

ORDERS = {"1042": "It left our warehouse yesterday and arrives tomorrow before noon."}
# The model chooses among these names, and never sees a number; a caller can be sent nowhere else.
DESKS = TransferTargets(
    {
        "service": TransferTarget("sip:service@pbx.example.com", description="Orders, and whatever else comes up."),
        "billing": TransferTarget("tel:+14155550123", description="Invoices and refunds.", ring_time=25),
    }
)
INSTRUCTIONS = Instructions(
    Role("You answer the phone of a shop.", objective="The caller knows where their order is."),
    Personality("Friendly.", tone="Short sentences."),
    UnclearAudio(wait_tool="wait_for_user", no_match_tool="not_understood"),
    ToolRules(
        ToolRule("order_status", "exact_id", use="the caller asks for an order"),
        ToolRule("take_message", "write", use="nobody could be reached, and the caller wants to leave a message"),
        ToolRule("end_call", use="the caller has no more questions, and you have said goodbye"),
    ),
    SafetyAndEscalation(
        tool="transfer_to_human",
        out_of_scope=("law, medicine, and money matters other than the caller's own invoices",),
    ),
    Section(
        "When nobody answers",
        "Apologize once, and offer to take a message.",
        "Read the message back in one sentence, and do not promise a time.",
    ),
)
SESSION = RealtimeSession(model="gpt-realtime-2.1", instructions=INSTRUCTIONS)


def create_app(client: AsyncRealtimeSip, *, keep: Callable[[str], None]) -> FastAPI:
    """Return the server. `keep` is given each message that a caller leaves."""
    tools = Tools([transfer_to_human, end_call, wait_for_user, not_understood])

    @tools.function
    async def order_status(order_id: str) -> str:
        """Tell where an order is."""
        return ORDERS[order_id]  # an unknown number raises, and counts as a failure; so does taking too long

    @tools.function
    async def take_message(message: str) -> str:
        """Take a message for the staff: what the caller wants, and how to reach them."""
        keep(message)
        return "The message was taken."

    async def on_call(incoming: IncomingCall) -> None:
        async with client.calls.answer(incoming, SESSION, tools=tools, transfers=DESKS) as call:
            call.respond("Greet the caller and ask how you can help.")
            async for event in call:
                if isinstance(event, Escalation):
                    log.info("call %s: a person should help: %s", call.call_id, event.cause.value)
                    if event.cause is not EscalationCause.MODEL:  # else the transfer is under way
                        await fetch_person(call)

    host = CallHost(on_call, client=client)
    app = FastAPI()
    app.include_router(openai_webhook(host))
    return app


async def fetch_person(call: Call) -> None:
    """Transfer the caller, once they have heard why. If nobody answers, the model is told so, and goes on."""
    try:
        await call.transfer("service", announcement="Thank the caller for their patience, and say who you connect to.")
    except TransferError as failed:
        log.warning("call %s: no transfer: %s", call.call_id, failed.reason.value)


def from_environment() -> FastAPI:
    """Return the server with keys from the environment, for uvicorn's --factory."""
    logging.basicConfig(level=logging.INFO)
    return create_app(AsyncRealtimeSip(), keep=lambda _: log.info("a message was left"))

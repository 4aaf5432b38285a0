"""Answer calls with FastAPI: verify the webhook, greet the caller, look orders up, hang up, and know how it ended.

    pip install 'realtime-sip[fastapi]' uvicorn
    export OPENAI_API_KEY=… OPENAI_WEBHOOK_SECRET=…
    uvicorn --factory examples.fastapi_server:from_environment

`realtime-sip demo` runs this file, and rings it.
"""

from __future__ import annotations

import logging

from fastapi import FastAPI

from realtime_sip import AsyncRealtimeSip, CallHost, EventLogFolder, IncomingCall, RealtimeSession, Tools, end_call
from realtime_sip.integrations.fastapi import openai_webhook

log = logging.getLogger("phone")

ORDERS = {"1042": "It left our warehouse yesterday and arrives tomorrow before noon."}
SESSION = RealtimeSession(
    model="gpt-realtime-2.1",
    instructions="You answer the phone of a shop. Be brief and friendly. Look orders up with order_status. "
    "When the caller has no more questions, say goodbye and call end_call.",
)

tools = Tools()
tools.function(end_call)


@tools.function(timeout=5)
async def order_status(order_id: str) -> str:
    """Tell where an order is.

    Args:
        order_id: The number on the receipt.
    """
    return ORDERS.get(order_id, "There is no such order.")


def create_host(client: AsyncRealtimeSip, *, event_log: EventLogFolder | None = None) -> CallHost:
    """Return what answers the calls, each with a run of `on_call`, and with a log in the folder."""

    async def on_call(incoming: IncomingCall) -> None:
        log.info("webhook verified: call %s by %s", incoming.call_id, incoming.channel)
        async with client.calls.answer(incoming, SESSION, tools=tools, event_log=event_log) as call:
            greeting = call.respond("Greet the caller and ask how you can help.")
            log.info("call accepted, sideband attached")
            log.info("greeting heard: %s", (await greeting.heard()).value)
            await call.wait_ended()  # tools and limits run by themselves; leaving the block would hang up
        ended = await call.wait_ended()
        log.info("call ended: %s (%s), socket: %s", ended.reason.value, ended.certainty, ended.close)

    return CallHost(on_call, client=client)


def create_app(client: AsyncRealtimeSip, *, event_log: EventLogFolder | None = None) -> FastAPI:
    """Return the server, which has one webhook."""
    host = create_host(client, event_log=event_log)
    app = FastAPI()
    app.include_router(openai_webhook(host))
    return app


def from_environment() -> FastAPI:
    """Return the server with keys from the environment, for uvicorn's --factory."""
    logging.basicConfig(level=logging.INFO)
    return create_app(AsyncRealtimeSip())

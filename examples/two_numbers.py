"""One server for two phone numbers, each with an agent of its own, and rules for who may call.

pip install 'realtime-sip[fastapi]' uvicorn
export OPENAI_API_KEY=… OPENAI_WEBHOOK_SECRET=…
export DENIED_CALLERS='+14155550199 +1900*'
uvicorn --factory examples.two_numbers:from_environment
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from fastapi import FastAPI

from realtime_sip import AsyncRealtimeSip, CallHost, CallPolicy, IncomingCall, RealtimeSession, Router, Tools, end_call
from realtime_sip.integrations.fastapi import openai_webhook
from realtime_sip.policy import CallRate, DenyCallers

SHOP, WORKSHOP = "+14155550110", "+14155550120"
HOURS = {"monday": "9 to 18", "saturday": "9 to 13"}
REPAIRS = {"17": "It is ready to be fetched.", "18": "It waits for a spare part."}

SHOP_SESSION = RealtimeSession(
    model="gpt-realtime-2.1",
    instructions="You answer the phone of a bicycle shop. Be brief. Look opening hours up with opening_hours. "
    "Say goodbye before end_call.",
)
WORKSHOP_SESSION = RealtimeSession(
    model="gpt-realtime-2.1-mini",
    instructions="You answer the phone of a bicycle workshop. Be brief. Look repairs up with repair_status. "
    "Say goodbye before end_call.",
)

shop_tools, workshop_tools = Tools(), Tools()
shop_tools.function(end_call)
workshop_tools.function(end_call)


@shop_tools.function
async def opening_hours(day: str) -> str:
    """Tell when the shop is open on a day of the week."""
    return HOURS.get(day.lower(), "closed")


@workshop_tools.function
async def repair_status(ticket: str) -> str:
    """Tell how far a repair is, by the number on its ticket."""
    return REPAIRS.get(ticket, "There is no such ticket.")


def create_router(client: AsyncRealtimeSip) -> Router:
    """Return which agent answers which number."""
    router = Router()  # a number that is none of these is rejected with 404

    @router.route(session=SHOP_SESSION, dialed=SHOP)
    async def shop(incoming: IncomingCall, session: RealtimeSession) -> None:
        async with client.calls.answer(incoming, session, tools=shop_tools) as call:
            call.respond("Greet the caller in the name of the shop.")
            await call.wait_ended()

    @router.route(session=WORKSHOP_SESSION, dialed=WORKSHOP)
    async def workshop(incoming: IncomingCall, session: RealtimeSession) -> None:
        async with client.calls.answer(incoming, session, tools=workshop_tools) as call:
            call.respond("Greet the caller in the name of the workshop, and ask for the ticket's number.")
            await call.wait_ended()

    return router


def create_app(client: AsyncRealtimeSip, *, denied: Iterable[str] = ()) -> FastAPI:
    """Return the server. `denied` are numbers, and beginnings of numbers, that may not call."""
    policy = CallPolicy(
        DenyCallers(denied),  # declined with 603, so that no other route of the trunk is tried
        CallRate(5, per=3600),  # busy (486) from the sixth call of an hour
    )
    host = CallHost(create_router(client), client=client, policy=policy)
    app = FastAPI()
    app.include_router(openai_webhook(host))
    return app


def from_environment() -> FastAPI:
    """Return the server with keys and denied callers from the environment, for uvicorn's --factory."""
    return create_app(AsyncRealtimeSip(), denied=os.environ.get("DENIED_CALLERS", "").split())

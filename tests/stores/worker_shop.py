"""A worker of a fleet: the shop as an application of FastAPI, whose calls others can take over.

Its store is the URL in SHOP_STORE. Each run of a tool is a line of the file SHOP_RUNS: the tool, its argument, its key.
"""

from __future__ import annotations

import asyncio
import logging
import os

from fastapi import FastAPI

from realtime_sip import AsyncRealtimeSip, Call, CallHost, CallLimits, IncomingCall, RealtimeSession, Tools
from realtime_sip.integrations.fastapi import openai_webhook
from realtime_sip.stores import PostgresStore, RedisStore, Store

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(name)s %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
SESSION = RealtimeSession(model="gpt-realtime-2.1", instructions="You answer the phone of a shop.")
client = AsyncRealtimeSip(timeout=60.0)
tools = Tools()


def ran(tool: str, argument: str, call: Call) -> None:
    runs = os.open(os.environ["SHOP_RUNS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(runs, f"{tool} {argument} {call.idempotency_key}\n".encode())
    os.close(runs)


@tools.function
async def pay(order: str, call: Call) -> str:
    """Charge the card for an order."""
    ran("pay", order, call)
    await asyncio.sleep(0.5)
    return "It is paid."


@tools.function(idempotent=True)
async def look_up(order: str, call: Call) -> str:
    """Look an order up."""
    ran("look_up", order, call)
    await asyncio.sleep(0.5)
    return "It arrives tomorrow."


async def on_call(incoming: IncomingCall) -> None:
    """Answer a call."""
    limits = CallLimits(silence=None, first_sound=None)
    async with client.calls.answer(incoming, SESSION, tools=tools, limits=limits) as call:
        await call.wait_ended()


def store_at(url: str) -> Store:
    return RedisStore(url) if url.startswith("redis") else PostgresStore(url)


host = CallHost(on_call, client=client, store=store_at(os.environ["SHOP_STORE"]), drain_timeout=20.0)
app = FastAPI()
app.include_router(openai_webhook(host))

"""The box office of a theater, whose calls several workers share: if one dies, another goes on with its calls.

    pip install 'realtime-sip[fastapi,redis]' uvicorn
    export OPENAI_API_KEY=… OPENAI_WEBHOOK_SECRET=… REDIS_URL=redis://127.0.0.1:6379/0
    uvicorn --factory box_office:create_app --port 8001

All workers need the same webhook secret and the same Redis. THEATER_SECONDS is how long its tools take (1), so that
there is time to kill a worker in the middle of one.
"""

from __future__ import annotations

import asyncio
import logging
import os

from fastapi import FastAPI
from redis.asyncio import Redis

from realtime_sip import AsyncRealtimeSip, Call, CallHost, IncomingCall, RealtimeSession, Tools, end_call
from realtime_sip.integrations.fastapi import health, openai_webhook
from realtime_sip.stores import RedisStore

log = logging.getLogger("box_office")

SEATS = 120
SLOW = float(os.environ.get("THEATER_SECONDS", "1"))
BOOKINGS = "box-office:bookings"
SESSION = RealtimeSession(
    model="gpt-realtime-2.1",
    instructions="You answer the phone of a theater. Tell how many seats are left with seats_left, and book them with "
    "book_seats. If a tool was interrupted and nobody knows what came of it, ask bookings_of before you try it again. "
    "When the caller has no more questions, say goodbye and call end_call.",
)


def create_tools(url: str) -> Tools:
    """Return what the agent can do, with the bookings in Redis, where each worker finds them."""
    redis: Redis = Redis.from_url(url, decode_responses=True)
    tools = Tools()
    tools.function(end_call)

    @tools.function(idempotent=True, timeout=SLOW + 10)
    async def seats_left() -> int:
        """Tell how many seats are left tonight."""
        await asyncio.sleep(SLOW)
        booked = sum(int(seats) for seats in await redis.hvals(BOOKINGS))
        return SEATS - booked

    @tools.function(timeout=SLOW + 10)
    async def book_seats(seats: int, call: Call) -> str:
        """Book seats for tonight.

        Args:
            seats: How many.
        """
        # The key names this call of the tool: should two workers run it, as when one is cut off, it is one booking.
        await redis.hset(BOOKINGS, f"{call.call_id} {call.idempotency_key}", str(seats))
        await asyncio.sleep(SLOW)
        log.info("%d seats are booked under %s", seats, call.idempotency_key)
        return f"{seats} seats are booked."

    @tools.function(idempotent=True)
    async def bookings_of(call: Call) -> int:
        """Tell how many seats are booked on this call."""
        ours = redis.hscan_iter(BOOKINGS, match=f"{call.call_id} *")
        return sum([int(seats) async for _, seats in ours])

    return tools


def create_host(client: AsyncRealtimeSip, url: str) -> CallHost:
    """Return what answers the calls, and shares them with the other workers of the Redis at this URL."""
    tools = create_tools(url)

    async def on_call(incoming: IncomingCall) -> None:
        async with client.calls.answer(incoming, SESSION, tools=tools) as call:
            if call.adopted is None:
                log.info("call %s: answered here", call.call_id)
                call.respond("Greet the caller and ask how you can help.")
            else:
                # The caller has been greeted, and notices nothing.
                ran = ", ".join(call.adopted.interrupted) or "nothing"
                log.info("call %s: taken over; what was interrupted: %s", call.call_id, ran)
            ended = await call.wait_ended()
        log.info("call %s: ended here: %s", call.call_id, ended.reason.value)

    return CallHost(on_call, client=client, store=RedisStore(url))


def create_app() -> FastAPI:
    """Return a worker, for uvicorn's --factory."""
    # The process's id says which worker it was.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker %(process)d: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    host = create_host(AsyncRealtimeSip(), os.environ["REDIS_URL"])
    app = FastAPI()
    app.include_router(openai_webhook(host))
    app.include_router(health(host))
    return app

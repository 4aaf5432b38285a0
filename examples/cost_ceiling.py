"""Calls that cannot cost more than they may: a ceiling for each, one for the day, and what every call has cost.

    pip install 'realtime-sip[fastapi]' uvicorn
    export OPENAI_API_KEY=… OPENAI_WEBHOOK_SECRET=… EVENT_LOGS=/var/lib/phone/calls
    uvicorn --factory examples.cost_ceiling:from_environment

What happens on a call is kept in the folder EVENT_LOGS: the course of it, without anybody's words or numbers. Have
`EventLogFolder(folder).prune(older_than=30 * 86400)` called daily.
"""

from __future__ import annotations

import logging
import os
from decimal import Decimal

from fastapi import FastAPI

from realtime_sip import (
    AsyncRealtimeSip,
    Call,
    CallEnded,
    CallHost,
    CallLimits,
    CallPolicy,
    EventLogFolder,
    IncomingCall,
    LimitKind,
    LimitNear,
    RealtimeSession,
    Tools,
    end_call,
)
from realtime_sip.events import ConversationItemCreate
from realtime_sip.integrations.fastapi import openai_webhook
from realtime_sip.items import SystemMessage
from realtime_sip.policy import DailySpend
from realtime_sip.session import AudioConfig, AudioInput, Transcription

log = logging.getLogger("cost")

# Both models have a published price. If a ceiling is set, a model without a price is refused.
SESSION = RealtimeSession(
    model="gpt-realtime-2.1-mini",
    instructions="You chat with callers about cooking. Be brief. Say goodbye before end_call.",
    audio=AudioConfig(input=AudioInput(transcription=Transcription(model="gpt-realtime-whisper"))),
)
COMING_TO_AN_END = SystemMessage.text("This call ends within a minute. Come to a close; begin no new subject.")


def create_app(client: AsyncRealtimeSip, *, logs: EventLogFolder, per_call: Decimal, per_day: Decimal) -> FastAPI:
    """Return the server, with the most that a call and 24 hours of calls may cost, in US dollars."""
    tools = Tools()
    tools.function(end_call)
    limits = CallLimits(max_cost=per_call, goodbye="Say that the time is up, thank the caller, and say goodbye.")

    async def on_call(incoming: IncomingCall) -> None:
        async with client.calls.answer(incoming, SESSION, tools=tools, limits=limits, event_log=logs) as call:
            call.respond("Greet the caller, and ask what they would like to cook.")
            async for event in call:
                if isinstance(event, LimitNear) and event.limit is LimitKind.COST:
                    log.warning("call %s: it has nearly cost what it may", call.call_id)
                    await call.send(ConversationItemCreate(item=COMING_TO_AN_END))
        sum_up(call, await call.wait_ended())

    # Calls that are up are not ended by the day's ceiling; new ones get 503, so that the trunk tries its next route.
    host = CallHost(on_call, client=client, policy=CallPolicy(DailySpend(per_day)))
    app = FastAPI()
    app.include_router(openai_webhook(host))
    return app


def sum_up(call: Call, ended: CallEnded) -> None:
    """Log what a call came to, in one line."""
    used = call.usage
    cost = "unknown" if call.cost is None else f"{call.cost:.4f} USD"
    log.info(
        "call %s: %s; %d lines said, %d responses, %d tokens, cost %s%s",
        *(call.call_id, ended.reason.value, len(call.transcript), used.responses, used.tokens.total, cost),
        "" if used.complete else " at least",
    )


def from_environment() -> FastAPI:
    """Return the server with keys and the folder of the logs from the environment, for uvicorn's --factory."""
    logging.basicConfig(level=logging.INFO)
    logs = EventLogFolder(os.environ["EVENT_LOGS"])
    return create_app(AsyncRealtimeSip(), logs=logs, per_call=Decimal("0.50"), per_day=Decimal(20))

"""Who answers the phone: an agent for each number, what they may look up and write down, and what is kept of a call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from garage.models import Callback, Part, PhoneCall, Repair, TranscriptLine, db
from realtime_sip import (
    AsyncRealtimeSip,
    Call,
    CallEnded,
    IncomingCall,
    RealtimeSession,
    Router,
    ThreadCallHost,
    Tools,
    end_call,
)
from realtime_sip.errors import ToolError
from realtime_sip.session import AudioConfig, AudioInput, Transcription
from realtime_sip.stores import RedisStore

# --- what the model may do: plain functions, which run in threads, each with an app_context() of its own --------------


def repair_status(plate: str) -> str:
    """Tell how far a repair is.

    Args:
        plate: The car's license plate, letters and digits without spaces.
    """
    repair = db.session.get(Repair, plate.upper().replace(" ", ""))
    if repair is None:
        raise ToolError("No car with that plate is here. Ask the caller to read it again.")
    return repair.status


def in_stock(part_number: str) -> str:
    """Tell how many of a part are on the shelf."""
    part = db.session.get(Part, part_number.upper())
    if part is None:
        raise ToolError("There is no part with that number. Ask the caller to read it again.")
    return f"{part.name}: {part.on_shelf}"


def request_callback(call: Call, reason: Annotated[str, Field(max_length=500)], number: str | None = None) -> str:
    """Let somebody call back.

    Args:
        reason: What about.
        number: The number to call, with country code. Leave it out for the one that the caller calls from.
    """
    known = number or (None if call.incoming is None else call.incoming.caller)
    if known is None:
        raise ToolError("The caller's number is not shown. Ask for the number to call.")
    db.session.add(Callback(number=known, reason=reason, call_id=call.call_id))
    db.session.commit()
    return "It is written down. Somebody calls back today."


# --- the agents -------------------------------------------------------------------------------------------------------


def session(instructions: str) -> RealtimeSession:
    """Return a session in which both sides are transcribed."""
    return RealtimeSession(
        model="gpt-realtime-2.1",
        instructions=f"{instructions} For anything else offer that somebody calls back, with request_callback. Be "
        "brief and friendly. When the caller has no more questions, say goodbye and call end_call.",
        audio=AudioConfig(input=AudioInput(transcription=Transcription(model="gpt-realtime-whisper"))),
    )


WORKSHOP = session("You answer the phone of a garage's workshop. Tell how far a repair is with repair_status.")
PARTS = session("You answer the phone of a garage that sells parts. Tell what is on the shelf with in_stock.")
WORKSHOP_TOOLS = Tools([repair_status, request_callback, end_call])
PARTS_TOOLS = Tools([in_stock, request_callback, end_call])


def create_host(config: Mapping[str, Any]) -> ThreadCallHost:
    """Return what runs the calls, each by the number that was dialed. Keys are in the environment, as `OPENAI_…`."""
    client = AsyncRealtimeSip()
    router = Router()  # a number that is none of these is rejected with 404

    @router.route(session=WORKSHOP, dialed=config["WORKSHOP_NUMBER"])
    async def workshop(incoming: IncomingCall, session: RealtimeSession) -> None:
        await talk("workshop", incoming, session, WORKSHOP_TOOLS)

    @router.route(session=PARTS, dialed=config["PARTS_NUMBER"])
    async def parts(incoming: IncomingCall, session: RealtimeSession) -> None:
        await talk("parts", incoming, session, PARTS_TOOLS)

    async def talk(agent: str, incoming: IncomingCall, session: RealtimeSession, tools: Tools) -> None:
        async with client.calls.answer(incoming, session, tools=tools) as call:
            if call.adopted is None:  # else another worker had the call before, and greeted
                call.respond(
                    "Greet the caller, say that you are an AI and that the call is written down, and offer help."
                )
            await call.wait_ended()
        # All calls share this thread, so nothing here may block.
        await asyncio.to_thread(keep, agent, call, await call.wait_ended())

    store = RedisStore(config["REDIS_URL"]) if config["REDIS_URL"] else None
    return ThreadCallHost(router, client=client, store=store, drain_timeout=config["DRAIN_TIMEOUT"])


def keep(agent: str, call: Call, ended: CallEnded) -> None:
    """Write down what was said, however the call ended. Each worker that has had it writes its part."""
    kept = db.session.get(PhoneCall, call.call_id)
    if kept is None:
        caller = None if call.incoming is None else call.incoming.caller
        kept = PhoneCall(call_id=call.call_id, agent=agent, caller=caller, started_at=at(ended.started_at))
        db.session.add(kept)
    kept.ended_at, kept.ended_by = at(ended.ended_at), ended.reason.value
    kept.complete = call.transcript.complete
    # What the caller heard: the agent may have been interrupted.
    lines = [TranscriptLine(call_id=call.call_id, by=line.by, text=line.heard) for line in call.transcript]
    db.session.add_all(lines)
    db.session.commit()


def at(seconds: float) -> datetime:
    """Return a time, of Unix seconds."""
    return datetime.fromtimestamp(seconds, UTC)

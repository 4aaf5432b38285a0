"""Who answers the phone: an agent for each number, what they may look up and write down, and what is kept of a call."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from florist.settings import Settings
from florist.tables import Booking, Callback, Order, PhoneCall, TranscriptLine
from realtime_sip import (
    AsyncRealtimeSip,
    Call,
    CallHost,
    IncomingCall,
    RealtimeSession,
    Router,
    Tools,
    end_call,
)
from realtime_sip.errors import ToolError
from realtime_sip.session import AudioConfig, AudioInput, Transcription
from realtime_sip.stores import RedisStore

Sessions = async_sessionmaker[AsyncSession]


def at(seconds: float) -> datetime:
    """Return a time, of Unix seconds."""
    return datetime.fromtimestamp(seconds, UTC)


def session(instructions: str) -> RealtimeSession:
    """Return a session in which both sides are transcribed."""
    return RealtimeSession(
        model="gpt-realtime-2.1",
        instructions=f"{instructions} Be brief and friendly. When the caller has no more questions, say goodbye and "
        "call end_call.",
        audio=AudioConfig(input=AudioInput(transcription=Transcription(model="gpt-realtime-whisper"))),
    )


ORDERS = session(
    "You answer the phone of a florist. Tell where an order is with order_status: ask for its number and the postcode "
    "to which it goes. For anything else offer that somebody calls back, with request_callback."
)
EVENTS = session(
    "You answer the phone of a florist for weddings and other events. Tell whether a day is free with is_free. If it "
    "is, offer that somebody calls back with an offer, with request_callback."
)


class Phone:
    """What answers the calls. Its methods are handlers, and tools of the model."""

    def __init__(self, client: AsyncRealtimeSip, sessions: Sessions) -> None:
        self._client = client
        self._sessions = sessions

    # --- the agents ---------------------------------------------------------------------------------------------------

    async def orders(self, incoming: IncomingCall, session: RealtimeSession) -> None:
        """Answer who asks for an order."""
        await self._talk("orders", incoming, session, Tools([self.order_status, self.request_callback, end_call]))

    async def events(self, incoming: IncomingCall, session: RealtimeSession) -> None:
        """Answer who plans an event."""
        await self._talk("events", incoming, session, Tools([self.is_free, self.request_callback, end_call]))

    async def _talk(self, agent: str, incoming: IncomingCall, session: RealtimeSession, tools: Tools) -> None:
        async with self._client.calls.answer(incoming, session, tools=tools) as call:
            if call.adopted is None:  # else another worker had the call before, and greeted
                call.respond(
                    "Greet the caller, say that you are an AI and that the call is written down, and offer help."
                )
            await call.wait_ended()
        await self._keep(agent, call)

    async def _keep(self, agent: str, call: Call) -> None:
        """Write down what was said, however the call ended. Each worker that has had it writes its part."""
        ended = await call.wait_ended()
        async with self._sessions.begin() as database:
            kept = await database.get(PhoneCall, call.call_id)
            if kept is None:
                caller = None if call.incoming is None else call.incoming.caller
                kept = PhoneCall(call_id=call.call_id, agent=agent, caller=caller, started_at=at(ended.started_at))
                database.add(kept)
            kept.ended_at, kept.ended_by = at(ended.ended_at), ended.reason.value
            kept.complete = call.transcript.complete
            # What the caller heard: the agent may have been interrupted.
            lines = [TranscriptLine(call_id=call.call_id, by=line.by, text=line.heard) for line in call.transcript]
            database.add_all(lines)

    # --- what the model may do ----------------------------------------------------------------------------------------

    async def order_status(self, number: str, postcode: str) -> str:
        """Tell where an order is.

        Args:
            number: The order's number, on the receipt.
            postcode: Where it goes.
        """
        async with self._sessions() as database:
            order = await database.get(Order, number)
        # Who has only guessed a number does not learn that it exists.
        if order is None or order.postcode != postcode:
            raise ToolError("There is no such order for that postcode. Ask the caller to read both again.")
        return order.status

    async def is_free(self, day: date) -> str:
        """Tell whether nothing is booked yet for a day."""
        async with self._sessions() as database:
            booked = await database.get(Booking, day)
        return "free" if booked is None else "booked"

    async def request_callback(
        self, call: Call, reason: Annotated[str, Field(max_length=500)], number: str | None = None
    ) -> str:
        """Let somebody call back.

        Args:
            reason: What about.
            number: The number to call, with country code. Leave it out for the one that the caller calls from.
        """
        known = number or (None if call.incoming is None else call.incoming.caller)
        if known is None:
            raise ToolError("The caller's number is not shown. Ask for the number to call.")
        async with self._sessions.begin() as database:
            database.add(Callback(number=known, reason=reason, call_id=call.call_id))
        return "It is written down. Somebody calls back today."


def create_host(client: AsyncRealtimeSip, sessions: Sessions, settings: Settings) -> CallHost:
    """Return what runs the calls, each by the number that was dialed."""
    phone = Phone(client, sessions)
    router = Router()  # a number that is none of these is rejected with 404
    router.add(phone.orders, session=ORDERS, dialed=settings.orders_number)
    router.add(phone.events, session=EVENTS, dialed=settings.events_number)
    store = None if settings.redis_url is None else RedisStore(settings.redis_url)
    return CallHost(router, client=client, store=store, drain_timeout=settings.drain_timeout)

"""Who answers which number, and with what."""

from __future__ import annotations

from django.conf import settings

from phonecalls.tools import cancel_order, order_status
from phonecalls.transcripts import keep
from realtime_sip import AsyncRealtimeSip, IncomingCall, RealtimeSession, Router, ThreadCallHost, Tools, end_call
from realtime_sip.session import AudioConfig, AudioInput, Transcription
from realtime_sip.stores import Store

# Without transcription the caller's lines would be empty.
AUDIO = AudioConfig(input=AudioInput(transcription=Transcription(model="gpt-realtime-whisper", language="en")))
ORDERS = RealtimeSession(
    model="gpt-realtime-2.1",
    instructions="You answer the phone of a bookshop. Be brief. Look orders up with order_status. For anything else "
    "name the service number. Say goodbye before end_call.",
    audio=AUDIO,
)
SERVICE = RealtimeSession(
    model="gpt-realtime-2.1",
    instructions="You are the customer service of a bookshop. Be brief. Cancel orders with cancel_order, which needs "
    "the order's number and the postcode. Say goodbye before end_call.",
    audio=AUDIO,
)

orders_tools = Tools([order_status, end_call])
service_tools = Tools([order_status, end_call])
service_tools.function(cancel_order, confirm=True)  # the caller has to say yes first


def create_host(client: AsyncRealtimeSip, *, store: Store | None = None) -> ThreadCallHost:
    """Return what answers the calls, under WSGI and ASGI servers alike. `store` is for several workers."""
    router = Router()  # a number that is none of these is rejected with 404

    @router.route(session=ORDERS, dialed=settings.ORDERS_NUMBER)
    async def orders(incoming: IncomingCall, session: RealtimeSession) -> None:
        await serve(incoming, session, orders_tools, greeting="Greet the caller, and ask for the order's number.")

    @router.route(session=SERVICE, dialed=settings.SERVICE_NUMBER)
    async def service(incoming: IncomingCall, session: RealtimeSession) -> None:
        await serve(incoming, session, service_tools, greeting="Greet the caller, and ask how you can help.")

    async def serve(incoming: IncomingCall, session: RealtimeSession, tools: Tools, *, greeting: str) -> None:
        async with client.calls.answer(incoming, session, tools=tools) as call:
            call.respond(greeting)
            await call.wait_ended()
        # However it ended: the caller or the agent hung up, a limit was reached, or the program is stopped.
        await keep(incoming, call)

    return ThreadCallHost(router, client=client, store=store, drain_timeout=settings.DRAIN_TIMEOUT)

"""The smallest server that answers calls: the model greets, and talks until somebody hangs up.

pip install 'realtime-sip[fastapi]' uvicorn
export OPENAI_API_KEY=… OPENAI_WEBHOOK_SECRET=…
uvicorn --factory examples.greet_and_answer:from_environment
"""

from __future__ import annotations

from fastapi import FastAPI

from realtime_sip import AsyncRealtimeSip, CallHost, IncomingCall, RealtimeSession
from realtime_sip.integrations.fastapi import openai_webhook

SESSION = RealtimeSession(model="gpt-realtime-2.1", instructions="You are a friendly assistant on the phone. Be brief.")


def create_app(client: AsyncRealtimeSip) -> FastAPI:
    """Return the server: one webhook, one handler."""

    async def on_call(incoming: IncomingCall) -> None:
        async with client.calls.answer(incoming, SESSION) as call:
            call.respond("Greet the caller and ask how you can help.")
            await call.wait_ended()  # leaving the block hangs up, so it waits here

    host = CallHost(on_call, client=client)
    app = FastAPI()
    app.include_router(openai_webhook(host))
    return app


def from_environment() -> FastAPI:
    """Return the server with keys from the environment, for uvicorn's --factory."""
    return create_app(AsyncRealtimeSip())

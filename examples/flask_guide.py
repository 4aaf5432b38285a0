"""The Flask sample of OpenAI's SIP guide, with the same webhook, greeting and log of events, made to last.

    pip install 'realtime-sip[flask]'
    export OPENAI_API_KEY=… OPENAI_WEBHOOK_SECRET=…
    flask --app examples.flask_guide:from_environment run --port 8000

The guide starts one daemon thread with an event loop of its own for each call. Such a thread dies with the process in
the middle of a sentence, and the caller stays on the line with a model that nobody steers. What it raises, nobody sees.
A webhook that is delivered twice starts two of them, and a failed accept starts one too, because its answer is not
looked at. Here one thread runs all calls under a `ThreadCallHost`, which answers each call once, knows how each ended,
and lets them finish when the process stops.
"""

from __future__ import annotations

import logging

from flask import Flask

from realtime_sip import AsyncRealtimeSip, IncomingCall, RealtimeSession, ThreadCallHost
from realtime_sip.integrations.flask import openai_webhook

log = logging.getLogger("phone")

SESSION = RealtimeSession(model="gpt-realtime-2.1", instructions="You are a support agent.")
GREETING = "Say to the user 'Thank you for calling, how can I help you'"


def create_host(client: AsyncRealtimeSip) -> ThreadCallHost:
    """Return what answers the calls. Its thread starts with the first webhook, and not with the program."""

    async def on_call(incoming: IncomingCall) -> None:
        async with client.calls.answer(incoming, SESSION) as call:
            call.respond(GREETING)
            async for event in call:
                log.info("received %s", getattr(event, "type", event))

    return ThreadCallHost(on_call, client=client)


def create_app(host: ThreadCallHost) -> Flask:
    """Return the server: one webhook, at the guide's address."""
    app = Flask(__name__)
    app.register_blueprint(openai_webhook(host, path="/"))
    return app


def from_environment() -> Flask:
    """Return the server with keys from the environment, for flask --app."""
    logging.basicConfig(level=logging.INFO)
    host = create_host(AsyncRealtimeSip())
    host.exit_on_sigterm()  # `flask run` would die of the signal at once; other servers have a way of their own
    return create_app(host)

"""The Flask sample of OpenAI's SIP guide, with the same webhook, greeting and log of events, made to last.

    pip install realtime-sip flask
    export OPENAI_API_KEY=… OPENAI_WEBHOOK_SECRET=…
    flask --app examples.flask_guide:from_environment run --port 8000

The guide starts one daemon thread with an event loop of its own for each call. Such a thread dies with the process in
the middle of a sentence, and the caller stays on the line with a model that nobody steers. What it raises, nobody sees.
A webhook that is delivered twice starts two of them, and a failed accept starts one too, because its answer is not
looked at. Here one event loop runs all calls under a `CallHost`, which answers each call once, knows how each ended,
and lets them finish when the process stops.

The thread starts with the first webhook and not with the program, because a thread does not survive the fork by which
gunicorn and uWSGI make their workers. uWSGI needs `enable-threads`.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading

from flask import Flask, Response, request

from realtime_sip import AsyncRealtimeSip, CallHost, IncomingCall, RealtimeSession, RealtimeSip, Submission
from realtime_sip.errors import WebhookError

log = logging.getLogger("phone")

SESSION = RealtimeSession(model="gpt-realtime-2.1", instructions="You are a support agent.")
GREETING = "Say to the user 'Thank you for calling, how can I help you'"
DEADLINE = 8.0
"""Seconds in which a call is decided, or its webhook answered with 503, so that it comes again."""


class CallThread:
    """Runs calls on one event loop, in one thread that the first call starts."""

    def __init__(self, client: AsyncRealtimeSip) -> None:
        self._client = client
        self._host = CallHost(self._on_call, client=client)
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    async def _on_call(self, incoming: IncomingCall) -> None:
        async with self._client.calls.answer(incoming, SESSION) as call:
            call.respond(GREETING)
            async for event in call:
                log.info("received %s", getattr(event, "type", event))

    def submit(self, incoming: IncomingCall) -> Submission:
        """Take a call. Returns once it is decided.

        Raises:
            TimeoutError: It is not decided in time. The host goes on with it, and knows it when it comes again.
        """
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                # A daemon, so that it does not keep the process from stopping: `close` lets its calls finish.
                self._thread = threading.Thread(target=self._loop.run_forever, name="calls", daemon=True)
                self._thread.start()
        return asyncio.run_coroutine_threadsafe(self._host.submit(incoming), self._loop).result(DEADLINE)

    def close(self, *, timeout: float = 25.0) -> None:
        """Let the calls that are up finish for `timeout` seconds, with a goodbye for those that do not; then stop.

        gunicorn gives its workers 30 seconds.
        """
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._drain(timeout), self._loop).result(timeout + DEADLINE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _drain(self, timeout: float) -> None:  # noqa: ASYNC109 - what happens before it is over
        await self._host.drain(timeout)
        await self._client.close()


def create_app(client: RealtimeSip, calls: CallThread) -> Flask:
    """Return the server: one webhook, which is verified here and acted upon over there."""
    app = Flask(__name__)

    @app.post("/")
    def webhook() -> Response:
        try:
            event = client.webhooks.unwrap(request.get_data(), request.headers)
        except WebhookError as error:
            log.warning("webhook refused: %s", error.reason)
            return Response("Invalid signature", status=400)
        if isinstance(event, IncomingCall):
            try:
                calls.submit(event)
            except TimeoutError:
                return Response(status=503)
        return Response(status=200)

    return app


def from_environment() -> Flask:
    """Return the server with keys from the environment, for flask --app."""
    logging.basicConfig(level=logging.INFO)
    calls = CallThread(AsyncRealtimeSip())
    atexit.register(calls.close)
    return create_app(RealtimeSip(), calls)

"""Let a page talk to the model by WebRTC with a key of its own, and follow the call on the server by its sideband.

    pip install 'realtime-sip[fastapi]' uvicorn
    export OPENAI_API_KEY=…
    uvicorn --factory examples.webrtc_page.page_server:from_environment

Open http://127.0.0.1:8000/ then. The API key stays here: the page gets an ephemeral one, with which it can start one
session, as it is set up here, within a minute.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, HTTPException, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel

from realtime_sip import AsyncRealtimeSip, RealtimeSession
from realtime_sip.errors import RealtimeSipError

log = logging.getLogger("page")

SESSION = RealtimeSession(model="gpt-realtime-2.1", instructions="You answer for a shop. Be brief and friendly.")
PAGE = Path(__file__).with_name("page.html")
MOST_PAGES = 100
"""The pages at most that have a key and have not said yet which call they started."""


class Started(BaseModel):
    """What the page says when its call is up: the ticket that came with the key, and the call's id."""

    ticket: str
    call_id: str


class Following:
    """The calls that pages have started, each with a task that follows it."""

    def __init__(self, client: AsyncRealtimeSip) -> None:
        self.client = client
        self.tickets: list[str] = []
        self.tasks: set[asyncio.Task[None]] = set()

    def ticket(self) -> str:
        """Return a ticket for one call. The oldest that nobody has used are void."""
        self.tickets = [*self.tickets[-MOST_PAGES + 1 :], secrets.token_urlsafe(16)]
        return self.tickets[-1]

    def follow(self, started: Started) -> None:
        """Follow the call of a page, once for each ticket.

        A page can name another call of the project. It would see nothing of it: what the sideband says stays here.
        """
        if started.ticket not in self.tickets or not re.fullmatch(r"rtc_\w{1,100}", started.call_id):
            raise HTTPException(403)
        self.tickets.remove(started.ticket)
        task = asyncio.create_task(self._follow(started.call_id))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _follow(self, call_id: str) -> None:
        try:
            async with self.client.calls.connect(call_id) as sideband:
                log.info("call %s: followed", call_id)
                async for event in sideband:
                    if not event.type.endswith(".delta"):
                        log.info("call %s: %s", call_id, event.type)
            log.info("call %s: over, %s", call_id, sideband.closed)
        except RealtimeSipError as error:
            log.warning("call %s: not followed any more: %s", call_id, error)

    async def stop(self) -> None:
        """Follow nothing any more. The calls go on."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def create_app(client: AsyncRealtimeSip) -> FastAPI:
    """Return the server: the page, a key for it, and what follows its call."""
    following = Following(client)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await following.stop()

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def page() -> FileResponse:
        return FileResponse(PAGE)

    @app.post("/key")
    async def key() -> dict[str, str]:
        # Whoever gets this far can talk at your expense: ask first who it is.
        secret = await client.client_secrets.create(session=SESSION, expires_after_seconds=60)
        url = f"{client.settings.endpoints.api}/realtime/calls"
        return {"key": secret.value, "url": url, "ticket": following.ticket()}

    @app.post("/started")
    async def started(call: Started) -> Response:
        following.follow(call)
        return Response(status_code=204)

    return app


def from_environment() -> FastAPI:
    """Return the server with the key of the environment. `uvicorn --factory` calls this."""
    logging.basicConfig(level=logging.INFO)
    return create_app(AsyncRealtimeSip())

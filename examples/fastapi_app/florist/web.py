"""The web application: the webhook, the health routes, and the calls for the office.

uvicorn --factory florist.web:create_app --timeout-graceful-shutdown 5
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import selectinload

from florist.phone import create_host
from florist.settings import Settings
from florist.tables import Callback, PhoneCall
from realtime_sip import AsyncRealtimeSip
from realtime_sip.integrations.fastapi import health, openai_webhook


async def database(request: Request) -> AsyncIterator[AsyncSession]:
    """Open a session for one request."""
    async with request.app.state.sessions() as session:
        yield session


def office(request: Request, given: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> None:
    """Let nobody pass but who has the office's token."""
    token = request.app.state.settings.office_token.get_secret_value()
    if not secrets.compare_digest(given.credentials.encode(), token.encode()):
        raise HTTPException(401, "not the office's token")


Database = Annotated[AsyncSession, Depends(database)]
pages = APIRouter(dependencies=[Depends(office)])


class LineOut(BaseModel):
    """A line of a transcript."""

    model_config = ConfigDict(from_attributes=True)

    by: str
    text: str


class CallOut(BaseModel):
    """A call, with what was said."""

    model_config = ConfigDict(from_attributes=True)

    call_id: str
    agent: str
    caller: str | None
    started_at: datetime
    ended_at: datetime
    ended_by: str
    complete: bool
    lines: list[LineOut]


class CallbackOut(BaseModel):
    """Somebody to call."""

    model_config = ConfigDict(from_attributes=True)

    number: str
    reason: str
    created_at: datetime


@pages.get("/calls", response_model=list[CallOut])
async def calls(database: Database, limit: int = 50) -> object:
    """List the latest calls."""
    newest = select(PhoneCall).order_by(PhoneCall.started_at.desc()).limit(min(limit, 200))
    return (await database.scalars(newest.options(selectinload(PhoneCall.lines)))).all()


@pages.get("/callbacks", response_model=list[CallbackOut])
async def callbacks(database: Database) -> object:
    """List who wants to be called, the longest waiting first."""
    return (await database.scalars(select(Callback).order_by(Callback.id))).all()


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application. Without settings the environment has them."""
    logging.basicConfig(level=logging.INFO)
    settings = settings or Settings()
    engine = create_async_engine(settings.database_url)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    client = AsyncRealtimeSip(
        settings.openai_api_key.get_secret_value(),
        webhook_secret=settings.openai_webhook_secret.get_secret_value(),
        base_url=settings.openai_base_url,
    )
    host = create_host(client, sessions, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # The webhook's own lifespan runs inside of this one: when this goes on, the last call has been written down.
        yield
        await client.close()
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)
    app.state.settings, app.state.engine, app.state.sessions, app.state.host = settings, engine, sessions, host
    app.include_router(openai_webhook(host))
    app.include_router(health(host))
    app.include_router(pages)
    return app

"""The shop as an application of FastAPI."""

from __future__ import annotations

import shop
from fastapi import FastAPI, Request, Response

from realtime_sip import CallHost

host = CallHost(shop.on_call, client=shop.client, drain_timeout=shop.DRAIN)
app = FastAPI(lifespan=host.lifespan)


@app.post("/openai/webhook")
async def webhook(request: Request) -> Response:
    """Take a call."""
    await host.submit(shop.verified(await request.body(), request.headers))
    return Response()

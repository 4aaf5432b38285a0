"""The shop as an application of FastAPI."""

from __future__ import annotations

import shop
from fastapi import FastAPI

from realtime_sip import CallHost
from realtime_sip.integrations.fastapi import openai_webhook

app = FastAPI()
app.include_router(openai_webhook(CallHost(shop.on_call, client=shop.client, drain_timeout=shop.DRAIN)))

"""The shop as a project of Django: for servers that run a lifespan, and for those that do not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import shop
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management import execute_from_command_line
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from realtime_sip import CallHost, ThreadCallHost

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF="shop_django", SECRET_KEY="of a test", MIDDLEWARE=[])

host = CallHost(shop.on_call, client=shop.client, drain_timeout=shop.DRAIN)
thread_host = ThreadCallHost(shop.on_call, client=shop.client, drain_timeout=shop.DRAIN)
thread_host.exit_on_sigterm()


async def webhook(request: HttpRequest) -> HttpResponse:
    """Take a call, on the loop of the server."""
    await asyncio.shield(host.submit(shop.verified(request.body, request.headers)))
    return HttpResponse()


async def thread_webhook(request: HttpRequest) -> HttpResponse:
    """Take a call, on a loop of its own."""
    await asyncio.to_thread(thread_host.submit, shop.verified(request.body, request.headers))
    return HttpResponse()


urlpatterns = [
    path("openai/webhook", csrf_exempt(webhook)),
    path("thread/webhook", csrf_exempt(thread_webhook)),
]
django = get_asgi_application()


async def application(
    scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """Serve Django, with the lifespan that it lacks."""
    if scope["type"] != "lifespan":
        await django(scope, receive, send)
        return
    assert (await receive())["type"] == "lifespan.startup"
    async with host.lifespan(None):
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
    await send({"type": "lifespan.shutdown.complete"})


if __name__ == "__main__":
    sys.modules["shop_django"] = sys.modules["__main__"]
    execute_from_command_line(sys.argv)

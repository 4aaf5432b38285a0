"""The lifespan that Django's ASGI application lacks: without it nothing is drained when the server stops."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from realtime_sip.integrations.django import hosts

_Message: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]
Application: TypeAlias = Callable[[_Message, _Receive, _Send], Awaitable[None]]
_Django: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
"""`ASGIHandler`, whatever types are installed for it."""


def asgi(application: _Django) -> Application:
    """Return an ASGI application with a lifespan, which drains the calls when the server stops.

    When it starts, its hosts look for calls of other workers that they can take over (`CallHost.watch`).

        application = asgi(get_asgi_application())

    daphne has no lifespan; there only a `ThreadCallHost` is drained.
    """

    async def with_lifespan(scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "lifespan":
            await application(scope, receive, send)
            return
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                hosts.begin_lifespan()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await hosts.drain_all()
                await send({"type": "lifespan.shutdown.complete"})
                return

    return with_lifespan

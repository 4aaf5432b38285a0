"""Serves an application on loopback: an ASGI one on the running event loop, a WSGI one in a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from werkzeug.serving import make_server


def at(listening: socket.socket) -> str:
    """Return the URL of what listens there."""
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


@asynccontextmanager
async def serving(app: Any, listening: socket.socket | None = None) -> AsyncIterator[str]:
    """Serve the app with uvicorn, and hand out the webhook's URL."""
    with listening or socket.create_server(("127.0.0.1", 0)) as open_port:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
        task = asyncio.create_task(server.serve(sockets=[open_port]))
        try:
            yield f"{at(open_port)}/openai/webhook"
        finally:
            server.should_exit = True
            await task


@contextmanager
def serving_wsgi(app: Any) -> Iterator[str]:
    """Serve the app with Werkzeug, a thread for each request, and hand out its URL."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

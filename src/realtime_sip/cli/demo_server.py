"""The servers that the demo runs: examples, which are rung for real, over HTTP on loopback."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

import httpx
import uvicorn

from realtime_sip.errors import ConfigurationError

__all__ = ["DEADLINE", "address", "example", "loopback", "on_time", "posted", "serving"]

DEADLINE = 120.0
"""Seconds after which a demo that hangs is given up."""


def example(name: str) -> ModuleType:
    """Return the module `examples/{name}.py`: beside this file in a wheel, in `examples/` in a checkout.

    Raises:
        ConfigurationError: It is in neither place.
    """
    for path in (Path(__file__).with_name(f"{name}.py"), Path(__file__).parents[3] / "examples" / f"{name}.py"):
        if path.is_file():
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module  # so that FastAPI can resolve its annotations
            spec.loader.exec_module(module)
            return module
    raise ConfigurationError("the example server is not installed beside the command")


def loopback() -> socket.socket:
    """Return a socket that listens on a free port of the loopback: what comes before the server starts waits in it."""
    return socket.create_server(("127.0.0.1", 0))


def address(listening: socket.socket) -> str:
    """Return the URL of a server on a socket."""
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


@asynccontextmanager
async def serving(app: object, listening: socket.socket) -> AsyncIterator[None]:
    """Serve an ASGI app, until the block is left."""
    config = uvicorn.Config(app, log_config=None, log_level="warning", lifespan="on", timeout_graceful_shutdown=5)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


async def on_time(played: Awaitable[dict[str, bool]]) -> dict[str, bool]:
    """Return the checks of a call that was played, or that it took too long."""
    try:
        async with asyncio.timeout(DEADLINE):
            return await played
    except TimeoutError:
        return {f"the call ended within {DEADLINE:.0f} seconds": False}


async def posted(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Post to a server, and return the status of its answer."""
    async with httpx.AsyncClient(trust_env=False) as http:
        return (await http.post(url, content=body, headers=headers, timeout=10)).status_code

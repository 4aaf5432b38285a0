"""What the tests of the emulator share: an endpoint for webhooks, and a client that knows nothing of this package."""

from __future__ import annotations

import contextlib
import functools
import json
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ParamSpec

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from realtime_sip.testing import OpenAIEmulator, RingingCall, Timings, run_virtual
from realtime_sip.webhooks import IncomingCall

SPEED = 200.0
PATIENT = Timings(ring=60 * SPEED, webhook_timeout=60 * SPEED)
"""The phone rings as long as a program on a busy machine takes."""
SESSION: dict[str, Any] = {"type": "realtime", "model": "gpt-realtime-2.1", "instructions": "Be brief."}
HEARING: dict[str, Any] = {**SESSION, "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}}

Frame = dict[str, Any]
P = ParamSpec("P")


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test in virtual time, without waiting for anything."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_virtual(test(*args, **kwargs))

    return run


class Program:
    """Takes the calls that are submitted to it, and does nothing with them."""

    def __init__(self) -> None:
        self.incoming: list[IncomingCall] = []

    async def submit(self, incoming: IncomingCall) -> str:
        self.incoming.append(incoming)
        return "taken"


class Delivery:
    """One webhook as it arrived."""

    def __init__(self, path: str, headers: Mapping[str, str], body: bytes) -> None:
        self.path = path
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body
        self.event: Frame = json.loads(body)


class Endpoint:
    """A webhook endpoint on a thread of its own. `answer` says the status of each delivery; 200 if nothing else."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.deliveries: list[Delivery] = []
        self.answer: Callable[[Delivery], int] = lambda delivery: 200
        self.location = ""


@contextmanager
def endpoint() -> Iterator[Endpoint]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            delivery = Delivery(self.path, dict(self.headers.items()), body)
            here.deliveries.append(delivery)
            self.send_response(here.answer(delivery))
            if here.location:
                self.send_header("location", here.location)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = Endpoint(f"http://127.0.0.1:{server.server_port}/openai")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def auth(openai: OpenAIEmulator) -> dict[str, str]:
    return {"authorization": f"Bearer {openai.api_key}"}


async def post(openai: OpenAIEmulator, path: str, **kwargs: Any) -> httpx.Response:
    """POST to a path below /v1/realtime."""
    headers = {**auth(openai), **kwargs.pop("headers", {})}
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        return await client.post(f"{openai.base_url}/realtime{path}", headers=headers, **kwargs)


async def act(openai: OpenAIEmulator, ringing: RingingCall, action: str, body: Any = None) -> httpx.Response:
    """Accept, reject, refer or hang up."""
    kwargs = {} if body is None else {"json": body}
    return await post(openai, f"/calls/{ringing.call_id}/{action}", **kwargs)


async def accepted(openai: OpenAIEmulator, target: str | Program, session: Frame = SESSION, **ring: Any) -> RingingCall:
    """Let a call ring, and accept it."""
    ringing = await openai.ring(target, **ring)
    response = await act(openai, ringing, "accept", session)
    assert (response.status_code, response.content) == (200, b"")
    return ringing


def socket(openai: OpenAIEmulator, query: str, **kwargs: Any) -> connect:
    """Open a WebSocket with a query."""
    url = openai.base_url.replace("http", "ws", 1) + f"/realtime?{query}"
    headers = {**auth(openai), **kwargs.pop("headers", {})}
    return connect(url, additional_headers=headers, proxy=None, open_timeout=10, **kwargs)


def sideband(openai: OpenAIEmulator, ringing: RingingCall, **kwargs: Any) -> connect:
    """Attach to a call."""
    return socket(openai, f"call_id={ringing.call_id}", **kwargs)


def error_of(response: httpx.Response) -> Frame:
    """Return the error of an error body, whose shape is checked."""
    body = response.json()
    assert set(body) == {"error"}
    error: Frame = body["error"]
    assert set(error) == {"type", "code", "message", "param"}
    return error


class Peer:
    """A client of a socket that sends what it is told and keeps what it gets."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.frames: list[Frame] = []

    async def send(self, kind: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"type": kind, **fields}))

    async def receive(self) -> Frame:
        frame: Frame = json.loads(await self.connection.recv())
        self.frames.append(frame)
        return frame

    async def until(self, kind: str, **fields: Any) -> Frame:
        """Read on to the next frame of that type that has these fields."""
        while True:
            frame = await self.receive()
            if frame["type"] == kind and all(frame.get(name) == value for name, value in fields.items()):
                return frame

    async def closed(self) -> None:
        """Read on until the socket closes."""
        async for message in self.connection:
            self.frames.append(json.loads(message))

    async def closed_with(self) -> int | None:
        """Read on until the socket closes in whatever way, and return the close code."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.receive()
        return self.connection.close_code

    @property
    def types(self) -> list[str]:
        """The types of all frames so far, in order; a run of one type counts once."""
        kinds = [frame["type"] for frame in self.frames]
        return [kind for index, kind in enumerate(kinds) if index == 0 or kinds[index - 1] != kind]

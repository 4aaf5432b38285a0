"""A small HTTP/1.1 and WebSocket server on loopback, made for faults: it can stay silent, reset, and drop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import h11

from realtime_sip.testing.openai.websocket import WebSocket, handshake, reset

__all__ = ["LoopbackServer", "Reply", "Request", "Silence", "Upgrade"]

_logger = logging.getLogger("realtime_sip.testing")

_MAX_HEAD = 64 * 1024
_MAX_BODY = 1024 * 1024
_READ_SECONDS = 30.0
_SILENCE_SECONDS = 600.0
_CLOSE_SECONDS = 2.0
_MAX_CONNECTIONS = 4096
_MAX_REFUSED = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. Header names are in lower case; repeats are kept."""

    id: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    target: str = field(default="", repr=False)
    """Path and query as they were received."""

    def header(self, name: str) -> str:
        """Return the first header of that name, or ""."""
        return next((value for known, value in self.headers if known == name), "")

    @property
    def upgrades(self) -> bool:
        """Whether the client asks for a WebSocket."""
        return self.header("upgrade").lower() == "websocket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer."""

    status: int = 200
    body: bytes = field(default=b"", repr=False)
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_json(cls, value: Any, *, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
        """Return `value` as a JSON answer."""
        return cls(status=status, body=json.dumps(value).encode(), headers=headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """No answer: the connection stays open until the client leaves, or is reset at once."""

    reset: bool


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The request becomes a WebSocket, and `serve` has it until it returns."""

    serve: Callable[[WebSocket], Awaitable[None]]
    informational: int | None = None
    """The status of a reply that comes before the one that agrees."""


Answer = Reply | Silence | Upgrade


class LoopbackServer:
    """Serves `handler` on 127.0.0.1. Every answer has an `x-request-id`."""

    def __init__(self, handler: Callable[[Request], Awaitable[Answer]]) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self, port: int = 0) -> None:
        """Listen on `port`, or on one that is free."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, drop all connections, and wait until they are gone."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= _MAX_CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _Connection(reader, writer, self._handler).serve()
        except (OSError, h11.LocalProtocolError):
            pass  # The client left in the middle of something.
        except Exception:
            # A mistake of the emulator itself must be seen, and must not take the server down.
            _logger.exception("the emulator failed on a request")
        finally:
            await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()
    except asyncio.CancelledError:
        writer.transport.abort()
        raise


class _Connection:
    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handler: Callable[[Request], Awaitable[Answer]],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handler = handler
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD)

    async def serve(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_READ_SECONDS):
                    received = await self._read()
            except TimeoutError:
                return
            except h11.RemoteProtocolError as error:
                if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                    await self._refuse(Reply(status=error.error_status_hint))
                return
            if received is None:
                return
            if isinstance(received, Reply):
                await self._refuse(received)
                return
            head, request = received
            answer = await self._handler(request)
            if isinstance(answer, Upgrade):
                await self._upgrade(head, request, answer)
                return
            if isinstance(answer, Silence):
                await self._stay_silent(answer)
                return
            await self._answer(answer, request.id)
            if self._http.our_state is h11.MUST_CLOSE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _read(self) -> tuple[h11.Request, Request] | Reply | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    self._write(h11.InformationalResponse(status_code=100, headers=[]))
                self._http.receive_data(await self._reader.read(65536))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > _MAX_BODY:
                    return Reply(status=413)
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                try:
                    return head, _request(head, bytes(body))
                except ValueError:
                    return Reply(status=400)
            else:
                return None

    async def _answer(self, reply: Reply, request_id: str) -> None:
        headers = [("content-length", str(len(reply.body))), ("x-request-id", request_id), *reply.headers]
        if reply.body:
            headers.append(("content-type", reply.content_type))
        if self._http.their_state is not h11.DONE:
            headers.append(("connection", "close"))
        self._write(h11.Response(status_code=reply.status, headers=headers))
        if reply.body:
            self._write(h11.Data(data=reply.body))
        self._write(h11.EndOfMessage())
        await self._writer.drain()

    async def _refuse(self, reply: Reply) -> None:
        """Answer a request that was not read to its end. Closing on unread data would reset the answer away."""
        await self._answer(reply, "req_refused")
        if self._writer.can_write_eof():
            self._writer.write_eof()
        left = _MAX_REFUSED
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                while left > 0 and (data := await self._reader.read(65536)):
                    left -= len(data)

    def _write(self, event: h11.InformationalResponse | h11.Response | h11.Data | h11.EndOfMessage) -> None:
        data = self._http.send(event)
        if data:
            self._writer.write(data)

    async def _stay_silent(self, silence: Silence) -> None:
        if silence.reset:
            reset(self._writer)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SILENCE_SECONDS):
                while await self._reader.read(65536):
                    pass

    async def _upgrade(self, head: h11.Request, request: Request, upgrade: Upgrade) -> None:
        lines = [b"GET " + head.target + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in head.headers.raw_items()]
        raw = b"\r\n".join(lines) + b"\r\n\r\n"
        protocol, agreed = handshake(raw, headers=(("x-request-id", request.id),))
        if upgrade.informational is not None:
            self._writer.write(f"HTTP/1.1 {upgrade.informational} Early\r\n\r\n".encode())
        socket = WebSocket(self._reader, self._writer, protocol)
        socket.start(self._http.trailing_data[0] if agreed else b"")
        if not agreed:
            await self._writer.drain()
            return
        try:
            await upgrade.serve(socket)
        finally:
            socket.release()


def _request(head: h11.Request, body: bytes) -> Request:
    parts = urlsplit(head.target.decode("latin-1"))
    return Request(
        id=f"req_{secrets.token_hex(16)}",
        method=head.method.decode("latin-1"),
        path=parts.path,
        target=head.target.decode("latin-1"),
        query=dict(parse_qsl(parts.query, keep_blank_values=True, max_num_fields=50)),
        headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers),
        body=body,
    )

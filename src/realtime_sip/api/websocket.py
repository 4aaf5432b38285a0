"""The WebSockets of both transports, over websockets. Loaded when the first is opened."""

from __future__ import annotations

import inspect
import re
import socket
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection as _PlainAsyncConnection
from websockets.asyncio.client import connect as _connect_async
from websockets.client import ClientProtocol
from websockets.exceptions import (
    InvalidProxy,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    ProxyError,
    WebSocketException,
)
from websockets.http11 import Response
from websockets.sync.client import ClientConnection as _PlainConnection
from websockets.sync.client import connect as _connect_sync

from realtime_sip._redaction import logger_without_wire
from realtime_sip.api.causes import UNTRUSTED, cause_of, is_of_tls, is_untrusted
from realtime_sip.api.http_client import HttpClient
from realtime_sip.api.operations import MAX_REPLY_BYTES, Failure, Reply, Request
from realtime_sip.api.settings import USER_AGENT, Settings
from realtime_sip.errors import ConfigurationError

MAX_FRAME_BYTES = 32 * 1024 * 1024
"""A larger frame ends the connection (1009); `protocol` skips large ones long before."""
MAX_FRAMES_WAITING = 4096
"""Frames that wait for a slow reader before the socket is read no further; then pings go unanswered too."""
MAX_BYTES_WAITING = 32 * 1024 * 1024
"""Likewise bytes, since the reader last had nothing to read."""
CLOSE_TIMEOUT = 2.0
FIN_TIMEOUT = 0.25
"""Seconds from the service's close frame until its connection is taken to be over."""

_socket_log = logger_without_wire("realtime_sip.websocket")

# websockets follows redirects: until 16 with the key, since then with all headers but `Authorization`, and so with the
# key of Azure. Without a Location there is nothing to follow, and the refusal stays what it is.


def _without_location(refusal: Response) -> None:
    if "Location" in refusal.headers:
        del refusal.headers["Location"]


class _Interim:
    """Skips replies with a 1xx before the one that is meant (RFC 9110 15.2), which websockets takes for that one."""

    _STATUS = re.compile(rb"HTTP/1\.1 1(?!01)[0-9]{2}[ \r]")
    _LONGEST = 64 * 1024

    def __init__(self, protocol: ClientProtocol) -> None:
        self._protocol = protocol
        self._pass_on = protocol.receive_data
        self._held = b""
        protocol.receive_data = self.receive_data  # type: ignore[method-assign]

    def receive_data(self, data: bytes | bytearray) -> None:
        self._held += data
        while self._STATUS.match(self._held):
            head, end, rest = self._held.partition(b"\r\n\r\n")
            if not end and len(head) < self._LONGEST:
                return
            self._held = rest if end else b""
        if len(self._held) >= len(b"HTTP/1.1 100 ") or not b"HTTP/1.1 1".startswith(self._held[:10]):
            self._protocol.receive_data = self._pass_on  # type: ignore[method-assign]
            self._pass_on(self._held)


class _Bounded:
    """Bounds what waits for a slow reader in bytes; websockets counts frames, each of which may be large."""

    def __init__(self, connection: _PlainConnection | _PlainAsyncConnection) -> None:
        self._waiting = connection.recv_messages
        frames: Any = self._waiting.frames
        self._count: Callable[[], int] = frames.qsize if hasattr(frames, "qsize") else frames.__len__
        self._bounds = self._waiting.high, self._waiting.low
        self._pass_on = connection.protocol.receive_data
        self._bytes = 0
        connection.protocol.receive_data = self.receive_data  # type: ignore[method-assign]

    def receive_data(self, data: bytes | bytearray) -> None:
        if not self._count():
            self._bytes = 0
            self._waiting.high, self._waiting.low = self._bounds
        self._bytes += len(data)
        if self._bytes > MAX_BYTES_WAITING:
            self._waiting.high = self._waiting.low = 0  # read no further until there is nothing left to read
        self._pass_on(data)


class Connection(_PlainConnection):
    def __init__(self, socket: socket.socket, protocol: ClientProtocol, **options: Any) -> None:
        _Interim(protocol)
        super().__init__(socket, protocol, **options)

    def handshake(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().handshake(*args, **kwargs)
        except InvalidStatus as error:
            _without_location(error.response)
            raise
        _Bounded(self)


class AsyncConnection(_PlainAsyncConnection):
    def __init__(self, protocol: ClientProtocol, **options: Any) -> None:
        _Interim(protocol)
        super().__init__(protocol, **options)

    def data_received(self, data: bytes) -> None:
        before = self.protocol.close_rcvd
        super().data_received(data)
        if before is None and self.protocol.close_rcvd is not None:
            # The service ends the connection now, or never; websockets would notice that with its next ping.
            self.loop.call_later(FIN_TIMEOUT, self.transport.close)

    async def handshake(self, *args: Any, **kwargs: Any) -> None:
        try:
            await super().handshake(*args, **kwargs)
        except InvalidStatus as error:
            _without_location(error.response)
            raise
        _Bounded(self)


FAILURES = (OSError, WebSocketException, ImportError, ValueError, EOFError)
"""What opening raises; `failed` tells what it means."""

# From 17.1 on, calling it without `with` is deprecated unless this is said.
_CALLED = {"legacy": True} if "legacy" in inspect.signature(_connect_sync).parameters else {}


def connect(http: HttpClient, settings: Settings, request: Request, key: str, proxy: str | None) -> Connection:
    """Open a WebSocket, blocking."""
    url = settings.endpoints.socket + request.path
    options = {**_options(http, settings, request, key, proxy), **_CALLED}
    opened: object = _connect_sync(url, create_connection=Connection, **options)
    assert isinstance(opened, Connection)
    return opened


async def connect_async(
    http: HttpClient, settings: Settings, request: Request, key: str, proxy: str | None
) -> AsyncConnection:
    """Open a WebSocket on the running event loop."""
    url = settings.endpoints.socket + request.path
    options = _options(http, settings, request, key, proxy)
    opened = await _connect_async(url, create_connection=AsyncConnection, **options)
    assert isinstance(opened, AsyncConnection)
    return opened


def _options(http: HttpClient, settings: Settings, request: Request, key: str, proxy: str | None) -> dict[str, Any]:
    headers = settings.headers(key)
    set_here = {name.lower() for name in headers}
    secure: dict[str, Any] = {"ssl": http.trusted()} if settings.endpoints.socket.startswith("wss:") else {}
    if proxy is not None and proxy.startswith("https:"):
        secure["proxy_ssl"] = http.trusted()
    return {
        **secure,
        "proxy": proxy,
        "additional_headers": {
            **{name: value for name, value in http.own_headers().items() if name.lower() not in set_here},
            **headers,
        },
        "user_agent_header": USER_AGENT,
        # The vendor's server compresses nothing worth it, and a window per call costs memory.
        "compression": None,
        "open_timeout": request.timeout,
        "close_timeout": CLOSE_TIMEOUT,
        "ping_interval": settings.ping_interval,
        "ping_timeout": settings.ping_timeout,
        "max_size": MAX_FRAME_BYTES,
        "max_queue": MAX_FRAMES_WAITING,
        "logger": _socket_log,
    }


def failed(error: Exception, *, proxied: bool = False) -> Reply | Failure:
    """Return what an exception of opening means."""
    if is_untrusted(error):
        return Failure(f"{cause_of(error)}; {UNTRUSTED}", sent=False, of="misuse", cause=error)
    match error:
        case InvalidProxyStatus():
            status = error.response.status_code
            what = f"the proxy refused the WebSocket ({status}): check its URL, and what it lets through"
            return Failure(what, sent=False, of="misuse" if status < 500 else "proxy", cause=error)
        case InvalidProxy() | ImportError() | ValueError():
            what = f"the WebSocket cannot be opened with these settings ({type(error).__name__})"
            return Failure(what, sent=False, of="misuse", cause=error)
        case ProxyError():
            return Failure(f"the proxy failed ({cause_of(error)})", sent=False, of="proxy", cause=error)
        case InvalidStatus():
            reply = error.response
            headers = {name.lower(): value for name, value in reply.headers.raw_items()}
            return Reply(reply.status_code, headers, bytes(reply.body or b"")[:MAX_REPLY_BYTES])
        case InvalidURI():
            raise ConfigurationError("the WebSocket URL is not valid: check the base URL") from None
        case TimeoutError():
            return Failure("the WebSocket did not open", sent=True, timed_out=True, cause=error)
        case WebSocketException():
            return Failure(f"the WebSocket handshake failed ({cause_of(error)})", sent=True, cause=error)
        case _ if proxied and isinstance(error, OSError) and not is_of_tls(error):
            return Failure(f"the proxy cannot be reached ({cause_of(error)})", sent=False, of="proxy", cause=error)
        case _:
            return Failure(f"no connection ({cause_of(error)})", sent=False, cause=error)

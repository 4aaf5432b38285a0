"""The two drivers of `operations.exchange`, blocking and async, over httpx (or httpx2) and websockets."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import httpx
from websockets.asyncio.client import ClientConnection as AsyncConnection
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import InvalidStatus, InvalidURI, WebSocketException
from websockets.http11 import Response
from websockets.sync.client import ClientConnection as Connection
from websockets.sync.client import connect as connect_sync

from realtime_sip.api.causes import cause_of
from realtime_sip.api.decision import decided
from realtime_sip.api.operations import MAX_REPLY_BYTES, Failure, Operation, Pause, Reply, Request, exchange
from realtime_sip.api.settings import USER_AGENT, Settings
from realtime_sip.errors import ConfigurationError, MisuseError

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

MAX_FRAME_BYTES = 32 * 1024 * 1024
"""A larger frame ends the connection (1009); `protocol` skips large ones long before."""
MAX_FRAMES_WAITING = 4096
"""Frames that wait for a slow reader before the socket is read no further; then pings go unanswered too."""
CLOSE_TIMEOUT = 2.0

# The HTTP library bounds each phase of a request. What bounds their sum comes a little later, so that its finer verdict
# comes first.
_GRACE = 0.1

# At DEBUG websockets logs every frame and header. It does so only if somebody lowers this logger's own level.
_socket_log = logging.getLogger("realtime_sip.websocket")
_socket_log.setLevel(logging.INFO)

# websockets follows redirects: until 16 with the key, since then with all headers but `Authorization`, and so with the
# key of Azure. Without a Location there is nothing to follow, and the refusal stays what it is.


def _without_location(refusal: Response) -> None:
    if "Location" in refusal.headers:
        del refusal.headers["Location"]


class _Connection(Connection):
    def handshake(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().handshake(*args, **kwargs)
        except InvalidStatus as error:
            _without_location(error.response)
            raise


class _AsyncConnection(AsyncConnection):
    async def handshake(self, *args: Any, **kwargs: Any) -> None:
        try:
            await super().handshake(*args, **kwargs)
        except InvalidStatus as error:
            _without_location(error.response)
            raise


_Outcome = Reply | Failure
_Steps = Generator[Request | Pause, _Outcome | None, T]


def _socket_options(settings: Settings, request: Request) -> dict[str, Any]:
    return {
        "additional_headers": settings.headers(),
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


def _opening_failed(error: Exception) -> _Outcome:
    match error:
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
        case _:
            return Failure(f"no connection ({cause_of(error)})", sent=False, cause=error)


def _request_failed(library: Any, error: Exception) -> Failure:
    """Return what an exception of `library` (httpx or httpx2) says about the request."""
    unsent = (library.ConnectError, library.ConnectTimeout, library.PoolTimeout, library.UnsupportedProtocol)
    return Failure(
        cause_of(error),
        sent=not isinstance(error, unsent),
        timed_out=isinstance(error, library.TimeoutException),
        cause=error,
    )


def _library_of(http_client: object, kind: Literal["Client", "AsyncClient"]) -> Any:
    """Return the module whose client this is: its exceptions are its own."""
    for name in ("httpx", "httpx2"):
        library = sys.modules.get(name)
        if library is not None and isinstance(http_client, getattr(library, kind)):
            return library
    raise ConfigurationError(f"http_client must be an httpx.{kind} or httpx2.{kind}")


def _built(http_client: Any, settings: Settings, request: Request, number: str | None = None) -> Any:
    """Return the request; with `number` to that address in place of the host's name."""
    if http_client.is_closed:
        raise MisuseError("the client has been closed")
    built = http_client.build_request(
        request.method,
        settings.endpoints.api + request.path,
        content=request.content,
        # Replies are a line long; one that is not compressed cannot unfold into a large one.
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **settings.headers(), **request.headers},
        timeout=request.timeout,
    )
    if number is not None:
        # Its headers keep the name, and the certificate is held against it.
        built.extensions["sni_hostname"] = built.url.host
        built.url = built.url.copy_with(host=number)
    return built


def _number_of(response: Any) -> str | None:
    """Return the address that has answered."""
    stream = response.extensions.get("network_stream")
    address = None if stream is None else stream.get_extra_info("server_addr")
    return str(address[0]) if isinstance(address, tuple) and address else None


def _nothing_to_do(_result: object) -> None:
    pass


def _within(seconds: float, act: Callable[[], T], *, late: Callable[[T], object] = _nothing_to_do) -> T:
    """Return what `act` returns, or raise TimeoutError after `seconds`.

    Then `act` goes on in a thread that nobody waits for, and what it returns goes to `late`. Nothing else bounds a
    blocking request: the timeout of a socket begins anew with each byte of a reply, and a resolver has none.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(act())
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            future.set_exception(error)

    def take(done: Future[T]) -> None:
        if done.exception() is None:
            late(done.result())

    try:
        threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()
    except RuntimeError:
        # While the interpreter exits no thread starts any more, and a call may be hung up all the same.
        return act()
    try:
        return future.result(seconds)
    except TimeoutError:
        future.add_done_callback(take)
        raise


class Transport:
    """Carries operations out, blocking the calling thread. It can be used from several threads."""

    def __init__(self, settings: Settings, http_client: httpx.Client | httpx2.Client | None = None) -> None:
        self.settings = settings
        self._owned = http_client is None
        self._client: Any = httpx.Client() if http_client is None else http_client
        self._library = _library_of(self._client, "Client")

    def sharing(self, settings: Settings) -> Transport:
        """Return a transport with other settings over the same HTTP client."""
        return Transport(settings, self._client)

    def run(self, operation: Operation[T]) -> T:
        """Return what the operation reads from the service's reply. Raises as `exchange` does."""
        return self._drive(exchange(operation, deadline=self.settings.timeout, clock=time.monotonic), self._send)

    def open(self, operation: Operation[None]) -> Connection:
        """Return the WebSocket that the operation opens. Raises as `exchange` does."""
        opened: list[Connection] = []

        def send(request: Request) -> _Outcome:
            url = self.settings.endpoints.socket + request.path
            options = _socket_options(self.settings, request)
            try:
                opened.append(
                    _within(
                        request.timeout + _GRACE,
                        lambda: connect_sync(url, create_connection=_Connection, **options),
                        late=Connection.close,
                    )
                )
            except (OSError, WebSocketException) as error:
                return _opening_failed(error)
            return Reply(101, {})

        self._drive(exchange(operation, deadline=self.settings.timeout, clock=time.monotonic), send)
        return opened[0]

    def close(self) -> None:
        if self._owned:
            self._client.close()

    @staticmethod
    def _drive(steps: _Steps[T], send: Callable[[Request], _Outcome]) -> T:
        outcome: _Outcome | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as stop:
                result: T = stop.value
                return result
            if isinstance(step, Request):
                outcome = send(step)
            else:
                time.sleep(step.seconds)
                outcome = None

    def _send(self, request: Request) -> _Outcome:
        try:
            return _within(request.timeout + _GRACE, lambda: self._exchange(request))
        except TimeoutError:
            return Failure("the reply did not end", sent=True, timed_out=True)

    def _exchange(self, request: Request) -> _Outcome:
        end = time.monotonic() + request.timeout
        body = bytearray()
        try:
            built = _built(self._client, self.settings, request)
            response = self._client.send(built, stream=True, follow_redirects=False)
            try:
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) >= MAX_REPLY_BYTES:
                        break
                    if time.monotonic() > end:
                        return Failure("the reply did not end", sent=True, timed_out=True)
            finally:
                response.close()
        except self._library.HTTPError as error:
            return _request_failed(self._library, error)
        return Reply(response.status_code, dict(response.headers.items()), bytes(body[:MAX_REPLY_BYTES]))


class Ongoing(Protocol):
    """A call that is up."""

    async def end_soon(self) -> None:
        """Hang up, and return in two seconds at most, whatever becomes of it."""


class AsyncTransport:
    """Carries operations out on the running event loop."""

    def __init__(self, settings: Settings, http_client: httpx.AsyncClient | httpx2.AsyncClient | None = None) -> None:
        self.settings = settings
        self._owned = http_client is None
        self._client: Any = httpx.AsyncClient() if http_client is None else http_client
        self._library = _library_of(self._client, "AsyncClient")
        self._first = self
        self._calls: set[Ongoing] = set()
        self._number: str | None = None

    def sharing(self, settings: Settings) -> AsyncTransport:
        """Return a transport with other settings over the same HTTP client."""
        shared = AsyncTransport(settings, self._client)
        shared._first = self._first
        return shared

    def carry(self, call: Ongoing) -> None:
        """Note a call that is to be ended before this is closed."""
        self._calls.add(call)
        self._first._calls.add(call)

    def forget(self, call: Ongoing) -> None:
        """Note that it has ended."""
        self._calls.discard(call)
        self._first._calls.discard(call)

    async def run(self, operation: Operation[T]) -> T:
        """Return what the operation reads from the service's reply. Raises as `exchange` does.

        Whoever runs an accept or a reject, a host that has started the handler knows of it.
        """
        clock = asyncio.get_running_loop().time
        result = await self._drive(exchange(operation, deadline=self.settings.timeout, clock=clock), self._send)
        if operation.decides is not None:
            decided(operation.decides.call_id, rejected=operation.decides.rejected)
        return result

    async def open(self, operation: Operation[None]) -> AsyncConnection:
        opened: list[AsyncConnection] = []

        async def send(request: Request) -> _Outcome:
            url = self.settings.endpoints.socket + request.path
            try:
                options = _socket_options(self.settings, request)
                opened.append(await connect_async(url, create_connection=_AsyncConnection, **options))
            except (OSError, WebSocketException) as error:
                return _opening_failed(error)
            return Reply(101, {})

        clock = asyncio.get_running_loop().time
        await self._drive(exchange(operation, deadline=self.settings.timeout, clock=clock), send)
        return opened[0]

    async def close(self) -> None:
        """End the calls that are up, and close the HTTP client, unless it was given."""
        await asyncio.gather(*(call.end_soon() for call in self._calls))
        if self._owned:
            await self._client.aclose()

    @staticmethod
    async def _drive(steps: _Steps[T], send: Callable[[Request], Awaitable[_Outcome]]) -> T:
        outcome: _Outcome | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as stop:
                result: T = stop.value
                return result
            if isinstance(step, Request):
                outcome = await send(step)
            else:
                await asyncio.sleep(step.seconds)
                outcome = None

    def _known_number(self) -> str | None:
        """Return the address of the service, if a name cannot be looked up any more."""
        # The main thread has ended and the interpreter exits: no thread starts, and a name is looked up in one.
        return None if threading.main_thread().is_alive() else self._first._number

    async def _send(self, request: Request) -> _Outcome:
        body = bytearray()
        try:
            async with asyncio.timeout(request.timeout + _GRACE):
                built = _built(self._client, self.settings, request, self._known_number())
                response = await self._client.send(built, stream=True, follow_redirects=False)
                self._first._number = _number_of(response) or self._first._number
                try:
                    async for chunk in response.aiter_bytes():
                        body += chunk
                        if len(body) >= MAX_REPLY_BYTES:
                            break
                finally:
                    await response.aclose()
        except self._library.HTTPError as error:
            return _request_failed(self._library, error)
        except TimeoutError:
            return Failure("the reply did not end", sent=True, timed_out=True)
        return Reply(response.status_code, dict(response.headers.items()), bytes(body[:MAX_REPLY_BYTES]))

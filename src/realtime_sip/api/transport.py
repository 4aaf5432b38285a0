"""The two drivers of `operations.exchange`, blocking and async, over httpx (or httpx2) and websockets."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future
from contextlib import nullcontext, suppress
from contextvars import ContextVar, copy_context
from copy import copy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from realtime_sip.api import keys
from realtime_sip.api.causes import UNTRUSTED, cause_of, is_of_tls, is_untrusted
from realtime_sip.api.http_client import HttpClient
from realtime_sip.api.operations import (
    MAX_REPLY_BYTES,
    Failure,
    Operation,
    Pause,
    Reply,
    Request,
    Verdict,
    exchange,
)
from realtime_sip.api.settings import USER_AGENT, Settings
from realtime_sip.errors import RealtimeSipError

if TYPE_CHECKING:
    import httpx
    import httpx2

    from realtime_sip.api.websocket import AsyncConnection, Connection

T = TypeVar("T")

MAX_REQUESTS = 100
"""Requests under way at a time over one HTTP client. More wait here, and not in the client's own pool, which
loses the connections of those who give up just as it is their turn: after an outage it had none left."""

# The HTTP library bounds each phase of a request. What bounds their sum comes a little later, so that its finer verdict
# comes first.
_GRACE = 0.1
_SOON = 0.001
_WAITING = 0.5
"""The part of a request's time in which a connection has to be free, so that as much remains for the answer."""
_NO_END = Failure("the reply did not end", sent=True, timed_out=True)
_NO_CONNECTION = Failure("no connection was free", sent=False, timed_out=True)

on_verdict: ContextVar[Callable[[Verdict], None] | None] = ContextVar("realtime_sip.on_verdict", default=None)
"""Called for each ringing call that is accepted or rejected from here, in whichever way."""

on_repeat: ContextVar[Callable[[str, RealtimeSipError], None] | None] = ContextVar(
    "realtime_sip.on_repeat", default=None
)
"""Called with the name of an operation that is about to be repeated, and why."""

_Outcome = Reply | Failure
_Steps = Generator[Request | Pause, _Outcome | None, T]


def _request_failed(library: Any, error: Exception, *, proxied: bool) -> Failure:
    """Return what an exception of `library` (httpx or httpx2) says about the request."""
    if is_untrusted(error):
        return Failure(f"{cause_of(error)}; {UNTRUSTED}", sent=False, of="misuse", cause=error)
    if isinstance(error, library.ProxyError):
        # Its text is the status of the answer, or what a SOCKS proxy said.
        refused = re.match("4[0-9]{2}\\b|.*(?:AUTH|user|password)", str(error))
        said = f" ({error})" if re.fullmatch("[45][0-9]{2}.{0,60}", str(error)) else ""
        what = f"the proxy refused{said}: check its URL, and what it lets through"
        return Failure(what, sent=False, of="misuse" if refused else "proxy", cause=error)
    if proxied and isinstance(error, (library.ConnectError, library.ConnectTimeout)) and not is_of_tls(error):
        return Failure(f"the proxy cannot be reached ({cause_of(error)})", sent=False, of="proxy", cause=error)
    unsent = (library.ConnectError, library.ConnectTimeout, library.PoolTimeout, library.UnsupportedProtocol)
    return Failure(
        cause_of(error),
        sent=not isinstance(error, unsent),
        timed_out=isinstance(error, library.TimeoutException),
        cause=error,
    )


def _built(http_client: Any, settings: Settings, request: Request, key: str, number: str | None = None) -> Any:
    """Return the request; with `number` to that address in place of the host's name."""
    request = request.with_key(key)
    built = http_client.build_request(
        request.method,
        settings.endpoints.api + request.path,
        content=request.content,
        # Replies are a line long; one that is not compressed cannot unfold into a large one, and is read as it comes.
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **settings.headers(key), **request.headers},
        # To connect, to read, to write; and, if a client of the program's own has fewer connections, to get one.
        timeout=(request.timeout, request.timeout, request.timeout, request.timeout * _WAITING),
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


def _reply(response: Any, body: bytearray) -> Reply:
    return Reply(response.status_code, dict(response.headers.items()), bytes(body[:MAX_REPLY_BYTES]))


def _nothing_to_do(_result: object) -> None:
    pass


def within(seconds: float, act: Callable[[], T], *, late: Callable[[T], object] = _nothing_to_do) -> T:
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
        threading.Thread(target=copy_context().run, args=(run,), daemon=True).start()
    except RuntimeError:
        # While the interpreter exits no thread starts any more, and a call may be hung up all the same.
        return act()
    try:
        return future.result(seconds)
    except TimeoutError:
        future.add_done_callback(take)
        raise


def drive(steps: _Steps[T], send: Callable[[Request], _Outcome]) -> T:
    """Carry an exchange out, blocking, and return its result. `send` says what became of a request."""
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


async def drive_async(
    steps: _Steps[T],
    send: Callable[[Request], Awaitable[_Outcome]],
    repeats: Callable[[RealtimeSipError], None] | None = None,
) -> T:
    """Carry an exchange out on the running event loop, as `drive` does. `repeats` is called with why it is repeated."""
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
            if repeats is not None and step.after is not None:
                repeats(step.after)
            await asyncio.sleep(step.seconds)
            outcome = None


class Transport:
    """Carries operations out, blocking the calling thread. It can be used from several threads."""

    def __init__(self, settings: Settings, http_client: httpx.Client | httpx2.Client | None = None) -> None:
        self.settings = settings
        self._http = HttpClient("Client", http_client, ssl=settings.ssl, most=MAX_REQUESTS)
        self._first = self
        self._route = self._http.route(settings)

    def sharing(self, settings: Settings) -> Transport:
        """Return a transport with other settings over the same HTTP client."""
        same = copy(self)
        same.settings = settings
        same._route = self._route if settings.endpoints is self.settings.endpoints else self._http.route(settings)
        return same

    def run(self, operation: Operation[T]) -> T:
        """Return what the operation reads from the service's reply. Raises as `exchange` does."""
        return drive(exchange(operation, deadline=self.settings.timeout, clock=time.monotonic), self._send)

    def open(self, operation: Operation[None]) -> Connection:
        """Return the WebSocket that the operation opens. Raises as `exchange` does."""
        from realtime_sip.api import websocket

        opened: list[Connection] = []

        def send(request: Request) -> _Outcome:
            began = time.monotonic()
            key = self._key(request)
            if isinstance(key, Failure):
                return key
            request = replace(request, timeout=max(began + request.timeout - time.monotonic(), _SOON))
            try:
                opened.append(
                    within(
                        request.timeout + _GRACE,
                        lambda: websocket.connect(self._http, self.settings, request, key, self._route),
                        late=websocket.Connection.close,
                    )
                )
            except websocket.FAILURES as error:
                return websocket.failed(error, proxied=self._route is not None)
            return Reply(101, {})

        drive(exchange(operation, deadline=self.settings.timeout, clock=time.monotonic), send)
        return opened[0]

    def close(self) -> None:
        for client in self._http.closing() if self._first is self else ():
            client.close()

    def _key(self, request: Request) -> str | Failure:
        return keys.ask(self.settings.api_key, lambda asked: within(request.timeout, asked))

    def _send(self, request: Request) -> _Outcome:
        began = time.monotonic()
        key = self._key(request)
        if isinstance(key, Failure):
            return key
        if not self._http.free.acquire(timeout=request.timeout * _WAITING):
            return _NO_CONNECTION
        request = replace(request, timeout=max(began + request.timeout - time.monotonic(), _SOON))
        try:
            return within(request.timeout + _GRACE, lambda: self._exchange(request, key))
        except TimeoutError:
            return _NO_END

    def _exchange(self, request: Request, key: str) -> _Outcome:
        try:
            client, library = self._http.get(self._route)
            end = time.monotonic() + request.timeout
            body = bytearray()
            try:
                built = _built(client, self.settings, request, key)
                response = client.send(built, stream=True, follow_redirects=False)
                try:
                    for chunk in response.iter_bytes() if response.is_stream_consumed else response.iter_raw():
                        body += chunk
                        if len(body) >= MAX_REPLY_BYTES:
                            break
                        if time.monotonic() > end:
                            return _NO_END
                finally:
                    response.close()
            except library.HTTPError as error:
                return _request_failed(library, error, proxied=self._route is not None)
        finally:
            self._http.free.release()  # also long after nobody waits any more: so long it has a connection
        return _reply(response, body)


class Ongoing(Protocol):
    """A call that is up."""

    loop: asyncio.AbstractEventLoop

    async def end_soon(self) -> None:
        """Hang up, and return in two seconds at most, whatever becomes of it."""


class AsyncTransport:
    """Carries operations out on the running event loop."""

    def __init__(self, settings: Settings, http_client: httpx.AsyncClient | httpx2.AsyncClient | None = None) -> None:
        self.settings = settings
        self._http = HttpClient("AsyncClient", http_client, ssl=settings.ssl, most=MAX_REQUESTS)
        self._first = self
        self._route = self._http.route(settings)
        self._calls: set[Ongoing] = set()

    def sharing(self, settings: Settings) -> AsyncTransport:
        """Return a transport with other settings over the same HTTP client."""
        same = copy(self)
        same.settings, same._calls = settings, set()
        same._route = self._route if settings.endpoints is self.settings.endpoints else self._http.route(settings)
        return same

    def on_loop(self) -> asyncio.AbstractEventLoop:
        """Return the running event loop, to which this belongs from now on. Raises as `HttpClient.on_loop` does."""
        return self._http.on_loop()

    def carry(self, call: Ongoing) -> None:
        """Note a call that is to be ended before this is closed."""
        self._calls.add(call)
        self._first._calls.add(call)

    def forget(self, call: Ongoing) -> None:
        """Strike a call off: it has ended."""
        self._calls.discard(call)
        self._first._calls.discard(call)

    async def run(self, operation: Operation[T]) -> T:
        """Return what the operation reads from the service's reply. Raises as `exchange` does.

        Whoever runs an accept or a reject, a host that has started the handler knows of it.
        """
        clock = self.on_loop().time
        repeat, told = on_repeat.get(), on_verdict.get()
        repeats = None if repeat is None else partial(repeat, operation.name)
        steps = exchange(operation, deadline=self.settings.timeout, clock=clock)
        result = await drive_async(steps, self._send, repeats)
        if operation.decides is not None and told is not None:
            told(operation.decides)
        return result

    async def open(self, operation: Operation[None]) -> AsyncConnection:
        from realtime_sip.api import websocket

        clock = self.on_loop().time
        opened: list[AsyncConnection] = []

        async def send(request: Request) -> _Outcome:
            began = clock()
            key = await self._key(request)
            if isinstance(key, Failure):
                return key
            request = replace(request, timeout=max(began + request.timeout - clock(), _SOON))
            try:
                opened.append(await websocket.connect_async(self._http, self.settings, request, key, self._route))
            except websocket.FAILURES as error:
                return websocket.failed(error, proxied=self._route is not None)
            return Reply(101, {})

        await drive_async(exchange(operation, deadline=self.settings.timeout, clock=clock), send)
        return opened[0]

    async def close(self) -> None:
        """End the calls that are up, and close the HTTP client, unless it was given.

        Raises:
            MisuseError: It belongs to another event loop, which still runs.
        """
        over = self._http.loop_is_over  # and with it all calls
        if self._calls and not over:
            self.on_loop()
            here = asyncio.get_running_loop()  # after a fork, the parent's calls are on its own
            await asyncio.gather(*(call.end_soon() for call in self._calls if call.loop is here))
        for client in self._http.closing() if self._first is self else ():
            # The connections of a loop that was closed cannot be closed any more.
            with suppress(RuntimeError) if over else nullcontext():
                await client.aclose()

    async def _key(self, request: Request) -> str | Failure:
        key = await keys.ask_async(self.settings.api_key, request.timeout)
        self._http.key = self._http.key if isinstance(key, Failure) else key
        return key

    def settings_at_exit(self) -> Settings:
        """Return the settings with the key that was sent last: a function that is async cannot be asked any more."""
        return self.settings if self._http.key is None else replace(self.settings, api_key=self._http.key)

    def _known_number(self) -> str | None:
        """Return the address of the service, if a name cannot be looked up any more."""
        # The main thread has ended and the interpreter exits: no thread starts, and a name is looked up in one.
        return None if threading.main_thread().is_alive() else self._http.number

    async def _send(self, request: Request) -> _Outcome:
        loop = asyncio.get_running_loop()
        began = loop.time()
        key = await self._key(request)
        if isinstance(key, Failure):
            return key
        free = self._http.free_on_loop
        try:
            async with asyncio.timeout(request.timeout * _WAITING):
                await free.acquire()
        except TimeoutError:
            return _NO_CONNECTION
        try:
            left = max(began + request.timeout - loop.time(), _SOON)
            return await self._exchange(replace(request, timeout=left), key)
        finally:
            free.release()

    async def _exchange(self, request: Request, key: str) -> _Outcome:
        client, library = self._http.get(self._route)
        body = bytearray()
        try:
            async with asyncio.timeout(request.timeout + _GRACE):
                built = _built(client, self.settings, request, key, self._known_number())
                response = await client.send(built, stream=True, follow_redirects=False)
                if self._route is None:  # else it is the proxy's
                    self._http.number = _number_of(response) or self._http.number
                try:
                    pieces = response.aiter_bytes() if response.is_stream_consumed else response.aiter_raw()
                    async for chunk in pieces:
                        body += chunk
                        if len(body) >= MAX_REPLY_BYTES:
                            break
                finally:
                    await response.aclose()
        except library.HTTPError as error:
            return _request_failed(library, error, proxied=self._route is not None)
        except TimeoutError:
            return _NO_END
        return _reply(response, body)

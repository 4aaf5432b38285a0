"""The HTTP client below one transport or several: the program's own, or one that is made when it is first used."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Literal

from realtime_sip.api.proxies import proxy_to
from realtime_sip.api.settings import Settings, may_be_passed_on
from realtime_sip.api.trust import default_trust
from realtime_sip.errors import ConfigurationError, MisuseError

if TYPE_CHECKING:
    from ssl import SSLContext

_NO_LOOP = (
    "the async client needs asyncio, and a task to run in: under trio, or without an event loop, use the blocking "
    "RealtimeSip in a thread"
)
_OTHER_LOOP = (
    "this client belongs to another event loop, which used it first: make one client for each loop, such as inside the "
    "function that asyncio.run() runs, or keep one loop for the whole program"
)


class HttpClient:
    """The HTTP client that was given, or one of ours, which is made when it is first used."""

    def __init__(
        self, kind: Literal["Client", "AsyncClient"], given: Any, *, ssl: SSLContext | None, most: int
    ) -> None:
        self._kind = kind
        self._given = given
        self._library: Any = None if given is None else _library_of(given, kind)
        # One for each proxy: clients that share this may be for different hosts.
        self._made: dict[str | None, Any] = {}
        self._ssl = ssl
        self._closed = False
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.number: str | None = None
        """The address that has answered last."""
        self.key: str | None = None
        """The key that was sent last."""
        self._most = most
        self.free = threading.Semaphore(most)
        self.free_on_loop = asyncio.Semaphore(most)
        self._process = os.getpid()
        self._parents: list[Any] = []

    def on_loop(self) -> asyncio.AbstractEventLoop:
        """Return the running event loop. The first one keeps the client: its connections belong to that loop.

        Raises:
            MisuseError: There is no loop, or the client belongs to another one.
        """
        try:
            running = asyncio.get_running_loop() if asyncio.current_task() is not None else None
        except RuntimeError:
            running = None
        if running is None:
            raise MisuseError(_NO_LOOP)
        self._leave_to_parent()
        with self._lock:
            self._loop = self._loop or running
        if self._loop is not running:
            raise MisuseError(_OTHER_LOOP)
        return running

    def _leave_to_parent(self) -> None:
        """After a fork, leave to the parent what it has used: its loop and its connections, which are not closed here.

        A client that was given keeps the parent's loop, and is refused on any other.
        """
        if self._process == os.getpid():
            return
        with self._lock:
            self._process = os.getpid()
            self._parents.append(self._made)
            self._made = {}
            self._loop = self._loop if self._given is not None else None
            self.free, self.free_on_loop = threading.Semaphore(self._most), asyncio.Semaphore(self._most)

    @property
    def loop_is_over(self) -> bool:
        """Whether the loop that the client belongs to was closed."""
        return self._loop is not None and self._loop.is_closed()

    def get(self, proxy: str | None = None) -> tuple[Any, Any]:
        """Return the client, and the module that it is of. A client of ours uses `proxy`.

        Raises:
            MisuseError: It has been closed.
            ConfigurationError: The library cannot use the proxy.
        """
        self._leave_to_parent()
        client = self._given
        if client is None:
            trusted = None if self._closed or proxy in self._made else self.trusted()
            with self._lock:
                if not self._closed and proxy not in self._made:
                    self._made[proxy] = self._make(proxy, trusted)
                client = self._made.get(proxy)
        if self._closed or client is None or client.is_closed:
            raise MisuseError("the client has been closed")
        return client, self._library

    def _make(self, proxy: str | None, trusted: SSLContext | None) -> Any:
        import httpx

        self._library = httpx
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)  # nobody waits in its pool
        options: dict[str, Any] = {}
        if proxy is not None:
            url = proxy.replace("socks5h:", "socks5:", 1)  # the same to it, and its older versions know no other
            options["proxy"] = httpx.Proxy(url, ssl_context=trusted if url.startswith("https:") else None)
        try:
            # The environment was asked for the proxy before, and its certificates are in the context.
            return getattr(httpx, self._kind)(limits=limits, verify=trusted, trust_env=False, **options)
        except Exception as error:
            raise ConfigurationError(
                f"the HTTP client cannot be made with this proxy ({type(error).__name__})"
            ) from error

    def trusted(self) -> SSLContext:
        """Return what is trusted: by REST calls of a client of ours, and by all WebSockets."""
        with self._lock:
            if self._ssl is None:
                self._ssl = default_trust()
            return self._ssl

    def route(self, settings: Settings) -> str | None:
        """Return the URL of the proxy that leads to the service, or None.

        Raises:
            ConfigurationError: The proxy could not be used.
        """
        return proxy_to(settings.endpoints.api, settings.proxy, trust_env=getattr(self._given, "trust_env", True))

    def own_headers(self) -> dict[str, str]:
        """Return the headers of the program's own client, which a WebSocket has to have too."""
        if self._given is None:
            return {}
        return {name: value for name, value in self._given.headers.items() if may_be_passed_on(name.lower())}

    def closing(self) -> list[Any]:
        """Return the clients that are to be closed: those of ours."""
        with self._lock:
            self._closed = self._closed or self._given is None
            return [*self._made.values()]


def _library_of(http_client: object, kind: Literal["Client", "AsyncClient"]) -> Any:
    """Return the module whose client this is: its exceptions are its own."""
    for name in ("httpx", "httpx2"):
        library = sys.modules.get(name)
        if library is not None and isinstance(http_client, getattr(library, kind)):
            return library
    raise ConfigurationError(f"http_client must be an httpx.{kind} or httpx2.{kind}")

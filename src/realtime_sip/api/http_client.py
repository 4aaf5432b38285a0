"""The HTTP client below one transport or several: the program's own, or one that is made when it is first used."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any, Literal

from realtime_sip.errors import ConfigurationError, MisuseError

MAX_REQUESTS = 100
"""Requests under way at a time over one HTTP client. More wait in the transport, and not in the client's own pool,
which loses the connections of those who give up just as it is their turn: after an outage it had none left."""

_NO_LOOP = (
    "the async client needs asyncio, and a task to run in: under trio, or without an event loop, use the blocking "
    "RealtimeSip in a thread"
)
_OTHER_LOOP = (
    "this client belongs to another event loop, which used it first: make one client for each loop, such as inside the "
    "function that asyncio.run() runs, or keep one loop for the whole program"
)


class HttpClient:
    """The HTTP client that was given, or one of ours.

    Its TLS context and its library cost more than all else about a client of ours.
    """

    def __init__(self, kind: Literal["Client", "AsyncClient"], given: Any) -> None:
        self._kind = kind
        self._client = given
        self._library: Any = None if given is None else _library_of(given, kind)
        self._owned = given is None
        self._closed = False
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.number: str | None = None
        """The address that has answered last."""
        self.key: str | None = None
        """The key that was sent last."""
        self.free = threading.Semaphore(MAX_REQUESTS)
        self.free_on_loop = asyncio.Semaphore(MAX_REQUESTS)

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
        with self._lock:
            self._loop = self._loop or running
        if self._loop is not running:
            raise MisuseError(_OTHER_LOOP)
        return running

    @property
    def loop_is_over(self) -> bool:
        """Whether the loop that the client belongs to was closed."""
        return self._loop is not None and self._loop.is_closed()

    def get(self) -> tuple[Any, Any]:
        """Return the client and the module that it is of.

        Raises:
            MisuseError: It has been closed.
        """
        with self._lock:
            if self._client is None and not self._closed:
                import httpx

                limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)  # nobody waits in its pool
                self._library, self._client = httpx, getattr(httpx, self._kind)(limits=limits)
        if self._client is None or self._client.is_closed:
            raise MisuseError("the client has been closed")
        return self._client, self._library

    def closing(self) -> Any:
        """Return the client that is to be closed, or None if it is not ours or was never used."""
        with self._lock:
            self._closed = self._closed or self._owned
            return self._client if self._owned else None


def _library_of(http_client: object, kind: Literal["Client", "AsyncClient"]) -> Any:
    """Return the module whose client this is: its exceptions are its own."""
    for name in ("httpx", "httpx2"):
        library = sys.modules.get(name)
        if library is not None and isinstance(http_client, getattr(library, kind)):
            return library
    raise ConfigurationError(f"http_client must be an httpx.{kind} or httpx2.{kind}")

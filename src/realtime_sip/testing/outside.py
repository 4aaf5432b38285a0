"""What goes on outside of a virtual loop: threads that will call back, and sockets whose other end is elsewhere."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import thread as pools
from contextlib import contextmanager
from functools import cache
from selectors import SelectorKey
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from realtime_sip._threads import pooled

__all__ = ["Outside", "VirtualTimeWarning", "shown", "watched"]

_LINGER = 0.1
"""Real seconds after bytes from outside in which more of them may come: a reply is often sent in pieces."""
_AT_HOME = frozenset({"anyio", "asyncio", "realtime_sip", "uvicorn", "websockets"})
"""Packages that complete their own futures on the loop."""

_FROM_POOL = asyncio.wrap_future.__code__

_Ends = tuple[Any, Any]


class VirtualTimeWarning(UserWarning):
    """A `VirtualTimeLoop` waited really for something outside, which did not come, and its clock goes on without it."""


class _Awaited:
    """Something outside that is waited for."""

    __slots__ = ("__weakref__", "given_up", "since", "what")

    def __init__(self, what: str) -> None:
        self.what = what
        self.since: float | None = None
        """Since when the loop has had nothing else to do, in real seconds."""
        self.given_up = False


class _Link:
    """A socket of the loop, or a descriptor that somebody watches."""

    __slots__ = ("__weakref__", "asks", "awaited", "ends", "inside", "name", "package")

    def __init__(self, name: str, *, asks: bool, ends: _Ends | None = None) -> None:
        self.name = name
        self.asks = asks
        """Whether this end is the one that asks, and not a server's."""
        self.ends = ends
        self.package = ""
        """Whose protocol it has."""
        self.inside = False
        """Whether the other end is on the same loop."""
        self.awaited: _Awaited | None = None


class Outside:
    """Knows what is waited for outside of the loop, and for how long already."""

    def __init__(self, patience: float) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._patience = patience
        self._futures: WeakKeyDictionary[asyncio.Future[Any], tuple[_Awaited, str]] = WeakKeyDictionary()
        self._workers: WeakKeyDictionary[threading.Thread, tuple[object, _Awaited]] = WeakKeyDictionary()
        self._links: dict[int, _Link] = {}
        self._by_ends: WeakValueDictionary[_Ends, _Link] = WeakValueDictionary()
        self._asked: dict[int, _Link] = {}
        self._others: set[_Awaited] = set()
        self._linger_until = 0.0

    # --- what happens -------------------------------------------------------------------------------------------------

    def made(self, future: asyncio.Future[Any], maker: FrameType) -> None:
        """Record a future that a thread may complete."""
        package = _package(maker.f_globals.get("__name__", ""))
        if package in _AT_HOME:
            if maker.f_code is not _FROM_POOL:
                return
            package = ""
        place: FrameType | None = maker
        while place is not None and str(place.f_globals.get("__name__", "")).startswith("asyncio."):
            place = place.f_back
        name = "asyncio" if place is None else f"{place.f_globals.get('__name__')}.{place.f_code.co_qualname}"
        self._futures[future] = (_Awaited(f"what is done outside for {name}"), package)

    def opened(self, sock: socket.socket, protocol: object, *, asks: bool) -> None:
        """Record a socket that has been connected, or accepted, for this protocol."""
        descriptor = sock.fileno()
        self.idle(descriptor)
        try:
            own, peer = sock.getsockname(), sock.getpeername()
        except OSError:
            self._links.pop(descriptor, None)
            return
        link = _Link(f"a reply from {shown(peer)}", asks=asks, ends=(own, peer))
        link.package = _package(type(protocol).__module__)
        self._links[descriptor] = self._by_ends[own, peer] = link
        other = self._by_ends.get((peer, own))
        if other is not None:  # Before it closes, and is forgotten.
            link.inside = other.inside = True
        self._ask(descriptor, link)  # Some servers speak first.

    def wrote(self, descriptor: int) -> None:
        """Record bytes that left by a socket: a reply may be on its way."""
        link = self._links.get(descriptor)
        if link is not None:
            self._ask(descriptor, link)

    def watches(self, descriptor: int) -> None:
        """Record a reader that was added for a descriptor, as by a library that writes to it by itself."""
        link = self._links.get(descriptor)
        if link is None:
            link = self._links[descriptor] = _Link(f"the file descriptor {descriptor}", asks=True)
        self._ask(descriptor, link)

    def came(self, found: Iterable[tuple[SelectorKey, int]]) -> None:
        """Record what the selector found."""
        for key, _ in found:
            link = self._links.get(key.fd)
            if link is not None and self._is_outside(link):
                self._asked.pop(key.fd, None)
                link.awaited = None
                self._linger_until = time.monotonic() + _LINGER

    def idle(self, descriptor: int) -> None:
        """Forget what was asked by a descriptor that nobody watches now."""
        self._asked.pop(descriptor, None)

    @contextmanager
    def awaited(self, what: str) -> Iterator[None]:
        """Wait for something else meanwhile."""
        awaited = _Awaited(what)
        self._others.add(awaited)
        try:
            yield
        finally:
            self._others.discard(awaited)

    def _ask(self, descriptor: int, link: _Link) -> None:
        if self._is_outside(link):
            # What was not answered is not asked anew: else something that is written to again and again, and never
            # answers, would hold the clock without an end.
            link.awaited = link.awaited or _Awaited(link.name)
            self._asked[descriptor] = link

    def _is_outside(self, link: _Link) -> bool:
        if link.asks and not link.inside and link.ends is not None:
            own, peer = link.ends
            link.inside = (peer, own) in self._by_ends
        return link.asks and not link.inside

    # --- what is waited for -------------------------------------------------------------------------------------------

    def awaits(self) -> bool:
        """Return whether anything is waited for."""
        return bool(self._all()) or self._linger_until > time.monotonic()

    def wait_until(self) -> float | None:
        """Return the real moment until which the clock must not jump, None if it may.

        Warns:
            VirtualTimeWarning: Something was waited for in vain.
        """
        now = time.monotonic()
        until: list[float] = [self._linger_until] if self._linger_until > now else []
        given_up = []
        for awaited in self._all():
            if awaited.since is None:
                awaited.since = now
            if awaited.given_up:
                continue
            if now >= awaited.since + self._patience:
                awaited.given_up = True
                given_up.append(awaited.what)
            else:
                until.append(awaited.since + self._patience)
        for what in given_up:
            warnings.warn(
                f"{what} did not come within {self._patience:g} real seconds; the virtual clock goes on without it",
                VirtualTimeWarning,
                stacklevel=2,
            )
        return min(until, default=None)

    def _all(self) -> list[_Awaited]:
        others, busy = self._threads()
        found = [*self._others, *busy]
        found += [link.awaited for link in self._asked.values() if link.awaited is not None and self._is_outside(link)]
        for future, (awaited, package) in list(self._futures.items()):
            if future.done():
                del self._futures[future]
            elif not package or self._completes(package, others):
                found.append(awaited)
        return found

    def _completes(self, package: str, others: bool) -> bool:
        """Return whether something outside may complete a future of this package."""
        links = [self._is_outside(link) for link in self._links.values() if link.package == package]
        # A package with sockets on the loop, as a web server's, completes its futures here.
        return any(links) or (others and not links)

    def _threads(self) -> tuple[bool, list[_Awaited]]:
        """Return whether there are threads that may complete a future, and the work of anyio's, which says so."""
        others = False
        busy: list[_Awaited] = []
        if threading.active_count() == 1:
            return others, busy
        for thread in threading.enumerate():
            idle = getattr(thread, "idle_workers", None)
            if idle is not None:
                if getattr(thread, "loop", None) is self.loop and thread not in idle and not _stopping(thread):
                    busy.append(self._work(thread))
            elif not _known(thread):
                others = True
        return others, busy

    def _work(self, thread: threading.Thread) -> _Awaited:
        after = getattr(thread, "idle_since", None)
        known = self._workers.get(thread)
        if known is None or known[0] != after:
            known = self._workers[thread] = (after, _Awaited("what is done outside for anyio.to_thread"))
        return known[1]


@cache
def _package(module: str) -> str:
    return module.partition(".")[0]


def _stopping(thread: threading.Thread) -> bool:
    return bool(getattr(thread, "stopping", False))


def _known(thread: threading.Thread) -> bool:
    """Whether what this thread does for the loop is known in another way, or nothing."""
    return (
        thread is threading.current_thread()
        or thread is threading.main_thread()
        or isinstance(thread, threading._DummyThread)
        or thread in pooled
        or thread in getattr(pools, "_threads_queues", ())
    )


def shown(address: object) -> str:
    """Return an address as text."""
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address or "a socket without a name")


def watched(transport: type[Any], wrote: Callable[[Any, int], None]) -> type[Any]:
    """Return a class of transports that says what descriptor it writes to."""

    def write(self: Any, data: Any) -> None:
        transport.write(self, data)
        wrote(self._loop, self._sock_fd)

    def writelines(self: Any, data: Any) -> None:
        transport.writelines(self, data)
        wrote(self._loop, self._sock_fd)

    return type("WatchedTransport", (transport,), {"write": write, "writelines": writelines})

"""An event loop whose clock jumps, so that an hour-long call is tested in a moment, with its real timings."""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import socket
import sys
import time
from asyncio import selector_events
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack

from realtime_sip.testing.outside import Outside, shown, watched

__all__ = ["VirtualTimeLoop", "run_virtual"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Not 0: code that takes a time of 0.0 for "never" would be wrong here and nowhere else.
_START = 1000.0
_LEAST = 1e-6
_POLLS = 2


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop with a clock of its own, which stands still while anything runs.

    When nothing is left to do until the next timer, the clock jumps there. Sockets stay real: what was sent between two
    ends on this loop, over loopback, arrives before the clock moves. So everything that shares the loop sees its real
    timings, in an order that does not depend on how fast the machine is.

    What goes on outside of the loop takes real time, and nobody knows how much. So while something from there is
    awaited, the clock runs in real time:

    - work of executors (`asyncio.to_thread`, `run_in_executor`, name resolution) and of `anyio.to_thread`;
    - a future that is neither asyncio's nor one of the emulator's packages, while something is there that may complete
      it: any thread, as aiosqlite's, or a socket to the outside with a protocol of the same package, as asyncpg's;
    - the reply of a TCP or Unix socket that this loop has connected, and whose other end is not on this loop: after
      something was sent, until something comes, and for 0.1 s more, since replies come in pieces;
    - a descriptor that a library watches with `add_reader`, until it is ready.

    For each of these it waits `patience` real seconds at most. Then a `VirtualTimeWarning` names what did not come, and
    the clock jumps on without it, and no longer waits for it until it answers. If no timer is set, there is nothing to
    jump to, and no bound.

    It does not see threads that set an `asyncio.Event` or put into a queue, those of a package that has a protocol of
    its own on the loop (as a web server has), threads of C libraries, child processes, datagrams, `sock_recv`, what
    comes unasked, and a longer pause within a reply. If a test waits for these, use `real_time`, which has no bound. If
    another thread is alive, a future of a program's own that a timer completes is taken for the thread's, and delays
    the test by `patience` once.

    It is a loop factory: `asyncio.Runner(loop_factory=VirtualTimeLoop)`; with anyio's pytest plugin let the fixture
    `anyio_backend` return `("asyncio", {"loop_factory": VirtualTimeLoop})`; with pytest-asyncio name it in the hook
    `pytest_asyncio_loop_factories`. `run_virtual` needs none of them.

    `loop.time()` begins at 1000 seconds and follows no other clock; `time.time()` and `time.monotonic()` stay real. A
    program that asks again and again without ever waiting stops the clock.
    """

    def __init__(self, *, patience: float = 10.0) -> None:
        self._outside = Outside(patience)
        self._jumping = _JumpingSelector(self._outside)
        super().__init__(self._jumping)
        self._outside.loop = self

    def time(self) -> float:
        """Return the seconds of the virtual clock."""
        return self._jumping.now

    @contextlib.contextmanager
    def real_time(self) -> Iterator[None]:
        """Let the clock run in real time meanwhile, for something outside of this loop."""
        self._jumping.held += 1
        try:
            yield
        finally:
            self._jumping.held -= 1

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back after `delay` seconds; after a microsecond, if it is less.

        Of two moments that are nearer to each other than a float can tell, waiting would never reach the second.
        """
        return super().call_later(max(delay, _LEAST) if delay > 0 else delay, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        """Return a new future; if it is somebody else's, a thread may complete it."""
        future = super().create_future()
        self._outside.made(future, sys._getframe(1))
        return future

    def add_reader(self, fd: Any, callback: Callable[[Unpack[Ts]], Any], *args: *Ts) -> None:
        """Call back when a descriptor is ready, and do not jump before."""
        super().add_reader(fd, callback, *args)
        self._outside.watches(fd if isinstance(fd, int) else fd.fileno())

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect a socket, and do not jump meanwhile."""
        with self._outside.awaited(f"a connection to {shown(address)}"):
            await super().sock_connect(sock, address)

    async def shutdown_default_executor(self, *args: Any) -> None:
        """Wait really until the threads have ended."""
        with self.real_time():
            await super().shutdown_default_executor(*args)

    def _make_socket_transport(
        self, sock: socket.socket, protocol: Any, waiter: Any = None, *, server: Any = None, **others: Any
    ) -> Any:
        # All of asyncio's stream sockets come from here; those that were accepted have a server.
        self._outside.opened(sock, protocol, asks=server is None)
        # asyncio does so only if the socket was made with its protocol's number. Else the kernel holds a small piece
        # back until the one before it is acknowledged, which takes 40 real milliseconds, and any virtual time.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        others.setdefault("extra", None)
        return _WatchedTransport(self, sock, protocol, waiter, server=server, **others)


class _JumpingSelector(selectors.BaseSelector):
    """Waits for sockets as another selector does, but moves its clock instead of waiting for a timer."""

    def __init__(self, outside: Outside) -> None:
        self.now = _START
        self.held = 0
        """How many have to be waited for really."""
        self._outside = outside
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = self._select(timeout)
        if found:
            self._outside.came(found)
        return found

    def _select(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return self._real.select(0)
        if timeout is None or self.held:
            # Without a timer there is nothing to jump to: only the outside can go on.
            return self._wait(timeout, runs=bool(self.held) or self._outside.awaits())
        for _ in range(_POLLS):
            found = self._real.select(0)
            if found:
                return found
            # Loopback delivers within the send, unless the kernel was busy and left it to a thread of its own.
            _yield_processor()
        end = self.now + timeout
        while self.now < end and (until := self._outside.wait_until()) is not None:
            found = self._wait(min(end - self.now, max(until - time.monotonic(), 0.0)))
            if found:
                return found
        self.now = max(self.now, end)
        return []

    def _wait(self, timeout: float | None, *, runs: bool = True) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait really; if the clock `runs`, it does so in real time."""
        began = time.monotonic()
        found = self._real.select(timeout)
        if runs:
            passed = time.monotonic() - began
            self.now += passed if timeout is None else min(passed, timeout)
        return found

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        key = self._real.unregister(fileobj)
        self._outside.idle(key.fd)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def close(self) -> None:
        self._real.close()

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.get_key(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()


_WatchedTransport = watched(
    vars(selector_events)["_SelectorSocketTransport"], lambda loop, descriptor: loop._outside.wrote(descriptor)
)


def _yield_processor() -> None:
    if hasattr(os, "sched_yield"):
        os.sched_yield()
    else:
        time.sleep(0)


def run_virtual(main: Coroutine[Any, Any, T], *, patience: float = 10.0) -> T:
    """Run `main` on a new `VirtualTimeLoop`, as `asyncio.run` does, and return its result.

    It waits `patience` real seconds at most for each thing outside of the loop.

    >>> import asyncio
    >>> async def an_hour() -> float:
    ...     began = asyncio.get_running_loop().time()
    ...     await asyncio.sleep(3600)
    ...     return asyncio.get_running_loop().time() - began
    >>> run_virtual(an_hour())
    3600.0
    """
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(patience=patience)) as runner:
        return runner.run(main)

"""An event loop whose clock jumps, so that an hour-long call is tested in a moment, with its real timings."""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Executor
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack

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

    While work in the loop's executors (`asyncio.to_thread`, `run_in_executor`, name resolution) is awaited, the clock
    runs in real time, because nobody knows how long the work takes. For other threads and for processes use
    `real_time`; without it the clock does not wait for them.

    It is a loop factory: `asyncio.Runner(loop_factory=VirtualTimeLoop)`; with anyio's pytest plugin let the fixture
    `anyio_backend` return `("asyncio", {"loop_factory": VirtualTimeLoop})`; with pytest-asyncio name it in the hook
    `pytest_asyncio_loop_factories`. `run_virtual` needs none of them.

    `loop.time()` begins at 1000 seconds and follows no other clock; `time.time()` and `time.monotonic()` stay real. A
    program that asks again and again without ever waiting stops the clock.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

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

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run `func` in a thread, and do not jump until it is done or nobody waits for it any more."""
        future = super().run_in_executor(executor, func, *args)
        self._jumping.held += 1
        future.add_done_callback(self._release)
        return future

    async def shutdown_default_executor(self, *args: Any) -> None:
        """Wait really until the threads have ended."""
        with self.real_time():
            await super().shutdown_default_executor(*args)

    def _release(self, _done: asyncio.Future[Any]) -> None:
        self._jumping.held -= 1


class _JumpingSelector(selectors.BaseSelector):
    """Waits for sockets as another selector does, but moves its clock instead of waiting for a timer."""

    def __init__(self) -> None:
        self.now = _START
        self.held = 0
        """How many have to be waited for really."""
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return self._real.select(0)
        if timeout is None or self.held:
            # Without a timer there is nothing to jump to: only the outside can go on.
            began = time.monotonic()
            found = self._real.select(timeout)
            if self.held:
                passed = time.monotonic() - began
                self.now += passed if timeout is None else min(passed, timeout)
            return found
        for _ in range(_POLLS):
            found = self._real.select(0)
            if found:
                return found
            # Loopback delivers within the send, unless the kernel was busy and left it to a thread of its own.
            _yield_processor()
        self.now += timeout
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def close(self) -> None:
        self._real.close()

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.get_key(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()


def _yield_processor() -> None:
    if hasattr(os, "sched_yield"):
        os.sched_yield()
    else:
        time.sleep(0)


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a new `VirtualTimeLoop`, as `asyncio.run` does, and return its result.

    >>> import asyncio
    >>> async def an_hour() -> float:
    ...     began = asyncio.get_running_loop().time()
    ...     await asyncio.sleep(3600)
    ...     return asyncio.get_running_loop().time() - began
    >>> run_virtual(an_hour())
    3600.0
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)

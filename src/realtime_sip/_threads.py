"""Threads for blocking code that is not ours, which may never end.

asyncio's default pool also resolves names: what hangs in there keeps every other call from being accepted.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import ParamSpec, TypeVar
from weakref import WeakSet

P = ParamSpec("P")
T = TypeVar("T")


pooled: WeakSet[threading.Thread] = WeakSet()
"""The threads that run here."""


class NoThreadError(Exception):
    """The limit of threads is reached, or the system starts no more."""


class Threads(Executor):
    """At most so many threads at a time, one for each run. It never waits for one, and neither does the exit.

    Args:
        name: What each thread is called.
        most: How many there may be at a time.
        among: More that these count among.
    """

    def __init__(self, name: str, most: int, *, among: Threads | None = None) -> None:
        self._name = name
        self._free = threading.BoundedSemaphore(most)
        self._among = among

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in a thread of its own, in the context of whoever asks.

        Raises:
            NoThreadError: No thread is left.
        """
        if not self._take():
            raise NoThreadError
        future: Future[T] = Future()
        context = contextvars.copy_context()

        def run() -> None:
            try:
                if not future.set_running_or_notify_cancel():
                    self._give_back()
                    return
                result = context.run(fn, *args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
                self._give_back()
                future.set_exception(error)
            else:
                self._give_back()
                future.set_result(result)

        try:
            # The exit waits for no thread of these.
            thread = threading.Thread(target=run, name=self._name, daemon=True)
            pooled.add(thread)
            thread.start()
        except RuntimeError:
            self._give_back()
            raise NoThreadError from None
        return future

    def _take(self) -> bool:
        if not self._free.acquire(blocking=False):
            return False
        if self._among is None or self._among._take():
            return True
        self._free.release()
        return False

    def _give_back(self) -> None:
        self._free.release()
        if self._among is not None:
            self._among._give_back()


class StandingThreads(Executor):
    """So many threads that are started at once, and then run one function after the other: at exit none can be started
    in some versions of Python (3.12.1). The exit waits for none of them.

    Raises:
        RuntimeError: The system starts no more threads.
    """

    def __init__(self, name: str, count: int) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._count = count
        for _ in range(count):
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            pooled.add(thread)
            thread.start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in the next thread that is free."""
        future: Future[T] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    result = fn(*args, **kwargs)
                except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
                    future.set_exception(error)
                else:
                    future.set_result(result)

        self._work.put(run)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - its signature
        """Let the threads end, each after what it runs."""
        for _ in range(self._count):
            self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

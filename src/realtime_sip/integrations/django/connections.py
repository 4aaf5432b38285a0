"""Database connections of calls: few, however many calls there are, and closed in the thread that has opened them.

Outside of requests Django closes none. What a handler or an async tool asks of the ORM runs in threads that all calls
share, one thing of a call after the other. A plain tool has a thread of its own, whose connections end with it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import ThreadSensitiveContext
from django.db import close_old_connections, connections

P = ParamSpec("P")
T = TypeVar("T")

MOST = 16
"""Threads for the database at a time, and so connections to each: of all calls together."""

_pool = ThreadPoolExecutor(MOST, thread_name_prefix="realtime-sip-database")


class InTurn(Executor):
    """Runs what one call asks for, one after the other, in threads that all calls share."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._lock = threading.Lock()
        self._running = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function when those before it are over."""
        future: Future[T] = Future()
        with self._lock:
            self._waiting.append((future, partial(fn, *args, **kwargs)))
            idle, self._running = not self._running, True
        if idle:
            _pool.submit(self._run)
        return future

    def _run(self) -> None:
        """Run the first, and let those of other calls come before the next."""
        with self._lock:
            future, work = self._waiting.popleft()
        if future.set_running_or_notify_cancel():
            close_old_connections()
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
                close_old_connections()
                future.set_exception(error)
            else:
                close_old_connections()
                future.set_result(result)
        with self._lock:
            self._running = bool(self._waiting)
            more = self._running
        if more:
            _pool.submit(self._run)


@contextmanager
def around() -> Iterator[None]:
    """Go around a handler or an async tool, in its task, or a plain tool, in its thread."""
    if asyncio._get_running_loop() is None:
        close_old_connections()
        try:
            yield
        finally:
            connections.close_all()
        return
    context: Any = ThreadSensitiveContext(executor=InTurn())
    _at_once(context.__aenter__())
    try:
        yield
    finally:
        _at_once(context.__aexit__(None, None, None))


def _at_once(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine that waits for nothing: with an executor of ours, entering and leaving do not."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("this version of asgiref waits where it did not: use asgiref 3.13")

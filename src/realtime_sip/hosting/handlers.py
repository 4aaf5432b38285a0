"""What a program gives to a host: functions that answer calls, and the time that its code may take."""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import CodeType
from typing import TypeAlias

from realtime_sip.api.transport import AsyncTransport
from realtime_sip.errors import ConfigurationError, DeadlineError, MisuseError
from realtime_sip.webhooks import IncomingCall

OnCall: TypeAlias = Callable[[IncomingCall], Awaitable[int | None]]
"""Answers a call with `client.calls.answer`, rejects it with `client.calls.reject`, or returns the SIP status to reject
it with, 300 to 699."""

_RUNNERS = {"asyncio", "uvloop", "anyio"}
_ANYIO = "anyio._core._eventloop"
# It runs the async views of Flask, and of Django under WSGI, each in a loop of its own.
_ASGIREF = "asgiref.sync"
_LOOP_ENDS = (
    "the event loop ends with this submit(), and the call would end with it: run the host on a loop that goes on, such "
    "as an ASGI server's, or a thread's with asyncio.run_coroutine_threadsafe(host.submit(incoming), loop)"
)


def check_async(handler: object, name: str) -> None:
    """Refuse a handler that cannot be awaited, before the phone rings.

    Raises:
        ConfigurationError: It is neither an async function nor an object that is called like one.
    """
    function = handler
    while isinstance(function, functools.partial):
        function = function.func
    called = inspect.getattr_static(type(function), "__call__", None)
    if not (inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)):
        raise ConfigurationError(f"{name} must be an async function, as in `async def`")


def require(condition: bool, problem: str) -> None:
    """Refuse what a program gave, unless it is as it should be.

    Raises:
        ConfigurationError: It is not.
    """
    if not condition:
        raise ConfigurationError(problem)


def is_whole(value: object) -> bool:
    """Return whether that is a whole number, which True is not."""
    return isinstance(value, int) and not isinstance(value, bool)


def seconds(value: float, name: str) -> float:
    """Return a number of seconds.

    Raises:
        ConfigurationError: It is negative, endless, or no number.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    require(number and 0 <= value < math.inf, f"{name} must be a number of seconds")
    return value


def check_loop(transport: AsyncTransport, submit: CodeType) -> None:
    """Refuse a call that could not be served: its event loop is not the client's, or ends with `submit`.

    Raises:
        MisuseError: The client belongs to another loop; or the loop runs until the running task is done, and nothing of
            the program's comes behind `submit`, as in `asyncio.run(host.submit(…))`.
    """
    transport.on_loop()
    if _ends_with_task() and _is_last(submit):
        raise MisuseError(_LOOP_ENDS)


def _ends_with_task() -> bool:
    """Whether the event loop runs until the running task is done."""
    callbacks = getattr(asyncio.current_task(), "_callbacks", None) or ()
    return any("run_until_complete" in getattr(each[0], "__qualname__", "") for each in callbacks)


def _is_last(submit: CodeType) -> bool:
    """Whether the running task is done, and its loop closed, as soon as `submit` is."""
    task, frame = asyncio.current_task(), inspect.currentframe()
    root = None if task is None else getattr(task.get_coro(), "cr_frame", None)
    while frame is not None and frame.f_code is not submit:
        frame = frame.f_back
    awaiting: list[str] = []
    while frame is not None and frame is not root:
        frame = frame.f_back
        awaiting += [] if frame is None else [str(frame.f_globals.get("__name__"))]
    if root is None or frame is None:
        return False
    if awaiting and awaiting[-1] == _ASGIREF:
        return True
    closed = False
    while frame is not None:
        closed = closed or frame.f_code is asyncio.run.__code__ or frame.f_globals.get("__name__") == _ANYIO
        frame = frame.f_back
    # A program may run its loop again: only these close it.
    return closed and all(each.partition(".")[0] in _RUNNERS for each in awaiting)


@asynccontextmanager
async def in_time(seconds: float, who: str, *, sent: bool) -> AsyncIterator[None]:
    """Wait for code that is not ours only so long.

    Raises:
        DeadlineError: It took longer; `sent` says whether it may have done something.
    """
    deadline = asyncio.timeout(seconds)
    try:
        async with deadline:
            yield
    except TimeoutError:
        if not deadline.expired():
            raise
        raise DeadlineError(f"{who} did not answer within {seconds:g} s", sent=sent) from None

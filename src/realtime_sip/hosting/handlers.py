"""What a program gives to a host: functions that answer calls, and the time that its code may take."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from realtime_sip.errors import ConfigurationError, DeadlineError
from realtime_sip.webhooks import IncomingCall

OnCall: TypeAlias = Callable[[IncomingCall], Awaitable[int | None]]
"""Answers a call with `client.calls.answer`, rejects it with `client.calls.reject`, or returns the SIP status to reject
it with, 300 to 699."""


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

"""What a program gives to a host: functions that answer calls."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from realtime_sip.errors import ConfigurationError
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

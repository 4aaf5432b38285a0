"""What the program's own code raises, such as a handler, a tool or a callback: told to its log, and to its hook."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sysconfig
import traceback
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path

from realtime_sip.errors import ConfigurationError, RealtimeSipError

HOOK_TIMEOUT = 10.0
"""Seconds that an async hook may take."""
_MAX_CHAIN = 10
_WITHHELD = "(its message is withheld; log_exceptions=True shows it)"
_NOT_YOURS = tuple(
    str(path)
    for path in (Path(__file__).parent, *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")))
)


Hook = Callable[..., Awaitable[object] | object]
"""Called as `on_error(error, call_id=…, call=…)`; `call.options.OnError` says what each of them is."""


class ProgramErrors:
    """Tells of exceptions: where they were raised, with their traceback, but without their messages, which may hold
    anything.

    Args:
        on_error: Called with each exception itself.
        log_exceptions: Whether their messages are logged too.

    Raises:
        ConfigurationError: The hook cannot be called, or `log_exceptions` is not True or False.
    """

    def __init__(self, *, on_error: Hook | None = None, log_exceptions: bool | None = None) -> None:
        if on_error is not None and not callable(on_error):
            raise ConfigurationError("on_error must be a function of (error, *, call_id, call)")
        if log_exceptions not in (None, True, False):
            raise ConfigurationError("log_exceptions must be True or False")
        self._on_error = on_error
        self._log_exceptions = log_exceptions
        self._told: set[asyncio.Task[None]] = set()

    def over(self, outer: ProgramErrors) -> ProgramErrors:
        """Return these, with what they do not say as `outer` says it."""
        shown = outer._log_exceptions if self._log_exceptions is None else self._log_exceptions
        return ProgramErrors(on_error=self._on_error or outer._on_error, log_exceptions=shown)

    def tell(
        self,
        log: logging.Logger,
        what: str,
        error: BaseException,
        *,
        call_id: str,
        call: object = None,
        then: str = "",
    ) -> None:
        """Log that `what` has failed, and what comes of that, and tell the hook."""
        shown = error if self._log_exceptions else _without_message(error)
        said = f": {error}" if self._log_exceptions or isinstance(error, RealtimeSipError) else ""
        failed = f"{what} failed{then and f', {then}'}: {type(error).__name__}{where(error)}{said}"
        log.error("call %s: %s", call_id, failed, exc_info=shown)
        if self._on_error is None:
            return
        try:
            told = self._on_error(error, call_id=call_id, call=call)
            if inspect.isawaitable(told):
                task = asyncio.ensure_future(_told(told, log, call_id))
                self._told.add(task)
                task.add_done_callback(self._told.discard)
        except (Exception, SystemExit) as failure:  # noqa: BLE001 - whatever it is, it must not end a call
            _hook_failed(log, call_id, failure)


telling: ContextVar[ProgramErrors] = ContextVar("realtime_sip.program_errors", default=ProgramErrors())  # noqa: B039 - it holds hooks under way, anybody's
"""Whom to tell here: a host sets it for its handlers, its policy and its routes."""


async def _told(told: Awaitable[object], log: logging.Logger, call_id: str) -> None:
    try:
        async with asyncio.timeout(HOOK_TIMEOUT):
            await told
    except (Exception, SystemExit) as failure:  # noqa: BLE001 - whatever it is, it must not end a call
        _hook_failed(log, call_id, failure)


def _hook_failed(log: logging.Logger, call_id: str, failure: BaseException) -> None:
    log.error("call %s: on_error failed: %s%s", call_id, type(failure).__name__, where(failure))


def where(error: BaseException) -> str:
    """Return the innermost place in the program's own code, or else in anybody's."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((*_NOT_YOURS, "<"))] or frames
    return f" in {own[-1].name} ({own[-1].filename}:{own[-1].lineno})" if own else ""


def _without_message(error: BaseException, depth: int = 0) -> BaseException:
    """Return an exception that looks as this one in a traceback, but for its message. Ours say nothing secret."""
    said = str(error) if isinstance(error, RealtimeSipError) else _WITHHELD
    kind = type(error)
    stand_in = type(kind.__name__, (Exception,), {"__module__": kind.__module__, "__qualname__": kind.__qualname__})
    shown: BaseException = stand_in(said)
    if isinstance(error, BaseExceptionGroup) and depth < _MAX_CHAIN:
        parts = [_without_message(each, depth + 1) for each in error.exceptions]
        shown = BaseExceptionGroup(_WITHHELD, parts)
    if depth < _MAX_CHAIN:
        shown.__cause__ = None if error.__cause__ is None else _without_message(error.__cause__, depth + 1)
        shown.__suppress_context__ = error.__suppress_context__
        if error.__context__ is not None and not error.__suppress_context__:
            shown.__context__ = _without_message(error.__context__, depth + 1)
    return shown.with_traceback(error.__traceback__)

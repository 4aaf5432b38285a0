"""An emulator on a thread of its own, for tests that are not async: of Django and Flask applications, for instance."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, overload

from anyio.from_thread import BlockingPortal, start_blocking_portal

from realtime_sip.errors import ConfigurationError
from realtime_sip.testing.openai.emulator import OpenAIEmulator

__all__ = ["EmulatorOnThread"]

P = ParamSpec("P")
T = TypeVar("T")

_LONGEST = 600.0


class EmulatorOnThread:
    """Runs an emulator on an event loop in another thread, while this one is free to block.

    Use it as a context manager. `emulator` runs there; everything that acts on it, or waits, goes through `run`. Read
    directly what was recorded.

    >>> with EmulatorOnThread(OpenAIEmulator(speed=100)) as openai:
    ...     ringing = openai.run(openai.emulator.ring, "http://127.0.0.1:9/nobody-listens-here")
    ...     openai.run(ringing.hang_up)
    ...     str(openai.run(ringing.ended).by)
    'caller'
    """

    def __init__(self, emulator: OpenAIEmulator | None = None) -> None:
        self.emulator = emulator or OpenAIEmulator()
        self._portal: BlockingPortal | None = None
        self._stack = ExitStack()

    @overload
    def run(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T: ...

    @overload
    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call `function` on the emulator's thread, await it if it is async, and return its result.

        Raises:
            ConfigurationError: The emulator is not running.
            TimeoutError: It took longer than 10 minutes.
        """
        if self._portal is None:
            raise ConfigurationError("the emulator must be entered first: with EmulatorOnThread() as openai")
        future = self._portal.start_task_soon(partial(function, *args, **kwargs))
        try:
            return future.result(_LONGEST)
        finally:
            future.cancel()

    def __enter__(self) -> Self:
        """Start the thread and the emulator."""
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal("asyncio"))
            stack.enter_context(portal.wrap_async_context_manager(self.emulator))
            self._stack = stack.pop_all()
        self._portal = portal
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End all calls, and the thread.

        Raises:
            ScenarioError: A strict call did not go as its scenario says, and nothing else failed.
        """
        self._portal = None
        self._stack.__exit__(kind, error, traceback)

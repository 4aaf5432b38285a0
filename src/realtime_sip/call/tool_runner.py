"""Runs the tools of one call beside its events: arguments checked, time bounded, mistakes reported to the model."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from realtime_sip._redaction import redact
from realtime_sip._threads import NoThreadError, Threads
from realtime_sip.call.machine.effects import AskApproval, RunTool
from realtime_sip.call.options import ApproveMcp, Around, CheckTool, Failed, around_code, logged
from realtime_sip.call.watchdog import watched
from realtime_sip.errors import ToolArgumentsError, ToolError
from realtime_sip.tools.registry import NOT_SERIALIZABLE, Tool, ToolOutput, Tools, error_output, render_output

__all__ = ["ToolResult", "ToolRunner", "in_tool", "is_approved", "waiting_for_caller"]

_log = logging.getLogger("realtime_sip.tools")
_call_log = logging.getLogger("realtime_sip.call")

_UNKNOWN_TOOL = "There is no such tool."
_BROKEN = "The tool failed. Tell the caller that it did not work, and offer something else."
_TOO_LONG = "The tool took too long. Tell the caller that it did not work, and offer to try again."
_CONFIRM = (
    "Not done yet: the caller has to agree first. Tell them exactly what you are about to do and ask for a clear yes. "
    "Call this again with the same arguments only after they have said it."
)
_BUSY = "The tool cannot be used at the moment. Tell the caller that it did not work, and offer something else."
_MOST_UNCONFIRMED = 100
_MOST_OFFERED = 20
_MOST_THREADS = 8
_THREADS = Threads("realtime-sip-tool", 256)
"""Of all calls. What hangs in one call takes `_MOST_THREADS` of them at most, and none that anything else needs."""


async def is_approved(approve_mcp: ApproveMcp | None, asked: AskApproval, failed: Failed) -> bool:
    """Return whether the program approves a call of an MCP server. Without a decision it is denied."""
    if approve_mcp is None:
        return False
    try:
        answer = approve_mcp(asked)
        return bool(await answer if inspect.isawaitable(answer) else answer)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - what cannot be decided is denied
        failed(_call_log, "approve_mcp", error)
        return False


_deadline: ContextVar[asyncio.Timeout | None] = ContextVar("realtime_sip.tool_deadline", default=None)
"""The timeout of the tool that is running; None outside of tools."""


_running: ContextVar[str] = ContextVar("realtime_sip.running_tool", default="")
"""The id of the function call that is running; "" outside of tools."""


def function_call() -> str:
    """Return the id of the function call that runs this, or ""."""
    return _running.get()


def in_tool() -> bool:
    """Whether a tool runs this."""
    return _deadline.get() is not None


@contextmanager
def waiting_for_caller() -> Iterator[None]:
    """Stop the clock of the tool that is running: the time that the caller takes is not the tool's."""
    deadline, clock = _deadline.get(), asyncio.get_running_loop().time
    due = None if deadline is None else deadline.when()
    if deadline is None or due is None:
        yield
        return
    began = clock()
    with suppress(RuntimeError):  # the tool ended, and what it started goes on
        deadline.reschedule(None)
    try:
        yield
    finally:
        with suppress(RuntimeError):
            deadline.reschedule(due + clock() - began)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of running a tool.

    Attributes:
        output: The output that the model gets.
        respond: Whether the model is asked for a response to it.
        failed: Whether the attempt failed. A refusal and a call that is still to be confirmed did not fail.
    """

    output: str = field(repr=False)
    respond: bool = True
    failed: bool = False


class ToolRunner:
    """The tools of one call.

    Args:
        tools: The registry.
        call: The value for the parameter `call` of a tool.
        check: Asked before each run.
        failed: Called with what the program's own code has raised.
    """

    def __init__(self, tools: Tools, *, call: object, check: CheckTool | None, failed: Failed = logged) -> None:
        self._tools = tools
        self._failed = failed
        # Registries of updates that the service did not answer yet, or perhaps did, in their order.
        self._offered: deque[Tools] = deque(maxlen=_MOST_OFFERED)
        self._call = call
        self._check = check
        self._around = around_code.get()
        self._threads = Threads("realtime-sip-tool", _MOST_THREADS, among=_THREADS)
        self._turns_of_caller = 0
        self._unconfirmed: dict[tuple[str, str], int] = {}

    @property
    def _call_id(self) -> str:
        return str(getattr(self._call, "call_id", "-"))

    def has(self, name: str) -> bool:
        """Whether the registry has this tool."""
        return self._get(name) is not None

    def offer(self, tools: Tools) -> None:
        """Know these tools too from now on: the service may use them before it says so."""
        self._offered.append(tools)

    def taken(self, tools: Tools) -> None:
        """Know these tools in place of all others: the service accepted them."""
        if tools in self._offered:  # else it accepted others since
            while self._offered.popleft() is not tools:
                pass
            self._tools = tools

    def refused(self, tools: Tools) -> None:
        """Forget these tools: the service refused them."""
        if tools in self._offered:
            self._offered.remove(tools)

    def _get(self, name: str) -> Tool | None:
        known = (tools.get(name) for tools in (*reversed(self._offered), self._tools))
        return next((tool for tool in known if tool is not None), None)

    def let_go(self) -> None:
        """Hold the call no longer."""
        self._call, self._failed = None, logged

    def caller_spoke(self) -> None:
        """Record that the caller had a turn, in which they can have agreed to something."""
        self._turns_of_caller += 1

    async def run(self, asked: RunTool, began: Callable[[Tool], None] = lambda _: None) -> ToolResult:
        """Run a tool; return its output for the model. `began` is called if its function is about to run.

        It raises nothing but CancelledError: whatever goes wrong goes back to the model, without internals.
        """
        clock, name = asyncio.get_running_loop().time, redact(asked.name)
        _log.info("call %s: tool %s begins", self._call_id, name)
        began_at = clock()
        result = await self._run(asked, began)
        how = "has failed" if result.failed else "has ended"
        _log.info("call %s: tool %s %s (%.1f s)", self._call_id, name, how, clock() - began_at)
        return result

    async def _run(self, asked: RunTool, began: Callable[[Tool], None]) -> ToolResult:
        tool = self._get(asked.name)
        if tool is None:
            return ToolResult(error_output(_UNKNOWN_TOOL), failed=True)
        try:
            arguments = tool.arguments(asked.arguments)
        except ToolArgumentsError as error:
            _log.warning("call %s: tool %s: %s", self._call_id, tool.name, error.reason)
            return ToolResult(error_output(error.for_model), failed=True)
        except Exception as error:  # noqa: BLE001 - a validator of the tool's own
            self._failed(_log, f"reading the arguments of the tool {tool.name}", error)
            return ToolResult(error_output(_BROKEN), failed=True)
        deadline = asyncio.timeout(tool.timeout)
        _deadline.set(deadline)
        _running.set(asked.call_id)
        checking = True
        try:
            async with deadline:
                refusal = await self._refusal(tool, asked, arguments)
                checking = False
                if refusal is not None:
                    return ToolResult(error_output(refusal))
                began(tool)
                result = await self._call_function(tool, arguments)
        except ToolError as error:
            return ToolResult(error_output(error.for_model), failed=True)
        except NoThreadError:
            _log.error("call %s: tool %s: no thread is left, since too many tools hang", self._call_id, tool.name)
            return ToolResult(error_output(_BUSY), failed=True)
        except (GeneratorExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # we are canceled, not something that the tool waited for
            if deadline.expired():
                _log.warning("call %s: tool %s: not done within %.1f s", self._call_id, tool.name, tool.timeout)
            else:
                self._failed(_log, f"check_tool of {tool.name}" if checking else f"the tool {tool.name}", error)
            late = deadline.expired() or isinstance(error, TimeoutError)
            return ToolResult(error_output(_TOO_LONG if late else _BROKEN), failed=True)
        told = result if isinstance(result, ToolOutput) else ToolOutput(result)
        output = render_output(told.output)
        if output == NOT_SERIALIZABLE:
            kind = type(result).__name__
            _log.error("call %s: tool %s returned a value that cannot be shown: %s", self._call_id, tool.name, kind)
        return ToolResult(output, told.respond)

    async def _refusal(self, tool: Tool, asked: RunTool, arguments: dict[str, Any]) -> str | None:
        if self._check is not None:
            refusal = self._check(tool.name, arguments)
            if inspect.isawaitable(refusal):
                refusal = await refusal
            if refusal is not None:
                _log.warning("call %s: tool %s was refused by the check", self._call_id, tool.name)
                return refusal
        if tool.confirm and not self._confirmed(asked):
            return _CONFIRM
        return None

    def _confirmed(self, asked: RunTool) -> bool:
        """Return whether the same call was made before, and the caller has had a turn since then."""
        try:
            key = (asked.name, json.dumps(json.loads(asked.arguments.strip() or "{}"), sort_keys=True))
        except ValueError:
            return False
        asked_in_turn = self._unconfirmed.pop(key, None)
        if asked_in_turn is not None and asked_in_turn < self._turns_of_caller:
            return True
        self._unconfirmed[key] = self._turns_of_caller
        if len(self._unconfirmed) > _MOST_UNCONFIRMED:
            del self._unconfirmed[next(iter(self._unconfirmed))]
        return False

    async def _call_function(self, tool: Tool, arguments: dict[str, Any]) -> object:
        if tool.takes_call:
            arguments = {**arguments, "call": self._call}
        result: object = None
        if not tool.is_async:
            # The thread cannot be stopped: what it does after the timeout is up to the function.
            running = asyncio.get_running_loop().run_in_executor
            result = await running(self._threads, _run_in_thread, self._around, tool.function, arguments)
            if not inspect.isawaitable(result):
                return result
        with self._around():
            if tool.is_async:
                result = tool.function(**arguments)
            if inspect.iscoroutine(result):
                return await watched(result, partial(self._held, tool.name))
            return await result if inspect.isawaitable(result) else result

    def _held(self, name: str, seconds: float) -> None:
        advice = "no call went on meanwhile: await what takes long, or make the tool a plain function"
        _log.warning("call %s: tool %s held the event loop for %.1f s, and %s", self._call_id, name, seconds, advice)


def _run_in_thread(around: Around, function: Callable[..., object], arguments: dict[str, Any]) -> object:
    try:
        with around():
            return function(**arguments)
    except (StopIteration, KeyboardInterrupt) as error:
        # No future takes the one, so that nobody would learn that the function has ended; the other ends the event
        # loop, though nobody has pressed a key: signals go to the main thread.
        raise RuntimeError(f"the tool raised {type(error).__name__}").with_traceback(error.__traceback__) from None

"""Running tools: whatever a function does, the model gets a short answer, and the caller is not left waiting."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator

from realtime_sip._threads import NoThreadError, Threads
from realtime_sip.call.machine.effects import RunTool
from realtime_sip.call.options import CheckTool
from realtime_sip.call.tool_runner import ToolResult, ToolRunner
from realtime_sip.tools.registry import MAX_OUTPUT, NOT_SERIALIZABLE, ToolOutput, Tools

SECRET = "the secret 4711"


class Ran:
    """A registry, a runner of it, and what the functions noted."""

    def __init__(self, *, check: CheckTool | None = None) -> None:
        self.tools = Tools()
        self.call = object()
        self.runner = ToolRunner(self.tools, call=self.call, check=check)
        self.runs: list[Any] = []

    async def run(self, name: str, arguments: str = "{}") -> str:
        """Run a tool that wants a response, and return its output."""
        result = await self.runner.run(RunTool("call_1", name, arguments))
        assert result.respond
        return result.output

    async def fails(self, name: str, arguments: str = "{}") -> str:
        """Run a tool, and return the error that the model is told."""
        output = json.loads(await self.run(name, arguments))
        assert list(output) == ["error"]
        error = output["error"]
        assert isinstance(error, str)
        assert SECRET not in error
        assert len(error) <= 500
        return error


@pytest.fixture
def ran() -> Ran:
    return Ran()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What is logged unless debugging is asked for; it never holds what the function or the model wrote."""
    with caplog.at_level(logging.INFO):
        yield caplog
    assert SECRET not in caplog.text


@contextmanager
def endless() -> Iterator[Callable[[], None]]:
    """Return what blocks its thread until the end of the test."""
    over = threading.Event()

    def block() -> None:
        over.wait()

    try:
        yield block
    finally:
        over.set()


# --- what functions give ----------------------------------------------------------------------------------------------


async def test_a_coroutine_function_runs_on_the_loop(ran: Ran) -> None:
    @ran.tools.function
    async def add(a: int, b: int = 2) -> int:
        ran.runs.append(threading.current_thread())
        return a + b

    assert await ran.run("add", '{"a": 3}') == "5"
    assert ran.runs == [threading.current_thread()]


async def test_a_plain_function_runs_in_a_thread(ran: Ran) -> None:
    @ran.tools.function
    def add(a: int) -> dict[str, int]:
        ran.runs.append(threading.current_thread())
        return {"sum": a}

    assert await ran.run("add", '{"a": 3}') == '{"sum":3}'
    assert ran.runs[0] is not threading.current_thread()


async def test_a_coroutine_function_that_a_decorator_hides_is_awaited(ran: Ran) -> None:
    def logged(function: Callable[..., Awaitable[str]]) -> Callable[..., Awaitable[str]]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Awaitable[str]:
            return function(*args, **kwargs)

        return wrapper

    @ran.tools.function
    @logged
    async def greet() -> str:
        return "hello"

    assert await ran.run("greet") == "hello"


async def test_the_call_is_passed_to_a_function_that_wants_it(ran: Ran) -> None:
    @ran.tools.function
    async def look(call: object, n: int) -> str:
        ran.runs.append((call, n))
        return "seen"

    await ran.run("look", '{"n": 1}')
    assert ran.runs == [(ran.call, 1)]


async def test_a_function_may_want_no_response(ran: Ran) -> None:
    @ran.tools.function
    async def note() -> ToolOutput:
        return ToolOutput({"noted": True}, respond=False)

    assert await ran.runner.run(RunTool("call_1", "note", "{}")) == ToolResult('{"noted":true}', respond=False)


async def test_law_outputs_are_bounded(ran: Ran) -> None:
    @ran.tools.function
    async def much() -> list[str]:
        return ["x" * 1000] * 1000

    assert len(await ran.run("much")) <= MAX_OUTPUT


async def test_a_result_that_cannot_be_shown_is_told_to_the_model_and_logged(
    ran: Ran, log: pytest.LogCaptureFixture
) -> None:
    class Session:
        def __repr__(self) -> str:
            return SECRET

    @ran.tools.function
    async def strange() -> Any:
        return Session()

    assert await ran.run("strange") == NOT_SERIALIZABLE
    assert "Session" in log.text


# --- what goes wrong --------------------------------------------------------------------------------------------------


async def test_a_tool_that_is_not_there_is_an_answer(ran: Ran) -> None:
    assert not ran.runner.has("missing")
    assert "no such tool" in await ran.fails("missing")


@pytest.mark.parametrize("arguments", ['{"n": "the secret 4711"}', "{", '{"m": 1}', "[]", "", "x" * 40_000])
async def test_law_invalid_arguments_go_back_to_the_model_and_nothing_runs(
    ran: Ran, log: pytest.LogCaptureFixture, arguments: str
) -> None:
    @ran.tools.function
    async def take(n: int) -> None:
        ran.runs.append(n)

    assert await ran.fails("take", arguments)
    assert ran.runs == []
    assert "take" in log.text


async def test_a_validator_that_breaks_is_an_answer(ran: Ran, log: pytest.LogCaptureFixture) -> None:
    def broken(_: str) -> str:
        raise RuntimeError(SECRET)

    @ran.tools.function
    async def take(s: Annotated[str, AfterValidator(broken)]) -> None:
        ran.runs.append(s)

    await ran.fails("take", '{"s": "x"}')
    assert ran.runs == []
    assert "RuntimeError" in log.text


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    "raising",
    [
        lambda: _raise(ValueError(SECRET)),
        lambda: _raise(ExceptionGroup(SECRET, [ValueError(SECRET)])),
        lambda: next(iter([])),
        lambda: sys.exit(SECRET),
        lambda: _raise(asyncio.CancelledError(SECRET)),
    ],
    ids=["error", "group", "stop_iteration", "exit", "cancelled"],
)
@pytest.mark.parametrize("threaded", [False, True], ids=["async", "thread"])
async def test_law_the_errors_of_tools_go_back_to_the_model_without_internals(
    ran: Ran, log: pytest.LogCaptureFixture, raising: Callable[[], None], threaded: bool
) -> None:
    async def broken() -> None:
        raising()

    ran.tools.function(raising if threaded else broken, name="broken")
    assert "failed" in await ran.fails("broken")
    assert "tool broken failed" in log.text


@pytest.mark.parametrize("raising", [lambda: _raise(ValueError(SECRET)), lambda: next(iter([]))])
async def test_where_a_function_failed_is_logged(
    ran: Ran, log: pytest.LogCaptureFixture, raising: Callable[[], None]
) -> None:
    ran.tools.function(raising, name="broken")
    await ran.fails("broken")
    assert "test_tool_runner.py:" in log.text


async def test_law_a_tool_has_a_timeout(ran: Ran, log: pytest.LogCaptureFixture) -> None:
    @ran.tools.function(timeout=0.01)
    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ran.runs.append("cancelled")

    assert "too long" in await ran.fails("wait")
    assert ran.runs == ["cancelled"]
    assert "not done within" in log.text


async def test_law_a_tool_has_a_timeout__a_thread_that_goes_on_is_not_waited_for(ran: Ran) -> None:
    with endless() as block:
        ran.tools.function(block, name="wait", timeout=0.01)
        assert "too long" in await ran.fails("wait")


async def test_law_what_hangs_takes_no_thread_that_anything_else_needs(log: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(2))
    with endless() as block:
        for _ in range(5):
            ran = Ran()
            ran.tools.function(block, name="wait", timeout=0.01)
            assert "too long" in await ran.fails("wait")
        async with asyncio.timeout(5):
            assert await loop.getaddrinfo("localhost", 80)
    assert "no thread" not in log.text


async def test_law_a_full_pool_is_an_error_of_the_tool_and_not_of_another_call(log: pytest.LogCaptureFixture) -> None:
    hanging, other = Ran(), Ran()
    with endless() as block:
        for runner in (hanging, other):
            runner.tools.function(block, name="wait", timeout=0.01)
        for _ in range(8):
            assert "too long" in await hanging.fails("wait")
        assert "cannot be used" in await hanging.fails("wait")
        assert "no thread is left" in log.text
        assert "too long" in await other.fails("wait")
    for _ in range(200):
        if "ok" in await hanging.run("wait"):
            break
        await asyncio.sleep(0.01)
    else:
        pytest.fail("a thread that has ended is free again")


async def test_what_hangs_in_all_calls_is_bounded_and_no_thread_is_lost() -> None:
    most = 3
    everybodys = Threads("all", most)
    for _ in range(2):
        over = threading.Event()
        futures = [Threads("one", 2, among=everybodys).submit(over.wait) for _ in range(most)]
        with pytest.raises(NoThreadError):
            Threads("one", 2, among=everybodys).submit(over.wait)
        over.set()
        assert [future.result(5) for future in futures] == [True] * most


def test_a_system_without_threads_loses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = Threads("one", 1)

    def fail(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        for _ in range(3):
            with pytest.raises(NoThreadError):
                threads.submit(int)
    assert threads.submit(int).result(5) == 0


async def test_a_thread_has_the_context_of_the_call(ran: Ran) -> None:
    tenant: ContextVar[str] = ContextVar("tenant")
    tenant.set("bakery")
    ran.tools.function(lambda: tenant.get(), name="tell")
    assert await ran.run("tell") == "bakery"


async def test_a_timeout_of_the_tools_own_is_not_taken_for_ours(ran: Ran, log: pytest.LogCaptureFixture) -> None:
    @ran.tools.function
    async def ask() -> None:
        raise TimeoutError(SECRET)

    assert "too long" in await ran.fails("ask")
    assert "failed: TimeoutError" in log.text


async def test_law_a_tool_that_outlives_the_call_is_canceled(ran: Ran) -> None:
    started = asyncio.Event()

    @ran.tools.function
    async def wait() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ran.runs.append("cancelled")

    running = asyncio.create_task(ran.run("wait"))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ran.runs == ["cancelled"]


# --- the check --------------------------------------------------------------------------------------------------------


def _sync(answer: str | None) -> CheckTool:
    return lambda _name, _arguments: answer


def _async(answer: str | None) -> CheckTool:
    async def check(_name: str, _arguments: dict[str, Any]) -> str | None:
        await asyncio.sleep(0)
        return answer

    return check


@pytest.mark.parametrize("check", [_sync, _async])
async def test_a_check_may_refuse_a_tool(check: Callable[[str | None], CheckTool]) -> None:
    refused, allowed = Ran(check=check("Not on Sundays.")), Ran(check=check(None))
    for ran in (refused, allowed):

        @ran.tools.function
        async def buy(ran: str = "x") -> str:
            return "bought"

    assert await refused.fails("buy") == "Not on Sundays."
    assert await allowed.run("buy") == "bought"


async def test_a_check_gets_the_name_and_the_checked_arguments() -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def check(name: str, arguments: dict[str, Any]) -> None:
        asked.append((name, arguments))

    ran = Ran(check=check)

    @ran.tools.function
    async def take(n: int, m: int = 2, call: object = None) -> None: ...

    await ran.run("take", '{"n": "7"}')
    assert asked == [("take", {"n": 7, "m": 2})]


@pytest.mark.parametrize("how", ["raises", "async", "hangs", "nonsense"])
async def test_a_check_that_fails_refuses(how: str, log: pytest.LogCaptureFixture) -> None:
    async def hangs(_name: str, _arguments: dict[str, Any]) -> str | None:
        await asyncio.Event().wait()
        return None

    async def fails(_name: str, _arguments: dict[str, Any]) -> str | None:
        raise ValueError(SECRET)

    checks: dict[str, Any] = {
        "raises": lambda _name, _arguments: _raise(ValueError(SECRET)),
        "async": fails,
        "hangs": hangs,
        "nonsense": lambda _name, _arguments: False,
    }
    ran = Ran(check=checks[how])

    @ran.tools.function(timeout=0.01 if how == "hangs" else 10)
    async def buy() -> None:
        ran.runs.append("bought")

    await ran.fails("buy")
    assert ran.runs == []
    assert "buy" in log.text


# --- confirmation -----------------------------------------------------------------------------------------------------


@pytest.fixture
def confirming(ran: Ran) -> Ran:
    @ran.tools.function(confirm=True)
    async def cancel_order(order: int = 0) -> str:
        ran.runs.append(order)
        return "cancelled"

    return ran


async def test_law_a_tool_that_needs_a_yes_runs_when_the_caller_had_a_turn_and_it_is_called_again(
    confirming: Ran,
) -> None:
    confirming.runner.caller_spoke()
    assert "agree" in await confirming.fails("cancel_order", '{"order": 1}')
    confirming.runner.caller_spoke()
    assert confirming.runs == []
    assert await confirming.run("cancel_order", ' {"order":1}') == "cancelled"
    assert confirming.runs == [1]


async def test_calling_again_without_the_caller_having_spoken_confirms_nothing(confirming: Ran) -> None:
    for _ in range(5):
        await confirming.fails("cancel_order", '{"order": 1}')
    assert confirming.runs == []


async def test_a_yes_is_for_these_arguments_and_for_once(confirming: Ran) -> None:
    await confirming.fails("cancel_order", '{"order": 1}')
    confirming.runner.caller_spoke()
    await confirming.fails("cancel_order", '{"order": 2}')
    await confirming.run("cancel_order", '{"order": 1}')
    confirming.runner.caller_spoke()
    await confirming.fails("cancel_order", '{"order": 1}')
    assert confirming.runs == [1]


@pytest.mark.parametrize("arguments", ["", "{}", " \n"])
async def test_a_call_without_arguments_can_be_confirmed(confirming: Ran, arguments: str) -> None:
    await confirming.fails("cancel_order", arguments)
    confirming.runner.caller_spoke()
    assert await confirming.run("cancel_order", arguments) == "cancelled"


async def test_what_waits_for_a_yes_is_bounded(confirming: Ran) -> None:
    for order in range(150):
        await confirming.fails("cancel_order", json.dumps({"order": order}))
    confirming.runner.caller_spoke()
    await confirming.fails("cancel_order", '{"order": 0}')
    await confirming.run("cancel_order", '{"order": 149}')
    assert confirming.runs == [149]


async def test_a_check_that_refuses_comes_before_the_question() -> None:
    ran = Ran(check=_sync("Never."))

    @ran.tools.function(confirm=True)
    async def cancel_order() -> None:
        ran.runs.append("cancelled")

    for _ in range(3):
        assert await ran.fails("cancel_order") == "Never."
        ran.runner.caller_spoke()
    assert ran.runs == []


# --- how it went ------------------------------------------------------------------------------------------------------


async def test_a_result_says_whether_the_attempt_has_failed(ran: Ran) -> None:
    @ran.tools.function
    async def add(a: int) -> int:
        return a + 1

    @ran.tools.function
    async def note() -> ToolOutput:
        return ToolOutput(respond=False)

    @ran.tools.function
    async def unlucky() -> None:
        raise ValueError(SECRET)

    @ran.tools.function(timeout=0.01)
    async def slow() -> None:
        await asyncio.Event().wait()

    failed = {
        (name, arguments): (await ran.runner.run(RunTool("call_1", name, arguments))).failed
        for name, arguments in [
            ("add", '{"a": 1}'),
            ("note", "{}"),
            ("add", '{"a": "?"}'),
            ("add", "{"),
            ("unlucky", "{}"),
            ("slow", "{}"),
            ("missing", "{}"),
        ]
    }
    assert list(failed.values()) == [False, False, True, True, True, True, True]


async def test_a_validator_or_a_check_that_breaks_is_a_failed_attempt() -> None:
    def broken(_: str) -> str:
        raise RuntimeError(SECRET)

    ran = Ran(check=lambda _name, _arguments: _raise(ValueError(SECRET)))

    @ran.tools.function
    async def take(s: Annotated[str, AfterValidator(broken)]) -> None: ...

    @ran.tools.function
    async def buy() -> None: ...

    for name, arguments in (("take", '{"s": "x"}'), ("buy", "{}")):
        assert (await ran.runner.run(RunTool("call_1", name, arguments))).failed


async def test_a_refusal_and_a_question_are_no_failed_attempts(confirming: Ran) -> None:
    refusing = Ran(check=_sync("Not on Sundays."))

    @refusing.tools.function
    async def buy() -> None: ...

    assert not (await refusing.runner.run(RunTool("call_1", "buy", "{}"))).failed
    assert not (await confirming.runner.run(RunTool("call_1", "cancel_order", "{}"))).failed
    confirming.runner.caller_spoke()
    assert await confirming.runner.run(RunTool("call_1", "cancel_order", "{}")) == ToolResult("cancelled")


def test_law_a_result_is_not_shown() -> None:
    assert SECRET not in repr(ToolResult(SECRET))


# --- another registry -------------------------------------------------------------------------------------------------


def registry(*names: str, says: str) -> Tools:
    """Return a registry of tools that all say the same."""
    tools = Tools()
    for name in names:

        async def tool() -> str:
            return says

        tools.function(tool, name=name)
    return tools


@pytest.fixture
def changing() -> Ran:
    """A runner that has `look` and `old`, which say "before"."""
    ran = Ran()
    ran.runner = ToolRunner(registry("look", "old", says="before"), call=None, check=None)
    return ran


async def test_tools_that_are_offered_run_beside_those_of_before(changing: Ran) -> None:
    changing.runner.offer(registry("look", "new", says="after"))
    assert [await changing.run(name) for name in ("look", "new", "old")] == ["after", "after", "before"]


async def test_tools_that_were_taken_are_alone(changing: Ran) -> None:
    tools = registry("look", "new", says="after")
    changing.runner.offer(tools)
    changing.runner.taken(tools)
    assert [changing.runner.has(name) for name in ("look", "new", "old")] == [True, True, False]
    assert await changing.run("look") == "after"
    await changing.fails("old")


async def test_tools_that_were_refused_are_gone(changing: Ran) -> None:
    tools = registry("look", "new", says="after")
    changing.runner.offer(tools)
    changing.runner.refused(tools)
    assert [changing.runner.has(name) for name in ("look", "new", "old")] == [True, False, True]
    assert await changing.run("look") == "before"


async def test_an_empty_registry_can_be_offered_and_taken(changing: Ran) -> None:
    tools = Tools()
    changing.runner.offer(tools)
    assert await changing.run("look") == "before"
    changing.runner.taken(tools)
    assert not changing.runner.has("look")


async def test_what_is_settled_twice_or_was_never_offered_changes_nothing(changing: Ran) -> None:
    tools = registry("new", says="after")
    changing.runner.taken(registry("look", says="never"))
    changing.runner.refused(registry("look", says="never"))
    changing.runner.offer(tools)
    changing.runner.taken(tools)
    changing.runner.taken(tools)
    changing.runner.refused(tools)
    assert await changing.run("new") == "after"


@pytest.mark.parametrize(
    ("outcomes", "says"),
    [
        ([True, True], "second"),
        ([True, False], "first"),
        ([False, True], "second"),
        ([False, False], "before"),
        ([None, True], "second"),
        ([True, None], "second"),  # nobody knows; the service may have it
    ],
)
async def test_two_offers_at_once_are_settled_each_by_itself(
    changing: Ran, outcomes: list[bool | None], says: str
) -> None:
    offers = [registry("look", says="first"), registry("look", says="second")]
    for tools in offers:
        changing.runner.offer(tools)
    assert await changing.run("look") == "second"
    for tools, taken in zip(offers, outcomes, strict=True):
        if taken is not None:
            (changing.runner.taken if taken else changing.runner.refused)(tools)
    assert await changing.run("look") == says


async def test_an_answer_that_comes_late_does_not_bring_back_what_was_replaced(changing: Ran) -> None:
    first, second = registry("look", says="first"), registry("look", says="second")
    changing.runner.offer(first)
    changing.runner.offer(second)
    changing.runner.taken(second)
    changing.runner.taken(first)
    assert await changing.run("look") == "second"


async def test_law_bounded__offers_of_which_nobody_hears_are_not_kept_for_ever(changing: Ran) -> None:
    for n in range(100):
        changing.runner.offer(registry(f"tool_{n}", says="maybe"))
    assert await changing.run("tool_99") == "maybe"
    assert not changing.runner.has("tool_0")

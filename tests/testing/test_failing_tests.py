"""A test that fails, or is interrupted, in the middle of a call is over at once, and tells its own failure."""

from __future__ import annotations

import re
from importlib.metadata import entry_points

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.servers

INSTALLED = any(plugin.value == "realtime_sip.testing.plugin" for plugin in entry_points(group="pytest11"))
PLUGIN = () if INSTALLED else ("-p", "realtime_sip.testing.plugin")
MOST = 8.0
"""Seconds from the failure of a test to its end: two are promised, and a busy machine is no failure. It was 55."""

CODE = """
import asyncio, os, signal, sys, time
import pytest
from realtime_sip import AsyncRealtimeSip, CallHost
from realtime_sip.testing import ModelSays

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it
SESSION = {"model": "gpt-realtime-2.1", "instructions": "Be brief."}
LONG = ModelSays("We are open every day of the week, and this is everything there is to tell about it. " * 3)

async def until_up(openai, client):
    async def on_call(incoming):
        async with client.calls.answer(incoming, SESSION) as call:
            call.respond("Greet the caller.")
            await call.wait_ended()

    ringings = [await openai.ring(CallHost(on_call, client=client), scenario=[LONG]) for _ in range(3)]
    for ringing in ringings:
        await ringing.until_attached()
    await asyncio.sleep(0.3)

def failing():
    print("failed at", time.time(), file=sys.__stderr__)
    raise ZeroDivisionError("the failure of the test")

def interrupted():
    print("failed at", time.time(), file=sys.__stderr__)
    os.kill(os.getpid(), signal.SIGINT)

async def closed(openai, fail):
    async with openai, AsyncRealtimeSip(**openai.client_options) as client:
        await until_up(openai, client)
        fail()
        await asyncio.sleep(60)

async def not_closed(openai, fail):
    async with openai:
        await until_up(openai, AsyncRealtimeSip(**openai.client_options))
        fail()
        await asyncio.sleep(60)

async def in_the_block(openai, fail):
    incoming = asyncio.get_running_loop().create_future()

    class Host:
        async def submit(self, event):
            incoming.set_result(event)

    async with openai, AsyncRealtimeSip(**openai.client_options) as client:
        await openai.ring(Host(), scenario=[LONG])
        async with client.calls.answer(await incoming, SESSION) as call:
            call.respond("Greet the caller.")
            await asyncio.sleep(0.3)
            fail()
            await asyncio.sleep(60)

async def in_a_handler(openai, fail):
    async with openai, AsyncRealtimeSip(**openai.client_options) as client:
        done = asyncio.get_running_loop().create_future()

        async def on_call(incoming):
            try:
                async with client.calls.answer(incoming, SESSION) as call:
                    call.respond("Greet the caller.")
                    await asyncio.sleep(0.3)
                    fail()
                    await asyncio.sleep(60)
            except Exception as error:
                done.set_exception(error)

        await openai.ring(CallHost(on_call, client=client), scenario=[LONG])
        await done
"""

CONFTEST = """
import sys, time

def pytest_runtest_logreport(report):
    if report.when == "call":
        print("over at", time.time(), file=sys.__stderr__)

def pytest_keyboard_interrupt(excinfo):
    print("over at", time.time(), file=sys.__stderr__)
"""
BODIES = ("closed", "not_closed", "in_the_block", "in_a_handler")
RUNNERS = {
    "asyncio": "def test_{n}(openai_emulator):\n    asyncio.run({body}(openai_emulator, {fail}))\n",
    "virtual": "def test_{n}(openai_emulator, virtual_time):\n    virtual_time({body}(openai_emulator, {fail}))\n",
    "plugin": "@pytest.mark.asyncio\nasync def test_{n}(openai_emulator):\n    await {body}(openai_emulator, {fail})\n",
}


def run(pytester: pytest.Pytester, fail: str, tests: list[tuple[str, str]]) -> tuple[str, list[float]]:
    """Run tests that fail, each with its body and its runner; return what was told, and how long each took to end."""
    code = [RUNNERS[runner].format(n=n, body=body, fail=fail) for n, (body, runner) in enumerate(tests)]
    pytester.makepyfile(CODE + "\n" + "\n".join(code))
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    result = pytester.runpytest_subprocess(*PLUGIN, "-p", "no:cacheprovider", "-s", timeout=100)
    told = result.stdout.str() + result.stderr.str()
    failed, over = ([float(at) for at in re.findall(rf"{what} at ([0-9.]+)", told)] for what in ("failed", "over"))
    assert len(failed) == len(over) == len(tests), told
    assert not re.search("never retrieved|Unraisable|no running event loop", told), told
    return told, [end - begin for begin, end in zip(failed, over, strict=True)]


def test_law_shutting_down_keeps_its_time__a_test_that_fails_in_a_call_is_over_in_two_seconds(
    pytester: pytest.Pytester,
) -> None:
    tests = [(body, runner) for body in BODIES for runner in RUNNERS]
    told, took = run(pytester, "failing", tests)
    assert max(took) < MOST, dict(zip(tests, took, strict=True))
    assert f"{len(tests)} failed" in told
    assert told.count("\nE       ZeroDivisionError: the failure of the test") == len(tests)


@pytest.mark.parametrize(
    ("body", "runner"), [("closed", runner) for runner in RUNNERS] + [(body, "asyncio") for body in BODIES[1:]]
)
def test_law_shutting_down_keeps_its_time__a_test_that_is_interrupted_in_a_call_is_over_in_two_seconds(
    body: str, runner: str, pytester: pytest.Pytester
) -> None:
    told, took = run(pytester, "interrupted", [(body, runner)])
    assert max(took) < MOST
    assert "KeyboardInterrupt" in told

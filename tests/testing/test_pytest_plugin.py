"""The pytest plugin, as a user's own tests see it."""

from __future__ import annotations

import subprocess
import sys
import threading
from importlib.metadata import entry_points

import pytest

from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import EndedBy, ModelSays, OpenAIEmulator, ScenarioError
from realtime_sip.testing.on_thread import EmulatorOnThread

pytest_plugins = ["pytester"]

INSTALLED = any(plugin.value == "realtime_sip.testing.plugin" for plugin in entry_points(group="pytest11"))
PLUGIN = () if INSTALLED else ("-p", "realtime_sip.testing.plugin")

ASYNC = """
from realtime_sip import AsyncRealtimeSip
from realtime_sip.testing import CallerHangsUp, EndedBy

SESSION = {"type": "realtime", "model": "gpt-realtime-2.1"}

class Host:
    def __init__(self, client):
        self.client = client

    async def submit(self, incoming):
        await self.client.calls.accept(incoming.call_id, SESSION)

async def answered(emulator):
    async with emulator as openai, AsyncRealtimeSip(**openai.client_options) as client:
        ringing = await openai.ring(Host(client), scenario=[CallerHangsUp()])
        return (await ringing.ended()).by
"""


def _run(pytester: pytest.Pytester, code: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(code)
    return pytester.runpytest_subprocess(*PLUGIN, "-p", "no:cacheprovider", "-W", "error", *options)


def test_with_pytest_asyncio(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "import asyncio\n"
        "from realtime_sip.testing import VirtualTimeLoop\n"
        "def pytest_asyncio_loop_factories(config, item):\n"
        "    if 'virtual' in item.name:\n"
        "        return {'jumping': VirtualTimeLoop}\n"
        "    return {'usual': asyncio.SelectorEventLoop}\n"
    )
    code = ASYNC + (
        "import asyncio, pytest\n"
        "from realtime_sip.testing import VirtualTimeLoop\n"
        "@pytest.mark.asyncio\n"
        "@pytest.mark.openai_emulator(speed=100)\n"
        "async def test_call(openai_emulator):\n"
        "    assert await answered(openai_emulator) is EndedBy.CALLER\n"
        "    assert not isinstance(asyncio.get_running_loop(), VirtualTimeLoop)\n"
        "@pytest.mark.asyncio\n"
        "async def test_virtual(openai_emulator):\n"
        "    assert await answered(openai_emulator) is EndedBy.CALLER\n"
        "    assert isinstance(asyncio.get_running_loop(), VirtualTimeLoop)\n"
    )
    options = ("-p", "no:anyio", "-o", "asyncio_default_fixture_loop_scope=function", "--strict-markers")
    _run(pytester, code, *options).assert_outcomes(passed=2)


def test_with_anyio_and_with_no_plugin_for_async_tests(pytester: pytest.Pytester) -> None:
    code = ASYNC + (
        "import pytest, threading\n"
        "from realtime_sip import RealtimeSip\n"
        "from realtime_sip.testing import VirtualTimeLoop\n"
        "@pytest.fixture\n"
        "def anyio_backend():\n"
        "    return 'asyncio', {'loop_factory': VirtualTimeLoop}\n"
        "@pytest.mark.anyio\n"
        "async def test_anyio(openai_emulator):\n"
        "    assert await answered(openai_emulator) is EndedBy.CALLER\n"
        "def test_virtual(openai_emulator, virtual_time):\n"
        "    assert virtual_time(answered(openai_emulator)) is EndedBy.CALLER\n"
        "def test_thread(openai_on_thread):\n"
        "    openai = openai_on_thread\n"
        "    ringing = openai.run(openai.emulator.ring, 'http://127.0.0.1:9/')\n"
        "    with RealtimeSip() as client:\n"
        "        client.calls.reject(ringing.call_id, status_code=486)\n"
        "    end = openai.run(ringing.ended)\n"
        "    assert (end.by, end.status_code) == (EndedBy.REJECTED, 486)\n"
        "def test_nothing_stays():\n"
        "    assert threading.active_count() == 1\n"
    )
    _run(pytester, code, "-p", "no:asyncio").assert_outcomes(passed=4)


def test_the_emulator_on_a_thread_must_be_entered_and_hides_no_error() -> None:
    openai = EmulatorOnThread(OpenAIEmulator(speed=100))
    with pytest.raises(ConfigurationError):
        openai.run(openai.emulator.ring, "http://127.0.0.1:9/")
    with openai:
        with pytest.raises(ConfigurationError):
            openai.run(openai.emulator.ring, "no url")
        ringing = openai.run(openai.emulator.ring, "http://127.0.0.1:9/")
        openai.run(ringing.hang_up)
        assert openai.run(ringing.ended).by is EndedBy.CALLER
    with pytest.raises(ConfigurationError):
        openai.run(ringing.hang_up)


def test_the_emulator_on_a_thread_is_strict_and_does_not_cover_up_a_failure() -> None:
    def play(*, fail: bool) -> None:
        with EmulatorOnThread(OpenAIEmulator(speed=100)) as openai:
            ringing = openai.run(openai.emulator.ring, "http://127.0.0.1:9/", scenario=[ModelSays("Hello.")])
            openai.run(ringing.hang_up)
            if fail:
                raise ValueError("mine")

    before = threading.active_count()
    with pytest.raises(ScenarioError, match="not reached"):
        play(fail=False)
    with pytest.raises(ValueError, match="mine"):
        play(fail=True)
    assert threading.active_count() == before


@pytest.mark.parametrize("module", ["realtime_sip", "realtime_sip.testing"])
def test_importing_the_package_does_not_import_pytest(module: str) -> None:
    code = f"import {module}, sys; print('pytest' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "False"

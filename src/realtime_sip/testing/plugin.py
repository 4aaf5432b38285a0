"""Fixtures for pytest: an emulator for tests of every kind, and virtual time.

pytest finds them by itself if `realtime-sip` is installed.

Async tests enter the emulator themselves, on their own event loop, so that any plugin for async tests will do
(pytest-asyncio, anyio's)::

    async def test_the_caller_hangs_up(openai_emulator):
        async with openai_emulator as openai, AsyncRealtimeSip(**openai.client_options) as client:
            host = CallHost(on_call, client=client)
            ringing = await openai.ring(host, scenario=[CallerSays("Hello?"), ModelSays("Hello."), CallerHangsUp()])
            assert (await ringing.ended()).reason is EndReason.CALLER

The same without waiting for anything, however long the call, and without any plugin::

    def test_an_hour(openai_emulator, virtual_time):
        virtual_time(the_same_as_above(openai_emulator))

Tests that are not async, of Django and Flask applications for instance, get it running on another thread, and named in
the environment, where `RealtimeSip()` finds it::

    def test_the_webhook(openai_on_thread, live_server):
        ringing = openai_on_thread.run(openai_on_thread.emulator.ring, f"{live_server.url}/openai/webhook")
        assert openai_on_thread.run(ringing.ended).by is EndedBy.REJECTED

`@pytest.mark.openai_emulator(speed=50)` passes options to `OpenAIEmulator`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from realtime_sip.testing.on_thread import EmulatorOnThread
from realtime_sip.testing.openai.emulator import OpenAIEmulator
from realtime_sip.testing.virtual_time import run_virtual

__all__ = ["openai_emulator", "openai_on_thread", "pytest_configure", "virtual_time"]


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "openai_emulator(**options): options of OpenAIEmulator for the fixtures")


@pytest.fixture
def openai_emulator(request: pytest.FixtureRequest) -> OpenAIEmulator:
    """Return an emulator to enter: `async with openai_emulator as openai`."""
    marker = request.node.get_closest_marker("openai_emulator")
    return OpenAIEmulator(**({} if marker is None else marker.kwargs))


@pytest.fixture
def openai_on_thread(openai_emulator: OpenAIEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatorOnThread]:
    """Return a running emulator; OPENAI_API_KEY, OPENAI_BASE_URL and OPENAI_WEBHOOK_SECRET name it."""
    with EmulatorOnThread(openai_emulator) as openai:
        options = openai_emulator.client_options
        monkeypatch.setenv("OPENAI_API_KEY", options["api_key"])
        monkeypatch.setenv("OPENAI_BASE_URL", options["base_url"])
        monkeypatch.setenv("OPENAI_WEBHOOK_SECRET", options["webhook_secret"])
        yield openai


@pytest.fixture
def virtual_time() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Return `run_virtual`."""
    return run_virtual

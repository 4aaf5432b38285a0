"""Keys that expire: `api_key` is a function, asked before each request and each socket. Over sockets."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from phone import greet, phone, virtual
from realtime_sip import AsyncRealtimeSip, CallHost, EndReason, RealtimeSip
from realtime_sip.errors import ApiKeyError, AuthenticationError, ConfigurationError, NetworkError
from realtime_sip.testing import CallerHangsUp, ModelSays, OpenAIEmulator, RequestFails, SocketDropped


class Keys:
    """Gives keys away, and counts."""

    def __init__(self, key: object) -> None:
        self.key = key
        self.asked = 0
        self.fails: list[BaseException] = []

    def plain(self) -> Any:
        self.asked += 1
        if self.fails:
            raise self.fails.pop(0)
        return self.key

    async def awaited(self) -> Any:
        await asyncio.sleep(0)
        return self.plain()


class TokenProvider:
    """An object with an async `__call__`, which no inspection of functions recognizes."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def __call__(self) -> Any:
        return await self._keys.awaited()


KINDS: dict[str, Callable[[Keys], Any]] = {
    "plain": lambda keys: keys.plain,
    "async": lambda keys: keys.awaited,
    "a lambda": lambda keys: lambda: keys.awaited(),
    "a partial": lambda keys: functools.partial(Keys.awaited, keys),
    "an object": TokenProvider,
}


@pytest.mark.parametrize("kind", KINDS)
def test_law_the_key_is_asked_for_before_each_request_and_each_attach(kind: str) -> None:
    @virtual
    async def run() -> None:
        async with phone() as here:
            keys = Keys(here.openai.api_key)
            options: Any = {**here.openai.client_options, "api_key": KINDS[kind](keys)}
            async with AsyncRealtimeSip(**options) as client:
                here.client, here.host = client, CallHost(here.on_call, client=client)
                drop = SocketDropped(after_frames=6)
                ended, ringing = await here.played(
                    ModelSays("Hello."), CallerHangsUp(after=5.0), talk=greet, faults=[drop]
                )
        assert ended.reason is EndReason.CALLER
        assert [request.status for request in ringing.requests].count(101) == 2
        assert keys.asked == len(ringing.requests)

    run()


@pytest.mark.parametrize("kind", KINDS)
def test_law_the_failure_of_the_key_is_named__nothing_is_sent(kind: str) -> None:
    @virtual
    async def run() -> None:
        async with phone() as here:
            keys = Keys(here.openai.api_key)
            keys.fails = [RuntimeError("the tenant's secret"), StopIteration(), TimeoutError()]
            options: Any = {**here.openai.client_options, "api_key": KINDS[kind](keys)}
            async with AsyncRealtimeSip(**options) as client:
                for name in ("RuntimeError", "StopIteration", "TimeoutError"):
                    with pytest.raises(ApiKeyError) as caught:
                        await client.calls.hangup("rtc_1")
                    # Python turns StopIteration into RuntimeError if a coroutine raises it.
                    assert name in str(caught.value) or kind != "plain"
                    assert "secret" not in str(caught.value)
                    assert caught.value.__cause__ is not None
                    assert caught.value.sent is False
                    assert isinstance(caught.value, ConfigurationError)
                    assert isinstance(caught.value, NetworkError)
            assert here.openai.requests == []

    run()


@virtual
async def test_law_the_failure_of_the_key_is_named__a_call_attaches_when_there_is_one_again() -> None:
    async with phone(strict=False) as here:
        keys = Keys(here.openai.api_key)
        options: Any = {**here.openai.client_options, "api_key": keys.awaited}
        async with AsyncRealtimeSip(**options) as client:
            here.client, here.host = client, CallHost(here.on_call, client=client)

            async def talk(call: Any) -> None:
                keys.fails = [RuntimeError(), RuntimeError()]
                await greet(call)

            drop = SocketDropped(after_frames=6)
            ended, _ = await here.played(ModelSays("Hello."), CallerHangsUp(after=9.0), talk=talk, faults=[drop])
    assert ended.reason is EndReason.CALLER
    assert keys.fails == []


@virtual
async def test_law_the_failure_of_the_key_is_named__in_the_evidence_of_the_end() -> None:
    async with phone(strict=False) as here:
        keys = Keys(here.openai.api_key)
        options: Any = {**here.openai.client_options, "api_key": keys.awaited}
        async with AsyncRealtimeSip(**options) as client:
            here.client, here.host = client, CallHost(here.on_call, client=client)
            ringing = await here.ring(ModelSays("Hello."), faults=[RequestFails("attach")])
            await ringing.until_accepted()
            keys.fails = [RuntimeError() for _ in range(10)]
            ended = await here.host.ended(ringing.call_id)
    assert ended.reason is EndReason.CONNECTION_LOST
    assert "api_key raised RuntimeError" in ended.evidence


@pytest.mark.parametrize("key", [None, "", 7, b"sk-test", "sk test", '"sk-test"', "whsec_abc"])
@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_what_is_no_key_is_not_sent(kind: str, key: object) -> None:
    async with OpenAIEmulator(strict=False) as openai:
        given: Any = KINDS[kind](Keys(key))
        async with AsyncRealtimeSip(given, base_url=openai.base_url) as client:
            with pytest.raises(ConfigurationError, match="api_key"):
                await client.calls.hangup("rtc_1")
            with pytest.raises(ConfigurationError, match="api_key"):
                await client.calls.connect("rtc_1").__aenter__()
        assert openai.requests == []


async def test_a_function_that_hangs_is_not_waited_for_longer_than_the_timeout() -> None:
    never = asyncio.Event()
    over = threading.Event()

    async def hangs() -> str:
        await never.wait()
        return "sk-late"

    def blocks() -> str:
        over.wait(30)
        return "sk-late"

    for function in (hangs, blocks):
        async with AsyncRealtimeSip(function, base_url="http://127.0.0.1:9/v1", timeout=0.05) as client:
            with pytest.raises(ApiKeyError, match="in time"):
                await client.calls.hangup("rtc_1")
    with (
        RealtimeSip(blocks, base_url="http://127.0.0.1:9/v1", timeout=0.05) as blocking,
        pytest.raises(ApiKeyError, match="in time"),
    ):
        blocking.calls.hangup("rtc_1")
    over.set()


async def test_a_function_that_blocks_does_not_hold_the_loop() -> None:
    asked, over = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def blocks() -> str:
        loop.call_soon_threadsafe(asked.set)
        assert over.wait(30)
        return "sk-wrong"

    async with OpenAIEmulator(strict=False) as openai, AsyncRealtimeSip(blocks, base_url=openai.base_url) as client:
        hanging_up = asyncio.create_task(client.calls.hangup("rtc_1"))
        await asked.wait()  # the loop runs on meanwhile
        over.set()
        with pytest.raises(AuthenticationError):
            await hanging_up


def test_the_blocking_client_asks_too_and_takes_no_async_function() -> None:
    async def awaited() -> str:
        return "sk-test"

    keys = Keys("sk-first")
    with pytest.raises(ConfigurationError, match="async"):
        RealtimeSip(awaited)
    with RealtimeSip(lambda: awaited(), base_url="http://127.0.0.1:9/v1") as client:
        with pytest.raises(ConfigurationError, match="plain function"):
            client.calls.hangup("rtc_1")
        with pytest.raises(ConfigurationError, match="async"):
            client.with_options(api_key=awaited)
        keys.fails = [OSError()]
        with pytest.raises(ApiKeyError, match="OSError"):
            client.with_options(api_key=keys.plain).calls.hangup("rtc_1")
        keys.fails = [OSError()]
        with (
            pytest.raises(ApiKeyError, match="OSError"),
            client.with_options(api_key=keys.plain).calls.connect("rtc_1"),
        ):
            pass


def test_azure_takes_a_key_in_its_header_and_a_token_as_everybody_does() -> None:
    with RealtimeSip.azure("contoso", region="eastus2", api_key=lambda: "eyJ0eXAi.e30.x") as client:
        assert client.settings.headers() == {}
        assert client.settings.headers("eyJ0eXAi.e30.x") == {"Authorization": "Bearer eyJ0eXAi.e30.x"}
        assert client.settings.headers("0123456789abcdef") == {"api-key": "0123456789abcdef"}

"""Both halves of the client obey the same settings: certificates, proxies and headers, for REST and the WebSocket."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest

import emulated
from fronts import Authority, Front
from realtime_sip import AsyncRealtimeSip, CallEnded, CallHost, EndReason, IncomingCall, RealtimeSip
from realtime_sip.errors import ConfigurationError, NetworkError, ProxyError
from realtime_sip.testing import CallerHangsUp, ModelSays, OpenAIEmulator, RingingCall

SCENARIO = (ModelSays("Hello."), CallerHangsUp())
SESSION: Any = {"model": "gpt-realtime-2.1"}
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxy_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


async def called(openai: OpenAIEmulator, client: AsyncRealtimeSip) -> tuple[CallEnded, RingingCall]:
    """Let a call come in that is greeted, and return how it ended."""

    async def on_call(incoming: IncomingCall) -> None:
        async with client.calls.answer(incoming, SESSION) as call:
            await call.respond("Greet the caller.")
            await call.wait_ended()

    host = CallHost(on_call, client=client)
    ringing = await openai.ring(host, scenario=SCENARIO)
    await ringing.until_requested("accept")
    return await host.ended(ringing.call_id), ringing


def service(openai: OpenAIEmulator) -> Any:
    return {**openai.client_options, "timeout": 2.0}


# --- certificates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [None, httpx, httpx2])
async def test_law_both_halves_obey_the_same_settings__certificates(authority: Authority, given: Any) -> None:
    trusted = authority.trusting()
    async with (
        OpenAIEmulator(speed=emulated.SPEED) as openai,
        Front(openai.base_url).running(ssl=authority.serving) as front,
    ):
        options = {**service(openai), "base_url": f"https://127.0.0.1:{front.port}/v1", "ssl": trusted}
        http = None if given is None else given.AsyncClient(verify=trusted)
        async with AsyncRealtimeSip(**options, http_client=http) as client:
            ended, _ = await called(openai, client)
        if http is not None:
            await http.aclose()
    assert ended.reason is EndReason.CALLER
    assert {"accept", "realtime"} <= {*front.seen}


async def test_law_both_halves_obey_the_same_settings__certificates_of_the_environment(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
    async with (
        OpenAIEmulator(speed=emulated.SPEED) as openai,
        Front(openai.base_url).running(ssl=authority.serving) as front,
    ):
        options = {**service(openai), "base_url": f"https://127.0.0.1:{front.port}/v1"}
        async with AsyncRealtimeSip(**options) as client:
            ended, _ = await called(openai, client)
    assert ended.reason is EndReason.CALLER


async def test_law_a_certificate_that_is_not_trusted_is_fatal_at_once(authority: Authority) -> None:
    async with OpenAIEmulator(strict=False) as openai, Front(openai.base_url).running(ssl=authority.serving) as front:
        options = {**service(openai), "base_url": f"https://127.0.0.1:{front.port}/v1"}
        async with AsyncRealtimeSip(**options) as client:
            for use in (client.calls.hangup("rtc_1"), client.calls.connect("rtc_1").__aenter__()):
                with pytest.raises(ConfigurationError, match=r"certificate does not verify.*pass ssl=") as caught:
                    await use
                assert not isinstance(caught.value, NetworkError)
                assert caught.value.__cause__ is not None

        def blocking() -> None:
            with RealtimeSip(**options) as other:
                with pytest.raises(ConfigurationError, match="certificate does not verify"):
                    other.calls.hangup("rtc_1")
                with (
                    pytest.raises(ConfigurationError, match="certificate does not verify"),
                    other.calls.connect("rtc_1"),
                ):
                    pass

        await asyncio.to_thread(blocking)
    assert front.heads == []


async def test_law_a_certificate_that_is_not_trusted_is_fatal_at_once__and_named_in_the_evidence(
    authority: Authority,
) -> None:
    async with (
        OpenAIEmulator(speed=emulated.SPEED, strict=False) as openai,
        Front(openai.base_url).running(ssl=authority.serving) as front,
        httpx.AsyncClient(verify=authority.trusting()) as http,
    ):
        options = {**service(openai), "base_url": f"https://127.0.0.1:{front.port}/v1", "http_client": http}
        async with AsyncRealtimeSip(**options) as client:
            ended, ringing = await called(openai, client)
    assert ended.reason is EndReason.CONNECTION_LOST
    assert "the certificate does not verify" in ended.evidence
    assert ringing.tally.hangups == 1


# --- headers ----------------------------------------------------------------------------------------------------------

GATEWAY = {"x-gateway-key": "vk-1", "X-Team": "phones"}


@pytest.mark.parametrize("how", ["headers", "http_client", "both"])
async def test_law_both_halves_obey_the_same_settings__headers(how: str) -> None:
    async with OpenAIEmulator(speed=emulated.SPEED) as openai, Front(openai.base_url).running() as front:
        options = {**service(openai), "base_url": f"http://127.0.0.1:{front.port}/v1"}
        http = httpx.AsyncClient(headers=GATEWAY)
        options |= {} if how == "http_client" else {"headers": GATEWAY}
        options |= {} if how == "headers" else {"http_client": http}
        async with http, AsyncRealtimeSip(**options) as client:
            ended, _ = await called(openai, client)
    assert ended.reason is EndReason.CALLER
    assert {"accept", "realtime"} <= {*front.seen}
    for _, _, headers in front.heads:
        assert (headers["x-gateway-key"], headers["x-team"]) == ("vk-1", "phones")
        assert headers["authorization"].startswith("Bearer ")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer x"},
        {"OpenAI-Beta": "realtime=v1"},
        {"Content-Type": "text/plain"},
        {"Sec-WebSocket-Key": "x"},
        {"Host": "x"},
        {"x-a": "1", "X-A": "2"},
        {"x a": "1"},
        {"x-a": "1\r\nx-b: 2"},
        {"x-a": 1},
        {"x-a": " 1"},
        {7: "1"},
        [("x-a", "1")],
    ],
)
def test_headers_that_cannot_be_sent_are_refused(headers: Any) -> None:
    with pytest.raises(ConfigurationError, match="headers"):
        RealtimeSip("sk-test", headers=headers)


def test_law_secrets_are_not_in_repr__of_headers_and_proxies() -> None:
    with RealtimeSip("sk-test", headers={"x-key": "hush"}, proxy="http://user:hush@proxy.example:3128") as client:
        assert "hush" not in repr(client) + repr(client.settings)


# --- proxies ----------------------------------------------------------------------------------------------------------

Setting = Callable[[pytest.MonkeyPatch, str], dict[str, Any]]


def by_argument(_: pytest.MonkeyPatch, url: str) -> dict[str, Any]:
    return {"proxy": url}


def by_environment(name: str) -> Setting:
    def setting(monkeypatch: pytest.MonkeyPatch, url: str) -> dict[str, Any]:
        monkeypatch.setenv(name, url)
        return {}

    return setting


SETTINGS = {
    "proxy": by_argument,
    **{name: by_environment(name) for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY")},
}


@pytest.mark.parametrize("how", SETTINGS)
async def test_law_both_halves_obey_the_same_settings__a_proxy(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    async with OpenAIEmulator(speed=emulated.SPEED) as openai, Front(openai.base_url).running() as proxy:
        options = service(openai) | SETTINGS[how](monkeypatch, f"http://127.0.0.1:{proxy.port}")
        async with AsyncRealtimeSip(**{**options, "base_url": "http://service.test/v1"}) as client:
            ended, _ = await called(openai, client)
    assert ended.reason is EndReason.CALLER
    assert {"accept", "CONNECT"} <= {*proxy.seen}
    assert all("service.test" in target for _, target, _ in proxy.heads)


async def test_law_both_halves_obey_the_same_settings__a_proxy_by_both_faces() -> None:
    async with OpenAIEmulator(strict=False) as openai, Front(openai.base_url).running() as proxy:
        options = {**service(openai), "base_url": "http://service.test/v1", "proxy": f"http://127.0.0.1:{proxy.port}"}

        def blocking() -> None:
            with RealtimeSip(**options) as client:
                client.client_secrets.create()
                with client.connect(model="gpt-realtime-2.1"):
                    pass

        await asyncio.to_thread(blocking)
    assert proxy.seen == ["client_secrets", "CONNECT"]


async def test_law_loopback_goes_through_no_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        if "no" not in name.lower():
            monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    async with OpenAIEmulator(speed=emulated.SPEED) as openai:
        for host in ("127.0.0.1", "localhost"):
            options = {**service(openai), "base_url": openai.base_url.replace("127.0.0.1", host)}
            async with AsyncRealtimeSip(**options) as client:
                ended, _ = await called(openai, client)
            assert ended.reason is EndReason.CALLER


@pytest.mark.parametrize("no_proxy", ["service.test", ".test", "*"])
def test_the_environment_may_name_hosts_without_a_proxy(monkeypatch: pytest.MonkeyPatch, no_proxy: str) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks4://127.0.0.1:1")  # which could not be used
    with pytest.raises(ConfigurationError, match="scheme"):
        RealtimeSip("sk-test", base_url="http://service.test/v1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    RealtimeSip("sk-test", base_url="http://service.test/v1").close()


@pytest.mark.parametrize(
    "url",
    [
        "socks4://proxy.example:1080",
        "ftp://proxy.example:21",
        "http://",
        "http://proxy.example:99999",
        "http://proxy.example:3128/path",
        "http://hush@proxy.example:3128",
        "http://[::1",
        "http://pröxy.example:3128",
        "http://two words:3128",
    ],
)
@pytest.mark.parametrize("how", SETTINGS)
def test_a_proxy_that_cannot_be_used_is_refused_at_start(monkeypatch: pytest.MonkeyPatch, how: str, url: str) -> None:
    options = SETTINGS[how](monkeypatch, url)
    for kind in (RealtimeSip, AsyncRealtimeSip):
        with pytest.raises(ConfigurationError, match="proxy") as caught:
            kind("sk-test", base_url="http://service.test/v1", **options)
        assert "hush" not in str(caught.value)


@pytest.mark.parametrize("url", ["", 7, True, b"http://proxy.example"])
def test_what_is_no_proxy_is_refused(url: Any) -> None:
    with pytest.raises(ConfigurationError, match="proxy"):
        RealtimeSip("sk-test", proxy=url)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@pytest.mark.parametrize("missing", ["socksio", "python_socks"])
def test_a_socks_proxy_without_its_package_is_refused_at_start(
    monkeypatch: pytest.MonkeyPatch, missing: str, scheme: str
) -> None:
    monkeypatch.setattr("realtime_sip.api.proxies.find_spec", lambda name: None if name == missing else object())
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:1080")
    with pytest.raises(ConfigurationError, match=f"pip install {missing.replace('_', '-')}"):
        RealtimeSip("sk-test")
    RealtimeSip("sk-test", proxy=False).close()
    with httpx.Client(trust_env=False) as http:
        RealtimeSip("sk-test", http_client=http)


@pytest.mark.parametrize("status", [403, 407])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_law_a_proxy_that_refuses_is_said_before_a_call_is_accepted(scheme: str, status: int) -> None:
    async with OpenAIEmulator(strict=False) as openai, Front(openai.base_url, refuse=status).running() as proxy:
        url = f"{scheme}://service.test/v1"
        options = {**service(openai), "base_url": url, "proxy": f"http://127.0.0.1:{proxy.port}"}
        async with AsyncRealtimeSip(**options) as client:
            if scheme == "https" or status == 407:  # else it could be the service that refuses
                with pytest.raises(ConfigurationError, match="proxy") as caught:
                    await client.calls.accept("rtc_1", SESSION)
                assert not isinstance(caught.value, NetworkError)
            with pytest.raises(ConfigurationError, match="proxy"):
                await client.calls.connect("rtc_1").__aenter__()

        def blocking() -> None:
            with (
                RealtimeSip(**options) as other,
                pytest.raises(ConfigurationError, match="proxy"),
                other.calls.connect("rtc_1"),
            ):
                pass

        await asyncio.to_thread(blocking)
    assert len(proxy.heads) <= 3, "asked once each time"
    assert openai.requests == []


async def test_law_a_proxy_that_refuses_is_said_before_a_call_is_accepted__or_that_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("realtime_sip.api.operations._pause", lambda *_: None)  # the last try may be out of time
    proxy = f"http://127.0.0.1:{closed_port()}"
    options: Any = {"api_key": "sk-test", "base_url": "http://service.test/v1", "proxy": proxy, "timeout": 30.0}
    async with AsyncRealtimeSip(**options) as client:
        uses: list[Awaitable[Any]] = [client.calls.accept("rtc_1", SESSION), client.calls.connect("rtc_1").__aenter__()]
        for use in uses:
            with pytest.raises(ProxyError, match=r"the proxy cannot be reached.*refused") as caught:
                await use
            assert caught.value.sent is False
            assert isinstance(caught.value, ConfigurationError)
            assert isinstance(caught.value, NetworkError)


async def test_a_proxy_that_is_down_for_a_moment_loses_no_request() -> None:
    async with OpenAIEmulator(strict=False) as openai, Front(openai.base_url, refuse=503).running() as proxy:
        options = {**service(openai), "base_url": "http://service.test/v1"}
        async with AsyncRealtimeSip(**options, proxy=f"http://127.0.0.1:{proxy.port}") as client:
            opening = asyncio.ensure_future(client.connect(model="gpt-realtime-2.1").__aenter__())
            while not proxy.heads:  # noqa: ASYNC110 - the proxy tells nobody
                await asyncio.sleep(0.01)
            proxy.refuse = None
            await (await opening).close()


def test_what_is_trusted_must_be_a_context(tmp_path: Path) -> None:
    for wrong in (False, str(tmp_path), ssl):
        with pytest.raises(ConfigurationError, match="ssl"):
            RealtimeSip("sk-test", ssl=wrong)  # type: ignore[arg-type]

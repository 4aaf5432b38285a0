"""A network error names its cause, and has it as `__cause__`. Over real sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from emulated import virtual
from realtime_sip import AsyncRealtimeSip, RealtimeSip
from realtime_sip.errors import NetworkError
from realtime_sip.testing import OpenAIEmulator


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def raised(base_url: str, operation: str) -> list[NetworkError]:
    """Return what both faces raise."""

    def blocking() -> None:
        with RealtimeSip("sk-a", base_url=base_url, timeout=1.5) as client:
            if operation == "hangup":
                client.calls.hangup("rtc_1")
            client.calls.connect("rtc_1").__enter__()

    async def awaited() -> None:
        async with AsyncRealtimeSip("sk-a", base_url=base_url, timeout=1.5) as client:
            if operation == "hangup":
                await client.calls.hangup("rtc_1")
            await client.calls.connect("rtc_1").__aenter__()

    with pytest.raises(NetworkError) as first:
        blocking()
    with pytest.raises(NetworkError) as second:
        asyncio.run(awaited())
    return [first.value, second.value]


@pytest.mark.parametrize("operation", ["hangup", "connect"])
@pytest.mark.parametrize(
    ("base_url", "cause"),
    [
        ("http://127.0.0.1:{closed}/v1", "the connection was refused"),
        ("http://nobody.invalid/v1", "DNS, the host's name is not found"),
        ("https://127.0.0.1:{emulator}/v1", "TLS"),
    ],
)
def test_law_a_network_error_names_its_cause(base_url: str, cause: str, operation: str, tls_refused: int) -> None:
    url = base_url.format(closed=closed_port(), emulator=tls_refused)
    for error in raised(url, operation):
        assert cause in str(error)
        assert error.__cause__ is not None
        assert "127.0.0.1" not in str(error)
        assert "nobody.invalid" not in str(error)


@pytest.fixture
def tls_refused() -> Iterator[int]:
    """Return a port that speaks HTTP where TLS is asked for."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@virtual
async def test_law_a_network_error_names_its_cause__a_full_pool() -> None:
    limits = httpx.Limits(max_connections=1)
    async with OpenAIEmulator(strict=False) as openai, httpx.AsyncClient(limits=limits) as http:
        options: Any = openai.client_options
        async with AsyncRealtimeSip(**options, http_client=http, timeout=2.0) as client:
            openai.fail("hangup", how="no answer", times=10)
            first = asyncio.create_task(client.with_options(timeout=60.0).calls.hangup("rtc_1"))
            await asyncio.sleep(0.1)
            with pytest.raises(NetworkError, match="no connection of the pool") as refused:
                await client.calls.hangup("rtc_2")
            assert isinstance(refused.value.__cause__, httpx.PoolTimeout)
            first.cancel()
            await asyncio.wait({first})

"""The emulator's server: whom it serves, what it refuses, and that nothing of it stays."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from emulated import SESSION, Endpoint, Peer, accepted, act, auth, post, sideband, socket
from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import EndedBy, ModelSays, OpenAIEmulator


def _open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


async def test_nothing_stays_when_the_emulator_is_closed(endpoint: Endpoint) -> None:
    before = asyncio.all_tasks()
    sockets = _open_files()
    async with OpenAIEmulator(speed=1) as openai:
        port = int(openai.base_url.split(":")[2].split("/")[0])
        up = await accepted(openai, endpoint.url, scenario=[ModelSays("Something long. " * 50)])
        pending = await openai.ring("http://127.0.0.1:9/")
        attached = await sideband(openai, up)
        await Peer(attached).send("response.create")
        await Peer(attached).until("response.created")
        primary = await socket(openai, "model=gpt-realtime-2.1")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v1/realtime/calls HTTP/1.1\r\n")
        openai.fail("hangup", how="no answer")
        client = httpx.AsyncClient(trust_env=False, headers=auth(openai))
        silent = asyncio.create_task(client.post(f"{openai.base_url}/realtime/calls/{up.call_id}/hangup"))
        await up.until_requested("hangup")
    assert (await up.ended()).by is EndedBy.EMULATOR
    assert (await pending.ended()).by is EndedBy.EMULATOR
    with pytest.raises(httpx.HTTPError):
        await silent
    await client.aclose()
    for connection in (attached, primary):
        await Peer(connection).closed()
        await connection.wait_closed()
        assert connection.close_code is not None
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    assert asyncio.all_tasks() == before
    assert _open_files() <= sockets


async def test_an_emulator_that_is_not_running_says_so() -> None:
    openai = OpenAIEmulator()
    with pytest.raises(ConfigurationError, match="async with"):
        _ = openai.base_url
    with pytest.raises(ConfigurationError, match="async with"):
        await openai.ring("http://127.0.0.1:9/")


@pytest.mark.parametrize("options", [{"speed": 0}, {"speed": -1}, {"api_key": ""}])
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        OpenAIEmulator(**options)  # type: ignore[arg-type]


async def test_sync_clients_of_other_threads_are_served(openai: OpenAIEmulator, url: str) -> None:
    ringing = await openai.ring(url, scenario=[ModelSays("Hello there.")])

    def program() -> list[str]:
        with httpx.Client(trust_env=False, headers=auth(openai)) as client:
            path = f"{openai.base_url}/realtime/calls/{ringing.call_id}"
            assert client.post(f"{path}/accept", json=SESSION).status_code == 200
            address = openai.base_url.replace("http", "ws", 1) + f"/realtime?call_id={ringing.call_id}"
            types: list[str] = []
            with connect(address, additional_headers=auth(openai), proxy=None) as connection:
                connection.send('{"type": "response.create"}')
                while types[-1:] != ["output_audio_buffer.stopped"]:
                    types.append(json.loads(connection.recv(timeout=10))["type"])
            assert client.post(f"{path}/hangup").status_code == 200
        return types

    types = await asyncio.to_thread(program)
    assert types[0] == "response.created"
    assert (await ringing.ended()).by is EndedBy.AGENT


async def test_a_connection_is_kept_for_many_requests(openai: OpenAIEmulator) -> None:
    async with httpx.AsyncClient(trust_env=False, headers=auth(openai)) as client:
        ids = set()
        streams = set()
        for _ in range(5):
            response = await client.post(f"{openai.base_url}/realtime/client_secrets", json={})
            ids.add(response.headers["x-request-id"])
            streams.add(response.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(ids) == 5
    assert len(streams) == 1


async def _raw(openai: OpenAIEmulator, data: bytes) -> bytes:
    port = int(openai.base_url.split(":")[2].split("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"HELLO\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 300_000 + b"\r\n\r\n", b"431"),
        (b"GET //[ HTTP/1.1\r\nhost: x\r\n\r\n", b"400"),
        (b"GET /?" + b"&".join([b"a=b"] * 60) + b" HTTP/1.1\r\nhost: x\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2000000\r\n\r\n" + b"y" * 2_000_000, b"413"),
    ],
)
async def test_requests_that_are_none_are_refused(openai: OpenAIEmulator, data: bytes, status: bytes) -> None:
    answer = await _raw(openai, data)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"x-request-id" in answer
    assert (await post(openai, "/client_secrets")).status_code == 200


async def test_a_client_that_asks_before_it_sends_is_told_to_go_on(openai: OpenAIEmulator) -> None:
    head = f"POST /v1/realtime/client_secrets HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {openai.api_key}\r\n"
    answer = await _raw(openai, head.encode() + b"expect: 100-continue\r\ncontent-length: 2\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 100")


async def test_a_handshake_that_is_none_is_refused(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url)
    head = f"GET /v1/realtime?call_id={ringing.call_id} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {openai.api_key}"
    answer = await _raw(openai, head.encode() + b"\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    await act(openai, ringing, "hangup")


async def test_nothing_secret_is_shown_of_a_call(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, {**SESSION, "instructions": "A secret."})
    await act(openai, ringing, "refer", {"target_uri": "tel:+14155550101"})
    end = await ringing.ended()
    shown = repr((ringing, ringing.requests, end, openai.requests, ringing.webhook_responses))
    assert "secret" not in shown
    assert "5550101" not in shown
    assert openai.api_key not in shown

"""Faults on request, and both ways of what is unknown."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from emulated import SESSION, Peer, accepted, act, auth, error_of, post, sideband
from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import (
    Behavior,
    CallState,
    EndedBy,
    FrameInjected,
    ModelSays,
    OpenAIEmulator,
    SocketDropped,
    Timings,
    UpdateRefused,
)

UPDATE: dict[str, Any] = {"session": {"type": "realtime"}}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (429, "rate_limit_exceeded", "requests"),
        (500, None, "server_error"),
        (503, None, "server_error"),
        (403, None, "invalid_request_error"),
    ],
)
async def test_replies_fail_as_often_as_asked(
    openai: OpenAIEmulator, url: str, status: int, code: str | None, kind: str
) -> None:
    openai.fail("accept", status=status, times=2, retry_after=1.5)
    ringing = await openai.ring(url)
    for _ in range(2):
        response = await act(openai, ringing, "accept", SESSION)
        error = error_of(response)
        assert (response.status_code, error["code"], error["type"]) == (status, code, kind)
        assert response.headers["retry-after"] == "1.5"
        assert ringing.state is CallState.RINGING
    assert (await act(openai, ringing, "accept", SESSION)).status_code == 200


@pytest.mark.parametrize("action", ["reject", "refer", "hangup"])
async def test_an_operation_may_be_carried_out_and_its_reply_fail(
    openai: OpenAIEmulator, url: str, action: Any
) -> None:
    ringing = await openai.ring(url)
    if action != "reject":
        await act(openai, ringing, "accept", SESSION)
    openai.fail(action, status=500, acted=True)
    body = {"target_uri": "tel:+14155550101"} if action == "refer" else None
    assert (await act(openai, ringing, action, body)).status_code == 500
    ends = {"reject": EndedBy.REJECTED, "refer": EndedBy.TRANSFERRED, "hangup": EndedBy.AGENT}
    assert (await ringing.ended()).by is ends[action]


async def test_an_accept_without_an_answer_may_have_been_carried_out(openai: OpenAIEmulator, url: str) -> None:
    ringing = await openai.ring(url)
    openai.fail("accept", how="no answer", acted=True)
    async with httpx.AsyncClient(trust_env=False, headers=auth(openai), timeout=0.2) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(f"{openai.base_url}/realtime/calls/{ringing.call_id}/accept", json=SESSION)
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.send("session.update", **UPDATE)
        await peer.until("session.updated")
    assert ringing.requests[0].status is None


async def test_a_connection_is_reset(openai: OpenAIEmulator, url: str) -> None:
    ringing = await openai.ring(url)
    openai.fail("hangup", how="reset")
    with pytest.raises(httpx.NetworkError):
        await act(openai, ringing, "hangup")
    assert (await act(openai, ringing, "hangup")).status_code == 404


async def test_other_operations_fail_too(openai: OpenAIEmulator) -> None:
    openai.fail("client_secrets", status=503)
    openai.fail("create", status=503)
    assert (await post(openai, "/client_secrets")).status_code == 503
    assert (await post(openai, "/calls", content=b"v=0")).status_code == 503


async def test_an_attach_is_refused_or_reset(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url)
    openai.fail("attach", status=503)
    with pytest.raises(InvalidStatus) as refused:
        await sideband(openai, ringing)
    assert refused.value.response.status_code == 503
    openai.fail("attach", how="reset")
    with pytest.raises((OSError, InvalidMessage)):
        await sideband(openai, ringing)
    async with sideband(openai, ringing):
        pass


@pytest.mark.parametrize(
    "fault",
    [
        {"operation": "listen"},
        {"operation": "accept", "times": 0},
        {"operation": "accept", "status": 200},
        {"operation": "attach", "acted": True},
    ],
)
def test_faults_that_cannot_be_are_refused(fault: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        OpenAIEmulator().fail(**fault)


@pytest.mark.parametrize(("code", "seen"), [(1000, 1000), (1005, 1005), (1006, 1006), (1011, 1011), (4000, 4000)])
async def test_a_socket_drops_and_the_call_goes_on(openai: OpenAIEmulator, url: str, code: int, seen: int) -> None:
    faults = [SocketDropped(after_frames=3, code=code)]
    ringing = await accepted(openai, url, scenario=[ModelSays("Hello there.")], faults=faults)
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.send("response.create")
        with pytest.raises(ConnectionClosed):
            await peer.until("response.done")
        assert len(peer.frames) == 3
        assert connection.close_code == seen
    async with sideband(openai, ringing) as connection:
        again = Peer(connection)
        await again.send("session.update", **UPDATE)
        await again.until("session.updated")
    assert ringing.state is CallState.ACCEPTED


async def test_a_socket_drops_as_soon_as_it_is_open(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, faults=[SocketDropped(after_frames=0, code=1011)])
    async with sideband(openai, ringing) as connection:
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        assert connection.close_code == 1011


async def test_a_test_can_drop_and_inject(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url)
    async with sideband(openai, ringing) as connection:
        await ringing.until_attached()
        ringing.inject("{not json")
        assert await connection.recv() == "{not json"
        ringing.drop(code=1012)
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        assert connection.close_code == 1012
    with pytest.raises(ConfigurationError):
        ringing.drop(code=999)


@pytest.mark.parametrize("data", ["{not json", b"\x00\x01", "[1, 2]", '{"type": "response.dreamt", "dream": {}}', "{}"])
async def test_frames_that_nobody_should_send_are_sent(openai: OpenAIEmulator, url: str, data: str | bytes) -> None:
    ringing = await accepted(openai, url, faults=[FrameInjected(after_frames=1, data=data)])
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.send("session.update", **UPDATE)
        await peer.until("session.updated")
        assert await connection.recv() == data
        await peer.send("session.update", **UPDATE)
        await peer.until("session.updated")


async def test_an_oversize_frame_is_sent(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, faults=[FrameInjected(after_frames=0, data="x" * 2_000_000)])
    async with sideband(openai, ringing) as connection:
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        # The client gave up: 1009, message too big.
        assert connection.protocol.close_sent is not None
        assert connection.protocol.close_sent.code == 1009
    async with sideband(openai, ringing, max_size=None):
        assert ringing.state is CallState.ACCEPTED


@pytest.mark.parametrize("code", [1000, 1005, 1006])
async def test_the_end_has_a_close_code_or_none(openai: OpenAIEmulator, url: str, code: Any) -> None:
    ringing = await accepted(openai, url, behavior=Behavior(end_code=code))
    async with sideband(openai, ringing) as connection:
        await ringing.until_attached()
        ringing.hang_up()
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        assert connection.close_code == code
    assert (await ringing.ended()).close_code == code


async def test_a_socket_may_stay_open_after_the_end(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, behavior=Behavior(closes_at_end=False))
    async with sideband(openai, ringing) as connection:
        await ringing.until_attached()
        ringing.hang_up()
        assert (await ringing.ended()).close_code is None
        await Peer(connection).send("session.update", **UPDATE)
        await (await connection.ping())
        assert ringing.server_events == []
        with pytest.raises(InvalidStatus):
            await sideband(openai, ringing)


async def test_a_second_sideband_shares_the_call(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url)
    async with sideband(openai, ringing) as first, sideband(openai, ringing) as second:
        await ringing.until_attached(count=2)
        await Peer(second).send("session.update", **UPDATE)
        assert await first.recv() == await second.recv()


async def test_a_second_sideband_may_be_refused(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, behavior=Behavior(second_attach="refused"))
    async with sideband(openai, ringing) as first:
        await ringing.until_attached()
        with pytest.raises(InvalidStatus) as refused:
            await sideband(openai, ringing)
        assert refused.value.response.status_code == 409
        await Peer(first).send("session.update", **UPDATE)
        await first.recv()
    async with sideband(openai, ringing):
        pass


async def test_a_second_sideband_may_replace_the_first(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, behavior=Behavior(second_attach="superseding"))
    async with sideband(openai, ringing) as first:
        await ringing.until_attached()
        async with sideband(openai, ringing) as second:
            with pytest.raises(ConnectionClosed):
                await first.recv()
            await Peer(second).send("session.update", **UPDATE)
            await Peer(second).until("session.updated")


async def test_a_sideband_may_begin_with_session_created(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, behavior=Behavior(created_on_sideband=True))
    async with sideband(openai, ringing) as connection:
        assert (await Peer(connection).receive())["type"] == "session.created"


async def test_an_attach_may_come_too_early(url: str) -> None:
    async with OpenAIEmulator(speed=1, timings=Timings(attach=0.0), behavior=Behavior(early=0.2)) as openai:
        ringing = await openai.ring(url)
        for _ in range(500):
            if (await act(openai, ringing, "accept", SESSION)).status_code == 200:
                break
            await asyncio.sleep(0.02)
        with pytest.raises(InvalidStatus):
            await sideband(openai, ringing)
        for _ in range(500):
            try:
                async with sideband(openai, ringing):
                    break
            except InvalidStatus:
                await asyncio.sleep(0.02)
        assert ringing.sidebands == 1


def test_frames_and_codes_that_cannot_be_are_refused() -> None:
    for make in (
        lambda: SocketDropped(after_frames=-1),
        lambda: SocketDropped(after_frames=0, code=1004),
        lambda: UpdateRefused(occurrence=0),
        lambda: FrameInjected(after_frames=0, data=b"x" * (64 * 1024 * 1024 + 1)),
    ):
        with pytest.raises(ConfigurationError):
            make()

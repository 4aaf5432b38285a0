"""The event loop whose clock jumps: what it waits for, what it does not, and whole calls on it."""

from __future__ import annotations

import asyncio
import inspect
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import test_emulator_faults
import test_emulator_scenario
import test_emulator_sideband

from emulated import HEARING, SESSION, Peer, Program, accepted, sideband, virtual
from realtime_sip import AsyncRealtimeSip
from realtime_sip.errors import NetworkError, SocketClosedError
from realtime_sip.testing import (
    CallerHangsUp,
    CallerPresses,
    CallerSays,
    EndedBy,
    ModelSays,
    OpenAIEmulator,
    SocketSilent,
    VirtualTimeLoop,
    run_virtual,
)

NOBODY = "http://127.0.0.1:9/nobody-listens-here"


def _now() -> float:
    return asyncio.get_running_loop().time()


def _loop() -> VirtualTimeLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop


@virtual
async def test_timers_fire_in_order_at_their_times() -> None:
    fired: list[tuple[str, float]] = []
    began = _now()

    async def sleep(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        fired.append((name, _now() - began))

    await asyncio.gather(sleep("day", 86_400), sleep("hour", 3600), sleep("second", 1), sleep("soon", 0))
    assert fired == [("soon", 0.0), ("second", 1.0), ("hour", 3600.0), ("day", 86_400.0)]


@virtual
async def test_the_clock_stands_still_while_anything_runs() -> None:
    began = _now()
    time.sleep(0.01)  # noqa: ASYNC251 - what is busy must not move the clock
    for _ in range(100):
        await asyncio.sleep(0)
    assert _now() == began


@virtual
async def test_deadlines_pass_at_their_times() -> None:
    began = _now()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(300):
            await asyncio.Event().wait()
    with pytest.raises(TimeoutError):
        with anyio.fail_after(300):
            await anyio.sleep_forever()
    assert _now() - began == 600.0


@virtual
async def test_a_rest_too_small_to_add_up_is_not_slept_for_ever() -> None:
    end = _now() + 0.1 + 0.2
    while (left := end - _now()) > 0:
        await asyncio.sleep(min(left, 1e-13))
        await asyncio.sleep(left)
    assert _now() == pytest.approx(end)


@virtual
async def test_sockets_deliver_before_the_clock_moves() -> None:
    heard: list[tuple[bytes, float]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            heard.append((data, _now()))
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for _ in range(200):
        writer.write(b"x")
        sent = _now()
        assert await asyncio.wait_for(reader.read(100), 0.001) == b"x"
        assert heard[-1] == (b"x", sent)
        assert _now() == sent
        await asyncio.sleep(1)
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


@virtual
async def test_threads_are_waited_for_really() -> None:
    done = threading.Event()
    hour = asyncio.ensure_future(asyncio.sleep(3600))

    def work() -> str:
        done.wait(0.05)
        return "done"

    assert await asyncio.to_thread(work) == "done"
    assert not hour.done()
    assert (await asyncio.get_running_loop().getaddrinfo("localhost", 80))[0]
    assert not hour.done()
    await hour


@virtual
async def test_a_deadline_ends_the_wait_for_a_thread_and_the_clock_jumps_again() -> None:
    release = threading.Event()
    began = _now()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await asyncio.to_thread(release.wait, 30)
    passed, began = _now() - began, _now()
    await asyncio.sleep(3600)
    release.set()
    assert 0.049 <= passed < 30
    assert _now() - began == pytest.approx(3600.0)


@virtual
async def test_other_threads_wake_it() -> None:
    loop, woken = _loop(), asyncio.Event()
    hour = asyncio.ensure_future(asyncio.sleep(3600))
    with loop.real_time():
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(woken.set))
        thread.start()
        await woken.wait()
        thread.join()
    assert not hour.done()
    woken.clear()
    hour.cancel()
    threading.Timer(0.02, lambda: loop.call_soon_threadsafe(woken.set)).start()
    await woken.wait()  # without a timer there is nothing to jump to


@virtual
async def test_real_time_waits_for_a_peer_outside() -> None:
    listening = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        peer, _ = listening.accept()
        peer.sendall(peer.recv(100))
        peer.close()

    thread = threading.Thread(target=answer)
    thread.start()
    with _loop().real_time():
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            writer.write(b"hello")
            assert await reader.read() == b"hello"
    writer.close()
    await writer.wait_closed()
    thread.join()
    listening.close()


def test_a_loop_leaves_nothing_behind() -> None:
    def open_files() -> int:
        return len(list(Path("/dev/fd").iterdir()))

    async def main() -> None:
        await asyncio.to_thread(time.sleep, 0)
        async with OpenAIEmulator() as openai:
            ringing = await accepted(openai, Program(), scenario=[ModelSays("Hello.")])
            async with sideband(openai, ringing) as connection:
                peer = Peer(connection)
                await peer.send("response.create")
                await peer.until("output_audio_buffer.stopped")

    run_virtual(main())
    files, threads = open_files(), threading.active_count()
    run_virtual(main())
    assert (open_files(), threading.active_count()) == (files, threads)


PLAYED = [
    # With its marks, which skip what needs recordings where there are none.
    pytest.param(test, id=name, marks=getattr(test, "pytestmark", []))
    for module in (test_emulator_scenario, test_emulator_sideband, test_emulator_faults)
    for name, test in vars(module).items()
    if name.startswith("test_")
    and inspect.iscoroutinefunction(test)
    and set(inspect.signature(test).parameters) == {"openai", "url"}
    # It asks again and again without waiting, which stops the clock.
    and name != "test_without_turn_detection_words_wait_for_the_commit"
]


@pytest.mark.parametrize("play", PLAYED)
def test_calls_run_in_virtual_time_with_real_timings(
    play: Callable[[OpenAIEmulator, str], Coroutine[Any, Any, None]],
) -> None:
    async def main() -> None:
        async with OpenAIEmulator(strict=False) as openai:
            await play(openai, NOBODY)

    run_virtual(main())


CALL: list[Any] = [
    CallerSays("Where is my order?"),
    ModelSays("It is on its way."),
    CallerPresses("12#", interrupting=True),
    CallerSays("And now?", after=55 * 60),
    ModelSays("It has arrived."),
    CallerHangsUp(),
]


def _timeline() -> list[tuple[float, str]]:
    """Play a call of 55 minutes with the client of this package, and return what it saw when."""
    seen: list[tuple[float, str]] = []

    async def main() -> None:
        async with OpenAIEmulator() as openai, AsyncRealtimeSip(**openai.client_options) as client:
            ringing = await openai.ring(Program(), scenario=CALL)
            await client.calls.accept(ringing.call_id, {**HEARING, "type": "realtime"})
            async with client.calls.connect(ringing.call_id) as connected:
                async for event in connected:
                    seen.append((round(_now(), 6), event.type))
            end = await ringing.ended()
            assert end.by is EndedBy.CALLER
            assert end.seconds > 55 * 60
            assert ringing.notes == []

    run_virtual(main())
    return seen


def test_a_call_of_55_minutes_goes_the_same_way_every_time() -> None:
    first = _timeline()
    assert first[-1][0] - first[0][0] > 55 * 60
    assert [kind for _, kind in first].count("response.done") == 2
    assert _timeline() == first


@virtual
async def test_keepalive_notices_a_socket_that_is_gone() -> None:
    async with OpenAIEmulator() as openai, AsyncRealtimeSip(**openai.client_options) as client:
        faults = [SocketSilent(when="session.updated", pongs=False)]
        ringing = await openai.ring(Program(), faults=faults)
        await client.calls.accept(ringing.call_id, SESSION)
        async with client.calls.connect(ringing.call_id) as connected:
            await connected.send({"type": "session.update", "session": {"type": "realtime"}})
            began = _now()
            with pytest.raises(SocketClosedError):
                async for _ in connected:
                    pass
            assert 20.0 <= _now() - began <= 45.0


@virtual
async def test_timeouts_of_requests_pass_in_virtual_time() -> None:
    async with OpenAIEmulator() as openai, AsyncRealtimeSip(**openai.client_options, timeout=7.0) as client:
        openai.fail("accept", how="no answer", times=10)
        ringing = await openai.ring(Program())
        began = _now()
        with pytest.raises(NetworkError):
            await client.calls.accept(ringing.call_id, SESSION)
        assert 0 < _now() - began <= 8.0
        openai.fail("hangup", how="no answer")
        async with httpx.AsyncClient(trust_env=False, timeout=120) as other:
            began = _now()
            headers = {"authorization": f"Bearer {openai.api_key}"}
            with pytest.raises(httpx.ReadTimeout):
                await other.post(f"{openai.base_url}/realtime/calls/{ringing.call_id}/hangup", headers=headers)
            assert _now() - began == pytest.approx(120.0)


@virtual
async def test_the_emulators_wall_clock_moves_with_the_loop() -> None:
    before = time.time()
    async with OpenAIEmulator() as openai:
        assert openai.now() >= before
        began = openai.now()
        await asyncio.sleep(3600)
        assert openai.now() - began == pytest.approx(3600.0)


async def test_the_emulators_wall_clock_can_be_set(endpoint: Any) -> None:
    async with OpenAIEmulator(starts_at=1_800_000_000) as openai:
        assert openai.now() >= 1_800_000_000
        ringing = await openai.ring(endpoint.url)
        await ringing.until_delivered()
    (delivery,) = endpoint.deliveries
    assert 1_800_000_000 <= int(delivery.headers["webhook-timestamp"]) < 1_800_000_060
    assert 1_800_000_000 <= delivery.event["created_at"] < 1_800_000_060


def test_law_what_was_sent_arrives_before_the_clock_moves_though_it_is_a_small_piece_behind_another() -> None:
    """A listening socket of `socket.create_server` is one of those for which asyncio leaves Nagle's algorithm on."""

    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(100):
            for piece in (b"head", b"body"):
                writer.write(piece)
                await asyncio.sleep(0)
        writer.close()
        await writer.wait_closed()
        left.set()

    async def main() -> float:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            async with await asyncio.start_server(serve, sock=listening):
                reader, writer = await asyncio.open_connection(*listening.getsockname())
                began = loop.time()
                try:
                    for _ in range(10):
                        writer.write(b"again")
                        async with asyncio.timeout(60):
                            assert await reader.readexactly(8) == b"headbody"
                finally:
                    writer.close()
                    await writer.wait_closed()
                    await left.wait()
                return loop.time() - began

    assert run_virtual(main()) == 0

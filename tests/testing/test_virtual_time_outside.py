"""Virtual time and what is not on its loop: threads that call back, and sockets of other threads and processes."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from emulated import virtual
from realtime_sip.testing import VirtualTimeLoop, VirtualTimeWarning, run_virtual

WORK = 0.05
"""Real seconds of what goes on outside."""
NEVER = 3600.0
"""Real seconds of patience that no test has."""


def _now() -> float:
    return asyncio.get_running_loop().time()


def _work() -> str:
    threading.Event().wait(WORK)
    return "done"


class Database(threading.Thread):
    """Runs functions on a thread of its own, one after another, as aiosqlite does."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.start()

    def run(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, function = job
            result = function()
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                future.get_loop().call_soon_threadsafe(_complete, future, result)

    async def execute(self, function: Callable[[], Any]) -> Any:
        future = asyncio.get_running_loop().create_future()
        self._jobs.put((future, function))
        return await future

    def close(self) -> None:
        self._jobs.put(None)
        self.join()


def _complete(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


@pytest.fixture
def database() -> Iterator[Database]:
    thread = Database()
    yield thread
    thread.close()


# --- threads ----------------------------------------------------------------------------------------------------------


def test_a_thread_that_calls_back_is_waited_for(database: Database) -> None:
    @virtual
    async def run() -> None:
        hour = asyncio.ensure_future(asyncio.sleep(3600))
        for _ in range(3):
            async with asyncio.timeout(30):
                assert await database.execute(_work) == "done"
        # However it is waited for.
        both = asyncio.gather(database.execute(_work), asyncio.shield(database.execute(_work)))
        assert [*await asyncio.wait_for(both, 30)] == ["done", "done"]
        assert not hour.done()
        await hour

    run()


async def _in_a_pool() -> str:
    with ThreadPoolExecutor() as pool:
        return await asyncio.wrap_future(pool.submit(_work))


@pytest.mark.parametrize(
    "work", [lambda: asyncio.to_thread(_work), _in_a_pool, lambda: anyio.to_thread.run_sync(_work)]
)
def test_work_in_a_pool_is_waited_for(work: Callable[[], Any]) -> None:
    @virtual
    async def run() -> None:
        hour = asyncio.ensure_future(asyncio.sleep(3600))
        for _ in range(2):
            async with asyncio.timeout(30):
                assert await work() == "done"
        assert not hour.done()
        began = _now()
        await asyncio.sleep(86_400)
        assert _now() - began == 86_400

    run()


def test_a_thread_that_waits_for_work_does_not_hold_the_clock(database: Database) -> None:
    async def main() -> None:
        assert await database.execute(_work) == "done"
        began = _now()
        await asyncio.sleep(3600)
        assert _now() - began == 3600

    run_virtual(main(), patience=NEVER)


@virtual
async def test_a_future_that_no_thread_can_complete_does_not_hold_the_clock() -> None:
    began = _now()
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(3600, future.set_result, None)
    await future
    assert _now() - began == 3600


@pytest.mark.parametrize("pool", ["own", "asyncio", "anyio"])
def test_a_thread_that_never_calls_back_is_named_and_the_clock_goes_on(pool: str, database: Database) -> None:
    release = threading.Event()

    async def ask() -> None:
        if pool == "own":
            await database.execute(release.wait)
        elif pool == "asyncio":
            await asyncio.to_thread(release.wait)
        else:
            await anyio.to_thread.run_sync(release.wait, abandon_on_cancel=True)

    async def main() -> float:
        began = _now()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(86_400):
                    await ask()
            return _now() - began
        finally:
            release.set()

    named = "anyio.to_thread" if pool == "anyio" else "test_virtual_time_outside"
    with pytest.warns(VirtualTimeWarning, match=rf"what is done outside for {named}.* did not come") as caught:
        assert run_virtual(main(), patience=0.05) == pytest.approx(86_400)
    assert len(caught) == 1


# --- sockets ----------------------------------------------------------------------------------------------------------

SERVER = """
import socket, sys, threading
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
peer, _ = listening.accept()
while data := peer.recv(100):
    threading.Event().wait(0.05)
    peer.sendall(data)
"""


@contextlib.contextmanager
def _process() -> Iterator[Any]:
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield ("127.0.0.1", int(process.stdout.readline()))
        finally:
            process.kill()


@contextlib.contextmanager
def _thread(listening: socket.socket, answer: Callable[[socket.socket], None]) -> Iterator[Any]:
    def serve() -> None:
        peer, _ = listening.accept()
        with peer:
            answer(peer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()
    finally:
        thread.join()
        listening.close()


def _echo(peer: socket.socket) -> None:
    while data := peer.recv(100):
        threading.Event().wait(WORK)
        peer.sendall(data[:1])
        threading.Event().wait(WORK / 5)
        peer.sendall(data[1:])


def _greet(peer: socket.socket) -> None:
    threading.Event().wait(WORK)
    peer.sendall(b"welcome")
    _echo(peer)


def _mute(peer: socket.socket) -> None:
    while peer.recv(100):
        pass


def _local() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def _unix(folder: Path) -> socket.socket:
    return socket.create_server(str(folder / "socket"), family=socket.AF_UNIX)


async def _open(address: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(address, str):
        return await asyncio.open_unix_connection(address)
    return await asyncio.open_connection(*address)


@pytest.mark.parametrize("where", ["a thread", "a thread, by a Unix socket", "a process"])
def test_a_reply_from_outside_is_waited_for(where: str, tmp_path: Path) -> None:
    async def main(address: Any) -> None:
        hour = asyncio.ensure_future(asyncio.sleep(3600))
        async with asyncio.timeout(30):
            reader, writer = await _open(address)
        for sent in (b"hello", b"again"):
            writer.write(sent)
            async with asyncio.timeout(30):
                assert await reader.readexactly(5) == sent
        assert not hour.done()
        # Nothing was asked, so nothing is waited for.
        await hour
        await asyncio.sleep(86_400)
        writer.writelines([b"hel", b"lo"])
        async with asyncio.timeout(30):
            assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()

    listening = _unix(tmp_path) if "Unix" in where else _local()
    with listening, _process() if where == "a process" else _thread(listening, _echo) as address:
        run_virtual(main(address), patience=NEVER)


class Client(asyncio.Protocol):
    """A protocol with a future for each reply, which ends with a line, as asyncpg has."""

    def __init__(self) -> None:
        self._received = b""
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(b"\n"):
            self.reply.set_result(self._received)


def test_a_reply_with_a_long_pause_is_waited_for_by_its_future() -> None:
    def answer(peer: socket.socket) -> None:
        peer.recv(100)
        peer.sendall(b"hel")
        threading.Event().wait(0.5)
        peer.sendall(b"lo\n")

    async def main(address: Any) -> None:
        transport, client = await asyncio.get_running_loop().create_connection(Client, *address)
        transport.write(b"hello")
        async with asyncio.timeout(30):
            assert await client.reply == b"hello\n"
        transport.close()

    with _thread(_local(), answer) as address:
        run_virtual(main(address), patience=NEVER)


def test_a_server_that_speaks_first_is_waited_for() -> None:
    async def main(address: Any) -> None:
        reader, writer = await _open(address)
        async with asyncio.timeout(30):
            assert await reader.readexactly(7) == b"welcome"
        writer.close()
        await writer.wait_closed()

    with _thread(_local(), _greet) as address:
        run_virtual(main(address), patience=NEVER)


def test_a_server_that_never_answers_is_named_once_and_the_clock_goes_on() -> None:
    async def main(address: Any) -> float:
        reader, writer = await _open(address)
        began = _now()
        for _ in range(3):
            writer.write(b"hello")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(3600):
                    await reader.read(5)
        passed = _now() - began
        writer.close()
        await writer.wait_closed()
        return passed

    with _thread(_local(), _mute) as address, pytest.warns(VirtualTimeWarning, match="did not come") as caught:
        assert run_virtual(main(address), patience=0.05) == pytest.approx(3 * 3600)
    assert f"a reply from 127.0.0.1:{address[1]} " in str(caught[0].message)
    assert len(caught) == 1


def test_a_short_deadline_ends_the_wait_for_a_reply() -> None:
    async def main(address: Any) -> None:
        reader, writer = await _open(address)
        writer.write(b"hello")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await reader.read(5)
        writer.close()
        await writer.wait_closed()

    with _thread(_local(), _mute) as address:
        run_virtual(main(address), patience=NEVER)


def test_a_connection_that_nobody_takes_is_named_and_the_clock_goes_on() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening, contextlib.ExitStack() as stack:
        address = listening.getsockname()
        for _ in range(4):
            full = stack.enter_context(socket.socket())
            full.setblocking(False)
            full.connect_ex(address)

        async def main() -> float:
            began = _now()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(3600):
                    await _open(address)
            return _now() - began

        with pytest.warns(VirtualTimeWarning, match=rf"a connection to 127\.0\.0\.1:{address[1]} did not come"):
            assert run_virtual(main(), patience=0.05) == pytest.approx(3600)


@pytest.mark.parametrize("unix", [False, True])
def test_a_socket_whose_other_end_is_on_the_loop_does_not_hold_the_clock(unix: bool, tmp_path: Path) -> None:
    async def main() -> None:
        taken: list[asyncio.StreamWriter] = []

        def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            taken.append(writer)

        if unix:
            server = await asyncio.start_unix_server(take, tmp_path / "socket")
            address: Any = str(tmp_path / "socket")
        else:
            server = await asyncio.start_server(take, "127.0.0.1", 0)
            address = server.sockets[0].getsockname()
        async with asyncio.TaskGroup() as group:
            opening = [group.create_task(_open(address)) for _ in range(3)]
        began = _now()
        for reader, writer in (task.result() for task in opening):
            writer.write(b"hello")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(3600):
                    await reader.read(5)
        assert _now() - began == 3 * 3600
        for writer in (*taken, *(task.result()[1] for task in opening)):
            writer.close()
            await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run_virtual(main(), patience=NEVER)


def test_futures_of_a_server_on_the_loop_do_not_hold_the_clock_beside_a_thread(database: Database) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Client, "127.0.0.1", 0)
        _, writer = await _open(server.sockets[0].getsockname())
        await database.execute(_work)
        served = asyncio.get_running_loop().create_future()
        began = _now()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await served
        assert _now() - began == 3600
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run_virtual(main(), patience=NEVER)


def test_a_socket_pair_on_the_loop_does_not_hold_the_clock() -> None:
    async def main() -> None:
        mine, other = socket.socketpair()
        _, writer = await asyncio.open_connection(sock=mine)
        writer.write(b"hello")
        began = _now()
        await asyncio.sleep(3600)
        assert _now() - began == 3600
        writer.close()
        await writer.wait_closed()
        other.close()

    run_virtual(main(), patience=NEVER)


def test_a_descriptor_that_a_library_watches_is_waited_for() -> None:
    async def main(address: Any) -> None:
        loop = asyncio.get_running_loop()
        with socket.create_connection(address) as connection:
            connection.setblocking(False)
            for _ in range(2):
                connection.send(b"hello")
                ready = asyncio.Event()
                loop.add_reader(connection, ready.set)
                async with asyncio.timeout(30):
                    await ready.wait()
                loop.remove_reader(connection)
                assert connection.recv(100)
            began = _now()
            await asyncio.sleep(3600)
            assert _now() - began == pytest.approx(3600)

    def answer(peer: socket.socket) -> None:
        while data := peer.recv(100):
            threading.Event().wait(WORK)
            peer.sendall(data)

    with _thread(_local(), answer) as address:
        run_virtual(main(address), patience=NEVER)


def test_a_descriptor_that_is_never_ready_is_named_and_the_clock_goes_on() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        mine, other = socket.socketpair()
        began = _now()
        for _ in range(3):  # Watched again and again, as by a library that looks for a cancellation in between.
            loop.add_reader(mine, lambda: None)
            await asyncio.sleep(1200)
            loop.remove_reader(mine)
        mine.close()
        other.close()
        return _now() - began

    with pytest.warns(VirtualTimeWarning, match=r"the file descriptor \d+ did not come") as caught:
        assert run_virtual(main(), patience=0.05) == pytest.approx(3600)
    assert len(caught) == 1


def test_without_a_timer_there_is_no_bound(database: Database) -> None:
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = lambda: VirtualTimeLoop(patience=0.0)  # noqa: E731
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(database.execute(_work)) == "done"


def test_where_warnings_are_errors_the_test_fails_with_the_name() -> None:
    async def main(address: Any) -> None:
        _, writer = await _open(address)
        try:
            await asyncio.sleep(3600)
        finally:
            writer.close()

    with _thread(_local(), _mute) as address, warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(VirtualTimeWarning, match="did not come"):
            run_virtual(main(address), patience=0.05)

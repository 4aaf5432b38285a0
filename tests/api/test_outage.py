"""A service that is down for a while: the client outlives it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import httpx
import pytest

from realtime_sip import AsyncRealtimeSip, RealtimeSip
from realtime_sip.api import transport
from realtime_sip.api.operations import Failure, Request
from realtime_sip.errors import DeadlineError, RealtimeSipError

KEY = "sk-test-0123456789abcdef"


class Service:
    """Accepts connections, and answers once it is up and so many requests wait at a time."""

    def __init__(self) -> None:
        self.url = ""
        self.up = False
        self.cuts = False
        self.at_a_time = 1
        self.waiting = 0
        self._enough = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                if not self.up and self.cuts:
                    break
                if not self.up:
                    await reader.read()
                    break
                self.waiting += 1
                if self.waiting >= self.at_a_time:
                    self._enough.set()
                await self._enough.wait()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def service() -> AsyncIterator[Service]:
    fake = Service()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0, backlog=1000)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield fake
    finally:
        server.close()


async def hang_up(client: AsyncRealtimeSip, calls: int) -> list[BaseException | None]:
    return await asyncio.gather(*(client.calls.hangup(f"rtc_{n}") for n in range(calls)), return_exceptions=True)


@pytest.mark.parametrize("cuts", [False, True], ids=["hangs", "cuts"])
async def test_law_the_client_outlives_any_outage(cuts: bool) -> None:
    async with service() as fake, AsyncRealtimeSip(KEY, base_url=fake.url, timeout=0.5) as client:
        fake.cuts = cuts
        for _ in range(2):
            assert all(isinstance(error, RealtimeSipError) for error in await hang_up(client, 250))
        fake.up, fake.at_a_time = True, 100
        patient = client.with_options(timeout=20.0)
        async with asyncio.timeout(15):
            assert await hang_up(patient, 100) == [None] * 100  # not one connection is lost


async def test_law_waiting_for_a_connection_has_its_own_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_REQUESTS", 2)
    async with service() as fake, AsyncRealtimeSip(KEY, base_url=fake.url, timeout=0.8) as client:
        under_way = asyncio.ensure_future(hang_up(client, 2))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        outcome = await client.calls.transport._send(Request("POST", "/any", b"", {}, timeout=0.4))
        assert outcome == Failure("no connection was free", sent=False, timed_out=True)
        assert time.monotonic() - began < 0.35
        assert [error.sent for error in await under_way if isinstance(error, DeadlineError)] == [True, True]
        fake.up = True
        assert await hang_up(client, 10) == [None] * 10


async def test_a_client_of_the_programs_own_may_have_fewer_connections() -> None:
    limits = httpx.Limits(max_connections=1)
    async with service() as fake, httpx.AsyncClient(limits=limits) as own:
        client = AsyncRealtimeSip(KEY, base_url=fake.url, timeout=0.4, http_client=own)
        outcomes = await hang_up(client, 2)
        assert sorted(error.sent for error in outcomes if isinstance(error, DeadlineError)) == [False, True]


def test_one_client_serves_several_event_loops() -> None:
    async def main() -> None:
        async with service() as fake:
            fake.up = True
            here = AsyncRealtimeSip(KEY, base_url=fake.url, http_client=own)
            assert await hang_up(here, 150) == [None] * 150
            await own.aclose()

    for _ in range(2):
        own = httpx.AsyncClient()
        asyncio.run(main())


async def test_law_the_blocking_client_outlives_any_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_REQUESTS", 4)
    loop = asyncio.get_running_loop()
    async with service() as fake:
        with RealtimeSip(KEY, base_url=fake.url, timeout=0.4) as client, ThreadPoolExecutor(8) as threads:

            def hang_ups(blocking: RealtimeSip) -> list[object]:
                def one(_: int) -> object:
                    try:
                        blocking.calls.hangup("rtc_1")
                    except RealtimeSipError as error:
                        return error
                    return None

                return list(threads.map(one, range(8)))

            with ThreadPoolExecutor(1) as aside:
                failed = await loop.run_in_executor(aside, hang_ups, client)
                assert all(isinstance(error, DeadlineError) for error in failed)
                while threading.active_count() > 12:  # noqa: ASYNC110 - what was given up ends by itself
                    await asyncio.sleep(0.01)
                fake.up, fake.at_a_time = True, 4
                patient = client.with_options(timeout=20.0)
                assert await loop.run_in_executor(aside, hang_ups, patient) == [None] * 8

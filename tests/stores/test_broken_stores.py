"""Servers of stores that are slow, silent, gone or out of their mind: nothing waits for them without a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kept import Servers
from store_proxy import Proxy, proxy

from realtime_sip.stores import Outcome, PostgresStore, RedisStore, Store
from realtime_sip.stores.rules import WORKER_LEASE

pytest_plugins = ["store_fixtures"]
pytestmark = [pytest.mark.stores, pytest.mark.timeout(120)]

SOON = 4.0
"""Seconds that are enough for what takes milliseconds, and too few for what waits for a driver's own deadlines."""


@pytest.fixture(params=["redis", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def between(kind: str, servers: Servers) -> AsyncIterator[Proxy]:
    async with proxy(servers.url(kind)) as between:
        yield between


@pytest.fixture
async def store(kind: str, between: Proxy) -> AsyncIterator[Store]:
    store: Any = RedisStore(between.url) if kind == "redis" else PostgresStore(between.url)
    yield store
    between.passing.set()
    await store.close()


async def given_up(operation: Any, seconds: float = 0.2) -> None:
    async def asked() -> None:
        async with asyncio.timeout(seconds):
            await operation

    asking = asyncio.create_task(asked())
    await asyncio.wait({asking}, timeout=SOON)
    assert asking.done()
    assert isinstance(asking.exception(), TimeoutError)


async def answers(store: Store) -> None:
    """See that a store answers soon again; it may fail at first."""
    async with asyncio.timeout(SOON):
        while True:
            try:
                async with asyncio.timeout(1.0):
                    await store.heartbeat("worker", lease=4)
                    return
            except Exception:  # noqa: BLE001 - whatever its driver raises
                await asyncio.sleep(0.1)


async def test_law_no_wait_without_a_deadline__who_gives_up_on_a_silent_server_goes_on_at_once(
    store: Store, between: Proxy
) -> None:
    await store.heartbeat("worker", lease=4)
    between.passing.clear()
    for _ in range(3):
        await given_up(store.heartbeat("worker", lease=4))
    await given_up(store.news(60))
    await given_up(store.claim("rtc_silent", owner="worker", lease=10))
    between.passing.set()
    await answers(store)


async def test_law_no_wait_without_a_deadline__a_server_that_was_silent_from_the_beginning(
    store: Store, between: Proxy
) -> None:
    between.passing.clear()
    for _ in range(3):
        await given_up(store.heartbeat("worker", lease=4))
        await given_up(store.news(60))
    between.passing.set()
    await answers(store)


async def test_a_server_that_was_gone_for_long_is_asked_again_as_soon_as_it_is_back(
    store: Store, between: Proxy
) -> None:
    await store.heartbeat("worker", lease=4)
    between.refuse()
    loop = asyncio.get_running_loop()
    end = loop.time() + 9.0
    while loop.time() < end:
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever its driver raises
            async with asyncio.timeout(WORKER_LEASE / 2):
                await store.heartbeat("worker", lease=4)
        await asyncio.sleep(0.5)
    await between.listen()
    await answers(store)


async def test_a_server_that_restarts_costs_no_operation(store: Store, between: Proxy) -> None:
    calls = [f"rtc_restart_{number}" for number in range(20)]
    await asyncio.gather(*(store.claim(call_id, owner="worker", lease=60) for call_id in calls))
    between.cut()
    await asyncio.sleep(0.1)
    answers = await asyncio.gather(*(store.claim(call_id, owner="other", lease=60) for call_id in calls))
    assert {answer.outcome for answer in answers} == {Outcome.REPEAT}


async def test_law_a_heartbeat_goes_first__many_calls_of_a_worker_change_while_its_server_is_slow(
    store: Store, between: Proxy
) -> None:
    await store.heartbeat("worker", lease=4)
    between.delay = 0.05
    tickets = [
        asyncio.create_task(store.accept(f"rtc_slow_{number}", owner="worker", lease=4, ticket="how"))
        for number in range(400)
    ]
    try:
        await asyncio.sleep(0.5)
        for _ in range(3):
            async with asyncio.timeout(WORKER_LEASE / 2):
                await store.heartbeat("worker", lease=4)
        assert not all(ticket.done() for ticket in tickets)
    finally:
        for ticket in tickets:
            ticket.cancel()
        await asyncio.gather(*tickets, return_exceptions=True)
    between.delay = 0.0
    await answers(store)


async def test_news_are_heard_again_after_the_server_was_silent(store: Store, between: Proxy) -> None:
    await store.claim("rtc_news", owner="a", lease=10, ticket="how")
    between.passing.clear()
    await given_up(store.news(60))
    between.passing.set()
    await answers(store)
    await store.news(0.01)
    async with asyncio.timeout(SOON):
        waiting = asyncio.create_task(store.news(60))
        await asyncio.sleep(0)
        await store.post("rtc_news", "a letter")
        await waiting


@pytest.mark.parametrize(
    "said",
    [b"\x00\xff" * 100, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n", b"$99999999\r\n"],
    ids=["noise", "http", "ok", "much"],
)
async def test_what_is_no_answer_is_an_error_and_no_hang(store: Store, between: Proxy, said: bytes) -> None:
    await store.heartbeat("worker", lease=4)
    between.garbage = said
    for _ in range(2):
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever its driver raises
            async with asyncio.timeout(2.0):
                await store.claim("rtc_garbage", owner="worker", lease=10)
    between.garbage = b""
    between.cut()
    await answers(store)


async def test_a_server_that_says_no_more_is_asked_anew(store: Store, between: Proxy) -> None:
    await store.heartbeat("worker", lease=4)
    between.half_close()
    await answers(store)

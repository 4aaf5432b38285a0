"""PostgreSQL as people have it: pools of their own, settings of the server, users who may not, and servers that only
read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from store_servers import postgres_server

from realtime_sip.errors import ConfigurationError
from realtime_sip.stores import Outcome, PostgresStore, store_sql

pytestmark = [pytest.mark.stores, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as url:
        run(url, store_sql())
        yield url


def run(url: str, *queries: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for query in queries:
            connection.execute(query)  # type: ignore[arg-type, call-overload, unused-ignore]


async def outcomes(store: PostgresStore, call_id: str) -> list[Outcome]:
    answers = await asyncio.gather(*(store.claim(call_id, owner=str(n), lease=10, ticket="how") for n in range(50)))
    return [answer.outcome for answer in answers]


@pytest.mark.parametrize("autocommit", [False, True])
@pytest.mark.parametrize("rows", ["tuple_row", "dict_row"])
async def test_a_pool_of_the_programs_own_keeps_every_promise_however_it_was_made(
    server: str, *, autocommit: bool, rows: str
) -> None:
    import psycopg.rows
    from psycopg_pool import AsyncConnectionPool

    kwargs = {"autocommit": autocommit, "row_factory": getattr(psycopg.rows, rows)}
    pool: Any
    async with AsyncConnectionPool(server, min_size=5, max_size=5, kwargs=kwargs) as pool:
        store = PostgresStore(pool)
        for number in range(10):
            got = await outcomes(store, f"rtc_{autocommit}_{rows}_{number}")
            assert got.count(Outcome.NEW) == 1
        assert await store.add(f"calls {autocommit} {rows}", 2, per=60) == 2
        await store.news(0.01)
        await store.close()
        async with pool.connection() as connection:  # nothing of it has changed
            assert connection.isolation_level is None
            assert connection.autocommit is autocommit
            assert (await (await connection.execute("select 1 as one")).fetchone()) in ((1,), {"one": 1})


@pytest.mark.parametrize("level", ["serializable", "repeatable read"])
async def test_a_server_whose_transactions_see_nothing_of_what_they_waited_for(server: str, level: str) -> None:
    run(server, f"alter role shop set default_transaction_isolation = '{level}'")
    store = PostgresStore(server)
    try:
        for number in range(10):
            assert (await outcomes(store, f"rtc_{level}_{number}")).count(Outcome.NEW) == 1
        entered = await asyncio.gather(*(store.enter(level, str(n), lease=10, most=7) for n in range(50)))
        assert entered.count(True) == 7
        await asyncio.gather(*(store.add(level, 1, per=60) for _ in range(50)))
        assert await store.total(level, per=60) == 50
    finally:
        await store.close()
        run(server, "alter role shop reset default_transaction_isolation")


@pytest.mark.parametrize(
    ("told", "before", "after"),
    [
        (
            "realtime-sip store sql",
            "alter table realtime_sip_store rename to other",
            "alter table other rename to realtime_sip_store",
        ),
        ("must be allowed to select", "revoke all on realtime_sip_store from clerk", ""),
        ("takes no writes", "alter role clerk set default_transaction_read_only = on", "alter role clerk reset all"),
    ],
)
async def test_what_is_wrong_with_the_database_is_said_with_its_remedy(
    server: str, told: str, before: str, after: str
) -> None:
    run(server, "drop role if exists clerk", "create role clerk login")
    run(server, "grant all on realtime_sip_store to clerk", before)
    store = PostgresStore(server.replace("shop@", "clerk@"))
    try:
        with pytest.raises(ConfigurationError, match=told):
            await store.claim("rtc_1", owner="a", lease=10)
        with pytest.raises(ConfigurationError, match=told):
            await store.heartbeat("a", lease=4)
    finally:
        await store.close()
        run(server, *filter(None, [after]), "drop owned by clerk", "drop role clerk")


async def test_servers_that_end_idle_sessions_and_long_statements_cost_nothing(server: str) -> None:
    run(
        server,
        *(f"alter role shop set {name} = '200ms'" for name in ("idle_session_timeout", "statement_timeout")),
        "alter role shop set idle_in_transaction_session_timeout = '200ms'",
    )
    store = PostgresStore(server)
    try:
        for number in range(3):
            assert (await store.claim(f"rtc_idle_{number}", owner="a", lease=10)).outcome is Outcome.NEW
            await asyncio.sleep(0.4)
        for _ in range(3):
            with contextlib.suppress(Exception):  # whoever listens is ended too
                await store.news(0.3)
        assert await store.post("rtc_idle_1", "a letter")
    finally:
        await store.close()
        run(server, "alter role shop reset all")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://shop:hu/sh@127.0.0.1:5432/shop",
        "host=127.0.0.1 password=hush hush",
        "postgresql://shop:hush@[127.0.0.1/shop",
        "hush",
    ],
)
def test_law_no_secret_in_exceptions__a_database_that_cannot_be_read(url: str) -> None:
    with pytest.raises(ConfigurationError, match="percent-encoded") as refused:
        PostgresStore(url)
    assert "hu" not in str(refused.value)
    assert refused.value.__context__ is None


async def test_a_pool_in_which_nothing_is_left_beside_listening_is_refused() -> None:
    from psycopg_pool import AsyncConnectionPool

    pool: Any = AsyncConnectionPool("postgresql://127.0.0.1/shop", min_size=0, max_size=2, open=False)
    with pytest.raises(ConfigurationError, match="max_size"):
        PostgresStore(pool)

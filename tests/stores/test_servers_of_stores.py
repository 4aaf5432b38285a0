"""What is Redis' and PostgreSQL's own: a cluster, clients of the program's own, several loops, and how to make them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from store_servers import postgres_server, redis_server

from realtime_sip.cli import main
from realtime_sip.errors import ConfigurationError
from realtime_sip.stores import Claimed, Outcome, PostgresStore, RedisStore, store_sql
from realtime_sip.stores.redis import MAX_CONNECTIONS


@pytest.mark.parametrize("server", ["", "http://127.0.0.1", "127.0.0.1:6379", 7, None])
def test_what_is_no_redis_is_refused(server: Any) -> None:
    with pytest.raises(ConfigurationError, match="server must be"):
        RedisStore(server)


@pytest.mark.parametrize("prefix", ["", "{a}", "a}b"])
def test_a_prefix_that_would_spread_the_keys_over_a_cluster_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="prefix"):
        RedisStore("redis://127.0.0.1", prefix=prefix)


@pytest.mark.parametrize("table", ["", "a b", "Shop", "a;drop table b", "a.b.c", "1a", 'a"b', "a" * 64])
def test_what_is_no_plain_name_of_a_table_never_reaches_sql(table: str) -> None:
    with pytest.raises(ConfigurationError, match="plain name"):
        PostgresStore("postgresql://127.0.0.1/shop", table=table)
    with pytest.raises(ConfigurationError, match="plain name"):
        store_sql(table)


def test_the_command_prints_the_sql(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "sql", "--table", "shop.calls"]) == 0
    assert capsys.readouterr().out == store_sql("shop.calls")
    assert main(["store", "sql", "--table", "shop calls"]) == 2


def test_the_stores_of_servers_are_not_loaded_with_that_of_memory() -> None:
    code = "import sys, realtime_sip.stores; print([name for name in ('redis', 'psycopg') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


async def claims(store: Any) -> list[str]:
    answers = await asyncio.gather(*(store.claim("rtc_1", owner=str(n), lease=10) for n in range(10)))
    await store.accept("rtc_1", owner=next(a.claim.owner for a in answers if a.outcome is Outcome.NEW), lease=4)
    assert await store.add("calls", 2, per=60) == 2
    assert await store.enter("line", "rtc_1", lease=10, most=1)
    await store.note("note", "text", remember=60)
    assert await store.take("note") == "text"
    return [answer.outcome.value for answer in answers]


@pytest.mark.stores
async def test_the_keys_of_a_cluster_are_in_one_slot() -> None:
    from redis.asyncio import Redis, RedisCluster

    with redis_server("--cluster-enabled", "yes") as url:
        port = int(url.rpartition(":")[2].partition("/")[0])
        node: Any
        async with Redis.from_url(url, decode_responses=True) as node:
            await node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            async with asyncio.timeout(30):
                while "cluster_state:ok" not in str(await node.execute_command("CLUSTER", "INFO")):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        cluster = RedisCluster(host="127.0.0.1", port=port)
        store = RedisStore(cluster)
        try:
            assert sorted(await claims(store)) == ["new", *["repeat"] * 9]
        finally:
            await cluster.aclose()


@pytest.mark.stores
@pytest.mark.parametrize("decoded", [False, True])
async def test_a_client_of_the_programs_own_is_used_and_left_open(decoded: bool) -> None:
    from redis.asyncio import Redis

    with redis_server() as url:
        async with Redis.from_url(url, decode_responses=decoded, socket_timeout=5) as client:
            store = RedisStore(client)
            assert (await claims(store)).count("new") == 1
            await store.close()
            assert await client.ping()


@pytest.mark.stores
async def test_scripts_that_the_server_has_forgotten_are_sent_again() -> None:
    from redis.asyncio import Redis

    with redis_server() as url:
        store = RedisStore(url)
        assert (await store.claim("rtc_1", owner="a", lease=10)).outcome is Outcome.NEW
        async with Redis.from_url(url) as client:
            await client.script_flush()
        assert (await store.claim("rtc_1", owner="b", lease=10)).outcome is Outcome.REPEAT
        await store.close()


@pytest.mark.stores
def test_one_store_on_several_loops_one_after_the_other() -> None:
    import psycopg

    async def claim(store: Any, owner: str) -> Outcome:
        claimed: Claimed = await store.claim("rtc_1", owner=owner, lease=10)
        await store.close()
        return claimed.outcome

    with redis_server() as redis, postgres_server() as postgres:
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(store_sql())
        for store in (RedisStore(redis), PostgresStore(postgres)):
            assert asyncio.run(claim(store, "a")) is Outcome.NEW
            assert asyncio.run(claim(store, "b")) is Outcome.REPEAT


@pytest.mark.stores
async def test_what_counts_no_more_is_deleted_from_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg

    with postgres_server() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(store_sql())
            store = PostgresStore(url)
            await store.note("old", "text", remember=60)
            await store.use("old", by="rtc_1", remember=60)
            await store.note("new", "text", remember=6000)
            store._ahead = 120.0
            monkeypatch.setattr("random.random", lambda: 0.0)
            await store.heartbeat("a", lease=4)
            kept = connection.execute("select kind, key from realtime_sip_store order by kind").fetchall()
            assert kept == [("note", "new"), ("worker", "a")]
        await store.close()


@pytest.mark.stores
async def test_more_operations_at_once_than_connections_wait_for_one() -> None:
    """All calls of a worker may change or end at the same moment, and many workers share what the server takes."""
    with redis_server() as url:
        store = RedisStore(url)
        calls = [f"rtc_{number}" for number in range(500)]
        answers = await asyncio.gather(*(store.claim(call_id, owner="worker", lease=10) for call_id in calls))
        assert {answer.outcome for answer in answers} == {Outcome.NEW}
        connected = (await store._connected().info("clients"))["connected_clients"]
        assert connected <= MAX_CONNECTIONS
        await store.close()


@pytest.mark.stores
async def test_a_heartbeat_is_as_many_commands_however_many_workers_there_are() -> None:
    """One for each of the others would be a million a second for a thousand workers."""
    with redis_server() as url:
        store = RedisStore(url)

        async def commands() -> int:
            stats = await store._connected().info("commandstats")
            return sum(each["calls"] for name, each in stats.items() if name != "cmdstat_info")

        async def one_costs() -> int:
            before = await commands()
            assert (await store.heartbeat("worker", lease=60, free=1)).free == workers
            return await commands() - before

        workers = 0
        await store.heartbeat("worker", lease=60, free=1)
        alone = await one_costs()
        for workers in range(1, 31):
            await store.heartbeat(f"other-{workers}", lease=60, free=1)
        assert await one_costs() == alone
        await store.close()

"""Stores of each kind, and the time that they go by."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from typing import Any

from store_servers import postgres_server, redis_server

from realtime_sip.stores.memory import MemoryStore

_numbers = itertools.count(1)


class Clock:
    """Time that passes when it is told to. Beside a server's it says how far the test is ahead of that."""

    def __init__(self) -> None:
        self.store: Any = None
        self._now = 1_000.0

    def __call__(self) -> float:
        return self._now

    @property
    def now(self) -> float:
        return self._now

    @now.setter
    def now(self, now: float) -> None:
        self._now = now
        if self.store is not None:
            self.store._ahead = now - 1_000.0


class Servers:
    """The servers of this session, each started when it is first asked for."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._urls: dict[str, str] = {}

    def url(self, kind: str) -> str:
        if kind not in self._urls:
            start = {"redis": redis_server, "postgres": postgres_server}[kind]
            url = self._urls[kind] = self._stack.enter_context(start())
            if kind == "postgres":
                import psycopg

                from realtime_sip.stores.postgres import store_sql

                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute(store_sql())
        return self._urls[kind]

    def make(self, kind: str, clock: Clock) -> Any:
        """Return an empty store of a kind, whose time is the clock's."""
        if kind == "memory":
            return MemoryStore(clock=clock)
        store: Any
        if kind == "redis":
            from realtime_sip.stores.redis import RedisStore

            store = RedisStore(self.url(kind), prefix=f"test-{next(_numbers)}")
        else:
            import psycopg

            from realtime_sip.stores.postgres import PostgresStore

            with psycopg.connect(self.url(kind), autocommit=True) as connection:
                connection.execute("truncate realtime_sip_store")
            store = PostgresStore(self.url(kind))
        clock.store = store
        return store

    def close(self) -> None:
        self._stack.close()

"""The connections of a store in PostgreSQL, and what a transaction on one of them begins with."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from psycopg import AsyncConnection, AsyncCursor, IsolationLevel, errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row
from psycopg.sql import Composed
from psycopg.waiting import wait_async
from psycopg_pool import AsyncConnectionPool

from realtime_sip.errors import ConfigurationError
from realtime_sip.stores.turns import BESIDE, Turns

_CONNECTIONS = 8
"""Connections of one store."""
_TURN = 5.0
"""Seconds until a connection is free."""
_DEFAULTS = {
    # Poolers that share connections between transactions know no prepared statements, or not always.
    "prepare_threshold": None,
    "connect_timeout": 3,
    # A server whose machine is gone says nothing: milliseconds for what was sent, seconds for what is waited for.
    "tcp_user_timeout": 5000,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
}


class _Connection(AsyncConnection[Any]):
    """A connection that is closed if whoever waits for an answer gives up.

    psycopg asks the server to stop, and waits for that: for ten seconds since 3.3.9, without end before (its issue
    1371). So no deadline would hold if the server is silent.
    """

    async def wait(self, gen: Any, interval: float = 0.1, *_: Any, **options: Any) -> Any:
        try:
            return await wait_async(gen, self.pgconn.socket, interval=interval, **options)
        except BaseException as error:
            if not isinstance(error, Exception):
                self.pgconn.finish()
            raise


class Pool:
    """A pool of the store's own, made on the event loop that uses it first and again on the next one; or one that was
    given, which is not closed here, and whose deadlines are its own.

    Raises:
        ConfigurationError: The database is neither a URL, a conninfo nor a pool, or the pool is too small.
    """

    def __init__(self, database: str | AsyncConnectionPool[Any]) -> None:
        self._conninfo = database if isinstance(database, str) else None
        self._pool = None if isinstance(database, str) else database
        self._most = _CONNECTIONS
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listening: tuple[AsyncConnectionPool[Any], AsyncConnection[Any]] | None = None
        if isinstance(database, str):
            self._given = _read(database)
        elif isinstance(database, AsyncConnectionPool):
            self._most = database.max_size
        else:
            raise ConfigurationError("database must be a URL, or an AsyncConnectionPool of psycopg_pool")
        if self._most <= BESIDE:
            raise ConfigurationError(f"the pool must have more than {BESIDE} connections (max_size): one listens")
        self._turns = Turns(self._most)

    @asynccontextmanager
    async def transaction(
        self, query: Composed, values: Sequence[object], *, rings: bool = False, turn: bool = True
    ) -> AsyncIterator[AsyncCursor[Any]]:
        """Begin a transaction with a query, and hand out its cursor.

        After a restart of the server all connections of the pool are dead, so that is tried until one works.
        """
        pool = await self._opened()
        async with AsyncExitStack() as stack:
            if turn:
                await stack.enter_async_context(self._turns.taken(rings=rings))
            yield await self._begun(pool, stack, query, values)

    async def _begun(
        self, pool: AsyncConnectionPool[Any], stack: AsyncExitStack, query: Composed, values: Sequence[object]
    ) -> AsyncCursor[Any]:
        left = self._most
        while True:
            connection: AsyncConnection[Any] | None = None
            try:
                async with AsyncExitStack() as trying:
                    connection = got = await trying.enter_async_context(pool.connection())
                    await trying.enter_async_context(_read_committed(got))
                    await trying.enter_async_context(got.transaction())
                    rows: AsyncCursor[Any] = await trying.enter_async_context(got.cursor(row_factory=tuple_row))
                    await rows.execute(query, values)
                    stack.push_async_exit(trying.pop_all())
                    return rows
            except errors.OperationalError:
                if connection is None or not connection.closed or not left:
                    raise
            left -= 1

    async def news(self, listen: Composed, seconds: float) -> None:
        """Return at the first notification, or after so many seconds. It keeps one connection.

        Raises what the database raises, after it has waited.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        try:
            pool = await self._opened()
            listening = self._listening
            if listening is None or listening[0] is not pool:
                listening = self._listening = await _listens(pool, listen)
            async for _ in listening[1].notifies(timeout=max(0.0, end - loop.time()), stop_after=1):
                return
        except Exception:
            await self._stop_listening()
            await asyncio.sleep(max(0.0, end - loop.time()))
            raise

    async def _stop_listening(self) -> None:
        if self._listening is not None:
            (pool, connection), self._listening = self._listening, None
            await connection.close()
            await pool.putconn(connection)

    async def _opened(self) -> AsyncConnectionPool[Any]:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._listening, self._turns = loop, None, Turns(self._most)
            self._pool = None if self._conninfo is not None else self._pool
        if self._pool is None:
            # It asks again as often as somebody wants a connection, once a second at most: a pool would usually wait
            # twice as long each time, and be away for long after its server is back.
            self._pool = AsyncConnectionPool(
                self._conninfo or "",
                min_size=1,
                max_size=_CONNECTIONS,
                open=False,
                timeout=_TURN,
                reconnect_timeout=1.0,
                name="realtime-sip",
                connection_class=_Connection,
                kwargs={name: value for name, value in _DEFAULTS.items() if name not in self._given},
            )
            await self._pool.open()  # which does not wait for a connection
        return self._pool

    async def close(self) -> None:
        """Close the connections, unless the pool was given. It can be used again."""
        await self._stop_listening()
        if self._conninfo is not None and self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.close()


def _read(conninfo: str) -> Mapping[str, Any]:
    """Return what a URL or a conninfo says. What psycopg says of one that it cannot read may have the
    password in it."""
    try:
        given = conninfo_to_dict(conninfo)
    except errors.ProgrammingError:
        given = {"port": "none"}
    # After a slash in a password, its beginning is taken for the port.
    if not all(port.isdecimal() or not port for port in str(given.get("port", "")).split(",")):
        raise ConfigurationError(
            "database must be a URL, postgresql://user:password@host:5432/name, with whatever is special in the "
            "password percent-encoded, or a conninfo"
        )
    return given


async def _listens(
    pool: AsyncConnectionPool[Any], listen: Composed
) -> tuple[AsyncConnectionPool[Any], AsyncConnection[Any]]:
    connection = await pool.getconn()
    try:
        await connection.set_autocommit(True)
        await connection.execute(listen)
    except BaseException:  # whoever gives up meanwhile does not listen
        await connection.close()
        await pool.putconn(connection)
        raise
    return pool, connection


@asynccontextmanager
async def _read_committed(connection: AsyncConnection[Any]) -> AsyncIterator[None]:
    """Let each statement see what was written before it, whatever the server's default is: whoever has waited for a
    lock has to see what was written under it."""
    level = connection.isolation_level
    await connection.set_isolation_level(IsolationLevel.READ_COMMITTED)
    try:
        yield
    finally:
        with contextlib.suppress(errors.Error):  # of a connection that is lost
            await connection.set_isolation_level(level)

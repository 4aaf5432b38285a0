"""A store in PostgreSQL, for all processes and machines that share it: one table, and the rules of all stores."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, LiteralString

from realtime_sip.errors import ConfigurationError, MissingExtraError
from realtime_sip.stores.rules import (
    BUCKETS,
    MAX_LETTERS,
    REMEMBER,
    Beat,
    Claim,
    Claimed,
    Outcome,
    Use,
    accepted,
    after,
    bucket,
    checked,
    decide,
    finished,
    offered,
    plain,
    recalled,
    used,
    written,
)

if TYPE_CHECKING:
    from psycopg import AsyncCursor
    from psycopg_pool import AsyncConnectionPool

_CLEAN = 300.0
"""Seconds after which a worker deletes what counts no more, on average."""
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}(?:\.[a-z_][a-z0-9_]{0,62})?")

_ORPHAN: LiteralString = (
    "call.phase <> 'done' and call.body <> '' and case when call.owner = %(owner)s then "
    "call.amount = 2 and call.ends <= %(now)s else (call.amount = 1 or worker.ends <= %(now)s "
    "or (call.phase = 'claimed' and call.ends <= %(now)s) or (call.phase = 'accepted' and worker.ends is null)) end"
)
"""Whether `owner` may adopt a call `now`, as `rules.is_orphan` says it. The amount is 1 of a call that is offered, 2 of
one that was adopted and not accepted since."""
_TIME: LiteralString = "select extract(epoch from clock_timestamp())::double precision"
# The lock comes before the time.
_LOCKED: LiteralString = "with locked as materialized (select pg_advisory_xact_lock(hashtextextended(%s, 0))) "
_SQL = """\
create table if not exists {table} (
    kind text not null,
    key text not null,
    member text not null default '',
    owner text,
    phase text,
    amount bigint,
    body text,
    ends double precision not null,
    kept_until double precision not null,
    primary key (kind, key, member)
);
create index if not exists {index}_kept_until on {table} (kept_until);
create index if not exists {index}_orphans on {table} (owner, ends) where kind = 'call' and phase <> 'done';
"""


def store_sql(table: str = "realtime_sip_store") -> str:
    """Return the SQL that makes the table of a `PostgresStore`; running it again does no harm.

    `ends` and `kept_until` are Unix seconds by the server's clock.

    >>> print(store_sql("shop.calls").splitlines()[0])
    create table if not exists shop.calls (

    Raises:
        ConfigurationError: That is no plain name of a table in lower case.
    """
    if not _NAME.fullmatch(table):
        raise ConfigurationError("table must be a plain name in lower case, with the schema's before it if need be")
    return _SQL.format(table=table, index=table.rpartition(".")[2])


class PostgresStore:
    """Keeps claims, counters, nonces and notes in one table of PostgreSQL.

    The server's clock counts. Make the table first, with the SQL of `store_sql`. It goes through a pool of at most
    eight connections, made on the event loop that uses the store first. It works behind a pooler that shares
    connections between transactions (PgBouncer).

    `shared` is True: hosts take over each other's calls.
    """

    shared = True

    def __init__(
        self,
        database: str | AsyncConnectionPool[Any],
        *,
        table: str = "realtime_sip_store",
    ) -> None:
        """Use a database.

        Args:
            database: Its URL or conninfo, or a pool of `psycopg_pool` that is open, for three connections at least, of
                which one listens. Such a pool is not closed here, and its deadlines are its own.
            table: The table, with its schema's name before it if need be.

        Raises:
            ConfigurationError: The database is neither, the pool is too small, the table is no plain name, or psycopg
                is not installed.
        """
        store_sql(table)
        try:
            import psycopg
            import psycopg.sql

            from realtime_sip.stores.postgres_pool import Pool
        except ImportError:
            raise MissingExtraError("psycopg", "postgres") from None
        self._table = table
        self._ahead = 0.0  # of the server's clock; tests pass the time so
        self._pool = Pool(database)
        self._errors = psycopg.errors
        self._sql = psycopg.sql.SQL
        self._identifier = psycopg.sql.Identifier
        self._name = self._identifier(*table.split("."))
        self._channel = f"{table}.news".replace(".", "_")

    # --- calls --------------------------------------------------------------------------------------------------------

    async def claim(self, call_id: str, *, owner: str, lease: float, ticket: str = "") -> Claimed:
        """Claim a call for `lease` seconds, if it is free."""
        after(0.0, lease, "lease")
        async with self._rows(f"call:{call_id}", rings=True) as (rows, now):
            before = await self._claim_of(rows, call_id)
            answer = decide(before, call_id=call_id, owner=owner, now=now, lease=lease, ticket=ticket)
            if answer.outcome is Outcome.ADOPTED and before is not None:
                await self._given(rows, before.owner, answer.claim, now)
                if answer.claim.phase == "accepted":
                    await self._live(rows, owner, answer.claim.expires_at)
            elif answer.outcome is Outcome.NEW:
                await self._put_claim(rows, answer.claim, keep=now + REMEMBER)
            return answer

    async def _given(self, rows: AsyncCursor[Any], before: str, claim: Claim, now: float) -> None:
        await self._put_claim(rows, claim, keep=now + REMEMBER, amount=2)
        await self._told(rows, before, claim.owner, claim.call_id, now)

    async def _told(self, rows: AsyncCursor[Any], before: str, owner: str, call_id: str, now: float) -> None:
        """Let the owner before know, and move the letters of the call."""
        if before == owner:
            return
        await self._put(rows, "taken", before, call_id, ends=now, keep=now + REMEMBER)
        await self._ask(
            rows,
            "update {table} set key = %s where kind = 'letter' and key = %s and split_part(member, ' ', 2) = %s",
            [owner, before, call_id],
        )

    async def accept(self, call_id: str, *, owner: str, lease: float, ticket: str | None = None) -> bool:
        """Record that the call is accepted: from now on its owner's lease counts. False if it is not the owner's."""
        after(0.0, lease, "lease")
        async with self._rows(f"call:{call_id}") as (rows, now):
            before = await self._claim_of(rows, call_id)
            claim = accepted(before, call_id=call_id, owner=owner, now=now, lease=lease, ticket=ticket)
            if claim is None:
                return False
            await self._put_claim(rows, claim, keep=now + REMEMBER)
            await self._live(rows, owner, claim.expires_at)
            return True

    async def heartbeat(self, owner: str, *, lease: float, free: int = 0) -> Beat:
        """Make the owner live for `lease` seconds from now; return what happened to its calls meanwhile."""
        after(0.0, lease, "lease")
        async with self._rows(turn=False) as (rows, now):
            await self._put(rows, "worker", owner, ends=now + lease, keep=now + REMEMBER, amount=free)
            await self._ask(
                rows,
                "delete from {table} where kind in ('taken', 'letter') and key = %s returning kind, member, body",
                [owner],
            )
            told = await rows.fetchall()
            await self._ask(
                rows,
                "select coalesce(sum(amount), 0) from {table} where kind = 'worker' and key <> %s and ends > %s",
                [owner, now],
            )
            row = await rows.fetchone()
            if random.random() < 1.0 / _CLEAN:  # noqa: S311 - a heartbeat comes each second
                await self._ask(rows, "delete from {table} where kept_until < %s", [now])
        letters = sorted((str(member), str(body)) for kind, member, body in told if kind == "letter")
        return Beat(
            tuple(str(member) for kind, member, _ in told if kind == "taken"),
            tuple((member.partition(" ")[2], body) for member, body in letters),
            int(0 if row is None else row[0]),
        )

    async def offer(self, call_id: str, *, owner: str, ticket: str) -> bool:
        """Let another worker adopt the call from now on, with this ticket. False if it is not the owner's."""
        checked(ticket)
        async with self._rows(f"call:{call_id}") as (rows, now):
            claim = offered(await self._claim_of(rows, call_id), owner=owner, ticket=ticket)
            if claim is None:
                return False
            await self._put_claim(rows, claim, keep=now + REMEMBER)
            await self._ask(rows, "select pg_notify(%s, '')", [self._channel])
            return True

    async def recall(self, call_id: str, *, owner: str) -> bool:
        """Take back an offer. False if somebody has adopted the call."""
        async with self._rows(f"call:{call_id}") as (rows, now):
            claim = recalled(await self._claim_of(rows, call_id), owner=owner)
            if claim is None:
                return False
            await self._put_claim(rows, claim, keep=now + REMEMBER)
            return True

    async def adopt(self, owner: str, *, lease: float, most: int) -> list[Claim]:
        """Adopt up to `most` calls that are offered, or whose owners have died."""
        after(0.0, lease, "lease")
        async with self._rows("adopt", rings=True) as (rows, now):
            await self._ask(
                rows,
                "select call.key from {table} call left join {table} worker on worker.kind = 'worker' "
                "and worker.key = call.owner where call.kind = 'call' and {orphan} order by call.key limit %(most)s",
                {"owner": owner, "now": now, "most": most},
            )
            found = [str(row[0]) for row in await rows.fetchall()]
            if not found:
                return []
            # Under their locks it is decided anew: an owner may have come back, or finished one.
            locks = [f"{self._table}:call:{call_id}" for call_id in found]
            await self._ask(
                rows,
                "select pg_advisory_xact_lock(hashtextextended(name, 0)) "
                "from (select unnest(%s::text[]) as name) names",
                [locks],
            )
            await self._ask(
                rows,
                "update {table} call set owner = %(owner)s, ends = %(ends)s, kept_until = %(keep)s, amount = 2 "
                "from {table} before left join {table} worker on worker.kind = 'worker' and worker.key = before.owner "
                "where before.kind = 'call' and before.key = any(%(found)s) and before.member = call.member "
                "and call.kind = 'call' and call.key = before.key and {orphan} "
                "returning call.key, call.phase, call.body, before.owner",
                {"owner": owner, "now": now, "ends": now + lease, "keep": now + REMEMBER, "found": found},
            )
            taken = await rows.fetchall()
            for call_id, _, _, before in taken:
                await self._told(rows, str(before), owner, str(call_id), now)
        return [Claim(str(row[0]), owner, row[1], now + lease, False, str(row[2])) for row in taken]

    async def post(self, call_id: str, text: str) -> bool:
        """Leave a letter for whoever serves the call. False if nobody does."""
        checked(text)
        async with self._rows(f"call:{call_id}") as (rows, now):
            claim = await self._claim_of(rows, call_id)
            if claim is None or claim.phase == "done":
                return False
            # Letters are sorted by when they were posted: under the lock of one call, in order.
            member = f"{now:020.6f} {call_id}"
            await self._put(rows, "letter", claim.owner, member, ends=now, keep=now + REMEMBER, body=text)
            await self._ask(
                rows,
                "delete from {table} where kind = 'letter' and key = %s and member not in (select member from {table} "
                "where kind = 'letter' and key = %s order by member desc limit %s)",
                [claim.owner, claim.owner, MAX_LETTERS],
            )
            await self._ask(rows, "select pg_notify(%s, '')", [self._channel])
            return True

    async def news(self, seconds: float) -> None:
        """Return when something was offered or posted, or after so many seconds. It keeps one connection of the pool.

        Raises what the database raises, after it has waited.
        """
        await self._pool.news(self._sql("listen {}").format(self._identifier(self._channel)), seconds)

    async def finish(self, call_id: str, *, owner: str, remember: float = REMEMBER) -> bool:
        """Record that the call is done, and remember it for `remember` seconds. False if it is not the owner's."""
        after(0.0, remember, "remember")
        async with self._rows(f"call:{call_id}") as (rows, now):
            before = await self._claim_of(rows, call_id)
            claim = finished(before, owner=owner, now=now, remember=remember)
            if claim is None:
                return False
            await self._put_claim(rows, claim, keep=claim.expires_at)
            return True

    async def _claim_of(self, rows: AsyncCursor[Any], call_id: str) -> Claim | None:
        await self._ask(
            rows,
            "select call.owner, call.phase, case when call.phase = 'accepted' then coalesce(worker.ends, 0) "
            "else call.ends end, coalesce(call.amount, 0) = 1, coalesce(call.body, '') "
            "from {table} call left join {table} worker on worker.kind = 'worker' "
            "and worker.key = call.owner where call.kind = 'call' and call.key = %s",
            [call_id],
        )
        row = await rows.fetchone()
        return None if row is None else Claim(call_id, *row)

    async def _put_claim(self, rows: AsyncCursor[Any], claim: Claim, *, keep: float, amount: int | None = None) -> None:
        await self._put(
            rows,
            "call",
            claim.call_id,
            ends=claim.expires_at,
            keep=keep,
            owner=claim.owner,
            phase=claim.phase,
            amount=int(claim.offered) if amount is None else amount,
            body=claim.ticket,
        )

    async def _live(self, rows: AsyncCursor[Any], owner: str, until: float) -> None:
        await self._ask(
            rows,
            "insert into {table} as kept (kind, key, ends, kept_until) values ('worker', %s, %s, %s) "
            "on conflict (kind, key, member) do update set ends = greatest(kept.ends, excluded.ends)",
            [owner, until, until + REMEMBER],
        )

    # --- nonces, counters, notes --------------------------------------------------------------------------------------

    async def use(self, nonce: str, *, by: str, remember: float) -> bool:
        """Use a nonce, and remember for `remember` seconds by whom. False if somebody else used it before."""
        after(0.0, remember, "remember")
        nonce, by = plain(nonce), plain(by)
        async with self._rows(f"nonce:{nonce}", rings=True) as (rows, now):
            row = await self._get(rows, "nonce", nonce)
            before = None if row is None else Use(row[0], row[2])
            use = used(before, by=by, now=now, remember=remember)
            if use is not before:
                await self._put(rows, "nonce", nonce, ends=use.expires_at, keep=use.expires_at, owner=use.by)
            return use.by == by

    async def add(self, key: str, amount: int, *, per: float, most: int | None = None) -> int:
        """Add an amount of 0 or more, and return the sum of the last `per` seconds, with this one."""
        if amount < 0:
            raise ConfigurationError("an amount to count must be 0 or more")
        bucket(0.0, per=per)
        counter = f"{per:g}:{plain(key)}"
        async with self._rows(f"sum:{counter}") as (rows, now):
            current = bucket(now, per=per)
            await self._ask(
                rows,
                "select coalesce(sum(amount), 0) from {table} where kind = 'sum' and key = %s and member::bigint >= %s",
                [counter, current - BUCKETS],
            )
            row = await rows.fetchone()
            total = int(0 if row is None else row[0]) + amount
            if amount and (most is None or total <= most):
                ends = now + per * (BUCKETS + 2) / BUCKETS
                await self._ask(
                    rows,
                    "insert into {table} as kept (kind, key, member, amount, ends, kept_until) "
                    "values ('sum', %s, %s, %s, %s, %s) on conflict (kind, key, member) "
                    "do update set amount = kept.amount + excluded.amount",
                    [counter, str(current), amount, ends, ends],
                )
            return total

    async def total(self, key: str, *, per: float) -> int:
        """Return the sum of the last `per` seconds."""
        return await self.add(key, 0, per=per)

    async def enter(self, key: str, member: str, *, lease: float, most: int | None = None) -> bool:
        """Let a member in for `lease` seconds, or for as long again. False if it is not in and `most` others are."""
        after(0.0, lease, "lease")
        key, member = plain(key), plain(member)
        async with self._rows(f"in:{key}") as (rows, now):
            if most is not None:
                await self._ask(
                    rows,
                    "select count(*), bool_or(member = %s) from {table} where kind = 'in' and key = %s and ends > %s",
                    [member, key, now],
                )
                row = await rows.fetchone()
                if row is not None and row[0] >= most and not row[1]:
                    return False
            await self._put(rows, "in", key, member, ends=now + lease, keep=now + lease)
            return True

    async def leave(self, key: str, member: str) -> None:
        """Let a member out. One that is not in may leave too."""
        async with self._rows() as (rows, _):
            await self._ask(
                rows, "delete from {table} where kind = 'in' and key = %s and member = %s", [plain(key), plain(member)]
            )

    async def note(self, key: str, text: str, *, remember: float) -> None:
        """Remember a text for `remember` seconds, in place of the one before."""
        async with self._rows() as (rows, now):
            note = written(text, now=now, remember=remember)
            await self._put(rows, "note", plain(key), ends=note.expires_at, keep=note.expires_at, body=note.text)

    async def noted(self, key: str) -> str | None:
        """Return the text that was noted, or None."""
        async with self._rows() as (rows, now):
            row = await self._get(rows, "note", plain(key))
            return None if row is None or row[2] <= now else str(row[1])

    async def take(self, key: str) -> str | None:
        """Forget what was noted, and return it, or None."""
        async with self._rows() as (rows, now):
            await self._ask(
                rows, "delete from {table} where kind = 'note' and key = %s returning body, ends", [plain(key)]
            )
            row = await rows.fetchone()
            return None if row is None or row[1] <= now else str(row[0])

    # --- the table ----------------------------------------------------------------------------------------------------

    async def _ask(
        self, rows: AsyncCursor[Any], query: LiteralString, values: Sequence[object] | Mapping[str, object] = ()
    ) -> None:
        await rows.execute(self._sql(query).format(table=self._name, orphan=self._sql(_ORPHAN)), values)

    async def _get(self, rows: AsyncCursor[Any], kind: str, key: str) -> Any:
        """Return what there is at a key: whose it is, what it says, and when it ends; or None."""
        await self._ask(
            rows, "select owner, body, ends from {table} where kind = %s and key = %s and member = ''", [kind, key]
        )
        return await rows.fetchone()

    async def _put(
        self,
        rows: AsyncCursor[Any],
        kind: str,
        key: str,
        member: str = "",
        *,
        ends: float,
        keep: float,
        owner: str | None = None,
        phase: str | None = None,
        amount: int | None = None,
        body: str | None = None,
    ) -> None:
        await self._ask(
            rows,
            "insert into {table} (kind, key, member, owner, phase, amount, body, ends, kept_until) "
            "values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (kind, key, member) do update set "
            "owner = excluded.owner, phase = excluded.phase, amount = excluded.amount, body = excluded.body, "
            "ends = excluded.ends, kept_until = excluded.kept_until",
            [kind, key, member, owner, phase, amount, body, ends, keep],
        )

    @asynccontextmanager
    async def _rows(
        self, lock: str | None = None, *, rings: bool = False, turn: bool = True
    ) -> AsyncIterator[tuple[AsyncCursor[Any], float]]:
        """Hand out a cursor in a transaction, and the server's time; until it ends, nobody else has the `lock`."""
        query, values = _TIME, list[object]()
        if lock is not None:
            query, values = _LOCKED + _TIME + " from locked", [f"{self._table}:{lock}"]
        try:
            async with self._pool.transaction(self._sql(query).format(), values, rings=rings, turn=turn) as rows:
                row = await rows.fetchone()
                yield rows, float(0 if row is None else row[0]) + self._ahead
        except self._errors.UndefinedTable:
            raise ConfigurationError(
                f"there is no table {self._table}: run the SQL that `realtime-sip store sql` prints"
            ) from None
        except self._errors.InsufficientPrivilege:
            raise ConfigurationError(
                f"the database's user must be allowed to select, insert, update and delete in {self._table}"
            ) from None
        except self._errors.ReadOnlySqlTransaction:
            raise ConfigurationError(
                "the database takes no writes: name its primary, or all hosts with target_session_attrs=read-write"
            ) from None

    async def close(self) -> None:
        """Close the connections, unless the pool was given. The store can be used again."""
        await self._pool.close()

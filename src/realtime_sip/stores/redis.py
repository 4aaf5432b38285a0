"""A store in Redis or Valkey, for all processes and machines that share it. Each operation is one Lua script."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from realtime_sip.errors import ConfigurationError, MissingExtraError
from realtime_sip.stores import redis_scripts as scripts
from realtime_sip.stores.rules import (
    BUCKETS,
    MAX_LETTERS,
    REMEMBER,
    Beat,
    Claim,
    Claimed,
    Outcome,
    Phase,
    after,
    bucket,
    checked,
    plain,
)
from realtime_sip.stores.turns import Turns

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

_TIMEOUT = 5.0
"""Seconds for a connection, and for an answer."""
MAX_CONNECTIONS = 10
"""Connections of one store, one of which listens. Operations beyond that wait for their turn."""


class RedisStore:
    """Keeps claims, counters, nonces and notes in Redis or Valkey, which speaks the same protocol.

    The server's clock counts. Keys are forgotten in their time. All of them have one hash tag, so that a cluster keeps
    them in one slot. With asynchronous replication, the last writes before a failover may be lost: two workers may then
    have one call until the service refuses one of them (409), and a tool may run twice.

    `shared` is True: hosts take over each other's calls.

    A client is made on the event loop that uses the store first, and belongs to it. `maxmemory-policy` of the server
    has to be `noeviction`, else claims go when memory is short.
    """

    shared = True

    def __init__(self, server: str | Redis | RedisCluster, *, prefix: str = "realtime-sip") -> None:
        """Use a server.

        Args:
            server: Its URL (`redis://`, `rediss://`, `unix://`), or a client of `redis.asyncio`, also of a cluster; a
                client needs timeouts of its own, and is not closed here.
            prefix: What all keys begin with. Stores of different prefixes know nothing of each other.

        Raises:
            ConfigurationError: The server is neither, the prefix has a brace, or redis is not installed.
        """
        if not prefix or "{" in prefix or "}" in prefix:
            raise ConfigurationError("prefix must be a text without braces, which are its hash tag in a cluster")
        try:
            import redis.asyncio
            import redis.exceptions
            from redis.asyncio.connection import parse_url
        except ImportError:
            raise MissingExtraError("redis", "redis") from None
        self._prefix = f"{{{prefix}}}:"
        self._ahead = 0.0  # of the server's clock; tests pass the time so
        self._own = isinstance(server, str)
        self._url = server if isinstance(server, str) else ""
        if self._own:
            try:
                parse_url(self._url)
            except ValueError:  # whose text may have the password in it
                raise ConfigurationError(
                    "server must be a URL: redis://, rediss:// or unix://, with whatever is special in the password "
                    "percent-encoded"
                ) from None
        if not self._own and not hasattr(server, "evalsha"):
            raise ConfigurationError("server must be a URL, or a client of redis.asyncio")
        self._client: Any = None if self._own else server
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listening: Any = None
        self._from_pool = redis.asyncio.Redis.from_pool
        self._pool_of_url = redis.asyncio.BlockingConnectionPool.from_url
        self._errors = redis.exceptions
        self._turns = Turns(MAX_CONNECTIONS)

    async def claim(self, call_id: str, *, owner: str, lease: float, ticket: str = "") -> Claimed:
        """Claim a call for `lease` seconds, if it is free."""
        after(0.0, lease, "lease")
        keys = [self._key("call", call_id)]
        outcome, *claim = await self._run_of_calls(
            scripts.CLAIM, keys, call_id, owner, lease, checked(ticket), scripts.KEEP, rings=True
        )
        return Claimed(Outcome(_text(outcome)), _claim([call_id, *claim]))

    async def accept(self, call_id: str, *, owner: str, lease: float, ticket: str | None = None) -> bool:
        """Record that the call is accepted: from now on its owner's lease counts. False if it is not the owner's."""
        after(0.0, lease, "lease")
        written = [int(ticket is not None), checked(ticket or ""), scripts.KEEP]
        keys = [self._key("call", call_id)]
        return bool(await self._run_of_calls(scripts.ACCEPT, keys, call_id, owner, lease, *written))

    async def heartbeat(self, owner: str, *, lease: float, free: int = 0) -> Beat:
        """Make the owner live for `lease` seconds from now; return what happened to its calls meanwhile."""
        after(0.0, lease, "lease")
        keys = [self._key("workers"), self._key("taken", owner), self._key("letters", owner), self._key("free")]
        taken, letters, others = await self._ask(scripts.HEARTBEAT, keys, owner, lease, scripts.KEEP, free)
        texts = [_text(each) for each in letters]
        return Beat(tuple(map(_text, taken)), tuple(zip(texts[::2], texts[1::2], strict=True)), int(others))

    async def offer(self, call_id: str, *, owner: str, ticket: str) -> bool:
        """Let another worker adopt the call from now on, with this ticket. False if it is not the owner's."""
        keys = [self._key("call", call_id)]
        return bool(await self._run_of_calls(scripts.OFFER, keys, call_id, owner, checked(ticket)))

    async def recall(self, call_id: str, *, owner: str) -> bool:
        """Take back an offer. False if somebody has adopted the call."""
        return bool(await self._run_of_calls(scripts.RECALL, [self._key("call", call_id)], call_id, owner))

    async def adopt(self, owner: str, *, lease: float, most: int) -> list[Claim]:
        """Adopt up to `most` calls that are offered, or whose owners have died."""
        after(0.0, lease, "lease")
        claims = await self._run_of_calls(scripts.ADOPT, [self._key("due")], owner, lease, most, rings=True)
        return [_claim(each) for each in claims]

    async def post(self, call_id: str, text: str) -> bool:
        """Leave a letter for whoever serves the call. False if nobody does."""
        keys = [self._key("call", call_id)]
        return bool(await self._run_of_calls(scripts.POST, keys, call_id, checked(text), MAX_LETTERS, scripts.KEEP))

    async def news(self, seconds: float) -> None:
        """Return when something was offered or posted, or after so many seconds.

        Raises what the client raises, after it has waited.
        """
        client = self._connected()
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        try:
            if self._listening is None and hasattr(client, "pubsub"):
                self._listening = await self._listens(client)
            while self._listening is not None and (left := end - loop.time()) > 0:
                if await self._listening.get_message(timeout=left) is not None:
                    return
        except Exception:
            listening, self._listening = self._listening, None
            with contextlib.suppress(Exception):
                if listening is not None:
                    await listening.aclose()
            await asyncio.sleep(max(0.0, end - loop.time()))
            raise
        await asyncio.sleep(max(0.0, end - loop.time()))

    async def _listens(self, client: Any) -> Any:
        listening = client.pubsub(ignore_subscribe_messages=True)
        try:
            await listening.subscribe(self._key("news"))
        except BaseException:  # whoever gives up meanwhile does not listen
            with contextlib.suppress(Exception):
                await listening.aclose()
            raise
        return listening

    async def finish(self, call_id: str, *, owner: str, remember: float = REMEMBER) -> bool:
        """Record that the call is done, and remember it for `remember` seconds. False if it is not the owner's."""
        after(0.0, remember, "remember")
        return bool(await self._run_of_calls(scripts.FINISH, [self._key("call", call_id)], call_id, owner, remember))

    async def use(self, nonce: str, *, by: str, remember: float) -> bool:
        """Use a nonce, and remember for `remember` seconds by whom. False if somebody else used it before."""
        after(0.0, remember, "remember")
        return bool(await self._run(scripts.USE, [self._key("nonce", plain(nonce))], plain(by), remember, rings=True))

    async def add(self, key: str, amount: int, *, per: float, most: int | None = None) -> int:
        """Add an amount of 0 or more, and return the sum of the last `per` seconds, with this one."""
        bucket(0.0, per=per)
        if amount < 0:
            raise ConfigurationError("an amount to count must be 0 or more")
        keys = [self._key("sum", f"{per:g}:{plain(key)}")]
        return int(await self._run(scripts.ADD, keys, amount, per, "" if most is None else most, BUCKETS))

    async def total(self, key: str, *, per: float) -> int:
        """Return the sum of the last `per` seconds."""
        return await self.add(key, 0, per=per)

    async def enter(self, key: str, member: str, *, lease: float, most: int | None = None) -> bool:
        """Let a member in for `lease` seconds, or for as long again. False if it is not in and `most` others are."""
        after(0.0, lease, "lease")
        return bool(
            await self._run(
                scripts.ENTER, [self._key("in", plain(key))], plain(member), lease, "" if most is None else most
            )
        )

    async def leave(self, key: str, member: str) -> None:
        """Let a member out. One that is not in may leave too."""
        await self._run(scripts.LEAVE, [self._key("in", plain(key))], plain(member))

    async def note(self, key: str, text: str, *, remember: float) -> None:
        """Remember a text for `remember` seconds, in place of the one before."""
        after(0.0, remember, "remember")
        await self._run(scripts.NOTE, [self._key("note", plain(key))], checked(text), remember)

    async def noted(self, key: str) -> str | None:
        """Return the text that was noted, or None."""
        note = await self._run(scripts.NOTED, [self._key("note", plain(key))], "look")
        return None if note is None else _text(note)

    async def take(self, key: str) -> str | None:
        """Forget what was noted, and return it, or None."""
        note = await self._run(scripts.NOTED, [self._key("note", plain(key))], "take")
        return None if note is None else _text(note)

    async def close(self) -> None:
        """Close the connections, unless the client was given. The store can be used again."""
        if self._listening is not None:
            listening, self._listening = self._listening, None
            await listening.aclose()
        if self._own and self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    def _key(self, kind: str, name: str = "") -> str:
        return f"{self._prefix}{kind}:{name}" if name else f"{self._prefix}{kind}"

    async def _run_of_calls(self, script: str, keys: list[str], *arguments: object, rings: bool = False) -> Any:
        return await self._run(scripts.OF_CALLS + script, keys, *arguments, self._prefix, rings=rings)

    async def _run(self, script: str, keys: list[str], *arguments: object, rings: bool = False) -> Any:
        self._connected()
        async with self._turns.taken(rings=rings):
            return await self._ask(script, keys, *arguments)

    async def _ask(self, script: str, keys: list[str], *arguments: object) -> Any:
        client = self._connected()
        values = [str(each) for each in (*arguments, self._ahead)]
        source = scripts.NOW + script
        sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        try:
            try:
                return await client.evalsha(sha, len(keys), *keys, *values)
            except self._errors.NoScriptError:
                return await client.eval(source, len(keys), *keys, *values)
        except self._errors.ReadOnlyError:
            # It became a replica. Its name may lead to the new primary, if it is looked up again.
            if self._own:
                await client.connection_pool.disconnect(inuse_connections=False)
            raise

    def _connected(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._listening, self._turns = loop, None, Turns(MAX_CONNECTIONS)
            self._client = None if self._own else self._client
        if self._client is None:
            pool = self._pool_of_url(
                self._url,
                max_connections=MAX_CONNECTIONS,
                timeout=_TIMEOUT,
                decode_responses=True,
                protocol=2,
                socket_timeout=_TIMEOUT,
                socket_connect_timeout=_TIMEOUT,
                health_check_interval=30,
            )
            self._client = self._from_pool(pool)
        return self._client


def _claim(told: Sequence[object]) -> Claim:
    call_id, owner, phase, ends, offered, ticket = map(_text, told)
    return Claim(call_id, owner, cast("Phase", phase), float(ends), offered == "1", ticket)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

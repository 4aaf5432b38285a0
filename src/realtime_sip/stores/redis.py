"""A store in Redis or Valkey, for all processes and machines that share it. Each operation is one Lua script."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any, cast

from realtime_sip.errors import ConfigurationError, MissingExtraError
from realtime_sip.stores.rules import (
    BUCKETS,
    MAX_NOTE,
    REMEMBER,
    Claim,
    Claimed,
    Outcome,
    Phase,
    after,
    bucket,
)

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

_TIMEOUT = 5.0
"""Seconds for a connection, and for an answer."""
_KEEP = int(REMEMBER * 1000)
"""Milliseconds for which a call that is not done is kept: nobody serves it for longer."""

# What all scripts begin with: the time by the server's clock. The last argument shifts it, in tests alone.
_NOW = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000 + tonumber(ARGV[#ARGV])
local function text(seconds) return string.format('%.6f', seconds) end
"""

_CLAIM = """
local id, owner, lease, taken = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local ends = now + lease
local was, phase, till = unpack(redis.call('HMGET', KEYS[1], 'owner', 'phase', 'ends'))
if not was or (phase == 'done' and tonumber(till) <= now) then
  redis.call('HSET', KEYS[1], 'owner', owner, 'phase', 'claimed', 'ends', text(ends))
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  return {'new', owner, 'claimed', text(ends)}
end
if phase == 'accepted' then till = redis.call('ZSCORE', KEYS[2], was) or '0' end
if phase == 'done' or was == owner or tonumber(till) > now then return {'repeat', was, phase, till} end
redis.call('HSET', KEYS[1], 'owner', owner, 'ends', text(ends))
redis.call('RPUSH', taken .. was, id)
redis.call('PEXPIRE', taken .. was, ARGV[5])
if phase == 'accepted' then redis.call('ZADD', KEYS[2], 'GT', text(ends), owner) end
return {'adopted', owner, phase, text(ends)}
"""

_ACCEPT = """
local owner, ends = ARGV[1], now + tonumber(ARGV[2])
local was, phase, till = unpack(redis.call('HMGET', KEYS[1], 'owner', 'phase', 'ends'))
local gone = not was or (phase == 'done' and tonumber(till) <= now)
if not gone and (was ~= owner or phase == 'done') then return 0 end
redis.call('HSET', KEYS[1], 'owner', owner, 'phase', 'accepted', 'ends', text(ends))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[2], 'GT', text(ends), owner)
return 1
"""

_HEARTBEAT = """
redis.call('ZADD', KEYS[1], text(now + tonumber(ARGV[2])), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now - tonumber(ARGV[3]) / 1000))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local taken = redis.call('LRANGE', KEYS[2], 0, -1)
redis.call('DEL', KEYS[2])
return taken
"""

_FINISH = """
local remember = tonumber(ARGV[2])
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'phase', 'done', 'ends', text(now + remember))
redis.call('PEXPIRE', KEYS[1], math.ceil(remember * 1000))
return 1
"""

_USE = """
local by, till = unpack(redis.call('HMGET', KEYS[1], 'by', 'ends'))
if by and tonumber(till) > now then return by == ARGV[1] and 1 or 0 end
redis.call('HSET', KEYS[1], 'by', ARGV[1], 'ends', text(now + tonumber(ARGV[2])))
redis.call('PEXPIRE', KEYS[1], math.ceil(tonumber(ARGV[2]) * 1000))
return 1
"""

# With an amount of 0 that is not to be added it is a sum alone.
_ADD = """
local amount, per, most, buckets = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local current = math.floor(now / per * buckets)
local sum = amount
local kept = redis.call('HGETALL', KEYS[1])
for index = 1, #kept, 2 do
  if tonumber(kept[index]) < current - buckets then
    redis.call('HDEL', KEYS[1], kept[index])
  else
    sum = sum + tonumber(kept[index + 1])
  end
end
if amount > 0 and (not most or sum <= most) then
  redis.call('HINCRBY', KEYS[1], string.format('%d', current), amount)
  redis.call('PEXPIRE', KEYS[1], math.ceil(per * 1000 * (buckets + 2) / buckets))
end
return string.format('%d', sum)
"""

_ENTER = """
local member, lease, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now))
local inside = redis.call('ZSCORE', KEYS[1], member)
if not inside and most and redis.call('ZCARD', KEYS[1]) >= most then return 0 end
redis.call('ZADD', KEYS[1], text(now + lease), member)
local keep = math.ceil(lease * 1000)
if redis.call('PTTL', KEYS[1]) < keep then redis.call('PEXPIRE', KEYS[1], keep) end
return 1
"""

_LEAVE = """
redis.call('ZREM', KEYS[1], ARGV[1])
return 1
"""

_NOTE = """
redis.call('HSET', KEYS[1], 'text', ARGV[1], 'ends', text(now + tonumber(ARGV[2])))
redis.call('PEXPIRE', KEYS[1], math.ceil(tonumber(ARGV[2]) * 1000))
return 1
"""

_NOTED = """
local note, till = unpack(redis.call('HMGET', KEYS[1], 'text', 'ends'))
if ARGV[1] == 'take' then redis.call('DEL', KEYS[1]) end
if not note or tonumber(till) <= now then return false end
return note
"""


class RedisStore:
    """Keeps claims, counters, nonces and notes in Redis (tested with 7.0) or Valkey, which speaks the same protocol.

    The server's clock counts. Keys are forgotten in their time. All of them have one hash tag, so that a cluster keeps
    them in one slot. With asynchronous replication, the last writes before a failover may be lost: two workers may then
    have one call until the service refuses one of them (409), and a tool may run twice.

    A client is made on the event loop that uses the store first, and belongs to it. `maxmemory-policy` of the server
    has to be `noeviction`, else claims go when memory is short.
    """

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
        except ImportError:
            raise MissingExtraError("redis", "redis") from None
        self._prefix = f"{{{prefix}}}:"
        self._ahead = 0.0  # of the server's clock; tests pass the time so
        self._own = isinstance(server, str)
        self._url = server if isinstance(server, str) else ""
        if self._own and not self._url.startswith(("redis://", "rediss://", "unix://")):
            raise ConfigurationError("server must be a URL that begins with redis://, rediss:// or unix://")
        if not self._own and not hasattr(server, "evalsha"):
            raise ConfigurationError("server must be a URL, or a client of redis.asyncio")
        self._client: Any = None if self._own else server
        self._loop: asyncio.AbstractEventLoop | None = None
        self._from_url = redis.asyncio.Redis.from_url
        self._no_script = redis.exceptions.NoScriptError

    async def claim(self, call_id: str, *, owner: str, lease: float) -> Claimed:
        """Claim a call for `lease` seconds, if it is free."""
        after(0.0, lease, "lease")
        keys = [self._key("call", call_id), self._key("workers")]
        answer = await self._run(_CLAIM, keys, call_id, owner, lease, self._key("taken", ""), _KEEP)
        outcome, holder, phase, ends = map(_text, answer)
        return Claimed(Outcome(outcome), Claim(call_id, holder, cast("Phase", phase), float(ends)))

    async def accept(self, call_id: str, *, owner: str, lease: float) -> bool:
        """Record that the call is accepted: from now on its owner's lease counts. False if it is not the owner's."""
        after(0.0, lease, "lease")
        keys = [self._key("call", call_id), self._key("workers")]
        return bool(await self._run(_ACCEPT, keys, owner, lease, _KEEP))

    async def heartbeat(self, owner: str, *, lease: float) -> list[str]:
        """Make the owner live for `lease` seconds from now; return the calls that others took from it meanwhile."""
        after(0.0, lease, "lease")
        keys = [self._key("workers"), self._key("taken", owner)]
        return [_text(each) for each in await self._run(_HEARTBEAT, keys, owner, lease, _KEEP)]

    async def finish(self, call_id: str, *, owner: str, remember: float = REMEMBER) -> bool:
        """Record that the call is done, and remember it for `remember` seconds. False if it is not the owner's."""
        after(0.0, remember, "remember")
        return bool(await self._run(_FINISH, [self._key("call", call_id)], owner, remember))

    async def use(self, nonce: str, *, by: str, remember: float) -> bool:
        """Use a nonce, and remember for `remember` seconds by whom. False if somebody else used it before."""
        after(0.0, remember, "remember")
        return bool(await self._run(_USE, [self._key("nonce", nonce)], by, remember))

    async def add(self, key: str, amount: int, *, per: float, most: int | None = None) -> int:
        """Add an amount of 0 or more, and return the sum of the last `per` seconds, with this one."""
        bucket(0.0, per=per)
        if amount < 0:
            raise ConfigurationError("an amount to count must be 0 or more")
        keys = [self._key("sum", f"{per:g}:{key}")]
        return int(await self._run(_ADD, keys, amount, per, "" if most is None else most, BUCKETS))

    async def total(self, key: str, *, per: float) -> int:
        """Return the sum of the last `per` seconds."""
        return await self.add(key, 0, per=per)

    async def enter(self, key: str, member: str, *, lease: float, most: int | None = None) -> bool:
        """Let a member in for `lease` seconds, or for as long again. False if it is not in and `most` others are."""
        after(0.0, lease, "lease")
        return bool(await self._run(_ENTER, [self._key("in", key)], member, lease, "" if most is None else most))

    async def leave(self, key: str, member: str) -> None:
        """Let a member out. One that is not in may leave too."""
        await self._run(_LEAVE, [self._key("in", key)], member)

    async def note(self, key: str, text: str, *, remember: float) -> None:
        """Remember a text for `remember` seconds, in place of the one before."""
        after(0.0, remember, "remember")
        if len(text) > MAX_NOTE:
            raise ConfigurationError(f"a note must have at most {MAX_NOTE} characters")
        await self._run(_NOTE, [self._key("note", key)], text, remember)

    async def noted(self, key: str) -> str | None:
        """Return the text that was noted, or None."""
        note = await self._run(_NOTED, [self._key("note", key)], "look")
        return None if note is None else _text(note)

    async def take(self, key: str) -> str | None:
        """Forget what was noted, and return it, or None."""
        note = await self._run(_NOTED, [self._key("note", key)], "take")
        return None if note is None else _text(note)

    async def close(self) -> None:
        """Close the connections, unless the client was given. The store can be used again."""
        if self._own and self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    def _key(self, kind: str, name: str = "") -> str:
        return f"{self._prefix}{kind}:{name}" if name or kind == "taken" else f"{self._prefix}{kind}"

    async def _run(self, script: str, keys: list[str], *arguments: object) -> Any:
        client = self._connected()
        values = [str(each) for each in (*arguments, self._ahead)]
        source = _NOW + script
        sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        try:
            return await client.evalsha(sha, len(keys), *keys, *values)
        except self._no_script:
            return await client.eval(source, len(keys), *keys, *values)

    def _connected(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._own and (self._client is None or self._loop is not loop):
            self._client = self._from_url(
                self._url,
                decode_responses=True,
                protocol=2,
                socket_timeout=_TIMEOUT,
                socket_connect_timeout=_TIMEOUT,
                health_check_interval=30,
            )
            self._loop = loop
        return self._client


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

"""The scripts of a store in Redis: each is one operation, atomic, by the server's clock."""

from __future__ import annotations

from realtime_sip.stores.rules import REMEMBER

KEEP = int(REMEMBER * 1000)
"""Milliseconds for which a call that is not done is kept: nobody serves it for longer."""

# What all scripts begin with: the time by the server's clock. The last argument shifts it, in tests alone.
NOW = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000 + tonumber(ARGV[#ARGV])
local function text(seconds) return string.format('%.6f', seconds) end
"""

# A call that is served is among its owner's, and one that is claimed, offered or adopted also in a set by when it is to
# be adopted: at the end of its lease, or at once. An adopted one is offered "heard?" until its owner accepts it.
OF_CALLS = """
local prefix = ARGV[#ARGV - 1]
local function calls_of(owner) return prefix .. 'calls:' .. owner end
local function known(call) return unpack(redis.call('HMGET', call, 'owner', 'phase', 'ends', 'offered', 'ticket')) end
local function given(id, was, owner, phase, ends)
  redis.call('HSET', prefix .. 'call:' .. id, 'owner', owner, 'ends', text(ends), 'offered', 'heard?')
  redis.call('ZADD', prefix .. 'due', text(ends), id)
  if was == owner then return end
  redis.call('RPUSH', prefix .. 'taken:' .. was, id)
  redis.call('PEXPIRE', prefix .. 'taken:' .. was, KEEP)
  redis.call('SREM', calls_of(was), id)
  redis.call('SADD', calls_of(owner), id)
  redis.call('PEXPIRE', calls_of(owner), KEEP)
  local letters = redis.call('LRANGE', prefix .. 'letters:' .. was, 0, -1)
  for index = 1, #letters, 2 do
    if letters[index] == id then redis.call('RPUSH', prefix .. 'letters:' .. owner, id, letters[index + 1]) end
  end
  if phase == 'accepted' then redis.call('ZADD', prefix .. 'workers', 'NX', text(now), owner) end
end
""".replace("KEEP", str(KEEP))

CLAIM = """
local id, owner, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local ends = now + lease
local was, phase, till, offered, ticket = known(KEYS[1])
if not was or (phase == 'done' and tonumber(till) <= now) then
  redis.call('HSET', KEYS[1], 'owner', owner, 'phase', 'claimed', 'ends', text(ends), 'ticket', ARGV[4], 'offered', '')
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  redis.call('SADD', calls_of(owner), id)
  redis.call('PEXPIRE', calls_of(owner), ARGV[5])
  redis.call('ZADD', prefix .. 'due', text(ends), id)
  return {'new', owner, 'claimed', text(ends), '', ARGV[4]}
end
if phase == 'accepted' then till = redis.call('ZSCORE', prefix .. 'workers', was) or '0' end
if phase == 'done' or was == owner or (offered ~= '1' and tonumber(till) > now) then
  return {'repeat', was, phase, till, offered or '', ticket or ''}
end
given(id, was, owner, phase, ends)
if phase == 'accepted' then redis.call('ZADD', prefix .. 'workers', 'GT', text(ends), owner) end
return {'adopted', owner, phase, text(ends), '', ticket or ''}
"""

ACCEPT = """
local id, owner, ends = ARGV[1], ARGV[2], now + tonumber(ARGV[3])
local was, phase, till, offered = unpack(redis.call('HMGET', KEYS[1], 'owner', 'phase', 'ends', 'offered'))
local gone = not was or (phase == 'done' and tonumber(till) <= now)
if not gone and (was ~= owner or phase == 'done') then return 0 end
redis.call('HSET', KEYS[1], 'owner', owner, 'phase', 'accepted', 'ends', text(ends))
if gone or offered ~= '1' then redis.call('HSET', KEYS[1], 'offered', '') end
if ARGV[4] == '1' then redis.call('HSET', KEYS[1], 'ticket', ARGV[5]) end
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('SADD', calls_of(owner), id)
redis.call('PEXPIRE', calls_of(owner), ARGV[6])
if gone or offered ~= '1' then redis.call('ZREM', prefix .. 'due', id) end
redis.call('ZADD', prefix .. 'workers', 'GT', text(ends), owner)
return 1
"""

HEARTBEAT = """
local owner = ARGV[1]
redis.call('ZADD', KEYS[1], text(now + tonumber(ARGV[2])), owner)
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now - tonumber(ARGV[3]) / 1000), 'LIMIT', 0, 100)
for _, each in ipairs(dead) do
  redis.call('ZREM', KEYS[1], each)
  redis.call('HDEL', KEYS[4], each)
end
redis.call('HSET', KEYS[4], owner, ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[4], ARGV[3])
local free, room, all = 0, {}, redis.call('HGETALL', KEYS[4])
for index = 1, #all, 2 do room[all[index]] = tonumber(all[index + 1]) end
for _, each in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. text(now), '+inf')) do
  if each ~= owner then free = free + (room[each] or 0) end
end
local taken = redis.call('LRANGE', KEYS[2], 0, -1)
local letters = redis.call('LRANGE', KEYS[3], 0, -1)
redis.call('DEL', KEYS[2], KEYS[3])
return {taken, letters, free}
"""

OFFER = """
local id, owner = ARGV[1], ARGV[2]
local was, phase = unpack(redis.call('HMGET', KEYS[1], 'owner', 'phase'))
if was ~= owner or phase == 'done' then return 0 end
redis.call('HSET', KEYS[1], 'offered', '1', 'ticket', ARGV[3])
redis.call('ZADD', prefix .. 'due', '0', id)
redis.call('PUBLISH', prefix .. 'news', 'offer')
return 1
"""

RECALL = """
local id, owner = ARGV[1], ARGV[2]
local was, phase, ends = unpack(redis.call('HMGET', KEYS[1], 'owner', 'phase', 'ends'))
if was ~= owner or phase == 'done' then return 0 end
redis.call('HSET', KEYS[1], 'offered', '')
redis.call('ZREM', prefix .. 'due', id)
if phase == 'claimed' then redis.call('ZADD', prefix .. 'due', ends, id) end
return 1
"""

ADOPT = """
local owner, ends, most = ARGV[1], now + tonumber(ARGV[2]), tonumber(ARGV[3])
local mine = {}
local function adopt(id)
  local was, phase, till, offered, ticket = known(prefix .. 'call:' .. id)
  if not was or phase == 'done' then
    redis.call('ZREM', prefix .. 'due', id)
    return false
  end
  if not ticket or ticket == '' then return true end
  if was == owner then
    if offered ~= 'heard?' or tonumber(till) > now then return true end
    offered = '1'
  end
  local lives = redis.call('ZSCORE', prefix .. 'workers', was)
  local died = lives and tonumber(lives) <= now
  if phase == 'accepted' then till = lives or '0' end
  if not (offered == '1' or died or tonumber(till) <= now) then return true end
  given(id, was, owner, phase, ends)
  mine[#mine + 1] = {id, owner, phase, text(ends), '', ticket}
  return true
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'due', '-inf', text(now), 'LIMIT', 0, most + 100)) do
  if #mine < most then adopt(id) end
end
if #mine < most then
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'workers', '-inf', text(now))) do
    for _, id in ipairs(#mine < most and redis.call('SMEMBERS', calls_of(worker)) or {}) do
      if #mine < most and not adopt(id) then redis.call('SREM', calls_of(worker), id) end
    end
  end
end
return mine
"""

POST = """
local was, phase = unpack(redis.call('HMGET', KEYS[1], 'owner', 'phase'))
if not was or phase == 'done' then return 0 end
local letters = prefix .. 'letters:' .. was
redis.call('RPUSH', letters, ARGV[1], ARGV[2])
redis.call('LTRIM', letters, -2 * tonumber(ARGV[3]), -1)
redis.call('PEXPIRE', letters, ARGV[4])
redis.call('PUBLISH', prefix .. 'news', 'letter')
return 1
"""

FINISH = """
local id, owner, remember = ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('HGET', KEYS[1], 'owner') ~= owner then return 0 end
redis.call('HDEL', KEYS[1], 'ticket', 'offered')
redis.call('HSET', KEYS[1], 'phase', 'done', 'ends', text(now + remember))
redis.call('SREM', calls_of(owner), id)
redis.call('ZREM', prefix .. 'due', id)
redis.call('PEXPIRE', KEYS[1], math.ceil(remember * 1000))
return 1
"""

USE = """
local by, till = unpack(redis.call('HMGET', KEYS[1], 'by', 'ends'))
if by and tonumber(till) > now then return by == ARGV[1] and 1 or 0 end
redis.call('HSET', KEYS[1], 'by', ARGV[1], 'ends', text(now + tonumber(ARGV[2])))
redis.call('PEXPIRE', KEYS[1], math.ceil(tonumber(ARGV[2]) * 1000))
return 1
"""

# With an amount of 0 that is not to be added it is a sum alone.
ADD = """
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

ENTER = """
local member, lease, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now))
local inside = redis.call('ZSCORE', KEYS[1], member)
if not inside and most and redis.call('ZCARD', KEYS[1]) >= most then return 0 end
redis.call('ZADD', KEYS[1], text(now + lease), member)
local keep = math.ceil(lease * 1000)
if redis.call('PTTL', KEYS[1]) < keep then redis.call('PEXPIRE', KEYS[1], keep) end
return 1
"""

LEAVE = """
redis.call('ZREM', KEYS[1], ARGV[1])
return 1
"""

NOTE = """
redis.call('HSET', KEYS[1], 'text', ARGV[1], 'ends', text(now + tonumber(ARGV[2])))
redis.call('PEXPIRE', KEYS[1], math.ceil(tonumber(ARGV[2]) * 1000))
return 1
"""

NOTED = """
local note, till = unpack(redis.call('HMGET', KEYS[1], 'text', 'ends'))
if ARGV[1] == 'take' then redis.call('DEL', KEYS[1]) end
if not note or tonumber(till) <= now then return false end
return note
"""

"""Values: what reads, writes and removes them in the server, all of it at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...caching.shared.protocol import Stored

__all__ = ["DROP", "GET", "PUT", "READ", "REMOVE", "SET", "VALUES", "milliseconds", "seconds", "values"]

# A key of another type was written by somebody else: it is no value.
GET = """
local function get(key)
  local found = redis.pcall('GET', key)
  if type(found) ~= 'table' then return found end
  if string.sub(found.err, 1, 9) == 'WRONGTYPE' then return false end
  error(found)
end
"""

SET = """
local function set(key, data, milliseconds)
  if milliseconds == '' then redis.call('SET', key, data)
  else redis.call('SET', key, data, 'PX', milliseconds) end
end
"""

# Each value is followed by the milliseconds that are left of it.
_VALUES = """
local function values(reply, first)
  for i = first, #KEYS do
    reply[#reply + 1] = get(KEYS[i])
    reply[#reply + 1] = redis.call('PTTL', KEYS[i])
  end
  return reply
end
"""

# Takes the keys of values.
VALUES = GET + _VALUES + "return values({}, 1)"

# Takes the keys of the ledger and of values, and tags.
READ = (
    GET
    + _VALUES
    + """
local ledger = redis.call('HMGET', KEYS[1], 'run', 'number', 'floor')
for i = 1, #ARGV do ledger[i + 3] = redis.call('HGET', KEYS[1], 't:' .. ARGV[i]) end
return values({ledger}, 2)
"""
)

# Takes the keys of a value and its lease, data, milliseconds, channel and message.
PUT = SET + "set(KEYS[1], ARGV[1], ARGV[2]) redis.call('DEL', KEYS[2]) redis.call('PUBLISH', ARGV[3], ARGV[4])"

# Takes the keys of values and their leases, and perhaps channel and message.
DROP = """
local removed = 0
for i = 1, #KEYS, 2 do
  removed = removed + redis.call('UNLINK', KEYS[i])
  redis.call('DEL', KEYS[i + 1])
end
if ARGV[1] then redis.call('PUBLISH', ARGV[1], ARGV[2]) end
return removed
"""

# Takes the keys of values.
REMOVE = "return redis.call('UNLINK', unpack(KEYS))"


def milliseconds(seconds: float | None) -> int | str:
    """Return how long something is kept: the server counts whole milliseconds, of which there must be one."""
    return "" if seconds is None or seconds == math.inf else max(1, math.ceil(seconds * 1000))


def seconds(milliseconds: int) -> float | None:
    """Return how long something is kept: less than nothing means for ever."""
    return None if milliseconds < 0 else milliseconds / 1000


def values(replies: Sequence[Any]) -> list[Stored | None]:
    """Return values from a list in which each one's bytes and milliseconds follow one another."""
    pairs = iter(replies)
    return [None if data is None else Stored(data, seconds(left)) for data, left in zip(pairs, pairs, strict=True)]

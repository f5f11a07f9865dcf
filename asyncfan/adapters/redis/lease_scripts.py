"""What is done about leases in the server, for many keys at once."""

from __future__ import annotations

from ...caching.shared.protocol import KEPT
from .values import GET, SET

__all__ = ["LEASE", "RELEASE", "RENEW", "WRITE"]

# A lease is for so many milliseconds that of a token, which is remembered for longer.
_LEASE = (
    GET
    + f"""
local function grant(key, token, milliseconds)
  redis.call('SET', key, milliseconds .. ' ' .. token, 'PX', {KEPT} * milliseconds)
  return 1
end
local function holder(key)
  local milliseconds, token = string.match(get(key) or '', '^(%d+) (.*)$')
  return token, milliseconds
end
"""
)

# The first two take the keys of values, each followed by its lease's. LEASE takes milliseconds, and for each a token,
# and "force", or "unless" followed by the beginning of a useless value, or nothing. It answers with a value and what is
# left of it, or else with the milliseconds that the lease is another's: none, it is granted.
LEASE = (
    _LEASE
    + f"""
local function lease(value, key, token, how)
  if how ~= 'force' then
    local found = get(value)
    if found and (how == '' or 'unless' .. string.sub(found, 1, #how - 6) ~= how) then
      return {{found, redis.call('PTTL', value)}}
    end
    local other, milliseconds = holder(key)
    if other and other ~= token then
      local left = redis.call('PTTL', key) - {KEPT - 1} * milliseconds
      if left > 0 then return left end
    end
  end
  grant(key, token, ARGV[1])
  return 0
end
local answers = {{}}
for i = 1, #KEYS / 2 do answers[i] = lease(KEYS[2 * i - 1], KEYS[2 * i], ARGV[2 * i], ARGV[2 * i + 1]) end
return answers
"""
)

# Takes for each a token, data and milliseconds.
WRITE = (
    _LEASE
    + SET
    + """
local written = {}
for i = 1, #KEYS / 2 do
  local value, lease = KEYS[2 * i - 1], KEYS[2 * i]
  written[i] = 0
  if holder(lease) == ARGV[3 * i - 2] then
    set(value, ARGV[3 * i - 1], ARGV[3 * i])
    written[i] = redis.call('DEL', lease)
  end
end
return written
"""
)

# Both take the keys of leases, and for each a token, after milliseconds for RENEW.
RENEW = (
    _LEASE
    + """
local renewed = {}
for i = 1, #KEYS do renewed[i] = holder(KEYS[i]) == ARGV[i + 1] and grant(KEYS[i], ARGV[i + 1], ARGV[1]) or 0 end
return renewed
"""
)
RELEASE = (
    _LEASE
    + """
for i = 1, #KEYS do
  if holder(KEYS[i]) == ARGV[i] then redis.call('DEL', KEYS[i]) end
end
return {}
"""
)

"""What is done about leases in the server, for many keys at once."""

from __future__ import annotations

from .values import GET, SET

__all__ = ["LEASE", "RELEASE", "RENEW", "WRITE"]

# The first two take the keys of values, each followed by its lease's. LEASE takes milliseconds, and for each a token,
# how long `unless` is, `unless`, and force.
LEASE = (
    GET
    + """
local function lease(value, lease, token, size, useless, force)
  if force == '' then
    local found = get(value)
    if found and not (size ~= '' and string.sub(found, 1, size) == useless) then
      return {'stored', found, redis.call('PTTL', value)}
    end
    local left = redis.call('PTTL', lease)
    if left >= 0 and get(lease) ~= token then return {'held', left} end
  end
  redis.call('SET', lease, token, 'PX', ARGV[1])
  return {'granted'}
end
local answers = {}
for i = 1, #KEYS / 2 do answers[i] = lease(KEYS[2 * i - 1], KEYS[2 * i], unpack(ARGV, 4 * i - 2, 4 * i + 1)) end
return answers
"""
)

# Takes for each a token, data and milliseconds.
WRITE = (
    GET
    + SET
    + """
local written = {}
for i = 1, #KEYS / 2 do
  local value, lease = KEYS[2 * i - 1], KEYS[2 * i]
  written[i] = 0
  if get(lease) == ARGV[3 * i - 2] then
    set(value, ARGV[3 * i - 1], ARGV[3 * i])
    written[i] = redis.call('DEL', lease)
  end
end
return written
"""
)

# Both take the keys of leases, and for each a token, after milliseconds for RENEW.
RENEW = (
    GET
    + """
local renewed = {}
for i = 1, #KEYS do renewed[i] = get(KEYS[i]) == ARGV[i + 1] and redis.call('PEXPIRE', KEYS[i], ARGV[1]) or 0 end
return renewed
"""
)
RELEASE = (
    GET
    + """
for i = 1, #KEYS do
  if get(KEYS[i]) == ARGV[i] then redis.call('DEL', KEYS[i]) end
end
return {}
"""
)

"""The ledger of clears, which is one hash: run, number, floor, and a field for each tag and pattern cleared."""

from __future__ import annotations

from collections.abc import Sequence

from ...caching.shared.protocol import Ledger

__all__ = ["CLEAR", "LEDGER", "WHOLE", "ledger", "whole_ledger"]

_ENSURE = """
if redis.call('HEXISTS', KEYS[1], 'run') == 0 then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'run', ARGV[1], 'number', 0, 'floor', 0)
end
"""

# All three take the ledger's key. LEDGER and CLEAR take a run, which is used where there is no ledger.
WHOLE = "return redis.call('HGETALL', KEYS[1])"

LEDGER = _ENSURE + "return redis.call('HMGET', KEYS[1], 'run', 'number', 'floor')"

# Takes the run, channel, message, everything and fields. Beyond 10,000 fields, whatever is older is taken as cleared.
CLEAR = (
    _ENSURE
    + """
local run = redis.call('HGET', KEYS[1], 'run')
local number = redis.call('HINCRBY', KEYS[1], 'number', 1)
for i = 5, #ARGV do redis.call('HSET', KEYS[1], ARGV[i], number) end
if ARGV[4] ~= '' or redis.call('HLEN', KEYS[1]) > 10003 then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'run', run, 'number', number, 'floor', number)
end
local filled = {['(run)s'] = run, ['(number)d'] = string.format('%d', number)}
local message = string.gsub(ARGV[3], '%%(%(%a+%)[sd])', filled)
redis.call('PUBLISH', ARGV[2], message)
return number
"""
)


def ledger(record: Sequence[bytes | None], tags: Sequence[str] = ()) -> Ledger:
    """Return the ledger from its run, number and floor, and the numbers of ``tags``."""
    run, number, floor, *numbers = record
    if run is None:
        return Ledger()
    cleared = {tag: int(of) for tag, of in zip(tags, numbers, strict=True) if of is not None}
    return Ledger(run.decode(), int(number or 0), int(floor or 0), cleared)


def whole_ledger(flat: Sequence[bytes]) -> Ledger:
    """Return the ledger from all its fields, each followed by its value."""
    pairs = iter(flat)
    fields = {field.decode(): value for field, value in zip(pairs, pairs, strict=True)}
    if "run" not in fields:
        return Ledger()
    tags, patterns = (
        {field[2:]: int(number) for field, number in fields.items() if field.startswith(kind)} for kind in ("t:", "p:")
    )
    return Ledger(fields["run"].decode(), int(fields["number"]), int(fields["floor"]), tags, patterns)

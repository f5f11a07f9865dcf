"""Leases: who may load a value, decided in the server."""

from __future__ import annotations

import secrets

from ...caching.shared.protocol import Granted, Held, Stored
from .ledger import LEDGER, ledger
from .server import Server, together
from .values import GET, SET, milliseconds
from .values import seconds as in_seconds

__all__ = ["Leases"]

# Takes the keys of a value and its lease, a token, milliseconds, how long `unless` is, `unless`, and force.
LEASE = (
    GET
    + """
if ARGV[5] == '' then
  local value = get(KEYS[1])
  if value and not (ARGV[3] ~= '' and string.sub(value, 1, ARGV[3]) == ARGV[4]) then
    return {'stored', value, redis.call('PTTL', KEYS[1])}
  end
  local left = redis.call('PTTL', KEYS[2])
  if left >= 0 and get(KEYS[2]) ~= ARGV[1] then return {'held', left} end
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {'granted'}
"""
)

# Both take a lease's key and a token; RENEW takes milliseconds.
RENEW = GET + "return get(KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2]) or 0"
RELEASE = GET + "return get(KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"

# Takes the keys of a value and its lease, a token, data and milliseconds.
WRITE = (
    GET
    + SET
    + """
if get(KEYS[2]) ~= ARGV[1] then return 0 end
set(ARGV[2], ARGV[3])
return redis.call('DEL', KEYS[2])
"""
)


class Leases:
    """The part of a `Store` that has to do with leases."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def lease(
        self, name: str, token: str, seconds: float, *, unless: bytes | None = None, force: bool = False
    ) -> Granted | Held | Stored:
        """Ask for a lease; the ledger is asked for at the same time: both are there before the load begins."""
        keys = self._server.keys
        useless = ("", "") if unless is None else (len(unless), unless)
        record, (answer, *more) = await together(
            self._server.run(LEDGER, [keys.ledger], secrets.token_hex(8)),
            self._server.run(
                LEASE, keys.both([name]), token, milliseconds(seconds), *useless, "force" if force else ""
            ),
        )
        if answer == b"stored":
            data, left = more
            return Stored(data, in_seconds(left))
        return Held(more[0] / 1000) if answer == b"held" else Granted(ledger(record))

    async def renew(self, name: str, token: str, seconds: float) -> bool:
        """Make a lease valid for longer."""
        return bool(await self._server.run(RENEW, [self._server.keys.lease(name)], token, milliseconds(seconds)))

    async def release(self, name: str, token: str) -> None:
        """Give a lease back."""
        await self._server.run(RELEASE, [self._server.keys.lease(name)], token)

    async def write(self, name: str, token: str, data: bytes, seconds: float | None) -> bool:
        """Store a value under a lease, which ends."""
        keys = self._server.keys.both([name])
        return bool(await self._server.run(WRITE, keys, token, data, milliseconds(seconds)))

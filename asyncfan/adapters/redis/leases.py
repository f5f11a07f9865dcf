"""Leases: who may load a value, decided in the server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Sequence
from itertools import chain
from typing import Any

from ...caching.shared.protocol import Granted, Held, Hold, Stored, Wish, Write
from .lease_scripts import LEASE, RELEASE, RENEW, WRITE
from .ledger import LEDGER, ledger
from .server import Server, Spell
from .values import milliseconds
from .values import seconds as in_seconds

__all__ = ["Leases"]


class Leases:
    """The part of a `Store` that has to do with leases."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def lease(self, wishes: Sequence[Wish], seconds: float) -> list[Granted | Held | Stored]:
        """Ask for leases; the ledger is asked for at the same time: both are there before the loads begin."""
        record, answers = await _together(
            self._server.run(LEDGER, [self._server.keys.ledger], secrets.token_hex(8)),
            self._for_each(LEASE, self._server.keys.both, [*map(_asked, wishes)], milliseconds(seconds)),
        )
        granted = Granted(ledger(record))
        return [_answer(answer) if answer else granted for answer in answers]

    async def renew(self, holds: Sequence[Hold], seconds: float) -> list[bool]:
        """Make leases valid for longer."""
        return [*map(bool, await self._for_each(RENEW, self._server.keys.leases, holds, milliseconds(seconds)))]

    async def release(self, holds: Sequence[Hold]) -> None:
        """Give leases back."""
        await self._for_each(RELEASE, self._server.keys.leases, holds)

    async def write(self, writes: Sequence[Write]) -> list[bool]:
        """Store values under leases, which end."""
        ready = [(name, token, data, milliseconds(seconds)) for name, token, data, seconds in writes]
        return [*map(bool, await self._for_each(WRITE, self._server.keys.both, ready))]

    async def _for_each(self, script: str, spell: Spell, each: Sequence[tuple[Any, ...]], *args: Any) -> list[Any]:
        """Return a script's replies for tuples, each of which begins with a name."""
        names, rest = [name for name, *_ in each], [rest for _, *rest in each]
        replies = await self._server.each(script, spell, names, *args, rest=rest)
        return [*chain.from_iterable(replies)]


async def _together(*calls: Awaitable[Any]) -> list[Any]:
    """Return the results of calls made at once; raise the first error when all have ended."""
    replies = await asyncio.gather(*calls, return_exceptions=True)
    for reply in replies:
        if isinstance(reply, BaseException):
            raise reply
    return replies


def _asked(wish: Wish) -> tuple[str, str, str | bytes]:
    unless = b"" if wish.unless is None else b"unless" + wish.unless
    return (wish.name, wish.token, "force" if wish.force else unless)


def _answer(answer: int | tuple[bytes, int]) -> Held | Stored:
    if isinstance(answer, int):
        return Held(answer / 1000)
    data, left = answer
    return Stored(data, in_seconds(left))

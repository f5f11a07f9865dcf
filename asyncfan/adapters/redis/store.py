"""Redis and Valkey: what processes share, in one server or a cluster."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from itertools import chain
from typing import Any

from ...caching.shared.protocol import Ledger, Stored
from .address import read
from .leases import Leases
from .ledger import CLEAR, WHOLE, ledger, whole_ledger
from .listening import messages
from .server import Server
from .values import DROP, PUT, READ, REMOVE, VALUES, milliseconds, values

__all__ = ["RedisStore"]


class RedisStore(Leases):
    """A `Store` on a Redis (6 or later) or Valkey server. What its methods promise is written there.

    Args:
        url: ``redis://user:password@host:port/db``, ``rediss://`` for TLS, ``unix://path``, ``redis+cluster://`` or
            ``rediss+cluster://`` for a cluster, found from any of its nodes. Never shown with its password.
        namespace: What its keys begin with.
        timeout: Seconds that the server may take for an answer; connecting may take five times as long.
        **options: Of redis-py's connections, such as ``ssl_ca_certs`` or ``credential_provider``.

    Attributes:
        at_once: For so many keys it is best asked.

    Raises:
        ValueError: The URL, the namespace or the timeout makes no sense.
        TypeError: redis-py knows no such option.

    Example:
        >>> RedisStore("redis://reader:secret@cache.example:6379/2", namespace="shop")
        <RedisStore <Server redis://reader:***@cache.example:6379/2 <Keys 'shop'>, 0 event loops>>
    """

    def __init__(self, url: str, *, namespace: str = "asyncfan", timeout: float = 0.1, **options: Any) -> None:
        super().__init__(Server(read(url, timeout, options), namespace))
        self.at_once: int = self._server.at_once

    async def read(self, names: Sequence[str], tags: Sequence[str] = ()) -> tuple[list[Stored | None], Ledger]:
        """Read values, and after them the ledger: 1,000 in a round trip; in a cluster, the ledger takes one more."""
        server, keys = self._server, self._server.keys
        most, rest = server.split(names, 0)
        found = await server.each(VALUES, keys.values, most)
        record, *last = await server.run(READ, [keys.ledger, *keys.values(rest)], *tags)
        return values([*chain.from_iterable(found), *last]), ledger(record, tags)

    async def ledger(self) -> Ledger:
        """Read the whole ledger."""
        return whole_ledger(await self._server.run(WHOLE, [self._server.keys.ledger]))

    async def put(self, name: str, data: bytes, seconds: float | None, message: bytes) -> None:
        """Store a value whoever holds the lease."""
        keys = self._server.keys
        await self._server.run(PUT, keys.both([name]), data, milliseconds(seconds), keys.channel, message)

    async def drop(self, names: Sequence[str], message: bytes) -> int:
        """Remove values and leases; the message follows the last of them."""
        server, keys = self._server, self._server.keys
        most, rest = server.split(names, 1)
        removed: list[int] = await server.each(DROP, keys.both, most)
        return sum(removed, await server.run(DROP, keys.both(rest), keys.channel, message))

    async def clear(
        self, *, patterns: Sequence[str] = (), tags: Sequence[str] = (), everything: bool = False, message: str
    ) -> int:
        """Write a clear into the ledger."""
        keys, every = self._server.keys, "everything" if everything else ""
        fields = [*(f"p:{text}" for text in patterns), *(f"t:{tag}" for tag in tags)]
        args = (secrets.token_hex(8), keys.channel, message, every, *fields)
        return int(await self._server.run(CLEAR, [keys.ledger], *args))

    async def remove(self, names: Sequence[str]) -> int:
        """Remove values only."""
        return sum(await self._server.each(REMOVE, self._server.keys.values, names))

    def scan(self, start: str) -> AsyncIterator[Sequence[str]]:
        """Yield the names that begin with ``start``."""
        return self._server.scan(start)

    def listen(self) -> AsyncIterator[bytes]:
        """Yield messages; a server that is silent for three seconds is taken for lost."""
        return messages(self._server)

    async def aclose(self) -> None:
        """Close this event loop's connections."""
        await self._server.aclose()

    def __repr__(self) -> str:
        return f"<RedisStore {self._server!r}>"

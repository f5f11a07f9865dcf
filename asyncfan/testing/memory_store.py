"""A server of the shared tier inside this process: for tests without a server."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

from ..caching.shared.protocol import HEAD, KEPT, Granted, Held, Hold, Ledger, Stored, Wish, Write

__all__ = ["MemoryStore"]

SCANNED_AT_ONCE = 100


class _Expiring(NamedTuple):
    content: bytes | str
    end: float | None  # by the server's clock
    due: float = 0.0  # a lease's: when another one may take it


class _Listener(NamedTuple):
    loop: asyncio.AbstractEventLoop
    messages: asyncio.Queue[bytes | None]  # None: the connection is lost


class _Server:
    """What all the stores that are connected to one server share. Everything is done under its lock."""

    def __init__(self, clock: Callable[[], float] | None, max_clears: int) -> None:
        self.max_clears = max_clears
        self.clock: Callable[[], float] = clock or (lambda: asyncio.get_running_loop().time())
        self.lock = threading.Lock()
        self.values: dict[str, _Expiring] = {}
        self.leases: dict[str, _Expiring] = {}  # {name: (token, when it is forgotten, when it has run out)}
        self.listeners: list[_Listener] = []
        self.runs = itertools.count(1)
        self.forget_clears()

    def forget_clears(self) -> None:
        self.run, self.number, self.floor = "", 0, 0
        self.tags: dict[str, int] = {}
        self.patterns: dict[str, int] = {}

    def begin_run(self) -> None:
        """Make the ledger if there is none."""
        if not self.run:
            self.run = f"run{next(self.runs)}"

    def find(self, where: dict[str, _Expiring], name: str) -> _Expiring | None:
        found = where.get(name)
        if found is not None and found.end is not None and found.end <= self.clock():
            del where[name]
            return None
        return found

    def stored(self, name: str) -> Stored | None:
        found = self.find(self.values, name)
        if found is None:
            return None
        assert isinstance(found.content, bytes)  # noqa: S101
        return Stored(found.content, None if found.end is None else found.end - self.clock())

    def keep(self, name: str, content: bytes, seconds: float | None) -> None:
        self.values[name] = _Expiring(content, None if seconds is None else self.clock() + seconds)

    def owns(self, name: str, token: str) -> bool:
        found = self.find(self.leases, name)
        return found is not None and found.content == token

    def lease(self, wish: Wish, seconds: float) -> Granted | Held | Stored:
        name, token, unless, force = wish
        if not force:
            stored = self.stored(name)
            if stored is not None and stored.data[:HEAD] != unless:
                return stored
            held = self.find(self.leases, name)
            if held is not None and held.content != token and held.due > self.clock():
                return Held(held.due - self.clock())
        self.grant(name, token, seconds)
        self.begin_run()
        return Granted(self.ledger(()))

    def grant(self, name: str, token: str, seconds: float) -> None:
        self.leases[name] = _Expiring(token, self.clock() + KEPT * seconds, self.clock() + seconds)

    def write(self, name: str, token: str, data: bytes, seconds: float | None) -> bool:
        if not self.owns(name, token):
            return False
        del self.leases[name]
        self.keep(name, data, seconds)
        return True

    def ledger(self, tags: Sequence[str]) -> Ledger:
        return Ledger(self.run, self.number, self.floor, {tag: self.tags[tag] for tag in tags if tag in self.tags})

    def send(self, message: bytes | None) -> None:
        for listener in self.listeners:
            if not listener.loop.is_closed():
                listener.loop.call_soon_threadsafe(listener.messages.put_nowait, message)


class MemoryStore:
    """A server of the shared tier inside this process, as one client sees it; `connect` makes others.

    It does what a real server does, without network, failures or persistence; each request takes one turn of the event
    loop. Time is that of the event loop that calls it, so that leases and values expire in virtual time too.

    Args:
        clock: Gives the time in seconds that leases and values end by, if it is not to be the event loop's.
        max_clears: The most patterns and tags that it remembers as cleared; beyond, it takes everything as cleared.

    Example:
        >>> async def main():
        ...     here = MemoryStore()
        ...     there = here.connect()
        ...     await here.lease([Wish("user:42", "token")], 3)
        ...     await here.write([Write("user:42", "token", b"Ada", None)])
        ...     return await there.read(["user:42"])
        >>> asyncio.run(main())
        ([Stored(data=b'Ada', left=None)], Ledger(run='run1', number=0, floor=0, tags={}, patterns={}))
    """

    def __init__(self, *, clock: Callable[[], float] | None = None, max_clears: int = 10_000) -> None:
        self._server = _Server(clock, max_clears)

    def connect(self) -> MemoryStore:
        """Return another client of the same server."""
        other = MemoryStore()
        other._server = self._server
        return other

    # -- what a Store does ---------------------------------------------------------------------------------------

    async def read(self, names: Sequence[str], tags: Sequence[str] = ()) -> tuple[list[Stored | None], Ledger]:
        """See `Store.read`."""
        await asyncio.sleep(0)
        with self._server.lock:
            return [self._server.stored(name) for name in names], self._server.ledger(tags)

    async def ledger(self) -> Ledger:
        """See `Store.ledger`."""
        await asyncio.sleep(0)
        server = self._server
        with server.lock:
            return Ledger(server.run, server.number, server.floor, dict(server.tags), dict(server.patterns))

    async def lease(self, wishes: Sequence[Wish], seconds: float) -> list[Granted | Held | Stored]:
        """See `Store.lease`."""
        await asyncio.sleep(0)
        with self._server.lock:
            return [self._server.lease(wish, seconds) for wish in wishes]

    async def renew(self, holds: Sequence[Hold], seconds: float) -> list[bool]:
        """See `Store.renew`."""
        await asyncio.sleep(0)
        server = self._server
        with server.lock:
            ours = [server.owns(name, token) for name, token in holds]
            for name, token in itertools.compress(holds, ours):
                server.grant(name, token, seconds)
            return ours

    async def release(self, holds: Sequence[Hold]) -> None:
        """See `Store.release`."""
        await asyncio.sleep(0)
        with self._server.lock:
            for name, token in holds:
                if self._server.owns(name, token):
                    del self._server.leases[name]

    async def write(self, writes: Sequence[Write]) -> list[bool]:
        """See `Store.write`."""
        await asyncio.sleep(0)
        with self._server.lock:
            return [self._server.write(*one) for one in writes]

    async def put(self, name: str, data: bytes, seconds: float | None, message: bytes) -> None:
        """See `Store.put`."""
        await asyncio.sleep(0)
        with self._server.lock:
            self._server.leases.pop(name, None)
            self._server.keep(name, data, seconds)
            self._server.send(message)

    async def drop(self, names: Sequence[str], message: bytes) -> int:
        """See `Store.drop`."""
        await asyncio.sleep(0)
        with self._server.lock:
            for name in names:
                self._server.leases.pop(name, None)
            self._server.send(message)
            return self._take_out(names)

    async def clear(
        self, *, patterns: Sequence[str] = (), tags: Sequence[str] = (), everything: bool = False, message: str
    ) -> int:
        """See `Store.clear`."""
        await asyncio.sleep(0)
        server = self._server
        with server.lock:
            server.begin_run()
            server.number += 1
            server.patterns.update(dict.fromkeys(patterns, server.number))
            server.tags.update(dict.fromkeys(tags, server.number))
            if everything or len(server.patterns) + len(server.tags) > server.max_clears:
                server.floor = server.number
                server.patterns.clear()
                server.tags.clear()
            server.send((message % {"run": server.run, "number": server.number}).encode())
            return server.number

    async def remove(self, names: Sequence[str]) -> int:
        """See `Store.remove`."""
        await asyncio.sleep(0)
        with self._server.lock:
            return self._take_out(names)

    def _take_out(self, names: Sequence[str]) -> int:
        there = {name for name in names if self._server.stored(name) is not None}
        for name in there:
            del self._server.values[name]
        return len(there)

    async def scan(self, start: str) -> AsyncIterator[Sequence[str]]:
        """See `Store.scan`."""
        with self._server.lock:
            names = [name for name in self._server.values if name.startswith(start)]
        for first in range(0, len(names), SCANNED_AT_ONCE):
            yield names[first : first + SCANNED_AT_ONCE]
            await asyncio.sleep(0)

    async def listen(self) -> AsyncIterator[bytes]:
        """See `Store.listen`."""
        listener = _Listener(asyncio.get_running_loop(), asyncio.Queue())
        with self._server.lock:
            self._server.listeners.append(listener)
        try:
            yield b""
            while True:
                message = await listener.messages.get()
                if message is None:
                    raise ConnectionError("the connection is lost")
                yield message
        finally:
            with self._server.lock:
                self._server.listeners.remove(listener)

    async def aclose(self) -> None:
        """Do nothing: there are no connections."""

    # -- what may befall a server --------------------------------------------------------------------------------

    def disconnect(self) -> None:
        """Cut off all listeners."""
        with self._server.lock:
            self._server.send(None)

    def evict(self, *names: str) -> None:
        """Lose values and leases, as a server does that needs room; without names, the ledger of clears."""
        with self._server.lock:
            for name in names:
                self._server.values.pop(name, None)
                self._server.leases.pop(name, None)
            if not names:
                self._server.forget_clears()

    def restart(self) -> None:
        """Lose everything, and all connections."""
        with self._server.lock:
            self._server.values.clear()
            self._server.leases.clear()
            self._server.forget_clears()
            self._server.send(None)

    def __len__(self) -> int:
        return len(self._server.values)

    def __repr__(self) -> str:
        server = self._server
        return f"<MemoryStore {len(server.values)} values, {len(server.leases)} leases, {server.number} clears>"

"""A server of the shared tier that fails, delays, freezes and loses messages as it is told to."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import random as random_module
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, TypeVar

from ..caching.shared.protocol import Granted, Held, Hold, Ledger, Store, Stored, Wish, Write

__all__ = ["FailingStore"]

T = TypeVar("T")


class FailingStore:
    """Stands before a `Store` and makes it fail. Everything can be changed while it is in use.

    A request that was made is on its way: it is carried out although its caller was cancelled or gave up. Requests to a
    frozen server are carried out when it thaws, in any order.

    Args:
        store: The server that does the work.
        failing: The probability that a request is refused and not carried out.
        lost_replies: The probability that a request is carried out, but its caller told that it failed.
        delay: Seconds that each way of a request takes: at least and at most.
        message_delay: Seconds that each message takes, which may overtake another then.
        lost_messages: The probability that a message is not delivered.
        repeated_messages: The probability that a message is delivered a second time.
        random: Chooses; ``random.Random(seed)`` for tests that can be repeated.

    Attributes:
        down: Names of the operations that are refused, such as ``{"read", "write"}``; see also `stop`.
        calls: ``{operation: how often it was asked for}``.

    Example:
        >>> from asyncfan.testing import MemoryStore
        >>> async def main():
        ...     store = FailingStore(MemoryStore())
        ...     store.down.add("read")
        ...     await store.read(["user:42"])
        >>> asyncio.run(main())
        Traceback (most recent call last):
        ConnectionError: read is refused
    """

    def __init__(
        self,
        store: Store,
        *,
        failing: float = 0.0,
        lost_replies: float = 0.0,
        delay: tuple[float, float] = (0.0, 0.0),
        message_delay: tuple[float, float] = (0.0, 0.0),
        lost_messages: float = 0.0,
        repeated_messages: float = 0.0,
        random: random_module.Random | None = None,
    ) -> None:
        self._store = store
        self.failing = failing
        self.lost_replies = lost_replies
        self.delay = delay
        self.message_delay = message_delay
        self.lost_messages = lost_messages
        self.repeated_messages = repeated_messages
        self.random: random_module.Random = random or random_module.Random()  # noqa: S311
        self.down: set[str] = set()
        self.calls: Counter[str] = Counter()
        self._thawed: concurrent.futures.Future[None] | None = None  # None: it is not frozen
        self._on_the_way: set[asyncio.Task[Any]] = set()

    def stop(self) -> None:
        """Refuse everything, as a server that is not there."""
        self.down |= OPERATIONS

    def start(self) -> None:
        """Refuse nothing any more, but what ``failing`` says."""
        self.down.clear()

    def freeze(self) -> None:
        """Take requests and answer none until `thaw`."""
        self._thawed = self._thawed or concurrent.futures.Future()

    def thaw(self) -> None:
        """Carry out what came while frozen."""
        if self._thawed is not None:
            self._thawed.set_result(None)
        self._thawed = None

    # -- what a Store does ---------------------------------------------------------------------------------------

    async def read(self, names: Sequence[str], tags: Sequence[str] = ()) -> tuple[list[Stored | None], Ledger]:
        """See `Store.read`."""
        return await self._ask("read", self._store.read(names, tags))

    async def ledger(self) -> Ledger:
        """See `Store.ledger`."""
        return await self._ask("ledger", self._store.ledger())

    async def lease(self, wishes: Sequence[Wish], seconds: float) -> list[Granted | Held | Stored]:
        """See `Store.lease`."""
        return await self._ask("lease", self._store.lease(wishes, seconds))

    async def renew(self, holds: Sequence[Hold], seconds: float) -> list[bool]:
        """See `Store.renew`."""
        return await self._ask("renew", self._store.renew(holds, seconds))

    async def release(self, holds: Sequence[Hold]) -> None:
        """See `Store.release`."""
        await self._ask("release", self._store.release(holds))

    async def write(self, writes: Sequence[Write]) -> list[bool]:
        """See `Store.write`."""
        return await self._ask("write", self._store.write(writes))

    async def put(self, name: str, data: bytes, seconds: float | None, message: bytes) -> None:
        """See `Store.put`."""
        await self._ask("put", self._store.put(name, data, seconds, message))

    async def drop(self, names: Sequence[str], message: bytes) -> int:
        """See `Store.drop`."""
        return await self._ask("drop", self._store.drop(names, message))

    async def clear(
        self, *, patterns: Sequence[str] = (), tags: Sequence[str] = (), everything: bool = False, message: str
    ) -> int:
        """See `Store.clear`."""
        return await self._ask(
            "clear", self._store.clear(patterns=patterns, tags=tags, everything=everything, message=message)
        )

    async def remove(self, names: Sequence[str]) -> int:
        """See `Store.remove`."""
        return await self._ask("remove", self._store.remove(names))

    async def scan(self, start: str) -> AsyncIterator[Sequence[str]]:
        """See `Store.scan`."""
        async with contextlib.aclosing(self._store.scan(start)) as steps:  # type: ignore[type-var]
            async for names in steps:
                await self._ask("scan", asyncio.sleep(0))
                yield names

    async def listen(self) -> AsyncIterator[bytes]:
        """See `Store.listen`; messages overtake one another where ``message_delay`` allows it."""
        await self._ask("listen", asyncio.sleep(0))
        arrived: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        pump = asyncio.create_task(self._pump(arrived), name="asyncfan:failing store listens")
        try:
            while True:
                message = await arrived.get()
                if isinstance(message, Exception):
                    raise message
                yield message
        finally:
            pump.cancel()
            await asyncio.wait([pump])

    async def aclose(self) -> None:
        """Give up what is on its way in this event loop, and close the store."""
        loop = asyncio.get_running_loop()
        mine = [task for task in self._on_the_way if task.get_loop() is loop]
        for task in mine:
            task.cancel()
        if mine:
            await asyncio.wait(mine)
        await self._store.aclose()

    # -- how it fails --------------------------------------------------------------------------------------------

    async def _ask(self, name: str, request: Coroutine[Any, Any, T]) -> T:
        """Send a request on its way, which its caller can only stop waiting for."""
        self.calls[name] += 1
        task = asyncio.create_task(self._carry_out(name, request), name=f"asyncfan:failing store: {name}")
        self._on_the_way.add(task)
        task.add_done_callback(self._arrived)
        return await asyncio.shield(task)

    def _arrived(self, task: asyncio.Task[Any]) -> None:
        self._on_the_way.discard(task)
        if not task.cancelled():
            task.exception()  # seen: its caller may have left

    async def _carry_out(self, name: str, request: Coroutine[Any, Any, T]) -> T:
        with contextlib.closing(request):
            await self._travel()
            if self._thawed is not None:
                await asyncio.shield(asyncio.wrap_future(self._thawed))
            if name in self.down or self._happens(self.failing):
                raise ConnectionError(f"{name} is refused")
            result = await request
        await self._travel()
        if self._happens(self.lost_replies):
            raise ConnectionError(f"the reply to {name} is lost")
        return result

    async def _travel(self) -> None:
        if self.delay[1]:
            await asyncio.sleep(self.random.uniform(*self.delay))

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self.random.random() < probability

    async def _pump(self, arrived: asyncio.Queue[bytes | Exception]) -> None:
        """Deliver each message of a connection, each with a delay of its own."""
        loop = asyncio.get_running_loop()
        try:
            async with contextlib.aclosing(self._store.listen()) as messages:  # type: ignore[type-var]
                async for message in messages:
                    if message and self._happens(self.lost_messages):
                        continue
                    for _ in range(1 + (bool(message) and self._happens(self.repeated_messages))):
                        if self.message_delay[1]:
                            loop.call_later(self.random.uniform(*self.message_delay), arrived.put_nowait, message)
                        else:
                            arrived.put_nowait(message)
        except Exception as error:  # noqa: BLE001 - passed on
            arrived.put_nowait(error)

    def __repr__(self) -> str:
        state = "frozen" if self._thawed is not None else f"down: {', '.join(sorted(self.down)) or 'nothing'}"
        return f"<FailingStore {state}, {len(self._on_the_way)} requests on their way>"


OPERATIONS = frozenset(
    {"read", "ledger", "lease", "renew", "release", "write", "put", "drop", "clear", "remove", "scan", "listen"}
)

"""A load in its first caller's own task: that of a request handler."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from .flights import AGAIN, UNSHARED, Failure, Flight, loading
from .order import Entry
from .storing import Storing
from .tiering import Passage, in_task

__all__ = ["LeaderLoads", "Loaded"]

V = TypeVar("V")


class Loaded(NamedTuple, Generic[V]):
    """What a request handler gave.

    Attributes:
        value: What to store and to share.
        expire: Seconds to keep it, `math.inf` for good; None means that it must be neither stored nor shared.
    """

    value: V
    expire: float | None


class LeaderLoads(Storing):
    """The part of an operation whose loads are led by a caller: they end with it, and the waiters elect another."""

    async def lead(
        self, key: Any, call: Callable[[], Awaitable[Loaded[V]]], *, anew: bool = False, shared: bool = True
    ) -> tuple[V, Literal["hit", "miss", "joined"]]:
        """Run ``call`` in the caller's own task, or wait for whoever does; what it gives is stored if it may be.

        Args:
            key: The call's key.
            call: Gives the value, and for how long it may be kept.
            anew: Don't look for a stored value; a load in flight is joined all the same.
            shared: Use the tier that processes share, if there is one.

        Returns:
            The value, and "hit" if it was stored, "miss" for the one who ran the call, "joined" for who waited.

        Cancellation:
            A waiter leaves alone. A leader takes its call with it, and the waiters elect another among themselves.
        """
        loop = asyncio.get_running_loop()
        counts = True
        while True:
            waiter: asyncio.Future[Any] = loop.create_future()
            entry, flight, leads = self.enter(key, waiter, loop, anew=anew, counts=counts)
            if entry is not None:
                return entry.value, "hit"
            counts = False
            try:
                if leads:
                    if shared and self.tier is not None:
                        flight.anew = anew
                        flight.passage = Passage(self.tier, flight, self.text(key), self.freshness)
                    with self._leading(flight):
                        loaded = await self._look_there_first(flight, call)
                    self.settle(flight, *self._to_share(flight, loaded))
                    return loaded.value, "miss" if flight.passage is None or flight.passage.found is None else "hit"
                result = await flight.wait(waiter)
            finally:
                del flight, waiter
            if result is UNSHARED:
                return (await call()).value, "miss"
            if result is not AGAIN:
                return result, "joined"

    async def _look_there_first(self, flight: Flight, call: Callable[[], Awaitable[Loaded[V]]]) -> Loaded[V]:
        """Return what the tier that processes share has, or else what ``call`` gives."""
        passage = flight.passage
        if passage is not None and await in_task(passage.begin()) and passage.found is not None:
            self.shared_hits += 1
            return Loaded(passage.found.value, math.inf)
        return await call()

    def _to_share(self, flight: Flight, loaded: Loaded[Any]) -> tuple[Any, Entry | None]:
        """Return what waiters get and what is stored of what a handler gave."""
        if loaded.expire is None:
            return UNSHARED, None
        passage = flight.passage
        if passage is not None and passage.found is not None:
            return loaded.value, passage.entry_of(passage.found)
        entry = Entry(flight.key, loaded.value, self.cache.clock() + loaded.expire, self.seal)
        return loaded.value, entry if passage is None else passage.shorten(entry)

    def _end_soon(self, passage: Passage) -> None:
        """Tell the tier how a handler's load ended, in a task that the cache waits for: the response need not wait."""
        task = asyncio.create_task(in_task(passage.end()), name=f"{self.task_name}:shared")
        self.cache.writes.add(task)
        task.add_done_callback(self.cache.writes.discard)

    @contextlib.contextmanager
    def _leading(self, flight: Flight) -> Iterator[None]:
        """Run the block as the flight's load; if it fails or is cancelled, settle the flight accordingly."""
        token = loading.set(flight)
        started = self.cache.clock()
        try:
            yield
        except asyncio.CancelledError:
            self.loads_cancelled += 1
            self.settle(flight, AGAIN)
            raise
        except BaseException as error:
            self.count_failure(error, started)
            self.settle(flight, Failure(error) if isinstance(error, Exception) else AGAIN)
            raise
        else:
            if flight.passage is None or flight.passage.found is None:
                self.count_success(started)
        finally:
            loading.reset(token)
            flight.unblock()
            if flight.passage is not None:
                self._end_soon(flight.passage)
            del flight

"""A load in a task of its own: that of an async function."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ...context import hide_deadline, loading
from ...exceptions import SelfCancelledError
from ..freshness.freshness import Freshness
from .eager import start_eagerly
from .flights import AGAIN, LATE, Failure, Flight
from .storing import Storing, served
from .tiering import Passage, heard, is_shareable

if TYPE_CHECKING:
    from ..shared.tier import SharedTier

__all__ = ["TaskLoads", "is_being_cancelled"]

V = TypeVar("V")

# Loads that start inside one another share a stack; each so many-th one gets a stack of its own.
MAX_EAGER_DEPTH = 16


class TaskLoads(Storing):
    """The part of an operation whose loads are tasks, which the cache owns."""

    loads_cancelled: int  # counted here too

    async def fetch(
        self,
        key: Any,
        call: Callable[[], Awaitable[V]],
        *,
        tags: tuple[str, ...] = (),
        anew: bool = False,
        asked: bool | None = None,
        how: Freshness | None = None,
    ) -> V:
        """Return the value for ``key``: stored, from the load in flight, or from a new load in its own task.

        Args:
            key: The call's key.
            call: Makes the load's awaitable; called in the load's task, in a copy of the first caller's context.
            tags: The value's tags.
            anew: Load although a value is stored or being loaded.
            asked: Whether the tier that processes share had nothing a moment ago, or could not be asked; None: ask it.
            how: The freshness of what this call loads; None: the operation's.

        Cancellation:
            The caller leaves; the load goes on for the others, and is cancelled when the last one has left.
        """
        loop = asyncio.get_running_loop()
        counts = not anew
        if anew:
            self.fence(key)
        patience = None if anew else (how or self.freshness).soft_timeout
        while True:
            entry, flight, waiter = self.enter(key, loop, loop.create_future, anew=anew, counts=counts)
            try:
                if flight and waiter is None:
                    flight.tags, flight.anew, flight.asked, flight.how = tags, anew, asked, how
                    load = self._load(flight, call) if self.tier is None else self._load_shared(flight, call, self.tier)
                    self.start(load, (flight,), loop)
                if entry is not None:
                    return served(entry)  # type: ignore[no-any-return]
                if waiter is None and flight.waiters is not None:  # its load has not ended at once
                    waiter = flight.seat(loop.create_future)
                if waiter is None:
                    result = flight.take()
                else:
                    result = await flight.wait(waiter, patience if key in self.table else None)
            finally:
                del flight, waiter, entry  # an error's traceback holds this frame: no cycle through it
            if result is LATE:
                result, patience = self.overdue(key), None
            if result is not AGAIN:
                return result  # type: ignore[no-any-return]
            counts = False

    def start(
        self, load: Coroutine[Any, Any, None], flights: tuple[Flight, ...], loop: asyncio.AbstractEventLoop
    ) -> None:
        """Start the task of a load, which the cache owns until it ends, for the flights that it settles.

        Where that fails, whoever waits looks again.
        """
        first = flights[0]
        try:
            if first.background or first.depth % MAX_EAGER_DEPTH == MAX_EAGER_DEPTH - 1:
                task = asyncio.Task(load, loop=loop, name=self.task_name)
                task.add_done_callback(lambda _: self._never_began(flights))
            else:
                task = start_eagerly(loop, load, self.task_name)
        except BaseException:  # such as RecursionError or MemoryError
            load.close()
            for flight in flights:
                flight.unblock()
                self.settle(flight, AGAIN)
            raise
        if not task.done():  # an eager one may be
            self.cache.tasks.add(task)
            for flight in flights:
                flight.task = task

    def _never_began(self, flights: tuple[Flight, ...]) -> None:
        """Settle the flights of a task that was cancelled before its first step; nothing where they are settled."""
        for flight in flights:
            if flight.waiters is not None:
                self.settle(flight, Failure(self.foreign_cancel(None)))
            if flight.task is not None:
                self.cache.tasks.discard(flight.task)

    async def _load(self, flight: Flight, call: Callable[[], Awaitable[Any]]) -> None:
        """Run one load to its end, whatever that is, and settle its flight."""
        loading.set(flight)
        hide_deadline()  # the first caller's; others share this load
        started = self.cache.clock()
        try:
            value = await call()
            entry = self.succeeded(flight, value, started)
        except asyncio.CancelledError as error:
            self.loads_cancelled += 1
            self.notes.append((flight.key, "cancelled"))
            self.settle(flight, Failure(self.foreign_cancel(error)))
            if flight.cancelled or is_being_cancelled():
                raise
        except BaseException as error:
            self.settle(flight, *self.failed(flight, error, started))
            if not isinstance(error, Exception):
                raise
        else:
            self.settle(flight, value, entry)
        finally:
            if flight.task is not None:  # it was suspended, so the cache had to hold it
                self.cache.tasks.discard(flight.task)
            del flight  # as in fetch

    async def _load_shared(self, flight: Flight, call: Callable[[], Awaitable[Any]], tier: SharedTier) -> None:
        """As `_load`, where processes share a tier; what was loaded is written once those who wait have it."""
        text = self.text(flight.key)
        if not is_shareable(text):
            return await self._load(flight, partial(heard, tier, call))
        flight.passage = passage = Passage(tier, flight, text, flight.how or self.freshness)
        try:
            await self._load(flight, partial(passage.through, call))
        finally:
            await self.own([passage.end()])
        return None

    async def own(self, ends: Sequence[Coroutine[Any, Any, None]]) -> None:
        """Go through the ends of passages in this task, which the cache waits for and does not cancel."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        self.cache.writes.add(task)
        try:
            if len(ends) == 1:
                await ends[0]
            else:
                await asyncio.gather(*ends)  # they travel together
        finally:
            self.cache.writes.discard(task)

    def foreign_cancel(self, error: BaseException | None) -> SelfCancelledError:
        """Return what a load's callers get that was cancelled, though not by them."""
        found = SelfCancelledError(f"the load of {self.name} was cancelled, but not by its callers")
        found.__cause__ = error
        return found


def is_being_cancelled() -> bool:
    """Say whether somebody has cancelled the current task, which it did not do itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

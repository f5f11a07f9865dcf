"""A load in its first caller's own task: that of a request handler."""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from ...context import hide_deadline, loading
from ..freshness.aging import Aging
from ..memory.order import Entry
from .flights import AGAIN, UNSHARED, Failure, Flight
from .storing import log
from .task_loads import TaskLoads
from .tiering import Passage, is_shareable

__all__ = ["LeaderLoads", "Loaded", "unsharing"]

V = TypeVar("V")


class Loaded(NamedTuple, Generic[V]):
    """What a request handler gave.

    Attributes:
        value: What to store and to share.
        expire: Seconds to keep it, `math.inf` for good; None means that it must be neither stored nor shared.
        stale_while_revalidate: Seconds more that it is served while a load in the background replaces it.
        stale_if_error: Seconds more that it is served where the load that is to replace it fails.
        failed: It tells of a failure: who asked, and who waited, get an expired value instead, if one is left.
    """

    value: V
    expire: float | None
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    failed: bool = False


class LeaderLoads(TaskLoads):
    """The part of an operation whose loads are led by a caller: they end with it, and the waiters elect another."""

    loads_cancelled: int  # counted here too
    shared_hits: int

    async def lead(
        self,
        key: Any,
        call: Callable[[], Awaitable[Loaded[V]]],
        *,
        tags: tuple[str, ...] = (),
        anew: bool = False,
        refresh: Callable[[], Awaitable[Loaded[V]]] | None = None,
    ) -> tuple[V, Literal["hit", "miss", "joined", "stale"]]:
        """Run ``call`` in the caller's own task, or wait for whoever does; what it gives is stored if it may be.

        Args:
            key: The call's key.
            call: Gives the value, and for how long it may be kept.
            tags: The value's tags; the call may add some by `current_load`.
            anew: Don't look for a stored value; a load in flight is joined all the same.
            refresh: As ``call``, in a task that the cache owns, after an expired value was returned at once; needed
                where values have ``stale_while_revalidate``.

        Returns:
            The value, and "hit" if it was stored, "miss" for the one who ran the call, "joined" for who waited,
            "stale" for the one who ran the call in vain and got the value that had expired.

        Cancellation:
            A waiter leaves alone. A leader takes its call with it, and the waiters elect another among themselves.
        """
        loop = asyncio.get_running_loop()
        counts = True
        while True:
            entry, flight, waiter = self.enter(key, loop, loop.create_future, anew=anew, counts=counts)
            if entry is not None:
                if flight is not None:
                    flight.tags = tags
                    self.start(self._lead_later(flight, refresh or call), (flight,), loop)
                return entry.value, "hit"
            counts = False
            try:
                if waiter is None:
                    flight.tags, flight.anew = tags, anew
                    return await self._lead(flight, call)
                result = await flight.wait(waiter)
            finally:
                if waiter is None:
                    flight.result = None  # an error's traceback holds a frame that holds the flight
                del flight, waiter
            if result is UNSHARED:
                return (await call()).value, "miss"
            if result is not AGAIN:
                return result, "joined"

    async def _lead(
        self, flight: Flight, call: Callable[[], Awaitable[Loaded[V]]]
    ) -> tuple[V, Literal["hit", "miss", "stale"]]:
        """Run the flight's load in the caller's task, and settle it, whatever becomes of the load."""
        text = self.text(flight.key)
        if self.tier is not None and is_shareable(text):
            flight.passage = Passage(self.tier, flight, text, self.freshness)
        token = loading.set(flight)
        started = self.cache.clock()
        try:
            loaded = await self._look_there_first(flight, call)
            if loaded.failed:
                self.count_failure(None, started)
                old = self.rescue(flight, "a response that tells of it")
                if old is not AGAIN:
                    self.settle(flight, old)
                    return old, "stale"
        except asyncio.CancelledError:
            self.loads_cancelled += 1
            self.settle(flight, AGAIN)
            raise
        except BaseException as error:
            self.count_failure(error, started)
            old = self._rescue_or_fail(flight, error)
            if old is AGAIN:
                raise
            return old, "stale"
        else:
            if not loaded.failed and (flight.passage is None or flight.passage.found is None):
                self.count_success(started)
        finally:
            loading.reset(token)
            flight.unblock()
            if flight.passage is not None:
                self._end_soon(flight.passage)
        self.settle(flight, *self._to_share(flight, loaded))
        return loaded.value, "miss" if flight.passage is None or flight.passage.found is None else "hit"

    def unshare(self, flight: Flight) -> None:
        """Let those who wait for a load that goes on load for themselves, and other processes too."""
        if flight.waiters is None:  # they do already
            return
        self.settle(flight, UNSHARED)
        if flight.passage is not None:
            self._end_soon(flight.passage)

    def _rescue_or_fail(self, flight: Flight, error: BaseException) -> Any:
        """Settle a flight whose load raised: with what is left to serve, which is returned, or with the error."""
        old = self.rescue(flight, type(error).__name__) if isinstance(error, Exception) else AGAIN
        failure = Failure(error) if isinstance(error, Exception) else AGAIN
        self.settle(flight, failure if old is AGAIN else old)
        return old

    async def _lead_later(self, flight: Flight, call: Callable[[], Awaitable[Loaded[Any]]]) -> None:
        """Run the flight's load in the background: somebody was served an expired value meanwhile."""
        hide_deadline()  # of who was served
        try:
            await self._lead(flight, call)
        except Exception as error:  # noqa: BLE001 - nobody waits for it; the next caller meets the error itself
            log.warning("%s: a load in the background failed with %s", self.name, type(error).__name__)

    async def _look_there_first(self, flight: Flight, call: Callable[[], Awaitable[Loaded[V]]]) -> Loaded[V]:
        """Return what the tier that processes share has, or else what ``call`` gives."""
        passage = flight.passage
        if passage is not None and await passage.begin() and passage.found is not None:
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
        entry = self._entry_of(flight, loaded, loaded.expire)
        return loaded.value, entry if passage is None else passage.shorten(entry)

    def _entry_of(self, flight: Flight, loaded: Loaded[Any], expire: float) -> Entry:
        now, stale, last = self.cache.clock(), loaded.stale_while_revalidate, loaded.stale_if_error
        if flight.passage is not None:  # other processes tell a value's age by what the operation says
            stale, last = min(stale, self.freshness.stale_while_revalidate), min(last, self.freshness.stale_if_error)
        tags = flight.known_tags
        if not (stale or last or tags):
            return Entry(flight.key, loaded.value, now + expire, self.seal)
        life = (expire, expire + stale, expire + last, expire)
        return Aging(flight.key, loaded.value, self.seal, born=now, life=life, tags=tags)

    def _end_soon(self, passage: Passage) -> None:
        """Tell the tier how a handler's load ended, in a task that the cache waits for: the response need not wait."""
        task = asyncio.create_task(passage.end(), name=f"{self.task_name}:shared")
        self.cache.writes.add(task)
        task.add_done_callback(self.cache.writes.discard)


def unsharing() -> Callable[[], None]:
    """Return what tells those who wait for the load that runs here, before it ends, to load for themselves.

    For a handler that sends its response while it runs: nobody else may have it, and it may never end.
    """
    flight = loading.get()
    if flight is None or flight.task is not None or not isinstance(flight.operation, LeaderLoads):
        return lambda: None  # it is no handler's
    return functools.partial(flight.operation.unshare, flight)

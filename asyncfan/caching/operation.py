"""The ways through a miss of one cached function or endpoint.

find or join or start -> load -> fence -> store -> every waiter.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar

from ..context import hide_deadline
from ..exceptions import SelfCancelledError
from ..metrics import Histogram
from .eager import start_eagerly
from .flights import AGAIN, UNSHARED, Failure, Flight, deliver, loading, outcome
from .order import Entry
from .register import Register

if TYPE_CHECKING:
    from .cache import Cache

__all__ = ["Loaded", "Operation"]

V = TypeVar("V")
log: logging.Logger = logging.getLogger("asyncfan.caching")

# Loads that start inside one another share a stack; each so many-th one gets a stack of its own.
MAX_EAGER_DEPTH = 16


class Loaded(NamedTuple, Generic[V]):
    """What a load gave.

    Attributes:
        value: What to store and to share.
        expire: Seconds to keep it, `math.inf` for good; None means that it must be neither stored nor shared.
    """

    value: V
    expire: float | None


class Operation(Register):
    """Entries, flights and counters of one cached function or endpoint, and the ways through a miss.

    Values belong to the process, a load to the event loop or thread of its first caller.
    """

    hits: int  # the register's, counted here too

    def __init__(self, cache: Cache, prefix: str, name: str, text: Callable[[Any], str]) -> None:
        super().__init__(cache, prefix, text)
        self.name = name
        self.task_name: str = f"asyncfan:load:{prefix}"
        self.misses: int = 0  # calls that started a load, or tried to
        self.joined: int = 0  # calls that waited for another's
        self.loads_ok: int = 0
        self.loads_failed: int = 0
        self.loads_cancelled: int = 0
        self.load_time: Histogram = Histogram()

    def settle(self, flight: Flight, result: Any, loaded: Loaded[Any] | None = None) -> None:
        """End a flight: store what was loaded unless it was fenced meanwhile, and give every waiter the result."""
        waiters: dict[Any, None] | None = None
        try:
            with self.lock:
                waiters, flight.waiters = flight.waiters, None
                if flight.cancelled:
                    result = AGAIN
                if self.flights.get(flight.key) is flight:
                    del self.flights[flight.key]
                    if loaded and loaded.expire is not None and not flight.cancelled and not self.is_cleared(flight):
                        self.keep(flight.key, loaded.value, loaded.expire, flight.loop)
        finally:  # weighing the value and the user's own store are code that may raise
            deliver(waiters or (), result, flight.loop)

    def enter(
        self, key: Any, waiter: Any, loop: asyncio.AbstractEventLoop | None, *, anew: bool, counts: bool
    ) -> tuple[Any, bool]:
        """Find the entry, or board a flight, to lead it or not; the first time, the call counts."""
        with self.lock:
            if not anew:
                entry = self.find(key)
                if entry is not None:
                    self.store.touched.append(entry)
                    self.hits += counts
                    return entry, False
            flight, leads = self.board(key, waiter, loop)
            if counts and leads:
                self.misses += 1
            elif counts:
                self.joined += 1
            return flight, leads

    # -- a load in a task of its own: cached async functions ------------------------------------------------------

    async def fetch(self, key: Any, call: Callable[[], Awaitable[V]], expire: float, *, anew: bool = False) -> V:
        """Return the value for ``key``: stored, from the load in flight, or from a new load in its own task.

        Args:
            key: The call's key.
            call: Makes the load's awaitable; called in the load's task, in a copy of the first caller's context.
            expire: Seconds to keep the value.
            anew: Load although a value is stored or being loaded.

        Cancellation:
            The caller leaves; the load goes on for the others, and is cancelled when the last one has left.
        """
        loop = asyncio.get_running_loop()
        counts = self._first_visit(key, anew=anew)
        while True:
            waiter: asyncio.Future[Any] = loop.create_future()
            flight, leads = self.enter(key, waiter, loop, anew=anew, counts=counts)
            if flight.__class__ is Entry:
                return flight.value  # type: ignore[no-any-return]
            counts = False
            try:
                if leads:
                    self._launch(flight, call, expire, loop)
                if waiter.done():  # an eager load may have ended
                    flight.unblock()
                    result = outcome(waiter.result())
                else:
                    result = await flight.wait(waiter)
            finally:
                del flight, waiter  # an error's traceback holds this frame: no cycle through it
            if result is not AGAIN:
                return result  # type: ignore[no-any-return]

    def _launch(
        self, flight: Flight, call: Callable[[], Awaitable[Any]], expire: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Start the load's task, which the cache owns until it ends."""
        load = self._load(flight, call, expire)
        try:
            if flight.depth % MAX_EAGER_DEPTH == MAX_EAGER_DEPTH - 1:
                task = asyncio.Task(load, loop=loop, name=self.task_name)
                task.add_done_callback(lambda _: self._never_began(flight))
            else:
                task = start_eagerly(loop, load, self.task_name)
        except BaseException:  # such as RecursionError or MemoryError
            load.close()
            flight.unblock()
            self.settle(flight, AGAIN)
            raise
        flight.task = task
        if not task.done():  # an eager one may be
            self.cache.tasks.add(task)

    def _never_began(self, flight: Flight) -> None:
        """Settle the flight of a task that was cancelled before its first step; nothing where it is settled."""
        if flight.waiters is not None:
            self.settle(flight, Failure(self._foreign_cancel(None)))
            self.cache.tasks.discard(flight.task)

    async def _load(self, flight: Flight, call: Callable[[], Awaitable[Any]], expire: float) -> None:
        """Run one load to its end, whatever that is, and settle its flight."""
        loading.set(flight)
        hide_deadline()  # the first caller's; others share this load
        started = self.cache.clock()
        try:
            value = await call()
        except asyncio.CancelledError as error:
            self.loads_cancelled += 1
            self.settle(flight, Failure(self._foreign_cancel(error)))
            if flight.cancelled or _is_being_cancelled():
                raise
        except BaseException as error:
            self._failed(started, error)
            self.settle(flight, Failure(error))
            if not isinstance(error, Exception):
                raise
        else:
            self._succeeded(started)
            self.settle(flight, value, Loaded(value, expire))
        finally:
            if flight.task is not None:  # it was suspended, so the cache had to hold it
                self.cache.tasks.discard(flight.task)
            del flight  # as in fetch

    def _foreign_cancel(self, error: BaseException | None) -> SelfCancelledError:
        found = SelfCancelledError(f"the load of {self.name} was cancelled, but not by its callers")
        found.__cause__ = error
        return found

    # -- a load in the first caller's own frame: plain functions in threads, request handlers -----------------------

    def fetch_in_thread(self, key: Any, call: Callable[[], V], expire: float, *, anew: bool = False) -> V:
        """As `fetch`, for a plain function: the first caller runs it, callers in other threads block meanwhile."""
        counts = self._first_visit(key, anew=anew)
        while True:
            waiter: concurrent.futures.Future[Any] = concurrent.futures.Future()
            flight, leads = self.enter(key, waiter, None, anew=anew, counts=counts)
            if flight.__class__ is Entry:
                return flight.value  # type: ignore[no-any-return]
            counts = False
            try:
                if leads:
                    with self._leading(flight):
                        value = call()
                    self.settle(flight, value, Loaded(value, expire))
                    return value
                result = flight.wait_in_thread(waiter)
            finally:
                del flight, waiter
            if result is not AGAIN:
                return result  # type: ignore[no-any-return]

    async def lead(
        self, key: Any, call: Callable[[], Awaitable[Loaded[V]]], *, anew: bool = False
    ) -> tuple[V, Literal["hit", "miss", "joined"]]:
        """Run ``call`` in the caller's own task, or wait for whoever does; what it gives is stored if it may be.

        Args:
            key: The call's key.
            call: Gives the value, and for how long it may be kept.
            anew: Don't look for a stored value; a load in flight is joined all the same.

        Returns:
            The value, and "hit" if it was stored, "miss" for the one who ran the call, "joined" for who waited.

        Cancellation:
            A waiter leaves alone. A leader takes its call with it, and the waiters elect another among themselves.
        """
        loop = asyncio.get_running_loop()
        counts = True
        while True:
            waiter: asyncio.Future[Any] = loop.create_future()
            flight, leads = self.enter(key, waiter, loop, anew=anew, counts=counts)
            if flight.__class__ is Entry:
                return flight.value, "hit"
            counts = False
            try:
                if leads:
                    with self._leading(flight):
                        loaded = await call()
                    self.settle(flight, UNSHARED if loaded.expire is None else loaded.value, loaded)
                    return loaded.value, "miss"
                result = await flight.wait(waiter)
            finally:
                del flight, waiter
            if result is UNSHARED:
                return (await call()).value, "miss"
            if result is not AGAIN:
                return result, "joined"

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
            self._failed(started, error)
            self.settle(flight, Failure(error) if isinstance(error, Exception) else AGAIN)
            raise
        else:
            self._succeeded(started)
        finally:
            loading.reset(token)
            flight.unblock()
            del flight

    def _first_visit(self, key: Any, *, anew: bool) -> bool:
        """Say whether the call counts; one that loads anew does not, and fences the old load."""
        if anew:
            with self.lock:
                self.disown(key)
        return not anew

    def _succeeded(self, started: float) -> None:
        seconds = self.cache.clock() - started
        self.loads_ok += 1
        self.load_time.record(seconds)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s: miss, loaded in %.6f s", self.name, seconds)

    def _failed(self, started: float, error: BaseException) -> None:
        self.loads_failed += 1
        if log.isEnabledFor(logging.DEBUG):
            seconds = self.cache.clock() - started
            log.debug("%s: miss, failed with %s after %.6f s", self.name, type(error).__name__, seconds)

    def __repr__(self) -> str:
        return f"<Operation {self.prefix!r} {self.live} entries, {len(self.flights)} loading>"


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

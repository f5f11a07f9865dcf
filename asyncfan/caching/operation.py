"""All that a cache knows of one cached operation, and the one way through a miss.

find or join or start -> load -> fence -> store -> every waiter.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NamedTuple, TypeVar, final

from ..context import hide_deadline
from ..exceptions import SelfCancelledError
from ..metrics import Histogram
from .eager import start_eagerly
from .flights import AGAIN, UNSHARED, Failure, Flight, deliver, loading, outcome, running_loop
from .keys import untyped
from .order import Entry
from .patterns import MAX_FENCES, Fences, Pattern
from .store import STORE_STEPS

if TYPE_CHECKING:
    from .cache import Cache

__all__ = ["MISSING", "Loaded", "Missing", "Operation", "Seal"]

V = TypeVar("V")
log = logging.getLogger("asyncfan.caching")

# Up to this many entries a partial clear looks at each of an operation's entries at once (about 1 us each);
# above, it leaves a fence that lookups and the sweep check, so that no clear stops the loop.
SCAN_LIMIT = 2_000

# Loads that start inside one another share a stack; each so many-th one gets a stack of its own.
MAX_EAGER_DEPTH = 16


@final
class Missing:
    """The type of `MISSING`, which is what `peek` returns where nothing is cached; it is false."""

    __slots__ = ()

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


class Loaded(NamedTuple, Generic[V]):
    """What a load gave.

    Attributes:
        value: What to store and to share.
        expire: Seconds to keep it, `math.inf` for good; None means that it must be neither stored nor shared.
    """

    value: V
    expire: float | None


class Seal:
    """The state of an operation between two of its clears; entries and flights carry the one they were born under."""

    __slots__ = ("number", "operation")

    def __init__(self, operation: Operation, number: int) -> None:
        self.operation = operation
        self.number = number


class Operation:
    """Entries, flights, fences and counters of one cached function or endpoint.

    A key is any hashable that no other call of the operation shares; ``text(key)`` spells it for patterns. Values
    belong to the process, a load to the event loop or thread of its first caller.
    """

    def __init__(self, cache: Cache, prefix: str, name: str, text: Callable[[Any], str]) -> None:
        self.cache = cache
        self.prefix = prefix  # untyped text that every key's text begins with
        self.name = name
        self.task_name = f"asyncfan:load:{prefix}"
        self.text = text
        self.store = cache.store
        self.lock = cache.store.lock
        self.table: dict[Any, Entry] = {}  # {key: entry}; read without the lock, changed under it
        self.flights: dict[Any, Flight] = {}  # {key: the flight that later callers may join}
        self.seal = Seal(self, 0)
        self.fences = Fences()
        self.cleared_whole = 0  # number of the last clear of the whole operation
        self.live = 0  # entries stored since then and not removed
        self.hits = 0
        self.misses = 0  # calls that started a load, or tried to
        self.joined = 0  # calls that waited for another's
        self.loads_ok = 0
        self.loads_failed = 0
        self.loads_cancelled = 0
        self.removed = {"size": 0, "expired": 0, "invalidated": 0, "replaced": 0, "too_big": 0}
        self.load_time = Histogram()

    # -- entries ------------------------------------------------------------------------------------------------

    def find(self, key: Any) -> Entry | None:
        """Return the entry to serve, without counting. Under the lock."""
        entry = self.table.get(key)
        if entry is None:
            return None
        if self.drop_if_cleared(entry):
            return None
        if entry.expires <= self.cache.clock():
            self.drop(entry, "expired")
            return None
        return entry

    def is_cleared(self, item: Entry | Flight) -> bool:
        """Say whether a clear since its birth meant this entry or flight; if not, it is as good as new."""
        if item.seal is self.seal:
            return False
        if self.fences.cleared_since(item.seal.number, lambda: untyped(self.text(item.key))):
            return True
        item.seal = self.seal
        return False

    def keep(self, key: Any, value: Any, expire: float, loop: asyncio.AbstractEventLoop | None) -> None:
        """Store a value for ``expire`` seconds. Under the lock."""
        old = self.table.get(key)
        if old is not None:
            self.drop(old, "invalidated" if self.is_cleared(old) else "replaced")
        now = self.cache.clock()
        entry = Entry(key, value, now + expire, self.seal)
        self.table[key] = entry
        self.live += 1
        kept = False
        try:
            kept = self.store.add(entry, now, loop)
        finally:
            if not kept:
                self.drop(entry, "too_big")

    def drop(self, entry: Entry, cause: str) -> None:
        """Remove an entry for ``cause``, if it is still there. Under the lock."""
        if self.table.get(entry.key) is entry:
            del self.table[entry.key]
            self.store.order.remove(entry)
            if entry.seal.number >= self.cleared_whole:
                self.removed[cause] += 1
                self.live -= 1

    def drop_if_cleared(self, entry: Entry) -> bool:
        """Remove an entry that a clear since its birth meant; says whether it is gone. Under the lock."""
        if self.is_cleared(entry):
            self.drop(entry, "invalidated")
            return True
        return False

    # -- hits outside of the compiled wrapper --------------------------------------------------------------------

    def lookup(self, key: Any) -> Any:
        """Return the value stored for ``key``, or `MISSING`; what is found counts as a hit."""
        entry = self.table.get(key)
        if entry is None or entry.seal is not self.seal or entry.expires <= self.cache.clock():
            with self.lock:
                entry = self.find(key)
            if entry is None:
                return MISSING
        self.hits += 1
        self.store.touched.append(entry)
        return entry.value

    def peek(self, key: Any) -> Any:
        """Return the value stored for ``key``, or `MISSING`, and leave no trace of having looked."""
        with self.lock:
            entry = self.find(key)
        return MISSING if entry is None else entry.value

    def put(self, key: Any, value: Any, expire: float) -> None:
        """Store ``value``; a load in flight for ``key`` can no longer replace it, nor be joined."""
        with self.lock:
            self.disown(key)
            self.keep(key, value, expire, running_loop())

    # -- flights --------------------------------------------------------------------------------------------------

    def board(self, key: Any, waiter: Any, loop: asyncio.AbstractEventLoop | None) -> tuple[Flight, bool]:
        """Join the flight for ``key``, or register a new one, to lead; says which. Under the lock."""
        flight = self.flights.get(key)
        if flight is not None and (flight.is_stranded() or (not flight.cancelled and self.is_cleared(flight))):
            flight = None
        if flight is not None:
            flight.enlist(waiter)
            return flight, False
        flight = Flight(self, key, loop)
        flight.lead(waiter)
        self.flights[key] = flight
        return flight, True

    def disown(self, key: Any) -> None:
        """Make the load in flight for ``key`` one that is neither stored nor joined. Under the lock.

        A cancelled one is both already, and stays registered: the next load waits for it to end.
        """
        flight = self.flights.get(key)
        if flight is not None and not flight.cancelled:
            del self.flights[key]

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

    # -- clearing ---------------------------------------------------------------------------------------------------

    def clear_key(self, key: Any) -> int:
        """Drop one entry, and fence the load in flight for it; returns how many entries went."""
        with self.lock:
            self.disown(key)
            entry = self.table.get(key)
            if entry is None or self.is_cleared(entry):
                return 0
            self.drop(entry, "invalidated")
            return 1

    def clear_matching(self, pattern: Pattern | None) -> int:
        """Drop what ``pattern`` means, everything for None, and fence the loads in flight; returns how many went.

        Above `SCAN_LIMIT` entries only a fence is left, which lookups and the sweep mind; then the number is that of
        all entries for a clear of everything, and 0 for a part.
        """
        with self.lock:
            if not self.table and not self.flights:
                return 0
            whole = pattern is None or pattern.covers(self.prefix)
            live = self.live
            if len(self.table) + len(self.flights) <= SCAN_LIMIT:
                return self._drop_now(None if whole else pattern)
            self.seal = Seal(self, self.seal.number + 1)
            self.store.want_round()
            if whole or pattern is None:
                self.fences.raise_floor(self.seal.number)
                self.cleared_whole = self.seal.number
                self.live = 0
                self.removed["invalidated"] += live
                return live
            self.fences.add(self.seal.number, pattern)
            # enough for the round to end before so many fences stand that everything older counts as cleared
            self.store.sweep(STORE_STEPS + 4 * len(self.store) // MAX_FENCES)
            return 0

    def _drop_now(self, pattern: Pattern | None) -> int:
        """Drop what ``pattern`` means by looking at every entry and flight."""
        before = self.removed["invalidated"]
        for key in [k for k in self.flights if self._means(pattern, k)]:
            self.disown(key)
        for entry in [e for k, e in self.table.items() if self._means(pattern, k)]:
            self.drop(entry, "invalidated")
        return self.removed["invalidated"] - before

    def _means(self, pattern: Pattern | None, key: Any) -> bool:
        return pattern is None or pattern.matches(untyped(self.text(key)))

    def __repr__(self) -> str:
        return f"<Operation {self.prefix!r} {self.live} entries, {len(self.flights)} loading>"


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

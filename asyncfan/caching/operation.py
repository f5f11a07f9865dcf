"""The ways through a miss of one cached function or endpoint.

find or join or start -> load -> fence -> store -> every waiter.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import logging
import math
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar

from ..context import hide_deadline
from ..exceptions import AttemptTimeoutError, SelfCancelledError
from ..metrics import Histogram
from .adaptive import ExpireController
from .aging import Age, Aging
from .clearing import Clearable
from .eager import start_eagerly
from .flights import AGAIN, LATE, UNSHARED, Failure, Flight, deliver, loading, outcome
from .freshness import Freshness, kept_failure
from .load import Load
from .order import Entry
from .tiering import Passage, cut, in_task, in_thread, is_shareable, life_of, through, through_in_thread

if TYPE_CHECKING:
    from .cache import Cache
    from .shared.tier import SharedTier

__all__ = ["Loaded", "Operation"]

V = TypeVar("V")
log: logging.Logger = logging.getLogger("asyncfan.caching")

# Loads that start inside one another share a stack; each so many-th one gets a stack of its own.
MAX_EAGER_DEPTH = 16


class Loaded(NamedTuple, Generic[V]):
    """What a request handler gave.

    Attributes:
        value: What to store and to share.
        expire: Seconds to keep it, `math.inf` for good; None means that it must be neither stored nor shared.
    """

    value: V
    expire: float | None


class Operation(Clearable):
    """Entries, flights and counters of one cached function or endpoint, and the ways through a miss.

    Values belong to the process, a load to the event loop or thread of its first caller.
    """

    hits: int  # the register's, counted here too

    def __init__(
        self,
        cache: Cache,
        prefix: str,
        name: str,
        text: Callable[[Any], str],
        freshness: Freshness = Freshness(math.inf),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(cache, prefix, text)
        self.name = name
        self.freshness = freshness
        # seconds that every value is fresh, where that is all there is to say of it: a miss takes 2 us less
        self.plain: float | None = freshness.expire if freshness == Freshness(freshness.expire) else None
        self.adaptive: ExpireController | None = None
        if freshness.adaptive is not None:
            self.adaptive = freshness.adaptive.controller(cache.clock)
        self.tier: SharedTier | None = cache.tier
        self.task_name: str = f"asyncfan:load:{prefix}"
        self.misses: int = 0  # calls that started a load, or tried to
        self.joined: int = 0  # calls that waited for another's
        self.stale_hits: int = 0  # calls served an expired value at once
        self.rescued: int = 0  # misses and joined calls served an expired value, since the load failed or took too long
        self.refreshes: int = 0  # loads in the background
        self.shared_hits: int = 0  # misses here that the tier which processes share had a value for
        self.loads_ok: int = 0
        self.loads_failed: int = 0
        self.loads_timed_out: int = 0  # of those that failed
        self.loads_cancelled: int = 0
        self.load_time: Histogram = Histogram()

    def settle(self, flight: Flight, result: Any, entry: Entry | None = None) -> None:
        """End a flight: store the entry unless it was fenced meanwhile, and give the result to whom it may be given."""
        waiters: dict[Any, int] | None = None
        late: list[Any] | None = None
        try:
            with self.lock:
                waiters, flight.waiters = flight.waiters, None
                if flight.cancelled:
                    result = AGAIN
                elif waiters and flight.began != self.clears.number:
                    late = self.come_too_late(flight, waiters)
                if self.flights.get(flight.key) is flight:
                    del self.flights[flight.key]
                    fenced = flight.began != self.clears.number and self.is_fenced(flight)
                    if entry is not None and not flight.cancelled and not fenced:
                        self.keep(entry, flight.loop)
                        entry = None
                if entry is not None:
                    self.notes.append((flight.key, "cancelled" if flight.cancelled else "fenced"))
        except Exception as error:  # noqa: BLE001 - the user's own weigher or mapping; the load did not fail
            log.error("%s: what was loaded is given out but not stored: %s", self.name, type(error).__name__)  # noqa: TRY400
        finally:
            deliver(waiters or (), result, flight.loop)
            if late:
                deliver(late, AGAIN, flight.loop)

    def enter(
        self, key: Any, waiter: Any, loop: asyncio.AbstractEventLoop | None, *, anew: bool, counts: bool
    ) -> tuple[Entry | None, Any, bool]:
        """Find an entry to serve, or board a flight; the first time, the call counts.

        Returns:
            The entry to be served, if there is one; the `Flight` to wait for, which only follows where there is an
            entry; and whether it is the caller's to launch.
        """
        with self.lock:
            entry = None if anew else self.find(key)
            if entry is not None:
                age = entry.age(self.cache.clock(), self.cache.random) if isinstance(entry, Aging) else Age.FRESH
                if age is not Age.FALLBACK:
                    self._count_hit(entry, counts=counts)
                    flight = self.depart(key, loop) if age is Age.REFRESH else None
                    self.refreshes += flight is not None
                    return entry, flight, flight is not None
            flight, leads = self.board(key, waiter, loop)
            if counts and leads:
                self.misses += 1
            elif counts:
                self.joined += 1
            return None, flight, leads

    def _count_hit(self, entry: Entry, *, counts: bool) -> None:
        self.store.touched.append(entry)
        if isinstance(entry, Aging) and entry.fresh <= self.cache.clock():
            self.stale_hits += counts
        else:
            self.hits += counts

    # -- a load in a task of its own: cached async functions ------------------------------------------------------

    async def fetch(
        self,
        key: Any,
        call: Callable[[], Awaitable[V]],
        *,
        tags: tuple[str, ...] = (),
        anew: bool = False,
        asked: bool = False,
        how: Freshness | None = None,
    ) -> V:
        """Return the value for ``key``: stored, from the load in flight, or from a new load in its own task.

        Args:
            key: The call's key.
            call: Makes the load's awaitable; called in the load's task, in a copy of the first caller's context.
            tags: The value's tags.
            anew: Load although a value is stored or being loaded.
            asked: Don't ask the tier that processes share: it had nothing a moment ago.
            how: The freshness of what this call loads; None: the operation's.

        Cancellation:
            The caller leaves; the load goes on for the others, and is cancelled when the last one has left.
        """
        loop = asyncio.get_running_loop()
        counts = self._first_visit(key, anew=anew)
        patience = None if anew else (how or self.freshness).soft_timeout
        while True:
            waiter: asyncio.Future[Any] = loop.create_future()
            entry, flight, leads = self.enter(key, waiter, loop, anew=anew, counts=counts)
            if leads:
                flight.tags, flight.anew, flight.asked, flight.how = tags, anew, asked, how
            try:
                if entry is not None:
                    if flight is not None:
                        self._launch(flight, call, loop)
                    return served(entry)  # type: ignore[no-any-return]
                if leads:
                    self._launch(flight, call, loop)
                if waiter.done():  # an eager load may have ended
                    flight.unblock()
                    result = outcome(waiter.result())
                else:
                    result = await flight.wait(waiter, patience if key in self.table else None)
            finally:
                del flight, waiter, entry  # an error's traceback holds this frame: no cycle through it
            if result is LATE:
                result, patience = self.overdue(key), None
            if result is not AGAIN:
                return result  # type: ignore[no-any-return]
            counts = False

    def _launch(self, flight: Flight, call: Callable[[], Awaitable[Any]], loop: asyncio.AbstractEventLoop) -> None:
        """Start the load's task, which the cache owns until it ends."""
        load = self._load(flight, call) if self.tier is None else self._load_shared(flight, call, self.tier)
        try:
            if flight.background or flight.depth % MAX_EAGER_DEPTH == MAX_EAGER_DEPTH - 1:
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
            self.settle(flight, Failure(self.foreign_cancel(None)))
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
            return await self._load(flight, call)
        flight.passage = passage = Passage(tier, flight, text, flight.how or self.freshness)
        try:
            await self._load(flight, lambda: through(passage, call))
        finally:
            await self.own([passage.end()])
        return None

    async def own(self, ends: Sequence[Any]) -> None:
        """Go through the ends of passages in this task, which the cache waits for and does not cancel."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        self.cache.writes.add(task)
        try:
            if len(ends) == 1:
                await in_task(ends[0])
            else:
                await asyncio.gather(*map(in_task, ends))  # they travel together
        finally:
            self.cache.writes.discard(task)

    def foreign_cancel(self, error: BaseException | None) -> SelfCancelledError:
        """Return what a load's callers get that was cancelled, though not by them."""
        found = SelfCancelledError(f"the load of {self.name} was cancelled, but not by its callers")
        found.__cause__ = error
        return found

    # -- a load in a thread: cached plain functions -----------------------------------------------------------------

    def fetch_in_thread(
        self,
        key: Any,
        call: Callable[[], V],
        *,
        tags: tuple[str, ...] = (),
        anew: bool = False,
        asked: bool = False,
    ) -> V:
        """As `fetch`, for a plain function: the first caller runs it, callers in other threads block meanwhile.

        Where callers wait only so long, or not at all, it runs in a thread that the cache owns.
        """
        counts = self._first_visit(key, anew=anew)
        patience = None if anew else self.freshness.soft_timeout
        while True:
            waiter: concurrent.futures.Future[Any] = concurrent.futures.Future()
            entry, flight, leads = self.enter(key, waiter, None, anew=anew, counts=counts)
            if leads:
                flight.tags, flight.anew, flight.asked = tags, anew, asked
            patience = patience if key in self.table else None
            try:
                if leads and (entry is not None or patience is not None):
                    self._launch_thread(flight, call)
                elif leads:
                    self._lead_here(flight, call)
                if entry is not None:
                    return served(entry)  # type: ignore[no-any-return]
                result = flight.wait_in_thread(waiter, patience)
            finally:
                del flight, waiter, entry
            if result is LATE:
                result, patience = self.overdue(key), None
            if result is not AGAIN:
                return result  # type: ignore[no-any-return]
            counts = False

    def _lead_here(self, flight: Flight, call: Callable[[], Any]) -> None:
        """Run one load in this thread, through the tier that processes share, if there is one."""
        text, tier = self.text(flight.key), self.tier
        if tier is None or not is_shareable(text):
            return self._load_here(flight, call)
        flight.passage = passage = Passage(tier, flight, text, flight.how or self.freshness)
        try:
            self._load_here(flight, lambda: through_in_thread(tier, passage, call))
        finally:
            in_thread(tier, passage.end())
        return None

    def _load_here(self, flight: Flight, call: Callable[[], Any]) -> None:
        """Run one load in this thread, and settle its flight."""
        token = loading.set(flight)
        started = self.cache.clock()
        try:
            value = call()
            entry = self.succeeded(flight, value, started)
        except asyncio.CancelledError:
            self.loads_cancelled += 1
            self.settle(flight, AGAIN)
            raise
        except BaseException as error:
            result, entry = self.failed(flight, error, started)
            self.settle(flight, result if isinstance(error, Exception) else AGAIN, entry)
            if not isinstance(error, Exception):
                raise
        else:
            self.settle(flight, value, entry)
        finally:
            loading.reset(token)
            del flight

    def _launch_thread(self, flight: Flight, call: Callable[[], Any]) -> None:
        """Run the load in a thread that the cache owns, in a copy of the caller's context."""

        def load() -> None:
            try:
                self._lead_here(flight, call)
            finally:
                self.cache.threads.discard(threading.current_thread())

        thread = threading.Thread(
            target=contextvars.copy_context().run, args=(load,), name=self.task_name, daemon=True
        )  # fmt: skip
        self.cache.threads.add(thread)
        try:
            thread.start()
        except BaseException:  # no more threads
            self.cache.threads.discard(thread)
            self.settle(flight, AGAIN)
            raise

    # -- a load in the first caller's own task: request handlers ----------------------------------------------------

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

    def _first_visit(self, key: Any, *, anew: bool) -> bool:
        """Say whether the call counts; one that loads anew does not, and fences the old load."""
        if anew:
            with self.lock:
                self.disown(key)
        return not anew

    # -- what a load came to ------------------------------------------------------------------------------------------

    def succeeded(self, flight: Flight, value: Any, started: float) -> Entry | None:
        """Count a load that gave a value, and return what is to be stored of it."""
        passage = flight.passage
        if self.plain is not None and flight.is_plain():
            self.count_success(started)
            return Entry(flight.key, value, self.cache.clock() + self.plain, self.seal)
        if passage is None:
            return self._stored(flight, value, self.count_success(started))
        if passage.found is not None:
            self.shared_hits += 1
            return passage.entry_of(passage.found)
        return passage.shorten(self._stored(flight, value, self.count_success(passage.began)))

    def _stored(self, flight: Flight, value: Any, cost: float) -> Entry | None:
        if self.adaptive is not None:
            with self.lock:
                old = self.before(flight)
            self.adaptive.loaded(cost, _differs(old, value), len(self.flights))
        if not (flight.how or self.freshness).stores(value, flight.load):
            self.notes.append((flight.key, "skipped" if flight.load and not flight.load.stores else "refused"))
            return None
        return self.entry(flight.key, value, flight.tags, cost=cost, load=flight.load, how=flight.how)

    def entry(
        self,
        key: Any,
        value: Any,
        tags: tuple[str, ...] = (),
        *,
        cost: float = 0.0,
        load: Load | None = None,
        how: Freshness | None = None,
    ) -> Entry:
        """Return the entry for a value that took ``cost`` seconds to load; ``how`` as in `fetch`."""
        how = how or self.freshness
        expire = how.expire if self.adaptive is None else self.adaptive.current
        return how.entry(
            key, value, self.cache.clock(), self.seal,
            expire=expire, cost=cost, load=load, tags=tags, random=self.cache.random,
        )  # fmt: skip

    def put(self, key: Any, value: Any, tags: tuple[str, ...] = (), how: Freshness | None = None) -> None:
        """Store ``value``; a load in flight for ``key`` can no longer replace it, nor be joined."""
        entry, text = self.entry(key, value, tags, how=how), self.text(key)
        if self.tier is not None and is_shareable(text):  # first: what was there before must not come back
            self.tier.put(text, value, **life_of(entry, self.cache.clock()))
            cut(entry, self.cache.clock() + self.cache.memory_expire)
        self.replace(entry)

    def failed(self, flight: Flight, error: BaseException, started: float) -> tuple[Any, Entry | None]:
        """Count a load that raised; return what its waiters get, and what is to be stored."""
        seconds = self.count_failure(error, started)
        how = flight.how or self.freshness
        if isinstance(error, how.cache_exceptions):
            kept, load = kept_failure(error), flight.load
            stored = how.stores(kept, load)
            if not stored:
                return Failure(error), None
            return Failure(error), self.entry(flight.key, kept, flight.tags, cost=seconds, load=load, how=how)
        self.notes.append((flight.key, type(error)))
        if isinstance(error, Exception) and not flight.anew:
            with self.lock:
                old = self.find(flight.key) if self.flights.get(flight.key) is flight else None
                if isinstance(old, Aging) and old.value.__class__ is not Failure:
                    old.failed(self.cache.clock())
                    self.rescued += len(flight.waiters or ())
                    log.warning(
                        "%s: a load failed with %s; the expired value is served", self.name, type(error).__name__
                    )
                    return old.value, None
        return Failure(error), None

    def overdue(self, key: Any) -> Any:
        """Return the expired value for a caller whose patience has ended; `AGAIN` if it is gone by now."""
        with self.lock:
            entry = self.find(key)
            if entry is None:
                return AGAIN
            self.rescued += 1
        return served(entry)

    def count_success(self, started: float) -> float:
        """Count a load that gave a value, and return how many seconds it took."""
        seconds = self.cache.clock() - started
        self.loads_ok += 1
        self.load_time.record(seconds)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s: miss, loaded in %.6f s", self.name, seconds)
        return seconds

    def count_failure(self, error: BaseException, started: float) -> float:
        """Count a load that raised, and return how many seconds it took."""
        seconds = self.cache.clock() - started
        self.loads_failed += 1
        self.loads_timed_out += isinstance(error, AttemptTimeoutError)
        if self.adaptive is not None:
            self.adaptive.failed(seconds, len(self.flights))
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s: miss, failed with %s after %.6f s", self.name, type(error).__name__, seconds)
        return seconds

    def __repr__(self) -> str:
        return f"<Operation {self.prefix!r} {self.live} entries, {len(self.flights)} loading>"


def served(entry: Entry) -> Any:
    """Return what an entry holds, or raise it: a copy, so that no caller's traceback is another's."""
    value = entry.value
    if value.__class__ is Failure:
        raise kept_failure(value.error).error  # type: ignore[arg-type]  # only exceptions are kept
    return value


def _differs(old: Entry | None, value: Any) -> bool | None:
    """Say whether a new value is another one than the old; None if that cannot be known."""
    if old is None:
        return None
    try:
        return bool(old.value is not value and old.value != value)
    except Exception:  # noqa: BLE001 - an array, for one, is neither equal nor different
        return None


def is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

"""One load of several keys: each has a flight of its own, which is settled, fenced and stored by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ..context import hide_deadline
from ..exceptions import BatchResultError, MissingKeyError, RecursiveLoadError
from .eager import start_eagerly
from .flights import AGAIN, LATE, Failure, Flight, loading
from .freshness import Freshness, kept_failure
from .operation import MAX_EAGER_DEPTH, Operation, is_being_cancelled
from .tiering import Passage, in_task, is_shareable

if TYPE_CHECKING:
    from .order import Entry
    from .shared.tier import SharedTier

__all__ = ["Batch", "Wanted", "answers"]

LoadMany = Callable[[list[Any]], Awaitable[Sequence[Any]]]


class Wanted(NamedTuple):
    """A key that somebody wants the value of.

    Attributes:
        key: The operation's.
        item: What the load is given for it.
        tags: The value's tags.
    """

    key: Any
    item: Any
    tags: tuple[str, ...] = ()


class Batch:
    """How the keys of one operation are loaded together.

    Args:
        operation: What they are keys of.
        load: Takes a list of items; returns for each, in order, its value, or an exception where there is none.
        size: The most items that it takes at once; None is no limit.
        max_workers: How many of its calls may run at once; None is no limit.
        how: The freshness of what it loads; None: the operation's.
    """

    def __init__(
        self,
        operation: Operation,
        load: LoadMany,
        *,
        size: int | None = None,
        max_workers: int | None = None,
        how: Freshness | None = None,
    ) -> None:
        self.operation = operation
        self.load = load
        self.size = size
        self.max_workers = max_workers
        self.how = how

    async def fetch(self, wanted: Sequence[Wanted], *, collect: bool) -> dict[Any, Any]:
        """Return ``{key: value}``, each stored, from a load in flight, or loaded with others in one call.

        Where ``collect``, a `Failure` stands for what was raised; else the first one found is raised.

        Cancellation:
            The caller leaves all flights. A call is cancelled when nobody waits for any of its keys.
        """
        results: dict[Any, Any] = {}
        # so many calls run at once, all of their keys registered before any of them begins
        at_once = self.size * self.max_workers if self.size and self.max_workers else len(wanted)
        for i in range(0, len(wanted), at_once or 1):
            await Visit(self, wanted[i : i + at_once], results, collect=collect).run()
        return results

    def launch(self, flights: tuple[Flight, ...], items: list[Any], loop: asyncio.AbstractEventLoop) -> None:
        """Start the task of one call, which the cache owns until it ends."""
        op, first = self.operation, flights[0]
        for flight in flights:
            flight.mates, flight.blocked_on = flights, first.blocked_on
        load = self._load(flights, items)
        try:
            if first.background or first.depth % MAX_EAGER_DEPTH == MAX_EAGER_DEPTH - 1:
                task = asyncio.Task(load, loop=loop, name=op.task_name)
                task.add_done_callback(lambda _: self._never_began(flights))
            else:
                task = start_eagerly(loop, load, op.task_name)
        except BaseException:  # such as RecursionError or MemoryError
            load.close()
            raise
        for flight in flights:
            flight.task = task
        if not task.done():  # an eager one may be
            op.cache.tasks.add(task)

    def _never_began(self, flights: tuple[Flight, ...]) -> None:
        """Settle the flights of a task that was cancelled before its first step; nothing where they are settled."""
        for flight in flights:
            if flight.waiters is not None:
                self.operation.settle(flight, Failure(self.operation.foreign_cancel(None)))
            if flight.task is not None:
                self.operation.cache.tasks.discard(flight.task)

    async def _load(self, flights: tuple[Flight, ...], items: list[Any]) -> None:
        """Make one call to its end, whatever that is, and settle its flights."""
        op, first = self.operation, flights[0]
        loading.set(first)
        hide_deadline()  # the first caller's; others share this load
        started = op.cache.clock()
        try:
            await self._load_each(flights, dict(zip(flights, items, strict=True)), started)
        except asyncio.CancelledError as error:
            op.loads_cancelled += len(flights)
            op.notes.extend((flight.key, "cancelled") for flight in flights)
            cancelled = op.foreign_cancel(error)
            self._settle_rest(flights, lambda _: (Failure(cancelled),))
            if first.cancelled or is_being_cancelled():
                raise
        except BaseException as error:
            self._settle_rest(flights, partial(op.failed, error=error, started=started))
            if not isinstance(error, Exception):
                raise
        finally:
            self._settle_rest(flights, lambda _: (AGAIN,))  # such as by a KeyboardInterrupt in cache_if
            if first.task is not None:  # it was suspended, so the cache had to hold it
                op.cache.tasks.discard(first.task)
            ends = [flight.passage.end() for flight in flights if flight.passage is not None]
            if ends:
                await op.own(ends)
            del flights, first  # as in Operation.fetch

    async def _load_each(self, flights: tuple[Flight, ...], item_of: dict[Flight, Any], started: float) -> None:
        """Settle every flight: with what the tier that processes share has for it, or by a call for the rest."""
        tier = self.operation.tier
        held: list[Flight] = []
        if tier is not None:
            found, flights, held = await self._look_there(flights, tier)
            for flight in found:
                self._settle(flight, flight.passage.found.value, started)  # type: ignore[union-attr]
        await self._call(flights, item_of, started)
        for flight in held:  # another process loads it: its value comes, or else the right to load it
            passage = flight.passage
            if await in_task(passage.begin()):  # type: ignore[union-attr]
                self._settle(flight, passage.found.value, started)  # type: ignore[union-attr]
            else:
                await self._call((flight,), item_of, started)

    async def _look_there(
        self, flights: tuple[Flight, ...], tier: SharedTier
    ) -> tuple[list[Flight], tuple[Flight, ...], list[Flight]]:
        """Ask the tier for all keys, in one round trip, and in another for the right to load what it has not.

        Returns:
            The flights that it has a value for, those to be loaded here, and those that another process loads.
        """
        op = self.operation
        asked = [flight for flight in flights if is_shareable(op.text(flight.key))]
        texts = [op.text(flight.key) for flight in asked]
        tags = list({tag: None for flight in asked for tag in flight.tags})
        for flight, text, found in zip(asked, texts, await tier.read(texts, tags), strict=True):
            flight.passage = Passage(tier, flight, text, self.how or op.freshness)
            flight.passage.look_at(found)
        found_now = [flight for flight in asked if flight.passage is not None and flight.passage.found is not None]
        missing = [flight for flight in asked if flight.passage is not None and flight.passage.found is None]
        answers = await tier.claim_many(
            [op.text(flight.key) for flight in missing],
            [flight.passage.old for flight in missing],  # type: ignore[union-attr]
        )
        held = [flight for flight, lease in zip(missing, answers, strict=True) if not flight.passage.hold(lease)]  # type: ignore[union-attr]
        elsewhere = {*found_now, *held}
        return found_now, tuple(flight for flight in flights if flight not in elsewhere), held

    async def _call(self, flights: tuple[Flight, ...], item_of: dict[Flight, Any], started: float) -> None:
        """Make one call for the items of ``flights``, and settle each."""
        if flights:
            first = flights[0]
            loading.set(first)  # it says things of all of them, and must not be settled yet
            results, said = await self.load([item_of[flight] for flight in flights]), first.load
            for flight, result in zip(flights, results, strict=True):
                flight.load = said and said.shared_by(flight.tags)
                self._settle(flight, result, started)

    def _settle(self, flight: Flight, result: Any, started: float) -> None:
        """Settle the flight of one key; what fails for it fails for no other."""
        op = self.operation
        try:
            if isinstance(result, asyncio.CancelledError):  # raised bare, it would seem to be the caller's own
                result = op.foreign_cancel(result)
            if isinstance(result, BaseException):
                op.settle(flight, *op.failed(flight, result, started))
            else:
                op.settle(flight, result, op.succeeded(flight, result, started))
        except Exception as error:  # noqa: BLE001 - the user's cache_if
            op.settle(flight, *op.failed(flight, error, started))

    def _settle_rest(self, flights: Iterable[Flight], result: Callable[[Flight], tuple[Any, ...]]) -> None:
        for flight in flights:
            if flight.waiters is not None:
                self.operation.settle(flight, *result(flight))


class Visit:
    """One caller's way to the values of some keys: every key is found or boarded before anything is awaited."""

    def __init__(self, batch: Batch, wanted: Sequence[Wanted], results: dict[Any, Any], *, collect: bool) -> None:
        self._batch = batch
        self._operation = batch.operation
        self._loop = asyncio.get_running_loop()
        self._todo: dict[Any, Wanted] = {one.key: one for one in wanted}
        self._results = results  # {key: value or Failure}: filled here
        self._collect = collect
        self._counts = True  # the first time, each key counts as a call
        self._patience: float | None = (batch.how or self._operation.freshness).soft_timeout
        self._until = self._loop.time() + (self._patience or 0)
        self._seats: dict[Any, tuple[Flight, asyncio.Future[Any]]] = {}  # {key: what is waited for}
        # registered, and ours to launch: those that are waited for, and those in the background
        self._led: tuple[list[Flight], list[Flight]] = ([], [])

    async def run(self) -> None:
        """Fill in the results."""
        while self._todo:
            try:
                self._board()
                await self._wait()
            finally:
                self._leave()
            self._counts = False

    def _board(self) -> None:
        """Find each key's entry, or board its flight; then start the loads that are ours to start."""
        op = self._operation
        for key in self._todo:
            waiter: asyncio.Future[Any] = self._loop.create_future()
            try:
                entry, flight, leads = op.enter(key, waiter, self._loop, anew=False, counts=self._counts)
            except RecursiveLoadError as error:
                self._give(key, Failure(error))
                continue
            if leads:
                flight.tags, flight.how = self._todo[key].tags, self._batch.how
                self._led[flight.background].append(flight)
            if entry is not None:
                self._give(key, _held(entry))
            else:
                self._seats[key] = flight, waiter
        for flights in self._led:
            size = self._batch.size or len(flights)
            while flights:
                chunk = tuple(flights[:size])
                self._batch.launch(chunk, [self._todo[flight.key].item for flight in chunk], self._loop)
                del flights[:size]

    async def _wait(self) -> None:
        """Wait for one flight after the other, first those that end together."""
        again: dict[Any, Wanted] = {}
        for key in sorted(self._seats, key=lambda key: not self._seats[key][0].mates):
            flight, waiter = self._seats[key]
            result = waiter.result() if waiter.done() else await self._outcome(key, flight, waiter)
            flight.unblock()
            del self._seats[key]
            if result is AGAIN:
                again[key] = self._todo[key]
            else:
                self._give(key, result)
        self._todo = again

    async def _outcome(self, key: Any, flight: Flight, waiter: asyncio.Future[Any]) -> Any:
        """Return what the flight gives, as a value or a `Failure`; the old value where it takes too long."""
        op = self._operation
        patience = None
        if self._patience is not None and key in op.table:
            patience = max(self._until - self._loop.time(), 0)
        try:
            result = await flight.wait(waiter, patience)
        except Exception as error:  # noqa: BLE001 - the load's: a cancellation goes on
            return Failure(error)
        finally:
            del flight, waiter
        if result is LATE:
            result = op.overdue(key)
            self._patience = None if result is AGAIN else self._patience
        return result

    def _give(self, key: Any, result: Any) -> None:
        """Note what became of a key; raise it if that is how the caller wants it."""
        if result.__class__ is Failure and not self._collect:
            result.throw()
        self._results[key] = result

    def _leave(self) -> None:
        """Leave the flights that were not waited for to their end; those never launched, others may lead."""
        op = self._operation
        for flight in (*self._led[0], *self._led[1]):
            op.settle(flight, AGAIN)
        loads: dict[int, Flight] = {}
        with op.lock:
            for flight, waiter in self._seats.values():
                if flight.waiters:
                    flight.waiters.pop(waiter, None)
                loads[id(flight.mates or flight)] = flight
            stopping = [flight for flight in loads.values() if flight.abandon()]
        for flight in stopping:
            flight.stop()
        for flight, _ in self._seats.values():
            flight.unblock()
        self._seats, self._led = {}, ([], [])


def answers(name: str, keys: Sequence[Any], given: Any) -> list[Any]:
    """Return what a load of ``keys`` gave for each: its value, or an exception.

    Raises:
        BatchResultError: It gave neither a mapping nor as many results as there are keys.
    """
    if isinstance(given, Mapping):
        return [given[key] if key in given else MissingKeyError(name, key) for key in keys]
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise BatchResultError(
            f"{name}() must return a mapping {{key: value}} or a sequence with a value for each key, got {given!r:.60}"
        )
    if len(given) != len(keys):
        raise BatchResultError(
            f"{name}() returned {len(given)} results for {len(keys)} keys: return one a key, in their order, "
            "or a mapping {key: value}"
        )
    return list(given)


def _held(entry: Entry) -> Any:
    """What an entry holds: of an exception a copy, so that no caller's traceback is another's."""
    value = entry.value
    return kept_failure(value.error) if value.__class__ is Failure else value  # type: ignore[arg-type]  # kept ones are

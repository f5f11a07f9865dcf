"""The values of several keys for one caller: hits, loads in flight, and what is missing, loaded in as few calls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ...exceptions import RecursiveLoadError
from ..freshness.freshness import Freshness, kept_failure
from ..loads.flights import AGAIN, LATE, Failure, Flight
from ..operation import Operation
from .batch_loads import BatchLoads, LoadMany

if TYPE_CHECKING:
    from ..memory.order import Entry

__all__ = ["Batch", "Wanted"]


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
        self.loads: BatchLoads = BatchLoads(operation, load, how)
        self.size = size
        self.max_workers = max_workers

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


class Visit:
    """One caller's way to the values of some keys: every key is found or boarded before anything is awaited."""

    def __init__(self, batch: Batch, wanted: Sequence[Wanted], results: dict[Any, Any], *, collect: bool) -> None:
        self._batch = batch
        self._operation = batch.loads.operation
        self._loop = asyncio.get_running_loop()
        self._todo: dict[Any, Wanted] = {one.key: one for one in wanted}
        self._results = results  # {key: value or Failure}: filled here
        self._collect = collect
        self._counts = True  # the first time, each key counts as a call
        self._patience: float | None = (batch.loads.how or self._operation.freshness).soft_timeout
        self._until = self._loop.time() + (self._patience or 0)
        # {key: what is waited for, and with what; None where it is ours to launch, and need not be waited for yet}
        self._seats: dict[Any, tuple[Flight, asyncio.Future[Any] | None]] = {}
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
            try:
                entry, flight, waiter = op.enter(
                    key, self._loop, self._loop.create_future, anew=False, counts=self._counts
                )
            except RecursiveLoadError as error:
                self._give(key, Failure(error))
                continue
            if flight and waiter is None:
                flight.tags, flight.how = self._todo[key].tags, self._batch.loads.how
                self._led[flight.background].append(flight)
            if entry is not None:
                self._give(key, _held(entry))
            else:
                self._seats[key] = flight, waiter
        for flights in self._led:
            size = self._batch.size or len(flights)
            while flights:
                chunk = tuple(flights[:size])
                self._batch.loads.launch(chunk, [self._todo[flight.key].item for flight in chunk], self._loop)
                del flights[:size]

    async def _wait(self) -> None:
        """Wait for one flight after the other, first those that end together."""
        again: dict[Any, Wanted] = {}
        for key in sorted(self._seats, key=lambda key: not self._seats[key][0].mates):
            flight, waiter = self._seats[key]
            if waiter is None and flight.waiters is not None:  # only this loop settles it
                waiter = flight.seat(self._loop.create_future)
                self._seats[key] = flight, waiter
            if waiter is None:
                result, flight.result = flight.result, None
            elif waiter.done():
                result = waiter.result()
            else:
                result = await self._outcome(key, flight, waiter)
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
                if waiter is None:
                    flight.result = None
                if flight.waiters:
                    flight.waiters.pop(waiter or flight, None)
                loads[id(flight.mates or flight)] = flight
            stopping = [flight for flight in loads.values() if flight.abandon()]
        for flight in stopping:
            flight.stop()
        for flight, _ in self._seats.values():
            flight.unblock()
        self._seats, self._led = {}, ([], [])


def _held(entry: Entry) -> Any:
    """What an entry holds: of an exception a copy, so that no caller's traceback is another's."""
    value = entry.value
    return kept_failure(value.error) if value.__class__ is Failure else value  # type: ignore[arg-type]  # kept ones are

"""One load of several keys: each has a flight of its own, which is settled, fenced and stored by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ...context import hide_deadline, loading
from ...exceptions import BatchResultError, MissingKeyError
from ..freshness.freshness import Freshness
from ..loads.flights import AGAIN, Failure, Flight
from ..loads.task_loads import is_being_cancelled
from ..loads.tiering import Passage, is_shareable
from ..operation import Operation

if TYPE_CHECKING:
    from ..shared.leases import Lease
    from ..shared.protocol import Held
    from ..shared.tier import SharedTier

__all__ = ["BatchLoads", "LoadMany", "answers"]

LoadMany = Callable[[list[Any]], Awaitable[Sequence[Any]]]


class BatchLoads:
    """How keys of one operation are loaded in one call.

    Args:
        operation: What they are keys of.
        load: Takes a list of items; returns for each, in order, its value, or an exception where there is none.
        how: The freshness of what it loads; None: the operation's.
    """

    def __init__(self, operation: Operation, load: LoadMany, how: Freshness | None = None) -> None:
        self.operation = operation
        self.load = load
        self.how = how

    def launch(self, flights: tuple[Flight, ...], items: list[Any], loop: asyncio.AbstractEventLoop) -> None:
        """Start the task of one call, which the cache owns until it ends."""
        for flight in flights:
            flight.mates, flight.blocked_on = flights, flights[0].blocked_on
        self.operation.start(self._load(flights, items), flights, loop)

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
            del flights, first  # as in TaskLoads.fetch

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
            if await passage.begin():  # type: ignore[union-attr]
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
        founds = await tier.read(texts, tags)
        nothing = [None] * len(asked)
        for flight, text, found in zip(asked, texts, founds or nothing, strict=True):
            flight.passage = Passage(tier, flight, text, self.how or op.freshness)
            flight.passage.look_at(found)
        found_now = [flight for flight in asked if flight.passage is not None and flight.passage.found is not None]
        missing = [flight for flight in asked if flight.passage is not None and flight.passage.found is None]
        answers: Sequence[Lease | Held | None] = nothing
        if founds is not None:
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
            if not isinstance(result, BaseException):
                op.settle(flight, result, op.succeeded(flight, result, started))
                return
            if isinstance(result, asyncio.CancelledError):  # raised bare, it would seem to be the caller's own
                result = op.foreign_cancel(result)
            op.settle(flight, *op.failed(flight, result, started))
        except Exception as error:  # noqa: BLE001 - the user's cache_if
            op.settle(flight, *op.failed(flight, error, started))

    def _settle_rest(self, flights: Iterable[Flight], result: Callable[[Flight], tuple[Any, ...]]) -> None:
        for flight in flights:
            if flight.waiters is not None:
                self.operation.settle(flight, *result(flight))


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

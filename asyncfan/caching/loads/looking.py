"""Looks for many keys in the tier that processes share, in one round trip, before any of them is loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .flights import AGAIN, Flight
from .tiering import Passage, is_shareable

if TYPE_CHECKING:
    from ..operation import Operation
    from ..shared.tier import SharedTier

__all__ = ["Looked", "look_there"]

KEYS_AT_ONCE = 1000  # in between, the event loop does what else there is


class Looked(NamedTuple):
    """What a look into the tier gave.

    Attributes:
        values: {key: value} of what it has, which memory keeps.
        asked: {key: whether it could be asked} of the keys that were looked for.
    """

    values: dict[Any, Any]
    asked: dict[Any, bool]


async def look_there(
    operation: Operation,
    tier: SharedTier,
    wanted: Mapping[Any, tuple[str, ...]],
    loop: asyncio.AbstractEventLoop | None,
) -> Looked:
    """Look for keys, but those that load already or have an expired value in memory.

    Whoever asks for one of them meanwhile waits for this one question.

    Args:
        operation: What they are keys of.
        tier: The tier.
        wanted: ``{key: the tags that its value is known to have}``.
        loop: Whose loads wait for it; None: those of threads.
    """
    looked = Looked({}, {})
    keys = list(wanted)
    for first in range(0, len(keys), KEYS_AT_ONCE):
        some = keys[first : first + KEYS_AT_ONCE]
        await _look(operation, tier, _board(operation, {key: wanted[key] for key in some}, loop), looked)
    return looked


async def _look(operation: Operation, tier: SharedTier, flights: Sequence[Flight], looked: Looked) -> None:
    if not flights:
        return
    started = operation.cache.clock()
    try:
        texts = [operation.text(flight.key) for flight in flights]
        tags = list({tag: None for flight in flights for tag in flight.tags})
        founds = await tier.read(texts, tags)
        looked.asked.update(dict.fromkeys((flight.key for flight in flights), founds is not None))
        for flight, text, found in zip(flights, texts, founds or (), strict=False):
            flight.passage = Passage(tier, flight, text, operation.freshness)
            if flight.passage.look_at(found) and found is not None:
                looked.values[flight.key] = found.value
                operation.misses += 1
                operation.settle(flight, found.value, operation.succeeded(flight, found.value, started))
    finally:
        for flight in flights:
            if flight.waiters is not None:
                operation.settle(flight, AGAIN)


def _board(
    operation: Operation, wanted: Mapping[Any, tuple[str, ...]], loop: asyncio.AbstractEventLoop | None
) -> list[Flight]:
    """Register a flight for each key that has none: a clear from now on is minded."""
    flights: list[Flight] = []
    with operation.lock:
        for key, tags in wanted.items():
            if is_shareable(operation.text(key)) and operation.in_flight(key) is None and operation.find(key) is None:
                flight = operation.flights[key] = Flight(operation, key, loop)
                flight.tags = tags
                flights.append(flight)
    return flights

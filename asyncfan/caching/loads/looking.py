"""Looks for many keys in the tier that processes share, in one round trip, before any of them is loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .flights import AGAIN, Flight
from .register import MISSING
from .tiering import Passage, is_shareable

if TYPE_CHECKING:
    from ..operation import Operation
    from ..shared.tier import SharedTier

__all__ = ["look_there"]

KEYS_AT_ONCE = 1000  # in between, the event loop does what else there is


async def look_there(
    operation: Operation,
    tier: SharedTier,
    wanted: Mapping[Any, tuple[str, ...]],
    loop: asyncio.AbstractEventLoop | None,
) -> dict[Any, Any]:
    """Return ``{key: value}`` of what the tier has, which memory keeps, and ``{key: MISSING}`` of what it has not.

    Left out are those keys that load already or have an expired value in memory. Whoever asks for one of the others
    meanwhile waits for this one question.

    Args:
        operation: What they are keys of.
        tier: The tier.
        wanted: ``{key: the tags that its value is known to have}``.
        loop: Whose loads wait for it; None: those of threads.
    """
    values: dict[Any, Any] = {}
    keys = list(wanted)
    for first in range(0, len(keys), KEYS_AT_ONCE):
        some = keys[first : first + KEYS_AT_ONCE]
        values |= await _look(operation, tier, _board(operation, {key: wanted[key] for key in some}, loop))
    return values


async def _look(operation: Operation, tier: SharedTier, flights: Sequence[Flight]) -> dict[Any, Any]:
    if not flights:
        return {}
    values: dict[Any, Any] = dict.fromkeys((flight.key for flight in flights), MISSING)
    started = operation.cache.clock()
    try:
        texts = [operation.text(flight.key) for flight in flights]
        tags = list({tag: None for flight in flights for tag in flight.tags})
        founds = await tier.read(texts, tags) or []
        for flight, text, found in zip(flights, texts, founds, strict=False):
            flight.passage = Passage(tier, flight, text, operation.freshness)
            if flight.passage.look_at(found) and found is not None:
                values[flight.key] = found.value
                operation.misses += 1
                operation.settle(flight, found.value, operation.succeeded(flight, found.value, started))
    finally:
        for flight in flights:
            if flight.waiters is not None:
                operation.settle(flight, AGAIN)
    return values


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

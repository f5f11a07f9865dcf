"""The policies by name. Only the default one is loaded before it is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable

from .mapped import Mapped, MappingLike
from .order import Entry, Order
from .recency import Recency
from .weighing import Scale

__all__ = ["POLICIES", "make_order"]

POLICIES = ("lru", "lfu", "s3fifo")


def make_order(
    policy: str | MappingLike,
    evicted: Callable[[Entry], None],
    moved: Callable[[Entry], None],
    *,
    maxsize: int | None,
    scale: Scale | None,
) -> Order:
    """Return the order of a policy by its name, or that of the user's mapping.

    Args:
        policy: The name or the mapping.
        evicted: Told of each entry that goes for want of room.
        moved: Told of each entry that another one's coming has moved, so that a walk may miss it.
        maxsize: The most entries; None is no limit.
        scale: Weighs them, where their bytes are bounded.

    Raises:
        TypeError: It is neither a name nor a mapping.
        ValueError: There is no policy of that name, or ``max_bytes`` stands beside a mapping.
    """
    if isinstance(policy, str):
        return _named(policy, math.inf if maxsize is None else maxsize, scale, evicted, moved)
    if not isinstance(policy, MappingLike):
        raise TypeError(f"policy must be {_names()} or a mutable mapping with bounds of its own, got {policy!r}")
    if scale is not None:
        raise ValueError("max_bytes cannot bound a mapping given as policy: bound the mapping itself")
    return Mapped(policy)


def _named(
    name: str,
    most: float,
    scale: Scale | None,
    evicted: Callable[[Entry], None],
    moved: Callable[[Entry], None],
) -> Order:
    if name == "lru":
        return Recency(most, scale, evicted)
    if name == "lfu":
        from .frequency import Frequency  # noqa: PLC0415

        return Frequency(most, scale, evicted)
    if name == "s3fifo":
        from .queues import ScanResistance  # noqa: PLC0415

        return ScanResistance(most, scale, evicted, moved)
    raise ValueError(f"policy must be {_names()} or a mutable mapping with bounds of its own, got {name!r}")


def _names() -> str:
    return ", ".join(map(repr, POLICIES))

"""How many bytes a value holds, without walking all of it, and how many a cache may hold."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from math import isqrt
from operator import index
from typing import Any

from .order import Entry

__all__ = ["ENTRY_BYTES", "Scale", "make_scale", "weigh"]

ENTRY_BYTES = 400  # what an entry costs beside its value: key, record, its place in the table
MAX_VISITS = 200  # objects looked at for one value: some 100 us at most
MAX_FIELDS = 32  # up to so many keys a dict is a record, not a table


class Scale:
    """Weighs entries, with what they cost beside their values."""

    def __init__(self, most: int, weigher: Callable[[Any], int]) -> None:
        self.most: int = most  # bytes of all entries together
        self._weigher = weigher

    def takes(self, entry: Entry) -> bool:
        """Weigh an entry; False if it alone is too heavy.

        Raises:
            TypeError: The weigher returned no whole number.
            ValueError: It returned one below 0.
        """
        found = self._weigher(entry.value)
        try:
            size = index(found)  # numpy's integers too
        except TypeError:
            raise TypeError(f"weigher must return a whole number of bytes, got {found!r}") from None
        if size < 0:
            raise ValueError(f"weigher must return a number of bytes >= 0, got {found!r}")
        entry.weight = ENTRY_BYTES + size
        return entry.weight <= self.most


def make_scale(max_bytes: int | None, weigher: Callable[[Any], int] | None) -> Scale | None:
    """Return what keeps a cache within ``max_bytes``; None where there is no such bound.

    Raises:
        TypeError: The weigher is not callable, or has nothing to weigh for.
    """
    if weigher is not None and not callable(weigher):
        raise TypeError(f"weigher must be a function of a value that returns its bytes, got {weigher!r}")
    if weigher is not None and max_bytes is None:
        raise TypeError("weigher needs max_bytes: weigher=len, max_bytes=100_000_000")
    return None if max_bytes is None else Scale(max_bytes, weigher or weigh)


def weigh(value: Any) -> int:
    """Estimate the bytes that ``value`` holds: containers by a sample, never more than 200 objects visited.

    Example:
        >>> 9_000_000 < weigh([{"row": bytes(900)} for _ in range(8_000)]) < 10_000_000
        True
    """
    return int(_walk(value, MAX_VISITS)[0])


def _may_hold(item: Any) -> bool:
    return not isinstance(item, (str, bytes, bytearray, int, float))


def _walk(item: Any, visits: int) -> tuple[float, int]:
    """Return the bytes of ``item``, and how many of the visits that it was granted are left."""
    size, visits = float(sys.getsizeof(item, 64)), visits - 1
    children, count = _sample(item, visits)
    found = 0.0
    for number, child in enumerate(sorted(children, key=_may_hold)):  # what the first ones leave goes to the last
        share = visits // (len(children) - number)
        weight, left = _walk(child, share)
        found += weight
        visits -= share - left
    return (size + found * count / len(children) if children else size), visits


def _sample(item: Any, visits: int) -> tuple[Sequence[Any], int]:
    """Return some of what ``item`` holds, and how much it holds.

    What is in a list or a large dict is taken to be alike, so a few are looked at, as deep as wide; the fields of a
    record are not alike, so all are.
    """
    most = isqrt(visits)
    if not visits or not _may_hold(item):
        return (), 0
    if isinstance(item, (list, tuple)):  # each so many-th: its beginning may be like nothing else in it
        return item[:: len(item) // most + 1], len(item)
    if isinstance(item, (set, frozenset, deque)):
        return list(islice(item, most)), len(item)
    if isinstance(item, dict):
        half = min(visits, 2 * most if len(item) > MAX_FIELDS else 2 * MAX_FIELDS) // 2
        return [*islice(item, half), *islice(item.values(), half)], 2 * len(item)
    fields = list(islice(_fields(item), min(visits, MAX_FIELDS)))
    return fields, len(fields)


def _fields(item: Any) -> Iterator[Any]:
    """Yield the attributes that an object holds itself."""
    held = getattr(item, "__dict__", None)
    if isinstance(held, dict):
        yield from list(held.values())
    for kind in type(item).__mro__:
        names = kind.__dict__.get("__slots__", ())
        yield from (getattr(item, name, None) for name in ((names,) if isinstance(names, str) else names))

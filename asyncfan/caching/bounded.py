"""Makes room for an entry before it comes in: what the orders other than `Recency` have in common."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from .order import Entry
from .weighing import Scale

__all__ = ["Bounded"]

COMING = object()


class Bounded(ABC):
    """An order that is linked through its entries, and so costs no memory of its own for them.

    A dictionary, as each of cachetools' classes has two or three, costs 100 bytes an entry under steady eviction at
    100,000 entries (CPython 3.11): a whole entry would cost more than 400.

    Args:
        maxsize: The most entries.
        scale: Weighs them, where their bytes are bounded.
        evicted: Told of each entry that goes, after it has gone.
    """

    silent = False

    def __init__(self, maxsize: float, scale: Scale | None, evicted: Callable[[Entry], None]) -> None:
        self._maxsize = maxsize
        self._scale = scale
        self._max_weight: float = math.inf if scale is None else scale.most
        self._evicted = evicted

    def add(self, entry: Entry) -> bool:
        """Take in an entry, once others have made room for it: it must not be the one that goes."""
        if self._scale is not None and not self._scale.takes(entry):
            return False
        entry.place = COMING  # until the finalizer of a value that goes removes it
        while entry.place is COMING:
            if len(self) >= self._maxsize or self._weight() + entry.weight > self._max_weight:
                self._evict()
            else:
                self._take_in(entry)
        return True

    def remove(self, entry: Entry) -> None:
        """Let go of an entry, also of one that is about to come in."""
        if entry.older is not None:
            self._let_go(entry)
        entry.place = None  # it and what is noted there would keep each other alive

    @abstractmethod
    def touch(self, entry: Entry) -> None:
        """Note that an entry was used; nothing where it is no longer held."""

    @abstractmethod
    def clear(self) -> None:
        """Let go of all."""

    @abstractmethod
    def walk(self) -> Iterator[Entry]:
        """Yield each entry that is held now, while others may come and go; one walk at a time."""

    @abstractmethod
    def _take_in(self, entry: Entry) -> None: ...

    @abstractmethod
    def _let_go(self, entry: Entry) -> None: ...

    @abstractmethod
    def _evict(self) -> None:
        """Let an entry go, or do something that brings that nearer."""

    @abstractmethod
    def _weight(self) -> int: ...

    @abstractmethod
    def __len__(self) -> int: ...

    def __contains__(self, entry: Entry) -> bool:
        return entry.older is not None

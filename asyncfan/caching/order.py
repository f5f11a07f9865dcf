"""Which entry goes first when a bound is reached."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, Protocol

import cachetools

from .weighing import weigh

if TYPE_CHECKING:
    from .register import Seal

__all__ = ["ENTRY_BYTES", "POLICIES", "Entry", "Order", "make_order"]

POLICIES = ("lru", "lfu")
ENTRY_BYTES = 400  # what an entry costs beside its value: key, record, its place in the table


class Entry:
    """One stored value; `Aging` is one that may be served, on conditions, when it has expired."""

    __slots__ = ("expires", "key", "newer", "older", "seal", "value", "weight")
    tags: tuple[str, ...] = ()
    validator: str | None = None

    def __init__(self, key: Any, value: Any, expires: float, seal: Seal) -> None:
        self.key: Any = key
        self.value: Any = value
        self.expires: float = expires  # by the cache's clock
        self.seal: Seal = seal  # the operation it belongs to, and the last of its clears that the entry survived
        self.older: Entry | None = None  # its neighbours in `Recency`; None outside of it
        self.newer: Entry | None = None
        self.weight: int = 1  # bytes where max_bytes is set

    @property
    def last(self) -> float:
        """When it is no longer served, on no condition."""
        return self.expires

    @property
    def gone(self) -> float:
        """When it is of no more use to anybody."""
        return self.expires


class Order(Protocol):
    """Holds the entries of a cache within its bounds; all under the cache's lock."""

    silent: bool  # it may drop entries without telling

    def add(self, entry: Entry) -> bool:
        """Take in an entry, and drop others as needed; False if it alone is above a bound."""
        ...

    def touch(self, entry: Entry) -> None:
        """Note that an entry was used; nothing where it is no longer held."""
        ...

    def remove(self, entry: Entry) -> None:
        """Let go of an entry, if it is held."""
        ...

    def clear(self) -> None:
        """Let go of all."""
        ...

    def walk(self) -> Iterator[Entry]:
        """Yield each entry that is held now, while others may come and go; one walk at a time."""
        ...

    def __contains__(self, entry: Entry) -> bool: ...

    def __len__(self) -> int: ...


class Recency:
    """Least recently used first: a doubly linked list through the entries themselves.

    ``cachetools.LRUCache`` keeps the same order in two more dictionaries: 300 bytes an entry more, 500 by themselves
    under steady eviction at 100,000 entries, which is above what a whole entry may cost, and 1.5 us more a miss
    (measured, CPython 3.11, cachetools 8.0).
    """

    silent = False

    def __init__(self, maxsize: float, max_bytes: int | None, evicted: Callable[[Entry], None]) -> None:
        self._maxsize = maxsize
        self._max_bytes = max_bytes
        self._evicted = evicted
        self._count = 0
        self._bytes = 0
        # a ring: root.newer is the oldest entry, root.older the newest
        self._root = root = Entry(None, None, math.inf, None)  # type: ignore[arg-type]
        root.newer = root.older = root
        self._hand: Entry = root  # the next entry of a walk, and the last one
        self._until: Entry = root

    def add(self, entry: Entry) -> bool:
        """Take in an entry as the newest; the oldest go."""
        if self._max_bytes is not None:
            entry.weight = ENTRY_BYTES + weigh(entry.value)
            if entry.weight > self._max_bytes:
                return False
            self._bytes += entry.weight
        self._count += 1
        self._link(entry)
        while self._count > self._maxsize or (self._max_bytes is not None and self._bytes > self._max_bytes):
            oldest = self._root.newer
            assert oldest is not None  # noqa: S101 - the ring is closed
            self.remove(oldest)
            self._evicted(oldest)
        return True

    def touch(self, entry: Entry) -> None:
        """Make a held entry the newest."""
        if entry.older is not None:
            self._unlink(entry)
            self._link(entry)

    def remove(self, entry: Entry) -> None:
        """Take an entry out of the list."""
        if entry.older is not None:
            self._unlink(entry)
            self._count -= 1
            if self._max_bytes is not None:
                self._bytes -= entry.weight

    def clear(self) -> None:
        """Forget all entries."""
        self._root.newer = self._root.older = self._root
        self._count = self._bytes = 0

    def walk(self) -> Iterator[Entry]:
        """Yield each entry from the oldest on; one that is used meanwhile becomes the newest and is left out."""
        root = self._root
        self._hand, self._until = root.newer, root.older  # type: ignore[assignment]
        while self._hand is not root and self._hand.older is not self._until:
            entry = self._hand
            self._hand = entry.newer  # type: ignore[assignment]
            yield entry

    def _link(self, entry: Entry) -> None:
        root = self._root
        newest = root.older
        entry.older, entry.newer = newest, root
        newest.newer = root.older = entry  # type: ignore[union-attr]

    def _unlink(self, entry: Entry) -> None:
        older, newer = entry.older, entry.newer
        if entry is self._hand:
            self._hand = newer  # type: ignore[assignment]
        if entry is self._until:
            self._until = older  # type: ignore[assignment]
        older.newer, newer.older = newer, older  # type: ignore[union-attr]
        entry.older = entry.newer = None

    def __contains__(self, entry: Entry) -> bool:
        return entry.older is not None

    def __len__(self) -> int:
        return self._count


class Mapped:
    """Whatever order a mapping keeps: cachetools' classes, or the user's own with bounds of its own."""

    def __init__(self, mapping: MutableMapping[Entry, Entry]) -> None:
        self._mapping = mapping
        self.silent: bool = not isinstance(mapping, Told)

    def add(self, entry: Entry) -> bool:
        """Hand an entry to the mapping, as key and value."""
        try:
            self._mapping[entry] = entry
        except ValueError:  # cachetools: heavier than all that it may hold
            return False
        return True

    def touch(self, entry: Entry) -> None:
        """Read the entry in the mapping."""
        if entry in self._mapping:
            self._mapping[entry]  # reading is what counts as a use

    def remove(self, entry: Entry) -> None:
        """Delete the entry from the mapping."""
        self._mapping.pop(entry, None)

    def clear(self) -> None:
        """Empty the mapping."""
        self._mapping.clear()

    def walk(self) -> Iterator[Entry]:
        """Yield each entry that the mapping holds now."""
        yield from list(self._mapping)

    def __contains__(self, entry: Entry) -> bool:
        return entry in self._mapping

    def __len__(self) -> int:
        return len(self._mapping)


class Told(cachetools.LFUCache[Entry, Entry]):
    """cachetools' order within both bounds, which tells what it evicts."""

    def __init__(self, maxsize: float, max_bytes: int | None, evicted: Callable[[Entry], None]) -> None:
        super().__init__(maxsize if max_bytes is None else max_bytes, None if max_bytes is None else _bytes_of)
        self._most = maxsize
        self._evicted = evicted

    def __setitem__(self, entry: Entry, value: Entry) -> None:
        while len(self) >= self._most:
            self.popitem()
        super().__setitem__(entry, value)

    def popitem(self) -> tuple[Entry, Entry]:
        """Evict the least often used entry."""
        found = super().popitem()
        self._evicted(found[0])
        return found


def _bytes_of(entry: Entry) -> int:
    return ENTRY_BYTES + weigh(entry.value)


def make_order(
    policy: str | MutableMapping[Any, Any],
    maxsize: int | None,
    max_bytes: int | None,
    evicted: Callable[[Entry], None],
) -> Order:
    """Return the order of a policy by its name, or that of the user's mapping."""
    if not isinstance(policy, str):
        return Mapped(policy)
    most = math.inf if maxsize is None else maxsize
    return Recency(most, max_bytes, evicted) if policy == "lru" else Mapped(Told(most, max_bytes, evicted))

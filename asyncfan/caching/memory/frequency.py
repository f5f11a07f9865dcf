"""Least frequently used first."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .bounded import Bounded
from .order import Entry
from .ring import Ring
from .weighing import Scale

__all__ = ["Frequency"]


class _Group:
    """The entries that were used equally often; they stand together in the list."""

    __slots__ = ("count", "fewer", "more", "newest", "uses")

    def __init__(self, uses: int, fewer: _Group | None) -> None:
        self.uses: int = uses  # changed only where no other group has as many
        self.count: int = 0
        self.newest: Entry | None = None  # while there is none: after which its first one belongs
        self.fewer: _Group = self  # its neighbours, in a closed list
        self.more: _Group = self
        if fewer is not None:
            self.newest = fewer.newest
            self.fewer, self.more = fewer, fewer.more
            self.fewer.more = self.more.fewer = self


class Frequency(Bounded):
    """LFU in constant time: entries from those used least often to those used most, in groups of equal use.

    In each group the one that came into it first is the first to go.

    "An O(1) algorithm for implementing the LFU cache eviction scheme", Shah, Mitra, Matani; 2010. There each group has
    a list of its own; one list for all can be walked while entries rise in it. Walked from its upper end on, it yields
    none twice, and misses only what was used meanwhile.
    """

    def __init__(self, maxsize: float, scale: Scale | None, evicted: Callable[[Entry], None]) -> None:
        super().__init__(maxsize, scale, evicted)
        self._ring: Ring[Entry] = Ring()
        self._unused = _Group(0, None)  # of none: where the list of groups is closed

    def touch(self, entry: Entry) -> None:
        """Move a held entry into the group above its own."""
        if entry.older is None:
            return
        group: _Group = entry.place
        uses = group.uses + 1
        if group.count == 1 and group.more.uses != uses:
            group.uses = uses
        else:
            self._let_go(entry)
            self._put(entry, group if group.count else group.fewer, uses)

    def clear(self) -> None:
        """Forget all entries."""
        self._ring.clear()
        self._unused = _Group(0, None)

    def walk(self) -> Iterator[Entry]:
        """Yield each entry, those used most often first."""
        return self._ring.walk()

    def _take_in(self, entry: Entry) -> None:
        self._put(entry, self._unused, 1)

    def _put(self, entry: Entry, below: _Group, uses: int) -> None:
        """Make an entry the newest of its group, which is the next above ``below``, or is to be."""
        group = below.more
        if group.uses != uses:
            group = _Group(uses, below)
        self._ring.insert(entry, group.newest)
        group.newest = entry
        group.count += 1
        entry.place = group

    def _let_go(self, entry: Entry) -> None:
        group: _Group = entry.place
        group.count -= 1
        if not group.count:
            group.fewer.more, group.more.fewer = group.more, group.fewer
        elif group.newest is entry:
            group.newest = entry.older
        self._ring.discard(entry)

    def _evict(self) -> None:
        entry = self._ring.oldest
        assert entry is not None  # noqa: S101 - each bound has room for one
        self._let_go(entry)
        self._evicted(entry)

    def _weight(self) -> int:
        return self._ring.weight

    def __len__(self) -> int:
        return len(self._ring)

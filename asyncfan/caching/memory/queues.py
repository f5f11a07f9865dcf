"""S3-FIFO: what is used once, such as a scan, passes by what is used again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Generic, TypeVar

from .bounded import Bounded
from .ghosts import Ghosts
from .mapped import call_of
from .order import Entry
from .ring import Linked, Ring
from .weighing import Scale

__all__ = ["MAIN", "MAX_READS", "Queues", "ScanResistance"]

T = TypeVar("T", bound=Linked)
MAX_READS = 3  # counted of one item: two bits
MAIN = 4  # added to them in the main queue


class Queues(Generic[T]):
    """The two queues and the ghosts of S3-FIFO, for items that are linked.

    A new item enters a small queue, a tenth of all. If it was read twice when it comes to the end of it, it moves to
    the main queue; if not, it goes, and leaves a ghost: one that comes back soon enters the main queue at once. At the
    end of the main queue, what was read since goes round again.

    "FIFO Queues are All You Need for Cache Eviction", Yang, Zhang, Qiu, Yue, Rashmi; SOSP 2023, algorithm 1.

    An item's ``place`` is how often it was read since it came, or entered the main queue, where it is more by `MAIN`;
    each turn in the main queue takes one.
    """

    def __init__(self) -> None:
        self.small: Ring[T] = Ring()
        self.main: Ring[T] = Ring()
        self.ghosts: Ghosts = Ghosts()

    @property
    def weight(self) -> int:
        """The weight of all items together."""
        return self.small.weight + self.main.weight

    def take_in(self, item: T, fingerprint: int) -> None:
        """Take in a new item; by the fingerprint it is known again, and one that two items share does no harm."""
        back = self.ghosts.take(fingerprint)
        item.place = MAIN if back else 0
        (self.main if back else self.small).append(item)

    def read(self, item: T) -> None:
        """Count a use of an item that is held."""
        if item.place & MAX_READS < MAX_READS:
            item.place += 1

    def discard(self, item: T) -> None:
        """Take out an item that is held."""
        self.queue_of(item).discard(item)

    def queue_of(self, item: T) -> Ring[T]:
        """Return the queue that holds an item."""
        return self.main if item.place & MAIN else self.small

    def turn(self, fingerprint_of: Callable[[T], int]) -> tuple[T, bool]:
        """Move on the item that is next to be looked at; says whether it is out.

        Raises:
            IndexError: There is none.
        """
        first, settled = self.small.oldest, self.main.oldest
        # of what is held, not of a bound: there may be two
        if first is not None and (settled is None or self.small.weight * 10 >= self.weight):
            if first.place > 1:
                self.small.discard(first)
                first.place = MAIN
                self.main.append(first)
                return first, False
            # as many as the main queue holds items when all is full
            self.ghosts.leave(fingerprint_of(first), len(self) * 9 // 10)
            self.small.discard(first)
            return first, True
        if settled is None:
            raise IndexError("both queues are empty")
        if settled.place > MAIN:
            settled.place -= 1
            self.main.renew(settled)
            return settled, False
        self.main.discard(settled)
        return settled, True

    def clear(self) -> None:
        """Forget all, ghosts too."""
        self.small.clear()
        self.main.clear()
        self.ghosts = Ghosts()

    def walk(self) -> Iterator[T]:
        """Yield each item but those that `turn` moves meanwhile."""
        return chain(self.small.walk(), self.main.walk())

    def __len__(self) -> int:
        return len(self.small) + len(self.main)


class ScanResistance(Bounded):
    """The entries of a cache in such queues; a call is known again by a new entry.

    Args:
        moved: Told of each entry that has moved, and that a walk therefore may miss.
        maxsize, scale, evicted: As for any order.
    """

    def __init__(
        self,
        maxsize: float,
        scale: Scale | None,
        evicted: Callable[[Entry], None],
        moved: Callable[[Entry], None],
    ) -> None:
        super().__init__(maxsize, scale, evicted)
        self._moved = moved
        self._queues: Queues[Entry] = Queues()

    def touch(self, entry: Entry) -> None:
        """Count the use; nothing moves."""
        if entry.older is not None:
            self._queues.read(entry)

    def clear(self) -> None:
        """Forget all, ghosts too."""
        self._queues.clear()

    def walk(self) -> Iterator[Entry]:
        """Yield each entry but those that move meanwhile."""
        return self._queues.walk()

    def _take_in(self, entry: Entry) -> None:
        self._queues.take_in(entry, _fingerprint(entry))

    def _let_go(self, entry: Entry) -> None:
        self._queues.discard(entry)

    def _evict(self) -> None:
        entry, is_out = self._queues.turn(_fingerprint)
        (self._evicted if is_out else self._moved)(entry)

    def _weight(self) -> int:
        return self._queues.weight

    def __len__(self) -> int:
        return len(self._queues)


def _fingerprint(entry: Entry) -> int:
    return hash(call_of(entry))

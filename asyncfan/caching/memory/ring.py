"""A list that is linked through its items, so that one may leave from the middle, also during a walk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

__all__ = ["Linked", "Ring"]


class Linked:
    """What a `Ring` holds; in one ring at a time."""

    __slots__ = ("newer", "older", "place", "weight")
    place: Any  # what an order notes of it; unset where there is nothing to note

    def __init__(self, weight: int = 1) -> None:
        self.older: Any = None  # its neighbours; None outside of a ring
        self.newer: Any = None
        self.weight: int = weight  # while in a ring, changed by `Ring.reweigh`


T = TypeVar("T", bound=Linked)


class Ring(Generic[T]):
    """Items from the oldest to the newest, their number and their weight."""

    def __init__(self) -> None:
        # closed: root.newer is the oldest item, root.older the newest
        self._root = root = Linked()
        root.newer = root.older = root
        self._hand: Any = root  # the next item of a walk
        self._count = 0
        self.weight: int = 0  # of all together

    @property
    def oldest(self) -> T | None:
        """The item that came first, or was made the newest longest ago."""
        return None if self._root.newer is self._root else self._root.newer

    def append(self, item: T) -> None:
        """Take in an item as the newest."""
        self._link(item, self._root.older)
        self._count += 1
        self.weight += item.weight

    def insert(self, item: T, older: T | None) -> None:
        """Take in an item as the next newer of another one; as the oldest of all for None."""
        self._link(item, self._root if older is None else older)
        self._count += 1
        self.weight += item.weight

    def renew(self, item: T) -> None:
        """Make an item the newest."""
        self._unlink(item)
        self._link(item, self._root.older)

    def reweigh(self, item: T, weight: int) -> None:
        """Change the weight of an item of this ring."""
        self.weight += weight - item.weight
        item.weight = weight

    def discard(self, item: T) -> None:
        """Take an item out; nothing where it is in no ring. It must not be in another one."""
        if item.older is not None:
            self._unlink(item)
            self._count -= 1
            self.weight -= item.weight

    def clear(self) -> None:
        """Forget all items, which keep their links: none of them may be used with a ring again."""
        self._root.newer = self._root.older = self._hand = self._root
        self._count = self.weight = 0

    def walk(self) -> Iterator[T]:
        """Yield each item from the newest on; what comes in or moves beyond the place reached is left out.

        It begins when this is called. One walk at a time.
        """
        self._hand = self._root.older
        return self._go_on()

    def _go_on(self) -> Iterator[T]:
        root = self._root
        while self._hand is not root:
            item = self._hand
            self._hand = item.older
            yield item

    def _link(self, item: Linked, older: Linked) -> None:
        newer = older.newer
        item.older, item.newer = older, newer
        older.newer = newer.older = item

    def _unlink(self, item: Linked) -> None:
        older, newer = item.older, item.newer
        if item is self._hand:
            self._hand = older
        older.newer, newer.older = newer, older
        item.older = item.newer = None

    def __len__(self) -> int:
        return self._count

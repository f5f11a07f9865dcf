"""One stored value, and what keeps the stored ones within bounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from .ring import Linked

if TYPE_CHECKING:
    from ..loads.register import Seal

__all__ = ["Entry", "Order"]


class Entry(Linked):
    """One stored value; `Aging` is one that may be served, on conditions, when it has expired."""

    __slots__ = ("expires", "key", "seal", "value")
    tags: tuple[str, ...] = ()
    validator: str | None = None

    def __init__(self, key: Any, value: Any, expires: float, seal: Seal) -> None:
        super().__init__()  # its weight is bytes where max_bytes is set
        self.key: Any = key
        self.value: Any = value
        self.expires: float = expires  # by the cache's clock
        self.seal: Seal = seal  # the operation it belongs to, and the last of its clears that the entry survived

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

    silent: bool  # it may drop entries without telling: a walk yields them, and they are not in it

    def add(self, entry: Entry) -> bool:
        """Take in an entry, and drop others as needed; False if it alone is above a bound: then `remove` it."""
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
        """Yield each entry that is held now, while others may come and go; one walk at a time.

        One that was touched meanwhile may be left out, as one that has moved: its order tells of that.
        """
        ...

    def __contains__(self, entry: Entry) -> bool: ...

    def __len__(self) -> int: ...

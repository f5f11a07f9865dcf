"""Whatever order a mapping keeps that the user gives: one of cachetools' classes, for one."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

from .order import Entry
from .ring import Ring

__all__ = ["Mapped", "MappingLike", "call_of"]


@runtime_checkable
class MappingLike(Protocol):
    """What is needed of a mutable mapping, whatever it is derived from: cachebox's are derived from nothing."""

    def __getitem__(self, key: Any, /) -> Any: ...
    def __setitem__(self, key: Any, value: Any, /) -> None: ...
    def __contains__(self, key: Any, /) -> bool: ...
    def keys(self) -> Any:
        """Tell it from a list."""
        ...

    def pop(self, key: Any, default: Any, /) -> Any:
        """Remove a key, if it is there."""
        ...

    def clear(self) -> None:
        """Remove all."""
        ...


def call_of(entry: Entry) -> Hashable:
    """Return what all entries of one call have in common."""
    return entry.seal.operation, entry.key


class Mapped:
    """An order that asks a mapping what stays.

    The entries are also linked, to be walked in small steps whatever the mapping does meanwhile.

    Args:
        mapping: It is given each entry under its call, so that one which remembers what it dropped knows it again.
    """

    silent = True

    def __init__(self, mapping: MappingLike) -> None:
        self._mapping = mapping
        self._held: Ring[Entry] = Ring()  # what the mapping was given, and what it dropped in silence since the sweep

    def add(self, entry: Entry) -> bool:
        """Hand an entry to the mapping."""
        self._held.append(entry)  # first: should the mapping refuse it or fail half-way, the caller removes it
        try:
            self._mapping[call_of(entry)] = entry
        except (ValueError, OverflowError):  # heavier than all that it may hold, as cachetools and cachebox say it
            return False
        return True

    def touch(self, entry: Entry) -> None:
        """Read the entry in the mapping."""
        if entry in self:
            with suppress(KeyError):  # a mapping may drop things in a thread of its own
                self._mapping[call_of(entry)]  # reading is what counts as a use

    def remove(self, entry: Entry) -> None:
        """Remove the entry from the mapping."""
        if entry.older is not None:
            self._held.discard(entry)
            self._mapping.pop(call_of(entry), None)

    def clear(self) -> None:
        """Empty the mapping."""
        self._held.clear()
        self._mapping.clear()

    def walk(self) -> Iterator[Entry]:
        """Yield each entry, with those that the mapping dropped in silence."""
        return self._held.walk()

    def __contains__(self, entry: Entry) -> bool:
        return entry.older is not None and call_of(entry) in self._mapping

    def __len__(self) -> int:
        return len(self._held)

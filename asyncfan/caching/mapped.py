"""Whatever order a mapping keeps: one of cachetools' classes, or the user's own."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

from .order import Entry
from .ring import Ring
from .weighing import Scale

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
        mapping: It is given each entry under ``key(entry)``.
        scale: Weighs the entries, where their bytes are bounded.
        key: The default is the call, not the entry: a mapping that remembers what it dropped then knows it again.
        silent: Whether the mapping drops entries without telling.
    """

    def __init__(
        self,
        mapping: MappingLike,
        *,
        scale: Scale | None = None,
        key: Callable[[Entry], Hashable] = call_of,
        silent: bool = True,
    ) -> None:
        self._mapping = mapping
        self._scale = scale
        self._key = key
        self._held: Ring[Entry] = Ring()  # what the mapping was given, and what it dropped in silence since the sweep
        self.silent: bool = silent

    def add(self, entry: Entry) -> bool:
        """Hand an entry to the mapping."""
        if self._scale is not None and not self._scale.takes(entry):
            return False
        self._held.append(entry)  # first: should the mapping refuse it or fail half-way, the caller removes it
        try:
            self._mapping[self._key(entry)] = entry
        except (ValueError, OverflowError):  # heavier than all that it may hold, as cachetools and cachebox say it
            return False
        return True

    def touch(self, entry: Entry) -> None:
        """Read the entry in the mapping."""
        if entry in self:
            with suppress(KeyError):  # a mapping may drop things in a thread of its own
                self._mapping[self._key(entry)]  # reading is what counts as a use

    def remove(self, entry: Entry) -> None:
        """Remove the entry from the mapping."""
        if entry.older is not None:
            self._held.discard(entry)
            self._mapping.pop(self._key(entry), None)

    def clear(self) -> None:
        """Empty the mapping."""
        self._held.clear()
        self._mapping.clear()

    def walk(self) -> Iterator[Entry]:
        """Yield each entry from the oldest on, with those that the mapping dropped in silence."""
        return self._held.walk()

    def __contains__(self, entry: Entry) -> bool:
        return entry.older is not None and self._key(entry) in self._mapping

    def __len__(self) -> int:
        return len(self._held)

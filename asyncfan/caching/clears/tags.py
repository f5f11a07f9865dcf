"""Which entries carry a tag, and which tags were cleared while loads were in flight."""

from __future__ import annotations

from collections.abc import Iterable

from ...context import invalidations
from ..memory.order import Entry
from .patterns import MAX_FENCES

__all__ = ["Clears", "TagIndex"]


class TagIndex:
    """The entries of one operation by their tags; a tag that no entry carries is not in it."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[str, Entry | set[Entry]] = {}  # a set from the second entry on: most tags have one

    def add(self, entry: Entry) -> None:
        """Take in an entry under each of its tags."""
        for tag in entry.tags:
            found = self._entries.get(tag)
            if found is None:
                self._entries[tag] = entry
            elif isinstance(found, set):
                found.add(entry)
            else:
                self._entries[tag] = {found, entry}

    def discard(self, entry: Entry) -> None:
        """Let go of an entry, where it is still held."""
        for tag in entry.tags:
            found = self._entries.get(tag)
            if isinstance(found, set):
                found.discard(entry)
            if found is entry or found == set():
                del self._entries[tag]

    def count(self, tags: Iterable[str]) -> int:
        """Return how many entries carry the tags, each counted once for each of them."""
        return sum(len(self[tag]) for tag in tags)

    def take(self, tag: str) -> set[Entry]:
        """Return the entries that carry the tag, and hold them no longer."""
        found = self[tag]
        self._entries.pop(tag, None)
        return found

    def __getitem__(self, tag: str) -> set[Entry]:
        found = self._entries.get(tag)
        return found if isinstance(found, set) else set() if found is None else {found}

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<TagIndex {len(self)} tags>"


class Clears:
    """How many clears of parts there were in a cache, and which of them were of what tags.

    A load in flight carries the number as of its start: a tag that it has in the end may have been cleared since.
    """

    __slots__ = ("_floor", "_tags", "number")

    def __init__(self) -> None:
        self.number: int = 0
        self._floor: int = 0  # from before this number, every tag is taken as cleared: too much, never too little
        self._tags: dict[str, int] = {}  # {tag: number of its last clear}

    def advance(self) -> int:
        """Count a clear; returns its number."""
        self.number += 1
        invalidations.count += 1
        return self.number

    def add(self, tags: Iterable[str], *, in_flight: bool) -> None:
        """Count a clear of ``tags``, and remember it if loads are in flight."""
        number = self.advance()
        self._tags.update(dict.fromkeys(tags, number))
        if not in_flight or len(self._tags) > MAX_FENCES:
            self._floor = number
            self._tags.clear()

    def tagged_since(self, number: int, tags: Iterable[str]) -> bool:
        """Say whether one of the ``tags`` was cleared after clear ``number``."""
        return any(number < self._floor or self._tags.get(tag, 0) > number for tag in tags)

    def __repr__(self) -> str:
        return f"<Clears {self.number}, {len(self._tags)} tags remembered>"

"""Clearing one operation: at once where few entries have to be looked at, else out of sight and then in small steps."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from ..calls.keys import untyped
from ..loads.register import Register, Seal
from ..memory.order import Entry
from .index import TextIndex
from .patterns import Pattern

if TYPE_CHECKING:
    from .cleared import Cleared

__all__ = ["Clearable", "Sweep"]

# More entries than this are indexed by going round the whole store, since a list of them would take more than 1 ms.
LIST_LIMIT = 50_000
EVERYTHING = Pattern("", tail=True)


class Sweep:
    """A clear of one operation.

    Attributes:
        number: The seal's number from it on; entries with a lower one are older.
        cleared: What counts the entries.
        entries: Those that it meant by their tags and that are still there.
    """

    __slots__ = ("cleared", "entries", "number")

    def __init__(self, number: int, cleared: Cleared, entries: set[Entry] | None = None) -> None:
        self.number: int = number
        self.cleared: Cleared = cleared
        self.entries: set[Entry] = set() if entries is None else entries

    def __repr__(self) -> str:
        return f"<Sweep {self.number} {self.cleared!r}>"


class Clearable(Register):
    """The part of an operation that clears it.

    Entries that are too many to be dropped in one call are out of sight at once: the operation's seal changes, so that
    every lookup of an older entry asks for the clears since. Then a chore of the store drops them, one a step. What a
    pattern means is found in the index, which the first such clear has made, again in steps, by a round of the sweep.
    """

    # the register's, set here too
    index: TextIndex | None
    seal: Seal
    cleared_whole: int
    tag_sweeps: list[Sweep]

    def clear_key(self, key: Any) -> int:
        """Drop one entry, and fence the load in flight for it; returns how many entries went."""
        with self.lock:
            self.disown(key)
            entry = self.table.get(key)
            if entry is None or self.drop_if_cleared(entry):
                return 0
            self.drop(entry, "invalidated")
            return 1

    def clear_matching(self, pattern: Pattern | None, cleared: Cleared) -> None:
        """Drop what ``pattern`` means, everything for None, and fence the loads in flight."""
        with self.lock:
            pattern = None if pattern is None or pattern.covers(self.prefix) else pattern
            self._fence_flights(pattern)
            found = self._few(pattern, cleared)
            if found is not None:
                self._drop_each(found, cleared)
            elif pattern is None and not self.sweeps:
                cleared.count += self.live
                self._drop_whole()
            else:
                sweep = Sweep(self.seal.number + 1, cleared)
                self._begin(sweep)
                self.fences.add(sweep.number, pattern or EVERYTHING)
                if pattern is None:
                    self._work(self._drop_all(sweep), cleared)
                else:
                    self.keep_index()
                    self._work(self._drop_matching(sweep, pattern), cleared)

    def clear_tags(self, tags: Collection[str], cleared: Cleared) -> None:
        """Drop the entries that carry one of the ``tags``."""
        with self.lock:
            if cleared.may_look_at(self.tagged.count(tags)):
                self._drop_each(self._tagged(tags), cleared)
                return
            sweeps = []
            for tag in tags:
                sweeps.append(Sweep(self.seal.number + 1, cleared, self.tagged.take(tag)))
                self._begin(sweeps[-1])
            self.tag_sweeps += sweeps
            self._work(self._drop_tagged(sweeps), cleared)

    def count_matching(self, pattern: Pattern | None, cleared: Cleared) -> None:
        """Count what a clear of ``pattern`` would drop."""
        with self.lock:
            pattern = None if pattern is None or pattern.covers(self.prefix) else pattern
            found = self._few(pattern, cleared)
            if found is not None:
                cleared.count += sum(not self.first_clear(entry) for entry in found)
            elif pattern is None and not self.sweeps:
                cleared.count += self.live
            elif pattern is None:
                self._work(self._count_all(cleared), cleared)
            elif self.index is not None and self.index.complete and pattern.rest is None and not self._has_dead():
                cleared.count += sum(self.index.count(*bounds) for bounds in pattern.bounds())
            else:
                self.keep_index()
                self._work(self._count_matching(pattern, cleared), cleared)

    def count_tags(self, tags: Collection[str], cleared: Cleared) -> None:
        """Count what a clear of ``tags`` would drop."""
        with self.lock:
            if cleared.may_look_at(self.tagged.count(tags)):
                cleared.count += sum(not self.first_clear(entry) for entry in self._tagged(tags))
            else:
                self._work(self._count_tagged(tags, cleared), cleared)

    def keep_index(self) -> None:
        """Keep an index from now on, so that a clear of a part, or of a key by its text, looks at nothing else."""
        with self.lock:
            if self.index is not None:
                return
            self.index = TextIndex()
            if self.table:
                self.store.take_on(self._fill_index(self.index))
            else:
                self.index.complete = True

    # -- at once ----------------------------------------------------------------------------------------------------

    def _fence_flights(self, pattern: Pattern | None) -> None:
        """Have no load in flight that ``pattern`` means stored or joined."""
        number = self.clears.advance()
        if pattern is None or not self.flights:
            self.flight_fences.raise_floor(number)
        else:
            self.flight_fences.add(number, pattern)

    def _few(self, pattern: Pattern | None, cleared: Cleared) -> list[Entry] | None:
        """Return the entries that ``pattern`` means, if few have to be looked at for that; else None."""
        index = self.index
        if index is not None and index.complete and pattern is not None:
            if not cleared.may_look_at(sum(index.count(*bounds) for bounds in pattern.bounds())):
                return None
            return [e for bounds in pattern.bounds() for text, e in index.walk(*bounds) if pattern.matches(text)]
        if not cleared.may_look_at(len(self.table)):
            return None
        entries = self.table.values()
        return [e for e in entries if pattern is None or pattern.matches(untyped(self.text(e.key)))]

    def _tagged(self, tags: Collection[str]) -> set[Entry]:
        return set[Entry]().union(*(self.tagged[tag] for tag in tags))

    def _drop_each(self, entries: Collection[Entry], cleared: Cleared) -> None:
        sweep = Sweep(self.seal.number + 1, cleared)
        for entry in entries:
            self.drop(entry, "invalidated", sweep)

    def _drop_whole(self) -> None:
        """Have no entry served; nothing of them is left to count."""
        self.seal = Seal(self, self.seal.number + 1)
        self.fences.raise_floor(self.seal.number)
        self.cleared_whole = self.seal.number
        self.removed["invalidated"] += self.live
        self.live = 0
        self.store.want_round()

    # -- in steps ---------------------------------------------------------------------------------------------------

    def _begin(self, sweep: Sweep) -> None:
        """Have every lookup of an older entry ask whether ``sweep`` means it."""
        self.seal = Seal(self, sweep.number)
        self.sweeps[sweep.number] = sweep

    def _work(self, chore: Iterator[None], cleared: Cleared) -> None:
        """Have the store do a chore that adds to ``cleared``."""

        def counted() -> Iterator[None]:
            yield from chore
            cleared.open -= 1

        cleared.open += 1
        self.store.take_on(counted())

    def _fill_index(self, index: TextIndex) -> Iterator[None]:
        """Index the entries that were there before; those that come are indexed as they do."""
        if len(self.table) > LIST_LIMIT:
            yield from self.store.new_round()
        else:
            for entry in list(self.table.values()):
                if self.table.get(entry.key) is entry:
                    index.add(untyped(self.text(entry.key)), entry)
                yield
        index.complete = True

    def _drop_matching(self, sweep: Sweep, pattern: Pattern) -> Iterator[None]:
        """Drop what ``pattern`` means by the index, which an earlier chore has made."""
        assert self.index is not None  # noqa: S101
        for low, high in pattern.bounds():
            for text, entry in self.index.walk(low, high):
                if entry.seal.number < sweep.number and pattern.matches(text):
                    self.drop(entry, "invalidated", sweep)
                yield
        self._end(sweep, pattern)

    def _drop_all(self, sweep: Sweep) -> Iterator[None]:
        yield from self.store.new_round()
        self._end(sweep, EVERYTHING)

    def _drop_tagged(self, sweeps: list[Sweep]) -> Iterator[None]:
        for sweep in sweeps:
            while sweep.entries:
                self.drop(sweep.entries.pop(), "invalidated", sweep)
                yield
            self.tag_sweeps.remove(sweep)
            self._end(sweep, None)

    def _end(self, sweep: Sweep, pattern: Pattern | None) -> None:
        """Forget a clear of which no entry is left."""
        del self.sweeps[sweep.number]
        if pattern is not None:
            self.fences.remove(sweep.number, pattern)

    def _count_all(self, cleared: Cleared) -> Iterator[None]:
        """Count what there is: the chores before this one have dropped what earlier clears meant."""
        cleared.count += self.live
        yield

    def _count_matching(self, pattern: Pattern, cleared: Cleared) -> Iterator[None]:
        assert self.index is not None  # noqa: S101
        for low, high in pattern.bounds():
            for text, entry in self.index.walk(low, high):
                cleared.count += pattern.matches(text) and self._is_alive(entry)
                yield

    def _count_tagged(self, tags: Collection[str], cleared: Cleared) -> Iterator[None]:
        for entry in self._tagged(tags):
            cleared.count += self._is_alive(entry)
            yield

    def _has_dead(self) -> bool:
        return bool(self.sweeps) or self.live != len(self.table)

    def _is_alive(self, entry: Entry) -> bool:
        return self.table.get(entry.key) is entry and not self.first_clear(entry)

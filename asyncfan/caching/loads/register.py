"""What one operation may serve and join: its entries and its flights, unless they were cleared."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, final

from ...context import invalidations
from ..calls.keys import untyped
from ..clears.index import TextIndex
from ..clears.patterns import Fences
from ..clears.tags import Clears, TagIndex
from ..freshness.load import Load
from ..memory.order import Entry
from .flights import Failure, Flight, Waiter, running_loop

if TYPE_CHECKING:
    from ..cache import Cache
    from ..clears.clearing import Sweep
    from ..memory.store import Store

__all__ = ["MISSING", "Missing", "Register", "Seal"]

NOTES = 100  # keys of which an operation remembers why they are not stored, for `explain`


@final
class Missing:
    """The type of `MISSING`, which is what `peek` returns where nothing is cached; it is false."""

    __slots__ = ()

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


class Seal:
    """The state of an operation between two clears that leave entries to be swept; entries carry one."""

    __slots__ = ("number", "operation")

    def __init__(self, operation: Register, number: int) -> None:
        self.operation: Register = operation
        self.number: int = number


class Register:
    """The part of an operation that changes under the cache's lock.

    A key is any hashable that no other call of the operation shares; ``text(key)`` spells it for patterns.
    """

    def __init__(self, cache: Cache, prefix: str, text: Callable[[Any], str]) -> None:
        self.cache = cache
        self.prefix = prefix  # untyped text that every key's text begins with
        self.text = text
        self.store: Store = cache.store
        self.lock: threading.RLock = cache.store.lock
        self.table: dict[Any, Entry] = {}  # {key: entry}; read without the lock, changed under it
        self.tagged: TagIndex = TagIndex()
        self.index: TextIndex | None = None  # from the first clear of a part of many entries on
        self.seal: Seal = Seal(self, 0)
        # what entries with an older seal are measured by: clears whose entries are still being swept, by their numbers
        self.sweeps: dict[int, Sweep] = {}
        self.tag_sweeps: list[Sweep] = []  # those of tags
        self.fences: Fences = Fences(each=True)
        self.cleared_whole: int = 0  # number of the last clear of the whole operation
        self.flights: dict[Any, Flight] = {}  # {key: the flight that later callers may join}
        self.clears: Clears = cache.clears
        self.flight_fences: Fences = Fences()  # what flights are measured by, in numbers of ``clears``
        self.live: int = 0  # entries stored since then and not removed
        self.hits: int = 0
        # (key, why it is not stored) of the latest: what removed it, what kept it out, or what its load raised
        self.notes: deque[tuple[Any, str | type[BaseException]]] = deque(maxlen=NOTES)
        self.removed: dict[str, int] = {"size": 0, "expired": 0, "invalidated": 0, "replaced": 0, "too_big": 0}

    # -- entries ------------------------------------------------------------------------------------------------

    def find(self, key: Any) -> Entry | None:
        """Return the entry, if it may be served on whatever condition, without counting. Under the lock."""
        entry = self.table.get(key)
        if entry is None:
            return None
        if self.drop_if_cleared(entry):
            return None
        now = self.cache.clock()
        if entry.gone <= now:
            self.drop(entry, "expired")
            return None
        return entry if now < entry.last else None

    def first_clear(self, entry: Entry, text: str | None = None) -> int:
        """Return the number of the first clear since its birth that meant an entry; 0: none, it is as good as new."""
        if entry.seal is self.seal:
            return 0
        number = entry.seal.number
        first = self.fences.first_since(number, lambda: untyped(self.text(entry.key)) if text is None else text)
        for sweep in self.tag_sweeps:
            if entry in sweep.entries:
                first = min(first or sweep.number, sweep.number)
        if not first:
            entry.seal = self.seal
        return first

    def keep(self, entry: Entry, loop: asyncio.AbstractEventLoop | None) -> None:
        """Store an entry. Under the lock."""
        if self.cache.tier is not None:
            self.cache.tier.listen()  # what is not shared itself may be cleared by others all the same
        old = self.table.get(entry.key)
        if old is not None:
            self.drop(old, "replaced")
        entry.seal = self.seal
        self.table[entry.key] = entry
        if self.index is not None:
            self.index.add(untyped(self.text(entry.key)), entry)
        if entry.tags:
            self.tagged.add(entry)
        self.live += 1
        kept = False
        try:
            kept = self.store.add(entry, self.cache.clock(), loop)
        finally:
            if not kept:
                self.drop(entry, "too_big")

    def drop(self, entry: Entry, cause: str, sweep: Sweep | None = None) -> None:
        """Remove an entry for ``cause``, if it is still there. Under the lock.

        If a clear meant it before, that is the cause, and counts it: the first that did; ``sweep`` is such a clear too.
        """
        if self.table.get(entry.key) is not entry:
            return
        text = None if self.index is None else untyped(self.text(entry.key))
        first = 0 if entry.seal is self.seal else self.first_clear(entry, text)
        cause = "invalidated" if first or sweep else cause
        del self.table[entry.key]
        self.store.order.remove(entry)
        self.notes.append((entry.key, cause))
        if self.index is not None and text is not None:
            self.index.discard(text, entry)
        if entry.tags:
            self.tagged.discard(entry)
            for found in self.tag_sweeps:
                found.entries.discard(entry)
        if entry.seal.number >= self.cleared_whole:
            if first and (sweep is None or first < sweep.number):
                sweep = self.sweeps.get(first)
            if sweep is not None:
                sweep.cleared.count += 1
            self.removed[cause] += 1
            self.live -= 1

    def drop_same(self, entry: Entry) -> None:
        """Remove an entry, if it is still the one that is stored: it turned out to be older than an invalidation."""
        with self.lock:
            self.drop(entry, "invalidated")

    def keep_old(self, flight: Flight, entry: Entry) -> None:
        """Store an entry that the flight is to replace, for the case that its load fails."""
        with self.lock:
            fenced = self.is_fenced(flight) or self.clears.tagged_since(flight.began, entry.tags)
            if self.flights.get(flight.key) is flight and not fenced:
                self.keep(entry, flight.loop)

    def drop_if_cleared(self, entry: Entry, text: str | None = None) -> bool:
        """Remove an entry that a clear since its birth meant; says whether it is gone. Under the lock."""
        if entry.seal is not self.seal and self.first_clear(entry, text):
            self.drop(entry, "invalidated")
            return True
        return False

    def plain_text(self, key: Any) -> str:
        """Return the text of a key as patterns see it."""
        text = self.text(key)
        return untyped(text) if "~" in text else text

    def forget_all(self) -> None:
        """Drop everything at once, unseen."""
        self.table.clear()
        self.index, self.tagged, self.live = None, TagIndex(), 0
        self.sweeps.clear()
        self.tag_sweeps.clear()

    # -- hits outside of the compiled wrapper --------------------------------------------------------------------

    def lookup(self, key: Any) -> Any:
        """Return the fresh value stored for ``key``, or `MISSING`; what is found counts as a hit."""
        entry = self.table.get(key)
        if entry is None or entry.seal is not self.seal or entry.expires <= self.cache.clock():
            with self.lock:
                entry = self.find(key)
            if entry is None or entry.expires <= self.cache.clock():
                return MISSING
        self.hits += 1
        self.store.touched.append(entry)
        return entry.value

    def peek(self, key: Any) -> Any:
        """Return the value stored for ``key``, or `MISSING`, also for an exception; leave no trace of having looked."""
        with self.lock:
            entry = self.find(key)
        return MISSING if entry is None or entry.value.__class__ is Failure else entry.value

    def replace(self, entry: Entry) -> None:
        """Store an entry; a load in flight for its key can no longer replace it, nor be joined."""
        with self.lock:
            self.disown(entry.key)
            self.keep(entry, running_loop())

    # -- flights --------------------------------------------------------------------------------------------------

    def board(
        self, key: Any, loop: asyncio.AbstractEventLoop | None, make: Callable[[], Waiter]
    ) -> tuple[Flight, Waiter | None]:
        """Join the flight for ``key``, with a waiter, or register a new one, to lead. Under the lock."""
        flight = self.in_flight(key) if key in self.flights else None
        if flight is not None:
            waiter = make()
            flight.enlist(waiter)
            return flight, waiter
        flight = Flight(self, key, loop)
        flight.lead()
        self.flights[key] = flight
        return flight, None

    def in_flight(self, key: Any) -> Flight | None:
        """Return the flight for ``key`` that callers may join, or have to wait for. Under the lock."""
        flight = self.flights.get(key)
        if flight is not None and (flight.is_stranded() or (not flight.cancelled and self.is_fenced(flight))):
            return None
        return flight

    def is_fenced(self, flight: Flight) -> bool:
        """Say whether a clear since its start meant a flight, or a tag that it has so far. Under the lock."""
        number = self.clears.number
        if flight.checked != number:
            if self.flight_fences.cleared_since(flight.checked, lambda: untyped(self.text(flight.key))):
                return True
            flight.checked = number
        return self.has_lost_tag(flight)

    def has_lost_tag(self, flight: Flight) -> bool:
        """Say whether a tag that a flight has so far was cleared since its start."""
        if flight.began == self.clears.number:
            return False
        return self.clears.tagged_since(flight.began, flight.known_tags)

    def come_too_late(self, flight: Flight, waiters: dict[Any, int]) -> list[Any]:
        """Take out the waiters that came after a clear which the flight's result is from before of, and return them.

        A tag may be added in the end: to be sure, that is whoever came after any clear, if one was of its tags.
        """
        late = [w for w, since in waiters.items() if since != flight.began] if self.has_lost_tag(flight) else []
        for waiter in late:
            del waiters[waiter]
        return late

    def depart(self, key: Any, loop: asyncio.AbstractEventLoop | None) -> Flight | None:
        """Register a flight that nobody waits for, unless there is one already. Under the lock."""
        if self.in_flight(key) is not None:
            return None
        flight = self.flights[key] = Flight(self, key, loop)
        flight.background = True
        return flight

    def begun(self, flight: Flight) -> Load:
        """Return what a load may set, filled with what is known before; of several keys it says nothing of one."""
        if flight.mates:
            return Load()
        old = self.before(flight)
        if old is None:
            return Load(self.text(flight.key), tags=flight.tags)
        return Load(self.text(flight.key), old.value, old.validator, flight.tags)

    def before(self, flight: Flight) -> Entry | None:
        """Return the entry that the flight's load is to replace, also if it is no longer served."""
        old = self.table.get(flight.key)
        return None if old is None or old.value.__class__ is Failure or self.first_clear(old) else old

    def disown(self, key: Any) -> None:
        """Make the load in flight for ``key`` one that is neither stored nor joined. Under the lock.

        A cancelled one is both already, and stays registered: the next load waits for it to end.
        """
        invalidations.count += 1
        flight = self.flights.get(key)
        if flight is not None and not flight.cancelled:
            del self.flights[key]

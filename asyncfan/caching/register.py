"""What one operation may serve and join: its entries, its flights, and what was cleared of both."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, final

from .flights import Failure, Flight, running_loop
from .keys import untyped
from .load import Load
from .order import Entry
from .patterns import Fences, Pattern

if TYPE_CHECKING:
    from .cache import Cache
    from .store import Store

__all__ = ["MISSING", "Missing", "Register", "Seal"]

# Up to this many entries a partial clear looks at each of an operation's entries at once (about 1 us each);
# above, it leaves a fence that lookups and the sweep check, so that no clear stops the loop.
SCAN_LIMIT = 2_000
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
    """The state of an operation between two of its clears; entries and flights carry the one they were born under."""

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
        self.flights: dict[Any, Flight] = {}  # {key: the flight that later callers may join}
        self.seal: Seal = Seal(self, 0)
        self.fences: Fences = Fences()
        self.cleared_whole: int = 0  # number of the last clear of the whole operation
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

    def is_cleared(self, item: Entry | Flight) -> bool:
        """Say whether a clear since its birth meant this entry or flight; if not, it is as good as new."""
        if item.seal is self.seal:
            return False
        if self.fences.cleared_since(item.seal.number, lambda: untyped(self.text(item.key))):
            return True
        item.seal = self.seal
        return False

    def keep(self, entry: Entry, loop: asyncio.AbstractEventLoop | None) -> None:
        """Store an entry. Under the lock."""
        old = self.table.get(entry.key)
        if old is not None:
            self.drop(old, "invalidated" if self.is_cleared(old) else "replaced")
        entry.seal = self.seal
        self.table[entry.key] = entry
        self.live += 1
        kept = False
        try:
            kept = self.store.add(entry, self.cache.clock(), loop)
        finally:
            if not kept:
                self.drop(entry, "too_big")

    def drop(self, entry: Entry, cause: str) -> None:
        """Remove an entry for ``cause``, if it is still there. Under the lock."""
        if self.table.get(entry.key) is entry:
            del self.table[entry.key]
            self.store.order.remove(entry)
            self.notes.append((entry.key, cause))
            if entry.seal.number >= self.cleared_whole:
                self.removed[cause] += 1
                self.live -= 1

    def drop_same(self, entry: Entry) -> None:
        """Remove an entry, if it is still the one that is stored: it turned out to be older than an invalidation."""
        with self.lock:
            self.drop(entry, "invalidated")

    def keep_old(self, flight: Flight, entry: Entry) -> None:
        """Store an entry that the flight is to replace, for the case that its load fails."""
        with self.lock:
            if self.flights.get(flight.key) is flight and not self.is_cleared(flight):
                self.keep(entry, flight.loop)

    def drop_if_cleared(self, entry: Entry) -> bool:
        """Remove an entry that a clear since its birth meant; says whether it is gone. Under the lock."""
        if self.is_cleared(entry):
            self.drop(entry, "invalidated")
            return True
        return False

    # -- hits outside of the compiled wrapper --------------------------------------------------------------------

    def lookup(self, key: Any) -> Any:
        """Return the value stored for ``key``, or `MISSING`; what is found counts as a hit."""
        entry = self.table.get(key)
        if entry is None or entry.seal is not self.seal or entry.expires <= self.cache.clock():
            with self.lock:
                entry = self.find(key)
            if entry is None:
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

    def board(self, key: Any, waiter: Any, loop: asyncio.AbstractEventLoop | None) -> tuple[Flight, bool]:
        """Join the flight for ``key``, or register a new one, to lead; says which. Under the lock."""
        flight = self.in_flight(key)
        if flight is not None:
            flight.enlist(waiter)
            return flight, False
        flight = Flight(self, key, loop)
        flight.lead(waiter)
        self.flights[key] = flight
        return flight, True

    def in_flight(self, key: Any) -> Flight | None:
        """Return the flight for ``key`` that callers may join, or have to wait for. Under the lock."""
        flight = self.flights.get(key)
        if flight is not None and (flight.is_stranded() or (not flight.cancelled and self.is_cleared(flight))):
            return None
        return flight

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
        return None if old is None or old.value.__class__ is Failure or self.is_cleared(old) else old

    def disown(self, key: Any) -> None:
        """Make the load in flight for ``key`` one that is neither stored nor joined. Under the lock.

        A cancelled one is both already, and stays registered: the next load waits for it to end.
        """
        flight = self.flights.get(key)
        if flight is not None and not flight.cancelled:
            del self.flights[key]

    # -- clearing ---------------------------------------------------------------------------------------------------

    def clear_key(self, key: Any) -> int:
        """Drop one entry, and fence the load in flight for it; returns how many entries went."""
        with self.lock:
            self.disown(key)
            entry = self.table.get(key)
            if entry is None or self.is_cleared(entry):
                return 0
            self.drop(entry, "invalidated")
            return 1

    def clear_matching(self, pattern: Pattern | None) -> int:
        """Drop what ``pattern`` means, everything for None, and fence the loads in flight; returns how many went.

        Above `SCAN_LIMIT` entries only a fence is left, which lookups and the sweep mind; then the number is that of
        all entries for a clear of everything, and 0 for a part.
        """
        with self.lock:
            if not self.table and not self.flights:
                return 0
            whole = pattern is None or pattern.covers(self.prefix)
            live = self.live
            if len(self.table) + len(self.flights) <= SCAN_LIMIT:
                return self._drop_now(None if whole else pattern)
            self.seal = Seal(self, self.seal.number + 1)
            self.store.want_round()
            if whole or pattern is None:
                self.fences.raise_floor(self.seal.number)
                self.cleared_whole = self.seal.number
                self.live = 0
                self.removed["invalidated"] += live
                return live
            self.fences.add(self.seal.number, pattern)
            self.store.sweep_for_fence()
            return 0

    def _drop_now(self, pattern: Pattern | None) -> int:
        """Drop what ``pattern`` means by looking at every entry and flight."""
        before = self.removed["invalidated"]
        for key in [k for k in self.flights if self._means(pattern, k)]:
            self.disown(key)
        for entry in [e for k, e in self.table.items() if self._means(pattern, k)]:
            self.drop(entry, "invalidated")
        return self.removed["invalidated"] - before

    def _means(self, pattern: Pattern | None, key: Any) -> bool:
        return pattern is None or pattern.matches(untyped(self.text(key)))

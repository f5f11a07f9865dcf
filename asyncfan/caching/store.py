"""The memory tier: which entries stay. Order and bounds are cachetools', expiry is swept in small steps."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import cachetools

if TYPE_CHECKING:
    from .operation import Operation, Seal

__all__ = ["Entry", "Store", "weigh"]

POLICIES: dict[str, type[cachetools.Cache[Any, Any]]] = {"lru": cachetools.LRUCache, "lfu": cachetools.LFUCache}
ENTRY_BYTES = 400  # what an entry costs beside its value: key, record, its places in table and order
SWEEP_SLICE = 500  # entries looked at in one callback of the loop: about 0.2 ms
STORE_STEPS = 4  # entries looked at when one is stored, while there may be something to drop


class Entry:
    """One stored value."""

    __slots__ = ("expires", "key", "seal", "value")

    def __init__(self, key: Any, value: Any, expires: float, seal: Seal) -> None:
        self.key = key
        self.value = value
        self.expires = expires  # by the cache's clock
        self.seal = seal  # the operation it belongs to, and the last of its clears that the entry survived


class Store:
    """All entries of one cache. Everything is called under its lock, but appending to ``touched``.

    An operation's own table finds an entry; this class decides how long it stays there. Lookups do not come here:
    they leave the entry in ``touched``, a bounded buffer that the next change replays into the order. That makes a
    hit one dictionary lookup, and keeps the order free of races between threads.
    """

    def __init__(
        self,
        order: MutableMapping[Entry, Entry],
        operations: Collection[Operation],
        round_ended: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self.lock = threading.RLock()  # of the whole cache; re-entrant, for a finalizer may call the cache
        self.order = order  # {entry: itself}
        self.touched: deque[Entry] = deque(maxlen=1024)
        self._operations = operations
        self._round_ended = round_ended  # called when every entry has been looked at once more
        self._clock = clock
        self._silent = not isinstance(order, cachetools.Cache)  # it does not tell what it evicts: keep looking
        self._round: Iterator[Entry] | None = None  # the entries that this round of sweeping has still to look at
        self._wanted = False  # something was fenced since the last round began
        self._soonest = math.inf  # no entry expires before; as of the last round and what was stored since
        self._due = math.inf  # when the timer will fire, by the cache's clock
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # the timer's

    def add(self, entry: Entry, now: float, loop: asyncio.AbstractEventLoop | None) -> bool:
        """Take in a new entry, at the cost of others where a bound is reached; False if it alone is above one."""
        self.replay()
        try:
            self.order[entry] = entry
        except ValueError:  # cachetools: heavier than max_bytes
            return False
        if now >= self._soonest or self._round or self._wanted or self._silent:
            self.sweep(STORE_STEPS)
        expires = entry.expires
        self._soonest = min(self._soonest, expires)
        if loop is not None and (expires < self._due or self._loop is not loop):
            self._wake_by(expires, loop)
        return True

    def replay(self) -> None:
        """Let the order know which entries were used since the last change."""
        touched, order = self.touched, self.order
        while touched:
            entry = touched.popleft()
            if entry in order:
                order[entry]  # reading is what moves it

    def want_round(self) -> None:
        """Have the next changes look at every entry, a few at a time: some were fenced."""
        self._wanted = True

    def sweep(self, steps: int) -> bool:
        """Look at the next ``steps`` entries of the round and drop the dead; says whether the round has ended."""
        if self._round is None:
            self._round, self._soonest, self._wanted = self._all_entries(), math.inf, False
        now, order = self._clock(), self.order
        looked_at = 0
        for entry in islice(self._round, steps):
            looked_at += 1
            if entry.expires <= now:
                entry.seal.operation.drop(entry, "expired")
            elif entry not in order:
                entry.seal.operation.drop(entry, "size")
            elif not entry.seal.operation.drop_if_cleared(entry) and entry.expires < self._soonest:
                self._soonest = entry.expires
        if looked_at < steps:
            self._round = None
            self._round_ended()
            return True
        return False

    def _all_entries(self) -> Iterator[Entry]:
        for operation in list(self._operations):
            yield from list(operation.table.values())  # as it is then: what comes later is younger than the round

    def _wake_by(self, when: float, loop: asyncio.AbstractEventLoop) -> None:
        """Set the timer, unless it rings earlier already."""
        if self._loop is not None and self._loop.is_closed():
            self.forget_timer()  # it died with its loop
        if when < self._due:
            self._wake_at(when, loop)

    def _wake_at(self, when: float, loop: asyncio.AbstractEventLoop) -> None:
        """Have the loop sweep at ``when``, so that expired entries go although nobody asks for them."""
        self.stop()
        now = self._clock()
        # the second and third keep sweeping below a tenth of the loop's time, however short the expiry
        delay = max(when - now, 0.05, 2e-6 * len(self.order))
        self._due, self._loop = now + delay, loop
        self._timer = loop.call_later(delay, _wake, weakref.ref(self))

    def wake(self) -> None:
        """Look at all entries once, a slice a callback, then sleep until the next one expires."""
        with self.lock:
            loop = self._loop
            if loop is None or self._clock() < self._due:
                self.stop()  # a loop whose time is not the cache's: the next add() sets a timer
            elif not self.sweep(SWEEP_SLICE):
                self._timer = loop.call_later(0.002, _wake, weakref.ref(self))
            elif self._soonest != math.inf:
                self._wake_at(self._soonest, loop)
            else:
                self.stop()

    def stop(self) -> None:
        """Forget the timer; the next entry that expires sets another."""
        if self._timer is not None:
            self._timer.cancel()
        self.forget_timer()

    def forget_timer(self) -> None:
        """After a fork: the timer is the parent's."""
        self._timer = self._loop = None
        self._due = math.inf

    def forget_all(self) -> None:
        """Drop everything at once, unseen."""
        self.order.clear()
        self._round = None

    def __len__(self) -> int:
        return len(self.order)


def _wake(store: weakref.ref[Store]) -> None:
    found = store()
    if found is not None:
        found.wake()


def make_order(
    policy: str | MutableMapping[Any, Any],
    maxsize: int | None,
    max_bytes: int | None,
    evicted: Callable[[Entry], None],
) -> MutableMapping[Entry, Entry]:
    """Return the mapping that decides what stays: one of cachetools', bounded both ways, or the user's own."""
    if not isinstance(policy, str):
        return policy
    base = POLICIES[policy]
    most = math.inf if maxsize is None else maxsize

    class Order(base):  # type: ignore[valid-type, misc]
        def popitem(self) -> tuple[Entry, Entry]:
            found: tuple[Entry, Entry] = super().popitem()
            evicted(found[0])
            return found

    class WeighedOrder(Order):
        def __setitem__(self, entry: Entry, value: Entry) -> None:
            while len(self) >= most:
                self.popitem()
            super().__setitem__(entry, value)

        def getsizeof(self, entry: Entry) -> int:
            return ENTRY_BYTES + weigh(entry.value)

    return Order(most) if max_bytes is None else WeighedOrder(max_bytes)


def weigh(value: Any) -> int:
    """Estimate the bytes that ``value`` holds: large containers by a sample, never more than 200 objects visited."""
    budget = 200

    def walk(item: Any) -> float:
        nonlocal budget
        budget -= 1
        size = float(sys.getsizeof(item, 64))
        children, count = _children(item)
        sample = list(islice(children, max(min(count, 32, budget), 0)))
        return size + sum(map(walk, sample)) * count / len(sample) if sample else size

    return int(walk(value))


def _children(item: Any) -> tuple[Iterable[Any], int]:
    """What ``item`` holds, and how many."""
    if isinstance(item, (str, bytes, bytearray, int, float)):
        return (), 0
    if isinstance(item, Mapping):
        return (x for pair in item.items() for x in pair), 2 * len(item)
    if isinstance(item, (list, tuple, set, frozenset, deque)):
        return item, len(item)
    held = getattr(item, "__dict__", None)
    return (held.values(), len(held)) if isinstance(held, dict) else ((), 0)

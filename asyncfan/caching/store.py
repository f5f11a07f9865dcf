"""The memory tier: which entries stay. Order and bounds are cachetools', expiry is swept in small steps."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import cachetools

if TYPE_CHECKING:
    from .operation import Seal

__all__ = ["Entry", "Store", "weigh"]

POLICIES: dict[str, type[cachetools.Cache[Any, Any]]] = {"lru": cachetools.LRUCache, "lfu": cachetools.LFUCache}
ENTRY_BYTES = 400  # what an entry costs beside its value: key, record, its places in table and order
SWEEP_SLICE = 500  # entries looked at in one callback of the loop: about 0.2 ms
STORE_STEPS = 8  # entries looked at each time one is stored, so that dead ones stay below one in eight


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
        evict: Callable[[Entry, str], None],
        is_dead: Callable[[Entry], bool],
        round_ended: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self.lock = threading.RLock()  # of the whole cache; re-entrant, for a finalizer may call the cache
        self.order = order  # {entry: itself}; where it evicts by itself, `is_dead` finds out
        self.touched: deque[Entry] = deque(maxlen=1024)
        self._evict = evict
        self._is_dead = is_dead
        self._round_ended = round_ended  # called when every entry of the ring has been looked at once more
        self._clock = clock
        self._ring: list[Entry] = []  # every entry of the order, and some that have left it
        self._hand = 0  # the next place of the ring to look at
        self._soonest = math.inf  # the earliest expiry seen since the round of the timer began
        self._due = math.inf  # when the timer will fire, by the cache's clock
        self._left = 0  # places of the ring that the timer's round has still to look at
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # the timer's

    def add(self, entry: Entry, loop: asyncio.AbstractEventLoop | None) -> bool:
        """Take in a new entry, at the cost of others where a bound is reached; False if it alone is above one."""
        self.replay()
        try:
            self.order[entry] = entry
        except ValueError:  # cachetools: heavier than max_bytes
            return False
        self._ring.append(entry)
        self.sweep(STORE_STEPS)
        if loop is not None and entry.expires != math.inf:
            self._soonest = min(self._soonest, entry.expires)
            if entry.expires < self._due or self._loop is None or self._loop.is_closed():
                self._wake_at(entry.expires, loop)
        return True

    def remove(self, entry: Entry) -> None:
        """Take an entry out of the order; its place in the ring goes when the hand comes by."""
        self.order.pop(entry, None)

    def replay(self) -> None:
        """Let the order know which entries were used since the last change."""
        touched, order = self.touched, self.order
        while touched:
            entry = touched.popleft()
            if entry in order:
                order[entry]  # noqa: B018 - reading is what moves it

    def sweep(self, steps: int) -> None:
        """Look at the next ``steps`` entries, and drop the dead and the expired."""
        ring, hand, now = self._ring, self._hand, self._clock()
        for _ in range(min(steps, len(ring))):
            if hand >= len(ring):
                hand = 0
                self._round_ended()
            entry = ring[hand]
            dead = self._is_dead(entry)
            if not dead and (entry.expires <= now or entry not in self.order):
                self._evict(entry, "expired" if entry.expires <= now else "size")
                dead = True
            if dead:
                ring[hand] = ring[-1]
                ring.pop()
            else:
                self._soonest = min(self._soonest, entry.expires)
                hand += 1
        self._hand = hand

    def _wake_at(self, when: float, loop: asyncio.AbstractEventLoop) -> None:
        """Have the loop sweep at ``when``, so that expired entries go although nobody asks for them."""
        self.stop()
        now = self._clock()
        # the second and third keep sweeping below a tenth of the loop's time, however short the expiry
        delay = max(when - now, 0.05, 2e-6 * len(self._ring))
        self._due, self._loop = now + delay, loop
        self._timer = loop.call_later(delay, _wake, weakref.ref(self))

    def wake(self) -> None:
        """Look at the whole ring once, a slice a callback, then sleep until the next entry expires."""
        with self.lock:
            if not self._left:
                if self._clock() < self._due:  # a loop whose time is not the cache's: the next add() sets a timer
                    self.stop()
                    return
                self._left, self._soonest = len(self._ring), math.inf
            steps = min(self._left, SWEEP_SLICE)
            self._left -= steps
            self.sweep(steps)
            loop = self._loop
            if self._left and loop is not None:
                self._timer = loop.call_later(0.002, _wake, weakref.ref(self))
            elif self._soonest != math.inf and loop is not None:
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
        self._due, self._left = math.inf, 0

    def forget_all(self) -> None:
        """Drop everything at once, unseen."""
        self.order.clear()
        self._ring.clear()
        self._hand = 0

    @property
    def ring_size(self) -> int:
        """How many places the hand has to go round."""
        return len(self._ring)

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
        def __setitem__(self, entry: Entry, value: Entry) -> None:
            while len(self) >= most:
                self.popitem()
            super().__setitem__(entry, value)

        def popitem(self) -> tuple[Entry, Entry]:
            found: tuple[Entry, Entry] = super().popitem()
            evicted(found[0])
            return found

    if max_bytes is None:
        return Order(most)  # type: ignore[no-any-return]
    return Order(max_bytes, getsizeof=lambda entry: ENTRY_BYTES + weigh(entry.value))  # type: ignore[no-any-return]


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

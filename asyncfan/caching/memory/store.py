"""The memory tier: takes entries in, and drops what is expired or cleared in small steps."""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

from ..clears.patterns import MAX_FENCES
from ..loads.flights import running_loop
from .order import Entry, Order

__all__ = ["Store"]

SWEEP_SLICE = 500  # entries looked at in one callback of the loop: about 0.2 ms
WORK_SLICE = 50  # steps of chores in one callback, or in one clear: about 0.2 ms
EARLY = 0.01  # seconds by which a timer may ring too soon: uvloop's by a millisecond
STORE_STEPS = 4  # entries looked at when one is stored, while there may be something to drop


class Store:
    """All entries of one cache. Everything is called under its lock, but appending to ``touched``.

    An operation's own table finds an entry; this class decides how long it stays there. Lookups do not come here:
    they leave the entry in ``touched``, a bounded buffer that the next change replays into the order. That makes a
    hit one dictionary lookup, and keeps the order free of races between threads.
    """

    def __init__(
        self,
        order: Order,
        clock: Callable[[], float],
    ) -> None:
        self.lock: threading.RLock = threading.RLock()  # the whole cache's; re-entrant: a finalizer may call the cache
        self.order = order
        self.touched: deque[Entry] = deque(maxlen=1024)
        self.chores: deque[Iterator[None]] = deque()  # what clears left to be done, in the order in which they came
        self._clock = clock
        self._round: Iterator[Entry] | None = None  # the entries that this round of sweeping has still to look at
        self._wanted = False  # something was fenced since the last round began
        self._soonest = math.inf  # no entry is gone before; as of the last round and what was stored since
        self._due = math.inf  # when the timer will fire, by the cache's clock
        self._me: weakref.ref[Store] = weakref.ref(self)  # what the timer holds
        self._timer: asyncio.TimerHandle | None = None
        self._serial = 0  # of the timer that counts; others ring for nothing
        self._loop: asyncio.AbstractEventLoop | None = None  # the timer's

    def add(self, entry: Entry, now: float, loop: asyncio.AbstractEventLoop | None) -> bool:
        """Take in a new entry, at the cost of others where a bound is reached; False if it alone is above one."""
        if self.touched:
            self.replay()
        if not self.order.add(entry):
            return False
        if self.chores:
            self.work(STORE_STEPS)
        elif now >= self._soonest or self._round or self._wanted or self.order.silent:
            self.sweep(STORE_STEPS)
        gone = entry.gone
        self._soonest = min(self._soonest, gone)
        if loop is not None and (gone < self._due or self._loop is not loop):
            self._wake_by(gone, loop)
        return True

    def replay(self) -> None:
        """Let the order know which entries were used since the last change."""
        touched, touch = self.touched, self.order.touch
        while touched:
            entry = touched.popleft()
            touch(entry)
            # May it be unheld? Another thread hits an entry while it is being stored.
            if self._round is not None and entry in self.order:
                self.moved(entry)

    def moved(self, entry: Entry) -> None:
        """Look at an entry that has moved in the order: the round may pass it over now."""
        if self._round is not None:
            self._look_at(entry, self._clock())

    def want_round(self) -> None:
        """Have the next changes look at every entry, a few at a time: some were cleared."""
        self._wanted = True

    def new_round(self) -> Iterator[None]:
        """Look at every entry once, one a step, those too that the round under way has passed."""
        self._begin_round()
        for entry in self._round or ():  # nobody else goes on with it while there are chores
            self._look_at(entry, self._clock())
            yield
        self._round = None

    def take_on(self, chore: Iterator[None]) -> None:
        """Do a chore, a few steps with each change; see `begin`."""
        self.chores.append(chore)

    def begin(self) -> None:
        """Do so many steps that chores end long before so many fences stand that everything counts as cleared.

        The rest is done in the background where an event loop runs.
        """
        self.work(max(WORK_SLICE, len(self) * 5 // (4 * MAX_FENCES)))  # the more of them, the longer the call takes
        loop = running_loop()
        if self.chores and loop is not None:
            self._wake_by(self._clock(), loop)

    def work(self, steps: int) -> int:
        """Do the next ``steps`` of the chores; returns how many are left when all are done."""
        while self.chores:
            if not steps:
                return 0
            if next(self.chores[0], self) is self:
                self.chores.popleft()
            steps -= 1
        return steps

    def sweep(self, steps: int) -> bool:
        """Do the next ``steps`` of the chores, then of the round; says whether the round has ended."""
        steps = self.work(steps)
        return steps > 0 and self._go_round(steps)

    def _go_round(self, steps: int) -> bool:
        """Look at the next ``steps`` entries of the round and drop the dead; says whether the round has ended."""
        if self._round is None:
            self._begin_round()
        now = self._clock()
        looked_at = 0
        for entry in islice(self._round or (), steps):
            looked_at += 1
            self._look_at(entry, now)
        if looked_at < steps:
            self._round = None
            return True
        return False

    def _begin_round(self) -> None:
        self._round = self.order.walk()
        self._soonest, self._wanted = math.inf, False

    def _look_at(self, entry: Entry, now: float) -> None:
        """Drop an entry that is cleared, evicted in silence or expired; what is dropped already stays so."""
        operation, gone = entry.seal.operation, entry.gone
        index = operation.index
        text = None if index is None or index.complete else operation.plain_text(entry.key)
        if entry.seal is not operation.seal and operation.drop_if_cleared(entry, text):
            return
        if gone <= now:
            operation.drop(entry, "expired")
        elif self.order.silent and entry not in self.order:
            operation.drop(entry, "size")
        else:
            self._soonest = min(self._soonest, gone)
            if index is not None and text is not None:
                index.add(text, entry)

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
        self._set_timer(loop, delay)

    def _set_timer(self, loop: asyncio.AbstractEventLoop, delay: float) -> None:
        self._serial += 1
        # an empty context: it is set anew from within, and would keep what the first caller's holds for good
        self._timer = loop.call_later(delay, _wake, self._me, self._serial, context=contextvars.Context())

    def wake(self, serial: int) -> None:
        """Look at all entries once, a slice a callback, then sleep until the next one expires."""
        with self.lock:
            if serial != self._serial:
                return
            loop = self._loop
            if loop is None or self._clock() < self._due - EARLY:
                self.stop()  # a loop whose time is not the cache's: the next add() sets a timer
            elif self._goes_on():
                self._set_timer(loop, 0.002)
            elif self._soonest != math.inf:
                self._wake_at(self._soonest, loop)
            else:
                self.stop()

    def _goes_on(self) -> bool:
        """Do what is due, up to a slice of it; says whether there is more."""
        if self.chores:
            self.work(WORK_SLICE)
            return True
        if self._round is None and not self._wanted and self._clock() < self._soonest - EARLY:
            return False
        return not self.sweep(SWEEP_SLICE)

    def stop(self) -> None:
        """Forget the timer; the next entry that expires sets another."""
        if self._timer is not None and self._loop is running_loop():  # another thread's loop must not be touched
            self._timer.cancel()
        self.forget_timer()

    def forget_timer(self) -> None:
        """Let a timer that cannot be cancelled ring for nothing: after a fork it is the parent's."""
        self._serial += 1
        self._timer = self._loop = None
        self._due = math.inf

    def forget_all(self) -> None:
        """Drop everything at once, unseen."""
        self.order.clear()
        self.touched.clear()
        self.chores.clear()
        self._round = None

    def __len__(self) -> int:
        return len(self.order)


def _wake(store: weakref.ref[Store], serial: int) -> None:
    found = store()
    if found is not None:
        found.wake(serial)

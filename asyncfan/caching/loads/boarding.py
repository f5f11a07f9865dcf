"""Where every miss begins and ends: an entry is found, or a flight boarded; it is settled, and counted."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...exceptions import AttemptTimeoutError
from ...metrics import Histogram
from ..clears.clearing import Clearable
from ..freshness.aging import Age, Aging
from ..freshness.freshness import Freshness
from ..memory.order import Entry
from .flights import AGAIN, Flight, Waiter, deliver

if TYPE_CHECKING:
    from ..cache import Cache
    from ..calls.twins import Source
    from ..freshness.adaptive import ExpireController
    from ..shared.tier import SharedTier

__all__ = ["Boarding"]

log: logging.Logger = logging.getLogger("asyncfan.caching")


class Boarding(Clearable):
    """The part of an operation through which every miss comes and goes, wherever its load runs; and its counters."""

    hits: int  # the register's, counted here too

    def __init__(
        self,
        cache: Cache,
        prefix: str,
        name: str,
        text: Callable[[Any], str],
        freshness: Freshness = Freshness(math.inf),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(cache, prefix, text)
        self.name = name
        self.freshness = freshness
        # seconds that every value is fresh, where that is all there is to say of it: a miss takes 2 us less
        self.plain: float | None = freshness.expire if freshness == Freshness(freshness.expire) else None
        self.adaptive: ExpireController | None = None
        if freshness.adaptive is not None:
            self.adaptive = freshness.adaptive.controller(cache.clock)
        self.tier: SharedTier | None = cache.tier
        self.source: Source | None = None  # what it was made of, where processes share what that gives
        self.task_name: str = f"asyncfan:load:{prefix}"
        self.misses: int = 0  # calls that started a load, or tried to
        self.joined: int = 0  # calls that waited for another's
        self.stale_hits: int = 0  # calls served an expired value at once
        self.rescued: int = 0  # misses and joined calls served an expired value, since the load failed or took too long
        self.refreshes: int = 0  # loads in the background
        self.shared_hits: int = 0  # misses here that the tier which processes share had a value for
        self.loads_ok: int = 0
        self.loads_failed: int = 0
        self.loads_timed_out: int = 0  # of those that failed
        self.loads_cancelled: int = 0
        self.load_time: Histogram = Histogram()

    def settle(self, flight: Flight, result: Any, entry: Entry | None = None) -> None:
        """End a flight: store the entry unless it was fenced meanwhile, and give the result to whom it may be given."""
        waiters: dict[Waiter | Flight, int] | None = None
        late: list[Any] | None = None
        try:
            with self.lock:
                waiters, flight.waiters = flight.waiters, None
                if flight.cancelled:
                    result = AGAIN
                elif waiters and flight.began != self.clears.number:
                    late = self.come_too_late(flight, waiters)
                if waiters and waiters.pop(flight, None) is not None:
                    flight.result = result
                if self.flights.get(flight.key) is flight:
                    del self.flights[flight.key]
                    fenced = flight.began != self.clears.number and self.is_fenced(flight)
                    if entry is not None and not flight.cancelled and not fenced:
                        self.keep(entry, flight.loop)
                        entry = None
                if entry is not None:
                    self.notes.append((flight.key, "cancelled" if flight.cancelled else "fenced"))
        except Exception as error:  # noqa: BLE001 - the user's own weigher or mapping; the load did not fail
            log.error("%s: what was loaded is given out but not stored: %s", self.name, type(error).__name__)  # noqa: TRY400
        finally:
            if waiters:
                deliver(waiters, result, flight.loop)
            if late:
                deliver(late, AGAIN, flight.loop)

    def enter(
        self,
        key: Any,
        loop: asyncio.AbstractEventLoop | None,
        make: Callable[[], Waiter],
        *,
        anew: bool,
        counts: bool,
    ) -> tuple[Entry | None, Any, Any]:
        """Find an entry to serve, or board a flight; the first time, the call counts.

        Returns:
            The entry to be served, if there is one; the `Flight` to wait for, which only follows where there is an
            entry; and what ``make()`` gave to wait with, None where the flight is the caller's to launch.
        """
        with self.lock:
            entry = self.find(key) if key in self.table and not anew else None
            if entry is not None:
                age = entry.age(self.cache.clock(), self.cache.random) if isinstance(entry, Aging) else Age.FRESH
                if age is not Age.FALLBACK:
                    self._count_hit(entry, counts=counts)
                    flight = self.depart(key, loop) if age is Age.REFRESH else None
                    self.refreshes += flight is not None
                    return entry, flight, None
            flight, waiter = self.board(key, loop, make)
            if not counts:
                pass
            elif waiter is None:
                self.misses += 1
            else:
                self.joined += 1
            return None, flight, waiter

    def _count_hit(self, entry: Entry, *, counts: bool) -> None:
        self.store.touched.append(entry)
        if isinstance(entry, Aging) and entry.fresh <= self.cache.clock():
            self.stale_hits += counts
        else:
            self.hits += counts

    def fence(self, key: Any) -> None:
        """Have the load in flight for ``key``, if there is one, neither stored nor joined: another begins."""
        with self.lock:
            self.disown(key)

    def count_success(self, started: float) -> float:
        """Count a load that gave a value, and return how many seconds it took."""
        seconds = self.cache.clock() - started
        self.loads_ok += 1
        self.load_time.record(seconds)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s: miss, loaded in %.6f s", self.name, seconds)
        return seconds

    def count_failure(self, error: BaseException | None, started: float) -> float:
        """Count a load that raised, or gave what tells of a failure, and return how many seconds it took."""
        seconds = self.cache.clock() - started
        self.loads_failed += 1
        self.loads_timed_out += isinstance(error, AttemptTimeoutError)
        if self.adaptive is not None:
            self.adaptive.failed(seconds, len(self.flights))
        if log.isEnabledFor(logging.DEBUG):
            what = "a response that tells of it" if error is None else type(error).__name__
            log.debug("%s: miss, failed with %s after %.6f s", self.name, what, seconds)
        return seconds

    def __repr__(self) -> str:
        return f"<Operation {self.prefix!r} {self.live} entries, {len(self.flights)} loading>"

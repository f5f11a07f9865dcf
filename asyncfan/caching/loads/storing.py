"""What a load came to: what those who wait for it get, and what is stored."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ..freshness.aging import Aging
from ..freshness.freshness import Freshness, kept_failure
from ..memory.order import Entry
from .boarding import Boarding
from .flights import AGAIN, Failure, Flight
from .tiering import cut, is_shareable, life_of

if TYPE_CHECKING:
    from ..freshness.load import Load

__all__ = ["Storing", "served"]

log: logging.Logger = logging.getLogger("asyncfan.caching")


class Storing(Boarding):
    """The part of an operation that makes an entry, an old value or an error of what a load gave or raised."""

    shared_hits: int  # counted here too
    rescued: int

    def succeeded(self, flight: Flight, value: Any, started: float) -> Entry | None:
        """Count a load that gave a value, and return what is to be stored of it."""
        passage = flight.passage
        if (
            self.plain is not None
            and flight.load is None
            and flight.how is None
            and passage is None
            and not flight.tags
        ):
            self.count_success(started)
            return Entry(flight.key, value, self.cache.clock() + self.plain, self.seal)
        if passage is None:
            return self._stored(flight, value, self.count_success(started))
        if passage.found is not None:
            self.shared_hits += 1
            return passage.entry_of(passage.found)
        return passage.shorten(self._stored(flight, value, self.count_success(passage.began)))

    def _stored(self, flight: Flight, value: Any, cost: float) -> Entry | None:
        if self.adaptive is not None:
            with self.lock:
                old = self.before(flight)
            self.adaptive.loaded(cost, _differs(old, value), len(self.flights))
        if not (flight.how or self.freshness).stores(value, flight.load):
            self.notes.append((flight.key, "skipped" if flight.load and not flight.load.stores else "refused"))
            return None
        return self.entry(flight.key, value, flight.tags, cost=cost, load=flight.load, how=flight.how)

    def entry(
        self,
        key: Any,
        value: Any,
        tags: tuple[str, ...] = (),
        *,
        cost: float = 0.0,
        load: Load | None = None,
        how: Freshness | None = None,
    ) -> Entry:
        """Return the entry for a value that took ``cost`` seconds to load; ``how`` as in `fetch`."""
        how = how or self.freshness
        expire = how.expire if self.adaptive is None else self.adaptive.current
        return how.entry(
            key, value, self.cache.clock(), self.seal,
            expire=expire, cost=cost, load=load, tags=tags, random=self.cache.random,
        )  # fmt: skip

    def put(self, key: Any, value: Any, tags: tuple[str, ...] = (), how: Freshness | None = None) -> None:
        """Store ``value``; a load in flight for ``key`` can no longer replace it, nor be joined."""
        entry, text = self.entry(key, value, tags, how=how), self.text(key)
        if self.tier is not None and is_shareable(text):  # first: what was there before must not come back
            self.tier.put(text, value, **life_of(entry, self.cache.clock()))
            cut(entry, self.cache.clock() + self.cache.memory_expire)
        self.replace(entry)

    def failed(self, flight: Flight, error: BaseException, started: float) -> tuple[Any, Entry | None]:
        """Count a load that raised; return what its waiters get, and what is to be stored."""
        seconds = self.count_failure(error, started)
        how = flight.how or self.freshness
        if isinstance(error, how.cache_exceptions):
            kept, load = kept_failure(error), flight.load
            stored = how.stores(kept, load)
            if not stored:
                return Failure(error), None
            return Failure(error), self.entry(flight.key, kept, flight.tags, cost=seconds, load=load, how=how)
        self.notes.append((flight.key, type(error)))
        old = self.rescue(flight, type(error).__name__) if isinstance(error, Exception) else AGAIN
        return Failure(error) if old is AGAIN else old, None

    def rescue(self, flight: Flight, failure: str) -> Any:
        """Return the expired value that all who wait are served, since the load failed; `AGAIN` where there is none."""
        if flight.anew or flight.cancelled:
            return AGAIN
        with self.lock:
            old = self.find(flight.key) if self.flights.get(flight.key) is flight else None
            if not isinstance(old, Aging) or old.value.__class__ is Failure:
                return AGAIN
            old.failed(self.cache.clock())
            self.rescued += len(flight.waiters or ())
        log.warning("%s: a load failed with %s; the expired value is served", self.name, failure)
        return old.value

    def overdue(self, key: Any) -> Any:
        """Return the expired value for a caller whose patience has ended; `AGAIN` if it is gone by now."""
        with self.lock:
            entry = self.find(key)
            if entry is None:
                return AGAIN
            self.rescued += 1
        return served(entry)


def served(entry: Entry) -> Any:
    """Return what an entry holds, or raise it: a copy, so that no caller's traceback is another's."""
    value = entry.value
    if value.__class__ is Failure:
        raise kept_failure(value.error).error  # type: ignore[arg-type]  # only exceptions are kept
    return value


def _differs(old: Entry | None, value: Any) -> bool | None:
    """Say whether a new value is another one than the old; None if that cannot be known."""
    if old is None:
        return None
    try:
        return bool(old.value is not value and old.value != value)
    except Exception:  # noqa: BLE001 - an array, for one, is neither equal nor different
        return None

"""An entry that may be of use after it has expired, and what it is good for at each age."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Any

from ..loads.flights import Failure
from ..loads.register import Seal
from ..memory.order import Entry

__all__ = ["Age", "Aging"]

FIRST_PAUSE = 1.0  # seconds from a failed load to the next one; each further failure doubles them
LAST_PAUSE = 30.0


class Age(enum.Enum):
    """What an entry is good for."""

    FRESH = "served"
    REFRESH = "served, while a load in the background replaces it"
    FALLBACK = "served if its load fails, or takes too long"
    GONE = "not served"


class Aging(Entry):
    """A stored value with a life after its expiry. All moments are the cache's clock's."""

    __slots__ = ("beta", "born", "cost", "failures", "fresh", "gone", "last", "retry_at", "stale", "tags", "validator")

    def __init__(
        self,
        key: Any,
        value: Any,
        seal: Seal,
        *,
        born: float,
        life: tuple[float, float, float, float],
        cost: float = 0.0,
        beta: float = 0.0,
        tags: tuple[str, ...] = (),
        validator: str | None = None,
    ) -> None:
        fresh, stale, last, gone = (born + seconds for seconds in life)
        # A lookup serves it until then without a thought: XFetch draws an earlier moment once in a million times.
        plain = -math.inf if value.__class__ is Failure else fresh - 14 * cost * beta
        super().__init__(key, value, plain, seal)
        self.born: float = born
        self.fresh: float = fresh  # until then it is served
        self.stale: float = max(fresh, stale)  # until then it is served while it is loaded anew
        # until then it is served where a load fails
        self.last: float = max(self.stale, last)  # pyright: ignore[reportIncompatibleMethodOverride]
        # until then a load may compare with it, or ask whether it has changed
        self.gone: float = max(self.last, gone)  # pyright: ignore[reportIncompatibleMethodOverride]
        self.cost: float = cost  # seconds that its load took
        self.beta: float = beta  # how eagerly it is loaded anew before it expires; 0: not at all
        self.failures: int = 0  # loads in a row that failed to replace it
        self.retry_at: float = -math.inf  # no load before
        self.tags: tuple[str, ...] = tags
        self.validator: str | None = validator  # what a conditional load asks by, such as an ETag

    def age(self, now: float, random: Callable[[], float]) -> Age:
        """Say what the entry is good for at ``now``; ``random()`` draws from [0, 1).

        Before it expires, a load in the background is due with a probability that grows with the load's cost and with
        each call: XFetch of "Optimal Probabilistic Cache Stampede Prevention" (Vattani, Chierichetti, Lowenstein,
        VLDB 2015).
        """
        if now >= self.last:
            return Age.GONE
        if now < self.fresh:
            early = self.beta and -self.cost * self.beta * math.log(1.0 - random()) >= self.fresh - now
            return Age.REFRESH if early and now >= self.retry_at else Age.FRESH
        if now < self.retry_at:  # the origin is in trouble
            return Age.FRESH
        return Age.REFRESH if now < self.stale else Age.FALLBACK

    def failed(self, now: float) -> None:
        """Note that a load failed to replace it: the next one waits, longer each time."""
        self.retry_at = now + min(FIRST_PAUSE * 2**self.failures, LAST_PAUSE)
        self.failures = min(self.failures + 1, 10)

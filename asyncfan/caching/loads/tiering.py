"""What surrounds a load where processes share a tier: look there first, load under a lease, write what was loaded."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ...context import invalidations
from ..freshness.aging import Aging
from ..freshness.freshness import Freshness
from ..memory.order import Entry
from .flights import Failure, Flight

if TYPE_CHECKING:
    from ..shared.leases import Lease
    from ..shared.protocol import Held
    from ..shared.reading import Found
    from ..shared.tier import SharedTier

__all__ = ["Passage", "cut", "heard", "heard_in_thread", "is_shareable", "life_of"]

T = TypeVar("T")


def is_shareable(text: str) -> bool:
    """Say whether a key's text means the same in every process: not that of an instance, a local class or a secret."""
    return "#" not in text


class Passage:
    """One flight's way through the shared tier: `begin`, then perhaps a load and `shorten`, then `end`.

    Args:
        tier: The tier.
        flight: The flight.
        text: Its key's text.
        how: How long its values live.
    """

    __slots__ = ("_entry", "_flight", "_how", "_lease", "_life", "_text", "_tier", "began", "found", "old")

    def __init__(self, tier: SharedTier, flight: Flight, text: str, how: Freshness) -> None:
        self._tier = tier
        self._flight = flight
        self._text = text
        self._how = how
        self._lease: Lease | None = None  # the right to load and to write
        self._entry: Entry | None = None  # what the load gave, if it is to be written
        self._life: dict[str, Any] = {}  # what the server is told of it
        self.found: Found | None = None  # what answers the call instead of a load
        self.old: Found | None = None  # what the load is to replace
        self.began: float = 0.0  # when the load itself began

    async def begin(self) -> bool:
        """Look for the value, else ask for the right to load it; says whether it was found."""
        asked = True if self._flight.anew else self._flight.asked
        if asked is None:
            founds = await self._tier.read([self._text], self._flight.tags)
            if founds is not None and self.look_at(founds[0]):
                return True
            asked = founds is not None
        if not asked:
            self.hold(None)
            return False
        answer = await self._tier.claim(self._text, known=self.old, force=self._flight.anew)
        if hasattr(answer, "value"):
            self.found = answer  # type: ignore[assignment]  # only a Found has one
            return True
        self.hold(answer)  # pyright: ignore[reportArgumentType]  # no Found, as mypy sees
        return False

    async def through(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what the tier has, or else what ``call()`` gives."""
        if await self.begin() and self.found is not None:
            return self.found.value  # type: ignore[no-any-return]
        return await call()

    def through_in_thread(self, call: Callable[[], T]) -> T:
        """As `through`, in a thread without an event loop."""
        if self._tier.blocking(self.begin()) and self.found is not None:
            return self.found.value  # type: ignore[no-any-return]
        return call()

    def look_at(self, found: Found | None) -> bool:
        """Take in what was read; says whether it answers the call. If not, it may still be served if the load fails."""
        if found is None:
            return False
        if self._serves(found):
            self.found = found
            return True
        self.old = found
        self._flight.operation.keep_old(self._flight, self.entry_of(found))
        return False

    def hold(self, answer: Lease | Held | None) -> bool:
        """Take in the right to load, or None: the tier cannot be used. Says whether the load may begin."""
        if hasattr(answer, "left"):  # Held
            return False
        self._lease = answer  # pyright: ignore[reportAttributeAccessIssue]  # no Held, as mypy sees
        if answer is not None:  # another process may have invalidated the key before, and the message be on its way
            invalidations.count += 1
            self._flight.since = invalidations.count
        self.began = self._flight.operation.cache.clock()
        return True

    def _serves(self, found: Found) -> bool:
        """Say whether a value answers the caller at once, fresh or not."""
        return found.is_fresh or (not self._flight.background and self._late(found) < self._how.stale_while_revalidate)

    def _late(self, found: Found) -> float:
        """Seconds since a stale value has expired."""
        return math.inf if found.kept is None else self._how.outlives - found.kept

    def entry_of(self, found: Found) -> Entry:
        """Return the memory tier's entry for a value that was found."""
        op, how = self._flight.operation, self._how
        most = op.cache.memory_expire
        fresh = math.inf if found.fresh is None else found.fresh
        kept = math.inf if found.kept is None else found.kept
        stale = fresh if found.is_fresh else how.stale_while_revalidate - self._late(found)
        life = (min(fresh, most), min(stale, most), kept if how.stale_if_error else 0.0, 0.0)
        return Aging(
            self._flight.key, found.value, op.seal, born=op.cache.clock(), life=life, cost=found.cost,
            beta=how.beta if fresh <= most else 0.0, tags=found.tags, validator=found.validator,
        )  # fmt: skip

    def shorten(self, entry: Entry | None) -> Entry | None:
        """Take in what the load gave; return what memory keeps, no longer than a lost message may let it stay."""
        if entry is None or entry.value.__class__ is Failure:
            return entry
        cache = self._flight.operation.cache
        self._entry = entry
        self._life = life_of(entry, cache.clock()) | {"cost": cache.clock() - self.began}
        return cut(entry, cache.clock() + cache.memory_expire)

    async def end(self) -> None:
        """Give the server what was loaded, once those who wait have it; what came too late is dropped here too."""
        lease, self._lease = self._lease, None
        if lease is None:
            return
        if self._entry is None:
            await self._tier.release(lease)
            return
        became = await self._tier.write(lease, self._entry.value, **self._life)
        if became == "fenced":
            self._flight.operation.drop_same(self._entry)
        elif became == "stored" and self._flight.anew:  # others hold what it replaces, as nothing had expired
            await self._tier.announce(self._text)


async def heard(tier: SharedTier, call: Callable[[], Awaitable[T]]) -> T:
    """Return what ``call()`` gives, which is not shared, once it is heard what other processes clear."""
    await tier.is_open()
    return await call()


def heard_in_thread(tier: SharedTier, call: Callable[[], T]) -> T:
    """As `heard`, in a thread without an event loop."""
    if not tier.tried:
        tier.blocking(tier.is_open())
    return call()


def life_of(entry: Entry, now: float) -> dict[str, Any]:
    """Return what the server is told of an entry's value, which may have expired since it was loaded."""
    fresh, kept = (entry.fresh, entry.last) if isinstance(entry, Aging) else (entry.expires, entry.expires)
    return {
        "fresh": None if fresh == math.inf else max(fresh - now, 0.0),
        "kept": None if kept == math.inf else max(kept - now, 0.0),
        "tags": entry.tags,
        "validator": entry.validator,
    }


def cut(entry: Entry, most: float) -> Entry:
    """Return ``entry``, which memory serves until ``most`` and no longer: so long may a lost message let it stay.

    Where a value that old is better than an error, ``stale_if_error`` says so, for longer.
    """
    entry.expires = min(entry.expires, most)
    if isinstance(entry, Aging):
        rescues = entry.last > entry.stale
        entry.fresh, entry.stale = min(entry.fresh, most), min(entry.stale, most)
        if not rescues:
            entry.last = entry.stale
    return entry

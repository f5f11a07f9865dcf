"""What a store that processes share has: keys, sizes, times left, tags; no value is decoded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from ..caching.calls.keys import untyped
from ..caching.clears.patterns import Pattern
from ..caching.shared.clears import Clears
from ..caching.shared.envelope import peek, remaining
from ..caching.shared.protocol import Ledger, Store, Stored

__all__ = ["Row", "look"]

AT_ONCE = 500  # values in one round trip


@dataclass(frozen=True, slots=True)
class Row:
    """One value in the store.

    Attributes:
        key: The text of its key.
        size: Bytes, with what is written beside the value.
        state: "fresh"; "stale": served on conditions only; "cleared": still there, and refused by every reader; or
            "unreadable": not written by a cache, or damaged.
        fresh: Seconds that it stays fresh; None: for good.
        kept: Seconds until the server drops it; None: never.
        tags: What it can be cleared by, beside its key.
        serializer: What it takes to read it.
        cost: Seconds that its load took.
        validator: What its origin recognises it by.
    """

    key: str
    size: int
    state: str
    fresh: float | None = None
    kept: float | None = None
    tags: tuple[str, ...] = ()
    serializer: str = ""
    cost: float = 0.0
    validator: str | None = None


async def look(store: Store, patterns: Sequence[Pattern] | None) -> AsyncIterator[Row]:
    """Yield a row for each value whose key is meant by one of the patterns, all of them for None.

    Cancellation:
        Nothing is left behind.
    """
    seen: set[str] = set()
    start = "" if patterns is None else _common(pattern.literal for pattern in patterns)
    clears = Clears()
    async for some in store.scan(start):
        names = [name for name in some if name not in seen and _is_meant(name, patterns)]
        seen.update(names)
        for i in range(0, len(names), AT_ONCE):
            part = names[i : i + AT_ONCE]
            values, _ = await store.read(part)
            ledger = await store.ledger()
            clears.adopt(ledger)
            for name, stored in zip(part, values, strict=True):
                if stored is not None:
                    yield _row(name, stored, ledger, clears)


def _is_meant(name: str, patterns: Sequence[Pattern] | None) -> bool:
    return patterns is None or any(pattern.matches(untyped(name)) for pattern in patterns)


def _common(texts: Iterable[str]) -> str:
    """What all texts begin with, up to where a name may carry the tag of a type, which patterns do not see."""
    first, *others = texts
    while not all(text.startswith(first) for text in others):
        first = first[:-1]
    return first.rpartition(":")[0]


def _row(name: str, stored: Stored, ledger: Ledger, clears: Clears) -> Row:
    found = peek(stored.data)
    if found is None:
        return Row(name, len(stored.data), "unreadable", kept=stored.left)
    header = found.header
    fresh, kept = remaining(header, stored.left)
    cleared = clears.mean(name, header.run, header.number, header.tags, ledger)
    state = "cleared" if cleared else "fresh" if fresh is None or fresh > 0 else "stale"
    return Row(
        name, found.size, state, fresh, kept, header.tags, found.serializer, header.cost, header.validator
    )  # fmt: skip

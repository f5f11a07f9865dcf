"""`explain`: what a cache knows of one call, and why its value is or is not stored."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..exceptions import UnkeyableArgumentError
from .calls.level import CacheLevel
from .freshness.aging import Aging
from .loads.flights import Failure
from .memory.order import Entry
from .memory.weighing import ENTRY_BYTES, weigh

if TYPE_CHECKING:
    from .calls.functions import CachedFunction
    from .operation import Operation

__all__ = ["Explanation", "KeyPart", "explain", "explain_call", "explain_item"]

State = Literal["fresh", "stale", "fallback", "not stored"]

REASONS = {
    "size": "evicted: the cache was full",
    "expired": "expired",
    "invalidated": "invalidated",
    "too_big": "it alone is heavier than all that the cache may hold",
    "refused": "cache_if refused the value",
    "skipped": "the load said that its value must not be stored",
    "fenced": "invalidated, replaced or loaded anew while it was loaded",
    "cancelled": "the load was cancelled",
    "never": "never loaded, or too long ago to be remembered",
}


class KeyPart(NamedTuple):
    """One segment of a key behind its prefix.

    Attributes:
        name: The parameter that it comes from; ``@tenant`` is the tenant of the surrounding `scope`.
        text: How it stands in the key.
    """

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a cache knows of one call; ``print`` it for people. Times are in seconds, `math.inf` for good.

    Attributes:
        function: Module and name of the function.
        key: The text of the key; None if an argument cannot be keyed.
        parts: What the key is made of, behind its prefix.
        level: The level of the function; None for a key of the user's own.
        state: "fresh"; "stale" is served while a load in the background replaces it, "fallback" where its load fails
            or takes too long; "not stored".
        why: In words, why the value is not stored, or on what condition it is served.
        age: Since it was stored; None if that is not known.
        fresh_for: Until it expires, 0.0 if it has.
        served_for: Until it is no longer served on any condition.
        gone_in: Until nothing is left of it.
        tags: By which it can be dropped.
        weight: Bytes, estimated; 0 if it is not stored.
        hits: Calls of the whole function that were answered from the cache.
        loading: Whether a load of it is in flight.
        waiting: How many calls wait for that.
    """

    function: str
    key: str | None
    parts: tuple[KeyPart, ...] = ()
    level: CacheLevel | None = None
    state: State = "not stored"
    why: str = ""
    age: float | None = None
    fresh_for: float = 0.0
    served_for: float = 0.0
    gone_in: float = 0.0
    tags: tuple[str, ...] = ()
    weight: float = 0
    hits: int = 0
    loading: bool = False
    waiting: int = 0

    @property
    def stored(self) -> bool:
        """Whether there is a value that may be served."""
        return self.state != "not stored"

    def __str__(self) -> str:
        lines = [f"{self.function}: {self.state}{f' ({self.why})' if self.why else ''}"]
        if self.key is not None:
            lines.append(f"  key     {self.key}")
            lines += [f"          {part.name} = {part.text}" for part in self.parts]
        if self.level is not None:
            lines.append(f"  level   {self.level.name}")
        if self.stored:
            age = "unknown" if self.age is None else _span(self.age)
            lines.append(f"  age     {age}; fresh for {_span(self.fresh_for)}, served for {_span(self.served_for)}")
            lines.append(f"  tags    {', '.join(self.tags) or 'none'}")
            lines.append(f"  weight  {self.weight} bytes")
        loading = f"now, {self.waiting} waiting" if self.loading else "no"
        return "\n".join([*lines, f"  hits    {self.hits} of the function", f"  loading {loading}"])


def explain(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Explanation:
    """Return what the cache knows of the call ``function(*args, **kwargs)``; nothing is loaded or counted.

    Why something is not stored is remembered for the last 100 keys of a function for which that was so.

    Raises:
        TypeError: ``function`` is not a cached one, or does not take these arguments.

    Example:
        >>> @Cache().cache_function(expire=60, key_prefix="square")
        ... def square(n):
        ...     return n * n
        >>> explain(square, 3).why
        'never loaded, or too long ago to be remembered'
        >>> square(3)
        9
        >>> found = explain(square, 3)
        >>> found.state, found.key, found.parts, found.served_for <= 60
        ('fresh', 'square:3', (KeyPart(name='n', text='3'),), True)
    """
    found: Callable[..., Explanation] | None = getattr(function, "explain", None)
    if found is None:
        raise TypeError(f"explain() takes a function made by cache_function, and its arguments; got {function!r}")
    return found(*args, **kwargs)


def explain_call(function: CachedFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Explanation:
    """Return what is known of one call of a cached function."""
    op, key = function.operation, function.bind(*args, **kwargs)[0]
    try:
        key = function.exact(key)
    except UnkeyableArgumentError as error:
        return Explanation(op.name, None, level=function.level, why=str(error), hits=op.hits + op.stale_hits)
    parts = tuple(KeyPart(name, text) for name, text in function.parts(key))
    return _explained(op, key, parts, function.level)


def explain_item(op: Operation, key: str) -> Explanation:
    """Return what is known of a key of the user's own."""
    return _explained(op, key, (), None)


def _explained(op: Operation, key: Any, parts: tuple[KeyPart, ...], level: CacheLevel | None) -> Explanation:
    """Look at everything that is known of a key, and change nothing."""
    with op.lock:
        entry, now, flight = op.table.get(key), op.cache.clock(), op.in_flight(key)
        cleared = entry is not None and op.first_clear(entry) > 0
        if flight is not None and flight.cancelled:
            flight = None
        facts: dict[str, Any] = {
            "hits": op.hits + op.stale_hits,
            "loading": flight is not None,
            "waiting": len(flight.waiters or ()) if flight is not None else 0,
        }
    if entry is None or cleared or now >= entry.last:
        found = _remembered(op, key) if entry is None else REASONS["invalidated" if cleared else "expired"]
        return Explanation(op.name, op.text(key), parts, level, why=found, **facts)
    fresh = entry.fresh if isinstance(entry, Aging) else entry.expires
    state, why = _condition(entry, fresh, now)
    return Explanation(
        op.name,
        op.text(key),
        parts,
        level,
        state=state,
        why=why,
        age=_age(op, entry, now, known=level is not None),
        fresh_for=max(fresh - now, 0.0),
        served_for=entry.last - now,
        gone_in=entry.gone - now,
        tags=entry.tags,
        weight=int(entry.weight) if entry.weight > 1 else ENTRY_BYTES + weigh(entry.value),
        **facts,
    )


def _condition(entry: Entry, fresh: float, now: float) -> tuple[State, str]:
    """Say how an entry is served, and on what condition."""
    if now < fresh:
        kept = "an exception, which is raised" if entry.value.__class__ is Failure else ""
        return "fresh", kept
    failed = f"; {entry.failures} loads in a row have failed" if isinstance(entry, Aging) and entry.failures else ""
    if isinstance(entry, Aging) and now < entry.stale:
        return "stale", f"expired: served while a load in the background replaces it{failed}"
    return "fallback", f"expired: served if its load fails or takes too long{failed}"


def _age(op: Operation, entry: Entry, now: float, *, known: bool) -> float | None:
    """Return the seconds since an entry was stored; None where it does not tell.

    A plain entry knows only when it expires: it was stored so long before as the function's options say.
    """
    if isinstance(entry, Aging):
        return now - entry.born
    how = op.freshness
    life = how.negative_expire if entry.value is None and how.negative_expire is not None else how.expire
    if not known or how.jitter or life == math.inf:
        return None
    return now - (entry.expires - life)


def _remembered(op: Operation, key: Any) -> str:
    for noted, why in reversed(list(op.notes)):
        if noted == key and why != "replaced":
            return REASONS[why] if isinstance(why, str) else f"the load failed with {why.__name__}"
    return REASONS["never"]


def _span(seconds: float) -> str:
    return "good" if seconds == math.inf else f"{seconds:.1f} s"

"""How much of a call's surroundings is in its key: the coarser, the more callers share an entry."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypeAlias

from ...context import current_scope
from .keys import Unkeyable, escape, short_text

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ["CacheLevel", "Expire", "bare_seconds", "expiry", "seconds_of", "surroundings_at"]

Expire: TypeAlias = "float | timedelta | EllipsisType | None"  # seconds; None: for good; ...: what the level says


class CacheLevel(enum.Enum):
    """How fine a cache key is: what of the surroundings declared by `scope` is in it beside the arguments.

    A level never drops an argument. The coarser the key, the shorter an entry lives by default.

    Attributes:
        LOW: Nothing but the call itself; 60 s. Callers of all tenants and principals share an entry.
        MEDIUM: The tenant too; 300 s. The default.
        HIGH: Everything the scope declares: tenant, principal, locale and what else there is; 3600 s.
    """

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @property
    def default_expire(self) -> float:
        """Seconds that an entry of this level lives if ``expire`` is not given."""
        return {CacheLevel.LOW: 60.0, CacheLevel.MEDIUM: 300.0, CacheLevel.HIGH: 3600.0}[self]

    def __repr__(self) -> str:
        return f"CacheLevel.{self.name}"


def expiry(expire: Expire, level: CacheLevel) -> float:
    """Return ``expire`` in seconds, `math.inf` for None, the level's default for ``...``.

    Raises:
        TypeError: It is neither a number nor a `timedelta` nor None.
        ValueError: It is not above 0, or not finite.
    """
    return level.default_expire if expire is ... else seconds_of(expire)


def seconds_of(expire: float | timedelta | None, name: str = "expire", *, none: str = ", or None for good") -> float:
    """Return ``expire`` in seconds, `math.inf` for None; errors call it ``name`` and say what None would be.

    Raises:
        TypeError: It is neither a number nor a `timedelta` nor None.
        ValueError: It is not above 0, or not finite.
    """
    if expire is None:
        return math.inf
    seconds = bare_seconds(expire)
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{name} must be a number of seconds or a timedelta{none}, got {expire!r}")
    if not 0 < seconds < math.inf:
        raise ValueError(f"{name} must be > 0 seconds and finite{none}, got {expire!r}")
    return float(seconds)


def bare_seconds(value: Any) -> Any:
    """Return the seconds of a `timedelta`, anything else as it is; to import that class takes a millisecond."""
    total_seconds = getattr(value, "total_seconds", None)
    return value if total_seconds is None else total_seconds()


class Ambient:
    """Stands in a key beside a text made from the surroundings, where an argument's class would stand."""


def surroundings_at(level: CacheLevel) -> Callable[[], tuple[Any, ...]] | None:
    """Return a function that gives what the current scope adds to a key at ``level``; None if it never adds anything.

    What is added is ``()`` or a pair of a text and `Ambient`. The text begins with ``@``, the tenant first, so that
    each level's key is a prefix of the next one's.
    """
    if level is CacheLevel.LOW:
        return None

    def surroundings() -> tuple[Any, ...]:
        scope = current_scope()
        found = scope.keys_by_level.get(level)
        if found is None:
            names = sorted(scope, key=lambda name: (name != "tenant", name))
            if level is CacheLevel.MEDIUM:
                names = [name for name in names if name == "tenant"]
            text = ":".join(f"@{escape(name)}/{_text_of(name, scope[name])}" for name in names)
            found = scope.keys_by_level[level] = (text, Ambient) if text else ()
        return found

    return surroundings


def _text_of(name: str, value: Any) -> str:
    try:
        return short_text(value)
    except Unkeyable as error:
        kind = error.type.__qualname__
        raise TypeError(
            f"scope({name}=...) of type {kind} has no value to key by: declare what identifies it, such as its id, "
            f"or use register_key({kind}, lambda value: ...)"
        ) from None

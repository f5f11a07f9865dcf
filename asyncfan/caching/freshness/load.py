"""What a cached function can say of the value that it is loading: `current_load`."""

from __future__ import annotations

from collections.abc import Iterable
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from ...context import loading
from ..calls.level import seconds_of
from ..loads.flights import Flight

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ["Load", "current_load"]


class Load:
    """The load that runs now, as `current_load` returns it.

    Attributes:
        key: The text of the call's key; "" outside of a load.
        stale: The value that is stored still, though it has expired or is to be replaced; None if there is none.
        validator: What was stored with ``stale``, such as an ETag, for a request that asks only whether it has
            changed; None if there is none. Set it to what belongs to the new value.
        tags: The tags of the new value so far: those of ``cache_function(tags=...)`` and those added since.
        stores: Whether the value will be stored.
    """

    __slots__ = ("_expire", "_validator", "key", "stale", "stores", "tags", "validated")

    def __init__(
        self, key: str = "", stale: Any = None, validator: str | None = None, tags: tuple[str, ...] = ()
    ) -> None:
        self.key: str = key
        self.stale: Any = stale
        self._validator: str | None = validator
        self.validated: bool = False  # the load has set the validator itself
        self.tags: tuple[str, ...] = tags
        self.stores: bool = True
        self._expire: float | EllipsisType = ...

    @property
    def expire(self) -> float | timedelta | EllipsisType | None:
        """Seconds that the value is kept, None for good; ``...`` until the load says otherwise. Set it."""
        return self._expire

    @expire.setter
    def expire(self, value: float | timedelta | EllipsisType | None) -> None:
        self._expire = ... if value is ... else seconds_of(value)

    @property
    def validator(self) -> str | None:
        """What the old value was stored with; what was set, once it was."""
        return self._validator

    @validator.setter
    def validator(self, value: str | None) -> None:
        self._validator, self.validated = value, True

    def validator_of(self, value: Any) -> str | None:
        """Return what belongs to ``value``: the old validator only if it is the old value."""
        return self._validator if self.validated or value is self.stale else None

    def shared_by(self, tags: tuple[str, ...]) -> Load:
        """Return what it says of one value of several loaded together, which has ``tags`` of its own."""
        found = Load(tags=(*tags, *(tag for tag in self.tags if tag not in tags)))
        found.expire, found.stores = self.expire, self.stores
        if self.validated:
            found.validator = self.validator
        return found

    def tag(self, *tags: str) -> None:
        """Add tags, by which `Cache.clear_tags` can drop the value.

        An async generator tags before its first item: who came after a clear of a tag, and got an item before it was
        added, stays with the run. What is stored is fenced and tagged all the same.

        Raises:
            TypeError: A tag is not a string.
            ValueError: A tag is empty.
        """
        self.tags = tuple(dict.fromkeys((*self.tags, *checked_tags(tags))))

    def skip(self) -> None:
        """Have the value given to those who wait for it, and not stored."""
        self.stores = False

    def __repr__(self) -> str:
        return f"<Load {self.key!r}{'' if self.stores else ', not stored'}>"


def current_load() -> Load:
    """Return what the surrounding load of a cached function may set: expiry, tags, a validator, "do not store".

    The handler of a cached endpoint may set all but the validator; of what it skips, everybody gets one of their own.

    Outside of a load, such as in a test that calls the function itself, what is set has no effect.

    Example:
        >>> from asyncfan import Cache
        >>> @Cache().cache_function(expire=300)
        ... def price(article):
        ...     load = current_load()
        ...     load.expire = 5 if article == "fresh fish" else 300
        ...     load.tag(f"article:{article}")
        ...     return 12
        >>> price("bread")
        12
    """
    flight: Flight | None = loading.get()
    if flight is None:
        return Load()
    if flight.load is None:
        flight.load = flight.operation.begun(flight)
    return flight.load


def checked_tags(tags: Any) -> tuple[str, ...]:
    """Return ``tags``, a text or several, if they are fit to be tags.

    Raises:
        TypeError: A tag is not a string.
        ValueError: A tag is empty.
    """
    if not isinstance(tags, Iterable):
        raise TypeError(f'tags must be a text such as "user:42", or several, got {tags!r}')
    found = (tags,) if isinstance(tags, str) else tuple(tags)
    for tag in found:
        if not isinstance(tag, str):
            raise TypeError(f'a tag must be a string such as "user:42", got {tag!r}')
        if not tag:
            raise ValueError('a tag must not be empty: write what the value is about, such as "user:42"')
    return found

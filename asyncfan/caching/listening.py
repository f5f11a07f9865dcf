"""What other processes say of a shared tier, done to this process's memory."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cache import Cache
    from .clears.patterns import Pattern

__all__ = ["Listening"]


class Listening:
    """Told by the tier, in a thread of its own; fences the loads in flight as a clear in this process does."""

    def __init__(self, cache: Cache) -> None:
        self._cache: weakref.ref[Cache] = weakref.ref(cache)

    def drop_texts(self, texts: tuple[str, ...]) -> None:
        """Forget the keys of these texts."""
        if (cache := self._cache()) is not None:
            cache.forget_texts(*texts)

    def drop_patterns(self, patterns: tuple[Pattern, ...]) -> None:
        """Forget what these patterns mean."""
        if (cache := self._cache()) is not None:
            cache.forget_patterns(*patterns)

    def drop_tags(self, tags: tuple[str, ...]) -> None:
        """Forget what has one of these tags."""
        if (cache := self._cache()) is not None:
            cache.forget_tags(*tags)

    def drop_all(self) -> None:
        """Forget everything: messages may have been missed."""
        if (cache := self._cache()) is not None:
            cache.forget_all()

    def __repr__(self) -> str:
        return f"<Listening {self._cache()!r}>"

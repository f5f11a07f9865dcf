"""What other processes say of a shared tier, done to this process's memory."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from .keys import untyped
from .patterns import Pattern

if TYPE_CHECKING:
    from .cache import Cache

__all__ = ["Listening"]


class Listening:
    """Told by the tier, in a thread of its own; fences the loads in flight as a clear in this process does."""

    def __init__(self, cache: Cache) -> None:
        self._cache: weakref.ref[Cache] = weakref.ref(cache)

    def drop_texts(self, texts: tuple[str, ...]) -> None:
        """Forget the keys of these texts."""
        self.drop_patterns(tuple(Pattern(untyped(text)) for text in texts))

    def drop_patterns(self, patterns: tuple[Pattern, ...]) -> None:
        """Forget what these patterns mean."""
        cache = self._cache()
        if cache is not None:
            cache._clear(*patterns)  # noqa: SLF001

    def drop_tags(self, tags: tuple[str, ...]) -> None:
        """Forget what has one of these tags."""

    def drop_all(self) -> None:
        """Forget everything: messages may have been missed."""
        cache = self._cache()
        if cache is not None:
            cache.clear_all()

    def __repr__(self) -> str:
        return f"<Listening {self._cache()!r}>"

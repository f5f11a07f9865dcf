"""`GeneratorFunction`: an async generator that remembers, as a function does whose value is the tuple of its items."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..freshness.options import CacheOptions
from ..loads.generators import Recorder
from ..loads.register import MISSING
from .callables import COPIES
from .functions import CachedFunction

if TYPE_CHECKING:
    from ..cache import Cache

__all__ = ["GeneratorFunction"]

# what an async generator can be told; the rest is about single values that are loaded
GENERATOR_OPTIONS = frozenset({"key", "ignore", "copy", "jitter", "cache_if", "tags", "max_items"})


class GeneratorFunction(CachedFunction):
    """One cached async generator: what is stored is the tuple of all its items."""

    yields = True

    def __init__(self, cache: Cache, function: Callable[..., Any], *, options: CacheOptions, **others: Any) -> None:
        for name in options.keys() - GENERATOR_OPTIONS:
            raise TypeError(f"an async generator takes no {name}: its items come one by one, from one run")
        super().__init__(cache, function, options=options, **others)
        copy = COPIES[options.get("copy", "none")]
        self.recorder: Recorder = Recorder(self.operation, options.get("max_items", 10_000), copy)

    @staticmethod
    def each(copy: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return what copies each item of a stored tuple."""
        return functools.partial(map, copy)

    def fetch(
        self,
        key: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        anew: bool = False,
        asked: bool | None = None,  # noqa: ARG002 - generators are not shared
    ) -> Any:
        """Return the items of a call, as an async generator: stored, from a run under way, or from a new one."""
        call = functools.partial(self.function, *args, **kwargs)
        tags = self.freshness.tags_of(*args, **kwargs) if self.freshness.tags_of else ()
        return self.recorder.consume(self.exact(key), call, tags=tags, anew=anew)

    async def refresh(self, *args: Any, **kwargs: Any) -> Any:
        """Run the generator to its end and store its items, which are returned; as for a function otherwise."""
        async with contextlib.aclosing(self.fetch(*self.bind(*args, **kwargs), anew=True)) as items:
            return tuple([item async for item in items])

    def peek(self, *args: Any, **kwargs: Any) -> Any:
        """Return the tuple that is stored for a call, or `MISSING`."""
        items = super().peek(*args, **kwargs)
        return items if items is MISSING else tuple(items)

    def many(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002 - as for a function
        """Refuse: the items of several calls have no order."""
        raise TypeError(f"{self.operation.name}() is an async generator, which has no many(): iterate over each call")

    many_outcomes = many

    def own(self, value: Any) -> Any:
        """Return the tuple that is stored of the items that are put."""
        return tuple(self.copy(value) if self.copy else value)

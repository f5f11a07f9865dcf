"""`CachedFunction`: a function that remembers, made of its key, its operation and its compiled wrapper."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ...context import scopes_in_use
from ..freshness.options import CacheOptions, freshness_of
from ..loads.limits import limited
from ..loads.register import MISSING
from ..loads.tiering import is_shareable
from .call_keys import CallKeys, Instance, Instances, Key
from .callables import COPIES, instance_parameter, is_kind, module_of, prefix_tag, qualname_of
from .compiling import compile_wrapper, plain_parameters
from .keys import escape
from .level import CacheLevel, surroundings_at
from .methods import METHODS
from .twins import Source

if TYPE_CHECKING:
    from ...fanout import Limiter
    from ..cache import Cache
    from ..clears.cleared import Cleared
    from ..explain import Explanation
    from ..freshness.adaptive import AdaptiveExpire
    from ..freshness.freshness import Freshness
    from ..many.many import Many
    from ..operation import Operation
    from .wrappers import CacheInfo

__all__ = ["CachedFunction"]


class CachedFunction:
    """One cached function: makes its wrapper, and is what the wrapper's methods belong to."""

    yields: bool = False  # it is an async generator

    def __init__(
        self,
        cache: Cache,
        function: Callable[..., Any],
        *,
        expire: float | AdaptiveExpire,
        prefix: str,
        level: CacheLevel,
        options: CacheOptions,
    ) -> None:
        key, ignore, copy = options.get("key"), options.get("ignore", ()), COPIES[options.get("copy", "none")]
        copy = copy and self.each(copy)
        self.cache = cache
        self.function = function
        self.level = level
        self.copy = copy
        # an object may be called through an `async def __call__`
        self.is_async: bool = is_kind(inspect.iscoroutinefunction, function)
        name = f"{module_of(function)}.{qualname_of(function)}"
        parameters = [x for x in plain_parameters(function) if x not in ignore]
        # in memory each function has a table of its own
        tag = prefix_tag(function, prefix, yields=self.yields) if cache.tier is not None else ""
        keys = CallKeys(prefix + tag, name, ["key"] if key else parameters)
        self.exact: Callable[[Key], Key] = keys.exact
        self.parts: Callable[[Key], list[tuple[str, str]]] = keys.parts
        self.freshness: Freshness = freshness_of(function, expire, options, is_async=self.is_async)
        instance = instance_parameter(function, plain_parameters(function))
        source = None
        if instance is None and is_shareable(tag):
            source = Source(function, {**options, "expire": expire, "cache_level": level})
        self.operation: Operation = cache.operation(
            prefix, name, text=keys.text, freshness=self.freshness, source=source
        )
        how = self.freshness
        # what each miss asks for, read once
        self._tags_of: Callable[..., tuple[str, ...]] | None = how.tags_of
        limits = (how.hard_timeout, how.limiter)
        self._limits: tuple[float | None, Limiter | None] | None = None if limits == (None, None) else limits
        self.is_method: bool = instance is not None
        self.keyed: list[str] | None = None if key else parameters
        self.max_workers: int | None = options.get("max_workers", 32)
        surroundings = surroundings_at(level)
        operation = self.operation
        given: dict[str, Any] = {
            "op": operation,
            "table": operation.table,
            "clock": cache.clock,
            "touch": cache.store.touched.append,
            "miss": self.fetch,
            "scoped": scopes_in_use,
            "Instance": Instance,
            "instance": Instances(),
        }
        given |= {"surroundings": surroundings} if surroundings else {}
        given |= {"copy": copy} if copy else {}
        given |= {"key_of": key} if key else {}
        self.wrapper: Callable[..., Any]
        self.bind: Callable[..., tuple[Any, tuple[Any, ...], dict[str, Any]]]
        self.wrapper, self.bind = compile_wrapper(
            function,
            given,
            keyed=self.keyed,
            instance=instance,
            is_async=self.is_async or self.yields,
            yields=self.yields,
        )
        functools.update_wrapper(self.wrapper, function)
        for method in METHODS:
            setattr(self.wrapper, method, getattr(self, method))

    @staticmethod
    def each(copy: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return what copies a stored value, where ``copy`` copies what the caller gets."""
        return copy

    # -- misses -----------------------------------------------------------------------------------------------------

    def fetch(
        self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, anew: bool = False, asked: bool | None = None
    ) -> Any:
        """Return a call's value, as a coroutine where the function is one: stored, loading, or to be loaded."""
        key, tags_of = self.exact(key), self._tags_of
        tags = tags_of(*args, **kwargs) if tags_of else ()
        if self.is_async:
            call = functools.partial(self.function, *args, **kwargs)
            if self._limits is not None:
                call = limited(self.operation.name, call, *self._limits)  # type: ignore[assignment]
            found = self.operation.fetch(key, call, tags=tags, anew=anew, asked=asked)
            return found if self.copy is None else self._copied(found)
        checked = self._checked(args, kwargs)
        value = self.operation.fetch_in_thread(key, checked, tags=tags, anew=anew, asked=asked)
        return value if self.copy is None else self.copy(value)

    async def _copied(self, found: Awaitable[Any]) -> Any:
        value = await found
        return value if self.copy is None else self.copy(value)

    def _checked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], Any]:
        def call() -> Any:
            value = self.function(*args, **kwargs)
            if inspect.isawaitable(value):
                if inspect.iscoroutine(value):
                    value.close()
                raise TypeError(
                    f"{self.operation.name}() is a plain def but returned an awaitable, which can be awaited only "
                    "once: declare it with 'async def'"
                )
            return value

        return call

    # -- what the wrapper offers ------------------------------------------------------------------------------------

    @functools.cached_property
    def _many(self) -> Many:
        from ..many.many import Many  # noqa: PLC0415 - with the fan-out that it needs, it is loaded where it is used

        return Many(self)

    def many(self, *args: Any, **kwargs: Any) -> Any:
        """Return the values of calls that differ in their first argument, of which the items are given."""
        return self._many.async_values(args, kwargs) if self.is_async else self._many.values(args, kwargs)

    def many_outcomes(self, *args: Any, **kwargs: Any) -> Any:
        """Return what became of each of those calls."""
        return self._many.async_outcomes(args, kwargs) if self.is_async else self._many.outcomes(args, kwargs)

    def explain(self, *args: Any, **kwargs: Any) -> Explanation:
        """Return what the cache knows of a call."""
        from ..explain import explain_call  # noqa: PLC0415 - seldom used

        return explain_call(self, args, kwargs)

    def invalidate(self, *args: Any, **kwargs: Any) -> Cleared:
        """Drop the entry of one call, in every scope, and fence the load in flight for it."""
        scoped = self.level is not CacheLevel.LOW and bool(scopes_in_use)
        return self.cache.clear_call(self.operation, self.key(*args, **kwargs), scoped=scoped)

    def refresh(self, *args: Any, **kwargs: Any) -> Any:
        """Load one call anew and store what it gives; the old entry is served until then, and kept on an error."""
        return self.fetch(*self.bind(*args, **kwargs), anew=True)

    def peek(self, *args: Any, **kwargs: Any) -> Any:
        """Return what is stored for a call, or `MISSING`; never loads, counts or reorders."""
        value = self.operation.peek(self.key(*args, **kwargs))
        return self.copy(value) if self.copy and value is not MISSING else value

    def put(self, value: Any, /, *args: Any, **kwargs: Any) -> None:
        """Store ``value`` as what the call gives; a load in flight for it will not replace it."""
        key, args, kwargs = self.bind(*args, **kwargs)
        tags = self.freshness.tags_of(*args, **kwargs) if self.freshness.tags_of else ()
        self.operation.put(self.exact(key), self.own(value), tags)

    def own(self, value: Any) -> Any:
        """Return what is stored of a value that is put."""
        return self.copy(value) if self.copy else value

    def cache_key(self, *args: Any, **kwargs: Any) -> str:
        """Return the text of a call's key, as patterns and shared tiers see it."""
        text = self.operation.text(self.key(*args, **kwargs))
        return f"{escape(self.cache.namespace)}:{text}" if self.cache.namespace else text

    def key(self, *args: Any, **kwargs: Any) -> Any:
        """Return the exact key of a call."""
        return self.exact(self.bind(*args, **kwargs)[0])

    def cache_info(self) -> CacheInfo:
        """Return the function's figures, as `functools.lru_cache` does, and more."""
        from .wrappers import CacheInfo  # noqa: PLC0415 - seldom used

        op = self.operation
        return CacheInfo(op.hits, op.misses, self.cache.maxsize, op.live, op.joined)

    def cache_clear(self) -> Cleared:
        """Drop all entries of this function, and fence its loads in flight."""
        return self.cache.clear_operation(self.operation)

    def __repr__(self) -> str:
        return f"<CachedFunction {self.operation.name} {self.operation.live} entries>"

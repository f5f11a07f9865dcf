"""`cache_function`: a function that remembers, made of its key, its operation and its compiled wrapper."""

from __future__ import annotations

import contextlib
import copy as copying
import functools
import inspect
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Any

from ..context import scopes_in_use
from ..fanout.checks import positive_int
from .adaptive import AdaptiveExpire
from .call_keys import CallKeys, Instance, Instances, Key
from .compiling import compile_wrapper, plain_parameters
from .generators import Recorder
from .keys import escape
from .level import CacheLevel, Expire, expiry, surroundings_at
from .limits import limited
from .many import Many
from .methods import METHODS, CachedMethod
from .options import CacheOptions, freshness_of
from .register import MISSING
from .wrappers import CacheInfo

if TYPE_CHECKING:
    from .cache import Cache
    from .cleared import Cleared
    from .explain import Explanation
    from .freshness import Freshness
    from .operation import Operation

__all__ = ["CachedFunction", "cached_function", "prefix_of"]

COPIES: dict[str, Callable[[Any], Any] | None] = {
    "none": None,
    "shallow": copying.copy,
    "deep": copying.deepcopy,
}


# what an async generator can be told; the rest is about single values that are loaded
GENERATOR_OPTIONS = frozenset({"key", "ignore", "copy", "jitter", "cache_if", "tags", "max_items"})


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
        self.is_async: bool = _is(inspect.iscoroutinefunction, function)
        name = f"{_module(function)}.{_qualname(function)}"
        parameters = [x for x in plain_parameters(function) if x not in ignore]
        keys = CallKeys(prefix, name, ["key"] if key else parameters)
        self.exact: Callable[[Key], Key] = keys.exact
        self.parts: Callable[[Key], list[tuple[str, str]]] = keys.parts
        self.freshness: Freshness = freshness_of(function, expire, options, is_async=self.is_async)
        self.operation: Operation = cache.operation(prefix, name, text=keys.text, freshness=self.freshness)
        instance = _instance_parameter(function, plain_parameters(function))
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
        self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, anew: bool = False, asked: bool = False
    ) -> Any:
        """Return a call's value, as a coroutine where the function is one: stored, loading, or to be loaded."""
        key, how = self.exact(key), self.freshness
        tags = how.tags_of(*args, **kwargs) if how.tags_of else ()
        if self.is_async:
            call = functools.partial(self.function, *args, **kwargs)
            if how.hard_timeout is not None or how.limiter is not None:
                call = limited(self.operation.name, call, how.hard_timeout, how.limiter)  # type: ignore[assignment]
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
        return Many(self)

    def many(self, *args: Any, **kwargs: Any) -> Any:
        """Return the values of calls that differ in their first argument, of which the items are given."""
        return self._many.async_values(args, kwargs) if self.is_async else self._many.values(args, kwargs)

    def many_outcomes(self, *args: Any, **kwargs: Any) -> Any:
        """Return what became of each of those calls."""
        return self._many.async_outcomes(args, kwargs) if self.is_async else self._many.outcomes(args, kwargs)

    def explain(self, *args: Any, **kwargs: Any) -> Explanation:
        """Return what the cache knows of a call."""
        from .explain import explain_call  # noqa: PLC0415 - seldom used

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

    def put(self, value: Any, *args: Any, **kwargs: Any) -> None:
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
        op = self.operation
        return CacheInfo(op.hits, op.misses, self.cache.maxsize, op.live, op.joined)

    def cache_clear(self) -> Cleared:
        """Drop all entries of this function, and fence its loads in flight."""
        return self.cache.clear_operation(self.operation)

    def __repr__(self) -> str:
        return f"<CachedFunction {self.operation.name} {self.operation.live} entries>"


class CachedGenerator(CachedFunction):
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
        asked: bool = False,  # noqa: ARG002 - generators are not shared
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

    def own(self, value: Any) -> Any:
        """Return the tuple that is stored of the items that are put."""
        return tuple(self.copy(value) if self.copy else value)


def cached_function(
    cache: Cache,
    function: Any,
    *,
    expire: Expire | AdaptiveExpire,
    key_prefix: str | None,
    cache_level: CacheLevel | None,
    options: CacheOptions,
) -> Any:
    """Check what `Cache.cache_function` was given, and return the cached function or method."""
    if isinstance(function, (staticmethod, classmethod)):
        inner = cached_function(
            cache, function.__func__, expire=expire, key_prefix=key_prefix, cache_level=cache_level, options=options
        )
        if isinstance(function, classmethod):
            return CachedMethod(inner.wrapper, of_class=True)
        return staticmethod(inner)
    _check_function(function)
    level = CacheLevel.MEDIUM if cache_level is None else cache_level
    if not isinstance(level, CacheLevel):
        raise TypeError(f"cache_level must be a CacheLevel, got {level!r}")
    _check_keying(function, options)
    positive_int("max_workers", options.get("max_workers"))
    kind = CachedGenerator if _is(inspect.isasyncgenfunction, function) else CachedFunction
    found = kind(
        cache,
        function,
        expire=expire if isinstance(expire, AdaptiveExpire) else expiry(expire, level),
        prefix=prefix_of(function, key_prefix),
        level=level,
        options=options,
    )
    return CachedMethod(found.wrapper) if found.is_method else found.wrapper


def _check_keying(function: Callable[..., Any], options: CacheOptions) -> None:
    copy, key = options.get("copy", "none"), options.get("key")
    if copy not in COPIES:
        raise ValueError(f"copy must be one of {', '.join(map(repr, COPIES))}, got {copy!r}")
    if key is not None and not callable(key):
        raise TypeError(f"key must be a function of the call's arguments, got {key!r}")
    positive_int("max_items", options.get("max_items"))
    _check_ignored(function, options.get("ignore", ()))


def _check_function(function: Any) -> None:
    if inspect.iscoroutine(function):
        function.close()
        raise TypeError("cache_function takes the function itself, not a call of it: cache_function(f), not f(...)")
    if not callable(function):
        raise TypeError(f"cache_function takes a function, got {function!r}")
    if _is(inspect.isgeneratorfunction, function):
        raise TypeError(
            f"{_qualname(function)}() is a generator, which can be read only once: cache a function that returns "
            "a list, as in list(...), or make it an async generator"
        )
    try:
        inspect.signature(function)
    except ValueError:
        raise TypeError(
            f"cache_function cannot see the parameters of {_qualname(function)}: wrap it, as in "
            f"cache_function(lambda value: {_qualname(function)}(value))"
        ) from None


def _is(kind: Callable[[Any], bool], function: Any) -> bool:
    """Say whether ``function`` is of a kind; an object may be called through a ``__call__`` of that kind."""
    return kind(function) or kind(getattr(function, "__call__", None))  # noqa: B004


def _check_ignored(function: Callable[..., Any], ignore: Collection[str]) -> None:
    names = plain_parameters(function)
    if isinstance(ignore, str):
        raise TypeError(f"ignore takes a tuple of parameter names, got the string {ignore!r}: write ({ignore!r},)")
    for name in ignore:
        if name not in names:
            raise ValueError(
                f"ignore names {name!r}, but {_qualname(function)}() has the parameters {', '.join(names)}"
            )


def prefix_of(function: Callable[..., Any], key_prefix: str | None) -> str:
    """Return the text that the keys of ``function`` begin with: ``key_prefix``, or its module and name.

    Raises:
        TypeError: ``key_prefix`` is not a string.
        ValueError: It is empty, or has a ``*`` in it.
    """
    if key_prefix is None:
        return f"{escape(_module(function))}.{escape(_qualname(function))}"
    if not isinstance(key_prefix, str):
        raise TypeError(f'key_prefix must be a string such as "user:profile", got {key_prefix!r}')
    if not key_prefix or "*" in key_prefix:
        raise ValueError(f'key_prefix must be a text without "*" such as "user:profile", got {key_prefix!r}')
    return ":".join(map(escape, key_prefix.split(":")))


def _instance_parameter(function: Callable[..., Any], keyed: list[str]) -> str | None:
    """Return the name of a method's instance: the first parameter, self or cls, of what a class body defines."""
    owner = _qualname(function).rpartition(".")[0]
    if not owner or owner.endswith("<locals>") or not keyed:
        return None
    return keyed[0] if keyed[0] in {"self", "cls"} else None


def _module(function: Any) -> str:
    return getattr(function, "__module__", None) or type(function).__module__


def _qualname(function: Any) -> str:
    if isinstance(function, functools.partial):
        return _qualname(function.func)
    return getattr(function, "__qualname__", None) or type(function).__qualname__

"""`cache_function`: from a function and what was said of it to its cached wrapper."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

from ...fanout.checks import positive_int
from ..freshness.options import CacheOptions, adaptive_of, check_names
from .callables import check_function, check_keying, is_kind, prefix_of
from .functions import CachedFunction
from .level import CacheLevel, Expire, expiry
from .methods import CachedMethod

if TYPE_CHECKING:
    from ..cache import Cache
    from ..freshness.adaptive import AdaptiveExpire
    from .wrappers import AsyncCached, Cached, CachedGenerator

__all__ = ["Decorating"]

P = ParamSpec("P")
T = TypeVar("T")


class CacheFunctionDecorator(Protocol):
    """What ``cache_function(...)`` with options returns: the decorator."""

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a coroutine function is a function; the first match wins
        self, function: Callable[P, Coroutine[Any, Any, T]], /
    ) -> AsyncCached[P, T]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, AsyncIterator[T]], /
    ) -> CachedGenerator[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, T], /) -> Cached[P, T]: ...


class Decorating:
    """The part of a cache that decorates functions."""

    @overload
    def cache_function(  # type: ignore[overload-overlap]  # as above
        self, function: Callable[P, Coroutine[Any, Any, T]], /
    ) -> AsyncCached[P, T]: ...
    @overload
    def cache_function(  # type: ignore[overload-overlap]
        self, function: Callable[P, AsyncIterator[T]], /
    ) -> CachedGenerator[P, T]: ...
    @overload
    def cache_function(self, function: Callable[P, T], /) -> Cached[P, T]: ...
    @overload
    def cache_function(
        self,
        expire: Expire | AdaptiveExpire = ...,
        key_prefix: str | None = None,
        cache_level: CacheLevel | None = None,
        **options: Unpack[CacheOptions],
    ) -> CacheFunctionDecorator: ...

    def cache_function(
        self,
        expire: Any = ...,
        key_prefix: str | None = None,
        cache_level: CacheLevel | None = None,
        **options: Unpack[CacheOptions],
    ) -> Any:
        """Make a function remember what it returned: same arguments, same value, until it expires.

        ``async def`` stays ``async def``, ``def`` stays ``def`` (thread-safe). Equal calls at the same time make one
        load, which runs in a task of its own (for a ``def``: in the first caller's thread) and is cancelled only when
        all its callers have left. ``None`` is cached, an exception is not. ``f(1)``, ``f(a=1)`` and a default of 1 are
        one call; ``1``, ``1.0``, ``True`` and ``"1"`` are different ones. Use it bare or with options.

        An async generator stays one. Its items are replayed once a run of it has come to its end by itself; until then
        all consumers share the run, each at its own pace, and the last one to leave closes it. What one of them sends
        or throws in does not reach the generator. See `CachedGenerator`.

        In a class body, a method whose first parameter is ``self`` is cached for each instance, which is not kept
        alive by it. Instances of named tuples and of classes with slots but no ``__weakref__`` need a ``key``.

        Args:
            expire: Seconds or `timedelta` that a value is kept; None is for good; `AdaptiveExpire` finds it out. Not
                given: 60, 300 or 3600 s at the levels LOW, MEDIUM and HIGH.
            key_prefix: What the texts of the keys begin with, for `clear`; the function's module and name by default.
            cache_level: How much of the surrounding `scope` is in the key; MEDIUM by default.
            **options: See `CacheOptions`: keying (``key``, ``ignore``, ``copy``), freshness
                (``stale_while_revalidate``, ``stale_if_error``, ``refresh_ahead``, ``jitter``, ``negative_expire``,
                ``cache_exceptions``, ``cache_if``), loads (``soft_timeout``, ``hard_timeout``, ``limiter``), ``tags``,
                ``max_items``.

        Raises:
            TypeError: It is no function, or a plain generator; an option has the wrong type.
            ValueError: ``expire`` or ``max_items`` is not above 0, or ``ignore`` names no parameter; or processes share
                the values, and another function, or this one with other options, has the same prefix.
            UnkeyableArgumentError: At a call, an argument has no value to key by.
            RecursiveLoadError: At a call, the load waits for itself.
            SelfCancelledError: At a call, the function raised ``CancelledError`` although nobody had cancelled it.

        Cancellation:
            A cancelled caller leaves alone; the load goes on for the others.

        Example:
            >>> from asyncfan.testing import run
            >>> @Cache().cache_function(expire=60, key_prefix="square")
            ... async def square(n):
            ...     return n * n
            >>> run(square(3)), square.peek(3), square.cache_key(3)
            (9, 9, 'square:3')
        """
        check_names(options)  # type: ignore[arg-type]  # a TypedDict is a dict of str
        given: dict[str, Any] = {"key_prefix": key_prefix, "cache_level": cache_level, "options": options}
        if callable(expire) or hasattr(expire, "__get__") or asyncio.iscoroutine(expire):  # a descriptor is no number
            return cached_function(cast("Cache", self), expire, expire=..., **given)
        return lambda function: cached_function(cast("Cache", self), function, expire=expire, **given)


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
    check_function(function)
    level = CacheLevel.MEDIUM if cache_level is None else cache_level
    if not isinstance(level, CacheLevel):
        raise TypeError(f"cache_level must be a CacheLevel, got {level!r}")
    check_keying(function, options)
    positive_int("max_workers", options.get("max_workers"))
    found = _kind_of(function)(
        cache,
        function,
        expire=adaptive_of(expire) or expiry(cast("Expire", expire), level),
        prefix=prefix_of(function, key_prefix),
        level=level,
        options=options,
    )
    return CachedMethod(found.wrapper) if found.is_method else found.wrapper


def _kind_of(function: Any) -> type[CachedFunction]:
    if not is_kind(inspect.isasyncgenfunction, function):
        return CachedFunction
    from .generator_functions import GeneratorFunction  # noqa: PLC0415 - seldom used

    return GeneratorFunction

"""A decorated handler: it finds its framework's request, and lets the server answer it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from ..caching.cache import Cache
from ..caching.callables import prefix_of
from ..caching.level import CacheLevel, Expire
from .frameworks import adapter_at_decoration, adapter_of, discovered
from .messages import Adapter, AdapterFactory
from .names import refuse_twin
from .options import Options
from .serving import Server

__all__ = ["endpoint"]

_LOG = logging.getLogger("asyncfan.http")


def endpoint(
    fn: Callable[..., Any], home: Cache, factory: AdapterFactory | None, options: Options
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return the handler that answers from ``home`` where it may, and runs ``fn`` where it must."""
    name = f"{fn.__module__}.{fn.__qualname__}"
    prefix = prefix_of(fn, options.prefix)
    refuse_twin(fn, home, prefix, name)
    server = Server(home, prefix, name, options)
    plainly = functools.partial(_cached_plainly, fn, home, options.expire, options.prefix, options.level)
    return _wrapper(fn, server, factory, plainly)


def _wrapper(
    fn: Callable[..., Any],
    server: Server,
    factory: AdapterFactory | None,
    plainly: Callable[[], Callable[..., Awaitable[Any]]],
) -> Callable[..., Coroutine[Any, Any, Any]]:
    bound = adapter_at_decoration(fn) if factory is None else factory(fn)
    found: dict[type, Adapter] = {}  # {class of a request: its adapter}
    plain: list[Callable[..., Awaitable[Any]]] = []  # the same handler cached as a function; made when first needed

    @functools.wraps(fn)
    async def handler(*args: Any, **kwargs: Any) -> Any:
        if bound is not None and (visit := bound.open(args, kwargs)) is not None:
            return await server.serve(bound, visit)
        if factory is None and (adapter := _detected(found, fn, args, kwargs)) is not None:
            visit = adapter.open(args, kwargs)
            if visit is not None:
                return await server.serve(adapter, visit)
        if not plain:
            plain.append(plainly())
        return await plain[0](*args, **kwargs)

    if bound is not None and bound.signature is not None:
        handler.__signature__ = bound.signature  # type: ignore[attr-defined]
    return handler


def _detected(
    found: dict[type, Adapter], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Adapter | None:
    for value in (*args, *kwargs.values()):
        adapter = found.get(type(value)) or adapter_of((value,), fn)
        if adapter is not None:
            return found.setdefault(type(value), adapter)
    return _detected(found, fn, args, kwargs) if discovered() else None


def _cached_plainly(
    fn: Callable[..., Any], cache: Cache, expire: Expire, prefix: str | None, level: CacheLevel
) -> Callable[..., Awaitable[Any]]:
    _LOG.warning("%s.%s was called without a request: cached by its arguments", fn.__module__, fn.__qualname__)
    cached: Callable[..., Any] = cache.cache_function(expire=expire, key_prefix=prefix, cache_level=level)(fn)
    if inspect.iscoroutinefunction(fn):
        return cached

    async def in_thread(*args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(cached, *args, **kwargs)

    return in_thread

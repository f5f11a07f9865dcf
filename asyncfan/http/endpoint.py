"""A decorated handler: it finds its framework's request, and lets the server answer it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from ..caching.cache import Cache
from ..caching.calls.callables import prefix_of
from ..caching.freshness.options import tagging
from .frameworks import adapter_at_decoration, adapter_of, adapters_around, discovered
from .in_thread import Thread
from .messages import Adapter, AdapterFactory
from .names import refuse_twin
from .options import Options
from .serving import Server

__all__ = ["endpoint"]

_LOG = logging.getLogger("asyncfan.http")


class _Around:
    """Stands for the class of a request that is not passed: the framework keeps it in a context variable."""


def endpoint(
    fn: Callable[..., Any], home: Cache, factory: AdapterFactory | None, options: Options, tags: Any
) -> Callable[..., Any]:
    """Return the handler that answers from ``home`` where it may, and runs ``fn`` where it must."""
    name = f"{fn.__module__}.{fn.__qualname__}"
    prefix = prefix_of(fn, options.prefix)
    bound = adapter_at_decoration(fn) if factory is None else factory(fn)
    refuse_twin(fn, home, prefix, name)
    tags_of = tagging(fn, tags)
    server = Server(home, prefix, name, options, tags_of=tags_of)
    plainly = functools.partial(_cached_plainly, fn, home, options, tags_of or ())
    if bound is not None and getattr(bound, "blocking", False):
        return _blocking_wrapper(fn, server, bound, plainly)
    return _wrapper(fn, server, bound, plainly, detects=factory is None)


def _wrapper(
    fn: Callable[..., Any],
    server: Server,
    bound: Adapter | None,
    plainly: Callable[[], Callable[..., Any]],
    *,
    detects: bool,
) -> Callable[..., Coroutine[Any, Any, Any]]:
    found: dict[type, Adapter] = {}  # {class of a request: its adapter}
    plain: list[Callable[..., Awaitable[Any]]] = []  # the same handler cached as a function; made when first needed

    @functools.wraps(fn)
    async def handler(*args: Any, **kwargs: Any) -> Any:
        if bound is not None and (visit := bound.open(args, kwargs)) is not None:
            return await server.serve(bound, visit)
        if detects:
            adapter, visit = _detected(found, fn, args, kwargs)
            if adapter is not None and visit is not None:
                answer = await server.serve(adapter, visit)
                if getattr(adapter, "loop_ends", False):
                    await server.settled()
                return answer
        if not plain:
            plain.append(_awaitable(fn, plainly()))
        return await plain[0](*args, **kwargs)

    if bound is not None and bound.signature is not None:
        handler.__signature__ = bound.signature  # type: ignore[attr-defined]
        handler.__annotations__ = _annotations(fn, bound.signature)
    return handler


def _blocking_wrapper(
    fn: Callable[..., Any], server: Server, bound: Adapter, plainly: Callable[[], Callable[..., Any]]
) -> Callable[..., Any]:
    plain: list[Callable[..., Any]] = []  # as above

    @functools.wraps(fn)
    def handler(*args: Any, **kwargs: Any) -> Any:
        visit = bound.open(args, kwargs)
        if visit is not None:
            visit.thread = thread = Thread()
            return thread.serve(server.serve(bound, visit))
        if not plain:
            plain.append(plainly())
        return plain[0](*args, **kwargs)

    return handler


def _annotations(fn: Callable[..., Any], signature: inspect.Signature) -> dict[str, Any]:
    added = [name for name in signature.parameters if name not in inspect.signature(fn).parameters]
    return {**fn.__annotations__, **{name: signature.parameters[name].annotation for name in added}}


def _detected(
    found: dict[type, Adapter], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Adapter | None, Any]:
    """Return the adapter of the framework that made this call, and its visit."""
    for value in (*args, *kwargs.values()):
        adapter = found.get(type(value)) or adapter_of((value,), fn)
        if adapter is not None:
            return found.setdefault(type(value), adapter), adapter.open(args, kwargs)
    for adapter in (found[_Around],) if _Around in found else adapters_around(fn):
        if (visit := adapter.open(args, kwargs)) is not None:
            return found.setdefault(_Around, adapter), visit
    return _detected(found, fn, args, kwargs) if discovered() else (None, None)


def _cached_plainly(fn: Callable[..., Any], cache: Cache, options: Options, tags: Any) -> Callable[..., Any]:
    _LOG.warning("%s.%s was called without a request: cached by its arguments", fn.__module__, fn.__qualname__)
    cached: Callable[..., Any] = cache.cache_function(
        expire=options.expire, key_prefix=options.prefix, cache_level=options.level, tags=tags
    )(fn)
    return cached


def _awaitable(fn: Callable[..., Any], cached: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    if inspect.iscoroutinefunction(fn):
        return cached

    async def in_thread(*args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(cached, *args, **kwargs)

    return in_thread

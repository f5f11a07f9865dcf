"""`cache_response`: what an endpoint answered is sent again, as bytes, to everybody who asks the same."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from ..caching.cache import Cache
from ..caching.cache import cache as default_cache
from ..caching.level import CacheLevel, Expire, expiry
from .frameworks import adapter_at_decoration, adapter_of
from .keys import KeyRule
from .messages import Adapter, AdapterFactory, Declared
from .serving import Server
from .storing import DEFAULT_STATUSES, StoreRule

__all__ = ["ResponseDecorator", "cache_response"]

P = ParamSpec("P")
R = TypeVar("R")

_LOG = logging.getLogger("asyncfan.http")
_METHODS = frozenset({"GET", "HEAD", "POST", "QUERY"})


class ResponseDecorator(Protocol):
    """What `cache_response` returns: the handler's parameters and result stay as they are."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, fn: Callable[P, Awaitable[R]], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Callable[P, Coroutine[Any, Any, R]]: ...


def cache_response(
    expire: Expire = ...,
    prefix: str | None = None,
    cache_level: CacheLevel = CacheLevel.MEDIUM,
    *,
    key: Callable[..., Any] | None = None,
    ignore: Iterable[str] = (),
    vary: Iterable[str] = (),
    params: Iterable[str] | None = None,
    public: bool = False,
    identity: Callable[[Any], Hashable] | None = None,
    methods: Iterable[str] | None = None,
    cache_statuses: Iterable[int] = DEFAULT_STATUSES,
    max_body: int = 1 << 20,
    cache: Cache | None = None,
    adapter: AdapterFactory | None = None,
    expose_status: bool = True,
    honor_client_cache_control: bool = True,
) -> ResponseDecorator:
    """Cache what an HTTP endpoint answers; put it under the route decorator, directly above the handler.

    The framework runs its guards, dependencies and validation first, on a hit too. What is stored is what
    would be sent, once through the route's response model. ``Set-Cookie`` is never stored, nor is an error,
    a stream, a response with ``no-store``, or one for a single person under a key that does not name them.

    A request with credentials (Authorization, a cookie, a security scheme of the route) gets entries of its
    own, or at ``CacheLevel.LOW`` none. A handler or guard that tells people apart by a header which it reads
    from the request without declaring it must name that header in ``vary``.

    Args:
        expire: Seconds or a timedelta; None is never. By default the level's own: 60, 300 or 3600 s. The
            response's ``s-maxage``, ``max-age`` or ``Expires`` may shorten it.
        prefix: How keys begin, for ``cache.clear("prefix*")``; by default the handler's module and name.
        cache_level: How much of the request's surroundings is in the key.
        key: Called with the handler's own arguments; what it returns replaces query and arguments in the key.
        ignore: Parameters in the query, headers, cookies or body that are no part of the key.
        vary: Request headers to key by, at every level, beside those that responses name in ``Vary``.
        params: The only query parameters to key by.
        public: The response is the same whoever asks: credentials are no part of the key, nor of ``Vary``.
        identity: Called with the framework's request; returns who is asking, or None for nobody known. By
            default the surrounding ``scope(principal=...)``, then the credentials themselves.
        methods: Methods to cache; GET, HEAD, POST and QUERY by default. Others run the handler.
        cache_statuses: Status codes to store.
        max_body: Bytes of the largest body to store.
        cache: Where the entries live; the default cache if None.
        adapter: The framework's adapter class; by default found by the module of the request's class.
        expose_status: Whether to send Cache-Status (RFC 9211), which says if it was a hit.
        honor_client_cache_control: Whether a client may ask for a fresh response with its own Cache-Control.

    Raises:
        ValueError: ``expire``, ``max_body`` or ``methods`` makes no sense.
        TypeError: The handler is a generator, whose stream cannot be stored, or is registered already; or
            ``identity`` is asynchronous.

    Example:
        A handler under FastAPI's ``@router.get("/dashboard")``::

            @router.get("/dashboard")
            @cache_response(expire=180, prefix="dashboard")
            async def get_dashboard(request: Request): ...

    Cancellation:
        The handler runs in the task of the request that needed it first. If that is cancelled, one of those
        that wait for it runs the handler itself.
    """
    if callable(expire):
        raise TypeError("write @cache_response() with parentheses")
    seconds = expiry(expire, cache_level)
    if max_body < 0:
        raise ValueError(f"max_body must be >= 0 bytes, got {max_body!r}")
    if inspect.iscoroutinefunction(identity):
        raise TypeError("identity must return who is asking, got an async function, which returns a coroutine")
    wanted = _METHODS if methods is None else frozenset(method.upper() for method in methods)
    if not wanted:
        raise ValueError("methods must name at least one method, got none; None means GET, HEAD, POST and QUERY")
    home = default_cache if cache is None else cache

    def decorate(fn: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
        _refuse_generator(fn)
        name = f"{fn.__module__}.{fn.__qualname__}"
        begin = name if prefix is None else prefix
        rule = functools.partial(
            _rule, begin, cache_level, vary=tuple(vary), params=params, ignore=tuple(ignore), public=public
        )
        server = Server(
            home.operation(begin, name),
            StoreRule(seconds, frozenset(cache_statuses), max_body),
            rule,
            name=name,
            methods=wanted,
            identity=identity,
            key=key,
            ignore=frozenset(ignore),
            expose_status=expose_status,
            honor_client=honor_client_cache_control,
        )
        plain = functools.partial(_cached_plainly, fn, home, expire, prefix, cache_level)
        return _wrapper(fn, server, adapter, plain)

    return decorate


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
    return None


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


def _rule(prefix: str, level: CacheLevel, declared: Declared, **options: Any) -> KeyRule:
    return KeyRule(prefix, level, declared, **options)


def _refuse_generator(fn: Callable[..., Any]) -> None:
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise TypeError(
            f"{fn.__qualname__} is a generator: its response is a stream, which @cache_response cannot "
            f"store. Take @cache_response away, or cache what it iterates over with @cache_function"
        )

"""`cache_response`: what an endpoint answered is sent again, as bytes, to everybody who asks the same."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

from ..caching.cache import Cache
from ..caching.cache import cache as default_cache
from ..caching.calls.level import CacheLevel, Expire

if TYPE_CHECKING:
    from datetime import timedelta

    from .messages import AdapterFactory
    from .options import Stale

__all__ = ["ResponseDecorator", "cache_response"]

P = ParamSpec("P")
R = TypeVar("R")


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
    tags: str | Iterable[str] | Callable[..., Iterable[str]] = (),
    ignore: Iterable[str] = (),
    vary: Iterable[str] | None = None,
    params: Iterable[str] | None = None,
    public: bool = False,
    identity: Callable[[Any], Hashable] | None = None,
    methods: Iterable[str] | None = None,
    cache_statuses: Iterable[int] = (200, 203, 301, 308),
    max_body: int = 1 << 20,
    max_private_expire: float | timedelta | None = None,
    cache: Cache | None = None,
    adapter: AdapterFactory | None = None,
    expose_status: bool = True,
    honor_client_cache_control: bool = True,
    stale_if_error: Stale = None,
    audit: bool = False,
) -> ResponseDecorator:
    """Cache what an HTTP endpoint answers; put it under the route decorator, directly above the handler.

    The framework runs its guards, dependencies and validation first, on a hit too. What is stored is what
    would be sent, once through the route's response model. ``Set-Cookie`` is never stored, nor is an error,
    a stream, a response with ``no-store``, or one for a single person under a key that does not name them.

    A request with credentials (Authorization, a cookie, a security scheme of the route) gets entries of its
    own, or at ``CacheLevel.LOW`` none. Where a guard (a dependency) takes the whole request, every header that
    is not known to be the transport's counts as credentials, since the guard may tell people apart by it. A handler
    that does so itself, by a header which it reads without declaring it, must name that header in ``vary``.

    Args:
        expire: Seconds or a timedelta; None is never. By default the level's own: 60, 300 or 3600 s. The
            response's ``s-maxage``, ``max-age`` or ``Expires`` may shorten it.
        prefix: How keys begin, for ``cache.clear("prefix*")``; by default the handler's module and name.
        cache_level: How much of the request's surroundings is in the key.
        key: Called with the handler's own arguments; what it returns replaces query and arguments in the key.
        tags: By which `Cache.clear_tags` drops responses: texts such as "user:{user_id}", filled in from the handler's
            arguments, or a function of them. The handler may add some by ``current_load().tag(...)``.
        ignore: Parameters in the query, headers, cookies or body that are no part of the key.
        vary: Request headers to key by, at every level, beside those that are declared or that responses name in
            ``Vary``. Given, even as ``()``, it says what guards that take the whole request may read.
        params: The only query parameters to key by.
        public: The response is the same whoever asks: credentials are no part of the key, nor of ``Vary``.
        identity: Called with the framework's request; returns who is asking, or None for nobody known. By
            default the surrounding ``scope(principal=...)``, then the credentials themselves.
        methods: Methods to cache. Others run the handler; by default GET, HEAD, POST and QUERY are cached, and
            PUT, PATCH and DELETE refused.
        cache_statuses: Status codes to store.
        max_body: Bytes of the largest body to store.
        max_private_expire: Seconds or a timedelta that an entry lives at most which is for one person: what they may
            see can change. None for as long as ``expire``, and for 300 s where that is not given either.
        cache: Where the entries live; the default cache if None.
        adapter: The framework's adapter class; by default found by the module of the request's class.
        expose_status: Whether to send Cache-Status (RFC 9211), which says if it was a hit.
        honor_client_cache_control: Whether a client may ask for a fresh response with its own Cache-Control; granted
            once a second for each key, so that nobody can make the handler run each time.
        stale_if_error: Seconds or a timedelta after its expiry in which a response is sent where the handler raises
            or answers 500, 502, 503 or 504. A response's own ``stale-if-error`` goes before it.
        audit: Warn, once of each, when the handler reads a header or a cookie that is not in its key. For tests and
            staging: it slows down those requests that run the handler.

    Raises:
        ValueError: ``expire``, ``max_body`` or ``methods`` makes no sense, or ``tags`` name no parameter.
        TypeError: The handler is no function, or a generator, whose stream cannot be stored, or registered already;
            ``identity`` is asynchronous; or another option is of the wrong type.
        UnkeyableArgumentError: At a request, an argument has no value to key by.
        TypeError: At a request, the handler turns out to be a dependency, or to talk over a WebSocket.

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
    from .options import checked  # noqa: PLC0415 - a program without endpoints does without all of it

    options = checked(
        expire=expire, level=cache_level, prefix=prefix, methods=methods, identity=identity, vary=vary, params=params,
        public=public, statuses=cache_statuses, max_body=max_body,
        max_private_expire=max_private_expire, expose_status=expose_status,
        honor_client=honor_client_cache_control, stale_if_error=stale_if_error, key=key, ignore=ignore, audit=audit,
    )  # fmt: skip
    home = default_cache if cache is None else cache
    if not isinstance(home, Cache):
        raise TypeError(f"cache must be a Cache, got {cache!r}")
    if not (adapter is None or callable(adapter)):
        raise TypeError(f"adapter must be an adapter's class, such as StarletteAdapter, got {adapter!r}")

    def decorate(fn: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
        from .endpoint import endpoint  # noqa: PLC0415 - likewise

        if not hasattr(fn, "__globals__"):
            raise TypeError(f"@cache_response must stand directly above a function or method, got {fn!r}")
        _refuse_generator(fn)
        return endpoint(fn, home, adapter, options, tags)

    return decorate


def _refuse_generator(fn: Callable[..., Any]) -> None:
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise TypeError(
            f"{fn.__qualname__} is a generator: its response is a stream, which @cache_response cannot "
            f"store. Take @cache_response away, or cache what it iterates over with @cache_function"
        )

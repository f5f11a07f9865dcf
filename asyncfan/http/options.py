"""What can be said of an endpoint or a path, checked."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Hashable, Iterable
from datetime import timedelta
from typing import Any, NamedTuple

from ..caching.calls.level import CacheLevel, Expire, expiry, seconds_of

__all__ = ["METHODS", "Options", "Stale", "checked"]

METHODS = frozenset({"GET", "HEAD", "POST", "QUERY"})
_UNSAFE = frozenset({"PUT", "PATCH", "DELETE"})
_PRIVATE_EXPIRE = 300.0  # seconds: what somebody may see can change

Stale = float | timedelta | None  # seconds that a response is served after it has expired; None: not at all


class Options(NamedTuple):
    """What an endpoint's or a path's requests and responses are judged by."""

    expire: Expire
    level: CacheLevel
    prefix: str | None
    methods: frozenset[str]
    refused: frozenset[str]  # methods that the handler must not be asked for
    identity: Callable[[Any], Hashable] | None
    key: Callable[..., Any] | None
    ignore: frozenset[str]
    vary: tuple[str, ...] | None
    params: tuple[str, ...] | None
    public: bool
    statuses: frozenset[int]
    max_body: int
    max_private_expire: float
    expose_status: bool
    honor_client: bool
    stale_if_error: float
    stale_while_revalidate: float | None  # None: nobody could make a response in the background
    audit: bool


def checked(
    *,
    expire: Expire,
    level: CacheLevel,
    prefix: str | None,
    methods: Iterable[str] | None,
    identity: Callable[[Any], Hashable] | None,
    vary: Iterable[str] | None,
    params: Iterable[str] | None,
    public: bool,
    statuses: Iterable[int],
    max_body: int,
    max_private_expire: float | timedelta | None,
    expose_status: bool,
    honor_client: bool,
    stale_if_error: Stale,
    stale_while_revalidate: Stale = None,
    renews: bool = False,
    key: Callable[..., Any] | None = None,
    ignore: Iterable[str] = (),
    audit: bool = False,
) -> Options:
    """Return the options, or say where they were written what makes no sense.

    Raises:
        ValueError: A number or a collection makes no sense.
        TypeError: An option is of the wrong type.
    """
    if not isinstance(level, CacheLevel):
        raise TypeError(f"cache_level must be a CacheLevel, got {level!r}")
    expiry(expire, level)
    _check_flags(public=public, expose_status=expose_status, honor_client_cache_control=honor_client, audit=audit)
    if isinstance(max_body, bool) or not isinstance(max_body, int):
        raise TypeError(f"max_body must be an int >= 0, in bytes, got {max_body!r}")
    if max_body < 0:
        raise ValueError(f"max_body must be >= 0 bytes, got {max_body!r}")
    _check_function("identity", identity, "the framework's request")
    _check_function("key", key, "the handler's arguments")
    if inspect.iscoroutinefunction(identity):
        raise TypeError("identity must return who is asking, got an async function, which returns a coroutine")
    wanted = METHODS if methods is None else frozenset(method.upper() for method in _several("methods", methods))
    if not wanted:
        raise ValueError("methods must name at least one method, got none; None means GET, HEAD, POST and QUERY")
    return Options(
        expire, level, prefix, wanted, _UNSAFE if methods is None else frozenset(), identity, key,
        frozenset(_several("ignore", ignore)),
        None if vary is None else _several("vary", vary),
        None if params is None else _several("params", params),
        public,
        frozenset(_several("cache_statuses", statuses, of=int)),
        max_body,
        _private_cap(max_private_expire, expire),
        expose_status, honor_client,
        _stale_seconds("stale_if_error", stale_if_error),
        _stale_seconds("stale_while_revalidate", stale_while_revalidate) if renews else None,
        audit,
    )  # fmt: skip


def _check_flags(**flags: Any) -> None:
    for name, flag in flags.items():
        if not isinstance(flag, bool):  # a text from a configuration, such as "false", would count as True
            raise TypeError(f"{name} must be True or False, got {flag!r}")


def _check_function(name: str, function: Any, of: str) -> None:
    if not (function is None or callable(function)):
        raise TypeError(f"{name} must be a function of {of}, got {function!r}")


def _several(name: str, values: Any, of: type = str) -> tuple[Any, ...]:
    if isinstance(values, str):  # its letters would be the names
        raise TypeError(f"{name} must be several names, such as ({values!r},), got {values!r}")
    found = tuple(values) if isinstance(values, Iterable) else (None,)
    if not all(isinstance(value, of) for value in found):
        what = "names, such as ('page',)" if of is str else "numbers, such as (200, 404)"
        raise TypeError(f"{name} must be several {what}, got {values!r}")
    return found


def _private_cap(value: float | timedelta | None, expire: Expire) -> float:
    if value is not None:
        return seconds_of(value, "max_private_expire", none=", or None for as long as a given expire")
    return _PRIVATE_EXPIRE if expire is ... else math.inf


def _stale_seconds(name: str, value: Stale) -> float:
    return 0.0 if value is None else seconds_of(value, name, none=", or None for not at all")

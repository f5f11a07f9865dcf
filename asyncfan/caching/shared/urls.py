"""From a URL to the store that it names."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from typing import Any

from .protocol import Store

__all__ = ["open_store"]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")

# {scheme: module and class}; others register theirs as entry points of the group "asyncfan.stores"
_REDIS = "asyncfan.adapters.redis:RedisStore"
SCHEMES: dict[str, str] = dict.fromkeys(("redis", "rediss", "redis+cluster", "rediss+cluster", "unix"), _REDIS)


def open_store(url: str, **options: Any) -> Store:
    """Return the store at ``url``; it connects when it is used.

    Args:
        url: Its scheme says of what make the store is; the store says what else it means.
        **options: The store's own.

    Raises:
        ValueError: There is no scheme, or no store has it.
        ImportError: What it takes is not installed.

    Example:
        >>> open_store("memcached://cache.example")
        Traceback (most recent call last):
            ...
        ValueError: no store is known for 'memcached://': there are redis, rediss, redis+cluster, ...
    """
    scheme, found_scheme, _ = url.partition("://")
    if not found_scheme or not _SCHEME.fullmatch(scheme):
        raise ValueError('a store\'s URL (not shown: it may hold a password) is such as "redis://localhost:6379/0"')
    path = SCHEMES.get(scheme) or _registered().get(scheme)
    if path is None:
        known = ", ".join([*SCHEMES, *_registered()])
        raise ValueError(f"no store is known for '{scheme}://': there are {known}")
    module, _, name = path.partition(":")
    try:
        found: Store = getattr(importlib.import_module(module), name)(url, **options)
    except ModuleNotFoundError as error:
        if error.name != "redis":
            raise
        raise ImportError(f"a store at {scheme}:// needs redis-py: pip install 'asyncfan[redis]'") from error
    return found


def _registered() -> dict[str, str]:
    return {entry.name: entry.value for entry in importlib.metadata.entry_points(group="asyncfan.stores")}

"""Never making the same call twice.

calls/      what is the same call, and a hit: keys, levels, the compiled wrapper
freshness/  how long a value lives
loads/      a miss: find, join or start; load; fence; store; every waiter
many/       many values, and values by a key of the user's own
clears/     what is cleared, and how it is found
memory/     the values that this process keeps, within bounds
shared/     the tier behind it, which processes share

operation   `Operation`: all of these, for one function or endpoint
cache       `Cache`: what functions share
stats       what was counted
explain     what is known of one call, and why it is or is not stored
listening   what is done here when another process says that it cleared something
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .cache import Cache, cache
from .calls.keys import escape, key_text, register_key
from .calls.level import CacheLevel, Expire, expiry
from .clears.cleared import Cleared
from .freshness.load import Load, current_load
from .freshness.options import CacheOptions, FreshnessOptions
from .loads.register import MISSING, Missing
from .operation import Loaded, Operation

if TYPE_CHECKING:
    from .calls.wrappers import AsyncCached, Cached, CachedGenerator, CacheInfo
    from .explain import Explanation, KeyPart
    from .freshness.adaptive import AdaptiveExpire, Decision, ExpireController
    from .stats import CacheStats, FunctionStats

_SELDOM = {
    name: module
    for module, names in {
        ".freshness.adaptive": ("AdaptiveExpire", "Decision", "ExpireController"),
        ".explain": ("Explanation", "KeyPart"),
        ".stats": ("CacheStats", "FunctionStats"),
        ".calls.wrappers": ("AsyncCached", "CacheInfo", "Cached", "CachedGenerator"),
    }.items()
    for name in names
}

__all__ = [
    "MISSING",
    "AdaptiveExpire",
    "AsyncCached",
    "Cache",
    "CacheInfo",
    "CacheLevel",
    "CacheOptions",
    "CacheStats",
    "Cached",
    "CachedGenerator",
    "Cleared",
    "Decision",
    "Expire",
    "ExpireController",
    "Explanation",
    "FreshnessOptions",
    "FunctionStats",
    "KeyPart",
    "Load",
    "Loaded",
    "Missing",
    "Operation",
    "cache",
    "current_load",
    "escape",
    "expiry",
    "key_text",
    "register_key",
]


def __getattr__(name: str) -> Any:  # as the face does
    if name not in _SELDOM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_SELDOM[name], __name__), name)

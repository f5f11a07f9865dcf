"""Never making the same call twice.

keys.py        the text of a value, by which calls are the same
level.py       how much of the surroundings is in a key
compiling.py   a hit: the cached function, compiled from the user's signature
call_keys.py   from the looked-up key to the stored one
functions.py   `cache_function`: made of the three above
methods.py     the same in a class body: the instance is filled in
wrappers.py    what it makes of a function, for type checkers and readers
register.py    what may be served and joined, unless it was cleared
clearing.py    clearing it, at once or in small steps
options.py     what a cached function can be told, checked
freshness.py   the same, made ready: how long a value lives
adaptive.py    `AdaptiveExpire`: an expiry that follows what loads measure
aging.py       an entry that may be of use after it has expired
operation.py   a miss: find, join or start; load; fence; store; every waiter
tiering.py     what surrounds a load where processes share a tier
looking.py     many keys looked for in it, before any is loaded
many.py        `many`: calls that differ in their first argument
batches.py     one load of several keys, each with its own flight
items.py       `get_or_set`: values by a key of the user's own
explain.py     what is known of one call, and why it is or is not stored
limits.py      a load's time and place in a limiter
generators.py  async generators: one run, recorded for all who consume it
load.py        `current_load`: what a load says of its own value
flights.py     one load in progress and who waits for it
patterns.py    what a clear names, and what was cleared since
index.py       entries by their texts
tags.py        entries by their tags, and which tags were cleared
cleared.py     `Cleared`: what a clear returns
store.py       takes entries in, drops what is expired or cleared in small steps
order.py       one stored value, and what keeps the stored ones within bounds
policies.py    which of them goes first: the choice, LFU and S3-FIFO
recency.py     LRU
mapped.py      whatever order a mapping of the user's keeps
ring.py        a list linked through its items
weighing.py    how many bytes a value holds
stats.py       what was counted
cache.py       `Cache`: the bounds and clears that functions share
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .adaptive import AdaptiveExpire, Decision, ExpireController
from .cache import Cache, cache
from .cleared import Cleared
from .keys import escape, key_text, register_key
from .level import CacheLevel, Expire, expiry
from .load import Load, current_load
from .operation import Loaded, Operation
from .options import CacheOptions, FreshnessOptions
from .register import MISSING, Missing
from .wrappers import AsyncCached, Cached, CachedGenerator, CacheInfo

if TYPE_CHECKING:
    from .explain import Explanation, KeyPart
    from .stats import CacheStats, FunctionStats

_SELDOM = dict.fromkeys(("CacheStats", "FunctionStats"), ".stats") | dict.fromkeys(
    ("Explanation", "KeyPart"), ".explain"
)

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

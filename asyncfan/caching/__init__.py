"""Never making the same call twice.

What is the same call, and a hit
    keys                 the text of a value, by which calls are the same
    level                how much of the surroundings is in a key
    compiling            a hit: the cached function, compiled from the user's signature
    call_keys            from the looked-up key to the stored one
    callables            what can be cached, and what it is called
    functions            `CachedFunction`: made of those above
    generator_functions  the same of an async generator
    decorating           `cache_function`: from what was said to the wrapper
    methods              the same in a class body: the instance is filled in
    wrappers             what it makes of a function, for type checkers and readers

How long a value lives
    options              what a cached function can be told, checked
    freshness            the same, made ready
    adaptive             `AdaptiveExpire`: an expiry that follows what loads measure
    aging                an entry that may be of use after it has expired
    load                 `current_load`: what a load says of its own value

A miss: find, join or start; load; fence; store; every waiter
    register             what may be served and joined, unless it was cleared
    flights              one load in progress and who waits for it
    boarding             how a miss begins and ends, wherever its load runs
    storing              what a load came to, and what is stored of it
    task_loads           a load in a task of its own: async functions
    thread_loads         in a thread: plain functions
    leader_loads         in its first caller's own task: request handlers
    operation            `Operation`: all of these, for one function or endpoint
    eager                a task whose first step runs at once
    limits               a load's time and place in a limiter
    tiering              what surrounds a load where processes share a tier
    looking              many keys looked for in it, before any of them is loaded
    generators           async generators: one run, recorded for all who consume it

Many values, and values by a key of the user's own
    many                 `many`: calls that differ in their first argument
    batches              the values of several keys for one caller
    batch_loads          one load of several keys, each with its own flight
    items                `get_or_set`
    item_batches         the loads of `get_or_set_many`
    item_keys            the text of a user's key

Clears
    patterns             what a clear names, and what was cleared since
    index                entries by their texts
    tags                 entries by their tags, and which tags were cleared
    clearing             clearing one operation, at once or in small steps
    invalidation         the clears of a whole cache
    cleared              `Cleared`: what a clear returns

Bounds
    store                takes entries in, drops what is expired or cleared in small steps
    order                one stored value, and what keeps the stored ones within bounds
    policies             which of them goes first: the choice
    recency              LRU
    bounded              what the next two have in common
    frequency            LFU
    queues               S3-FIFO
    ghosts               what it remembers of what it dropped
    s3fifo               the same as one of cachetools' classes
    mapped               whatever order a mapping of the user's keeps
    ring                 a list linked through its items
    weighing             how many bytes a value holds

The whole
    cache                `Cache`: what functions share
    stats                what was counted
    explain              what is known of one call, and why it is or is not stored
    shared/              the tier behind memory that processes share
    listening            what is done here when another process says that it cleared something
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .cache import Cache, cache
from .cleared import Cleared
from .keys import escape, key_text, register_key
from .level import CacheLevel, Expire, expiry
from .load import Load, current_load
from .operation import Loaded, Operation
from .options import CacheOptions, FreshnessOptions
from .register import MISSING, Missing

if TYPE_CHECKING:
    from .adaptive import AdaptiveExpire, Decision, ExpireController
    from .explain import Explanation, KeyPart
    from .stats import CacheStats, FunctionStats
    from .wrappers import AsyncCached, Cached, CachedGenerator, CacheInfo

_SELDOM = {
    name: module
    for module, names in {
        ".adaptive": ("AdaptiveExpire", "Decision", "ExpireController"),
        ".explain": ("Explanation", "KeyPart"),
        ".stats": ("CacheStats", "FunctionStats"),
        ".wrappers": ("AsyncCached", "CacheInfo", "Cached", "CachedGenerator"),
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

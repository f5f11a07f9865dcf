"""asyncfan: run many async calls at once, join the ones that can be one, and never make the same call twice.

parallel_processor, cache_decorators   the two doors: the classes and decorators under the names that guides use
fanout/     many calls at once          batching/   chunks of items, one gate in front of a backend
caching/    keys, entries, flights      http/       requests and responses, without any framework
adapters/   one thin file a framework   context     what they share: scopes and deadlines
metrics     histograms and snapshots    testing     clocks, loops and stores for our users' own tests
Each room's __init__ says what its files are for; imports point from the last of these to the first, never back.
"""

from .cache_decorators import CacheLevel, cache, cache_function, cache_response
from .caching import (
    MISSING,
    AdaptiveExpire,
    AsyncCached,
    Cache,
    Cached,
    CacheInfo,
    CacheOptions,
    CacheStats,
    Cleared,
    Load,
    current_load,
    escape,
    register_key,
)
from .context import current_scope, scope, time_left
from .exceptions import (
    AsyncfanError,
    AttemptTimeoutError,
    DeadlineExceededError,
    RecursiveLoadError,
    SelfCancelledError,
    UnkeyableArgumentError,
)
from .fanout import Limiter, Outcome, ProcessorStats, amap, astream, gather, in_thread, on_loop
from .parallel_processor import AsyncQueryBatcher, DataBatcher, ParallelProcessor

__all__ = [
    "MISSING",
    "AdaptiveExpire",
    "AsyncCached",
    "AsyncQueryBatcher",
    "AsyncfanError",
    "AttemptTimeoutError",
    "Cache",
    "CacheInfo",
    "CacheLevel",
    "CacheOptions",
    "CacheStats",
    "Cached",
    "Cleared",
    "DataBatcher",
    "DeadlineExceededError",
    "Limiter",
    "Load",
    "Outcome",
    "ParallelProcessor",
    "ProcessorStats",
    "RecursiveLoadError",
    "SelfCancelledError",
    "UnkeyableArgumentError",
    "amap",
    "astream",
    "cache",
    "cache_function",
    "cache_response",
    "current_load",
    "current_scope",
    "escape",
    "gather",
    "in_thread",
    "on_loop",
    "register_key",
    "scope",
    "time_left",
]

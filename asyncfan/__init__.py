"""asyncfan: run many async calls at once, join the ones that can be one, and never make the same call twice.

parallel_processor, cache_decorators   the two doors: the classes and decorators under the names that guides use
fanout/     many calls at once          batching/   chunks of items, single calls joined, a gate for queries
caching/    keys, entries, flights      http/       requests and responses, without any framework
adapters/   one thin file a framework   context     what they share: scopes and deadlines
metrics     histograms and snapshots    crowd       what they share: who of a fan-out waits for a batch
climbing    how limits and sizes that find themselves take their steps
testing     clocks, loops and stores for our users' own tests
Each room's __init__ says what its files are for; imports point from the last of these to the first, never back.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .cache_decorators import CacheLevel, cache, cache_function, cache_response
from .caching import (
    MISSING,
    Cache,
    CacheOptions,
    Cleared,
    Load,
    current_load,
    escape,
    register_key,
)
from .caching.shared.codec.register import register_codec
from .context import current_scope, scope, time_left
from .exceptions import (
    AsyncfanError,
    AttemptTimeoutError,
    BatchResultError,
    DeadlineExceededError,
    DependencyFailedError,
    LaggingConsumerError,
    MissingKeyError,
    RecursiveLoadError,
    ScopeEndedError,
    SelfCancelledError,
    UnkeyableArgumentError,
    UnsendableError,
    UnstorableValueError,
)
from .fanout import Limiter, Outcome, amap, astream, gather, in_thread, on_loop
from .parallel_processor import AsyncQueryBatcher, DataBatcher, ParallelProcessor

if TYPE_CHECKING:
    from .batching.adaptive import AdaptiveBatchSize
    from .batching.decorator import batched
    from .batching.stats import LoaderStats
    from .batching.wrappers import Batched
    from .caching.calls.wrappers import AsyncCached, Cached, CachedGenerator, CacheInfo
    from .caching.explain import Explanation, explain
    from .caching.freshness.adaptive import AdaptiveExpire
    from .caching.stats import CacheStats
    from .fanout.adaptive import AdaptiveLimit
    from .fanout.budget import RetryBudget
    from .fanout.hedge import Hedge
    from .fanout.into import gather_into
    from .fanout.retry import Retry
    from .fanout.stats import ProcessorStats

# what few programs use is loaded when it is used: importing asyncfan takes a tenth less time
_SELDOM = {
    "AdaptiveBatchSize": ".batching.adaptive",
    "AdaptiveExpire": ".caching.freshness.adaptive",
    "AdaptiveLimit": ".fanout.adaptive",
    "AsyncCached": ".caching.calls.wrappers",
    "Batched": ".batching.wrappers",
    "CacheInfo": ".caching.calls.wrappers",
    "CacheStats": ".caching.stats",
    "Cached": ".caching.calls.wrappers",
    "CachedGenerator": ".caching.calls.wrappers",
    "Explanation": ".caching.explain",
    "Hedge": ".fanout.hedge",
    "LoaderStats": ".batching.stats",
    "ProcessorStats": ".fanout.stats",
    "Retry": ".fanout.retry",
    "RetryBudget": ".fanout.budget",
    "batched": ".batching.decorator",
    "explain": ".caching.explain",
    "gather_into": ".fanout.into",
}

__all__ = [
    "MISSING",
    "AdaptiveBatchSize",
    "AdaptiveExpire",
    "AdaptiveLimit",
    "AsyncCached",
    "AsyncQueryBatcher",
    "AsyncfanError",
    "AttemptTimeoutError",
    "BatchResultError",
    "Batched",
    "Cache",
    "CacheInfo",
    "CacheLevel",
    "CacheOptions",
    "CacheStats",
    "Cached",
    "CachedGenerator",
    "Cleared",
    "DataBatcher",
    "DeadlineExceededError",
    "DependencyFailedError",
    "Explanation",
    "Hedge",
    "LaggingConsumerError",
    "Limiter",
    "Load",
    "LoaderStats",
    "MissingKeyError",
    "Outcome",
    "ParallelProcessor",
    "ProcessorStats",
    "RecursiveLoadError",
    "Retry",
    "RetryBudget",
    "ScopeEndedError",
    "SelfCancelledError",
    "UnkeyableArgumentError",
    "UnsendableError",
    "UnstorableValueError",
    "amap",
    "astream",
    "batched",
    "cache",
    "cache_function",
    "cache_response",
    "current_load",
    "current_scope",
    "escape",
    "explain",
    "gather",
    "gather_into",
    "in_thread",
    "on_loop",
    "register_codec",
    "register_key",
    "scope",
    "time_left",
]


def __getattr__(name: str) -> Any:
    if name not in _SELDOM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_SELDOM[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

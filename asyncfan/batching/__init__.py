"""Items in batches (`data_batcher`, `chunks`), a gate for queries (`query_batcher`, `flight`), and loaders.

decorator    `batched`                      wrappers    what it makes, in types
loader       callers and their keys         quick       the short way of a caller
queue        what waits and runs in a loop  batch       many keys that travel together
dispatch     when an open batch is sent     asking      the calls of the function
answers      what it returned, key by key   failure     an exception on its way to callers
bisecting    which keys make a batch fail   meter       counts what is done; stats: what it shows
adaptive     what finds a batch size        adapting    the same at work
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .data_batcher import DataBatcher
from .query_batcher import AsyncQueryBatcher

if TYPE_CHECKING:
    from .answers import Answers
    from .decorator import BatchedFunction, batched
    from .stats import LoaderStats
    from .wrappers import Batched, BatchedMethod

# loaders are loaded when one is made: importing asyncfan takes a twentieth less time
_SELDOM = {
    "Answers": ".answers",
    "Batched": ".wrappers",
    "BatchedFunction": ".decorator",
    "BatchedMethod": ".wrappers",
    "LoaderStats": ".stats",
    "batched": ".decorator",
}

__all__ = [
    "Answers",
    "AsyncQueryBatcher",
    "Batched",
    "BatchedFunction",
    "BatchedMethod",
    "DataBatcher",
    "LoaderStats",
    "batched",
]


def __getattr__(name: str) -> Any:  # as the face does
    if name not in _SELDOM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_SELDOM[name], __name__), name)

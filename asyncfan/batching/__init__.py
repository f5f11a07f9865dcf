"""Items in batches (`data_batcher`, `chunks`), a gate for queries (`query_batcher`, `flight`), and loaders.

batched      the decorator                  wrappers    what it makes, in types
loader       callers and their keys         quick       the short way of a caller
queue        what waits and runs in a loop  batch       many keys that travel together
dispatch     when an open batch is sent     asking      the calls of the function
answers      what it returned, key by key   failure     an exception on its way to callers
adaptive     what finds a batch size     adapting    the same at work
bisecting    which keys make a batch fail   stats       what was done so far
"""

from .answers import Answers
from .batched import BatchedFunction, batched
from .data_batcher import DataBatcher
from .query_batcher import AsyncQueryBatcher
from .stats import LoaderStats
from .wrappers import Batched, BatchedMethod

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

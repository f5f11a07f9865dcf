"""Items in batches (`data_batcher`, `chunks`), a gate for queries (`query_batcher`, `flight`), and loaders.

batched      the decorator                  wrappers    what it makes, in types
loader       keys in, outcomes out          queue       what waits and runs in one loop
batch        one call for many keys         load        one key for many callers
dispatch     when an open batch is sent     answers     what the function returned, key by key
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

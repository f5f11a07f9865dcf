"""Running many calls at once.

calling      how a function of the user's is called        crew       the tasks of one run
offload      threads and executors                         run        its books: outcomes, failures, the verdict
outcome      what became of one item                       worker     the inner loop
limiter      limits shared between calls                   stream     results while they come
stats        what a processor has seen                     processor  the class; functions: the same without it
"""

from .calling import in_thread, on_loop
from .functions import amap, astream, gather
from .limiter import Limiter
from .outcome import Outcome
from .processor import ParallelProcessor
from .stats import ProcessorStats
from .stream import Stream

__all__ = [
    "Limiter",
    "Outcome",
    "ParallelProcessor",
    "ProcessorStats",
    "Stream",
    "amap",
    "astream",
    "gather",
    "in_thread",
    "on_loop",
]

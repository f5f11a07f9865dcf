"""Running many calls at once.

calling      how a function of the user's is called (offload: in threads and executors)
worker       the inner loop; crew: the tasks of one run; run: its books, from outcomes to the verdict
named        a task each; stream: results while they come; source: where items come from
limiter      limits shared between calls
adaptive     what finds a limit; adapting: the same at work in runs and limiters
stats        what a processor has seen
signatures   the types of what it takes
processor    the class; functions: the same without it
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

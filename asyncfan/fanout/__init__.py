"""Running many calls at once.

calling      how a function of the user's is called (offload: in threads and executors; sending: what goes wrong there)
chunked      many items in one call there (parcel: what travels)
worker       the inner loop; crew: the tasks of one run; run: its books, from outcomes to the verdict
named        a task each; graph: tasks that wait for others, by what `dependencies` finds in their parameters
stream       results while they come; source: where items come from
limiter      limits shared between calls
adaptive     what finds a limit; adapting: the same at work in runs and limiters
layers       what is put around one call; in_time, retry (with budget and retry_after) and hedge (with race and pace)
policy       how many must succeed; notes: what is told of an error
meter        counts what a processor does; stats: what it shows of that
signatures   the types of what it takes
processor    the class; functions: the same without it; into: results as a class
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .calling import in_thread, on_loop
from .functions import amap, astream, gather
from .limiter import Limiter
from .outcome import Outcome
from .processor import ParallelProcessor
from .stream import Stream

if TYPE_CHECKING:
    from .into import gather_into
    from .stats import ProcessorStats

_SELDOM = {"ProcessorStats": ".stats", "gather_into": ".into"}

__all__ = [
    "Limiter",
    "Outcome",
    "ParallelProcessor",
    "ProcessorStats",
    "Stream",
    "amap",
    "astream",
    "gather",
    "gather_into",
    "in_thread",
    "on_loop",
]


def __getattr__(name: str) -> Any:  # as the face does
    if name not in _SELDOM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_SELDOM[name], __name__), name)

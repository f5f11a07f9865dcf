"""`Operation`: what is cached of one function or endpoint, and the ways through a miss.

find or join or start -> load -> fence -> store -> every waiter.
"""

from __future__ import annotations

from .loads.leader_loads import LeaderLoads, Loaded
from .loads.thread_loads import ThreadLoads

__all__ = ["Loaded", "Operation"]


class Operation(ThreadLoads, LeaderLoads):
    """Entries, flights and counters of one cached function or endpoint, and the ways through a miss.

    Values belong to the process, a load to the event loop or thread of its first caller.
    """

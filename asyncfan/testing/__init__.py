"""What our users test with.

virtual_time.py   a clock moved by hand, an event loop whose time jumps, gates that make order
memory_store.py   a server of the shared tier inside this process
failing_store.py  the same, or a real one, that fails, delays, freezes and loses messages as it is told to
"""

from .failing_store import FailingStore
from .memory_store import MemoryStore
from .virtual_time import DeadlockError, Gate, ManualClock, VirtualTimeLoop, run

__all__ = ["DeadlockError", "FailingStore", "Gate", "ManualClock", "MemoryStore", "VirtualTimeLoop", "run"]

"""The tier behind memory, which processes share.

tier.py        the tier: values that none of the processes has cleared
reading.py     reads values from the server and refuses what was cleared
claiming.py    asks for the right to load, and waits while another process has it
leases.py      that right, renewed while the load runs
outbox.py      invalidations on their way to the server
rounds.py      what of them goes together, and who waits for it
unsent.py      what of them the server may not have heard of: refused here until it has
putting.py     a value on its way to the server
reclaiming.py  takes cleared values out of the server
clears.py      what this process knows of the server's clears
bus.py         listens for what other processes invalidate
messages.py    what they tell one another
portal.py      the event loop of its own that a tier sends and listens in, and the WSGI middleware waits in
tier_stats.py  what a tier counted

protocol.py    what a server must be able to do
server/        the way to it, and back: deadlines, a breaker, many commands together
urls.py        which store a URL is of

envelope.py    what a value travels in: checksum, key, age, stamp
codec/         how a value becomes bytes: JSON with types, and pickle
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .codec.as_json import Json
    from .codec.as_pickle import UnsafePickle
    from .reading import Coding
    from .tier import SharedTier

__all__ = ["Coding", "Json", "SharedTier", "UnsafePickle"]

_MODULES = {"Coding": "reading", "Json": "codec.as_json", "SharedTier": "tier", "UnsafePickle": "codec.as_pickle"}


def __getattr__(name: str) -> Any:
    """Load what is asked for: a cache without a store loads nothing of the tier."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)

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
asking.py      asks it, and takes every failure for the same
guard.py       keeps a server that is gone, frozen or slow from slowing anybody down
deadline.py    for an answer; our own event loop being busy does not use it up
courier.py     takes the commands of all callers to the server together
joining.py     makes of their questions one
turns.py       who goes next: what was begun is ended before more is begun
per_loop.py    what each event loop has one of: its connections

envelope.py    what a value travels in: checksum, key, age, stamp
codec.py       how a value becomes bytes: JSON with types; codec_*.py are its parts, and pickle
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .codec import Json
    from .codec_pickle import UnsafePickle
    from .reading import Coding
    from .tier import SharedTier

__all__ = ["Coding", "Json", "SharedTier", "UnsafePickle"]

_MODULES = {"Coding": "reading", "Json": "codec", "SharedTier": "tier", "UnsafePickle": "codec_pickle"}


def __getattr__(name: str) -> Any:
    """Load what is asked for: a cache without a store loads nothing of the tier."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)

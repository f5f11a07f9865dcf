"""Frameworks whose handlers may send their response by themselves, such as events without an end, while they run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..caching.loads.leader_loads import unsharing

__all__ = ["unshared_from"]


@contextmanager
def unshared_from(sender: Any, name: str) -> Iterator[None]:
    """Run a handler; from when it calls ``sender.name``, nobody waits for it any more: a stream is its client's own."""
    real, unshare = getattr(sender, name), unsharing()
    own = vars(sender).get(name) if hasattr(sender, "__dict__") else real

    def told(*args: Any, **kwargs: Any) -> Any:
        unshare()
        return real(*args, **kwargs)

    object.__setattr__(sender, name, told)
    try:
        yield
    finally:
        if getattr(sender, name) is told:  # a sender may put another one in its place with each part
            object.__delattr__(sender, name)
            if own is not None:
                object.__setattr__(sender, name, own)

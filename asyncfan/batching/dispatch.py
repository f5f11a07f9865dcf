"""When an open batch is sent, if it does not become full before: the three rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from ..crowd import Crowd

if TYPE_CHECKING:
    from .batch import Batch

__all__ = ["BACKSTOP", "RULES", "Rule", "send_when_all_wait"]

Rule = Literal["quiet", "scope", "tick"]

BACKSTOP = 0.05  # seconds: items may wait for each other, so that they never all wait for loaders
_STILL = 2  # passes of the loop without a new key after which a queue is quiet
_PASSES = 200  # passes after which a batch is sent even if every one brought a key


def _tick(batch: Batch) -> None:
    """Send in the next pass of the loop: DataLoader's rule."""
    batch.queue.loop.call_soon(batch.send)


def _quiet(batch: Batch) -> None:
    """Send when no key has come for some passes of the loop.

    Where callers are a few steps apart, as all are who do different things first, the rule above sends many
    small batches: with 0 to 20 steps between them, 15 times as many.
    """
    if not batch.polled:
        batch.polled = True
        batch.queue.loop.call_soon(_look, batch, 0, 0, _PASSES)


def _look(batch: Batch, seen: int, still: int, left: int) -> None:
    came = len(batch.waiters)
    still = still + 1 if came == seen else 0
    if still >= _STILL or not left:
        batch.send()
    elif batch.queue.open is batch:
        batch.queue.loop.call_soon(_look, batch, came, still, left - 1)


def _scope(_: Batch) -> None:
    """Leave it to `send_when_all_wait`: who waits is not known yet."""


def send_when_all_wait(batch: Batch, crowd: Crowd | None) -> None:
    """Send when all items of the fan-out wait for a loader (Haxl's rule); as ``quiet`` for others than items.

    Marlow et al., "There is no Fork: an Abstraction for Efficient, Concurrent, and Concise Data Access", 2014.
    """
    if batch.task is not None:
        return
    if crowd is None:
        _quiet(batch)
        return
    outermost = crowd.outermost
    batch.watched_by[outermost] = None
    outermost.due[batch.send] = None


RULES: dict[str, Callable[[Batch], None]] = {"quiet": _quiet, "scope": _scope, "tick": _tick}

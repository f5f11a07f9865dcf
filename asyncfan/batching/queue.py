"""What waits and runs of one loader in one event loop: the batch that is open, those that were sent, their keys."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..context import since
from .batch import Batch, Waiter

if TYPE_CHECKING:
    from .loader import Loader

__all__ = ["Queue"]


class Queue:
    """The keys of one loader, in one loop, of one instance and one group, that may travel together.

    It is there only while it has something to do, and keeps its loop and its instance no longer.
    """

    __slots__ = ("batches", "instance", "loader", "loads", "loop", "open", "place")

    def __init__(self, loader: Loader, place: Hashable, loop: asyncio.AbstractEventLoop, instance: Any) -> None:
        self.loader: Loader = loader
        self.place: Hashable = place
        self.loop: asyncio.AbstractEventLoop = loop
        self.instance: Any = instance  # of a method
        self.loads: dict[Hashable, Batch] = {}  # {identity: Batch} of what was sent, if a further caller may join it
        self.open: Batch | None = None  # the batch that gathers keys; None: the next key begins one
        self.batches: set[Batch] = set()  # those that were sent and have not ended

    def enter(self, key: Any, identity: Hashable) -> tuple[Batch, Waiter]:
        """Let a caller wait for ``key``; the batch that it makes full is sent."""
        loader, batch = self.loader, self.open
        if batch is not None and identity in batch.waiters:
            loader.meter.joined += 1
            return batch, batch.join(identity)
        if self.loads and (sent := self.loads.get(identity)) is not None and sent.began >= since():
            loader.meter.joined += 1
            return sent, sent.join(identity)
        if loader.weight is not None:
            batch = self._with_room_for(batch, loader.weigh(key))
        if batch is None:
            batch = self._begin()
        waiter = batch.waiters[identity] = self.loop.create_future()
        if loader.key is not None:
            batch.keys[identity] = key
        if len(batch.waiters) >= loader.max_batch_size:
            batch.send()
        return batch, waiter

    def _with_room_for(self, batch: Batch | None, weight: float) -> Batch:
        if batch is not None and batch.weight + weight > self.loader.max_batch_weight:
            batch.send()
            batch = None
        batch = batch or self._begin()
        batch.weight += weight  # for good: what a key weighed that nobody wants any more is not remembered
        return batch

    def _begin(self) -> Batch:
        queues = self.loader.queues
        for oldest in list(queues.values())[:1]:
            if oldest.loop.is_closed():  # it died with work to do
                queues.pop(oldest.place, None)
        queues[self.place] = self
        batch = self.open = Batch(self)
        self.loader.dispatch(batch)
        if self.loader.max_delay is not None:
            batch.timer = self.loop.call_later(self.loader.max_delay, batch.send)
        return batch

    def clear_soon(
        self, here: asyncio.AbstractEventLoop | None, identity: Hashable | None, *, everything: bool
    ) -> None:
        """Let nobody join a load that has begun: now, or from another thread as soon as the loop comes to it."""
        if self.loop is here:
            self._clear(identity, everything)
            return
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self._clear, identity, everything)

    def _clear(self, identity: Hashable | None, everything: bool) -> None:  # noqa: FBT001 - for call_soon
        if everything:
            self.loads.clear()
        else:
            self.loads.pop(identity, None)

    def retire(self) -> None:
        """Be gone if there is nothing left to do."""
        if self.open is None and not self.batches and self.loader.queues.get(self.place) is self:
            del self.loader.queues[self.place]

    def __repr__(self) -> str:
        waiting = 0 if self.open is None else len(self.open.waiters)
        return f"<Queue of {self.loader.name} {waiting} waiting, {len(self.batches)} batches running>"

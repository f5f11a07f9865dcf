"""What waits and runs of one loader in one event loop: the batch that is open, those that were sent, their keys."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .batch import Batch

if TYPE_CHECKING:
    from .load import Load
    from .loader import Loader

__all__ = ["Queue"]


class Queue:
    """The keys of one loader, in one loop, of one instance and one group, that may travel together.

    It is there only while it has something to do, and keeps its loop and its instance no longer.
    """

    __slots__ = ("batches", "instance", "loads", "loader", "loop", "open", "place")

    def __init__(self, loader: Loader, place: Hashable, loop: asyncio.AbstractEventLoop, instance: Any) -> None:
        self.loader = loader
        self.place: Hashable = place
        self.loop: asyncio.AbstractEventLoop = loop
        self.instance: Any = instance  # of a method
        self.loads: dict[Hashable, Load] = {}  # {identity: Load}: what a further caller of an equal key joins
        self.open: Batch | None = None  # the batch that gathers keys; None: the next key begins one
        self.batches: set[Batch] = set()  # those that were sent and have not ended

    def add(self, key: Any, identity: Hashable) -> Load:
        """Take a key that nobody waits for yet into the open batch, and send that if it is full."""
        loader = self.loader
        weight = loader.weigh(key)
        batch = self.open
        if batch is not None and batch.weight + weight > loader.max_batch_weight:
            batch.send()
            batch = None
        if batch is None:
            batch = self._begin()
        load = self.loads[identity] = batch.add(key, identity, weight)
        if batch.size >= loader.max_batch_size:
            batch.send()
        return load

    def _begin(self) -> Batch:
        self.loader.queues[self.place] = self
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
        for found in list(self.loads) if everything else [identity]:
            load = self.loads.get(found)
            if load is not None and load.batch.task is not None:
                del self.loads[found]

    def retire(self) -> None:
        """Be gone if there is nothing left to do."""
        if self.open is None and not self.batches and self.loader.queues.get(self.place) is self:
            del self.loader.queues[self.place]

    def __repr__(self) -> str:
        waiting = 0 if self.open is None else self.open.size
        return f"<Queue of {self.loader.name} {waiting} waiting, {len(self.batches)} batches running>"

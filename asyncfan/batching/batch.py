"""One batch: it gathers keys while it is open, asks for all of them in one call, and gives each its outcome."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from ..exceptions import RecursiveLoadError, SelfCancelledError
from .load import DROPPED, PENDING, Load, as_outcome

if TYPE_CHECKING:
    from ..crowd import Crowd
    from .queue import Queue

__all__ = ["Batch", "running_batch"]

# The batch whose call the current context belongs to; None outside of batches.
running_batch: contextvars.ContextVar[Batch | None] = contextvars.ContextVar("asyncfan_batch", default=None)


class Batch:
    """Keys that travel together; owned by those who wait for them: the last one to leave cancels it."""

    __slots__ = ("blocked_on", "crowds", "dead", "loads", "polled", "queue", "task", "timer", "wanted", "weight")

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.loads: list[Load] = []
        self.dead: int = 0  # loads that everybody left while the batch was open: they are not sent
        self.wanted: int = 0  # loads that somebody waits for, once it was sent
        self.weight: float = 0.0
        self.timer: asyncio.TimerHandle | None = None  # sends it after max_delay
        self.polled: bool = False  # whether it is sent when no key comes any more
        self.crowds: dict[Crowd, None] = {}  # the fan-outs that send it when all their items wait
        self.task: asyncio.Task[list[Any]] | None = None  # from when it is sent
        self.blocked_on: list[Batch] = []  # the batches that its own call waits for right now

    @property
    def size(self) -> int:
        """How many keys would be sent."""
        return len(self.loads) - self.dead

    def add(self, key: Any, identity: Hashable, weight: float) -> Load:
        """Take one more key in."""
        load = Load(key, identity, self)
        self.loads.append(load)
        self.weight += weight
        return load

    def send(self) -> None:
        """Ask for the keys that somebody still wants, in a task of its own; nothing if it was sent before."""
        queue = self.queue
        if queue.open is not self:
            return
        self._close()
        loads = [load for load in self.loads if load.outcome is PENDING]
        self.loads = [load for load in loads if not load.is_dead()]
        if len(loads) != len(self.loads):
            self._drop_dead(loads)
        if not self.loads:
            self._retire()
            return
        self.wanted = len(self.loads)
        queue.batches.add(self)
        # An empty context: the batch is no caller's own, and must not act with the credentials of the first.
        self.task = queue.loop.create_task(
            self._run(), name=f"asyncfan:{queue.loader.name}:batch", context=contextvars.Context()
        )
        self.task.add_done_callback(self._ended)

    async def _run(self) -> list[Any]:
        running_batch.set(self)
        return await self.queue.loader.ask(self.queue.instance, [load.key for load in self.loads])

    def drop(self, load: Load) -> asyncio.Task[Any] | None:
        """Take out a load that nobody wants; return the batch's task if it was the last one, and thus cancelled."""
        self._take_out(load)
        if self.task is None or self.wanted or self.task.done():
            return None
        self.task.cancel()
        return self.task

    def answer(self, load: Load, outcome: Any) -> None:
        """Give a load an outcome before its time; a call that is under way goes on, whoever else it is for."""
        self._take_out(load)
        load.settle(outcome)

    def _take_out(self, load: Load) -> None:
        self._forget(load)
        if self.task is not None:
            self.wanted -= 1
            return
        self.dead += 1  # what it weighs still counts: it would take a further field to know
        if not self.size and self.queue.open is self:
            self._close()
            self._retire()

    def _drop_dead(self, loads: list[Load]) -> None:
        for load in loads:
            if load.is_dead():
                load.outcome = DROPPED
                self._forget(load)

    def _close(self) -> None:
        self.queue.open = None
        if self.timer is not None:
            self.timer.cancel()
        for crowd in self.crowds:
            crowd.due.pop(self.send, None)

    def _forget(self, load: Load) -> None:
        if self.queue.loads.get(load.identity) is load:  # cleared, and asked for again: another one
            del self.queue.loads[load.identity]

    def _ended(self, task: asyncio.Task[list[Any]]) -> None:
        outcomes = self._outcomes(task)
        for load, outcome in zip(self.loads, outcomes, strict=True):
            if load.outcome is PENDING:
                self._forget(load)
                load.settle(as_outcome(outcome))
        self.queue.batches.discard(self)
        self._retire()

    def _retire(self) -> None:
        self.loads = []  # they refer to this batch
        self.queue.retire()

    def _outcomes(self, task: asyncio.Task[list[Any]]) -> list[Any]:
        error: BaseException | None
        if task.cancelled():
            error = SelfCancelledError(f"{self} was cancelled, but not because its callers had left")
        else:
            error = task.exception()
        return task.result() if error is None else [error] * len(self.loads)

    def wait_for(self, other: Batch) -> None:
        """Note that the call of this batch waits for ``other``.

        Raises:
            RecursiveLoadError: ``other`` waits, directly or through others, for this one.
        """
        path = other.path_to(self)
        if path is not None:
            raise RecursiveLoadError(tuple(map(str, (self, *path))), "batched call")
        self.blocked_on.append(other)

    def path_to(self, wanted: Batch) -> list[Batch] | None:
        """Return the batches from this one on that wait for one another, up to ``wanted``; None if it is not there."""
        seen: set[Batch] = set()
        paths: list[list[Batch]] = [[self]]
        while paths:
            path = paths.pop()
            last = path[-1]
            if last is wanted:
                return path
            if last not in seen:
                seen.add(last)
                paths += [[*path, then] for then in last.blocked_on]
        return None

    def __str__(self) -> str:
        return f"{self.queue.loader.name}({[load.key for load in self.loads]!r:.60})"

    def __repr__(self) -> str:
        return f"<Batch {self} {'open' if self.task is None else 'sent'}>"

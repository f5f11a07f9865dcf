"""One batch: it gathers keys while it is open, asks for all of them in one call, and gives each its outcome."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from ..context import Kept, inside, invalidations
from ..exceptions import RecursiveLoadError, SelfCancelledError
from .failure import as_failure

if TYPE_CHECKING:
    from ..crowd import Crowd
    from .queue import Queue

__all__ = ["Batch", "Waiter", "running_batch"]

Waiter = asyncio.Future[Any]


class Waiters(dict[Waiter, None]):
    """The waiters of all callers of one key, where it has more than one; to be treated as one."""

    def cancelled(self) -> bool:
        """Say whether all callers have been cancelled."""
        return all(waiter.cancelled() for waiter in self)

    def done(self) -> bool:
        """Say whether none waits any more."""
        return all(waiter.done() for waiter in self)

    def set_result(self, outcome: Any) -> None:
        """Give the outcome to all who still wait."""
        for waiter in self:
            if not waiter.done():
                waiter.set_result(outcome)


class Batch:
    """Keys that travel together; owned by those who wait for them: the last one to leave cancels it.

    Each caller has a waiter of its own for each key; one that leaves takes nothing from the others.
    """

    __slots__ = (
        "began",
        "blocked",
        "blocked_on",
        "keys",
        "polled",
        "queue",
        "sent",
        "task",
        "timer",
        "waiters",
        "watched_by",
        "weight",
    )

    def __init__(self, queue: Queue) -> None:
        self.queue: Queue = queue
        self.began: int = invalidations.count  # when it began to gather; once it is sent, when that was
        self.waiters: dict[Hashable, Waiter | Waiters] = {}  # {identity: its callers'}; of keys that somebody wants
        self.keys: dict[Hashable, Any] = {}  # {identity: key}, if these differ
        self.weight: float = 0.0
        self.timer: asyncio.TimerHandle | None = None  # sends it after max_delay
        self.polled: bool = False  # whether it is sent when no key comes any more
        self.watched_by: dict[Crowd, None] = {}  # the fan-outs that send it when all their items wait
        self.blocked: dict[Waiter, Crowd] = {}  # waiters that are items of a fan-out which counts them
        self.sent: list[Hashable] = []  # the identities of the keys, in the order in which they were sent
        self.task: asyncio.Task[list[Any]] | None = None  # from when it is sent until it has ended
        self.blocked_on: list[Batch] = []  # the batches that its own call waits for right now

    # -- callers ----------------------------------------------------------------------------------------------------

    def join(self, identity: Hashable) -> Waiter:
        """Return a waiter for a key that the batch has already, perhaps one that its callers have left."""
        waiter: Waiter = self.queue.loop.create_future()
        found = self.waiters.get(identity)
        if isinstance(found, Waiters):
            found[waiter] = None
        else:
            self.waiters[identity] = waiter if found is None else Waiters({found: None, waiter: None})
        return waiter

    def leave(self, identity: Hashable, waiter: Waiter) -> asyncio.Task[Any] | None:
        """Take a caller's waiter out; return the batch's task if nobody is left, so that it is cancelled."""
        self.unblock(waiter)
        found = self.waiters.get(identity)
        if isinstance(found, Waiters):
            found.pop(waiter, None)
            if found:
                return None
        elif found is not waiter:  # settled, or not sent because all had been cancelled
            return None
        self._forget(identity)
        if self.waiters or self.task is None or self.task.done() or self.queue.loop.is_closed():
            return None
        self._unlist()
        self.task.cancel()
        return self.task

    def answer(self, identity: Hashable, outcome: Any) -> None:
        """Give a key an outcome before its time; a call that is under way goes on, whoever else it is for."""
        found = self.waiters[identity]
        for waiter in found if isinstance(found, Waiters) else (found,):
            self.unblock(waiter)
        self._forget(identity)
        if not found.done():
            found.set_result(outcome)

    def block(self, waiter: Waiter, crowd: Crowd) -> None:
        """Note that an item of a fan-out waits."""
        self.blocked[waiter] = crowd
        crowd.block()

    def unblock(self, waiter: Waiter) -> None:
        """Note that it no longer does."""
        crowd = self.blocked.pop(waiter, None)
        if crowd is not None:
            crowd.unblock()

    def _forget(self, identity: Hashable) -> None:
        """Note that nobody wants a key any more; an open batch without keys is none."""
        del self.waiters[identity]
        if not self.waiters and self.queue.open is self:
            self._close()
            self.queue.retire()

    # -- the call ---------------------------------------------------------------------------------------------------

    def send(self) -> None:
        """Ask for the keys that somebody still wants, in a task of its own; nothing if it was sent before."""
        queue = self.queue
        if queue.open is not self:
            return
        # their callers have been cancelled and do not know it yet
        for identity in [identity for identity, found in self.waiters.items() if found.cancelled()]:
            self._forget(identity)
        if not self.waiters:
            return
        self._close()
        self.began = invalidations.count
        self.sent = list(self.waiters)
        queue.loads |= dict.fromkeys(self.sent, self)
        queue.batches.add(self)
        # An empty context: the batch is no caller's own, and must not act with the credentials of the first.
        self.task = queue.loop.create_task(
            self._run(), name=f"asyncfan:{queue.loader.name}:batch", context=contextvars.Context()
        )
        self.task.add_done_callback(self._ended)

    async def _run(self) -> list[Any]:
        inside.set(self)
        keys = [self.keys[identity] for identity in self.sent] if self.keys else self.sent.copy()
        return await self.queue.loader.ask(self.queue.instance, keys)

    def _close(self) -> None:
        self.queue.open = None
        if self.timer is not None:
            self.timer.cancel()
        for crowd in self.watched_by:
            crowd.due.pop(self.send, None)

    def _ended(self, task: asyncio.Task[list[Any]]) -> None:
        for crowd in self.blocked.values():  # before the first goes on: see `Crowd.unblock`
            crowd.unblock()
        self.blocked.clear()
        queue, waiters, self.waiters, self.task = self.queue, self.waiters, {}, None  # no cycle through its errors
        queue.batches.discard(self)
        if queue.batches:
            self._unlist()
        else:
            queue.loads.clear()  # all are this batch's
        for identity, outcome in zip(self.sent, self._outcomes(task), strict=True):
            found = waiters.get(identity)
            if found is not None and not found.done():
                found.set_result(as_failure(outcome) if isinstance(outcome, BaseException) else outcome)
        queue.retire()

    def _unlist(self) -> None:
        """Let nobody join any more."""
        loads = self.queue.loads
        for identity in self.sent:
            if loads.get(identity) is self:  # cleared, and asked for again: another batch
                del loads[identity]

    def _outcomes(self, task: asyncio.Task[list[Any]]) -> list[Any]:
        error: BaseException | None
        if task.cancelled():
            error = SelfCancelledError(f"{self} was cancelled, but not because its callers had left")
        else:
            error = task.exception()
        return task.result() if error is None else [error] * len(self.sent)

    # -- batches that wait for each other ---------------------------------------------------------------------------

    def wait_for(self, other: Batch) -> None:
        """Note that the call of this batch waits for ``other``.

        Raises:
            RecursiveLoadError: ``other`` waits, directly or through others, for this one.
        """
        path = other._path_to(self)
        if path is not None:
            raise RecursiveLoadError(tuple(map(str, (self, *path))), "batched call")
        self.blocked_on.append(other)

    def _path_to(self, wanted: Batch) -> list[Batch] | None:
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
        identities = self.sent or list(self.waiters)
        keys = [self.keys[identity] for identity in identities] if self.keys else identities
        return f"{self.queue.loader.name}({keys!r:.60})"

    def __repr__(self) -> str:
        return f"<Batch {self} {'open' if self.task is None else 'sent'}>"


def running_batch() -> Batch | None:
    """Return the batch whose call the current context belongs to; None outside of batches."""
    found = inside.get()
    while isinstance(found, Kept):
        found = found.around
    return found  # type: ignore[no-any-return]

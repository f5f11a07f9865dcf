"""The engine of `batched` as callers meet it: their keys go into queues, and they wait, alone or in sight."""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..context import Kept, invalidations, kept_here, since
from ..crowd import crowd_around, watch_crowds
from ..exceptions import ScopeEndedError
from .asking import Asker, Function
from .batch import Batch, Waiter, running_batch
from .dispatch import BACKSTOP, RULES, Rule, send_when_all_wait
from .failure import Failure, as_failure, raise_first, unwrap
from .queue import Queue

if TYPE_CHECKING:
    from .stats import LoaderStats

__all__ = ["Entered", "Loader", "leave"]

Entered = tuple[Batch | None, Hashable, Waiter]  # what one caller waits for; no batch: the outcome was there


class Loader(Asker):
    """One load function and its options; what waits and runs is in its queues.

    ``instance``, the first argument of most of its methods, is a method's; None for a function.
    """

    def __init__(
        self,
        function: Function,
        name: str,
        *,
        max_delay: float | None,
        dispatch: Rule,
        batch_key: Callable[[Any], Hashable] | None,
        **options: Any,
    ) -> None:
        super().__init__(function, name, **options)
        self.max_delay: float | None = BACKSTOP if max_delay is None and dispatch == "scope" else max_delay
        self.dispatch: Callable[[Batch], None] = RULES[dispatch]
        self.watches: bool = dispatch == "scope"  # whether it must know which items of a fan-out wait
        self.batch_key = batch_key
        self.queues: dict[Hashable, Queue] = {}  # {place: Queue}; present only while keys wait or batches run
        self._one_place: bool = batch_key is None and not self.is_method  # a loop
        # whether `quick` will do, where nothing is to be minded
        self.plain: bool = self._one_place and self.key is None and self.weight is None and not self.watches
        if self.watches:
            watch_crowds()

    # -- callers ----------------------------------------------------------------------------------------------------

    async def one(self, instance: Any, key: Any) -> Any:
        """Return the result for ``key``."""
        loop = get_running_loop()
        kept = kept_here(loop)
        entered = batch, _, waiter = self._enter(loop, kept, instance, key)
        try:
            return unwrap(await self._wait_in_sight(kept, batch, waiter))
        except BaseException as error:
            await leave([entered], error)
            raise
        finally:
            if kept is not None:
                kept.left(waiter)
            del entered, waiter  # an error's traceback holds this frame: no cycle through it

    async def many(self, instance: Any, keys: Iterable[Any]) -> list[Any]:
        """Return the results for ``keys``, in order."""
        if isinstance(keys, str | bytes):
            raise TypeError(f"keys must be an iterable of keys, got one string: [{keys!r:.40}]?")
        loop = get_running_loop()
        kept = kept_here(loop)
        entered: list[Entered] = []
        try:
            for key in keys:
                entered.append(self._enter(loop, kept, instance, key))  # noqa: PERF401 - leaves those that did
            await self._wait_for_all(kept, entered)
            outcomes = [waiter.result() for _, _, waiter in entered]
            raise_first(outcomes)
        except BaseException as error:
            await leave(entered, error)
            raise
        finally:
            if kept is not None:
                kept.left(*[waiter for _, _, waiter in entered])
            entered.clear()  # an error's traceback holds this frame: no cycle through it
        return outcomes

    async def _wait_for_all(self, kept: Kept | None, entered: list[Entered]) -> None:
        for batch, _, waiter in entered:
            if not waiter.done():  # those of one batch are all at once
                await self._wait_in_sight(kept, batch, waiter)

    def _enter(self, loop: asyncio.AbstractEventLoop, kept: Kept | None, instance: Any, key: Any) -> Entered:
        """Let a caller wait for ``key``: with others who do, or as the first."""
        identity = key if self.key is None else self.key(key)
        place = loop if self._one_place else self._place(loop, instance, key)
        try:
            if kept is not None:
                return self._enter_kept(loop, kept, place, instance, key, identity)
            queue = self.queues.get(place) or Queue(self, place, loop, instance)
            batch, waiter = queue.enter(key, identity)
        except TypeError as error:
            self.check_hashable(identity, error)
            raise
        else:
            return batch, identity, waiter

    def _enter_kept(  # noqa: PLR0917 - the rest of `_enter`
        self,
        loop: asyncio.AbstractEventLoop,
        kept: Kept,
        place: Hashable,
        instance: Any,
        key: Any,
        identity: Hashable,
    ) -> Entered:
        """Let a caller in an async scope wait for ``key``, unless the scope knows its outcome."""
        memo = self._memo(kept, instance)
        began, known = memo.get((place, identity), (0, None))
        if known is not None and began >= since() and _has_result(known):
            self.meter.remembered += 1
            return None, identity, known
        queue = self.queues.get(place) or Queue(self, place, loop, instance)
        batch, waiter = queue.enter(key, identity)
        memo[place, identity] = (batch.began, waiter)
        return batch, identity, waiter

    def _memo(self, kept: Kept, instance: Any) -> dict[tuple[Hashable, Hashable], tuple[int, Waiter]]:
        """Return what an async scope remembers: ``{(place, identity): (invalidations when it began, done or not)}``.

        It keeps the instance alive.
        """
        _, memo = kept.memos.setdefault((self, id(instance)), (instance, {}))
        return memo  # type: ignore[no-any-return]

    def _place(self, loop: asyncio.AbstractEventLoop, instance: Any, key: Any) -> Hashable:
        return loop, id(instance), None if self.batch_key is None else self.batch_key(key)

    def check_hashable(self, identity: Any, error: TypeError) -> None:
        """Say what is wrong if it was the key that ``error`` came from."""
        try:
            hash(identity)
        except TypeError:
            rule = (
                "a key must be hashable, or @batched(key=...) make it so"
                if self.key is None
                else "key= must make it so"
            )
            raise TypeError(f"{self.name}(): {rule}, got {identity!r:.60}") from error

    async def _wait_in_sight(self, kept: Kept | None, batch: Batch | None, waiter: Waiter) -> Any:
        """Wait where others must know of it: a scope that may end, a batch that may wait for itself, a fan-out."""
        if batch is None:
            return waiter.result()
        mine = running_batch()
        if mine is not None:
            mine.wait_for(batch)
        if self.watches:
            crowd = crowd_around()
            send_when_all_wait(batch, crowd)
            if crowd is not None:
                batch.block(waiter, crowd)
        if kept is not None:
            kept.waiting.add(waiter)
        try:
            found = await waiter
        finally:
            if mine is not None:
                mine.blocked_on.remove(batch)
        if found is kept is not None:
            raise ScopeEndedError(f"{self.name}() was still waited for when the async scope around the call ended")
        return found

    # -- what is known without asking -------------------------------------------------------------------------------

    def prime(self, instance: Any, key: Any, value: Any) -> None:
        """Give ``value`` to those who wait for ``key``, and to those who will ask in the async scope around."""
        loop = get_running_loop()
        place = loop if self._one_place else self._place(loop, instance, key)
        identity = key if self.key is None else self.key(key)
        outcome = as_failure(value) if isinstance(value, BaseException) else value
        kept = kept_here(loop)
        if kept is not None:
            waiter = loop.create_future()
            waiter.set_result(outcome)
            self._memo(kept, instance)[place, identity] = (invalidations.count, waiter)
        queue = self.queues.get(place)
        for batch in () if queue is None else (queue.open, queue.loads.get(identity)):
            if batch is not None and identity in batch.waiters:
                batch.answer(identity, outcome)

    def clear(self, instance: Any, *key: Any) -> None:
        """Let the async scope around forget one key, or all, and nobody join a load of it that has begun."""
        loop = _running_loop()
        identity = None if not key else key[0] if self.key is None else self.key(key[0])
        kept = None if loop is None else kept_here(loop)
        if kept is not None:
            memo = self._memo(kept, instance)
            for found in list(memo) if not key else [found for found in memo if found[1] == identity]:
                del memo[found]
        for queue in list(self.queues.values()):
            if queue.instance is instance:
                queue.clear_soon(loop, identity, everything=not key)

    def stats(self) -> LoaderStats:
        """Return the figures as they are now."""
        queues = list(self.queues.values())
        gathering = [queue.open for queue in queues]
        waiting = sum(len(batch.waiters) for batch in gathering if batch is not None)
        return self.meter.stats(waiting, sum(len(queue.batches) for queue in queues))

    def __repr__(self) -> str:
        stats = self.stats()
        return f"<Loader {self.name} {stats.waiting} keys waiting, {stats.running} batches running>"


async def leave(entered: Iterable[Entered], why: BaseException) -> None:
    """Take a caller out of all that it entered, and wait for the end of the batches that were for it alone."""
    tasks: set[asyncio.Task[Any]] = set()
    for batch, identity, waiter in entered:
        task = None if batch is None else batch.leave(identity, waiter)
        if task is not None:
            tasks.add(task)
    while tasks and not isinstance(why, GeneratorExit):  # then nothing can be awaited any more
        with suppress(asyncio.CancelledError):  # we are being cancelled already
            await asyncio.wait(tasks)
        tasks = {task for task in tasks if not task.done()}


def _has_result(waiter: Waiter) -> bool:
    return waiter.done() and not waiter.cancelled() and waiter.result().__class__ is not Failure


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return get_running_loop()
    except RuntimeError:
        return None

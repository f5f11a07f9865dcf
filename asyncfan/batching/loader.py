"""The engine of `batched`: callers' keys go into queues, batches to the user's function, outcomes to the callers."""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..context import kept_here
from ..crowd import crowd_around, watch_crowds
from ..exceptions import ScopeEndedError, SelfCancelledError
from ..fanout.functions import amap
from .answers import Answers
from .batch import running_batch
from .bisecting import bisect, is_about_the_backend
from .chunks import chunks, weigh
from .dispatch import BACKSTOP, RULES, Rule, send_when_all_wait
from .load import DROPPED, PENDING, Failure, Load, as_outcome
from .queue import Queue
from .stats import LoaderMeter, LoaderStats

if TYPE_CHECKING:
    from ..fanout.limiter import Limiter
    from .chunks import Weight

__all__ = ["Loader"]

Function = Callable[..., Awaitable[Any]]


class Loader:
    """One load function and its options; what waits and runs is in its queues.

    ``instance``, the first argument of most of its methods, is a method's; None for a function.
    """

    def __init__(
        self,
        function: Function,
        name: str,
        *,
        is_method: bool,
        max_batch_size: int | None,
        max_delay: float | None,
        dispatch: Rule,
        key: Callable[[Any], Hashable] | None,
        batch_key: Callable[[Any], Hashable] | None,
        bisects: bool,
        weight: Weight | None,
        max_batch_weight: float | None,
        limiter: Limiter | None,
    ) -> None:
        self.function = function
        self.name = name
        self.is_method = is_method
        self.max_batch_size: float = float("inf") if max_batch_size is None else max_batch_size
        self.max_batch_weight: float = float("inf") if max_batch_weight is None else max_batch_weight
        self.max_delay = BACKSTOP if max_delay is None and dispatch == "scope" else max_delay
        self.dispatch = RULES[dispatch]
        self.watches: bool = dispatch == "scope"  # whether it must know which items of a fan-out wait
        self.key = key
        self.batch_key = batch_key
        self.bisects = bisects
        self.weight = weight
        self.limiter = limiter
        self.meter = LoaderMeter()
        self.queues: dict[Hashable, Queue] = {}  # {place: Queue}; present only while keys wait or batches run
        self._one_place: bool = batch_key is None and not is_method  # a loop
        if self.watches:
            watch_crowds()

    # -- callers ----------------------------------------------------------------------------------------------------

    async def one(self, instance: Any, key: Any) -> Any:
        """Return the result for ``key``."""
        load = self._enter(instance, key, self._identity(key))
        try:
            if load.outcome is PENDING:
                await self._wait(load, (load,))
            return load.result()
        finally:
            del load  # an error's traceback holds this frame: no cycle through it

    async def many(self, instance: Any, keys: Iterable[Any]) -> list[Any]:
        """Return the results for ``keys``, in order."""
        if isinstance(keys, str | bytes):
            raise TypeError(f"keys must be an iterable of keys, got one string: [{keys!r:.40}]?")
        loads: dict[Hashable, Load] = {}
        order: list[Hashable] = []
        try:
            for key in keys:
                identity = self._identity(key)
                order.append(identity)
                if identity not in loads:
                    loads[identity] = self._enter(instance, key, identity)
        except BaseException as error:
            await _leave(loads.values(), error)
            raise
        await self._wait_for_all(loads.values())
        try:
            return [loads[identity].result() for identity in order]
        finally:
            loads.clear()  # an error's traceback holds this frame: no cycle through it

    async def _wait_for_all(self, loads: Collection[Load]) -> None:
        for load in loads:
            if load.outcome is PENDING:
                await self._wait(load, loads)

    def _identity(self, key: Any) -> Hashable:
        identity = key if self.key is None else self.key(key)
        try:
            hash(identity)
        except TypeError as error:
            hint = "@batched(key=...), a function of the key," if self.key is None else "key"
            raise TypeError(f"{self.name}(): {hint} must give something hashable, got {identity!r}") from error
        return identity

    def _enter(self, instance: Any, key: Any, identity: Hashable) -> Load:
        """Return the load that a caller who wants ``key`` will wait for; it counts as one of its callers."""
        loop = get_running_loop()
        place = self._place(loop, instance, key)
        kept = kept_here(loop)
        if kept is None:
            return self._join_or_begin(loop, place, instance, key, identity)
        _, memo = kept.memos.setdefault((self, id(instance)), (instance, {}))
        load: Load | None = memo.get((place, identity))
        if load is None or load.outcome is DROPPED or load.outcome.__class__ is Failure:
            load = memo[place, identity] = self._join_or_begin(loop, place, instance, key, identity)
        elif load.outcome is PENDING:
            load.callers += 1
            self.meter.joined += 1
        else:
            self.meter.remembered += 1
        return load

    def _place(self, loop: asyncio.AbstractEventLoop, instance: Any, key: Any) -> Hashable:
        if self._one_place:
            return loop
        return loop, id(instance), None if self.batch_key is None else self.batch_key(key)

    def _join_or_begin(
        self, loop: asyncio.AbstractEventLoop, place: Hashable, instance: Any, key: Any, identity: Hashable
    ) -> Load:
        queue = self.queues.get(place)
        if queue is None:
            queue = self._new_queue(place, loop, instance)
        load = queue.loads.get(identity)
        if load is None:
            return queue.add(key, identity)
        load.callers += 1
        self.meter.joined += 1
        return load

    def _new_queue(self, place: Hashable, loop: asyncio.AbstractEventLoop, instance: Any) -> Queue:
        for oldest in list(self.queues.values())[:1]:
            if oldest.loop.is_closed():  # it died with work to do
                self.queues.pop(oldest.place, None)
        return Queue(self, place, loop, instance)

    async def _wait(self, load: Load, entered: Collection[Load]) -> None:
        """Wait until ``load`` has an outcome; if that is not to be, leave all loads that the caller ``entered``."""
        loop = load.batch.queue.loop
        waiter = loop.create_future()
        load.waiters[waiter] = None
        kept = kept_here(loop)
        if kept is not None:
            kept.waiting.add(waiter)
        try:
            if self.watches or running_batch.get() is not None:
                ended = await self._wait_in_sight(load, waiter)
            else:
                ended = await waiter
            if ended is not None:
                raise ScopeEndedError(f"{self.name}({load.key!r:.60}) was still waited for when its scope ended")
        except BaseException as error:
            load.waiters.pop(waiter, None)
            await _leave(entered, error)
            raise
        finally:
            if kept is not None:
                kept.left(waiter)
            del load, entered, waiter

    async def _wait_in_sight(self, load: Load, waiter: asyncio.Future[Any]) -> Any:
        """Wait where others must know of it: a batch that may wait for itself, a fan-out whose items may all wait."""
        mine = running_batch.get()
        crowd = crowd_around() if self.watches else None
        if mine is not None:
            mine.wait_for(load.batch)
        if self.watches:
            send_when_all_wait(load.batch, crowd)
        if crowd is not None:
            load.crowds = (*load.crowds, crowd)
            crowd.block()
        try:
            return await waiter
        finally:
            if mine is not None:
                mine.blocked_on.remove(load.batch)
            if crowd is not None and load.crowds:  # no outcome came
                load.unblock(crowd)
            del load, waiter

    # -- batches ----------------------------------------------------------------------------------------------------

    def weigh(self, key: Any) -> float:
        """Return what ``key`` adds to the weight of a batch.

        Raises:
            ValueError: It is negative, or more than a whole batch may weigh.
        """
        return 0.0 if self.weight is None else weigh(self.weight, key, f"key {key!r:.60}", self.max_batch_weight)

    async def ask(self, instance: Any, keys: list[Any]) -> Answers:
        """Return the outcome of each key: what the function gave or raised, asked once, or more often to bisect."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - one awaits this
        level = task.cancelling()
        try:
            try:
                return await self._call(instance, keys)
            except Exception as error:  # noqa: BLE001 - the outcome of all keys, or of those that bisect finds
                if not self.bisects or len(keys) == 1 or is_about_the_backend(error):
                    return Answers([error] * len(keys))
                return await bisect(partial(self._call, instance), keys, error)
        except asyncio.CancelledError as error:
            if task.cancelling() > level:
                raise
            found = SelfCancelledError(f"{self.name}() raised CancelledError, but nobody had cancelled it")
            found.__cause__ = error
            return Answers([found] * len(keys))

    async def _call(self, instance: Any, keys: list[Any]) -> Answers:
        if self.limiter is None:
            return await self._call_now(instance, keys)
        async with self.limiter:
            return await self._call_now(instance, keys)

    async def _call_now(self, instance: Any, keys: list[Any]) -> Answers:
        clock = get_running_loop().time
        began, answers = clock(), None
        try:
            answer = await (self.function(instance, keys) if self.is_method else self.function(keys))
            answers = Answers.read(self.name, keys, answer, self.key)
            return answers
        finally:
            self.meter.called(len(keys), clock() - began, failed=answers is None or answers.refused)

    async def load_batch(self, instance: Any, keys: Sequence[Any]) -> Answers:
        """Return the outcome of each key, in order, asked in one call here and now; joins and remembers nothing."""
        outcomes: dict[int, Any] = {}
        for i, key in enumerate(keys):
            try:
                self.weigh(key)
            except Exception as error:  # noqa: BLE001 - its outcome
                outcomes[i] = error
        sent = [key for i, key in enumerate(keys) if i not in outcomes]
        size = int(min(self.max_batch_size, len(keys) or 1))
        limit = None if self.weight is None else self.max_batch_weight
        parts = await amap(partial(self.ask, instance), chunks(sent, size, self.weight, limit), max_workers=None)
        found = iter([outcome for part in parts for outcome in part])
        extra = {key: value for part in parts for key, value in part.extra.items()}
        return Answers([outcomes[i] if i in outcomes else next(found) for i in range(len(keys))], extra)

    # -- what is known without asking -------------------------------------------------------------------------------

    def prime(self, instance: Any, key: Any, value: Any) -> None:
        """Give ``value`` to those who wait for ``key``, and to those who will ask in the async scope around."""
        loop = get_running_loop()
        place, identity = self._place(loop, instance, key), self._identity(key)
        outcome = as_outcome(value)
        kept = kept_here(loop)
        if kept is not None:
            _, memo = kept.memos.setdefault((self, id(instance)), (instance, {}))
            memo[place, identity] = Load.known(key, identity, outcome)
        queue = self.queues.get(place)
        load = None if queue is None else queue.loads.get(identity)
        if load is not None:
            load.batch.answer(load, outcome)

    def clear(self, instance: Any, *key: Any) -> None:
        """Forget what the async scope around remembers, and let nobody join a load that has begun: of one key, or all."""
        loop = _running_loop()
        identity = self._identity(*key) if key else None
        kept = None if loop is None else kept_here(loop)
        if kept is not None:
            _, memo = kept.memos.get((self, id(instance)), (instance, {}))
            for found in list(memo):
                if not key or found[1] == identity:
                    del memo[found]
        for queue in list(self.queues.values()):
            if queue.instance is instance:
                queue.clear_soon(loop, identity, everything=not key)

    def stats(self) -> LoaderStats:
        """Return the figures as they are now."""
        queues = list(self.queues.values())
        waiting = sum(queue.open.size for queue in queues if queue.open is not None)
        return self.meter.stats(waiting, sum(len(queue.batches) for queue in queues))

    def __repr__(self) -> str:
        stats = self.stats()
        return f"<Loader {self.name} {stats.waiting} keys waiting, {stats.running} batches running>"


async def _leave(entered: Iterable[Load], why: BaseException) -> None:
    """Take a caller away from all loads, and wait for the end of the batches that were only for it."""
    tasks = {task for load in entered if (task := load.leave()) is not None}
    if isinstance(why, GeneratorExit):  # nothing can be awaited any more
        return
    while tasks:
        try:
            _, tasks = await asyncio.wait(tasks)
        except asyncio.CancelledError:  # we are being cancelled already
            tasks = {task for task in tasks if not task.done()}


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return get_running_loop()
    except RuntimeError:
        return None

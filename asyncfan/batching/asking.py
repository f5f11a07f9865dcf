"""The calls of a load function: one for a batch, more to bisect, and what came of each key."""

from __future__ import annotations

import asyncio
import sys
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..exceptions import SelfCancelledError
from ..fanout.functions import amap
from .answers import Answers
from .bisecting import bisect, is_about_the_backend
from .chunks import chunks, weigh
from .meter import LoaderMeter

if TYPE_CHECKING:
    from ..fanout.limiter import Limiter
    from .chunks import Weight

__all__ = ["Asker", "Function"]

Function = Callable[..., Awaitable[Any]]


class Asker:
    """One load function, with what limits a call of it and what is made of its result.

    ``instance``, the first argument of its methods, is a method's; None for a function.
    """

    def __init__(
        self,
        function: Function,
        name: str,
        *,
        is_method: bool,
        key: Callable[[Any], Hashable] | None,
        max_batch_size: int | None,
        weight: Weight | None,
        max_batch_weight: float | None,
        bisects: bool,
        limiter: Limiter | None,
    ) -> None:
        self.function = function
        self.name = name
        self.is_method = is_method
        self.key = key
        self.max_batch_size: int = sys.maxsize if max_batch_size is None else max_batch_size
        self.weight = weight
        self.max_batch_weight: float = float("inf") if max_batch_weight is None else max_batch_weight
        self.bisects = bisects
        self.limiter = limiter
        self.meter: LoaderMeter = LoaderMeter()

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
        finally:
            del task  # whose result an error may be: its traceback holds this frame

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
        if self.weight is None and len(keys) <= self.max_batch_size:
            return await self.ask(instance, list(keys))
        outcomes: dict[int, Any] = {}
        for i, key in enumerate(keys):
            try:
                self.weigh(key)
            except Exception as error:  # noqa: BLE001 - its outcome
                outcomes[i] = error
        sent = [key for i, key in enumerate(keys) if i not in outcomes]
        limit = None if self.weight is None else self.max_batch_weight
        parts = await amap(
            partial(self.ask, instance), chunks(sent, self.max_batch_size, self.weight, limit), max_workers=None
        )
        found = iter([outcome for part in parts for outcome in part])
        extra = {key: value for part in parts for key, value in part.extra.items()}
        return Answers([outcomes[i] if i in outcomes else next(found) for i in range(len(keys))], extra)

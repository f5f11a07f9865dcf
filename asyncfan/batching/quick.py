"""The short way of a caller: one frame, for a plain function where neither a scope nor a batch is around."""

from __future__ import annotations

from asyncio import Future, get_running_loop
from collections.abc import Callable, Coroutine
from typing import Any

from ..context import inside
from .failure import Failure
from .loader import Loader, leave
from .queue import Queue

__all__ = ["quick"]


def quick(loader: Loader) -> Callable[[Any, Any], Coroutine[Any, Any, Any]]:
    """Return what does as ``loader.one``, at 0.6 us less a key (of 3.9, CPython 3.11); see there for what it does."""
    queues, room, around, one = loader.queues, loader.max_batch_size - 1, inside.get, loader.one

    async def load(instance: Any, key: Any) -> Any:
        if around() is not None:
            return await one(instance, key)
        loop = get_running_loop()
        queue = queues.get(loop) or Queue(loader, loop, loop, instance)
        batch = queue.open
        try:
            if batch is None or key in batch.waiters or len(batch.waiters) >= room or key in queue.loads:
                batch, waiter = queue.enter(key, key)
            else:
                waiter = batch.waiters[key] = Future(loop=loop)  # what create_future does, one frame less
        except TypeError as error:
            loader.check_hashable(key, error)
            raise
        try:
            found = await waiter
        except BaseException as error:
            await leave([(batch, key, waiter)], error)
            raise
        if found.__class__ is not Failure:
            return found
        del waiter  # an error's traceback holds this frame: no cycle through it
        try:
            found.throw()
        finally:
            del found

    return load

"""A batch size that adapts, at work: batches are measured, and one that is too large is sent in two halves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
from contextlib import aclosing
from typing import Any

from ..fanout.outcome import Outcome
from ..fanout.stream import Stream
from .adaptive import AdaptiveBatchSize, SizeController

__all__ = ["SharedSize"]

Call = Callable[..., Coroutine[Any, Any, Any]]


class SharedSize:
    """One size that adapts, for all batches of a `DataBatcher`, in any threads and loops."""

    def __init__(self, option: AdaptiveBatchSize) -> None:
        self.option = option
        self.controller: SizeController = option.controller()
        self._lock = threading.Lock()  # held for a few instructions, never while waiting

    def measured(self, call: Call) -> Call:
        """Return ``call``, measured; the answer to a batch that was cut is `_Parts`."""

        async def call_in_size(batch: list[Any]) -> Any:
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                answer = await call(batch)
            except Exception as error:
                if not self._ended(loop.time(), began, batch, error, failed=True):
                    raise
            else:
                if not self._ended(loop.time(), began, batch, answer):
                    return answer
            half = len(batch) // 2
            return _Parts([await call_in_size(batch[:half]), await call_in_size(batch[half:])])

        return call_in_size

    def flatten(self, results: Iterable[Any]) -> list[Any]:
        """Return the results with those of the parts in place of one that was cut."""
        return list(_flat(results))

    def flat(self, stream: Stream[Any]) -> Stream[Any]:
        """Return the stream with the results of the parts in place of one that was cut."""
        return _FlatStream(stream)

    def _ended(self, now: float, began: float, batch: list[Any], answer: Any, *, failed: bool = False) -> bool:
        """Take in a batch with what it returned or raised, and return whether it is to be cut."""
        too_large = self.option.too_large(answer)
        refused = not too_large and self.option.overload(answer)
        if too_large or refused or not failed:  # any other failure tells nothing of the size
            with self._lock:
                self.controller.ended(now, len(batch), now - began, refused=refused, too_large=too_large)
        return too_large and len(batch) > 1


class _Parts(list[Any]):
    """The answers to the parts of one batch."""


def _flat(results: Iterable[Any]) -> Iterator[Any]:
    """Yield each result, and in place of one that was cut those of its parts, in order."""
    for result in results:
        if isinstance(result, _Parts):
            yield from _flat(result)
        elif isinstance(result, Outcome) and isinstance(result.value, _Parts):
            yield from (result._replace(value=part) for part in _flat(result.value))
        else:
            yield result


class _FlatStream(Stream[Any]):
    def __init__(self, stream: Stream[Any]) -> None:
        super().__init__(stream._make_run, stream._items)  # noqa: SLF001 - a stream of the same

    async def _iterate(self) -> AsyncGenerator[Any, None]:
        async with aclosing(super()._iterate()) as results:
            async for result in results:
                for part in _flat((result,)):
                    yield part

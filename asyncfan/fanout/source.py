"""Where items come from: all steps of a source run in one context, whichever worker takes them, and it is closed."""

from __future__ import annotations

import inspect
import types
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Generator, Iterable, Sized
from contextvars import Context
from typing import Any

__all__ = ["AsyncSource", "Source"]

_END = object()


class Source:
    """An iterable; a generator may hold a context variable or a ``with scope(...)`` from one item to the next."""

    def __init__(self, items: Iterable[Any], context: Context) -> None:
        self._steps = None if isinstance(items, Sized) else _steps(items, context)
        self.items: Iterable[Any] = (
            self._steps or items
        )  # a container runs no code that could set a variable: 0.1 us saved an item

    async def close(self) -> None:
        """Close it, if it is a generator."""
        if self._steps is not None:
            self._steps.close()


class AsyncSource:
    """An async iterable."""

    def __init__(self, items: AsyncIterable[Any], context: Context) -> None:
        self._items = items
        self._context = context
        self._iterator: AsyncIterator[Any] | None = None  # until the first step

    async def take(self) -> Any:
        """Return the next item.

        Raises:
            StopAsyncIteration: There is none.

        Cancellation: Thrown into the source, which a generator does not survive.
        """
        return await _within(self._context, self._take())

    async def close(self) -> None:
        """Close it, if it is an async generator, and wait for its clean-up."""
        if inspect.isasyncgen(self._iterator):
            await _within(self._context, self._iterator.aclose())

    async def _take(self) -> Any:
        if self._iterator is None:
            self._iterator = aiter(self._items)
        return await anext(self._iterator)


def _steps(items: Iterable[Any], context: Context) -> Generator[Any, None, None]:
    iterator = context.run(iter, items)
    try:
        while (item := context.run(next, iterator, _END)) is not _END:
            yield item
    finally:
        if inspect.isgenerator(iterator):
            context.run(iterator.close)


@types.coroutine
def _within(context: Context, coro: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Await ``coro``, each of its steps in ``context``."""
    step: Any = coro.send
    argument: Any = None
    while True:
        try:
            awaited = context.run(step, argument)
        except StopIteration as stop:
            return stop.value
        try:
            step, argument = coro.send, (yield awaited)
        except BaseException as thrown:  # noqa: BLE001 - it is the source's to answer
            step, argument = coro.throw, thrown

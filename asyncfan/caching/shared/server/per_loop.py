"""What each event loop has one of: connections belong to the loop that opened them, and end with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

__all__ = ["PerLoop"]

T = TypeVar("T")


class _Made(NamedTuple, Generic[T]):
    thing: T
    pid: int  # a forked child has none of its parent's connections
    ending: AsyncGenerator[None, None]


class PerLoop(Generic[T]):
    """Makes a thing where it is first asked for, and closes it when its event loop ends.

    Args:
        make: Makes the thing, in the running event loop.
        close: Closes it, in the same one.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        self._make = make
        self._close = close
        self._made: WeakKeyDictionary[asyncio.AbstractEventLoop, _Made[T]] = WeakKeyDictionary()

    def get(self) -> T:
        """Return the running event loop's thing."""
        loop = asyncio.get_running_loop()
        made = self._made.get(loop)
        if made is None or made.pid != os.getpid():
            made = self._add(loop)
        return made.thing

    def _add(self, loop: asyncio.AbstractEventLoop) -> _Made[T]:
        for known in [ref() for ref in self._made.keyrefs()]:
            if known is not None and known.is_closed():  # without its asynchronous generators being shut down
                self._made.pop(known, None)
        thing = self._make()
        made = _Made(thing, os.getpid(), self._until_the_end(thing))
        with contextlib.suppress(StopIteration):
            made.ending.__anext__().send(None)  # from here on, the loop closes it when it shuts down
        self._made[loop] = made
        return made

    async def _until_the_end(self, thing: T) -> AsyncGenerator[None, None]:
        loop = asyncio.get_running_loop()
        try:
            yield
        finally:
            made = self._made.get(loop)
            if made is not None and made.thing is thing:
                del self._made[loop]
            await self._close(thing)

    async def aclose(self) -> None:
        """Close the running event loop's thing, if it has one; the next `get` makes another."""
        made = self._made.get(asyncio.get_running_loop())
        if made is not None and made.pid == os.getpid():
            await made.ending.aclose()

    def __len__(self) -> int:
        return len(self._made)

    def __repr__(self) -> str:
        return f"<PerLoop {len(self)} event loops>"

"""A plain handler stays one, where its framework calls it in a thread of the request's own."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from types import coroutine
from typing import Any, TypeVar

from ..caching.loads.flights import running_loop

__all__ = ["Thread", "in_a_loop", "rest_of"]

T = TypeVar("T")


@coroutine
def in_a_loop() -> Generator[None, None, None]:
    """Go on in an event loop: what comes before may be done without one, as a hit is."""
    if running_loop() is None:
        yield


async def rest_of(begun: Coroutine[Any, Any, T]) -> T:
    """Go on with what has come to `in_a_loop`; ``await`` takes only what has not begun."""
    result: T = await _going_on(begun)
    return result


@coroutine
def _going_on(begun: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    return (yield from begun)  # type: ignore[no-any-return]


class Thread:
    """A request's way through the cache, in the thread that the framework has given it.

    Only a request that waits for others, or that others may wait for, has an event loop: one of its own, which stands
    still while the handler runs, so that the handler may run another.
    """

    def __init__(self) -> None:
        self._turn: Callable[[], None] | None = None  # the handler, from when it is called until it begins

    async def call(self, fn: Callable[[], Any]) -> Any:
        """Run the handler in the thread; called by an adapter, in its own ``call``."""
        if running_loop() is None:
            return fn()
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()
        ended: asyncio.Future[tuple[Any, Exception | None]] = loop.create_future()

        def turn() -> None:
            try:
                ended.set_result((context.run(fn), None))
            except Exception as error:  # noqa: BLE001 - raised again below, in the request's own way
                ended.set_result((None, error))

        self._turn = turn
        loop.stop()
        result, error = await ended
        if error is not None:
            raise error
        return result

    def serve(self, request: Coroutine[Any, Any, T]) -> T:
        """Return what the request's coroutine does; an interrupted thread cancels it."""
        if running_loop() is not None:  # somebody else's, such as a test's: it stands still, as under any plain view
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(contextvars.copy_context().run, self.serve, request).result()
        try:
            request.send(None)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        loop = asyncio.new_event_loop()
        try:
            task = loop.create_task(request, name="asyncfan:request")
            task.add_done_callback(lambda _: loop.stop())
            try:
                self._drive(loop)
            finally:
                if not task.done():  # the thread was interrupted
                    task.cancel()
                    self._drive(loop)
            return task.result()
        finally:
            if left := asyncio.all_tasks(loop):  # what a shared tier is to be told
                loop.run_until_complete(asyncio.wait(left))
            loop.run_until_complete(loop.shutdown_asyncgens())  # a shared tier's connections end with it
            loop.close()

    def _drive(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the loop until the request's task has ended, and the handler in between."""
        loop.run_forever()
        while (turn := self._turn) is not None:
            self._turn = None
            turn()
            loop.run_forever()

    def __repr__(self) -> str:
        return f"<Thread of a request{', its handler is next' if self._turn else ''}>"

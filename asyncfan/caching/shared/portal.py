"""An event loop of our own, in a thread: it outlives the callers' loops, and serves callers that have none."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["Portal", "result_of"]

T = TypeVar("T")

_PATIENCE = 1.0  # seconds that the end of the process waits for what does not end by itself


class Portal:
    """Runs coroutines for any thread or event loop, in one loop; the thread starts with the first of them.

    Args:
        name: The thread's.
        loop: Runs them here instead, in a loop that is someone else's: for tests in virtual time.
    """

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._name = name
        self._given = loop
        self._loop = loop
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()  # those that run in the loop now
        self._ended: concurrent.futures.Future[None] | None = None  # of the last loop that was closed: its tasks have

    def start(
        self, coroutine: Coroutine[Any, Any, T], name: str, context: contextvars.Context | None = None
    ) -> concurrent.futures.Future[T]:
        """Run a coroutine in a task of its own; what it gives arrives in a future that any thread may wait for.

        The context is empty unless another is given: some of them listen for as long as the process lives, and would
        keep what the first caller's context holds, as the loop would.
        """
        return (contextvars.Context() if context is None else context).run(self._start, coroutine, name)

    def _start(self, coroutine: Coroutine[Any, Any, T], name: str) -> concurrent.futures.Future[T]:
        with self._lock:  # what comes after `_end` goes to a new loop: in the old one it would be cancelled unbegun
            return asyncio.run_coroutine_threadsafe(_own(coroutine, name, self._tasks), self._running_loop())

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=_serve, args=(self._loop,), name=self._name, daemon=True)
            self._thread.start()
            atexit.register(self._stop)  # scripts seldom close their cache, and would be told of destroyed tasks
        return self._loop

    def _stop(self) -> None:
        _, thread = self._end(_nothing)
        if thread is not None:
            thread.join(_PATIENCE)

    async def aclose(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancel what runs there, wait until it has ended, run ``last``, end the thread; `start` makes a new one.

        Cancellation:
            All of that happens; only the waiting for it ends.
        """
        ended, thread = self._end(last)
        if ended is not None:
            # a loop in virtual time knows of threads that are waited for so
            await (asyncio.to_thread(ended.result) if self._given is None else result_of(ended))
        if thread is not None:
            thread.join()

    def _end(
        self, last: Callable[[], Coroutine[Any, Any, None]]
    ) -> tuple[concurrent.futures.Future[None] | None, threading.Thread | None]:
        """Have the loop and its thread end; returns what tells when they have, also if somebody else did."""
        with self._lock:
            loop, thread, tasks = self._loop, self._thread, self._tasks
            if loop is not None:
                self._loop, self._thread, self._tasks = self._given, None, set()
                ended = self._ended = asyncio.run_coroutine_threadsafe(_end_all(tasks, last), loop)
                if thread is not None:
                    ended.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))
                    atexit.unregister(self._stop)
            return self._ended, thread

    def forget(self) -> None:
        """In a forked child: forget the parent's thread."""
        self._lock = threading.Lock()
        self._tasks = set()
        self._loop, self._thread, self._ended = self._given, None, None

    def __repr__(self) -> str:
        return f"<Portal {self._name!r} {'closed' if self._loop is None else 'open'}>"


async def _own(coroutine: Coroutine[Any, Any, T], name: str, tasks: set[asyncio.Task[Any]]) -> T:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - for the type checker
    task.set_name(name)
    tasks.add(task)
    try:
        return await coroutine
    finally:
        tasks.discard(task)


async def _end_all(tasks: set[asyncio.Task[Any]], last: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Cancel all tasks; each has begun, since the loop takes what comes from other threads in order."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_PATIENCE)
    await last()


async def _nothing() -> None: ...


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=_PATIENCE))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def result_of(future: concurrent.futures.Future[T]) -> T:
    """Wait in any event loop for what another thread sets; a cancelled caller leaves the future as it is.

    Raises:
        concurrent.futures.CancelledError: Somebody has cancelled it.
    """
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def tell(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
            loop.call_soon_threadsafe(done.set)

    future.add_done_callback(tell)
    await done.wait()
    return future.result()

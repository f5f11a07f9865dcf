"""Plain functions off the event loop: in a thread, or wherever an executor takes them."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

__all__ = ["Bell", "SupportsResult", "SupportsSubmit", "run_in_executor", "run_in_thread"]


class SupportsResult(Protocol):
    """What ``submit`` returns: anything with these three of `concurrent.futures.Future`."""

    def add_done_callback(self, fn: Callable[[Any], object], /) -> object:
        """Call ``fn`` when the call has ended, in whatever thread."""
        ...

    def result(self) -> Any:
        """Return what the function returned, or raise what it raised; asked only when the call has ended."""
        ...

    def cancel(self) -> object:
        """Return True if the call will never run, anything else if it may; may raise where there is no such thing."""
        ...


class SupportsSubmit(Protocol):
    """What ``executor=`` takes: anything with the ``submit`` of `concurrent.futures.Executor`."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> SupportsResult:
        """Take ``fn`` to be run elsewhere, and return its future."""
        ...


async def run_in_thread(function: Callable[..., Any], *args: Any, stop: Callable[[], object] | None = None) -> Any:
    """Run ``function`` in a thread of the loop's default executor, in a copy of the context.

    Cancellation: A call that no thread has taken yet never runs. One that runs cannot be stopped, but is asked
    to by ``stop``: the cancellation is raised when the thread has ended, so that a limit on running calls holds.
    """
    claim = threading.Lock()  # who takes it first, the thread or the cancelled caller, decides whether it runs
    context = contextvars.copy_context()

    def job() -> Any:
        if not claim.acquire(blocking=False):
            return None
        try:
            return context.run(function, *args)
        except StopIteration as error:  # no future takes it: the caller would wait for ever
            raise RuntimeError(f"{function!r} raised StopIteration") from error

    def withdraw() -> bool:
        return claim.acquire(blocking=False) and (submitted.cancel() or True)

    submitted = asyncio.get_running_loop().run_in_executor(None, job)
    try:
        await _until(submitted.add_done_callback, withdraw, stop)
    except asyncio.CancelledError as error:
        raise error from (None if submitted.cancelled() else submitted.exception())
    return submitted.result()


class Bell:
    """Tells a loop what has ended in other threads: one wake-up for all that has until the loop comes to it."""

    __slots__ = ("_ended", "_rung", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self._ended: deque[Callable[[object], None]] = deque()
        self._rung = False  # whether the loop will look

    def ring(self, end: Callable[[object], None], _: object) -> None:
        """Let ``end`` be called on the loop; from any thread."""
        self._ended.append(end)
        if not self._rung:
            self._rung = True
            with suppress(RuntimeError):  # the loop has been closed meanwhile
                self.loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        self._rung = False  # first: what is appended from here on rings again
        while self._ended:
            self._ended.popleft()(None)


async def run_in_executor(
    executor: SupportsSubmit,
    function: Callable[..., Any],
    *args: Any,
    bell: Bell,
    stop: Callable[[], object] | None = None,
) -> Any:
    """Run ``function`` in ``executor``; in a copy of the context if that is a `ThreadPoolExecutor`.

    A context can't be sent to another process, and only the standard thread pool is known not to do that.

    Cancellation: As for `run_in_thread`, if the executor's futures can be cancelled and tell the truth of it:
    Dask's say of a call that runs that it never will.
    """

    def tell(end: Callable[[object], None]) -> None:
        submitted.add_done_callback(partial(bell.ring, end))

    def withdraw() -> bool:
        with suppress(Exception):  # Parsl's futures raise NotImplementedError
            return submitted.cancel() is True
        return False

    try:
        submitted = _submit(executor, function, *args)
        await _until(tell, withdraw, stop)
        return submitted.result()
    except Exception as error:
        from .sending import in_words  # noqa: PLC0415 - seldom needed

        said = in_words(error, executor, function, args)
        if said is error:
            raise
        raise said from error.__cause__


def _submit(executor: SupportsSubmit, function: Callable[..., Any], *args: Any) -> SupportsResult:
    if isinstance(executor, ThreadPoolExecutor):
        return executor.submit(contextvars.copy_context().run, function, *args)
    submitted = executor.submit(function, *args)
    if not hasattr(submitted, "add_done_callback"):
        if inspect.iscoroutine(submitted):
            submitted.close()  # or it would warn that it was never awaited
        raise TypeError(
            f"submit() of {type(executor).__name__} must return a future with add_done_callback(), result() and "
            f"cancel(), as concurrent.futures.Executor does, got {submitted!r}"
        )
    return submitted


async def _until(
    tell: Callable[[Callable[[object], None]], None],
    withdraw: Callable[[], bool],
    stop: Callable[[], object] | None = None,
) -> None:
    """Wait until the work has ended: ``tell(end)`` sees to it that ``end`` is called on the loop then.

    Cancellation: Raised when the work has ended, unless it could be withdrawn.
    """
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    ended = False

    def end(_: object) -> None:
        nonlocal ended
        ended = True
        if not waiter.done():
            waiter.set_result(None)

    tell(end)
    cancelled: asyncio.CancelledError | None = None
    while not ended:
        try:
            await waiter
        except asyncio.CancelledError as error:
            cancelled = cancelled or error
            if stop is not None:
                stop()
            if withdraw():
                break
            waiter = loop.create_future()  # the other one was cancelled with us
    if cancelled is not None:
        raise cancelled

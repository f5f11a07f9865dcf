"""Plain functions off the event loop: in a thread, or wherever an executor takes them."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol

__all__ = ["SupportsSubmit", "run_in_executor", "run_in_thread"]


class SupportsSubmit(Protocol):
    """What ``executor=`` takes: anything with the ``submit`` of `concurrent.futures.Executor`."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Take ``fn`` to be run elsewhere, and return its future."""
        ...


async def run_in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Run ``function`` in a thread of the loop's default executor, in a copy of the context.

    Cancellation: A call that no thread has taken yet never runs. One that runs cannot be stopped: the
    cancellation is raised when the thread has ended, so that a limit on running calls holds.
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

    ended = asyncio.get_running_loop().run_in_executor(None, job)
    return await _outlast(ended, lambda: claim.acquire(blocking=False))


async def run_in_executor(executor: SupportsSubmit, function: Callable[..., Any], *args: Any) -> Any:
    """Run ``function`` in ``executor``; in a copy of the context if that is a `ThreadPoolExecutor`.

    A context can't be sent to another process, and only the standard thread pool is known not to do that.

    Cancellation: As for `run_in_thread`, if the executor's futures can be cancelled.
    """
    if isinstance(executor, ThreadPoolExecutor):
        submitted = executor.submit(contextvars.copy_context().run, function, *args)
    else:
        submitted = executor.submit(function, *args)
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    def wake(_: object) -> None:
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(end)

    submitted.add_done_callback(wake)
    await _outlast(ended, submitted.cancel)
    try:
        return submitted.result()
    except Exception as error:
        if not isinstance(executor, ThreadPoolExecutor) and "pickle" in str(
            error
        ):  # PicklingError, AttributeError or TypeError, as pickle pleases
            error.add_note(
                f"{type(executor).__name__} sends functions and arguments to another process: define the function at "
                "the top of a module, and bind arguments with functools.partial, not with a lambda"
            )
        raise


async def _outlast(ended: asyncio.Future[Any], withdraw: Callable[[], bool]) -> Any:
    """Wait for ``ended``; a cancelled caller waits too, unless the work could be withdrawn."""
    cancelled: asyncio.CancelledError | None = None
    while not ended.done():
        try:
            await asyncio.wait([ended])
        except asyncio.CancelledError as error:
            cancelled = cancelled or error
            if withdraw():
                ended.cancel()
    if cancelled is not None:
        raise cancelled from (None if ended.cancelled() else ended.exception())
    return ended.result()

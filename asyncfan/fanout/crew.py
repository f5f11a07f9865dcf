"""The tasks of one fan-out: how they start, how they are stopped, and how their end is awaited."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, Literal

from ..crowd import Crowd, make_crowd
from ..exceptions import SelfCancelledError
from .worker import Caller

if TYPE_CHECKING:
    from .adapting import SharedLimit

__all__ = ["Closed", "Crew"]

# Why a run takes no new item: one failed, time is up, the caller was cancelled, the source or `progress`
# raised, the consumer of a stream left, enough have succeeded.
Closed = Literal["failure", "deadline", "caller", "broken", "left", "enough"]

_SLICE = 0.005  # seconds that the items of one run may use of one pass of the loop


class Crew:
    """The tasks of one run, owned by it: all of them have ended when `join` returns.

    Neither `asyncio.TaskGroup` nor `asyncio.gather` will do: the first loses cancellations of its caller
    before Python 3.13, the second on every version, and it leaves its tasks behind when one fails.
    """

    def __init__(self, max_workers: int | None, name: str) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.max_workers: float = float("inf") if max_workers is None else max_workers
        self.limit: SharedLimit | None = None  # what changes `max_workers`, if anything does
        self.name = name
        self.context: contextvars.Context = contextvars.copy_context()  # what each item's own context is a copy of
        self.crowd: Crowd | None = make_crowd(self, self.context)  # None: no loader of the process looks at it
        self.tasks: set[asyncio.Task[None]] = set()
        self.caller: Caller | None = None  # while the caller's own task works too
        self.closed: Closed | None = None  # why no new item is taken; None while it may be
        self.cause: BaseException | None = None  # what closed it, unless an item did
        self.fatal: BaseException | None = None  # KeyboardInterrupt and its like
        self.too_late: bool = False  # whether so little time is left that no further item could end
        self.hold: bool = False  # whether a worker must ask `must_end` before it takes an item
        self.exhausted: bool = False  # whether the source has ended
        self.stride: int = 0  # a worker looks at the clock where `index & stride` is 0
        self._slice_end: float | None = None  # None until a worker looks at the clock in this pass of the loop
        self._looked = 0.0
        self.worker: tuple[Any, ...] = ()  # what one more worker does: (coroutine function, *arguments)
        self._wanted = 0  # workers asked for and not started
        self._growing = False
        self._leaving: set[asyncio.Task[Any]] = set()  # workers that are one too many, and will have ended soon
        self._idle: asyncio.Future[None] | None = None  # set while somebody waits for the last task to end

    def spawn(self, name: str, main: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Start a task."""
        task = self.loop.create_task(self.guarded(main, *args), name=name, context=self.context.copy())
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def start(self) -> None:
        """Start one more worker."""
        self.spawn(f"asyncfan:{self.name}:worker", *self.worker)

    def grow(self) -> None:
        """Start two workers more, because an item waits: n workers are there after log2(n) loop passes.

        An eager task runs, and may ask for more itself, before ``spawn`` returns: hence a loop and no
        recursion.
        """
        if not self.worker:
            return
        self._wanted += 2
        if self._growing:
            return
        self._growing = True
        while self._wanted and self._may_grow():
            self._wanted -= 1
            self.start()
        self._wanted = 0
        self._growing = False

    def _may_grow(self) -> bool:
        return self._workers() < self.max_workers and not self.exhausted and not self.closed

    def _workers(self) -> int:
        return len(self.tasks) + (self.caller is not None) - len(self._leaving)

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for the run now, and would be cancelled with it."""
        return True

    def busy(self) -> int:
        """Return how many workers have an item, or will take one without waiting for it."""
        return len(self.tasks) + (self.caller is not None)

    def owns(self, task: asyncio.Task[Any] | None) -> bool:
        """Say whether ``task`` runs items."""
        return task in self.tasks or (self.caller is not None and self.caller.task is task)

    def fewer_run(self) -> None:
        """Let loaders see whether all items that still run wait for them."""
        if self.crowd is not None:
            self.crowd.look()

    async def guarded(self, main: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run ``main`` and note whatever it raises that is no item's failure."""
        try:
            await main(*args)
        except GeneratorExit:  # the loop is gone
            raise
        except asyncio.CancelledError as error:
            if self.caller is not None and asyncio.current_task() is self.caller.task:
                self.close("caller", error)
            elif not self.closed:
                self.close("broken", _stray(error))
        except Exception as error:  # noqa: BLE001 - raised to the caller by the verdict
            self.broke(error)
        except BaseException as error:  # noqa: BLE001 - as above
            self.fatal = self.fatal or error
            self.close("broken")

    def broke(self, error: Exception) -> None:
        """End the run because of the source."""
        self.close("broken", error)

    def source_ended(self) -> None:
        """Note that there are no more items."""
        self.exhausted = True

    def close(self, why: Closed, cause: BaseException | None = None) -> None:
        """Let nothing new start and cancel what runs; the first reason counts, or a cancelled caller."""
        if self.closed:
            if why == "caller":
                self.closed, self.cause = why, cause
            return
        self.closed, self.cause, self.hold = why, cause, True
        if self.loop.is_closed():
            return  # nobody can be told any more
        if self.caller is not None:
            self.caller.stop()
        current = asyncio.current_task(self.loop)
        for task in list(self.tasks):
            if task is not current:
                task.cancel()

    async def join(self) -> None:
        """Wait until every task has ended.

        Cancellation: Closes the run, and the wait goes on; `verdict` raises it.
        """
        while self.tasks:
            self.fewer_run()  # the caller's own task runs no items now
            self._idle = self.loop.create_future()
            try:
                await self._idle
            except asyncio.CancelledError as error:
                self.close("caller", error)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self._leaving.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:  # an interrupt in our own code
            self.fatal = self.fatal or error
            self.close("broken")
        self.task_ended()
        self.fewer_run()
        if not self.tasks and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def task_ended(self) -> None:
        """Start what may start now."""

    def must_end(self) -> Generator[Any, Any, bool]:
        """Return whether the worker must end; a stream waits here until there is room for a result."""
        return self.closed is not None or self.too_late or (self.limit is not None and self.one_too_many())
        yield

    def one_too_many(self) -> bool:
        """Say whether the worker that asks must end, by the limit as it is now; if more may work, start them.

        Those that were told so are not counted any more: else all that ask before they have ended would end too.
        """
        assert self.limit is not None  # noqa: S101 - only asked where there is one
        task = asyncio.current_task(self.loop)
        if task is None or task in self._leaving:
            return True
        before, self.max_workers = self.max_workers, self.limit.room_for(self)
        if self._workers() > self.max_workers:
            self._leaving.add(task)
            return True
        if self.max_workers > before:
            self.grow()
        return False

    # The slice is the whole run's: one a worker would let 50 workers hold up the loop for 50 slices.

    def slice_used_up(self) -> bool:
        """Look at the clock: have the items of this run used up their share of this pass of the loop?"""
        now = time.monotonic()  # real time is what other tasks are kept waiting for, also in a test's virtual time
        self.stride = min(2 * self.stride + 1, 15) if now - self._looked < _SLICE / 8 else 0
        self._looked = now
        if self._slice_end is None:
            self._slice_end = now + _SLICE
            self.loop.call_soon(self._new_pass)
        return now >= self._slice_end

    def pass_is_full(self) -> bool:
        """Say whether others have used up the share of this pass, for one who gave way in the last."""
        return self._slice_end is not None and time.monotonic() >= self._slice_end

    def _new_pass(self) -> None:
        self._slice_end = None


def _stray(error: asyncio.CancelledError) -> SelfCancelledError:
    found = SelfCancelledError("a worker of the fan-out was cancelled, but neither by its caller nor by an item")
    found.__cause__ = error
    return found

"""The inner loop: a worker pulls items from the shared source and runs them one after another."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import types
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from .run import Run

__all__ = ["Caller", "awaitable", "work"]


@types.coroutine
def work(  # noqa: C901, PLR0912, PLR0915 - one frame, and no call that an item does not need: see below
    run: Run, source: Iterator[tuple[int, Any]], caller: Caller | None = None
) -> Generator[Any, Any, None]:
    """Run items of ``source`` until it ends or the run is over; ``caller`` if this is its own task.

    A generator that drives an item's coroutine by hand, because three things must happen around its steps:

    - each step runs in the item's own copy of the context, so that no item sees what another one set;
    - the first time an item waits, the crew grows: a fan-out that never waits costs no task;
    - in the caller's own task, a cancellation by the item's own code is told from one from outside.

    In a task of its own and when the crew has grown, only the first is left to do. Then items run in the
    worker's own context, at half the cost, until one has changed it: from there on each gets a copy again.

    An item in the caller's own task hears of the caller's cancellation first, and the others when it has
    ended: until then nobody can know whether it was not an `asyncio.timeout` of its own.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - one awaits this
    cancelling, level = task.cancelling, task.cancelling()
    call, out, copy = run.call, run.out, run.context.copy
    clock, sample, told = run.clock, run.sample, run.progress
    never_waited, waited = True, False  # any item of this worker, this item
    untouched, root = False, context_root()  # whether items may run in the worker's own context
    if source is run.source and run.hold and (yield from run.must_end()):
        return
    for i, item in source:
        if untouched:
            untouched = context_root() is root
        started = None if i & sample else clock()
        value: Any = None
        failure: BaseException | None = None
        try:
            coro = call(item)  # makes a coroutine, runs nothing: see as_coroutine_function
            if untouched:
                value = yield from coro
            else:
                step, send, waited = copy().run, coro.send, False
                awaited = step(send, None)
                waited = True
                if caller is not None:
                    step = caller.watch(step, level)
                if never_waited:
                    never_waited, untouched = False, caller is None and root is not None
                    run.grow()
                while True:
                    try:
                        got = yield awaited
                    except BaseException as thrown:  # noqa: BLE001 - it is the item's to answer
                        awaited = step(coro.throw, thrown)
                    else:
                        awaited = step(send, got)
        except StopIteration as stop:
            value = stop.value
        except GeneratorExit as error:
            if not _is_current(task):  # the loop is gone: nothing can be awaited any more
                raise
            failure = error  # the item's own
        except BaseException as error:  # noqa: BLE001 - sorted out below
            failure = error
        if failure is None:
            result = value if started is None else run.measured(i, value, started)
            try:
                out[i] = result
            except IndexError:  # no room: once in a thousand items
                run.put(i, result)
            run.succeeded += 1
        if cancelling() != level:
            yield from _settle_cancellation(run, task, level, caller, waited=waited)
        if failure is not None:
            run.failed(i, failure, started)
        if told is not None:
            run.tell()
        if not i & run.stride and run.slice_used_up():
            yield
            while run.pass_is_full():  # others were first: a worker that ran an item each time would make it 100 items
                yield
        if run.hold and (yield from run.must_end()):  # asked last: the run may have ended while we gave way
            return
    if source is run.source:
        run.source_ended()


def _is_current(task: asyncio.Task[Any]) -> bool:
    """Say whether ``task`` is at work, and not being collected with its loop."""
    try:
        return asyncio.current_task() is task
    except RuntimeError:
        return False


def _settle_cancellation(
    run: Run, task: asyncio.Task[Any], level: int, caller: Caller | None, *, waited: bool
) -> Generator[Any, Any, None]:
    """Find out who cancelled ``task``: the run, the item's own code, or somebody who means the caller.

    What is not meant for the caller is taken back, whether it was delivered or still waits to be: before 3.13
    ``uncancel`` leaves the latter, so that it would hit the next item.
    """
    if caller is None and run.closed:
        return
    if caller is None and not run.is_awaited and _loop_ends():  # to go on with other items would hold it up
        raise asyncio.CancelledError
    alone = caller is None or not waited  # nobody else can have done it
    for _ in range(task.cancelling() - level if alone or caller is None else caller.forget()):
        if task.cancelling() > level:
            task.uncancel()
    if caller is not None and task.cancelling() > level:
        run.close("caller")
        return
    try:
        yield
    except asyncio.CancelledError as error:
        if caller is not None and task.cancelling() > level:
            run.close("caller", error)


def _loop_ends() -> bool:
    """Say whether every task is being cancelled, as `asyncio.run` does at its end."""
    return all(task.cancelling() for task in asyncio.all_tasks())


def context_root() -> object | None:
    """Return the map of variables that the current context shares with its copies until one of them sets one.

    The map is immutable, so its identity says whether anything was set. CPython shows it to the garbage
    collector only; None where it does not.
    """
    found = gc.get_referents(contextvars.copy_context())
    return found[0] if len(found) == 1 else None


@types.coroutine
def awaitable(steps: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
    """Return what a coroutine can await instead of ``yield from steps``."""
    return (yield from steps)


class Caller:
    """The caller's own task while it works too: keeps count of who cancelled it."""

    __slots__ = ("by_items", "by_run", "task", "waiting")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task: asyncio.Task[Any] = task
        self.waiting: bool = False  # whether an item of it waits, so that a cancellation reaches the item
        self.by_run: int = 0  # cancellations that the run sent to stop the item
        self.by_items: int = 0  # those that the items' own code made and did not take back

    def watch(self, step: Callable[..., Any], level: int) -> Callable[..., Any]:
        """Note that an item waits for the first time, and return what is to run its further steps."""
        self.by_items = self.task.cancelling() - level
        self.waiting = True
        return partial(self._step, step)

    def _step(self, step: Callable[..., Any], function: Callable[[Any], Any], argument: Any) -> Any:
        self.waiting = False
        before = self.task.cancelling()
        try:
            awaited = step(function, argument)
        finally:
            self.by_items = max(0, self.by_items + self.task.cancelling() - before)
        self.waiting = True
        return awaited

    def stop(self) -> None:
        """Cancel the item that waits, if one does."""
        if self.waiting and not self.by_run:
            self.by_run = 1
            self.task.cancel()

    def forget(self) -> int:
        """Return how many cancellations were not meant for the caller, and start to count anew."""
        ours = self.by_run + self.by_items
        self.by_run = self.by_items = 0
        return ours

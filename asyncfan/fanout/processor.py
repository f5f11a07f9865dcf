"""`ParallelProcessor`: many calls at once, with one set of rules."""

from __future__ import annotations

import inspect
import operator
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sized
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, Unpack, overload

from ..context import time_left
from .calling import Elsewhere, as_coroutine_function, close_coroutines
from .checks import adapting, check_chunk_size, positive_int, positive_number
from .dependencies import takes_arguments
from .late_binding import warn_of_late_binding
from .layers import Call, Tally, check_layers, layered
from .meter import Meter
from .named import NamedRun
from .policy import as_policy
from .run import Run
from .signatures import (
    AsyncFunction,
    AsyncTask,
    Collecting,
    Function,
    Items,
    MaxWorkers,
    Mode,
    OnError,
    ProcessorOptions,
    Raising,
    Task,
    Window,
)
from .stream import Stream, StreamRun

if TYPE_CHECKING:
    from .adaptive import LimitController
    from .hedge import Hedge
    from .limiter import Limiter
    from .offload import SupportsSubmit
    from .retry import Retry
    from .stats import ProcessorStats

__all__ = ["ParallelProcessor"]

K = TypeVar("K")
T = TypeVar("T")
R = TypeVar("R")

_BEHIND_A_SLOW_HEAD = 1000  # results that a stream in order keeps for it by default, before its workers must wait


class ParallelProcessor(Generic[Mode]):
    """Runs many calls at once, never more than ``max_workers`` of them.

    Args:
        max_workers: How many may run at once; None is no limit, ``"auto"`` or an `AdaptiveLimit` finds it out, for all
            calls of this processor together: see ``limit``.
        timeout: Seconds for one attempt, which is one call of a function; it is cancelled when they have passed.
        deadline: Seconds for the whole of one ``execute_parallel``, ``map`` or ``stream``. Calls inside see
            the time left as `asyncfan.context.time_left`; where an outer deadline is sooner, it holds. ``map`` and
            ``stream`` end before it when less is left than any of a hundred calls has taken: no further one starts.
        on_error: ``"raise"``: the first failure is raised itself, with a note that names the task, after the
            others were cancelled and have ended. What they raised while they were stopped is in further
            notes.
            ``"group"``: all run to their end, then an `ExceptionGroup` of all failures is raised.
            ``"collect"``: nothing is raised; each result is an `Outcome`.
        retry: A `Retry`: what failed is tried again. ``retry=Retry(3)``. A hedged attempt counts as one with its hedge.
        hedge: A `Hedge`: beside a call that takes longer than most a second one is made, and the first result taken;
            for calls that may be made twice. These second ones come on top of ``max_workers``.
        min_success: How many must succeed. Failures are tolerated as long as so many can: the results are those that
            succeeded, in order. When that has become impossible, the others are stopped and the failures raised as
            ``on_error`` says. At the ``deadline`` so many are enough too.
        first: How many successes are enough: the others are stopped then. As ``min_success`` it tolerates failures;
            give that too, and fewer, if fewer will do. Not for ``stream``: leave the loop instead.
        max_errors: After how many failures the others are stopped; for ``on_error`` other than ``"raise"``, which stops
            at the first, or with ``min_success``.
        limiter: A `Limiter` that each attempt passes, to share a limit with other processors.
        executor: Where plain functions and partials of them run: anything with the ``submit`` of
            `concurrent.futures.Executor`. None is the threads of the event loop: as many as the machine has
            processors and four more, 32 at most, however many ``max_workers`` there are, and DNS look-ups wait for the
            same; for more, give a ``ThreadPoolExecutor(100)``. What runs there cannot be stopped: who cancels it, its
            ``timeout`` and the ``deadline`` wait for its end; what has not begun is withdrawn. ``async def``
            functions and lambdas run here all the same. Context variables go to threads only.
        chunk_size: How many items of ``map`` and ``stream`` a plain function's thread or ``executor`` is sent at once;
            ``"auto"`` is so many as take about 50 ms. ``max_workers`` and ``buffer_size`` are chunks then. Each item
            still has a result or error of its own, and with 1 too it is safe from exceptions that break the pool
            because they cannot be unpickled. asyncfan must be installed where the chunks go.
        progress: ``progress(done, total)``, called on the loop after each item; ``total`` is None where it
            is not known. If it raises, the call ends and raises that error.
        name: What logs, tasks and messages call it.

    Raises:
        TypeError: An option is of the wrong type, such as ``retry=3``.
        ValueError: An option is out of its range, or never applies beside the others.

    Example:
        >>> import asyncio
        >>> from asyncfan.testing import run
        >>> async def price(item):
        ...     await asyncio.sleep(1)
        ...     return len(item)
        >>> processor = ParallelProcessor(max_workers=10)
        >>> run(processor.execute_parallel({"tea": lambda: price("tea"), "milk": lambda: price("milk")}))
        {'tea': 3, 'milk': 4}
        >>> run(processor.map(price, ["tea", "milk"]))
        [3, 4]
    """

    noun = "item"  # what messages call an item of `map` and `stream`

    @overload
    def __init__(
        self: ParallelProcessor[Raising],
        max_workers: MaxWorkers = 32,
        *,
        on_error: Raising = "raise",
        **options: Unpack[ProcessorOptions],
    ) -> None: ...
    @overload
    def __init__(
        self, max_workers: MaxWorkers = 32, *, on_error: Mode, **options: Unpack[ProcessorOptions]
    ) -> None: ...
    def __init__(
        self,
        max_workers: MaxWorkers = 32,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
        on_error: OnError = "raise",
        retry: Retry | None = None,
        hedge: Hedge | None = None,
        min_success: int | None = None,
        first: int | None = None,
        max_errors: int | None = None,
        limiter: Limiter | None = None,
        executor: SupportsSubmit | None = None,
        chunk_size: int | Literal["auto"] | None = None,
        progress: Callable[[int, int | None], object] | None = None,
        name: str | None = None,
    ) -> None:
        self._limit = adapting("max_workers", max_workers)
        positive_number("timeout", timeout)
        positive_number("deadline", deadline)
        if on_error not in ("raise", "group", "collect"):
            raise ValueError(f"on_error must be 'raise', 'group' or 'collect', got {on_error!r}")
        check_layers(retry, hedge, limiter)
        policy = as_policy(first, min_success, max_errors, on_error)
        check_chunk_size(chunk_size, timeout=timeout, limiter=limiter, retry=retry, hedge=hedge)
        if chunk_size is not None and self._limit is not None:
            raise TypeError("chunk_size needs a fixed max_workers: how long a chunk takes says little of one call")
        if executor is not None and not callable(getattr(executor, "submit", None)):
            raise TypeError(f"executor must have submit(), as concurrent.futures.Executor does, got {executor!r}")
        if inspect.iscoroutinefunction(progress) or not (progress is None or callable(progress)):
            raise TypeError(f"progress must be a plain function progress(done, total), got {progress!r}")
        self.max_workers = max_workers
        self.timeout = timeout
        self.deadline = deadline
        self.on_error: OnError = on_error
        self.retry = retry
        self.hedge = hedge
        self.limiter = limiter
        self.executor = executor
        self.chunk_size: int | Literal["auto"] | None = chunk_size
        self.progress = progress
        self.name = name
        self._policy = policy
        self._meter = Meter()

    # Results have the type of what the functions return, unless they may be outcomes: those are Any, for a type of
    # their own would double the signatures.

    @overload
    async def execute_parallel(  # type: ignore[overload-overlap]
        self: ParallelProcessor[Raising], tasks: Mapping[K, AsyncTask[R]]
    ) -> dict[K, R]: ...
    @overload
    async def execute_parallel(self: ParallelProcessor[Raising], tasks: Mapping[K, Task[R]]) -> dict[K, R]: ...
    @overload  # with parameters, which name others
    async def execute_parallel(
        self: ParallelProcessor[Raising], tasks: Mapping[str, Callable[..., object]]
    ) -> dict[str, Any]: ...
    @overload
    async def execute_parallel(
        self: ParallelProcessor[Collecting] | ParallelProcessor[OnError], tasks: Mapping[K, Callable[..., object]]
    ) -> dict[K, Any]: ...
    async def execute_parallel(self, tasks: Mapping[K, Callable[..., object]]) -> dict[K, Any]:
        """Call each function in an `asyncio.Task` of its own that has its name, and return their results.

        Args:
            tasks: ``{name: function}``: ``async def`` functions, lambdas or partials that return an
                awaitable, or plain functions, which run in threads. A task is called with the results of the
                tasks that its required parameters name, as soon as those have ended:
                ``{"user": get_user, "orders": lambda user: get_orders(user.id)}``. A parameter with a default
                keeps it, so that ``lambda i=item: ...`` binds a value.

        Returns:
            ``{name: result}`` in the order of ``tasks``; ``{name: Outcome}`` if ``on_error`` is
            ``"collect"``.

        Raises:
            Exception: What a task raised (``on_error="raise"``), when no other runs any more.
            ExceptionGroup: What the tasks raised (``"group"``).
            DeadlineExceededError: The ``deadline`` passed (not with ``"collect"``); it has the ``outcomes``.
            SelfCancelledError: A task raised `asyncio.CancelledError` though nobody had cancelled it.
            TypeError: ``tasks`` is not a mapping of functions, or one takes what no task is called.
            ValueError: Tasks wait for each other in a ring.

        With ``"collect"``, what needs a task that has no value is not started, and its outcome's exception is a
        `DependencyFailedError`; all others go on.

        Cancellation: Cancels all tasks and waits for their end.
        """
        if not isinstance(tasks, Mapping):
            raise TypeError(
                f"tasks must be a mapping {{name: function}}, got {tasks!r}; for a list of items: map(fn, items)"
            )
        warn_of_late_binding(tasks)
        names = list(tasks)
        kind: Callable[..., Any] = NamedRun
        tally = self._tally()
        try:
            if any(map(takes_arguments, tasks.values())):
                from .graph import arrange  # noqa: PLC0415 - few fan-outs have dependencies

                tasks, kind = arrange(tasks, self.executor)
            calls = [self._prepare(function, f"tasks[{name!r}]", tally) for name, function in tasks.items()]
        except (TypeError, ValueError):
            close_coroutines(tasks.values())  # else their warnings would hide the error
            raise
        facts: dict[str, Any] = {"noun": "task", "names": names, "total": len(names), "tally": tally}
        run = self._run(operator.call, "ParallelProcessor", kind=kind, **facts)
        found: dict[K, Any] = run.named(await run.every(calls))
        return found

    @overload
    async def map(self: ParallelProcessor[Raising], fn: AsyncFunction[T, R], items: Items[T]) -> list[R]: ...
    @overload
    async def map(self: ParallelProcessor[Raising], fn: Function[T, R], items: Items[T]) -> list[R]: ...
    @overload
    async def map(
        self: ParallelProcessor[Collecting] | ParallelProcessor[OnError], fn: Callable[[T], object], items: Items[T]
    ) -> list[Any]: ...
    async def map(self, fn: Callable[[Any], Any], items: Items[Any]) -> list[Any]:
        """Call ``fn`` with each item and return the results in the items' order.

        Items are pulled when a worker is free. The first worker is the caller's own task, so that calls that
        never wait cost no task.

        Args:
            fn: Called with an item: an ``async def`` function, a lambda or partial, which is called on the loop and
                its awaitable awaited, or a plain function, which runs in threads or in the ``executor``.
            items: Any iterable or async iterable.

        Returns:
            A list of results, of an `Outcome` each if ``on_error`` is ``"collect"``.

        Raises:
            Exception: As `execute_parallel`; also what ``items`` raises.

        Cancellation: Cancels all calls and waits for their end.
        """
        tally, total = self._tally(), _length(items, "items")
        call, kind = self._plan(fn, Run, tally)
        run = self._run(call, _name_of(fn), noun=self.noun, total=total, tally=tally, kind=kind)
        results: list[Any] = await run.every(items)
        return results

    @overload
    def stream(
        self: ParallelProcessor[Raising], fn: AsyncFunction[T, R], items: Items[T], **options: Unpack[Window]
    ) -> Stream[R]: ...
    @overload
    def stream(
        self: ParallelProcessor[Raising], fn: Function[T, R], items: Items[T], **options: Unpack[Window]
    ) -> Stream[R]: ...
    @overload
    def stream(
        self: ParallelProcessor[Collecting] | ParallelProcessor[OnError],
        fn: Callable[[T], object],
        items: Items[T],
        **options: Unpack[Window],
    ) -> Stream[Any]: ...
    def stream(
        self,
        fn: Callable[[Any], Any],
        items: Items[Any],
        *,
        ordered: bool = True,
        buffer_size: int | None = None,
    ) -> Stream[Any]:
        """Call ``fn`` with each item and iterate over the results while they come, in constant memory.

        Args:
            fn: As for `map`.
            items: Any iterable or async iterable, endless ones too; pulled when a worker is free.
            ordered: Whether results come in the items' order or as they are completed.
            buffer_size: How many items may be ahead of the consumer besides those that run, so many results may have
                to be kept. By default that is as many as ``max_workers`` for a slow consumer (1,000 if that is
                None), and up to 1,000 behind an item at the head that is slower than the others: it holds up the
                results, but no worker until then. Give a number where results are large, or where one item may
                take longer than a thousand others.

        Returns:
            A `Stream`: ``async for result in processor.stream(...)``, in an ``async with`` where leaving the
            loop early must wait for the workers' end.
        """
        positive_int("buffer_size", buffer_size)
        if self._policy is not None and self._policy.min_success is not None:
            raise TypeError("a stream takes neither first nor min_success: count its results, and leave the loop")
        most = self.max_workers if self.limit is None else self.limit.most
        workers = most if isinstance(most, int) else None
        buffer = buffer_size or workers or 1000
        window = buffer + (workers or 0)
        reach = window if buffer_size else max(window, _BEHIND_A_SLOW_HEAD)
        tally, total = self._tally(), _length(items, "items")
        call, kind = self._plan(fn, partial(StreamRun, ordered=ordered, window=window, reach=reach), tally)
        facts: dict[str, Any] = {"noun": self.noun, "total": total, "tally": tally}
        return Stream(lambda: self._run(call, _name_of(fn), kind=kind, **facts), items)

    @property
    def limit(self) -> LimitController | None:
        """What finds ``max_workers``: the ``current`` limit, and a ``trace`` of its changes; None if fixed."""
        return None if self._limit is None else self._limit.controller

    def stats(self) -> ProcessorStats:
        """Return counts of items and their times, over all calls so far."""
        return self._meter.snapshot(None if self.limit is None else self.limit.current)

    def __repr__(self) -> str:
        stats = self.stats()
        limit = self.max_workers or "unlimited" if stats.limit is None else f"{stats.limit} (auto)"
        return (
            f"<ParallelProcessor {self.name + ' ' if self.name else ''}{stats.running}/{limit} running, "
            f"{stats.ok} ok, {stats.failed} failed>"
        )

    def _tally(self) -> Tally | None:
        return None if self.retry is None and self.hedge is None else Tally(self._meter)

    def _prepare(self, function: Any, where: str, tally: Tally | None) -> Call:
        return self._layered(self._placed(function, where), where, tally)

    def _placed(self, function: Any, where: str) -> Call:
        try:
            return as_coroutine_function(function, self.executor)
        except TypeError as error:
            raise TypeError(f"{where}: {error}") from None

    def _layered(self, call: Call, where: str, tally: Tally | None) -> Call:
        if self.hedge is not None:
            self.hedge.check(call, where)
        return layered(
            call,
            timeout=self.timeout,
            limit=self._limit,
            limiter=self.limiter,
            retry=self.retry,
            hedge=self.hedge,
            tally=tally,
            in_time=self.deadline is not None or time_left() is not None,
        )

    def _plan(self, fn: Any, kind: Callable[..., Any], tally: Tally | None) -> tuple[Call, Callable[..., Any]]:
        """Return what calls ``fn`` with an item, or with a chunk of them, and the kind of run that does so."""
        call = self._placed(fn, "fn")
        if not isinstance(call, Elsewhere):
            return self._layered(call, "fn", tally), kind
        if self.chunk_size is None:
            return self._layered(call, "fn", tally), partial(kind, waits=True)
        from .chunked import in_chunks  # noqa: PLC0415 - seldom used

        return in_chunks(call, self.chunk_size, kind)

    def _run(self, call: Callable[..., Any], name: str, *, kind: Callable[..., Any] = Run, **facts: Any) -> Any:
        return kind(
            call,
            max_workers=self.max_workers if isinstance(self.max_workers, int) else None,
            limit=self._limit,
            on_error=self.on_error,
            deadline=self.deadline,
            progress=self.progress,
            policy=self._policy,
            meter=self._meter,
            name=self.name or name,
            **facts,
        )


def _name_of(fn: Any) -> str:
    return getattr(fn, "__qualname__", None) or type(fn).__name__


def _length(items: Any, what: str) -> int | None:
    if isinstance(items, AsyncIterable) and isinstance(items, Iterable):
        return None  # it is iterated asynchronously, so that len() might block: Django's QuerySet asks the database
    if isinstance(items, Iterable | AsyncIterable):
        return len(items) if isinstance(items, Sized) else None
    if hasattr(items, "__getitem__"):  # the old protocol of sequences
        return None
    raise TypeError(f"{what} must be an iterable or an async iterable, got {items!r}")

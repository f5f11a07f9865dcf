"""`gather`, `amap` and `astream`: the fan-out without a class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from .calling import close_coroutines
from .outcome import Outcome
from .processor import ParallelProcessor
from .signatures import (
    AsyncFunction,
    AsyncTask,
    Attempts,
    Collecting,
    Function,
    Items,
    MapOptions,
    MaxWorkers,
    OnError,
    ProcessorOptions,
    Raising,
    StreamOptions,
    Task,
)
from .stream import Stream

if TYPE_CHECKING:
    from .hedge import Hedge
    from .retry import Retry

__all__ = ["amap", "astream", "gather"]

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
K = TypeVar("K")
T = TypeVar("T")
R = TypeVar("R")


# Where keys may be names, both say str. Named plain functions give Any: mypy finds no R for async ones beside them.
@overload
async def gather(tasks: Mapping[K, AsyncTask[R]], /, **options: Unpack[Attempts]) -> dict[K, R]: ...  # type: ignore[overload-overlap]
@overload
async def gather(tasks: Mapping[K, Task[R]], /, **options: Unpack[Attempts]) -> dict[K, R]: ...  # type: ignore[overload-overlap]
@overload
async def gather(
    tasks: Mapping[str, AsyncTask[R]] | None = None,
    /,
    *,
    timeout: float | None = None,
    deadline: float | None = None,
    retry: Retry | None = None,
    hedge: Hedge | None = None,
    **named: AsyncTask[R],
) -> dict[str, R]: ...
@overload
async def gather(
    tasks: Mapping[str, Callable[..., object]] | None = None,
    /,
    *,
    timeout: float | None = None,
    deadline: float | None = None,
    retry: Retry | None = None,
    hedge: Hedge | None = None,
    **named: Callable[..., object],
) -> dict[str, Any]: ...
@overload
async def gather(a: AsyncTask[A], /, **options: Unpack[Attempts]) -> tuple[A]: ...
@overload
async def gather(a: AsyncTask[A], b: AsyncTask[B], /, **options: Unpack[Attempts]) -> tuple[A, B]: ...
@overload
async def gather(
    a: AsyncTask[A], b: AsyncTask[B], c: AsyncTask[C], /, **options: Unpack[Attempts]
) -> tuple[A, B, C]: ...
@overload
async def gather(
    a: AsyncTask[A], b: AsyncTask[B], c: AsyncTask[C], d: AsyncTask[D], /, **options: Unpack[Attempts]
) -> tuple[A, B, C, D]: ...
@overload
async def gather(
    a: AsyncTask[A], b: AsyncTask[B], c: AsyncTask[C], d: AsyncTask[D], e: AsyncTask[E], /, **options: Unpack[Attempts]
) -> tuple[A, B, C, D, E]: ...
@overload
async def gather(
    a: AsyncTask[A],
    b: AsyncTask[B],
    c: AsyncTask[C],
    d: AsyncTask[D],
    e: AsyncTask[E],
    f: AsyncTask[F],
    /,
    **options: Unpack[Attempts],
) -> tuple[A, B, C, D, E, F]: ...
@overload
async def gather(*tasks: Callable[..., object], **options: Unpack[Attempts]) -> tuple[Any, ...]: ...
async def gather(
    *tasks: Any,
    timeout: float | None = None,
    deadline: float | None = None,
    retry: Retry | None = None,
    hedge: Hedge | None = None,
    **named: Any,
) -> Any:
    """Call all functions at once and return ``{name: result}``; a failure cancels the others and is raised.

    As `ParallelProcessor.execute_parallel` with no limit; take that for limits and outcomes. What it says of
    ``timeout``, ``deadline``, ``retry`` and ``hedge`` holds here too; a task of such a name is given in a mapping. A
    task is called with the results of the tasks that its required parameters name, when those have ended.

    Functions without names give a tuple, each result with its own type: ``a, b = await gather(get_a, get_b)``. For
    names with types see `gather_into`.

    Raises:
        Exception: What a task raised, when no other runs any more.
        TypeError: A task is no function, or takes what no task is called; none has begun.
        ValueError: Tasks wait for each other in a ring; none has begun.

    Cancellation: Cancels all tasks and waits for their end.

    Example:
        >>> from asyncfan.testing import run
        >>> async def load(what):
        ...     return f"the {what}"
        >>> run(gather(user=lambda: load("user"), orders=lambda user: load(f"orders of {user}")))
        {'user': 'the user', 'orders': 'the orders of the user'}
        >>> run(gather(lambda: load("user"), lambda: load("news")))
        ('the user', 'the news')
    """
    processor = ParallelProcessor(None, timeout=timeout, deadline=deadline, retry=retry, hedge=hedge, name="gather")
    first: Any = tasks[0] if len(tasks) == 1 else None
    if not tasks or (len(tasks) == 1 and first is None):
        return await processor.execute_parallel(named)
    if isinstance(first, Iterable):  # a mapping, or a mistake
        given: Any = first
        return await processor.execute_parallel({**given, **named} if named else given)
    if named:
        close_coroutines((*tasks, *named.values()))
        raise TypeError(
            "some tasks have names and some have not: name them all, gather(user=get_user, news=get_news), or none"
        )
    results = await processor.execute_parallel(dict(enumerate(tasks)))
    return tuple(results.values())


@overload
async def amap(
    fn: AsyncFunction[T, R], items: Items[T], *, on_error: Raising = "raise", **options: Unpack[MapOptions]
) -> list[R]: ...
@overload
async def amap(
    fn: AsyncFunction[T, R], items: Items[T], *, on_error: Collecting, **options: Unpack[MapOptions]
) -> list[Outcome[R]]: ...
@overload
async def amap(
    fn: Function[T, R], items: Items[T], *, on_error: Raising = "raise", **options: Unpack[MapOptions]
) -> list[R]: ...
@overload
async def amap(
    fn: Function[T, R], items: Items[T], *, on_error: Collecting, **options: Unpack[MapOptions]
) -> list[Outcome[R]]: ...
async def amap(
    fn: Callable[[Any], Any],
    items: Items[Any],
    *,
    max_workers: MaxWorkers = 32,
    on_error: OnError = "raise",
    **options: Unpack[ProcessorOptions],
) -> list[Any]:
    """Call ``fn`` with each item, ``max_workers`` at a time, and return the results in the items' order.

    As `ParallelProcessor.map`, whose options it takes.

    Raises:
        Exception: What ``fn`` or ``items`` raised, when no call runs any more.

    Cancellation: Cancels all calls and waits for their end.

    Example:
        >>> from asyncfan.testing import run
        >>> async def double(x):
        ...     return 2 * x
        >>> run(amap(double, range(3)))
        [0, 2, 4]
    """
    return await ParallelProcessor(max_workers, on_error=on_error, **options).map(fn, items)


@overload
def astream(
    fn: AsyncFunction[T, R], items: Items[T], *, on_error: Raising = "raise", **options: Unpack[StreamOptions]
) -> Stream[R]: ...
@overload
def astream(
    fn: AsyncFunction[T, R], items: Items[T], *, on_error: Collecting, **options: Unpack[StreamOptions]
) -> Stream[Outcome[R]]: ...
@overload
def astream(
    fn: Function[T, R], items: Items[T], *, on_error: Raising = "raise", **options: Unpack[StreamOptions]
) -> Stream[R]: ...
@overload
def astream(
    fn: Function[T, R], items: Items[T], *, on_error: Collecting, **options: Unpack[StreamOptions]
) -> Stream[Outcome[R]]: ...
def astream(
    fn: Callable[[Any], Any],
    items: Items[Any],
    *,
    max_workers: MaxWorkers = 32,
    ordered: bool = True,
    buffer_size: int | None = None,
    on_error: OnError = "raise",
    **options: Unpack[ProcessorOptions],
) -> Stream[Any]:
    """Call ``fn`` with each item, ``max_workers`` at a time, and iterate over the results in constant memory.

    As `ParallelProcessor.stream`, which tells of ``ordered`` and ``buffer_size``. Nothing runs before the first result
    is asked for; whoever may leave the loop early says ``async with astream(...) as results``, which waits for the end
    of what runs.

    Raises:
        Exception: While iterating, what ``fn`` or ``items`` raised, when no call runs any more.

    Cancellation: Cancels all calls and waits for their end.

    Example:
        >>> from asyncfan.testing import run
        >>> async def double(x):
        ...     return 2 * x
        >>> async def main():
        ...     return [y async for y in astream(double, range(3))]
        >>> run(main())
        [0, 2, 4]
    """
    processor = ParallelProcessor(max_workers, on_error=on_error, **options)
    return processor.stream(fn, items, ordered=ordered, buffer_size=buffer_size)

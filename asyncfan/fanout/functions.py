"""`gather`, `amap` and `astream`: the fan-out without a class."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import Any

from .processor import ParallelProcessor
from .stream import Stream

__all__ = ["amap", "astream", "gather"]


async def gather(tasks: Mapping[Any, Callable[[], Any]] | None = None, /, **named: Callable[[], Any]) -> dict[Any, Any]:
    """Call all functions at once and return ``{name: result}``; a failure cancels the others and is raised.

    As `ParallelProcessor.execute_parallel` with no limit; take that for limits, timeouts and outcomes.

    Raises:
        Exception: What a task raised, when no other runs any more.

    Cancellation: Cancels all tasks and waits for their end.

    Example:
        >>> from asyncfan.testing import run
        >>> async def load(what):
        ...     return f"the {what}"
        >>> run(gather(user=lambda: load("user"), orders=lambda: load("orders")))
        {'user': 'the user', 'orders': 'the orders'}
    """
    return await ParallelProcessor(None, name="gather").execute_parallel(
        named if tasks is None else {**tasks, **named} if named else tasks
    )


async def amap(
    fn: Callable[[Any], Any],
    items: Iterable[Any] | AsyncIterable[Any],
    *,
    max_workers: int | None = 32,
    **options: Any,
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
    return await ParallelProcessor(max_workers, **options).map(fn, items)


def astream(
    fn: Callable[[Any], Any],
    items: Iterable[Any] | AsyncIterable[Any],
    *,
    max_workers: int | None = 32,
    ordered: bool = True,
    buffer_size: int | None = None,
    **options: Any,
) -> Stream:
    """Call ``fn`` with each item, ``max_workers`` at a time, and iterate over the results in constant memory.

    As `ParallelProcessor.stream`, whose options it takes.

    Example:
        >>> from asyncfan.testing import run
        >>> async def double(x):
        ...     return 2 * x
        >>> async def main():
        ...     return [y async for y in astream(double, range(3))]
        >>> run(main())
        [0, 2, 4]
    """
    return ParallelProcessor(max_workers, **options).stream(fn, items, ordered=ordered, buffer_size=buffer_size)

"""Items cut into batches by number and weight, pulled no earlier than a batch needs them."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sized
from typing import Any

__all__ = ["Weight", "chunks", "weigh"]

Weight = Callable[[Any], float]


def chunks(
    items: Iterable[Any] | AsyncIterable[Any],
    size: int | Callable[[], int],
    weight: Weight | None,
    max_weight: float | None,
) -> Iterable[list[Any]] | AsyncIterable[list[Any]]:
    """Return the batches of ``items``, as lists: asynchronously if ``items`` are, sized if that is known.

    A ``size`` that is a function is asked when a batch begins.

    Raises (while iterating):
        ValueError: One item alone weighs more than ``max_weight``, or less than 0.
    """
    if isinstance(items, AsyncIterable):
        return _async_chunks(items, _Batch(size, weight, max_weight))
    if weight is None and isinstance(items, Sized) and isinstance(size, int):
        return _SizedChunks(items, size)
    return _chunks(items, _Batch(size, weight, max_weight))


class _Batch:
    """The batch that is being filled."""

    def __init__(self, size: int | Callable[[], int], weight: Weight | None, max_weight: float | None) -> None:
        self._sizes = None if isinstance(size, int) else size
        self._size = size if isinstance(size, int) else size()
        self._weight, self._max_weight = weight, max_weight
        self._items: list[Any] = []
        self._weighs = 0.0
        self._count = 0  # items so far, over all batches

    def add(self, item: Any) -> Iterator[list[Any]]:
        """Add ``item``; yield the batch that has no room for it, and the one that it completes."""
        weighs = self._weigh(item)
        if self._max_weight is not None and self._weighs + weighs > self._max_weight:
            yield from self.rest()
        self._items.append(item)
        self._weighs += weighs
        self._count += 1
        if len(self._items) == self._size:
            yield from self.rest()

    def rest(self) -> Iterator[list[Any]]:
        """Yield what is in the batch, if anything, and begin the next one."""
        items, self._items, self._weighs = self._items, [], 0.0
        if items:
            yield items
        if self._sizes is not None:  # only now: this goes on when the next batch is asked for
            self._size = self._sizes()

    def _weigh(self, item: Any) -> float:
        if self._weight is None:
            return 0.0
        return weigh(self._weight, item, f"item {self._count}", self._max_weight)


def weigh(weight: Weight, item: Any, name: str, max_weight: float | None) -> float:
    """Return what ``item`` weighs.

    Raises:
        ValueError: It is negative, or more than a whole batch may weigh.
    """
    weighs = weight(item)
    if not weighs >= 0:
        raise ValueError(f"weight must return a number >= 0, got {weighs!r} for {name}")
    if max_weight is not None and weighs > max_weight:
        raise ValueError(f"{name} weighs {weighs!r}, more than a whole batch may: max_batch_weight={max_weight!r}")
    return weighs


class _SizedChunks:
    def __init__(self, items: Any, size: int) -> None:
        self._items, self._size = items, size

    def __len__(self) -> int:
        return (len(self._items) + self._size - 1) // self._size

    def __iter__(self) -> Iterator[list[Any]]:
        return _chunks(self._items, _Batch(self._size, None, None))


def _chunks(items: Iterable[Any], batch: _Batch) -> Iterator[list[Any]]:
    for item in items:
        yield from batch.add(item)
    yield from batch.rest()


async def _async_chunks(items: AsyncIterable[Any], batch: _Batch) -> AsyncIterator[list[Any]]:
    async for item in items:
        for full in batch.add(item):
            yield full
    for full in batch.rest():
        yield full

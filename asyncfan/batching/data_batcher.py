"""`DataBatcher`: many items in batches, several batches at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack, overload

from ..fanout.checks import adapting, positive_int
from ..fanout.processor import ParallelProcessor
from ..fanout.signatures import AsyncFunction, Collecting, Function, Items, MaxWorkers, Mode, OnError, Options, Raising
from ..fanout.stream import Stream
from .chunks import chunks

if TYPE_CHECKING:
    from ..fanout.adaptive import Auto, LimitController
    from ..fanout.layers import Tally
    from ..fanout.stats import ProcessorStats
    from .adapting import SharedSize
    from .adaptive import AdaptiveBatchSize, SizeController

__all__ = ["DataBatcher"]

T = TypeVar("T")
R = TypeVar("R")


class DataBatcher(Generic[Mode]):
    """Cuts items into batches and calls a function with each batch.

    Args:
        batch_size: How many items a batch has; the last one may have fewer. ``"auto"`` or an `AdaptiveBatchSize` finds
            it out: see ``size``.
        max_concurrent_batches: How many batches may be worked on at once; None is no limit, ``"auto"`` or an
            `AdaptiveLimit` finds it out: see ``limit``.
        weight: ``weight(item)``, in whatever unit the backend's limit is given: bytes, tokens, parameters.
        max_batch_weight: What the items of one batch may weigh together.
        on_error: As for `ParallelProcessor`, with a batch as the item: ``"raise"``, ``"group"`` or
            ``"collect"``.
        **options: As for `ParallelProcessor`, with a batch as the item: ``timeout`` for one attempt at a batch,
            ``deadline`` for one call of ``process_batches`` or ``stream_batches``, ``retry`` and ``hedge`` for
            functions that may be called twice with a batch, ``min_success``, ``first`` and ``max_errors`` in batches,
            ``limiter``, ``executor``, ``progress`` and ``name``.

    Raises:
        TypeError: An option is of the wrong type, or ``weight`` and ``max_batch_weight`` do not come together.
        ValueError: An option is out of its range, or never applies beside the others.

    Example:
        >>> from asyncfan.testing import run
        >>> async def insert(rows):
        ...     return len(rows)
        >>> run(DataBatcher(batch_size=2).process_batches(["a", "b", "c"], insert))
        [2, 1]
    """

    @overload
    def __init__(
        self: DataBatcher[Raising],
        batch_size: int | Auto | AdaptiveBatchSize = 100,
        *,
        max_concurrent_batches: MaxWorkers = 1,
        weight: Callable[[Any], float] | None = None,
        max_batch_weight: float | None = None,
        on_error: Raising = "raise",
        **options: Unpack[Options],
    ) -> None: ...
    @overload
    def __init__(
        self,
        batch_size: int | Auto | AdaptiveBatchSize = 100,
        *,
        max_concurrent_batches: MaxWorkers = 1,
        weight: Callable[[Any], float] | None = None,
        max_batch_weight: float | None = None,
        on_error: Mode,
        **options: Unpack[Options],
    ) -> None: ...
    def __init__(
        self,
        batch_size: int | Auto | AdaptiveBatchSize = 100,
        *,
        max_concurrent_batches: MaxWorkers = 1,
        weight: Callable[[Any], float] | None = None,
        max_batch_weight: float | None = None,
        on_error: OnError = "raise",
        **options: Unpack[Options],
    ) -> None:
        self._size = _adapting(batch_size)
        if self._size is not None and not (max_concurrent_batches is None or isinstance(max_concurrent_batches, int)):
            raise TypeError(
                "batch_size and max_concurrent_batches cannot both adapt: each would take the other's steps for the "
                "backend's"
            )
        adapting("max_concurrent_batches", max_concurrent_batches)
        if (weight is None) != (max_batch_weight is None):
            raise TypeError("weight and max_batch_weight go together: weight=len, max_batch_weight=1_000_000")
        if weight is not None and not callable(weight):
            raise TypeError(f"weight must be a function of an item, got {weight!r}")
        if max_batch_weight is not None and not max_batch_weight > 0:
            raise ValueError(f"max_batch_weight must be > 0 or None, got {max_batch_weight!r}")
        self.batch_size = batch_size
        self.max_concurrent_batches = max_concurrent_batches
        self.weight = weight
        self.max_batch_weight = max_batch_weight
        self._processor = _BatchProcessor(self._size, max_concurrent_batches, on_error=on_error, **options)

    # Results have a type where they have one in `ParallelProcessor`.

    @overload
    async def process_batches(
        self: DataBatcher[Raising], items: Items[T], fn: AsyncFunction[list[T], R]
    ) -> list[R]: ...
    @overload
    async def process_batches(self: DataBatcher[Raising], items: Items[T], fn: Function[list[T], R]) -> list[R]: ...
    @overload
    async def process_batches(
        self: DataBatcher[Collecting] | DataBatcher[OnError], items: Items[T], fn: Callable[[list[T]], object]
    ) -> list[Any]: ...
    async def process_batches(self, items: Items[Any], fn: Callable[[list[Any]], Any]) -> list[Any]:
        """Call ``fn`` with each batch, a list, and return one result a batch, in order.

        A batch that is too large for the backend is sent in parts, where ``batch_size`` adapts, and has a result for
        each of them; it is cut in halves until they go through.

        Items are pulled when a batch is about to be worked on: an iterable may be endless only if ``fn``
        ends it.

        Raises:
            Exception: As `ParallelProcessor.map`; also what ``items`` or ``weight`` raises.
            ValueError: One item alone weighs more than ``max_batch_weight``.

        Cancellation: Cancels the batches that run and waits for their end.
        """
        results = await self._processor.map(fn, self._batches(items))
        return results if self._size is None else self._size.flatten(results)

    @overload
    def stream_batches(
        self: DataBatcher[Raising], items: Items[T], fn: AsyncFunction[list[T], R], *, ordered: bool = True
    ) -> Stream[R]: ...
    @overload
    def stream_batches(
        self: DataBatcher[Raising], items: Items[T], fn: Function[list[T], R], *, ordered: bool = True
    ) -> Stream[R]: ...
    @overload
    def stream_batches(
        self: DataBatcher[Collecting] | DataBatcher[OnError],
        items: Items[T],
        fn: Callable[[list[T]], object],
        *,
        ordered: bool = True,
    ) -> Stream[Any]: ...
    def stream_batches(self, items: Items[Any], fn: Callable[[list[Any]], Any], *, ordered: bool = True) -> Stream[Any]:
        """Call ``fn`` with each batch and iterate over the results while they come, in constant memory.

        At most ``max_concurrent_batches + 1`` batches are ahead of the consumer. See
        `ParallelProcessor.stream`.
        """
        return self._processor.stream(fn, self._batches(items), ordered=ordered, buffer_size=1)

    @property
    def size(self) -> SizeController | None:
        """What finds ``batch_size``: the ``current`` size, and a ``trace`` of its changes; None if fixed."""
        return None if self._size is None else self._size.controller

    @property
    def limit(self) -> LimitController | None:
        """What finds ``max_concurrent_batches``: the ``current`` limit and a ``trace``; None if fixed."""
        return self._processor.limit

    def stats(self) -> ProcessorStats:
        """Return counts of batches and their times, over all calls so far."""
        return self._processor.stats()

    def __repr__(self) -> str:
        stats = self.stats()
        done = f"{stats.running} batches running, {stats.ok} ok, {stats.failed} failed"
        size = self.batch_size if self.size is None else f"{self.size.current} (auto)"
        return f"<DataBatcher of {size}, {done}>"

    def _batches(self, items: Any) -> Any:
        if isinstance(items, str | bytes):
            raise TypeError(f"items must be an iterable of items, got one string: [{items!r:.40}]?")
        size = self.batch_size if isinstance(self.batch_size, int) else self._current
        return chunks(items, size, self.weight, self.max_batch_weight)

    def _current(self) -> int:
        assert self.size is not None  # noqa: S101 - only asked where it adapts
        return self.size.current


class _BatchProcessor(ParallelProcessor[OnError]):
    noun = "batch"

    def __init__(self, size: SharedSize | None, max_workers: MaxWorkers, **options: Any) -> None:
        super().__init__(max_workers, **options)
        self._size = size

    def _layered(self, call: Callable[..., Any], where: str, tally: Tally | None) -> Callable[..., Any]:
        call = super()._layered(call, where, tally)
        return call if self._size is None else self._size.measured(call)

    def stream(self, *args: Any, **options: Any) -> Stream[Any]:
        found = super().stream(*args, **options)
        return found if self._size is None else self._size.flat(found)


def _adapting(batch_size: Any) -> SharedSize | None:
    """Refuse what is no size of batches; return what finds it, if it is to be found."""
    if isinstance(batch_size, int) and not isinstance(batch_size, bool):
        positive_int("batch_size", batch_size, none="")
        return None
    from .adapting import SharedSize  # noqa: PLC0415 - most sizes are fixed
    from .adaptive import AdaptiveBatchSize  # noqa: PLC0415

    option = AdaptiveBatchSize() if batch_size == "auto" else batch_size
    if isinstance(option, AdaptiveBatchSize):
        return SharedSize(option)
    kind = ValueError if isinstance(batch_size, str) else TypeError
    raise kind(f"batch_size must be an int >= 1, 'auto' or an AdaptiveBatchSize, got {batch_size!r}")

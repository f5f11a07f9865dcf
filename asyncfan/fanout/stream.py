"""Results of a fan-out while they come: a window over the source, in constant memory.

A slow consumer and a slow item at the head of the line are two things. Results that the consumer could take already
are few, so that large ones fill no memory; behind a head that still runs there may be more, so that no worker idles.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from typing import Any, Generic, Self, TypeVar

from ..exceptions import SelfCancelledError
from .crew import Closed
from .outcome import Outcome
from .run import MISSING, Run

__all__ = ["Stream", "StreamRun"]

R = TypeVar("R")


class Stream(Generic[R]):
    """The results of one streamed fan-out; made by `ParallelProcessor.stream`.

    Nothing runs before the first result is asked for. Leaving the loop early stops the workers: ``async
    with`` or ``aclose()`` waits for their end, a bare ``break`` leaves that to the event loop.

    Raises (while iterating):
        Exception: As `ParallelProcessor.execute_parallel`: with ``on_error="raise"`` as soon as one item
            failed, even if earlier results have not been taken; with ``"group"`` after the last result.

    Cancellation: Cancels all calls and waits for their end.

    Example:
        >>> from asyncfan.fanout import astream
        >>> from asyncfan.testing import run
        >>> async def double(x):
        ...     return 2 * x
        >>> async def main():
        ...     async with astream(double, range(10)) as results:
        ...         async for y in results:
        ...             if y > 5:
        ...                 return y
        >>> run(main())
        6
    """

    def __init__(self, make_run: Callable[[], StreamRun], items: Iterable[Any] | AsyncIterable[Any]) -> None:
        self._make_run = make_run
        self._items = items
        self._run: StreamRun | None = None  # from the first result on
        self._results: AsyncGenerator[R, None] = self._iterate()

    def __aiter__(self) -> AsyncIterator[R]:
        return self._results  # itself, not self: a bare `break` drops the generator, and the loop then closes it

    async def __anext__(self) -> R:
        return await self._results.__anext__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop the workers and wait for their end.

        Raises:
            Exception: What an item raised while it was stopped.
        """
        await self._results.aclose()

    def __repr__(self) -> str:
        if self._run is None:
            return "<Stream not begun>"
        run = self._run
        return f"<Stream {run.name!r} {run.taken} taken, {len(run.tasks)} workers>"

    async def _iterate(self) -> AsyncGenerator[Any, None]:
        run = self._run = self._make_run()
        run.begin()
        try:
            if run.open(self._items):
                run.start()
            while run.on_error == "collect" or not run.closed:
                while run.ready:
                    result = run.take()
                    if result is not MISSING:
                        yield result
                if not run.tasks:
                    break
                await run.news()
        except GeneratorExit:
            await self._leave(run)
            raise
        except asyncio.CancelledError as error:
            await self._end(run, "caller", error)
        else:
            await self._end(run, "left")
        for outcome in run.never_started():
            yield outcome

    async def _leave(self, run: StreamRun) -> None:
        try:
            await self._end(run, "left")
        except* SelfCancelledError:  # an event loop that ends cancels the workers before it closes this
            pass

    async def _end(self, run: StreamRun, why: Closed, cause: BaseException | None = None) -> None:
        if run.loop.is_closed():  # nothing can be awaited any more
            run.end()
            return
        if run.tasks or cause is not None:  # a cancellation counts even if all had just ended
            run.close(why, cause)
        await run.finish()
        run.end()
        run.verdict()


class StreamRun(Run):
    """The books of a stream: at most ``window`` items are between the source and the consumer.

    While the next result is not there yet, which others then wait for, they may be ``reach``.
    """

    pulled: int  # the run's, set here too
    hold: bool

    def __init__(self, *args: Any, ordered: bool, window: int, reach: int, **facts: Any) -> None:
        super().__init__(*args, **facts)
        self.window = window
        self.reach: int = reach if ordered else 0  # results in any order wait for nobody
        self.taken: int = 0  # results that the consumer has
        self.out: Any = _InOrder(self._wake) if ordered else _AsCompleted(self._wake)
        self._parked: deque[asyncio.Future[None]] = deque()  # workers that wait for room, the longest first
        self._news: asyncio.Future[None] | None = None  # set while the consumer waits

    @property
    def ready(self) -> bool:
        """Whether the next result is there."""
        return bool(self.out.ready())

    def number(self, items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Yield each item with its index, and count it."""
        for item in items:
            yield self.pull(), item

    def pull(self) -> int:
        """Count an item, which may be the one that fills the window, and return its index."""
        self.pulled += 1
        if self.pulled - self.taken >= self.window:
            self.hold = True
        return self.pulled - 1

    @property
    def running(self) -> int:
        """How many items run now."""
        return len(self.tasks) - len(self._parked)

    def busy(self) -> int:
        """Return how many workers have an item, or will take one without waiting for it."""
        return super().busy() if self._asking else self.running  # with an async source, who waits for room asks

    def failed(self, i: int, error: BaseException, started: float | None) -> None:
        """Keep the books of an item that has no result, and let the next one be taken in its place."""
        super().failed(i, error, started)
        if self.too_late:
            self._admit_all()
        if not self.keep:
            self.out[i] = MISSING

    def take(self) -> Any:
        """Hand the next result to the consumer, and its room to a worker; MISSING stands for one that failed."""
        result = self.out.take()
        self.taken += 1
        must_ask = self.closed is not None or self.too_late or self.limit is not None
        self.hold = must_ask or self.pulled - self.taken >= self.window
        self._admit()
        if self._parked and not self.out.ready():
            self._admit_all()
        if not self.keep or self.on_error == "collect":
            return result
        return result.value if result.ok else MISSING

    def must_end(self) -> Generator[Any, Any, bool]:
        """Wait until there is room in the window, and return whether the worker must end."""
        if self.limit is not None and self.closed is None and self.one_too_many():
            return True
        while not (self.closed or self.too_late or self.exhausted) and self.full():
            room = self.loop.create_future()
            self._parked.append(room)
            self.fewer_run()
            yield from room
        return self.closed is not None or self.too_late

    def full(self) -> bool:
        """Say whether no worker may take an item now: there is no room for its result."""
        if super().full():
            return True
        between = self.pulled - self.taken
        return between >= self.window and (between >= self.reach or self.out.ready())

    @property
    def is_awaited(self) -> bool:
        """Whether the consumer waits for a result now."""
        return self._news is not None and not self._news.done()

    async def news(self) -> None:
        """Wait until the next result is there or the last worker has ended."""
        self._news = self.loop.create_future()
        await self._news

    def task_ended(self) -> None:
        """Tell the consumer if it was the last one."""
        if not self.tasks:
            self._wake()

    def source_ended(self) -> None:
        """Let the workers that wait for room end too: fewer results may be left to take than they are."""
        super().source_ended()
        self._admit_all()

    def outcomes(self) -> list[Outcome[Any]]:
        """Return the outcomes that the consumer has not taken; only what is in the window is remembered."""
        return [*self.out.rest(), *self.never_started()]

    def never_started(self) -> list[Outcome[Any]]:
        """Return an outcome for each item of a sized source that was never pulled, if outcomes are kept."""
        if not self.keep or self.total is None or self.exhausted:
            return []
        return [Outcome(self.key(i), "not_started", attempts=0) for i in range(self.pulled, self.total)]

    def _admit(self) -> None:
        while self._parked:
            room = self._parked.popleft()
            if not room.done():
                room.set_result(None)
                return

    def _admit_all(self) -> None:
        while self._parked:
            self._admit()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


class _InOrder:
    """Results that are handed out in the items' order."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._head = 0  # the index of the result that is next
        self._results: dict[int, Any] = {}
        self._wake = wake

    def __setitem__(self, i: int, result: Any) -> None:
        self._results[i] = result
        if i == self._head:
            self._wake()

    def ready(self) -> bool:
        return self._head in self._results

    def take(self) -> Any:
        result = self._results.pop(self._head)
        self._head += 1
        return result

    def rest(self) -> list[Any]:
        return [self._results[i] for i in sorted(self._results)]


class _AsCompleted:
    """Results that are handed out as they come."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._results: deque[Any] = deque()
        self._wake = wake

    def __setitem__(self, _: int, result: Any) -> None:
        self._results.append(result)
        self._wake()

    def ready(self) -> bool:
        return bool(self._results)

    def take(self) -> Any:
        return self._results.popleft()

    def rest(self) -> list[Any]:
        return list(self._results)

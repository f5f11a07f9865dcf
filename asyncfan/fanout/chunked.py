"""A fan-out that sends its items to threads or an executor in chunks: one call there, one outcome an item."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, Literal

from ..exceptions import UnsendableError
from .calling import Elsewhere
from .parcel import Lost, Parcel, Raised
from .run import Run
from .sending import like
from .stream import StreamRun
from .worker import awaitable

__all__ = ["ChunkedRun", "ChunkedStreamRun", "in_chunks"]

_SECONDS = 0.05  # how long a chunk is to take there: the way there and back takes an engine 0.2 to 2 ms
_LEAST_SECONDS = 0.005  # below that nothing is gained by all chunks' ending at the same time
_A_MOMENT = 0.02  # seconds to wait for the first chunk of a size: those of short calls are back by then, and teach
_NO_VALUE = (Raised, Lost)
_MOST = 1000  # items of a chunk, however short they are: their results are handled in one pass of the loop


class ChunkedRun(Run):
    """The books of a fan-out in chunks: one task takes them from the source, and each has a task while it is away.

    With an async source, a chunk is what has come while all that may be away are: nobody waits for it to be full.
    """

    worker: tuple[Any, ...]  # the run's, set here too
    pulled: int
    succeeded: int

    def __init__(self, *args: Any, size: int | Literal["auto"], **facts: Any) -> None:
        super().__init__(*args, waits=True, **facts)
        self.auto: bool = size == "auto"
        self.size: int = 1 if size == "auto" else size
        self._ready: list[Any] = []  # items of an async source that wait for a chunk: the last of those pulled
        self._away = 0  # chunks that are away
        self._items_away = 0
        self._untried: bool = self.auto  # whether no chunk of the size is away yet, which is larger than all before
        self._back: asyncio.Future[None] | None = None  # while somebody waits for a chunk to come back

    def number(self, items: Iterable[Any]) -> Iterator[Any]:
        """Return the items as they are: they are counted by the chunk."""
        return iter(items)

    @property
    def running(self) -> int:
        """How many items are away."""
        return self._items_away

    def busy(self) -> int:
        """Return how many tasks have items."""
        return self._away

    def open(self, items: Iterable[Any] | AsyncIterable[Any]) -> bool:
        """Get ready to pull from ``items``; False if there is no time for it."""
        opened = super().open(items)
        if self.source is not None:
            self.worker = (self._take_and_send,)
        return opened

    async def _take_and_send(self) -> None:
        source = self.source or iter(())
        while not await awaitable(self.must_end()):
            chunk = list(islice(source, self.size))
            if not chunk:
                self.source_ended()
                return
            self.pulled += len(chunk)
            self._send(self.pulled - len(chunk), chunk)
            while self._away >= self.max_workers:
                await self._wait()
            if self._untried:  # if it teaches that calls are short, few chunks have gone that are too small
                self._untried = False
                await self._wait(_A_MOMENT)

    async def _wait_and_work(self, take: Callable[[], Awaitable[Any]], turn: asyncio.Lock) -> None:
        while (pair := await self._next_pair(take, turn)) is not None:
            self._ready.append(pair[1])
            self._send_ready()
            while len(self._ready) >= self.size:
                await self._wait()

    def _send_ready(self) -> None:
        while self._ready and not self.closed and self._away < self.max_workers:
            first, chunk = self.pulled - len(self._ready), self._ready[: self.size]
            del self._ready[: self.size]
            self._send(first, chunk)

    async def _wait(self, seconds: float | None = None) -> None:
        """Wait until a chunk comes back, or ``seconds`` have passed."""
        self._back = self.loop.create_future()
        timer = None if seconds is None else self.loop.call_later(seconds, self._came_back)
        try:
            await self._back
        finally:
            if timer is not None:
                timer.cancel()

    def _came_back(self) -> None:
        if self._back is not None and not self._back.done():
            self._back.set_result(None)

    def _send(self, first: int, chunk: list[Any]) -> None:
        self._away += 1
        self.spawn(f"asyncfan:{self.name}:chunk", self._outcomes, first, chunk)

    async def _outcomes(self, first: int, chunk: list[Any]) -> None:
        started = self.clock()
        self._items_away += len(chunk)
        try:
            parcel, moments = await self.call(chunk)
        except GeneratorExit:  # the loop is gone
            raise
        except BaseException as error:  # noqa: BLE001 - sorted out by `failed`
            for i in range(first, first + len(chunk)):
                self.failed(i, like(error), started)
                self._tell()
        else:
            if self.auto:
                self._adapt(len(chunk), moments[-1] - moments[0])
            self._settle(first, parcel, moments)
        self._away -= 1
        self._items_away -= len(chunk)
        self._send_ready()
        self._came_back()

    def _settle(self, first: int, parcel: Parcel, moments: array[float]) -> None:
        now, step = self.clock(), self.sample + 1
        if not (parcel.flawed or self.keep or self.progress is not None):  # most often: 2 us less an item
            self.put_all(first, parcel.values)
            self.succeeded += len(parcel.values)
            for k in range(-first % step, len(parcel.values), step):
                self.measured(first + k, None, now - (moments[k + 1] - moments[k]))
            return
        for k, answer in enumerate(parcel.values):
            i, started = first + k, now - (moments[k + 1] - moments[k])
            if isinstance(answer, _NO_VALUE):
                self.failed(i, answer.error if isinstance(answer, Raised) else UnsendableError(answer.why), started)
            else:
                self.put(i, answer if i & self.sample else self.measured(i, answer, started))
                self.succeeded += 1
            self._tell()

    def put_all(self, first: int, results: Sequence[Any]) -> None:
        """Keep the results of the items from ``first`` on."""
        self.put(first + len(results) - 1, None)  # makes room
        self.out[first : first + len(results)] = results

    def _tell(self) -> None:
        if self.progress is not None:
            self.tell()

    def _adapt(self, count: int, seconds: float) -> None:
        """Learn from ``count`` items that took ``seconds`` there."""
        each = max(seconds, 1e-9) / count
        fitting = _SECONDS / each
        if self.total is not None and self.max_workers < self.total:  # all are to end at about the same time
            fitting = min(fitting, max((self.total - self.pulled) / (2 * self.max_workers), _LEAST_SECONDS / each))
        before, self.size = self.size, max(1, min(round(fitting), 10 * count, _MOST))
        self._untried = self.size > before


class ChunkedStreamRun(ChunkedRun, StreamRun):
    """The books of a stream in chunks; its window is ``window`` chunks."""

    window: int  # the stream's, set here too

    def __init__(self, *args: Any, window: int, **facts: Any) -> None:
        super().__init__(*args, window=window, **facts)
        self._chunks = window
        self.window = window * self.size

    def put_all(self, first: int, results: Sequence[Any]) -> None:
        """Keep the results of the items from ``first`` on."""
        for i, result in enumerate(results, first):
            self.out[i] = result

    def _adapt(self, count: int, seconds: float) -> None:
        super()._adapt(count, seconds)
        self.window = self._chunks * self.size


def in_chunks(call: Elsewhere, size: int | Literal["auto"], kind: Any) -> tuple[Callable[..., Any], Any]:
    """Return what replaces ``call`` and the ``kind`` of run where items are sent in chunks."""
    if kind is Run:
        return call.in_chunk, partial(ChunkedRun, size=size)
    return call.in_chunk, partial(ChunkedStreamRun, size=size, **kind.keywords)

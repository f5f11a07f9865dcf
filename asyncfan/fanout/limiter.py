"""`Limiter`: so many at once and so many a second, for all callers together."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, OrderedDict
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from .checks import adapting, positive_int, positive_number

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from .adaptive import AdaptiveLimit, Auto, LimitController

__all__ = ["Limiter", "check_limiter"]

_Queue: TypeAlias = "OrderedDict[_Waiter, None]"
_KEEP: Any = object()


class Limiter:
    """Lets at most ``max_concurrency`` through at once, and ``rate`` a second, first come, first served.

    Who asks to be ``last`` enters when nobody else waits: work that can wait, such as refreshing what is still good.
    One limiter may be shared by any number of calls, threads and event loops of the process.

    Args:
        name: What it limits; shown by ``repr``.
        max_concurrency: How much weight may be inside at once; None is no limit. ``"auto"`` or an `AdaptiveLimit` finds
            it out from how long callers are inside and what they raise: see ``limit``. For that they must use ``async
            with``; what is heavier than the limit of the moment then enters alone.
        rate: How much weight may enter a second; None is no limit.
        burst: How much weight may enter at once after a pause. The default of 1 is smooth: one each
            ``1 / rate`` seconds.

    Raises:
        TypeError: An option is of the wrong type, or there is a ``burst`` without a ``rate``.
        ValueError: A number is out of its range.

    Example:
        >>> from asyncfan.testing import run
        >>> async def main():
        ...     database = Limiter("db", max_concurrency=20)
        ...     async with database:  # weighs 1
        ...         async with database.slot(5):
        ...             return repr(database)
        >>> run(main())
        "<Limiter 'db' 6/20 running, 0 waiting>"
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        max_concurrency: int | Auto | AdaptiveLimit | None = None,
        rate: float | None = None,
        burst: int | None = None,
    ) -> None:
        self._limit = adapting("max_concurrency", max_concurrency)
        positive_number("rate", rate, "a number a second")
        positive_int("burst", burst)
        if burst is not None and rate is None:
            raise TypeError("burst needs a rate: Limiter(rate=100, burst=10)")
        self.name = name
        self.max_concurrency: int | None = (
            max_concurrency if isinstance(max_concurrency, int) else None if self.limit is None else self.limit.current
        )
        self.rate: float | None = rate
        self.burst: int = burst or 1
        self.running: int = 0  # weight inside
        self._lock = threading.Lock()  # held for a few instructions, never while waiting
        self._queue: _Queue = OrderedDict()  # who waits, the longest first
        self._last: _Queue = OrderedDict()  # who waits until that queue is empty, the longest first
        self._loops: Counter[asyncio.AbstractEventLoop] = Counter()  # {loop: its waiters in both}, all > 0
        self._timers: set[asyncio.AbstractEventLoop] = set()  # those that will look again when the rate allows it
        self._due = 0.0  # when those who entered until now would all have entered at an even rate (GCRA's TAT)
        self._read = 0.0  # the time that a loop showed last

    @property
    def limit(self) -> LimitController | None:
        """What finds ``max_concurrency``: the ``current`` limit, and a ``trace`` of its changes; None if fixed."""
        return None if self._limit is None else self._limit.controller

    @property
    def waiting(self) -> int:
        """How many callers wait."""
        return len(self._queue) + len(self._last)

    async def acquire(self, weight: int = 1, *, last: bool = False) -> None:
        """Wait for one's turn, and for room for ``weight``; ``release`` gives the same weight back.

        Args:
            weight: How much of the limits this caller takes.
            last: Let everybody else enter first, also who comes later: as long as others keep the limiter busy, this
                caller waits, and no room is kept free for it however much it weighs. Callers that are last enter in
                the order of their coming.

        Raises:
            ValueError: ``weight`` is more than ``max_concurrency``, so that it could never enter.

        Cancellation: Leaves the queue; what it was granted at that moment goes to the next one.
        """
        self._check_weight(weight)
        loop = asyncio.get_running_loop()
        with self._lock:
            if not self.waiting and self._has_room(weight) and self._in_time(loop):
                self._enter(weight)
                return
            waiter = _Waiter(loop, weight, self._last if last else self._queue)
            waiter.queue[waiter] = None
            self._loops[loop] += 1
            self._admit()
        try:
            await waiter.turn
        except asyncio.CancelledError:
            self._give_up(waiter)
            raise

    def release(self, weight: int = 1) -> None:
        """Leave: make room for the next ones.

        Raises:
            RuntimeError: More is released than was acquired.
            ValueError: ``weight`` is less than 1.
        """
        positive_int("weight", weight, none="")
        with self._lock:
            if weight > self.running:
                raise RuntimeError(f"{self!r} cannot release {weight}: acquire() comes first, once for each release()")
            self.running -= weight
            self._admit()

    @asynccontextmanager
    async def slot(self, weight: int = 1, *, last: bool = False) -> AsyncIterator[None]:
        """Hold ``weight`` while in the block, as ``async with limiter`` holds 1; see `acquire`."""
        await self.acquire(weight, last=last)
        self._begin()
        try:
            yield
        except BaseException as error:
            self._end(error)
            raise
        else:
            self._end(None)
        finally:
            self.release(weight)

    async def __aenter__(self) -> None:
        await self.acquire()
        self._begin()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._end(error)
        finally:
            self.release()

    def _begin(self) -> None:
        if self._limit is not None:
            self._limit.entered()

    def _end(self, error: BaseException | None) -> None:
        if self._limit is not None:
            self.max_concurrency = self._limit.left(error, self.running)

    def resize(self, *, max_concurrency: int | None = _KEEP, rate: float | None = _KEEP) -> None:
        """Change the limits while in use; who is inside stays, who waits enters when the new limits allow.

        A ``max_concurrency`` that is given here adapts no more. A waiter that weighs more than the new limit gets a
        `ValueError`.
        """
        concurrency = self.max_concurrency if max_concurrency is _KEEP else max_concurrency
        rate = self.rate if rate is _KEEP else rate
        positive_int("max_concurrency", concurrency)
        positive_number("rate", rate, "a number a second")
        with self._lock:
            if max_concurrency is not _KEEP:
                self._limit = None
            owed = max(0.0, self._due - self._read) * self.rate / rate if self.rate and rate else 0.0
            self._due = min(self._due, self._read) + owed
            self.max_concurrency, self.rate = concurrency, rate
            self._timers.clear()  # they may be too late now
            for waiter in [w for w in [*self._queue, *self._last] if not self._could_enter(w.weight)]:
                self._leave_queue(waiter)
                waiter.wake(self._too_heavy(waiter.weight))
            self._admit()

    def __repr__(self) -> str:
        name = "" if self.name is None else f" {self.name!r}"
        limit = "" if self.max_concurrency is None else f"/{self.max_concurrency}"
        rate = "" if self.rate is None else f", {self.rate:g}/s"
        last = f" ({len(self._last)} last)" if self._last else ""
        return f"<Limiter{name} {self.running}{limit} running, {self.waiting} waiting{last}{rate}>"

    def _give_up(self, waiter: _Waiter) -> None:
        with self._lock:
            if waiter.granted:  # between the grant and the cancellation: as if it had not entered
                self.running -= waiter.weight
                self._due -= waiter.weight / self.rate if self.rate else 0.0
            else:
                self._leave_queue(waiter)
            self._admit()

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._timers.discard(loop)
            self._admit()

    # -- called with the lock held

    def _admit(self) -> None:
        """Let in those whose turn it is; what it can't, the next ``release`` or a timer will do."""
        while self._queue or self._last:
            first = next(iter(self._queue or self._last))
            if not first.loop.is_closed():  # nobody waits there any more
                if not self._has_room(first.weight):
                    return
                if not self._in_time(first.loop):
                    self._set_timers()
                    return
            self._leave_queue(first)
            if first.wake():
                first.granted = True
                self._enter(first.weight)

    def _leave_queue(self, waiter: _Waiter) -> None:
        if waiter in waiter.queue:
            del waiter.queue[waiter]
            self._loops[waiter.loop] -= 1
            if not self._loops[waiter.loop]:
                del self._loops[waiter.loop]

    def _has_room(self, weight: int) -> bool:
        if self.max_concurrency is None or self.running + weight <= self.max_concurrency:
            return True
        return self._limit is not None and not self.running

    def _in_time(self, loop: asyncio.AbstractEventLoop) -> bool:
        if self.rate is None:
            return True
        now = loop.time()
        if now < self._read - 1.0:  # another kind of clock, such as that of a test's next loop: begin anew
            self._due = now
        self._read = now
        return self._entry_time() <= now

    def _entry_time(self) -> float:
        """Return when the next one may enter."""
        assert self.rate is not None  # noqa: S101 - only asked where there is one
        return self._due - (self.burst - 1) / self.rate

    def _enter(self, weight: int) -> None:
        self.running += weight
        if self.rate is not None:
            self._due = max(self._due, self._read) + weight / self.rate

    def _set_timers(self) -> None:
        """Let each loop that has waiters look again in time: the first one's may be closed before that."""
        for loop in [loop for loop in self._loops if loop not in self._timers]:
            with suppress(RuntimeError):  # it has been closed
                loop.call_soon_threadsafe(self._set_timer, loop)
                self._timers.add(loop)
        self._timers &= self._loops.keys()

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            when = self._entry_time() if self.rate else 0.0
        loop.call_at(when, self._look_again, loop)

    def _check_weight(self, weight: int) -> None:
        positive_int("weight", weight, none="")
        if not self._could_enter(weight):
            raise self._too_heavy(weight)

    def _could_enter(self, weight: int) -> bool:
        return self.max_concurrency is None or weight <= self.max_concurrency or self._limit is not None

    def _too_heavy(self, weight: int) -> ValueError:
        return ValueError(f"weight must be <= max_concurrency={self.max_concurrency} of {self!r}, got {weight}")


class _Waiter:
    """One caller in a queue."""

    __slots__ = ("granted", "loop", "queue", "turn", "weight")

    def __init__(self, loop: asyncio.AbstractEventLoop, weight: int, queue: _Queue) -> None:
        self.loop = loop
        self.weight = weight
        self.queue = queue
        self.granted = False  # whether the weight counts as running
        self.turn: asyncio.Future[None] = loop.create_future()

    def wake(self, refusal: ValueError | None = None) -> bool:
        """End the wait, from whatever thread; False if the loop has been closed."""
        try:
            self.loop.call_soon_threadsafe(self._end, refusal)
        except RuntimeError:
            return False
        return True

    def _end(self, refusal: ValueError | None) -> None:
        if self.turn.done():
            return
        if refusal is None:
            self.turn.set_result(None)
        else:
            self.turn.set_exception(refusal)


def check_limiter(limiter: Any) -> None:
    """Refuse what is neither a `Limiter` nor None.

    Raises:
        TypeError: It is something else.
    """
    if not (limiter is None or isinstance(limiter, Limiter)):
        raise TypeError(f'limiter must be a Limiter such as Limiter("db", max_concurrency=20), got {limiter!r}')

"""A limit that adapts, at work: what calls measure goes to its controller, and what it decides to the runs."""

from __future__ import annotations

import asyncio
import threading
import types
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from .adaptive import AdaptiveLimit, LimitController

if TYPE_CHECKING:
    from .crew import Crew

__all__ = ["SharedLimit"]

BUSY = 0.001  # seconds of a pass of the event loop

Call = Callable[..., Coroutine[Any, Any, Any]]


class SharedLimit:
    """One limit that adapts, for all runs of a processor or all callers of a `Limiter`, in any threads and loops."""

    def __init__(self, option: AdaptiveLimit) -> None:
        self.option = option
        self.controller: LimitController = option.controller()
        self._running = 0  # calls that are measured now
        self._lock = threading.Lock()  # held for a few instructions, never while waiting
        self._inside: dict[
            asyncio.Task[Any] | None, list[float]
        ] = {}  # {task: when it entered a limiter, not left yet}
        self._runs: set[Crew] = set()  # those that have begun and not ended
        self._lag = 0.0  # seconds that what was ready had to wait for its turn on the loop when that was measured last
        self._probed: asyncio.AbstractEventLoop | None = None  # a loop in whose next pass the lag is measured

    # -- calls

    def measured(self, call: Call) -> Call:
        """Return ``call``, measured; what is around it is not: waiting for a limiter, or between attempts."""

        async def call_measured(*args: Any) -> Any:
            loop = asyncio.get_running_loop()
            began = loop.time()
            with self._lock:
                self._running += 1
            answer: Any = None
            waits = running = 0  # it ran to its end if `running` is more: what was cancelled tells nothing
            try:
                answer, waits = await _counted(call(*args))
                running = self._running
            except Exception as error:
                answer, waits, running = error, 0, self._running
                raise
            finally:
                with self._lock:
                    self._running -= 1
                if running:
                    self.ended(loop, began, answer, waits, running)
            return answer

        return call_measured

    def ended(self, loop: asyncio.AbstractEventLoop, began: float, answer: Any, waits: int, running: int) -> None:
        """Take in a call that ended.

        Args:
            loop: The loop that it ran on.
            began: When, by the clock of that loop.
            answer: What it returned or raised.
            waits: How often it waited, which costs it the lag of the loop twice each time: until the loop hears that
                there is an answer, and until the task runs.
            running: How many ran until then.
        """
        now = loop.time()
        refused = self.option.overload(answer)
        # what never waited has asked no backend, and what failed tells nothing of how long it takes
        if refused or waits:
            with self._lock:
                self.controller.ended(now, now - began, running, lag=2 * waits * self._lag, refused=refused)
        if self._probed is not loop:
            self._probed = loop
            loop.call_soon(self._next_pass, loop, now)

    def _next_pass(self, loop: asyncio.AbstractEventLoop, before: float) -> None:
        now = loop.time()
        self._lag = now - before
        self._probed = None
        if now - before > BUSY:  # the next one is likely to be as long, and who is ready then will have waited for it
            self._probed = loop
            loop.call_soon(self._next_pass, loop, now)

    # -- callers of a limiter

    def entered(self) -> None:
        """Note that the task that asks begins something that counts."""
        loop = asyncio.get_running_loop()
        self._inside.setdefault(asyncio.current_task(loop), []).append(loop.time())

    def left(self, error: BaseException | None, running: int) -> int:
        """Note that it has ended what it began last, and return the limit from now on."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if began := self._inside.get(task):
            when = began.pop()
            if not began:
                del self._inside[task]
            if error is None or isinstance(error, Exception):
                self.ended(loop, when, error, int(error is None), running)
        return self.controller.current

    # -- runs

    def join(self, run: Crew) -> int:
        """Share the limit with ``run`` too, from now on, and return how many workers it may have."""
        with self._lock:
            self._runs.add(run)
        return self.room_for(run)

    def leave(self, run: Crew) -> None:
        """Share it among the others."""
        with self._lock:
            self._runs.discard(run)

    def room_for(self, run: Crew) -> int:
        """Return how many workers ``run`` may have: its part of the limit, or more if the others leave some."""
        limit = self.controller.current
        with self._lock:
            others = sum(other.busy() for other in self._runs if other is not run) if len(self._runs) > 1 else 0
        return max(1, limit // max(1, len(self._runs)), limit - others)


@types.coroutine
def _counted(coro: Coroutine[Any, Any, Any]) -> Generator[Any, Any, tuple[Any, int]]:
    """Await ``coro``; return what it returns, and how often it waited."""
    waits = 0
    try:
        awaited = coro.send(None)
        while True:
            waits += 1
            try:
                got = yield awaited
            except BaseException as thrown:  # noqa: BLE001 - it is the coroutine's to answer
                awaited = coro.throw(thrown)
            else:
                awaited = coro.send(got)
    except StopIteration as stop:
        return stop.value, waits

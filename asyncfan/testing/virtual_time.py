"""Time and order in tests: a clock moved by hand, an event loop whose time jumps, and gates."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["DeadlockError", "Gate", "ManualClock", "VirtualTimeLoop", "run"]

T = TypeVar("T")

# Real seconds that work in other threads may take before virtual time moves on without it.
_THREAD_GRACE = 0.05


class DeadlockError(AssertionError):
    """Raised when every task of a `VirtualTimeLoop` waits and nothing, not even a timer, can wake one."""


class ManualClock:
    """A clock that moves only when told to: ``Cache(clock=ManualClock())``.

    Example:
        >>> clock = ManualClock()
        >>> clock.advance(60)
        >>> clock()
        60.0
    """

    def __init__(self, now: float = 0.0) -> None:
        self._now = float(now)

    def __call__(self) -> float:
        """Return the clock's time in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward.

        Raises:
            ValueError: ``seconds`` is negative.
        """
        if seconds < 0:
            raise ValueError(f"a clock cannot go back: seconds must be >= 0, got {seconds!r}")
        self._now += seconds

    def __repr__(self) -> str:
        return f"<ManualClock at {self._now} s>"


class Gate:
    """Makes order without sleeping: a task announces that it is here, and goes on when it is let through.

    Example:
        >>> async def main():
        ...     gate = Gate()
        ...     task = asyncio.ensure_future(gate.enter())
        ...     await gate.reached()  # the task is at the gate now
        ...     gate.open()
        ...     await task
        >>> run(main())
    """

    def __init__(self) -> None:
        self._arrived = asyncio.Event()
        self._opened = asyncio.Event()
        self.entered: int = 0  # how many have come to the gate so far

    async def enter(self) -> None:
        """Announce that the caller is here, and wait until the gate is open."""
        self.entered += 1
        self._arrived.set()
        await self._opened.wait()

    async def reached(self) -> None:
        """Wait until somebody has come to the gate."""
        await self._arrived.wait()

    def open(self) -> None:
        """Let everybody through, now and later."""
        self._opened.set()

    def __repr__(self) -> str:
        return f"<Gate {'open' if self._opened.is_set() else 'closed'}, {self.entered} entered>"


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits for time: where the loop would wait for its next timer, its clock is moved to it."""

    loop: VirtualTimeLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        grace = _THREAD_GRACE if self.loop.threads_at_work else 0.0
        ready = super().select(0 if timeout == 0 else grace)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            if self.loop.threads_at_work:
                return super().select(None)
            raise DeadlockError("every task waits for another and no timer is set")
        self.loop.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer, so that ``sleep(3600)`` takes no time.

    Order is asyncio's own. A loop in which every task waits for nothing raises `DeadlockError` instead of hanging.
    Work in threads is given a moment of real time; sockets to other processes need a real loop.

    Example:
        >>> async def main():
        ...     await asyncio.sleep(3600)
        ...     return asyncio.get_running_loop().time()
        >>> run(main())
        3600.0
    """

    def __init__(self) -> None:
        selector = _JumpingSelector()
        selector.loop = self
        self.now: float = 0.0  # virtual seconds since the loop was made
        self.threads_at_work: int = 0  # calls of run_in_executor that have not ended
        super().__init__(selector)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self.now

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Run ``func`` in a thread; virtual time gives it a moment before moving on."""
        future = super().run_in_executor(executor, func, *args)
        self.threads_at_work += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the threads of the default executor to end."""
        self.threads_at_work += 1  # the loop waits for them in a thread of its own
        try:
            await super().shutdown_default_executor(*([] if timeout is None else [timeout]))
        finally:
            self.threads_at_work -= 1

    def _thread_done(self, _: object) -> None:
        self.threads_at_work -= 1


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` to its end on a new `VirtualTimeLoop`, as `asyncio.run` would on a real one.

    Raises:
        DeadlockError: ``main`` waits for something that can never happen.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)

"""A deadline for a server's answer that is not used up while our own event loop is busy."""

from __future__ import annotations

import asyncio
from types import TracebackType

__all__ = ["Deadline"]

# A pass of the event loop that takes long counts as one of them: it kept us from seeing the answer, which a long one
# takes several passes to read.
TICKS = 20


class Deadline:
    """Cancels what is inside and raises ``TimeoutError`` after so many seconds in which the event loop was free.

    ``asyncio.timeout`` would strike at an answer which lies in the socket already, when the loop comes back from
    somebody's computation; ten thousand answers to read take that long by themselves.

    Args:
        seconds: How long; None: no limit.

    Example:
        >>> async def main():
        ...     async with Deadline(0.01):
        ...         await asyncio.sleep(1)
        >>> asyncio.run(main())
        Traceback (most recent call last):
        TimeoutError
    """

    __slots__ = ("_loop", "_tick", "_ticks", "_timeout", "_timer")

    def __init__(self, seconds: float | None) -> None:
        self._tick = None if seconds is None else seconds / TICKS
        self._ticks = 0  # so many have passed
        self._timeout = asyncio.Timeout(None)

    async def __aenter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._timeout.__aenter__()
        self._timer = None if self._tick is None else self._loop.call_later(self._tick, self._pass)

    def _pass(self) -> None:
        assert self._tick is not None  # noqa: S101
        self._ticks += 1
        if self._ticks == TICKS:
            self._timeout.reschedule(self._loop.time())
        else:
            self._timer = self._loop.call_later(self._tick, self._pass)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"<Deadline {self._ticks}/{TICKS} over>"

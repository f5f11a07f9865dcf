"""Keeps a server that is gone, frozen or slow from slowing anybody down: a deadline, and a breaker behind it.

closed      calls go through
open        calls are refused at once, until it is time for a probe
half open   one call goes through as a probe; the others are refused
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ....exceptions import AsyncfanError
from .deadline import Deadline

__all__ = ["Guard", "Unavailable"]

T = TypeVar("T")

logger: logging.Logger = logging.getLogger("asyncfan")

# So many calls in a row must fail: one alone may be an unlucky connection, the next one has another.
MAX_FAILURES = 2

# Seconds from one probe to the next: doubled each time, up to so many that a restarted server is soon found.
FIRST_PAUSE = 0.1
LAST_PAUSE = 0.5


class Unavailable(AsyncfanError):  # noqa: N818 - it says what is the matter
    """Raised when a server did not answer in time, cannot be reached, or has just been found to be so."""


class Guard:
    """Puts a deadline on calls to a server, and makes none for a while where they keep failing.

    A call fails if it outruns the deadline or raises an ``OSError`` such as ``ConnectionError``: that is `Unavailable`.
    Whatever else it raises, the server has answered: that passes through and opens nothing. A refused connection opens
    the breaker at once: it costs little, but every call would open another one.

    Args:
        name: What the log calls the server.
        deadline: Seconds that a call may take in all; None: as many as it likes.
        clock: Says the time in seconds.

    Attributes:
        opened: How often it opened.
        failed: How many calls failed, those that raised what passed through among them.
        timed_out: How many of these outran the deadline.
        refused: How many calls were not made.
        on_recovery: Called without arguments each time it closes.

    Example:
        >>> import asyncio
        >>> async def main():
        ...     guard = Guard(deadline=0.01)
        ...     try:
        ...         await guard(lambda: asyncio.sleep(1))
        ...     except Unavailable as error:
        ...         print(error)
        ...     print(guard)
        >>> asyncio.run(main())
        the server did not answer in time
        <Guard 'the server' closed, opened 0 times, 1 failed, 1 of them timed out, 0 refused>
    """

    def __init__(
        self, *, name: str = "the server", deadline: float | None = 0.1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.deadline = deadline
        self.opened: int = 0
        self.failed: int = 0
        self.timed_out: int = 0
        self.refused: int = 0
        self.on_recovery: list[Callable[[], object]] = []
        self._clock = clock
        self._in_row = 0  # failures since the last answer
        self._pause: float | None = None  # seconds to the next probe; None: closed
        self._probe_at = 0.0
        self._why = ""  # what it opened for
        self._probing = False

    async def __call__(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what ``call()`` gives.

        Raises:
            Unavailable: It was not called, took too long, or could not reach the server.

        Cancellation:
            The call is cancelled. If it was the probe, the next one is.
        """
        probing = self._admit()
        try:
            async with Deadline(self.deadline):
                result = await call()
        except OSError as error:  # TimeoutError is one
            raise Unavailable(self._lost(error, probing=probing)) from error
        except Exception:
            self.failed += 1
            self._reached(probing=probing)
            raise
        except BaseException:
            if probing:
                self._probing, self._probe_at = False, self._clock()
            raise
        self._reached(probing=probing)
        return result

    @property
    def is_open(self) -> bool:
        """Whether calls are refused, but for a probe now and then."""
        return self._pause is not None

    def _admit(self) -> bool:
        """Let a call through or refuse it; True if it is the probe."""
        if self._pause is None:
            return False
        now = self._clock()
        if now < self._probe_at:
            self.refused += 1
            raise Unavailable(self._why)
        # The next one may go when this one has ended for sure. Two threads may both get here: two probes, no harm.
        self._probing, self._probe_at = True, now + max(self._pause, 2 * (self.deadline or 0))
        return True

    def _reached(self, *, probing: bool) -> None:
        if probing:
            self._probing, self._pause = False, None
            logger.info("%s answers again", self.name)
            for recovered in list(self.on_recovery):
                recovered()
        self._in_row = 0

    def _lost(self, error: OSError, *, probing: bool) -> str:
        """Count a failure, and return what to say of it."""
        timed_out = isinstance(error, TimeoutError)
        self.failed += 1
        self.timed_out += timed_out
        self._in_row += 1
        why = "did not answer in time" if timed_out else f"cannot be reached: {error}"
        if probing and self._pause is not None:  # None: another probe has closed it meanwhile
            self._wait(min(self._pause * 2, LAST_PAUSE))
        elif not self.is_open and (self._in_row >= MAX_FAILURES or isinstance(error, ConnectionRefusedError)):
            self.opened += 1
            self._why = f"{self.name} {why}"
            self._wait(FIRST_PAUSE)
            logger.warning("%s %s: going on without it", self.name, why)
        return f"{self.name} {why}"

    def _wait(self, seconds: float) -> None:
        self._probing, self._pause, self._probe_at = False, seconds, self._clock() + seconds

    @property
    def state(self) -> str:
        """``"closed"``, ``"open"``, or ``"half open"`` while a probe is under way."""
        return "half open" if self._probing else "open" if self.is_open else "closed"

    def __repr__(self) -> str:
        return (
            f"<Guard {self.name!r} {self.state}, opened {self.opened} times, "
            f"{self.failed} failed, {self.timed_out} of them timed out, {self.refused} refused>"
        )

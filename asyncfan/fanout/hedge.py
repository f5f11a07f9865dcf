"""`Hedge`: a second attempt beside a first one that takes longer than most."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from ..context import time_left
from .calling import as_coroutine_function, runs_on_loop
from .checks import positive_number
from .pace import Pace
from .race import Race

if TYPE_CHECKING:
    from .budget import RetryBudget

__all__ = ["Hedge"]

R = TypeVar("R")
Args = TypeVarTuple("Args")

_SAVED = 10  # second attempts that may follow each other at once, after a time without any


class Hedge:
    """Starts a second attempt beside one that takes longer than most, and takes the result that comes first.

    What cuts the slowest answers when a few servers of many, or a few calls, are slow by chance (Dean and Barroso, "The
    Tail at Scale", 2013). It is for calls that may be made twice without harm; for a fan-out as its ``hedge=``, or by
    itself: ``await hedge(fetch, url)``.

    The first attempt to succeed wins. The other is cancelled, and its end awaited: nothing runs on, and a call that
    takes long to be cancelled delays the result; what it raises then is dropped. Where one attempt fails, the other may
    still succeed; if both fail, the first one's error is raised, with a note of the second's. An attempt that fails
    before the second has begun is a failure as without `Hedge`; `Retry` is for those.

    At most ``max_extra`` of all calls are second ones, and one more: each first attempt saves ``max_extra`` of a second
    one, up to ten. None is made that could not end before the surrounding ``deadline``, nor while the `RetryBudget` of
    the fan-out's ``retry`` is low. With a `Limiter` each attempt passes it, and the time there does not count.

    One object may be used by any number of calls, threads and event loops, and learns from all of them: make one for
    each kind of call. It belongs inside a cached or batched function, not around it: there both attempts would wait
    for the same load.

    Args:
        after: Seconds after which the second attempt starts; or, as ``"p95"``, the time within which that percentage
            of the last first attempts ended: it is learned, and there is no second attempt before it is known (after
            100 calls for ``"p95"``).
        max_extra: The share of calls that may be made twice, above 0 and up to 1.

    Raises:
        TypeError: ``after`` is neither a number nor a text, or ``max_extra`` is no number.
        ValueError: ``after`` is not above 0 or no percentile, or ``max_extra`` is not a share above 0.

    Example:
        >>> from asyncfan.testing import run
        >>> naps = [60, 1]  # the first server is stuck
        >>> async def fetch(thing):
        ...     await asyncio.sleep(naps.pop(0))
        ...     return thing
        >>> async def main():
        ...     found = await Hedge(after=2)(fetch, "page")
        ...     return found, asyncio.get_running_loop().time()
        >>> run(main())
        ('page', 3.0)
    """

    def __init__(self, after: str | float = "p95", *, max_extra: float = 0.05) -> None:
        positive_number("max_extra", max_extra, "a share of the calls", none="")
        if max_extra > 1:
            raise ValueError(f"max_extra must be a share of the calls <= 1, got {max_extra!r}")
        self.after = after
        self.max_extra = max_extra
        self.calls: int = 0  # first attempts so far
        self.hedged: int = 0  # second ones
        self._pace = _as_pace(after)
        self._tokens = 1.0  # second attempts that may be made now
        self._lock = threading.Lock()
        self._quickest = math.inf  # seconds of the shortest success so far

    async def __call__(self, call: Callable[[*Args], Awaitable[R]], *args: *Args) -> R:
        """Call ``call(*args)``, and once more if that takes long, and return the first result.

        Args:
            call: An ``async def`` function, or a lambda or partial that returns an awaitable.
            *args: Its arguments.

        Raises:
            Exception: What the first attempt raised, if no other succeeded.
            TypeError: ``call`` is not a function, or one that runs in a thread.

        Cancellation: Cancels both attempts and waits for their end.
        """
        function = as_coroutine_function(call)
        self.check(function, "call")

        async def attempt(begun: Callable[[], None]) -> R:
            begun()
            return await function(*args)  # type: ignore[no-any-return]

        return await Race(self, attempt).run()  # type: ignore[no-any-return]

    def check(self, function: Callable[..., Any], what: str) -> None:
        """Refuse a function that runs off the loop.

        Raises:
            TypeError: It does.
        """
        if not runs_on_loop(function):
            raise TypeError(
                f"{what}: hedge= needs an async function: a thread cannot be cancelled, so that the result would wait "
                "for the slower attempt anyway"
            )

    # -- what a race asks and tells

    def begin(self) -> float | None:
        """Count a first attempt, and return the seconds after which a second may start; None if none may."""
        with self._lock:
            self.calls += 1
            self._tokens = min(_SAVED, self._tokens + self.max_extra)
        return self._pace.usual if isinstance(self._pace, Pace) else self._pace

    def take(self, budget: RetryBudget | None) -> bool:
        """Say whether a second attempt may be made now, and count it if so."""
        left = time_left()
        if left is not None and left <= (0.0 if self._quickest == math.inf else self._quickest):
            return False
        if budget is not None and not budget.allows:
            return False
        with self._lock:
            # A call that gets none here does not ask again: measured, that starved new ones for calls nearly over.
            if self._tokens < 1:
                return False
            self._tokens -= 1
            self.hedged += 1
        return True

    def give_back(self) -> None:
        """Take back that a second attempt was counted: it was not needed before its turn came."""
        with self._lock:
            self._tokens += 1
            self.hedged -= 1

    def ended(self, seconds: float, *, ok: bool) -> None:
        """Learn from a first attempt that gave a result, or was stopped because the second was quicker."""
        if ok:
            self._quickest = min(self._quickest, seconds)
        if isinstance(self._pace, Pace):
            self._pace.record(seconds)

    def __repr__(self) -> str:
        usual = self._pace.usual if isinstance(self._pace, Pace) else self._pace
        after = f"{self.after} = " if isinstance(self._pace, Pace) else ""
        known = "unknown yet" if usual is None else f"{usual:.3g} s"
        return f"<Hedge after {after}{known}, {self.hedged} of {self.calls} calls hedged>"


def _as_pace(after: Any) -> Pace | float:
    if isinstance(after, str):
        found = re.fullmatch(r"p(\d+(?:\.\d+)?)", after)
        if found is None or not 0 < float(found[1]) < 100:  # noqa: PLR2004 - a percentage
            raise ValueError(f"after must be seconds > 0 or a percentile as 'p95', got {after!r}")
        return Pace(float(found[1]) / 100)
    if isinstance(after, bool) or not isinstance(after, int | float):
        raise TypeError(f"after must be seconds > 0 or a percentile as 'p95', got {after!r}")
    if not 0 < after < math.inf:
        raise ValueError(f"after must be seconds > 0 or a percentile as 'p95', got {after!r}")
    return float(after)

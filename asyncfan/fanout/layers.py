"""The layers around one call of a user's function, chosen when a fan-out is made; none costs who does not ask for it.

From the inside out: the time of one attempt; what a limit that adapts measures; the deadline, near which none starts;
the limiter, which each attempt passes, and where waiting takes none of its time; a `Hedge`, a second attempt; a
`Retry`, further ones; a tally of how many there were.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from ..exceptions import AttemptTimeoutError
from .in_time import InTime
from .limiter import check_limiter

if TYPE_CHECKING:
    from .adapting import SharedLimit
    from .hedge import Hedge
    from .limiter import Limiter
    from .meter import Meter
    from .retry import Retry

__all__ = ["Call", "Tally", "check_layers", "layered"]

Call = Callable[..., Coroutine[Any, Any, Any]]
Mark = Callable[..., None]  # called before each call of the function, as mark(second=False)


def check_layers(retry: Any, hedge: Any, limiter: Any) -> None:
    """Refuse what is no `Retry`, no `Hedge` and no `Limiter`.

    Raises:
        TypeError: It is not.
    """
    if retry is not None and not hasattr(retry, "repeat"):
        raise TypeError(f"retry must be a Retry, as in retry=Retry(3), got {retry!r}")
    if hedge is not None and not hasattr(hedge, "take"):
        raise TypeError(f"hedge must be a Hedge, as in hedge=Hedge(), got {hedge!r}")
    check_limiter(limiter)


def layered(
    call: Call,
    *,
    timeout: float | None = None,
    limit: SharedLimit | None = None,
    limiter: Limiter | None = None,
    retry: Retry | None = None,
    hedge: Hedge | None = None,
    tally: Callable[[int, int], None] | None = None,
    in_time: bool = False,
) -> Call:
    """Return ``call`` in the layers asked for; ``tally(calls, hedges)`` is told when all attempts of one are over."""
    if timeout is not None:
        call = _timed(call, timeout)
    if limit is not None:
        call = limit.measured(call)
    again = retry is not None or hedge is not None
    if again:
        call = _marked(call)
    if in_time:
        call = InTime(call)
    if limiter is not None:
        call = _limited(call, limiter)
    if not again:
        return call
    call = _once(call) if hedge is None else _hedged(call, hedge, retry)
    if retry is not None:
        call = partial(retry.repeat, call)
    return _tallied(call, tally)


class Tally:
    """How many attempts the item took that has just ended: its worker asks in the same breath."""

    __slots__ = ("attempts", "meter")

    def __init__(self, meter: Meter) -> None:
        self.meter: Meter = meter
        self.attempts: int = 1

    def __call__(self, calls: int, hedges: int) -> None:
        """Note an item that has ended."""
        self.attempts = calls
        if calls > 1:
            self.meter.tried_again(calls - 1 - hedges, hedges)


class _Count:
    """The calls that are made for one item."""

    __slots__ = ("calls", "hedges")

    def __init__(self) -> None:
        self.calls = 0
        self.hedges = 0

    def __call__(self, *, second: bool) -> None:
        self.calls += 1
        self.hedges += second


def _timed(call: Call, timeout: float) -> Call:
    async def call_in_time(*args: Any) -> Any:
        scope = asyncio.timeout(timeout)
        try:
            async with scope:
                return await call(*args)
        except TimeoutError as error:
            if scope.expired():
                raise AttemptTimeoutError(f"not done within timeout={timeout:g} s") from error
            raise

    return call_in_time


def _limited(call: Call, limiter: Limiter) -> Call:
    async def call_within_limit(*args: Any) -> Any:
        async with limiter:
            return await call(*args)

    return call_within_limit


def _marked(call: Call) -> Call:
    async def marked(begins: Callable[[], None], *args: Any) -> Any:
        begins()
        return await call(*args)

    return marked


def _once(call: Call) -> Call:
    async def once(mark: Mark, *args: Any) -> Any:
        return await call(partial(mark, second=False), *args)

    return once


def _hedged(call: Call, hedge: Hedge, retry: Retry | None) -> Call:
    from .race import Race  # noqa: PLC0415 - loaded already if there is a hedge

    budget = None if retry is None else retry.budget

    async def hedged(mark: Mark, *args: Any) -> Any:
        return await Race(hedge, lambda begins: call(begins, *args), mark=mark, budget=budget).run()

    return hedged


def _tallied(call: Call, tally: Callable[[int, int], None] | None) -> Call:
    async def tallied(*args: Any) -> Any:
        count = _Count()
        try:
            return await call(count, *args)
        finally:
            if tally is not None:
                tally(count.calls, count.hedges)

    return tallied

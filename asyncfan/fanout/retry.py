"""`Retry`: a call that failed is tried again, if that can help."""

from __future__ import annotations

import asyncio
import inspect
import math
import random as random_module
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, overload

from ..context import time_left
from .calling import as_coroutine_function
from .checks import positive_int, positive_number
from .in_time import TooLateError
from .notes import note
from .retry_after import retry_after

if TYPE_CHECKING:
    from .budget import RetryBudget

__all__ = ["Retry"]

R = TypeVar("R")
Args = TypeVarTuple("Args")
On = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]


class Retry:
    """Tries a call that failed again: after a random wait, while time, attempts and the backend's health allow it.

    For a fan-out as its ``retry=``, where each item is tried anew, or by itself: ``await retry(fetch, url)``. The wait
    before retry ``n`` (1, 2, ...) is chosen evenly between 0 and ``base * 2 ** (n - 1)`` seconds, at most ``cap``
    ("full jitter": of all ways to spread callers that failed together, the one with the fewest calls; AWS Architecture
    Blog, 2015). If the error says ``Retry-After``, that comes before it: see
    `asyncfan.fanout.retry_after.retry_after` for where it is looked for.

    The last attempt's own error is raised, with a note that says why there is no further one. That is so when

    - ``attempts`` are used up, or ``on`` does not name the error;
    - the attempt could not end before the surrounding ``deadline``: the wait, and the shortest time in which any call
      of this object has succeeded, are more than what is left;
    - the ``budget`` is low, or the server asks for a longer wait than ``max_retry_after``.

    `asyncio.CancelledError`, KeyboardInterrupt and their like are never retried. One object may be used by any number
    of calls, threads and event loops.

    Args:
        attempts: How many times a call is made at most, the first one included; None is no limit.
        base: Seconds up to which the first wait lasts; it doubles with each further one.
        cap: Seconds that no random wait exceeds.
        on: The errors that are worth another attempt: a class, a tuple of them, or a function
            ``on(error) -> bool``. By default all, programming errors too; better name those that pass by themselves,
            as in ``on=(ConnectionError, TimeoutError)``.
        budget: A `RetryBudget`, so that a backend in trouble is not asked even more.
        max_retry_after: Seconds beyond which a ``Retry-After`` is not waited for; None is no limit.
        random: Draws from [0, 1); ``random.Random(seed).random`` for what can be repeated.
        clock: Seconds since 1970, to compare the date in a ``Retry-After`` with.

    Raises:
        TypeError: An option is of the wrong type.
        ValueError: A number is out of its range, or ``base`` is above ``cap``.

    Example:
        >>> from asyncfan.testing import run
        >>> answers = [ConnectionError(), ConnectionError(), "rows"]
        >>> async def query(table):
        ...     answer = answers.pop(0)
        ...     if isinstance(answer, Exception):
        ...         raise answer
        ...     return f"{answer} of {table}"
        >>> run(Retry(3, on=ConnectionError)(query, "users"))
        'rows of users'
    """

    def __init__(
        self,
        attempts: int | None = 3,
        base: float = 0.1,
        cap: float = 10.0,
        *,
        on: On = Exception,
        budget: RetryBudget | None = None,
        max_retry_after: float | None = 60.0,
        random: Callable[[], float] = random_module.random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        positive_int("attempts", attempts)
        positive_number("base", base, none="")
        positive_number("cap", cap, none="")
        if base > cap:
            raise ValueError(f"base must be <= cap={cap:g}, got {base:g}")
        positive_number("max_retry_after", max_retry_after)
        if budget is not None and not hasattr(budget, "allows"):
            raise TypeError(f"budget must be a RetryBudget, got {budget!r}")
        self.attempts = attempts
        self.base = base
        self.cap = cap
        self.budget = budget
        self.max_retry_after = max_retry_after
        self._is_worth_it = _as_predicate(on)
        self._random = random
        self._clock = clock
        self._quickest = math.inf  # seconds of the shortest success so far

    @overload
    async def __call__(self, call: Callable[[*Args], Awaitable[R]], *args: *Args) -> R: ...
    @overload
    async def __call__(self, call: Callable[[*Args], Awaitable[R] | R], *args: *Args) -> R: ...
    async def __call__(self, call: Callable[[*Args], Any], *args: *Args) -> Any:
        """Call ``call(*args)`` until it succeeds or nothing speaks for another attempt, and return its result.

        Args:
            call: An ``async def`` function, a lambda or partial that returns an awaitable, or a plain function, which
                runs in a thread.
            *args: Its arguments.

        Raises:
            Exception: What the last attempt raised.
            TypeError: ``call`` is not a function.

        Cancellation: Cancels the attempt, or ends the wait for the next.
        """
        return await self.repeat(as_coroutine_function(call), *args)

    async def repeat(self, call: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Do as ``retry(call, *args)`` does, for a coroutine function."""
        now = asyncio.get_running_loop().time
        made = 0
        failure: Exception | None = None
        while True:
            began = now()
            try:
                value = await call(*args)
            except TooLateError as late:
                if failure is None:
                    raise
                note(failure, f"not tried again after {_times(made)}: {late}")
                try:
                    raise failure from failure.__cause__
                finally:
                    del failure  # no cycle
            except Exception as error:
                made += 1
                wait = self._wait_after(error, made)
                if wait is None:
                    del failure  # as above
                    raise
                failure = error
            else:
                self._quickest = min(self._quickest, now() - began)
                if self.budget is not None:
                    self.budget.succeeded()
                return value
            await asyncio.sleep(wait)

    def _wait_after(self, error: Exception, made: int) -> float | None:
        """Return the seconds to wait before the next attempt; None, and a note on the error, if there is to be none."""
        if not self._is_worth_it(error):
            return None
        if self.budget is not None:
            self.budget.failed()
        if made == self.attempts:
            if made > 1:
                note(error, f"raised by the last of {made} attempts")
            return None
        if self.budget is not None and not self.budget.allows:
            note(error, f"not tried again after {_times(made)}: too many calls fail, {self.budget!r}")
            return None
        asked = retry_after(error, self._clock)
        if asked is not None and self.max_retry_after is not None and asked > self.max_retry_after:
            note(error, f"not tried again after {_times(made)}: to wait {asked:g} s, as it asks, is too long")
            return None
        wait = (asked or 0.0) + self._random() * min(self.cap, self.base * 2.0 ** min(made - 1, 1000))
        left = time_left()
        if left is not None and wait + (0.0 if self._quickest == math.inf else self._quickest) >= left:
            note(error, f"not tried again after {_times(made)}: {left:.3g} s are left, and the wait is {wait:.3g} s")
            return None
        return wait

    def __repr__(self) -> str:
        budget = "" if self.budget is None else f", {self.budget!r}"
        return f"<Retry {self.attempts or 'unlimited'} attempts, up to {self.base:g} to {self.cap:g} s apart{budget}>"


def _times(made: int) -> str:
    return "1 attempt" if made == 1 else f"{made} attempts"


def _as_predicate(on: Any) -> Callable[[Exception], bool]:
    classes = on if isinstance(on, tuple) else (on,)
    if classes and all(isinstance(cls, type) and issubclass(cls, BaseException) for cls in classes):
        if never := [cls.__name__ for cls in classes if not issubclass(cls, Exception)]:
            raise ValueError(f"on must name subclasses of Exception: {', '.join(never)} must never be retried")
        return lambda error: isinstance(error, classes)
    if callable(on) and not isinstance(on, type) and not inspect.iscoroutinefunction(on):
        return on  # type: ignore[no-any-return]
    raise TypeError(f"on must be an exception class, a tuple of them or a plain function on(error), got {on!r}")

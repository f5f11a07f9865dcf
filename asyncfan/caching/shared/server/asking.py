"""Asks the server, and takes every way in which it can fail for the same: this process does without it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from .guard import Guard, Unavailable

__all__ = ["Asking"]

T = TypeVar("T")
log: logging.Logger = logging.getLogger("asyncfan.caching")


class Asking:
    """Calls the server through its guard.

    Args:
        guard: Has the deadline and the breaker.

    Attributes:
        refusals: ``{error: how often the server answered with it}``, such as when it is out of memory or read-only.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self.refusals: Counter[str] = Counter()

    async def __call__(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what ``call()`` gives.

        Raises:
            Unavailable: It gives nothing, for whatever reason.

        Cancellation:
            The call is cancelled.
        """
        try:
            return await self._guard(call)
        except Unavailable:
            raise
        except Exception as error:
            kind = type(error).__name__
            if not self.refusals[kind]:
                log.warning("the shared cache's server refuses a request: %s: %s", kind, error)
            self.refusals[kind] += 1
            raise Unavailable(f"the server answered {kind}: {error}") from error

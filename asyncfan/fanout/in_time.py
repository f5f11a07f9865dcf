"""No attempt starts that cannot end before the deadline, as far as the others of its function tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ..context import time_left
from ..exceptions import DeadlineExceededError

__all__ = ["InTime", "TooLateError"]

_ENOUGH = 100  # attempts that must have ended: the next is quicker than all those once in a hundred times


class TooLateError(DeadlineExceededError):
    """Raised instead of an attempt that could not have ended before the deadline."""


class InTime:
    """Calls a function of one fan-out, unless less time is left than any of its attempts has taken.

    It begins to refuse when a hundred have ended, well or badly; before that all start. What would only be
    cancelled at the deadline spares the backend a call, and the caller the wait for it.
    """

    __slots__ = ("_call", "_ended", "_least")

    def __init__(self, call: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        self._call = call
        self._ended = 0
        self._least = float("inf")  # seconds

    async def __call__(self, *args: Any) -> Any:
        """Call the function.

        Raises:
            TooLateError: There is too little time.
        """
        left = time_left() if self._ended >= _ENOUGH else None
        if left is not None and left < self._least:
            raise TooLateError(
                f"not started {left:.3g} s before the deadline: none of {self._ended} calls took less than "
                f"{self._least:.3g} s"
            )
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            value = await self._call(*args)
        except Exception:
            self._learn(clock() - began)
            raise
        self._learn(clock() - began)
        return value

    def _learn(self, seconds: float) -> None:
        self._ended += 1
        self._least = min(self._least, seconds)

"""What surrounds a load: a limiter's slot, and a time within which it must end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ...context import loading
from ...exceptions import AttemptTimeoutError

if TYPE_CHECKING:
    from ...fanout import Limiter

__all__ = ["limited"]


def limited(
    name: str, call: Callable[[], Awaitable[Any]], hard_timeout: float | None, limiter: Limiter | None
) -> Callable[[], Awaitable[Any]]:
    """Return ``call``, to be made in a slot of ``limiter`` and to end within ``hard_timeout`` seconds.

    The time begins before the wait for a slot. Loads in the background enter last.

    Raises:
        AttemptTimeoutError: When called: the time is over; ``call`` was cancelled, and has ended.
    """

    async def in_slot() -> Any:
        if limiter is None:
            return await call()
        flight = loading.get()
        async with limiter.slot(last=flight is not None and flight.background):
            return await call()

    async def in_time() -> Any:
        time = asyncio.timeout(hard_timeout)
        try:
            async with time:
                return await in_slot()
        except TimeoutError as error:
            if not time.expired():
                raise
            raise AttemptTimeoutError(f"the load of {name} took longer than {hard_timeout} s (hard_timeout)") from error

    return in_slot if hard_timeout is None else in_time

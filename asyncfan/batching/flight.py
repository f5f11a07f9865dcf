"""One execution that several callers wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ..context import deadline_scope, invalidations
from ..exceptions import SelfCancelledError

__all__ = ["Flight"]


class Flight:
    """A task owned by those who wait for it: each waits alone, and the last one to leave cancels it.

    It does not see the first caller's deadline: others may have more time.

    Args:
        main: What to run.
        name: The task's name.
        landed: Called once, when nobody may join any more.
    """

    def __init__(
        self, main: Callable[[], Coroutine[Any, Any, Any]], name: str, landed: Callable[[Flight], None]
    ) -> None:
        self.began: int = invalidations.count
        self._landed = landed
        self._waiters: set[asyncio.Future[None]] = set()
        with deadline_scope(None):
            self._task = asyncio.get_running_loop().create_task(main(), name=name)
        self._task.add_done_callback(self._wake)

    async def join(self) -> Any:
        """Wait for the result.

        Raises:
            Exception: What ``main`` raised; the same object for all who wait.
            SelfCancelledError: ``main`` raised `asyncio.CancelledError`.

        Cancellation: Harms nobody else; the last one cancels the task and waits for its end.
        """
        waiter = self._task.get_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        except asyncio.CancelledError as error:
            self._waiters.discard(waiter)
            if self._waiters:
                raise
            raise error from await self._cancel()
        if self._task.cancelled():
            raise SelfCancelledError(f"{self._task.get_name()} raised CancelledError, but nobody had cancelled it")
        return self._task.result()

    async def _cancel(self) -> BaseException | None:
        self._landed(self)
        self._task.cancel()
        while not self._task.done():
            try:
                await asyncio.wait([self._task])
            except asyncio.CancelledError:
                continue  # we are being cancelled already
        return None if self._task.cancelled() else self._task.exception()

    def _wake(self, _: object) -> None:
        self._landed(self)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        if not self._waiters and not self._task.cancelled():
            self._task.exception()  # its last waiter, leaving, has seen it

"""Taskiq: a scope around each task.

At shutdown: ``broker.add_event_handler(TaskiqEvents.WORKER_SHUTDOWN, lambda state: cache.aclose())``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from taskiq import TaskiqMessage, TaskiqMiddleware, TaskiqResult

from ..context import scope

__all__ = ["TaskScope"]

# (the scope of the task that runs, that of the one around it: a broker may run tasks in place)
_Open = tuple[scope, Any]


class TaskScope(TaskiqMiddleware):
    """Run each task inside ``async with scope(...)``: loaders ask once for a key, and end with the task.

    The last middleware: ``broker.add_middlewares(..., TaskScope(who))``. Those before it may refuse a task.

    Args:
        values: Called with the `TaskiqMessage`, gives what the scope declares, such as
            ``{"principal": message.labels["user_id"]}``, for cached functions of ``CacheLevel.HIGH``.

    Cancellation:
        A task that is cancelled, or that times out, ends the loads that nobody else waits for.
    """

    def __init__(self, values: Callable[[TaskiqMessage], Mapping[str, Any]] | None = None) -> None:
        super().__init__()
        self._values = values
        self._open: ContextVar[_Open | None] = ContextVar("asyncfan_taskiq", default=None)

    async def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
        """Enter the scope."""
        opened = scope(**(self._values(message) if self._values else {}))
        await opened.__aenter__()
        self._open.set((opened, self._open.get()))
        return message

    async def post_execute(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:  # noqa: ARG002 - Taskiq's
        """Leave it."""
        found = self._open.get()
        if found is not None:
            opened, around = found
            self._open.set(around)
            await opened.__aexit__(None, None, None)

    def __repr__(self) -> str:
        return f"<TaskScope of {self._values!r}>"

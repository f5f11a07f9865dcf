"""For tasks that go on when whoever waited for them has left."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["see"]


def see(task: asyncio.Task[Any]) -> None:
    """Take note of how a task has ended, as its callback: asyncio complains of errors that nobody has seen.

    Example:
        >>> async def fail():
        ...     raise OSError
        >>> async def main():
        ...     asyncio.create_task(fail()).add_done_callback(see)
        ...     await asyncio.sleep(0)
        >>> asyncio.run(main())
    """
    if not task.cancelled():
        task.exception()

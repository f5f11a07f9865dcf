"""A fan-out in which each item has a task of its own, with its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .run import Run
from .worker import work

__all__ = ["NamedRun"]


class NamedRun(Run):
    """The books of named tasks: they are few, so a task each (4 us) is cheap, and debuggers show names."""

    async def go(self) -> None:
        """Begin with as many tasks as may run at once."""
        self.task_ended()

    async def finish(self) -> None:
        """Wait until every task has ended; where they came from needs no closing."""
        await self.join()

    def task_ended(self) -> None:
        """Start the next tasks, if there is room; a task is made no earlier."""
        while not self.closed and len(self.tasks) < self.max_workers:
            found = self.next_task()
            if found is None:
                return
            i, items = found
            self.spawn(f"asyncfan:{self.label(i)}", work, self, items)

    def next_task(self) -> tuple[int, Iterator[tuple[int, Any]]] | None:
        """Return the index of the task that is next, and what gives it to its worker; None if there is none now."""
        pair = next(self.source or iter(()), None)
        return None if pair is None else (pair[0], iter((pair,)))

    def grow(self) -> None:
        """Do nothing: the crew does not grow by itself."""

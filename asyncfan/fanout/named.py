"""A fan-out in which each item has a task of its own, with its name."""

from __future__ import annotations

from .run import Run
from .worker import work

__all__ = ["NamedRun"]


class NamedRun(Run):
    """The books of named tasks: they are few, so a task each (4 us) is cheap, and debuggers show names."""

    async def go(self) -> None:
        """Begin with as many tasks as may run at once."""
        self.task_ended()

    def task_ended(self) -> None:
        """Start the next tasks, if there is room; a task is made no earlier."""
        while not self.closed and len(self.tasks) < self.max_workers:
            pair = next(self.source or iter(()), None)
            if pair is None:
                return
            self.spawn(f"asyncfan:{self.label(pair[0])}", work, self, iter((pair,)))

    def grow(self) -> None:
        """Do nothing: the crew does not grow by itself."""

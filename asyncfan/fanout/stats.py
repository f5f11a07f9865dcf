"""What a processor has seen so far: counts of items, and how long they waited and ran."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..metrics import Histogram, Latency

if TYPE_CHECKING:
    from .run import Run

__all__ = ["Meter", "ProcessorStats"]

_log = logging.getLogger("asyncfan")


@dataclass(frozen=True, slots=True)
class ProcessorStats:
    """What a `ParallelProcessor` has done until now, over all its calls, threads and loops.

    Attributes:
        calls: How many calls have begun.
        running: Items that run now.
        ok: Items that gave a value.
        failed: Items whose function raised.
        timed_out: Items that ran when their ``timeout`` or the ``deadline`` passed.
        cancelled: Items that raised `asyncio.CancelledError`, or were stopped because the call ended.
        run_time: How long items ran. Calls with more than 1,000 items (or an unknown number) measure one in
            64, unless outcomes are kept; so ``run_time.count`` can be less than the items' number.
        queue_wait: How long the same items waited from the beginning of their call to their own.
        limit: How many may run at once now, where that adapts; else None.
    """

    calls: int = 0
    running: int = 0
    ok: int = 0
    failed: int = 0
    timed_out: int = 0
    cancelled: int = 0
    run_time: Latency = field(default_factory=Latency)
    queue_wait: Latency = field(default_factory=Latency)
    limit: int | None = None

    def __str__(self) -> str:
        limit = "" if self.limit is None else f" (limit {self.limit})"
        return (
            f"{self.calls} calls: {self.ok} ok, {self.failed} failed, {self.timed_out} timed out, "
            f"{self.cancelled} cancelled, {self.running} running{limit}; ran {self.run_time}; waited {self.queue_wait}"
        )


class Meter:
    """Adds up the runs of one processor; runs of several threads may use it at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._run_time = Histogram()
        self._queue_wait = Histogram()
        self._live: set[Run] = set()
        self._calls = 0
        self._ended = (0, 0, 0, 0)  # ok, failed, timed out, cancelled of the runs that have ended

    def begin(self, run: Run) -> None:
        """Count ``run`` from now on."""
        with self._lock:
            self._calls += 1
            self._live.add(run)

    def end(self, run: Run) -> None:
        """Keep the figures of ``run``, and log how long it took; names and numbers, never a value."""
        with self._lock:
            self._live.discard(run)
            self._ended = _sum(self._ended, _counts(run))
        if _log.isEnabledFor(logging.DEBUG):
            ok, failed, late, cancelled = _counts(run)
            _log.debug(
                "%s: %d %s in %.3f s: %d ok, %d failed, %d timed out, %d cancelled",
                *(run.name, run.done, run.nouns, run.clock() - run.began, ok, failed, late, cancelled),
            )

    def record(self, waited: float, ran: float) -> None:
        """Add one item's times in seconds."""
        with self._lock:
            self._queue_wait.record(waited)
            self._run_time.record(ran)

    def snapshot(self, limit: int | None = None) -> ProcessorStats:
        """Return the figures as they are now, with a ``limit`` that adapts."""
        with self._lock:
            ended, running = self._ended, 0
            for run in self._live:
                counts = _counts(run)
                ended = _sum(ended, counts)
                running += run.running
            times = self._run_time.snapshot(), self._queue_wait.snapshot()
            return ProcessorStats(self._calls, running, *ended, *times, limit)


def _counts(run: Run) -> tuple[int, int, int, int]:
    return run.succeeded, run.errors, run.timeouts, run.cancellations


def _sum(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]

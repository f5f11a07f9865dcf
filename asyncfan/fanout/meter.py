"""Counts what a processor does."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from ..metrics import Histogram

if TYPE_CHECKING:
    from .run import Run
    from .stats import ProcessorStats

__all__ = ["Meter"]

_log = logging.getLogger("asyncfan")


class Meter:
    """Adds up the runs of one processor; runs of several threads may use it at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._run_time = Histogram()
        self._queue_wait = Histogram()
        self._live: set[Run] = set()
        self._calls = 0
        self._retries = 0
        self._hedges = 0
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

    def tried_again(self, retries: int, hedges: int) -> None:
        """Count the attempts that one item took beyond its first."""
        with self._lock:
            self._retries += retries
            self._hedges += hedges

    def snapshot(self, limit: int | None = None) -> ProcessorStats:
        """Return the figures as they are now, with a ``limit`` that adapts."""
        from .stats import ProcessorStats  # noqa: PLC0415 - seldom used

        with self._lock:
            ended, running = self._ended, 0
            for run in self._live:
                counts = _counts(run)
                ended = _sum(ended, counts)
                running += run.running
            times = self._run_time.snapshot(), self._queue_wait.snapshot()
            return ProcessorStats(self._calls, running, *ended, *times, self._retries, self._hedges, limit)


def _counts(run: Run) -> tuple[int, int, int, int]:
    return run.succeeded, run.errors, run.timeouts, run.cancellations


def _sum(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]

"""Counts what a loader does."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ..metrics import Histogram

if TYPE_CHECKING:
    from .stats import LoaderStats

__all__ = ["LoaderMeter"]


class LoaderMeter:
    """Adds up the calls of one loader; several threads may use it at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._run_time = Histogram()
        self._keys = 0
        self._failed = 0
        self.joined: int = 0  # counted without the lock: by the caller, and one lost in a race of threads is no harm
        self.remembered: int = 0

    def called(self, keys: int, seconds: float, *, failed: bool) -> None:
        """Count a call."""
        with self._lock:
            self._run_time.record(seconds)
            self._keys += keys
            self._failed += failed

    def stats(self, waiting: int, running: int) -> LoaderStats:
        """Return the figures as they are now."""
        from .stats import LoaderStats  # noqa: PLC0415 - seldom used

        with self._lock:
            return LoaderStats(
                batches=self._run_time.count,
                keys=self._keys,
                failed=self._failed,
                joined=self.joined,
                remembered=self.remembered,
                waiting=waiting,
                running=running,
                run_time=self._run_time.snapshot(),
            )

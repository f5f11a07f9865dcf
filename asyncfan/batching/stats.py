"""What a loader has seen so far."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from ..metrics import Histogram, Latency

__all__ = ["LoaderMeter", "LoaderStats"]


@dataclass(frozen=True, slots=True)
class LoaderStats:
    """What a function made by `batched` has done until now, in all threads and loops.

    Attributes:
        batches: Calls of the function, those included that ``on_error="bisect"`` made.
        keys: Keys that they asked for.
        failed: Calls that raised, or whose result did not answer their keys.
        joined: Callers who waited for a key that another one had asked for.
        remembered: Callers who got what the async `scope` around them had asked for before.
        waiting: Keys that are not sent yet.
        running: Batches that run now.
        run_time: How long the calls took.
    """

    batches: int = 0
    keys: int = 0
    failed: int = 0
    joined: int = 0
    remembered: int = 0
    waiting: int = 0
    running: int = 0
    run_time: Latency = field(default_factory=Latency)

    @property
    def fill(self) -> float:
        """Keys a call, on average; 0.0 if there was none."""
        return self.keys / self.batches if self.batches else 0.0

    def __str__(self) -> str:
        return (
            f"{self.batches} batches of {self.fill:.1f} keys, {self.failed} failed, {self.joined} joined, "
            f"{self.remembered} remembered, {self.waiting} waiting, {self.running} running; ran {self.run_time}"
        )


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

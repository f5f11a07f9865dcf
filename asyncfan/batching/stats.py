"""What a loader has seen so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..latency import Latency

__all__ = ["LoaderStats"]


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

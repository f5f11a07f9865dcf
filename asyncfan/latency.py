"""How long something took, as `Histogram` saw it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Latency"]


@dataclass(frozen=True, slots=True)
class Latency:
    """How long something took, over all its runs.

    Attributes:
        count: How many runs were measured.
        total: Their sum, in seconds.
        p50: Half of them took at most this many seconds (within 19 %, as are the next two); 0.0 if none ran.
        p95: 95 % took at most this.
        p99: 99 % took at most this.
    """

    count: int = 0
    total: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0

    @property
    def mean(self) -> float:
        """The average in seconds, 0.0 if nothing ran."""
        return self.total / self.count if self.count else 0.0

    def __str__(self) -> str:
        return f"p50 {self.p50 * 1e3:.2f}, p95 {self.p95 * 1e3:.2f}, p99 {self.p99 * 1e3:.2f} ms"

"""Latency histograms; `Latency` is what one shows."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .latency import Latency

__all__ = ["Histogram", "Latency"]

# Upper bounds of the buckets in seconds: 1 us to 1,000 s, each 2 ** 0.25 = 19 % wider than the one before.
_BOUNDS = tuple(1e-6 * 2 ** (i / 4) for i in range(121))


class Histogram:
    """Counts durations in fixed logarithmic buckets: constant memory, one bisection to record."""

    __slots__ = ("_counts", "count", "total")

    def __init__(self) -> None:
        self.count: int = 0
        self.total: float = 0.0
        self._counts: list[int] | None = None  # one per bucket, and one above the last; made by the first record

    def record(self, seconds: float) -> None:
        """Add one duration in seconds."""
        counts = self._counts
        if counts is None:
            counts = self._counts = [0] * (len(_BOUNDS) + 1)
        counts[bisect_left(_BOUNDS, seconds)] += 1
        self.count += 1
        self.total += seconds

    def quantile(self, share: float) -> float:
        """Return the seconds within which ``share`` (0.0 to 1.0) of the durations lie, 0.0 if none was recorded."""
        if self._counts is None:
            return 0.0
        wanted = share * self.count
        seen = 0
        for i, n in enumerate(self._counts):
            seen += n
            if n and seen >= wanted:
                return _BOUNDS[min(i, len(_BOUNDS) - 1)]
        return 0.0

    def snapshot(self) -> Latency:
        """Return the figures as they are now."""
        from .latency import Latency  # noqa: PLC0415 - seldom used

        return Latency(self.count, self.total, self.quantile(0.5), self.quantile(0.95), self.quantile(0.99))

    def __repr__(self) -> str:
        return f"<Histogram {self.count} durations, p50 {self.quantile(0.5):.6f} s>"


def __getattr__(name: str) -> Any:
    if name != "Latency":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .latency import Latency  # noqa: PLC0415 - few programs look at figures; making its class takes time

    return Latency

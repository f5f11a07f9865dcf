"""What a cache counted, as frozen snapshots and as a text for people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ..latency import Latency
from .memory.weighing import ENTRY_BYTES, weigh

if TYPE_CHECKING:
    from .operation import Operation

__all__ = ["CacheStats", "FunctionStats", "report", "snapshot"]


@dataclass(frozen=True, slots=True)
class FunctionStats:
    """One cached function or endpoint since the process began.

    ``hits + stale_hits + misses + joined`` are its calls.

    Attributes:
        name: Module and name of the function.
        prefix: What the texts of its keys begin with.
        hits: Calls answered from the cache.
        stale_hits: Calls answered at once with a value that had expired.
        misses: Calls that started a load.
        joined: Calls that waited for a load already running.
        rescued: Misses and joined calls that got an expired value, since the load failed or took too long.
        shared_hits: Misses here that the tier which processes share had a value for.
        refreshes: Loads in the background.
        loads_ok: Loads that gave a value.
        loads_failed: Loads that raised.
        loads_timed_out: Those of them that ran into ``hard_timeout``.
        loads_cancelled: Loads cancelled because their callers had left.
        load_time: How long the loads took, in seconds.
        entries: Entries now.
        bytes: What they hold, estimated from a sample of 50.
        removed: ``{cause: entries removed}`` for the causes size, expired, invalidated, replaced and too_big.
    """

    name: str
    prefix: str
    hits: int
    stale_hits: int
    misses: int
    joined: int
    rescued: int
    shared_hits: int
    refreshes: int
    loads_ok: int
    loads_failed: int
    loads_timed_out: int
    loads_cancelled: int
    load_time: Latency
    entries: int
    bytes: int
    removed: dict[str, int]

    @property
    def calls(self) -> int:
        """All calls."""
        return self.hits + self.stale_hits + self.misses + self.joined

    @property
    def hit_ratio(self) -> float:
        """The share of calls answered from the cache, 0.0 without calls."""
        return (self.hits + self.stale_hits) / self.calls if self.calls else 0.0

    @property
    def time_saved(self) -> float:
        """Seconds of loading that hits and joined calls did without, at the mean load time."""
        return (self.hits + self.stale_hits + self.joined) * self.load_time.mean


@dataclass(frozen=True, slots=True)
class CacheStats:
    """A whole cache.

    Attributes:
        entries: Entries now, of all functions; expired ones count until they are swept.
        maxsize: The most it keeps, None without a limit.
        functions: Its functions and endpoints, by name.
    """

    entries: int
    maxsize: int | None
    functions: tuple[FunctionStats, ...]

    @property
    def hits(self) -> int:
        """Calls of all functions that were answered from the cache."""
        return sum(f.hits for f in self.functions)

    @property
    def misses(self) -> int:
        """Calls of all functions that started a load."""
        return sum(f.misses for f in self.functions)

    @property
    def joined(self) -> int:
        """Calls of all functions that waited for a load already running."""
        return sum(f.joined for f in self.functions)

    def __str__(self) -> str:
        return report(self)


def snapshot(operations: Iterable[Operation], entries: int, maxsize: int | None) -> CacheStats:
    """Return the figures of ``operations`` as they are now."""
    found = sorted((_function_stats(op) for op in operations), key=lambda stats: stats.name)
    return CacheStats(entries, maxsize, tuple(found))


def _function_stats(op: Operation) -> FunctionStats:
    with op.lock:
        sample = [weigh(entry.value) + ENTRY_BYTES for entry in islice(op.table.values(), 50)]
        removed = dict(op.removed)
    return FunctionStats(
        name=op.name,
        prefix=op.prefix,
        hits=op.hits,
        stale_hits=op.stale_hits,
        misses=op.misses,
        joined=op.joined,
        rescued=op.rescued,
        shared_hits=op.shared_hits,
        refreshes=op.refreshes,
        loads_ok=op.loads_ok,
        loads_failed=op.loads_failed,
        loads_timed_out=op.loads_timed_out,
        loads_cancelled=op.loads_cancelled,
        load_time=op.load_time.snapshot(),
        entries=op.live,
        bytes=op.live * sum(sample) // len(sample) if sample else 0,
        removed=removed,
    )


def report(stats: CacheStats) -> str:
    """Return a table of what the cache did, one line a function.

    Example:
        >>> print(report(CacheStats(0, 100, ())))
        0 of at most 100 entries
    """
    limit = "entries" if stats.maxsize is None else f"of at most {stats.maxsize} entries"
    lines = [f"{stats.entries} {limit}"]
    if stats.functions:
        lines.append(
            "   hits   stale  misses  joined  failed  entries      kB   p50 ms   p95 ms   p99 ms  saved s  function"
        )
    for f in stats.functions:
        t = f.load_time
        lines.append(
            f"{f.hits:7} {f.stale_hits:7} {f.misses:7} {f.joined:7} {f.loads_failed:7} {f.entries:7} "
            f"{f.bytes / 1e3:7.1f} {t.p50 * 1e3:7.2f} {t.p95 * 1e3:7.2f} {t.p99 * 1e3:7.2f} "
            f"{f.time_saved:7.1f}  {f.name}"
        )
    return "\n".join(lines)

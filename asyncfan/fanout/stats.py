"""What a processor has seen so far: counts of items, and how long they waited and ran."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..latency import Latency

__all__ = ["ProcessorStats"]


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
        retries: Attempts that a `Retry` added to the first ones.
        hedges: Attempts that a `Hedge` made beside others.
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
    retries: int = 0
    hedges: int = 0
    limit: int | None = None

    def __str__(self) -> str:
        limit = "" if self.limit is None else f" (limit {self.limit})"
        again = f", {self.retries} retries, {self.hedges} hedges" if self.retries or self.hedges else ""
        return (
            f"{self.calls} calls: {self.ok} ok, {self.failed} failed, {self.timed_out} timed out, {self.cancelled} "
            f"cancelled, {self.running} running{limit}{again}; ran {self.run_time}; waited {self.queue_wait}"
        )

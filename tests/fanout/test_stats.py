"""`stats()`, `repr` and the log."""

import asyncio
import logging

import pytest

from asyncfan.fanout import ParallelProcessor
from asyncfan.testing import Gate


async def test_stats_count_items_by_what_became_of_them():
    """Each item counts as ok, failed, timed out or cancelled; times are the loop's."""

    async def item(x):
        await asyncio.sleep(x)
        if x == 2:
            raise ValueError
        if x == 3:
            raise asyncio.CancelledError

    processor = ParallelProcessor(2, timeout=5, on_error="collect")
    await processor.map(item, [1, 2, 3, 9, 1])
    stats = processor.stats()
    assert (stats.calls, stats.running) == (1, 0)
    assert (stats.ok, stats.failed, stats.timed_out, stats.cancelled) == (2, 1, 1, 1)
    assert stats.run_time.count == 5
    assert stats.run_time.total == 1 + 2 + 3 + 5 + 1
    assert stats.queue_wait.total == 0 + 0 + 1 + 2 + 4


async def test_stats_and_repr_show_what_runs_now():
    """While items run they are counted as running."""
    gate = Gate()
    processor = ParallelProcessor(3, name="page")
    task = asyncio.ensure_future(processor.map(lambda _: gate.enter(), range(9)))
    await gate.reached()
    await asyncio.sleep(1)
    assert processor.stats().running == 3
    assert repr(processor) == "<ParallelProcessor page 3/3 running, 0 ok, 0 failed>"
    gate.open()
    await task
    assert repr(processor) == "<ParallelProcessor page 0/3 running, 9 ok, 0 failed>"


async def test_long_runs_are_measured_by_samples():
    """Of 3,200 items one in 64 is measured, and all are counted."""
    processor = ParallelProcessor()
    await processor.map(lambda x: x, range(3200))
    assert (processor.stats().ok, processor.stats().run_time.count) == (3200, 50)


async def test_the_log_has_times_and_no_values(caplog):
    """Each call logs one line under `asyncfan` with its time and counts, and nothing of what it worked on."""

    async def item(secret):
        await asyncio.sleep(1.5)
        raise ValueError(secret)

    with caplog.at_level(logging.DEBUG, "asyncfan"), pytest.raises(ValueError, match="hunter2"):
        await ParallelProcessor(name="page").map(item, ["hunter2"])
    assert [(r.name, r.getMessage()) for r in caplog.records if r.name == "asyncfan"] == [
        ("asyncfan", "page: 1 items in 1.500 s: 0 ok, 1 failed, 0 timed out, 0 cancelled")
    ]

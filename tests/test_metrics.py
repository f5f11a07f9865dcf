"""Histograms and snapshots say what was measured."""

from asyncfan import ParallelProcessor
from asyncfan.metrics import Histogram, Latency


def test_quantiles_are_within_a_bucket():
    """A quantile is at most 19 % above the duration that it stands for."""
    histogram = Histogram()
    for milliseconds in range(1, 101):
        histogram.record(milliseconds / 1000)
    found = histogram.snapshot()
    assert 0.050 <= found.p50 <= 0.060
    assert 0.095 <= found.p95 <= 0.114
    assert 0.099 <= found.p99 <= 0.118


def test_mean_is_exact():
    """The mean comes from the sum, not from the buckets."""
    histogram = Histogram()
    histogram.record(0.5)
    histogram.record(1.5)
    assert histogram.snapshot().mean == 1.0


def test_nothing_measured_is_zero():
    """Without durations every figure is zero."""
    assert Histogram().snapshot() == Latency()
    assert Latency().mean == 0.0


def test_longest_durations_have_a_place():
    """A duration above the last bound counts in the last bucket."""
    histogram = Histogram()
    histogram.record(1e6)
    assert histogram.snapshot().p99 > 900


def test_quantile_of_fewer_than_asked_is_the_largest():
    """The last quantile is that of the longest duration."""
    histogram = Histogram()
    histogram.record(0.001)
    assert histogram.quantile(1.0) == histogram.quantile(0.5)


async def test_processor_reports_in_one_line():
    """A processor's figures print as a line for people."""
    processor = ParallelProcessor()
    await processor.map(abs, [1, -2])
    assert str(processor.stats()).startswith("1 calls: 2 ok, 0 failed, 0 timed out, 0 cancelled, 0 running; ran p50 ")

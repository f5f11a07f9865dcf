"""Every public object shows its live state, so that a print in the middle of a program says what is going on."""

import pytest

from asyncfan import (
    MISSING,
    AdaptiveBatchSize,
    AdaptiveLimit,
    AsyncQueryBatcher,
    Cache,
    CacheLevel,
    DataBatcher,
    Hedge,
    Limiter,
    ParallelProcessor,
    Retry,
    RetryBudget,
    batched,
    scope,
)
from asyncfan.context import current_scope
from asyncfan.metrics import Histogram
from asyncfan.testing import Gate, ManualClock


def histogram():
    """Return a histogram of one duration."""
    found = Histogram()
    found.record(0.001)
    return found


def cache():
    """Return a cache with one entry."""
    found = Cache(maxsize=10)

    @found.cache_function(key_prefix="f")
    def f(x):
        return x

    f(1)
    found.kept = f  # the cache itself does not keep its functions
    return found


async def load(keys):
    """Stand for a load function."""


@pytest.mark.parametrize(
    ("thing", "shown"),
    [
        (lambda: MISSING, "MISSING"),
        (lambda: CacheLevel.HIGH, "CacheLevel.HIGH"),
        (lambda: Limiter("db", max_concurrency=3, rate=5), "<Limiter 'db' 0/3 running, 0 waiting, 5/s>"),
        (lambda: RetryBudget("db"), "<RetryBudget 'db' 10/10 tokens>"),
        (
            lambda: Retry(budget=RetryBudget()),
            "<Retry 3 attempts, up to 0.1 to 10 s apart, <RetryBudget 10/10 tokens>>",
        ),
        (lambda: Retry(None), "<Retry unlimited attempts, up to 0.1 to 10 s apart>"),
        (lambda: Hedge(2), "<Hedge after 2 s, 0 of 0 calls hedged>"),
        (lambda: scope(tenant="a", locale="ko"), "<scope locale, tenant>"),
        (current_scope, "<Surroundings >"),
        (histogram, "<Histogram 1 durations, p50 0.001024 s>"),
        (lambda: ManualClock(5), "<ManualClock at 5.0 s>"),
        (cache, "<Cache 1/10 entries, 0 loading>"),
        (lambda: cache().clear("f*"), "<Cleared 1 entries>"),
        (DataBatcher, "<DataBatcher of 100, 0 batches running, 0 ok, 0 failed>"),
        (lambda: AdaptiveLimit(2, 50), "AdaptiveLimit(2, 50)"),
        (lambda: AdaptiveBatchSize(2, 50), "AdaptiveBatchSize(2, 50, band=(0.2, 2.0))"),
        (ParallelProcessor, "<ParallelProcessor 0/32 running, 0 ok, 0 failed>"),
        (lambda: batched(load), "<batched load 0 keys waiting, 0 batches running>"),
        (AsyncQueryBatcher, "<AsyncQueryBatcher <Limiter 0/10 running, 0 waiting>, 0 keys in flight>"),
    ],
)
def test_repr_shows_the_state(thing, shown):
    """What matters of an object stands in its repr."""
    assert repr(thing()) == shown


async def test_gate_shows_who_came():
    """A gate says whether it is open, and how many have entered."""
    gate = Gate()
    gate.open()
    await gate.enter()
    assert repr(gate) == "<Gate open, 1 entered>"

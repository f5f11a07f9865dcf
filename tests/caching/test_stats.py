"""What the cache counts and says: the figures balance, and nothing that it prints holds a value: F51."""

import asyncio
import logging

import pytest

from asyncfan.caching import Cache, CacheStats
from asyncfan.testing import Gate


def figures(cache, f):
    """The figures of one function of the cache."""
    return next(stats for stats in cache.stats().functions if stats.prefix == f.cache_key().removesuffix(":0"))


async def test_hits_misses_and_joined_are_all_calls(cache):
    """Every call is exactly one of the three, whatever became of it."""
    gate = Gate()

    @cache.cache_function(key_prefix="f")
    async def f(n=0):
        await gate.enter()
        if n == 1:
            raise ValueError
        return n

    calls = [asyncio.create_task(f(n)) for n in (0, 1, 2, 0, 1, 2)]
    await gate.reached()
    calls[2].cancel()
    calls[5].cancel()
    gate.open()
    await asyncio.gather(*calls, return_exceptions=True)
    await f(0)
    stats = figures(cache, f)
    assert (stats.hits, stats.misses, stats.joined, stats.calls) == (1, 3, 3, 7)
    assert (stats.loads_ok, stats.loads_failed, stats.loads_cancelled) == (1, 1, 1)


async def test_caller_that_waits_for_an_unwinding_load_counts_once(cache):
    """A call that must look again after a load came to nothing is still one call."""
    cleaning = Gate()

    @cache.cache_function(key_prefix="f")
    async def f(n=0):
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            await cleaning.enter()
            raise

    first = asyncio.create_task(f())
    await asyncio.sleep(0)
    first.cancel()
    await cleaning.reached()
    second = asyncio.create_task(f())
    await asyncio.sleep(0)
    cleaning.open()
    await second
    assert figures(cache, f).calls == 2


def test_entries_and_causes_balance(clock):
    """What was stored is still there, or counted under the cause of its going."""
    cache = Cache(maxsize=5, clock=clock)
    f = cache.cache_function(10, key_prefix="f")(lambda n=0: n)
    for n in range(8):
        f(n)  # 3 go for size
    f.put("new", 7)  # 1 is replaced
    f.invalidate(6)
    clock.advance(10)
    f(7)  # 1 found expired
    with cache.store.lock:
        cache.store.sweep(100)
    stats = figures(cache, f)
    assert stats.removed == {"size": 3, "expired": 4, "invalidated": 1, "replaced": 1, "too_big": 0}
    assert stats.entries == len(cache) == 1 == 8 + 1 + 1 - sum(stats.removed.values())


async def test_load_time_is_that_of_the_loads():
    """Hits and joined calls do not enter the histogram; time saved is what they would have cost."""
    loop = asyncio.get_running_loop()
    cache = Cache(clock=loop.time)

    @cache.cache_function(key_prefix="f")
    async def f(n=0):
        await asyncio.sleep(2)
        return n

    await asyncio.gather(f(), f())
    await f()
    stats = figures(cache, f)
    assert (stats.load_time.count, stats.load_time.total, stats.time_saved) == (1, 2, 4)
    assert stats.hit_ratio == pytest.approx(1 / 3)


def test_bytes_are_estimated_from_the_values(cache):
    """A thousand values of a kilobyte are about 1.4 MB with what an entry costs."""
    f = cache.cache_function(key_prefix="f")(lambda n=0: b"x" * 1_000)
    for n in range(1_000):
        f(n)
    assert figures(cache, f).bytes == pytest.approx(1_433_000, rel=0.01)


def test_stats_of_a_new_function_are_zero(cache):
    """Nothing is divided by zero."""
    f = cache.cache_function(key_prefix="f")(lambda n=0: n)
    stats = figures(cache, f)
    assert (stats.calls, stats.hit_ratio, stats.time_saved, stats.bytes) == (0, 0.0, 0.0, 0)


def test_stats_are_a_snapshot(cache):
    """What was returned does not change."""
    f = cache.cache_function(key_prefix="f")(lambda n=0: n)
    before = figures(cache, f)
    f()
    assert before.calls == 0
    with pytest.raises(AttributeError):
        before.hits = 1


def test_report_is_a_line_a_function(cache):
    """Printed, the figures are a table with a heading."""
    f = cache.cache_function(key_prefix="f")(lambda n=0: n)
    f()
    f()
    first, heading, line = str(cache.stats()).splitlines()
    assert first == "1 of at most 100000 entries"
    assert heading.split() == [
        *("hits", "stale", "misses", "joined", "failed", "entries", "kB"),
        *("p50", "ms", "p95", "ms", "p99", "ms", "saved", "s", "function"),
    ]
    assert line.split()[:6] == ["1", "0", "1", "0", "0", "1"]
    assert line.endswith("test_report_is_a_line_a_function.<locals>.<lambda>")


def test_report_without_bound_says_no_bound():
    """A cache without a limit shows none."""
    assert str(CacheStats(3, None, ())) == "3 entries"


async def test_log_lines_carry_no_value(cache, caplog):
    """Under ``asyncfan`` each load is told with its state and time, never with arguments, results or messages."""
    caplog.set_level(logging.DEBUG, logger="asyncfan")

    @cache.cache_function(key_prefix="f")
    async def f(token):
        if token == "secret-argument-2":
            raise ValueError("secret-message")
        return "secret-result"

    await f("secret-argument")
    with pytest.raises(ValueError, match="secret-message"):
        await f("secret-argument-2")
    name = f"{f.__module__}.{f.__qualname__}"
    assert [record.getMessage() for record in caplog.records] == [
        f"{name}: miss, loaded in 0.000000 s",
        f"{name}: miss, failed with ValueError after 0.000000 s",
    ]
    assert {record.name for record in caplog.records} == {"asyncfan.caching"}
    assert all("secret" not in str(vars(record)) for record in caplog.records)


async def test_load_task_has_a_name_that_carries_no_value(cache):
    """A task list shows which function loads."""

    @cache.cache_function(key_prefix="users")
    async def f(token):
        return asyncio.current_task().get_name()

    assert await f("secret") == "asyncfan:load:users"

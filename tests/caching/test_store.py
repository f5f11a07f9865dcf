"""Which entries stay: order and expiry, against a model, and what is left behind: F16, F32 to F34."""

import asyncio
import collections
import gc
import tracemalloc

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from asyncfan.caching import MISSING, Cache
from asyncfan.caching.clears import cleared
from asyncfan.caching.memory.store import SWEEP_SLICE
from asyncfan.testing import ManualClock

from .conftest import assert_sound


class CacheAgainstModel(RuleBasedStateMachine):
    """A cache of at most five entries and a dictionary with expiries do the same."""

    maxsize = 5
    scan_limit = cleared.SCAN_LIMIT

    def __init__(self):
        super().__init__()
        self.saved, cleared.SCAN_LIMIT = cleared.SCAN_LIMIT, self.scan_limit
        self.clock = ManualClock()
        self.cache = Cache(maxsize=self.maxsize, clock=self.clock)
        self.loads = 0
        self.functions = {
            name: self.cache.cache_function(expire, key_prefix=name)(self.load)
            for name, expire in (("p", 10), ("q:r", None))
        }
        self.model = collections.OrderedDict()  # {(name, key): (value, expires)}; the longest unused first

    def load(self, n):
        self.loads += 1
        return self.loads

    def teardown(self):
        cleared.SCAN_LIMIT = self.saved

    def store_in_model(self, at, value):
        self.model.pop(at, None)
        self.model[at] = (value, self.clock() + (10 if at[0] == "p" else float("inf")))
        self.bound()

    def bound(self):
        """An entry that is expired or cleared but not yet swept may take a place: the model is for the others."""
        while len(self.model) > self.maxsize:
            self.model.popitem(last=False)

    def alive(self, at):
        return at in self.model and self.model[at][1] > self.clock()

    names = st.sampled_from(["p", "q:r"])
    keys = st.integers(1, 12)

    @rule(name=names, n=keys)
    def call(self, name, n):
        hits, before = self.alive((name, n)), self.loads
        value = self.functions[name](n)
        assert (self.loads == before) == hits
        if hits:
            assert value == self.model[name, n][0]
            self.model.move_to_end((name, n))
        else:
            self.store_in_model((name, n), value)

    @rule(name=names, n=keys)
    def put(self, name, n):
        self.functions[name].put("put", n)
        self.store_in_model((name, n), "put")

    @rule(name=names, n=keys)
    def peek(self, name, n):
        value = self.functions[name].peek(n)
        assert value == (self.model[name, n][0] if self.alive((name, n)) else MISSING)

    @rule(name=names, n=keys)
    def refresh(self, name, n):
        self.store_in_model((name, n), self.functions[name].refresh(n))

    @rule(name=names, n=keys)
    def invalidate(self, name, n):
        self.functions[name].invalidate(n)
        self.model.pop((name, n), None)

    @rule(pattern=st.sampled_from(["p:1*", "q:*", "*:2", "p*", "*1*"]))
    def clear(self, pattern):
        self.cache.clear(pattern)
        starts, _, ends = pattern.partition("*")
        for at in list(self.model):
            text = f"{at[0]}:{at[1]}"
            if text.startswith(starts) and (ends.rstrip("*") in text[1:] if pattern == "*1*" else text.endswith(ends)):
                del self.model[at]
        self.sweep()

    @rule(name=names)
    def clear_function(self, name):
        self.functions[name].cache_clear()
        for at in [at for at in self.model if at[0] == name]:
            del self.model[at]
        self.sweep()

    @rule()
    def clear_all(self):
        self.cache.clear_all()
        self.model.clear()
        self.sweep()

    @rule(seconds=st.sampled_from([0.5, 3, 9.5]))
    def wait(self, seconds):
        self.clock.advance(seconds)
        for at in [at for at in self.model if not self.alive(at)]:
            del self.model[at]
        self.sweep()

    @precondition(lambda self: self.model)
    @rule()
    def sweep(self):
        """Until it is swept, what is dead takes places of the living: sweep, to compare exactly."""
        with self.cache.store.lock:
            while not self.cache.store.sweep(SWEEP_SLICE):
                continue

    @invariant()
    def sound(self):
        assert_sound(self.cache)
        assert len(self.cache) <= self.maxsize

    @invariant()
    def same(self):
        for (name, n), (value, _) in self.model.items():
            assert self.functions[name].peek(n) == value


class FencedCacheAgainstModel(CacheAgainstModel):
    scan_limit = 0


TestCacheAgainstModel = CacheAgainstModel.TestCase
TestFencedCacheAgainstModel = FencedCacheAgainstModel.TestCase
TestCacheAgainstModel.settings = TestFencedCacheAgainstModel.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)


def filled(cache, count, **options):
    """A function of the cache, called with 0 to count - 1."""
    f = cache.cache_function(key_prefix="f", **options)(lambda n: n)
    for n in range(count):
        f(n)
    return f


def stored(f, count):
    """Which of 0 to count - 1 are stored."""
    return {n for n in range(count) if f.peek(n) is not MISSING}


# -- order and bounds -------------------------------------------------------------------------------------------------


def test_entry_unused_for_longest_goes_first(clock):
    """LRU: a hit keeps an entry, without a lock or a list to move on the hit path."""
    cache = Cache(maxsize=3, clock=clock)
    f = filled(cache, 3)
    f(0)
    f(3)
    assert stored(f, 4) == {0, 2, 3}


def test_replaced_entry_that_is_dropped_late_takes_nothing_along(cache):
    """An entry is dropped by what it is, not by its key, under which another may be stored by now."""
    f = cache.cache_function(key_prefix="f")(lambda n: n)
    operation = f.cache_clear.__self__.operation
    f.put("old", 1)
    old = next(iter(operation.table.values()))
    f.put("new", 1)
    operation.drop(old, "expired")
    assert f.peek(1) == "new"


def test_no_bound_keeps_all(clock):
    """``maxsize=None`` is no limit."""
    cache = Cache(maxsize=None, clock=clock)
    filled(cache, 5_000)
    assert len(cache) == 5_000


# -- expiry --------------------------------------------------------------------------------------------------------------


def test_expired_value_is_not_served(clock, cache):
    """At the very moment of its expiry an entry is no longer given out."""
    f = filled(cache, 1, expire=10)
    clock.advance(9.999)
    assert f.peek(0) == 0
    clock.advance(0.001)
    assert f.peek(0) is MISSING
    assert cache.stats().functions[0].removed["expired"] == 1


def test_a_hit_does_not_prolong(clock, cache):
    """Expiry counts from the load, not from the last use."""
    f = filled(cache, 1, expire=10)
    clock.advance(6)
    f(0)
    clock.advance(6)
    assert f.peek(0) is MISSING


def test_expired_entries_go_as_others_come(clock, cache):
    """Without an event loop each store sweeps a few: no pause, no growth."""
    f = filled(cache, 1_000, expire=10)
    clock.advance(20)
    for n in range(1_000, 1_500):
        f(n)
    assert f.cache_info().currsize == 500


async def test_expired_entries_go_though_nobody_asks():
    """In an event loop all is gone after twice its life, without a single call (F32)."""
    loop = asyncio.get_running_loop()
    cache = Cache(clock=loop.time)

    @cache.cache_function(expire=10)
    async def f(n):
        return n

    for n in range(5_000):
        await f(n)
    await asyncio.sleep(20)
    assert (len(cache), len(cache.store.order)) == (0, 0)


async def test_put_entries_go_though_nobody_asks():
    """What was put expires as what was loaded does (F32)."""
    cache = Cache(clock=asyncio.get_running_loop().time)

    @cache.cache_function(expire=10)
    async def f(n):
        return n

    f.put(1, 1)
    await asyncio.sleep(20)
    assert len(cache) == 0


async def test_mixed_expiries_go_in_their_own_time():
    """A short-lived entry does not wait for a long-lived one, nor take it along (F32)."""
    cache = Cache(clock=asyncio.get_running_loop().time)
    functions = {expire: cache.cache_function(expire)(_identity) for expire in (1_000, 10, 100)}
    for f in functions.values():
        await f(1)
    left = []
    for seconds in (20, 180, 1_800):
        await asyncio.sleep(seconds)
        left.append(len(cache))
    assert left == [2, 1, 0]


async def _identity(n):
    return n


async def test_sweep_of_expired_entries_goes_in_slices(monkeypatch):
    """The timer looks at 500 entries a turn, however many have expired (F16)."""
    cache = Cache(maxsize=None, clock=asyncio.get_running_loop().time)
    f = cache.cache_function(10)(_identity)
    for n in range(20_000):
        f.put(n, n)
    await f(-1)
    slices = []
    sweep = cache.store.sweep
    monkeypatch.setattr(cache.store, "sweep", lambda steps: slices.append(steps) or sweep(steps))
    await asyncio.sleep(20)
    assert len(cache) == 0
    assert max(slices) <= SWEEP_SLICE
    assert len(slices) >= 20_000 / SWEEP_SLICE


async def test_timer_that_rings_too_soon_rings_again(monkeypatch):
    """An event loop whose timers are a millisecond early, as uvloop's, sweeps all the same."""
    loop = asyncio.get_running_loop()
    call_later = loop.call_later
    monkeypatch.setattr(loop, "call_later", lambda delay, *args, **how: call_later(max(delay - 0.001, 0), *args, **how))
    cache = Cache(clock=loop.time)
    await cache.cache_function(10)(_identity)(1)
    await asyncio.sleep(20)
    assert len(cache) == 0


async def test_timer_that_no_longer_counts_changes_nothing():
    """A timer that could not be cancelled, for it was another thread's, rings for nothing."""
    cache = Cache(clock=asyncio.get_running_loop().time)
    await cache.cache_function(10)(_identity)(1)
    timer = cache.store._timer
    cache.store.wake(cache.store._serial - 1)
    assert cache.store._timer is timer is not None
    cache.store.stop()


async def test_timer_sleeps_when_nothing_expires():
    """A cache of entries that stay for good sets no timer."""
    cache = Cache(clock=asyncio.get_running_loop().time)
    await cache.cache_function(expire=None)(_identity)(1)
    assert cache.store._timer is None


async def test_short_expiry_does_not_keep_the_loop_busy():
    """Entries that live for a microsecond are swept twenty times a second, not a million times."""
    loop = asyncio.get_running_loop()
    cache = Cache(clock=loop.time)
    f = cache.cache_function(1e-6)(_identity)
    fired = 0
    wake = cache.store.wake

    def counting(serial):
        nonlocal fired
        fired += 1
        wake(serial)

    cache.store.wake = counting
    for n in range(200):
        await f(n)
        await asyncio.sleep(0.005)
    assert fired <= 25


def test_wall_clock_does_not_matter(monkeypatch):
    """Expiry is measured by a clock that nobody sets (F34)."""
    import time

    cache = Cache()
    f = filled(cache, 1, expire=1_000)
    monkeypatch.setattr(time, "time", lambda: 1e12)
    assert f.peek(0) == 0
    assert cache.clock is time.monotonic


# -- memory ------------------------------------------------------------------------------------------------------------------


async def test_operations_leave_nothing_behind():
    """Hits, misses, errors, clears and cancelled calls cost no memory after the warm-up (F33)."""
    cache = Cache(maxsize=100, clock=ManualClock())

    @cache.cache_function(key_prefix="p")
    async def f(n):
        if n % 7 == 0:
            raise ValueError(n)
        if n % 5 == 0:
            await asyncio.sleep(0)
        return n

    async def rounds(count):
        for n in range(count):
            call = asyncio.ensure_future(f(n % 211))
            await asyncio.sleep(0)
            if n % 11 == 0:
                call.cancel()
            await asyncio.wait([call])
            if not call.cancelled():
                call.exception()
            if n % 13 == 0:
                cache.clear(f"p:{n % 211}*")

    growth = []
    tracemalloc.start()
    try:
        await rounds(9_000)  # traced too: what follows replaces what it leaves, such as notes, by and by
        for _ in range(3):  # what is lost is lost in each of them; a dictionary that grows once is not
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            await rounds(1_000)
            gc.collect()
            growth.append(tracemalloc.get_traced_memory()[0] - before)
    finally:
        tracemalloc.stop()
    assert min(growth) / 1_000 < 1.0
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_cache_dies_without_depth(clock):
    """A cache of 10^5 entries is freed without running out of stack."""
    cache = Cache(maxsize=None, clock=clock)
    f = cache.cache_function(key_prefix="f")(lambda n: n)
    for n in range(100_000):
        f.put(n, n)
    del cache, f
    gc.collect()

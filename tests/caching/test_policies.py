"""Which entry goes first: one contract for every policy and mapping, S3-FIFO against a model, and memory: F31, F32."""

import asyncio
import gc
import math
import random
import subprocess
import sys
import threading
import weakref
from collections import OrderedDict

import cachetools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfan.caching import MISSING, Cache
from asyncfan.caching.memory.ghosts import Ghosts
from asyncfan.caching.memory.policies import POLICIES
from asyncfan.caching.memory.queues import MAIN, MAX_READS
from asyncfan.caching.memory.s3fifo import S3FIFOCache
from asyncfan.caching.memory.store import SWEEP_SLICE
from asyncfan.testing import ManualClock

from .conftest import assert_sound
from .test_store import filled, stored


class Fifo(dict):
    """A mapping with a bound of its own: the first in is the first out, without a word."""

    def __init__(self, maxsize):
        super().__init__()
        self.maxsize = maxsize

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        while len(self) > self.maxsize:
            del self[next(iter(self))]


class Foreign:
    """A bounded mapping that is derived from nothing, and raises what it likes, as cachebox's do."""

    def __init__(self, maxsize):
        self.maxsize = maxsize
        self._held = OrderedDict()

    def __getitem__(self, key):
        self._held.move_to_end(key)
        return self._held[key]

    def __setitem__(self, key, value):
        if value.value == "heavy":
            raise OverflowError("too large")
        self._held[key] = value
        while len(self._held) > self.maxsize:
            self._held.popitem(last=False)

    def __contains__(self, key):
        return key in self._held

    def __len__(self):
        return len(self._held)

    def keys(self):
        return self._held.keys()

    def pop(self, key, default):
        return self._held.pop(key, default)

    def clear(self):
        self._held.clear()


NAMED = list(POLICIES)
MAPPINGS = {
    "Fifo": Fifo,
    "Foreign": Foreign,
    "cachetools.LRUCache": cachetools.LRUCache,
    "cachetools.TTLCache": lambda maxsize: cachetools.TTLCache(maxsize, 3_600),
    "S3FIFOCache": S3FIFOCache,
}
named = pytest.mark.parametrize("policy", NAMED)
every = pytest.mark.parametrize("policy", [*NAMED, *MAPPINGS])
mapped = pytest.mark.parametrize("policy", MAPPINGS)


def bounded(policy, maxsize, **options):
    """A cache of at most ``maxsize`` entries."""
    if policy in NAMED:
        return Cache(maxsize=maxsize, policy=policy, **options)
    return Cache(policy=MAPPINGS[policy](maxsize), **options)


def sweep(cache):
    """Look at every entry: one round may have been under way."""
    with cache.store.lock:
        for _ in range(2):
            while not cache.store.sweep(SWEEP_SLICE):
                continue


# -- the contract -------------------------------------------------------------------------------------------------------

ACTIONS = st.lists(
    st.tuples(st.sampled_from(["call", "call", "call", "put", "invalidate", "wait", "clear"]), st.integers(0, 12)),
    max_size=120,
)


@every
@given(actions=ACTIONS, maxsize=st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_bounds_hold_and_every_entry_is_accounted_for(policy, actions, maxsize):
    """Whatever happens, no more is held than may be, and what was stored is held or was removed for a cause."""
    clock = ManualClock()
    cache = bounded(policy, maxsize, clock=clock)
    f = cache.cache_function(expire=10, key_prefix="f")(lambda n: n)
    puts = 0
    for action, n in actions:
        if action == "call":
            assert f(n) == n
        elif action == "put":
            f.put(n, n)
            puts += 1
        elif action == "invalidate":
            f.invalidate(n)
        elif action == "wait":
            clock.advance(n)
        else:
            cache.clear(f"f:{n}*")
        if policy in NAMED:
            assert len(cache) <= maxsize
            assert_sound(cache)
    sweep(cache)
    assert len(cache) <= maxsize
    assert_sound(cache)
    figures = cache.stats().functions[0]
    assert figures.misses + puts == len(cache) + sum(figures.removed.values())
    assert figures.removed["too_big"] == 0


@named
@given(sizes=st.lists(st.integers(0, 6_000), max_size=60), maxsize=st.sampled_from([None, 4]))
@settings(max_examples=60, deadline=None)
def test_both_bounds_hold_at_once(policy, sizes, maxsize):
    """Entries and bytes are both bounded; one value above the bound drives nobody out."""
    cache = Cache(maxsize=maxsize, max_bytes=5_000, weigher=len, policy=policy, clock=ManualClock())
    f = cache.cache_function(key_prefix="f")(lambda n, size: bytes(size))
    for n, size in enumerate(sizes):
        before = len(cache)
        f(n, size)
        entries = list(cache.store.order.walk())
        assert sum(entry.weight for entry in entries) == sum(len(entry.value) + 400 for entry in entries) <= 5_000
        assert len(cache) <= (maxsize or 5_000)
        assert size + 400 <= 5_000 or len(cache) == before
    assert_sound(cache)


@every
def test_what_goes_for_want_of_room_is_counted_as_that(clock, policy):
    """A hundred entries in a cache of ten: ninety went, because of the size."""
    cache = bounded(policy, 10, clock=clock)
    f = filled(cache, 100)
    sweep(cache)
    assert cache.stats().functions[0].removed == {
        "size": 90, "expired": 0, "invalidated": 0, "replaced": 0, "too_big": 0,
    }  # fmt: skip
    assert f.cache_info().currsize == len(stored(f, 100)) == 10


@every
def test_bound_is_the_caches_whoever_fills_it(clock, policy):
    """Three functions share ten places."""
    cache = bounded(policy, 10, clock=clock)
    functions = [filled(cache, 20) for _ in range(3)]
    sweep(cache)
    assert len(cache) == sum(f.cache_info().currsize for f in functions) == cache.maxsize == 10


@every
def test_walk_sees_each_entry_once_while_others_come_and_go(clock, policy):
    """Entries are removed, stored and used during a walk; who was there and stays is seen, and nobody twice."""
    rng = random.Random(1)
    cache = bounded(policy, 1_000, clock=clock)
    f = filled(cache, 300)
    order, table = cache.store.order, f.cache_clear.__self__.operation.table
    cache.store.sweep = lambda steps: False  # it walks too, and there is one walk at a time
    before = set(table.values())
    seen, touched = [], set()
    for step, entry in enumerate(order.walk()):
        seen.append(entry)
        n = rng.randrange(300)
        if step % 3 == 0:
            f.invalidate(n)
        elif step % 3 == 1:
            f.put(n, 1_000 + n)
        elif f.peek(n) is not MISSING:
            used = rng.choice(list(table.values()))
            order.touch(used)
            touched.add(used)
    stayed = before & set(table.values())
    assert len(seen) == len(set(seen))
    assert stayed - touched <= set(seen) <= before
    assert len(stayed) > 50
    assert_sound(cache)


@every
def test_sweep_sees_every_entry_though_all_are_used_meanwhile(clock, policy):
    """One round of sweeping looks at whatever was there, also at what hits move out of its way."""
    cache = bounded(policy, 1_000, clock=clock)
    f = filled(cache, 200)
    sweep(cache)
    looked_at = set()
    look_at = cache.store._look_at
    cache.store._look_at = lambda entry, now: (looked_at.add(entry), look_at(entry, now))
    ended = False
    while not ended:
        for n in range(0, 200, 7):
            f(n)
        with cache.store.lock:
            cache.store.replay()
            ended = cache.store.sweep(10)
    assert looked_at == set(f.cache_clear.__self__.operation.table.values())


@every
def test_use_of_an_entry_that_is_gone_is_harmless(clock, policy):
    """A hit is told to the order later: by then the entry may be evicted, removed or replaced."""
    cache = bounded(policy, 3, clock=clock)
    f = filled(cache, 3)
    table = f.cache_clear.__self__.operation.table
    evicted, *_ = table.values()
    filled(cache, 3)
    f(7)
    invalidated = table[next(iter(table))]
    f.invalidate(invalidated.value)
    f.put(100, 7)
    replaced = table[next(iter(table))]
    f.put(101, 7)
    for entry in (evicted, invalidated, replaced):
        cache.store.order.touch(entry)
        cache.store.order.remove(entry)
        assert entry not in cache.store.order
    sweep(cache)
    assert_sound(cache)


@every
def test_entry_that_is_hit_while_it_is_being_stored_stays(clock, policy):
    """Another thread finds it in the table before the order has it: a sweep under way must not take it for evicted."""
    cache = bounded(policy, 100, clock=clock)
    f = filled(cache, 20)
    table, store = f.cache_clear.__self__.operation.table, cache.store
    store.sweep(3)
    replay = store.replay

    def hit_and_replay():
        store.touched.extend(entry for entry in table.values() if entry.value == "new")
        replay()

    store.replay = hit_and_replay
    f.put("new", 99)
    assert f.peek(99) == "new"
    assert_sound(cache)


@every
@pytest.mark.real_time
def test_threads_keep_the_order_sound(policy):
    """Hits, misses, removals and sweeps in four threads leave tables, order and bounds intact."""
    cache = bounded(policy, 50)
    functions = [cache.cache_function(expire=10, key_prefix=f"f{i}")(lambda n: n) for i in range(2)]
    errors = []

    def work(seed):
        rng = random.Random(seed)
        try:
            for _ in range(1_500):
                f, n = rng.choice(functions), int(rng.paretovariate(0.7)) % 200
                if rng.random() < 0.1:
                    f.invalidate(n)
                else:
                    assert f(n) == n
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sweep(cache)
    assert errors == []
    assert len(cache) <= 50
    assert_sound(cache)


@every
async def test_expired_entries_go_though_nobody_asks(policy):
    """After twice its life nothing is left, without a single call: neither here nor in the mapping (F32)."""
    cache = bounded(policy, 5_000, clock=asyncio.get_running_loop().time)

    @cache.cache_function(expire=10)
    async def f(n):
        return n

    for n in range(2_000):
        await f(n)
    await asyncio.sleep(20)
    assert (len(cache), len(cache.store.order)) == (0, 0)
    assert cache.stats().functions[0].removed["expired"] == 2_000


@every
@pytest.mark.parametrize("index_by_sweep", [True, False])
def test_nothing_cleared_is_served_again_whatever_moves(policy, index_by_sweep, monkeypatch):
    """Uses and evictions move entries while clears are carried out in steps: none is missed, and served afterwards."""
    monkeypatch.setattr("asyncfan.caching.clears.cleared.SCAN_LIMIT", 0)
    monkeypatch.setattr("asyncfan.caching.memory.store.STORE_STEPS", 1)
    monkeypatch.setattr("asyncfan.caching.memory.store.WORK_SLICE", 0)
    monkeypatch.setattr("asyncfan.caching.clears.clearing.LIST_LIMIT", 0 if index_by_sweep else 1_000)
    for seed in range(30):
        rng, now = random.Random(seed), 0
        cache = bounded(policy, 12, clock=ManualClock())
        f = cache.cache_function(key_prefix="f")(lambda n: now)  # noqa: B023 - called in this turn only
        cleared = dict.fromkeys(range(40), 0)
        for _ in range(400):
            now += 1
            what, n = rng.random(), int(rng.paretovariate(0.6)) % 40
            if what < 0.02:
                cache.clear_all()
                cleared = dict.fromkeys(cleared, now)
            elif what < 0.05:
                cache.clear(f"f:{n % 4}*")
                cleared |= {key: now for key in cleared if str(key).startswith(str(n % 4))}
            elif what < 0.15:
                with cache.store.lock:
                    cache.store.work(rng.randrange(6))
            else:
                assert f(n) > cleared[n]
        sweep(cache)
        assert_sound(cache)


@pytest.mark.parametrize("moved", ["promoted", "renewed"])
def test_entry_that_an_eviction_moves_is_not_forgotten_by_a_sweep(clock, moved, monkeypatch):
    """S3-FIFO moves an entry out of the way of the sweep that makes the index: the next clear finds it all the same."""
    monkeypatch.setattr("asyncfan.caching.clears.cleared.SCAN_LIMIT", 0)
    monkeypatch.setattr("asyncfan.caching.memory.store.STORE_STEPS", 0)
    monkeypatch.setattr("asyncfan.caching.memory.store.WORK_SLICE", 0)
    monkeypatch.setattr("asyncfan.caching.clears.clearing.LIST_LIMIT", 0)
    cache = Cache(maxsize=20, policy="s3fifo", clock=clock)
    f = filled(cache, 20)
    queues = cache.store.order._queues
    for n in range(20 if moved == "renewed" else 1):
        f(n), f(n)
    if moved == "renewed":
        f(20)  # promotes them all; 0 goes
        f(1)
    cache.store.replay()
    oldest = (queues.small if moved == "promoted" else queues.main).oldest
    cache.clear("f:none*")  # the first one by a pattern
    cache.store.work(2)
    f(30)
    assert queues.main._root.older is oldest
    cache.store.work(100)
    assert not cache.store.chores
    cache.clear(f"f:{oldest.value}*")
    cache.store.work(100)
    assert not cache.store.chores
    assert f.peek(oldest.value) is MISSING
    assert_sound(cache)


@named
async def test_expired_entries_go_though_others_are_evicted_and_used(policy):
    """What evictions and uses move out of a sweep's way expires as all others do (F32)."""
    rng, loop = random.Random(5), asyncio.get_running_loop()
    cache = Cache(maxsize=300, policy=policy, clock=loop.time)

    async def load(n):
        return n

    short, long = (cache.cache_function(expire, key_prefix=str(expire))(load) for expire in (10, 10_000))
    for n in range(4_000):
        await rng.choice((short, long))(int(rng.paretovariate(0.3)) % 2_000)
        if n % 20 == 0:
            await asyncio.sleep(0.1)
    assert short.cache_info().currsize > 50
    assert cache.stats().functions[0].removed["size"] > 50
    await asyncio.sleep(20)
    assert short.cache_info().currsize == 0
    assert long.cache_info().currsize > 0
    assert_sound(cache)


@named
@pytest.mark.parametrize("again", ["invalidate", "put"])
def test_entry_that_a_finalizer_removes_while_it_comes_in_is_not_held(clock, policy, again):
    """What is evicted for it runs code that may remove or replace the very entry that room is made for."""
    cache = Cache(maxsize=1, policy=policy, clock=clock)
    f = cache.cache_function(key_prefix="f")(lambda n: n)

    class Value:
        def __del__(self):
            f.invalidate(1) if again == "invalidate" else f.put("put", 1)

    f.put(Value(), 0)
    assert f(1) == 1
    assert f.peek(1) == (MISSING if again == "invalidate" else "put")
    assert_sound(cache)


@named
def test_value_that_has_gone_is_freed_at_once(clock, policy):
    """Nothing that the policy notes of what was evicted or removed keeps it alive until a garbage collection."""
    cache = Cache(maxsize=2, policy=policy, clock=clock)
    f = cache.cache_function(key_prefix="f")(lambda n: n)
    values = []
    gc.disable()
    try:
        for n in range(20):
            value = type("Value", (), {})()
            values.append(weakref.ref(value))
            f.put(value, n)
            del value
            if n % 3:
                f.invalidate(n)
            elif n < 18:
                f(n)
        f.put(None, 0)  # what was used is noted until the next change
        assert sum(value() is not None for value in values) <= 1
        assert len(cache) == 2
    finally:
        gc.enable()


# -- LFU and S3-FIFO ------------------------------------------------------------------------------------------------------


def test_entry_used_least_often_goes_first(clock):
    """LFU: what was hit more often stays."""
    cache = Cache(maxsize=3, policy="lfu", clock=clock)
    f = filled(cache, 3)
    for _ in range(3):
        f(0)
        f(2)
    f(3)
    assert stored(f, 4) == {0, 2, 3}


@pytest.mark.parametrize(("policy", "kept"), [("lru", 0), ("lfu", 50), ("s3fifo", 50)])
def test_scan_drives_out_what_lru_keeps(clock, policy, kept):
    """Fifty keys in demand outlive a scan of ten thousand under a policy that resists it."""
    cache = Cache(maxsize=100, policy=policy, clock=clock)
    f = filled(cache, 50)
    for _ in range(3):
        for n in range(50):
            f(n)
    for n in range(1_000, 11_000):
        f(n)
    assert len(stored(f, 50)) == kept


def test_call_that_comes_back_soon_enters_the_main_queue(clock):
    """S3-FIFO knows a call again although its entry is a new one: then a scan no longer drives it out."""
    cache = Cache(maxsize=100, policy="s3fifo", clock=clock)
    f = filled(cache, 101)
    assert f.peek(0) is MISSING
    f(0)
    for n in range(1_000, 1_090):
        f(n)
    assert f.peek(0) == 0


class Model:
    """S3-FIFO as the paper tells it, in lists: plain, and slow."""

    def __init__(self, capacity):
        self.capacity = capacity
        self.sizes = {}  # {key: size}
        self.reads = {}  # {key: reads}
        self.small, self.main, self.ghosts = [], [], []  # the oldest first

    def read(self, key):
        if key in self.reads:
            self.reads[key] = min(self.reads[key] + 1, 3)

    def insert(self, key, size):
        if size > self.capacity:
            return
        while sum(self.sizes.values()) + size > self.capacity:
            self.evict()
        if key in self.ghosts:
            self.ghosts[self.ghosts.index(key)] = None
            self.main.append(key)
        else:
            self.small.append(key)
        self.sizes[key], self.reads[key] = size, 0

    def delete(self, key):
        (self.small if key in self.small else self.main).remove(key)
        del self.sizes[key], self.reads[key]

    def evict(self):
        everything = len(self.sizes)
        while len(self.sizes) == everything:
            share = sum(self.sizes[key] for key in self.small) / (sum(self.sizes.values()) or 1)
            if self.small and (share >= 0.1 or not self.main):
                self.evict_from_small()
            else:
                self.evict_from_main()

    def evict_from_small(self):
        key = self.small[0]
        if self.reads[key] > 1:
            self.main.append(self.small.pop(0))
            self.reads[key] = 0
        else:
            self.ghosts.append(key)
            del self.ghosts[: max(len(self.ghosts) - int(len(self.sizes) * 0.9), 0)]
            self.delete(key)

    def evict_from_main(self):
        key = self.main[0]
        if self.reads[key] > 0:
            self.reads[key] -= 1
            self.main.append(self.main.pop(0))
        else:
            self.delete(key)


def assert_same(capacity, requests, *, sized):
    """Make the requests, (action, key, size), of both, and compare them after each."""
    found = S3FIFOCache(capacity, (lambda value: value) if sized else None)
    model = Model(capacity)
    for action, key, size in requests:
        weight = size if sized else 1
        if action == "delete" and key in found:
            del found[key]
            model.delete(key)
        elif action == "pop" and found:
            found.popitem()
            model.evict()
        elif key in found:
            assert found[key] in range(1, 5)
            model.read(key)
        elif weight <= capacity:
            found[key] = size
            model.insert(key, weight)
        assert_same_queues(found._queues, model, lambda node: node.key)
        assert found.currsize == found._queues.weight == sum(model.sizes.values()) <= capacity
    assert remembered(found._queues.ghosts) == {hash((key,)) & 0xFFFFFFFF for key in model.ghosts if key is not None}


def assert_same_queues(queues, model, key_of):
    """The same keys are in the same places, and were read as often."""
    small, main = list(queues.small.walk())[::-1], list(queues.main.walk())[::-1]
    assert [key_of(item) for item in small] == model.small
    assert [key_of(item) for item in main] == model.main
    assert {key_of(item): item.place & MAX_READS for item in small + main} == model.reads
    assert [item.place & MAIN for item in small + main] == [0] * len(small) + [MAIN] * len(main)


def remembered(ghosts):
    """The fingerprints that are still of use."""
    pairs = zip(ghosts._prints, ghosts._numbers, strict=True)
    return {fingerprint for fingerprint, number in pairs if number > ghosts._forgotten}


class LfuModel:
    """LFU as everybody tells it: the first to go has the fewest uses, and has had so many for longest."""

    def __init__(self):
        self.sizes = {}  # {key: size}
        self.rank = {}  # {key: (uses, when it came to have so many)}
        self.now = 0

    def read(self, key):
        self.now += 1
        self.rank[key] = self.rank[key][0] + 1, self.now

    def insert(self, key, size):
        self.now += 1
        self.sizes[key], self.rank[key] = size, (1, self.now)

    def delete(self, key):
        del self.sizes[key], self.rank[key]

    def evict(self):
        self.delete(min(self.rank, key=self.rank.get))

    def assert_same_as(self, order):
        assert [entry.value for entry in order.walk()] == sorted(self.rank, key=self.rank.get, reverse=True)
        groups = [(entry.place.uses, entry.place.count) for entry in order.walk()]
        uses = [uses for uses, _ in self.rank.values()]
        assert sorted(groups) == sorted((n, uses.count(n)) for n in uses)


class QueuesModel(Model):
    """S3-FIFO whose room is made from outside."""

    def __init__(self):
        super().__init__(math.inf)

    def assert_same_as(self, order):
        assert_same_queues(order._queues, self, lambda entry: entry.value)


@pytest.mark.parametrize(("policy", "model_of"), [("lfu", LfuModel), ("s3fifo", QueuesModel)])
@given(
    requests=st.lists(st.tuples(st.sampled_from(["call", "call", "call", "put", "drop"]), st.integers(0, 25))),
    maxsize=st.sampled_from([None, 1, 3, 10]),
    most=st.integers(2, 12),
)
@settings(max_examples=150, deadline=None)
def test_cache_does_as_its_policys_model(policy, model_of, requests, maxsize, most):
    """Call by call, under both bounds, the cache holds the same in the same order as the model."""
    weighed = {"max_bytes": most * 410, "weigher": lambda n: n * 10} if most % 2 or maxsize is None else {}
    cache, model = Cache(maxsize=maxsize, policy=policy, clock=ManualClock(), **weighed), model_of()
    f = cache.cache_function(key_prefix="f")(lambda n: n)

    def weight(n):
        return 400 + 10 * n if weighed else 1

    for action, n in requests:
        held = n in model.sizes
        if held and action == "call":
            model.read(n)
        elif held:
            model.delete(n)
        if action == "drop":
            assert f.invalidate(n).count == held
        elif action == "put" or not held:
            if weight(n) <= most * 410:
                while len(model.sizes) >= (maxsize or 100) or (
                    weighed and sum(model.sizes.values()) + weight(n) > most * 410
                ):
                    model.evict()
                model.insert(n, weight(n))
            f.put(n, n) if action == "put" else f(n)
        else:
            assert f(n) == n
        cache.store.replay()
        model.assert_same_as(cache.store.order)
    assert_sound(cache)


# -- ghosts ---------------------------------------------------------------------------------------------------------------


@given(
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=300),
    room=st.integers(0, 50),
)
@settings(max_examples=100, deadline=None)
def test_ghosts_are_the_last_so_many(steps, room):
    """A fingerprint is remembered until so many others have come, or until it is taken."""
    ghosts, model = Ghosts(), []
    for leaves, n in steps:
        if leaves:
            ghosts.leave(hash((n,)), room)
            model = [None if other == n else other for other in model]
            model = [*model, n][-room or len(model) + 1 :]
        else:
            assert ghosts.take(hash((n,))) == (n in model)
            model = [None if other == n else other for other in model]


@pytest.mark.parametrize("room", [10, 1_000, 30_000])
def test_few_ghosts_are_forgotten_early(room):
    """However many there are: 97 of 100 of the last ones are known again, nothing else is, and 24 bytes are enough."""
    ghosts = Ghosts()
    for n in range(3 * room):
        ghosts.leave(hash((1, n)), room)
    held = sys.getsizeof(ghosts._prints) + sys.getsizeof(ghosts._numbers)
    assert held <= 24 * room + 12 * 512 + 300
    assert sum(ghosts.take(hash((1, n))) for n in range(2 * room, 3 * room)) >= 0.97 * room
    assert sum(ghosts.take(hash((1, n))) for n in range(3 * room)) == 0
    assert sum(ghosts.take(hash((2, n))) for n in range(3 * room)) == 0


ACTION = st.sampled_from(["get", "get", "get", "delete", "pop"])


@given(
    capacity=st.integers(1, 40),
    requests=st.lists(st.tuples(ACTION, st.integers(0, 40), st.integers(1, 4)), max_size=300),
    sized=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_s3fifo_does_as_the_paper_says(capacity, requests, sized):
    """Request by request, the same keys are held, in the same queues and with the same counts, as in the model."""
    assert_same(capacity, requests, sized=sized)


@pytest.mark.parametrize("capacity", [1, 2, 10, 30])
@pytest.mark.parametrize("sized", [False, True])
def test_s3fifo_does_as_the_paper_says_in_the_long_run(capacity, sized):
    """So it is when all queues are full: some keys in demand among many."""
    rng = random.Random(capacity)
    requests = [
        (rng.choices(("get", "delete", "pop"), (50, 1, 1))[0], int(rng.paretovariate(0.5)) % 100, rng.randint(1, 4))
        for _ in range(4_000)
    ]
    assert_same(capacity, requests, sized=sized)


def test_s3fifo_is_a_mapping_as_cachetools_has_them():
    """Writing counts as a use, what is too large is refused, a value may grow, and all can be forgotten."""
    found = S3FIFOCache(10, getsizeof=len)
    found["a"], found["b"] = "xx", "xxx"
    found["a"] = "xxxxxxxx"
    assert dict(found) == {"a": "xxxxxxxx"} or found.currsize <= 10
    with pytest.raises(ValueError, match="value too large"):
        found["c"] = "x" * 11
    found.clear()
    assert (len(found), found.currsize, len(found._queues)) == (0, 0, 0)
    with pytest.raises(KeyError, match="S3FIFOCache is empty"):
        found.popitem()


@given(
    writes=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 12)), max_size=100),
    capacity=st.integers(1, 20),
)
def test_s3fifo_keeps_within_its_size_as_values_grow(writes, capacity):
    """Overwriting with larger and smaller values never loses count."""
    found = S3FIFOCache(capacity, getsizeof=lambda value: value)
    for key, size in writes:
        if size <= capacity:
            found[key] = size
            assert found[key] == size
        assert sum(found.values()) == found.currsize == found._queues.weight <= capacity
        assert len(found) == len(found._nodes) == len(found._queues)


# -- mappings of the user's ------------------------------------------------------------------------------------------------


@mapped
def test_mapping_decides_what_stays(clock, policy):
    """What a mapping drops goes here too, a few at each change."""
    mapping = MAPPINGS[policy](10)
    cache = Cache(policy=mapping, clock=clock)
    f = filled(cache, 1_000)
    assert len(mapping) == 10
    assert len(cache) <= 20
    assert 999 in stored(f, 1_000)
    cache.clear_all()
    assert (len(cache), len(mapping)) == (0, 0)


def test_mapping_sees_uses(clock):
    """A hit is read in the mapping, before the next change."""
    cache = Cache(policy=cachetools.LRUCache(3), clock=clock)
    f = filled(cache, 3)
    f(0)
    f(3)
    sweep(cache)
    assert stored(f, 4) == {0, 2, 3}


def test_mapping_knows_a_call_again(clock):
    """One that remembers what it has dropped is given the same key when the call comes back."""
    keys = []

    class Remembering(Fifo):
        def __setitem__(self, key, value):
            keys.append(key)
            super().__setitem__(key, value)

    cache = Cache(policy=Remembering(1), clock=clock)
    f, g = filled(cache, 2), filled(cache, 2)
    f(0)
    assert g(0) == f(0) == 0
    assert keys[0] == keys[4]
    assert len(set(keys[:4])) == 4


def test_value_that_a_mapping_refuses_is_given_out(clock):
    """What is too large for the mapping is counted as too big."""
    cache = Cache(policy=Foreign(3), clock=clock)
    f = cache.cache_function(lambda: "heavy")
    assert f() == "heavy"
    assert cache.stats().functions[0].removed["too_big"] == 1
    assert_sound(cache)


@pytest.mark.parametrize("method", ["__setitem__", "__getitem__", "__contains__"])
def test_mapping_that_fails_harms_no_caller(clock, caplog, method):
    """Each caller gets the value though the mapping raises, and the log says so."""
    mapping = type("Broken", (Fifo,), {})(3)
    cache = Cache(policy=mapping, clock=clock)
    f = filled(cache, 3)
    f(0)

    def fail(*_):
        raise RuntimeError("broken")

    setattr(type(mapping), method, fail)
    assert [f(n) for n in range(6)] == [0, 1, 2, 3, 4, 5]
    assert {record.getMessage().rpartition(": ")[2] for record in caplog.records} == {"RuntimeError"}


def test_mapping_may_lose_an_entry_in_the_middle_of_a_use(clock):
    """A mapping that expires things in a thread of its own says at one moment that it has one, at the next not."""

    class Fleeting(Fifo):
        def __getitem__(self, key):
            raise KeyError(key)

    cache = Cache(policy=Fleeting(3), clock=clock)
    f = filled(cache, 3)
    assert [f(n) for n in (0, 1, 3)] == [0, 1, 3]


def test_mapping_that_makes_what_it_lacks_is_not_asked_for_it(clock):
    """The use of an entry that the mapping has dropped must not bring anything back."""

    class Making(Fifo):
        def __missing__(self, key):
            raise AssertionError(key)

    cache = Cache(policy=Making(1), clock=clock)
    f = filled(cache, 1)
    dropped = next(cache.store.order.walk())
    f(1)
    cache.store.order.touch(dropped)
    assert stored(f, 2) >= {1}


# -- memory ------------------------------------------------------------------------------------------------------------------

GROWTH = """
import resource
from asyncfan.caching import Cache

def rss():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

def growth(maxsize, first, last):
    cache = Cache(maxsize=maxsize, policy="POLICY")
    f = cache.cache_function(expire=3600)(lambda n: None)
    f(-1)
    before = rss()
    for n in range(first, last):
        f.put(None, n)
        if n % 20 == 0:
            f(n), f(n - 50)
        if n == first + 10 * maxsize:
            turned_over = rss()
    assert len(cache) == maxsize
    return rss() - before, rss() - turned_over if last > first + 10 * maxsize else 0

print(*growth(MAXSIZE, 10**6, 10**6 + COUNT))
"""


def grown(policy, maxsize, count):
    """The bytes by which a process grows over so many keys, and over those after ten times ``maxsize``."""
    script = GROWTH.replace("POLICY", policy).replace("MAXSIZE", str(maxsize)).replace("COUNT", str(count))
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return map(int, found.stdout.split())


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads the resident set from /proc")


@pytest.mark.real_time
@linux
@named
def test_memory_stays_within_400_bytes_an_entry(policy):
    """Over 200,000 distinct keys a process grows by 400 bytes for each entry kept, and 8 MiB (F31)."""
    whole, _ = grown(policy, 100_000, 200_000)
    assert whole <= 100_000 * 400 + 8 * 2**20


@pytest.mark.real_time
@linux
@named
def test_memory_does_not_grow_once_the_cache_has_turned_over(policy):
    """Sixty times ``maxsize`` of keys need what ten times did, but for one arena of the allocator (F31)."""
    _, since = grown(policy, 1_000, 60_000)
    assert since <= 2**20

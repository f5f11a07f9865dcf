"""What each eviction policy keeps.

Workload: three traces of calls, the same ones for everybody (seeded), each on a fresh cache with room for a fortieth
    of the calls, without expiry. ``zipf``: keys by Zipf's law, exponent 1, ten times as many as there is room for.
    ``scan``: the same, and after every four cachefuls of calls a scan: two cachefuls of keys that never come again.
    ``loop``: the same keys in the same order, again and again, a quarter more than there is room for.
Unit: misses of 100 calls, the mean of the three traces; hits of 100 calls, for each.
Reading: of hits, more is better. In a loop LRU drops each key just before it comes again. Here the same keys stay
    popular for good, which is the best case of LFU: it never pays for being slow to forget.
Command: python -m benchmarks traces
"""

import random
from itertools import chain, islice

from benchmarks.workload import Bar, Contestants, Workload

SEED = 20231023
contestants = Contestants()


def zipf(n, room, rng):
    """Return keys of which the k-th most popular comes k times as seldom as the first."""
    keys = list(range(10 * room))
    rng.shuffle(keys)
    weights = [1 / rank for rank in range(1, len(keys) + 1)]
    return rng.choices(keys, weights, k=n)


def scan(n, room, rng):
    popular = iter(zipf(n, room, rng))
    scanned = range(10 * room, 10 * room + n, 2 * room)
    return list(islice(chain.from_iterable(_scanned(popular, start, room) for start in scanned), n))


def _scanned(popular, start, room):
    return chain(islice(popular, 4 * room), range(start, start + 2 * room))


def loop(n, room, rng):
    return [i % (room + room // 4 + 1) for i in range(n)]


TRACES = {"zipf": zipf, "scan": scan, "loop": loop}


async def measure(make, n):
    room = max(n // 40, 1)
    figures = {}
    for name, trace in TRACES.items():
        keys = trace(n, room, random.Random(SEED))
        assert len(keys) == n
        figures[f"{name} hit %"] = 100 * (1 - loads_of(make, keys, room) / n)
    return figures | {"misses %": 100 - sum(figures.values()) / len(figures)}


def loads_of(make, keys, room):
    """Return how many of the calls were misses, in a cache for ``room`` entries."""
    loads = 0

    def load(key):
        nonlocal loads
        loads += 1
        return key * 10

    f = make(load, room)
    for key in keys:
        assert f(key) == key * 10, "wrong value"
    return loads


TRACES_WORKLOAD = Workload(
    name="traces",
    title="Hit ratios over {size:,} calls",
    figures=("misses %", *(f"{name} hit %" for name in TRACES)),
    compared=("misses %",),
    reference="cachetools LRU",
    size=100_000,
    quick_size=20_000,
    measure=measure,
    contestants=contestants,
    bars={"asyncfan: s3fifo": Bar(1.0, 0.9, "misses %")},
)


def _asyncfan(policy):
    @contestants.add(f"asyncfan: {policy}", package="asyncfan")
    def make(load, room):
        from asyncfan import Cache

        return Cache(maxsize=room, policy=policy).cache_function(expire=None)(load)


for _policy in ("lru", "lfu", "s3fifo"):
    _asyncfan(_policy)


@contestants.add("naive: dict, first in first out")
def naive(load, room):
    stored = {}

    def f(key):
        if key not in stored:
            if len(stored) >= room:
                del stored[next(iter(stored))]
            stored[key] = load(key)
        return stored[key]

    return f


def _cachetools(policy):
    @contestants.add(f"cachetools {policy}", package="cachetools")
    def make(load, room):
        import cachetools

        return cachetools.cached(getattr(cachetools, f"{policy}Cache")(room))(load)


def _cachebox(policy):
    @contestants.add(f"cachebox {policy}", package="cachebox")
    def make(load, room):
        import cachebox

        return cachebox.cached(getattr(cachebox, f"{policy}Cache")(room))(load)


for _policy in ("LRU", "LFU"):
    _cachetools(_policy)
    _cachebox(_policy)


@contestants.add("theine", package="theine")
def theine(load, room):
    from theine import Cache

    cache = Cache(room)

    def f(key):
        value, found = cache.get(key)
        if not found:
            value = load(key)
            cache.set(key, value)
        return value

    return f

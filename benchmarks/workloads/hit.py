"""A cached hit of an async function.

Workload: one function of one int argument, cached for 300 s, called again and again with the same argument,
    ``await f(1)``, one call after the other on one event loop. The value is there, so nothing ever
    suspends.
Unit: ns a call, the ``for`` loop and the ``await`` around it included (about 60 ns of each figure).
Reading: what a cache adds to each call that it answers. Only asyncfan's key is typed (1 is not True) and
    normalised (``f(1)`` is ``f(key=1)``); the naive dict has neither bound nor counters nor single flight.
Command: python -m benchmarks hit
"""

from itertools import repeat
from time import monotonic, perf_counter

from benchmarks.workload import Bar, Contestants, Workload, best

MAXSIZE = 1_000
contestants = Contestants()


async def measure(make, n):
    loads = 0

    async def load(key):
        nonlocal loads
        loads += 1
        return key * 10

    f = make(load)
    assert (await f(1), await f(1), await f(2)) == (10, 10, 20), "wrong values"
    assert loads == 2, f"{loads} loads for 2 keys: this contestant does not cache"

    async def batch():
        start = perf_counter()
        for _ in repeat(None, n):
            await f(1)
        return perf_counter() - start

    seconds = await best(batch)
    assert loads == 2, f"{loads - 2} of the timed calls were misses"
    return {"ns a call": seconds / n * 1e9}


HIT = Workload(
    name="hit",
    title="Cached hit: `await f(1)`",
    figures=("ns a call",),
    compared=("ns a call",),
    reference="async-lru",
    size=20_000,
    quick_size=5_000,
    measure=measure,
    contestants=contestants,
    bars={"asyncfan": Bar(0.50, 0.33, "ns a call")},
)


@contestants.add("asyncfan", package="asyncfan")
def asyncfan(load):
    from asyncfan import cache_function

    return cache_function(expire=300)(load)


@contestants.add("naive: dict")
def naive(load):
    stored = {}

    async def f(key):
        entry = stored.get(key)
        if entry is not None and monotonic() < entry[1]:
            return entry[0]
        value = await load(key)
        stored[key] = (value, monotonic() + 300)
        return value

    return f


@contestants.add("naive: cachetools.TTLCache", package="cachetools")
def cachetools_by_hand(load):
    from cachetools import TTLCache

    stored = TTLCache(MAXSIZE, 300)

    async def f(key):
        try:
            return stored[key]
        except KeyError:
            value = stored[key] = await load(key)
            return value

    return f


@contestants.add("async-lru", package="async-lru")
def async_lru(load):
    from async_lru import alru_cache

    return alru_cache(maxsize=MAXSIZE, ttl=300)(load)


@contestants.add("cachebox", package="cachebox")
def cachebox(load):
    from cachebox import TTLCache, cached

    return cached(TTLCache(MAXSIZE, 300), postprocess=None)(load)


@contestants.add("aiocache", package="aiocache")
def aiocache(load):
    from aiocache import cached

    return cached(ttl=300)(load)


@contestants.add("cashews", package="cashews")
def cashews(load):
    from cashews import Cache

    cache = Cache()
    cache.setup("mem://", size=MAXSIZE)
    return cache(ttl=300, key="load:{key}")(load)

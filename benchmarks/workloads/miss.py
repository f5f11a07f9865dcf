"""A cached miss.

Workload: a function cached for 300 s, called with a new int each time, one call after the other; the
    function itself returns without suspending, so what is measured is the cache alone. ``miss`` has room
    for everything, ``miss-full`` a cache of 1,000 entries that is full before the clock starts, so that
    each miss evicts.
Unit: ns a call.
Reading: what a cache adds to each call that it cannot answer. The naive dicts differ in one thing: only the
    second one makes two simultaneous callers share a load, which is what a miss mostly pays for.
Command: python -m benchmarks miss
"""

from functools import partial
from itertools import count, islice
from time import monotonic, perf_counter

from benchmarks.workload import Bar, Contestants, NotOfferedError, Workload, best

contestants = Contestants()


async def measure(make, n, maxsize):
    loads = 0

    async def load(key):
        nonlocal loads
        loads += 1
        return key * 10

    f = make(load, maxsize)
    keys = count()
    assert (await f(-1), await f(-1)) == (-10, -10), "wrong values"
    assert loads == 1, "this contestant does not cache"
    for key in islice(keys, maxsize or 1):
        await f(key)
    await f(-1)
    assert loads == (maxsize + 2 if maxsize else 2), "evicts when it has room, or does not evict when full"

    async def batch():
        before = loads
        start = perf_counter()
        for key in islice(keys, n):
            await f(key)
        seconds = perf_counter() - start
        assert loads - before == n, f"{loads - before} loads in {n} misses"
        return seconds

    return {"ns a call": await best(batch) / n * 1e9}


MISS = Workload(
    name="miss",
    title="Cached miss, loader that never suspends",
    figures=("ns a call",),
    compared=("ns a call",),
    reference="async-lru",
    size=10_000,
    quick_size=2_000,
    measure=partial(measure, maxsize=None),
    contestants=contestants,
    bars={"asyncfan": Bar(0.75, 0.50, "ns a call")},
)
MISS_FULL = Workload(
    name="miss-full",
    title="Cached miss in a full cache of 1,000 entries, loader that never suspends",
    figures=("ns a call",),
    compared=("ns a call",),
    reference="async-lru",
    size=10_000,
    quick_size=2_000,
    measure=partial(measure, maxsize=1_000),
    contestants=contestants,
    bars={"asyncfan": Bar(0.75, 0.50, "ns a call")},
)


@contestants.add("asyncfan", package="asyncfan")
def asyncfan(load, maxsize):
    from asyncfan import Cache

    return Cache(maxsize=maxsize).cache_function(expire=300)(load)


@contestants.add("naive: dict")
def naive(load, maxsize):
    stored = {}

    async def f(key):
        entry = stored.get(key)
        if entry is not None and monotonic() < entry[1]:
            return entry[0]
        value = await load(key)
        if maxsize is not None and len(stored) >= maxsize:
            del stored[next(iter(stored))]
        stored[key] = (value, monotonic() + 300)
        return value

    return f


@contestants.add("naive: dict of tasks")
def single_flight(load, maxsize):
    from asyncio import create_task, shield

    stored, flights = {}, {}

    async def f(key):
        entry = stored.get(key)
        if entry is not None and monotonic() < entry[1]:
            return entry[0]
        flight = flights.get(key)
        if flight is None:
            flight = flights[key] = create_task(load(key))
            flight.add_done_callback(lambda done: (flights.pop(key), keep(key, done)))
        return await shield(flight)

    def keep(key, done):
        if maxsize is not None and len(stored) >= maxsize:
            del stored[next(iter(stored))]
        stored[key] = (done.result(), monotonic() + 300)

    return f


@contestants.add("async-lru", package="async-lru")
def async_lru(load, maxsize):
    from async_lru import alru_cache

    return alru_cache(maxsize=maxsize, ttl=300)(load)


@contestants.add("cachebox", package="cachebox")
def cachebox(load, maxsize):
    from cachebox import TTLCache, cached

    return cached(TTLCache(maxsize or 0, 300), postprocess=None)(load)  # 0 is no limit there


@contestants.add("aiocache", package="aiocache")
def aiocache(load, maxsize):
    from aiocache import cached

    if maxsize is not None:
        raise NotOfferedError("has no maximum size for its memory cache")
    return cached(ttl=300)(load)


@contestants.add("cashews", package="cashews")
def cashews(load, maxsize):
    from cashews import Cache

    cache = Cache()
    cache.setup("mem://", size=maxsize or 10**9)
    return cache(ttl=300, key="load:{key}")(load)

"""A cached hit of an async method.

Workload: a class with one cached async method, one instance, ``await service.get(1)`` again and again; 300
    s of expiry.
Unit: ns a call, finding the method on the instance included.
Reading: as ``hit``. async-lru keys by the instance and keeps it alive; asyncfan and cachebox cache for each
    instance.
Command: python -m benchmarks hit-method
"""

from itertools import repeat
from time import monotonic, perf_counter

from benchmarks.workload import Contestants, Workload, best

contestants = Contestants()


async def measure(make, n):
    loads = 0

    async def load(key):
        nonlocal loads
        loads += 1
        return key * 10

    service_class = make(load)
    service, other = service_class(), service_class()
    assert (await service.get(1), await service.get(1), await service.get(2)) == (10, 10, 20), "wrong values"
    assert loads == 2, f"{loads} loads for 2 keys: this contestant does not cache"
    await other.get(1)
    assert loads == 3, "two instances share one entry"

    async def batch():
        start = perf_counter()
        for _ in repeat(None, n):
            await service.get(1)
        return perf_counter() - start

    seconds = await best(batch)
    assert loads == 3, f"{loads - 3} of the timed calls were misses"
    return {"ns a call": seconds / n * 1e9}


HIT_METHOD = Workload(
    name="hit-method",
    title="Cached hit of a method: `await service.get(1)`",
    figures=("ns a call",),
    compared=("ns a call",),
    reference="async-lru",
    size=20_000,
    quick_size=5_000,
    measure=measure,
    contestants=contestants,
)


@contestants.add("asyncfan", package="asyncfan")
def asyncfan(load):
    from asyncfan import cache_function

    class Service:
        @cache_function(expire=300)
        async def get(self, key):
            return await load(key)

    return Service


@contestants.add("naive: dict")
def naive(load):
    class Service:
        def __init__(self):
            self.stored = {}

        async def get(self, key):
            entry = self.stored.get(key)
            if entry is not None and monotonic() < entry[1]:
                return entry[0]
            value = await load(key)
            self.stored[key] = (value, monotonic() + 300)
            return value

    return Service


@contestants.add("async-lru", package="async-lru")
def async_lru(load):
    from async_lru import alru_cache

    class Service:
        @alru_cache(maxsize=1_000, ttl=300)
        async def get(self, key):
            return await load(key)

    return Service


@contestants.add("cachebox", package="cachebox")
def cachebox(load):
    from cachebox import TTLCache, cached

    class Service:
        def __init__(self):
            self.stored = TTLCache(1_000, 300)

        @cached(lambda self: self.stored, postprocess=None)
        async def get(self, key):
            return await load(key)

    return Service


@contestants.add("aiocache", package="aiocache")
def aiocache(load):
    from aiocache import cached

    class Service:
        @cached(ttl=300)
        async def get(self, key):
            return await load(key)

    return Service

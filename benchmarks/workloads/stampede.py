"""Many callers, one cold key.

Workload: 10,000 tasks call ``await f(1)`` on an empty cache, 300 s of expiry; the function waits until they
    have all come, then returns.
Unit: loads made; ms from the first call to the last answer.
Reading: the loads are what the backend sees when a popular entry expires: 1 is right. The time is mostly
    that of 10,000 tasks; ``floor`` is those tasks awaiting one future.
Command: python -m benchmarks stampede
"""

import asyncio
from time import monotonic, perf_counter

from benchmarks.workload import Bar, Contestants, Workload, best

# Passes of the event loop after which every caller waits, those too that go through several tasks first.
SETTLE = 50
contestants = Contestants()


async def measure(make, n):
    most = 0

    async def batch():
        nonlocal most
        loads = 0
        gate = asyncio.Event()

        async def load(key):
            nonlocal loads
            loads += 1
            await gate.wait()
            return key * 10

        f = make(load)
        start = perf_counter()
        callers = [asyncio.create_task(f(1)) for _ in range(n)]
        for _ in range(SETTLE):
            await asyncio.sleep(0)
        gate.set()
        answers = await asyncio.gather(*callers)
        seconds = perf_counter() - start
        assert answers == [10] * n, "wrong values"
        most = max(most, loads)
        return seconds

    seconds = await best(batch)
    return {"loads": most, "ms": seconds * 1e3}


STAMPEDE = Workload(
    name="stampede",
    title="{size:,} callers, one cold key",
    figures=("loads", "ms"),
    compared=("ms",),
    reference="async-lru",
    size=10_000,
    quick_size=2_000,
    measure=measure,
    contestants=contestants,
    bars={"asyncfan": Bar(1, 1, "loads", relative=False)},
)


@contestants.add("asyncfan", package="asyncfan")
def asyncfan(load):
    from asyncfan import Cache

    return Cache().cache_function(expire=300)(load)


@contestants.add("floor: one future")
def floor(load):
    flights = {}

    async def f(key):
        if key not in flights:
            flights[key] = asyncio.get_running_loop().create_future()
            flights[key].set_result(await load(key))
        return await flights[key]

    return f


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


@contestants.add("naive: dict and a lock")
def locked(load):
    stored, lock = {}, asyncio.Lock()

    async def f(key):
        async with lock:
            entry = stored.get(key)
            if entry is None or monotonic() >= entry[1]:
                entry = stored[key] = (await load(key), monotonic() + 300)
            return entry[0]

    return f


@contestants.add("async-lru", package="async-lru")
def async_lru(load):
    from async_lru import alru_cache

    return alru_cache(maxsize=1_000, ttl=300)(load)


@contestants.add("cachebox", package="cachebox")
def cachebox(load):
    from cachebox import TTLCache, cached

    return cached(TTLCache(1_000, 300), postprocess=None, lock=True)(load)


@contestants.add("aiocache: cached_stampede", package="aiocache")
def aiocache(load):
    from aiocache import cached_stampede

    return cached_stampede(lease=60, ttl=300)(load)


@contestants.add("cashews", package="cashews")
def cashews(load):
    from cashews import Cache

    cache = Cache()
    cache.setup("mem://", size=1_000)
    return cache(ttl=300, key="load:{key}", protected=True)(load)

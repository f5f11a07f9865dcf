"""A thousand items in one call, half of them cached.

Workload: every other of 1,000 new ints is asked for, then all of them, by a call that takes many keys; the function
    returns its keys times ten without suspending, so that what is measured is the cache. 300 s of expiry.
Unit: us an item of the second call; how often it calls the function.
Reading: 500 of 1,000 items are missing. ``asyncfan`` loads them in one call of a function of many keys, and as many as
    32 at once where the function takes one key. ``naive`` is a dict that is asked and filled one by one,
    ``aiodataloader`` one loader that remembers all for good. Of those that forget, only ``asyncfan`` joins a load that
    is under way.
Command: python -m benchmarks many
"""

from itertools import count
from time import monotonic, perf_counter

from benchmarks.workload import Contestants, Workload, best

EXPIRE = 300
contestants = Contestants()


async def measure(make, n):
    sizes = []

    async def load(keys):
        sizes.append(len(keys))
        return {key: key * 10 for key in keys}

    many = make(load)
    firsts = count(0, n)

    async def batch():
        first = next(firsts)
        keys = range(first, first + n)
        await many(keys[::2])
        sizes.clear()
        start = perf_counter()
        answers = await many(keys)
        seconds = perf_counter() - start
        assert list(answers) == [key * 10 for key in keys], "wrong values"
        assert sum(sizes) == n // 2, f"{sum(sizes)} of {n} items were loaded: this contestant does not cache each item"
        return seconds

    seconds = await best(batch)
    return {"us an item": seconds / n * 1e6, "loads": len(sizes)}


MANY = Workload(
    name="many",
    title="`many` of {size:,} items, half cached, loader that never suspends",
    figures=("us an item", "loads"),
    compared=("us an item",),
    reference="aiodataloader",
    size=1_000,
    quick_size=1_000,
    measure=measure,
    contestants=contestants,
)


@contestants.add("asyncfan", package="asyncfan")
def asyncfan(load):
    from asyncfan import Cache, batched

    return Cache().cache_function(expire=EXPIRE)(batched(max_batch_size=1_000)(load)).many


@contestants.add("asyncfan: function of one key", package="asyncfan")
def asyncfan_one(load):
    from asyncfan import Cache

    async def one(key):
        return (await load([key]))[key]

    return Cache().cache_function(expire=EXPIRE)(one).many


@contestants.add("naive: dict")
def naive(load):
    stored = {}

    async def many(keys):
        now = monotonic()
        missing = [key for key in keys if key not in stored or stored[key][1] <= now]
        if missing:
            for key, value in (await load(missing)).items():
                stored[key] = (value, now + EXPIRE)
        return [stored[key][0] for key in keys]

    return many


@contestants.add("aiocache: multi_cached", package="aiocache")
def aiocache(load):
    from aiocache import multi_cached

    @multi_cached(keys_from_attr="keys", ttl=EXPIRE)
    async def cached(keys):
        return await load(keys)

    async def many(keys):
        found = await cached(keys=list(keys))
        return [found[key] for key in keys]

    return many


@contestants.add("aiodataloader", package="aiodataloader")
def aiodataloader(load):
    from aiodataloader import DataLoader

    async def in_order(keys):
        found = await load(keys)
        return [found[key] for key in keys]

    loader = None

    async def many(keys):
        nonlocal loader
        loader = loader or DataLoader(in_order, max_batch_size=1_000)
        return await loader.load_many(keys)

    return many

"""A loader that joins single calls, by the key.

Workload: 20,000 different ints through a loader with batches of 100, whose function returns its keys times
    ten without suspending, so that what is measured is the loader alone. In ``batched`` 100 tasks ask for
    one key after the other; in ``batched-many`` one task asks for all of them in one call.
Unit: us a key, all of the run divided by the keys.
Reading: what joining adds to each key. Every contestant starts with a new loader, so that none answers from
    its cache. ``floor`` is a future a key in a dict that is sent when it has 100, or in the next pass, with
    none of what a loader owes its users (a waiter for each caller, errors, cancellation).
Command: python -m benchmarks batched
"""

import asyncio
from functools import partial
from time import perf_counter

from benchmarks.workload import Bar, Contestants, Workload, best

CALLERS = 100
BATCH = 100
contestants = Contestants()


async def measure(make, n, use):
    async def batch():
        sizes = []

        async def load(keys):
            sizes.append(len(keys))
            return [key * 10 for key in keys]

        one, many = make(load)
        start = perf_counter()
        await use(one, many, range(n))
        seconds = perf_counter() - start
        assert sum(sizes) == n, f"{sum(sizes)} keys were asked for, not {n}"
        assert len(sizes) <= n / BATCH + CALLERS, f"{len(sizes)} batches for {n} keys"
        assert max(sizes) <= BATCH, f"a batch of {max(sizes)}"
        return seconds

    return {"us a key": await best(batch) / n * 1e6}


async def one_by_one(one, _, keys):
    numbered = iter(keys)

    async def call():
        for key in numbered:
            assert await one(key) == key * 10

    await asyncio.gather(*(call() for _ in range(CALLERS)))


async def all_at_once(_, many, keys):
    assert await many(keys) == [key * 10 for key in keys]


BATCHED = Workload(
    name="batched",
    title="Loader: {size:,} keys, 100 callers ask one by one, batches of 100",
    figures=("us a key",),
    compared=("us a key",),
    reference="aiodataloader",
    size=20_000,
    quick_size=5_000,
    measure=partial(measure, use=one_by_one),
    contestants=contestants,
    bars={"asyncfan": Bar(1.0, 0.7, "us a key")},
)
BATCHED_MANY = Workload(
    name="batched-many",
    title="Loader: {size:,} keys in one call, batches of 100",
    figures=("us a key",),
    compared=("us a key",),
    reference="aiodataloader",
    size=20_000,
    quick_size=5_000,
    measure=partial(measure, use=all_at_once),
    contestants=contestants,
    bars={"asyncfan": Bar(1.0, 0.7, "us a key")},
)


@contestants.add("asyncfan", package="asyncfan")
def asyncfan(load):
    from asyncfan import batched

    loader = batched(max_batch_size=BATCH)(load)
    return loader, loader.many


@contestants.add("floor: a future a key")
def floor(load):
    waiting = {}
    tasks = set()

    def send():
        nonlocal waiting
        if waiting:
            task = asyncio.create_task(answer(waiting))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            waiting = {}

    async def answer(futures):
        for future, value in zip(futures.values(), await load(list(futures)), strict=True):
            future.set_result(value)

    def ask(key):
        loop = asyncio.get_running_loop()
        if not waiting:
            loop.call_soon(send)
        future = waiting[key] = loop.create_future()
        if len(waiting) == BATCH:
            send()
        return future

    async def one(key):
        return await ask(key)

    async def many(keys):
        return [await future for future in [ask(key) for key in keys]]

    return one, many


@contestants.add("aiodataloader", package="aiodataloader")
def aiodataloader(load):
    from aiodataloader import DataLoader

    loader = DataLoader(load, max_batch_size=BATCH)
    return loader.load, loader.load_many


@contestants.add("strawberry", package="strawberry-graphql")
def strawberry(load):
    from strawberry.dataloader import DataLoader

    loader = DataLoader(load, max_batch_size=BATCH)
    return loader.load, loader.load_many


@contestants.add("async-batcher", package="async-batcher")
def async_batcher(load):
    from async_batcher.batcher import AsyncBatcher

    class Batcher(AsyncBatcher):
        async def process_batch(self, batch):
            return await load(batch)

    one = Batcher(max_batch_size=BATCH, max_queue_time=0.001, concurrency=-1).process

    async def many(keys):  # it has no call for many
        return await asyncio.gather(*map(one, keys))

    return one, many

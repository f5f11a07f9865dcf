"""How many batches a loader makes of callers who are not in step.

Workload: 4,000 different keys, 100 callers at a time, batches of at most 100 that take 2 ms; before its call
    each caller takes a random number of steps (passes of the event loop). 40 batches are ideal. In
    ``batches`` it takes 0 to 20 steps; in ``batches-near`` 0 to 5; in ``batches-io`` 0 to 5, and one in five
    waits for 3 ms of I/O. The steps are the same for all.
Unit: batches; ms of the whole run.
Reading: what a backend is asked, and what waiting for company costs. Every contestant runs in asyncfan's
    fan-out of 100 workers, which is what ``scope`` looks at, and which changes nothing for the others.
Command: python -m benchmarks batches
"""

import asyncio
import random
from functools import partial
from time import perf_counter

from benchmarks.workload import Bar, Contestants, Workload

CALLERS = 100
SEED = 1
contestants = Contestants()


async def measure(make, n, steps, share_of_io=0.0):
    chance = random.Random(SEED)
    plan = [(chance.randint(0, steps), chance.random() < share_of_io) for _ in range(n)]
    sizes = []

    async def load(keys):
        sizes.append(len(keys))
        await asyncio.sleep(0.002)
        return [key * 10 for key in keys]

    from asyncfan import amap

    one = make(load)

    async def item(key):
        passes, waits = plan[key]
        for _ in range(passes):
            await asyncio.sleep(0)
        if waits:
            await asyncio.sleep(0.003)
        assert await one(key) == key * 10

    start = perf_counter()
    await amap(item, range(n), max_workers=CALLERS)
    seconds = perf_counter() - start
    assert sum(sizes) == n, f"{sum(sizes)} keys were asked for, not {n}"
    return {"batches": len(sizes), "ms": seconds * 1e3}


def workload(name, title, bars, **how):
    return Workload(
        name=name,
        title=f"{{size:,}} loads of 100 callers, {title}",
        figures=("batches", "ms"),
        compared=("batches",),
        reference="aiodataloader",
        size=4_000,
        quick_size=4_000,
        measure=partial(measure, **how),
        contestants=contestants,
        bars={f"asyncfan: {rule}": Bar(most, aim, "batches", relative=False) for rule, (most, aim) in bars.items()},
    )


BATCHES = workload("batches", "0 to 20 steps apart", {"quiet": (50, 42), "scope": (42, 40)}, steps=20)
BATCHES_NEAR = workload("batches-near", "0 to 5 steps apart", {"quiet": (50, 42), "scope": (42, 40)}, steps=5)
BATCHES_IO = workload(
    "batches-io", "0 to 5 steps apart, a fifth does 3 ms of I/O", {"scope": (42, 40)}, steps=5, share_of_io=0.2
)


def ours(rule):
    @contestants.add(f"asyncfan: {rule}", package="asyncfan")
    def asyncfan(load):
        from asyncfan import batched

        return batched(max_batch_size=CALLERS, dispatch=rule)(load)


for rule in ("quiet", "scope", "tick"):
    ours(rule)


@contestants.add("naive: a window of 5 ms")
def window(load):
    waiting = {}
    tasks = set()

    def send(closed):
        nonlocal waiting
        if waiting is closed:
            waiting = {}
            task = asyncio.create_task(answer(closed))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def answer(futures):
        for future, value in zip(futures.values(), await load(list(futures)), strict=True):
            future.set_result(value)

    async def one(key):
        loop = asyncio.get_running_loop()
        if not waiting:
            loop.call_later(0.005, send, waiting)
        future = waiting[key] = loop.create_future()
        if len(waiting) == CALLERS:
            send(waiting)
        return await future

    return one


@contestants.add("aiodataloader", package="aiodataloader")
def aiodataloader(load):
    from aiodataloader import DataLoader

    return DataLoader(load, max_batch_size=CALLERS).load


@contestants.add("strawberry", package="strawberry-graphql")
def strawberry(load):
    from strawberry.dataloader import DataLoader

    return DataLoader(load, max_batch_size=CALLERS).load


@contestants.add("async-batcher: a window of 5 ms", package="async-batcher")
def async_batcher(load):
    from async_batcher.batcher import AsyncBatcher

    class Batcher(AsyncBatcher):
        async def process_batch(self, batch):
            return await load(batch)

    return Batcher(max_batch_size=CALLERS, max_queue_time=0.005, concurrency=-1).process

"""A fan-out, by the item.

Workload: one async function over 20,000 ints, at most 100 at once, the results kept. In ``fanout`` each
    item is one ``await asyncio.sleep(0)``; in ``fanout-instant`` it returns without suspending, as a cached
    hit does.
Unit: us an item, all of the run divided by the items.
Reading: what running many at once adds to each. All keep the results in the order of the items, but for
    aiometer's, which come as completed. ``floor`` is 100 tasks on one shared iterator, with none of what a
    library owes its users (a context for each item, fairness to other tasks, siblings that end when one
    fails).
Command: python -m benchmarks fanout
"""

import asyncio
from functools import partial
from time import perf_counter

from benchmarks.workload import Bar, Contestants, Workload, best

WORKERS = 100
PATIENCE = 10  # seconds after which a contestant that never had WORKERS items running is given up
contestants = Contestants()


async def suspends(x):
    await asyncio.sleep(0)
    return x


async def instant(x):
    return x


async def measure(make, n, item):
    run = make()
    await check_limit_and_results(run)
    items = range(n)

    async def batch():
        start = perf_counter()
        results = await run(item, items)
        seconds = perf_counter() - start
        assert len(results) == n, f"{len(results)} results for {n} items"
        return seconds

    return {"us an item": await best(batch) / n * 1e6}


async def check_limit_and_results(run):
    """Run items that wait until as many as allowed are running: neither fewer nor more may run at once."""
    running = most = 0
    full = asyncio.Event()

    async def item(x):
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == WORKERS:
            full.set()
        await full.wait()
        await asyncio.sleep(0)
        running -= 1
        return x * 10

    items = range(3 * WORKERS)
    async with asyncio.timeout(PATIENCE):
        results = await run(item, items)
    assert most == WORKERS, f"{most} items ran at once, not {WORKERS}"
    assert sorted(results) == [x * 10 for x in items], "wrong results"


FANOUT = Workload(
    name="fanout",
    title="Fan-out of {size:,} items, 100 at once, each `sleep(0)`",
    figures=("us an item",),
    compared=("us an item",),
    reference="naive: gather + Semaphore",
    size=20_000,
    quick_size=5_000,
    measure=partial(measure, item=suspends),
    contestants=contestants,
    bars={
        "asyncfan: amap": Bar(0.20, 0.15, "us an item"),
        "asyncfan: ParallelProcessor.map": Bar(0.20, 0.15, "us an item"),
    },
)
FANOUT_INSTANT = Workload(
    name="fanout-instant",
    title="Fan-out of {size:,} items, 100 at once, that never suspend",
    figures=("us an item",),
    compared=("us an item",),
    reference="naive: gather + Semaphore",
    size=20_000,
    quick_size=5_000,
    measure=partial(measure, item=instant),
    contestants=contestants,
)


@contestants.add("asyncfan: amap", package="asyncfan")
def amap():
    from asyncfan import amap

    return partial(amap, max_workers=WORKERS)


@contestants.add("asyncfan: ParallelProcessor.map", package="asyncfan")
def processor():
    from asyncfan import ParallelProcessor

    return ParallelProcessor(max_workers=WORKERS).map


@contestants.add("floor: tasks on one iterator")
def floor():
    async def run(fn, items):
        results = [None] * len(items)
        numbered = enumerate(items)

        async def work():
            for i, x in numbered:
                results[i] = await fn(x)

        await asyncio.gather(*(work() for _ in range(WORKERS)))
        return results

    return run


@contestants.add("naive: gather + Semaphore")
def gather():
    async def run(fn, items):
        semaphore = asyncio.Semaphore(WORKERS)

        async def one(x):
            async with semaphore:
                return await fn(x)

        return await asyncio.gather(*map(one, items))

    return run


@contestants.add("naive: TaskGroup + Semaphore")
def task_group():
    async def run(fn, items):
        semaphore = asyncio.Semaphore(WORKERS)

        async def one(x):
            async with semaphore:
                return await fn(x)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(x)) for x in items]
        return [task.result() for task in tasks]

    return run


@contestants.add("naive: TaskGroup, Semaphore first")
def semaphore_first():
    async def run(fn, items):
        semaphore = asyncio.Semaphore(WORKERS)
        tasks = []
        async with asyncio.TaskGroup() as group:
            for x in items:
                await semaphore.acquire()
                task = group.create_task(fn(x))
                task.add_done_callback(lambda _: semaphore.release())
                tasks.append(task)
        return [task.result() for task in tasks]

    return run


@contestants.add("anyio: task group + CapacityLimiter", package="anyio")
def anyio():
    from anyio import CapacityLimiter, create_task_group

    async def run(fn, items):
        limiter = CapacityLimiter(WORKERS)
        results = [None] * len(items)

        async def one(i, x):
            async with limiter:
                results[i] = await fn(x)

        async with create_task_group() as group:
            for i, x in enumerate(items):
                group.start_soon(one, i, x)
        return results

    return run


@contestants.add("aiometer: run_on_each", package="aiometer")
def aiometer_run_on_each():
    import aiometer

    async def run(fn, items):
        results = []

        async def one(x):
            results.append(await fn(x))

        await aiometer.run_on_each(one, items, max_at_once=WORKERS)
        return results

    return run


@contestants.add("aiometer: amap", package="aiometer")
def aiometer_amap():
    import aiometer

    async def run(fn, items):
        async with aiometer.amap(fn, items, max_at_once=WORKERS) as results:
            return [result async for result in results]

    return run


@contestants.add("aiostream: map", package="aiostream")
def aiostream():
    from aiostream import stream

    async def run(fn, items):
        async with stream.map(stream.iterate(items), fn, task_limit=WORKERS).stream() as results:
            return [result async for result in results]

    return run


@contestants.add("quattro: gather", package="quattro")
def quattro():
    from quattro import gather

    async def run(fn, items):
        return await gather(*map(fn, items), concurrency_limit=WORKERS)

    return run


@contestants.add("streamable: map", package="streamable")
def streamable():
    from streamable import stream

    async def run(fn, items):
        return [result async for result in stream(items).map(fn, concurrency=WORKERS)]

    return run

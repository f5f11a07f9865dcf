"""A fan-out whose work leaves the process.

Workload: ``operator.neg`` of 5,000 integers, in a pool of two processes that is warm; a function that costs nothing, so
    that what is left is the way there and back. Chunks of 100 items where the contestant has chunks.
Unit: us an item.
Reading: asyncfan's chunks give each item an outcome of its own, also where one cannot be pickled, and read each answer
    on the event loop's behalf; ``Executor.map`` loses the chunk with the item, and blocks its caller.
Command: python -m benchmarks executors
"""

import asyncio
import operator
from concurrent.futures import ProcessPoolExecutor
from time import perf_counter

from benchmarks.workload import Contestants, Workload, best

CHUNK = 100

contestants = Contestants()


async def measure(make, n):
    expected = [-x for x in range(n)]
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(operator.neg, range(8)))
        run = make(pool)

        async def batch():
            start = perf_counter()
            results = await run(operator.neg, range(n))
            seconds = perf_counter() - start
            assert results == expected, "wrong results or order"
            return seconds

        return {"us an item": await best(batch) / n * 1e6}


EXECUTORS = Workload(
    name="executors",
    title="Fan-out of {size:,} items to two processes",
    figures=("us an item",),
    compared=("us an item",),
    reference="stdlib: Executor.map, chunksize=100",
    size=5_000,
    quick_size=2_000,
    measure=measure,
    contestants=contestants,
)


def asyncfan_with(chunk_size, max_workers=32):
    def make(pool):
        from asyncfan import ParallelProcessor

        return ParallelProcessor(max_workers, executor=pool, chunk_size=chunk_size).map

    return make


contestants.add("asyncfan: chunk_size=100", package="asyncfan")(asyncfan_with(CHUNK))
contestants.add("asyncfan: chunk_size='auto'", package="asyncfan")(asyncfan_with("auto"))
contestants.add("asyncfan: one by one", package="asyncfan")(asyncfan_with(None))


@contestants.add("stdlib: Executor.map, chunksize=100")
def executor_map_chunks(pool):
    async def run(fn, items):
        return list(pool.map(fn, items, chunksize=CHUNK))

    return run


@contestants.add("stdlib: Executor.map")
def executor_map(pool):
    async def run(fn, items):
        return list(pool.map(fn, items))

    return run


@contestants.add("naive: run_in_executor + Semaphore")
def run_in_executor(pool):
    async def run(fn, items):
        loop, semaphore = asyncio.get_running_loop(), asyncio.Semaphore(32)

        async def one(x):
            async with semaphore:
                return await loop.run_in_executor(pool, fn, x)

        return await asyncio.gather(*map(one, items))

    return run

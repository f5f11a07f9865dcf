"""A stream in the items' order, in which some items take fifty times as long.

Workload: 1,000 items, at most 10 at once, results in the items' order; each is a sleep of 1 ms, every hundredth
    one of 50 ms. Ten workers that never wait for anything else need 149 ms, and the timers' delay.
Unit: ms of the whole run, and the share of that time in which workers slept, in per cent of 10 workers.
Reading: what a slow item at the head of the line costs. A library that begins new work only when the first result
    has been taken lets its workers idle meanwhile. ``asyncfan`` is given a window of 500 items.
Command: python -m benchmarks stream-head
"""

import asyncio
from time import perf_counter

from benchmarks.workload import Contestants, Workload

WORKERS = 10
EVERY = 100
contestants = Contestants()


async def item(x):
    await asyncio.sleep(0.05 if x % EVERY == 0 else 0.001)
    return x


async def measure(make, n):
    stream = make()
    busy = most = running = 0

    async def timed(x):
        nonlocal busy, most, running
        running += 1
        most = max(most, running)
        start = perf_counter()
        result = await item(x)
        busy += perf_counter() - start
        running -= 1
        return result

    start = perf_counter()
    results = [result async for result in stream(timed, range(n))]
    seconds = perf_counter() - start
    assert results == list(range(n)), "wrong results or order"
    assert most <= WORKERS, f"{most} items ran at once"
    return {"ms": seconds * 1e3, "idle %": 100 - 100 * busy / (seconds * WORKERS)}


STREAM_HEAD = Workload(
    name="stream-head",
    title="Ordered stream of {size:,} items, 10 at once, every hundredth 50 times slower",
    figures=("ms", "idle %"),
    compared=("ms",),
    reference="aiostream: map",
    size=1_000,
    quick_size=1_000,
    measure=measure,
    contestants=contestants,
)


@contestants.add("asyncfan: stream, a window of 500", package="asyncfan")
def windowed():
    from asyncfan import ParallelProcessor

    processor = ParallelProcessor(max_workers=WORKERS)
    return lambda fn, items: processor.stream(fn, items, buffer_size=500)


@contestants.add("asyncfan: stream", package="asyncfan")
def plain():
    from asyncfan import ParallelProcessor

    return ParallelProcessor(max_workers=WORKERS).stream


@contestants.add("naive: gather of 10, then the next 10")
def chunks():
    from itertools import islice

    async def stream(fn, items):
        numbers = iter(items)
        while chunk := list(islice(numbers, WORKERS)):
            for result in await asyncio.gather(*map(fn, chunk)):
                yield result

    return stream


@contestants.add("naive: gather + Semaphore, all results at once")
def gather():
    async def stream(fn, items):
        semaphore = asyncio.Semaphore(WORKERS)

        async def one(x):
            async with semaphore:
                return await fn(x)

        for result in await asyncio.gather(*map(one, items)):
            yield result

    return stream


@contestants.add("aiostream: map", package="aiostream")
def aiostream():
    from aiostream import stream

    async def run(fn, items):
        async with stream.map(stream.iterate(items), fn, ordered=True, task_limit=WORKERS).stream() as results:
            async for result in results:
                yield result

    return run


@contestants.add("streamable: map", package="streamable")
def streamable():
    from streamable import stream

    return lambda fn, items: stream(items).map(fn, concurrency=WORKERS)

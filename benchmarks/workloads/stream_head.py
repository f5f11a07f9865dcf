"""A stream in the items' order, in which some items take fifty times as long.

Workload: 1,000 items, at most 10 at once, results in the items' order; each is a sleep of 1 ms, every hundredth
    one of 50 ms. Ten workers that never wait for anything else need 149 ms, and the timers' delay.
Unit: ms of the whole run, and the share of that time in which workers slept, in per cent of 10 workers.
Reading: what a slow item at the head of the line costs. A library that begins new work only when the first result
    has been taken lets its workers idle meanwhile.
Command: python -m benchmarks stream-head
"""

import asyncio
from time import perf_counter

from benchmarks.workload import Contestants, Workload

from .streaming import aiostream_map, asyncfan_stream, gather_all, gather_chunks, streamable_map

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


contestants.add("asyncfan: stream", package="asyncfan")(asyncfan_stream(WORKERS))
contestants.add("naive: gather of 10, then the next 10")(gather_chunks(WORKERS))
contestants.add("naive: gather + Semaphore, all results at once")(gather_all(WORKERS))
contestants.add("aiostream: map", package="aiostream")(aiostream_map(WORKERS, ordered=True))
contestants.add("streamable: map", package="streamable")(streamable_map(WORKERS))

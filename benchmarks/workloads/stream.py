"""A million items through a hundred workers.

Workload: 1,000,000 ints made one at a time, one async function of one ``await asyncio.sleep(0)`` over each,
    at most 100 at once, the results taken one at a time and dropped.
Unit: us an item; peak resident memory of the whole process in MB (10^6 bytes), and how much of it was there
    before the run (interpreter, event loop, the library).
Reading: memory that grows with the items is what ends a long run. aiometer, aiostream and streamable are
    measured with fewer items, said below the table: compare their time an item, not their memory. gather takes
    about 1.5 GB and is measured with a tenth of the items where less than 3 GB is free.
Command: python -m benchmarks stream
"""

import asyncio
import os
import sys
from pathlib import Path
from time import perf_counter

from benchmarks.workload import Bar, Contestants, Workload

from .fanout import WORKERS, check_limit_and_results, suspends
from .streaming import aiostream_map, asyncfan_stream, gather_all, gather_chunks, streamable_map

contestants = Contestants()


def peak_mb():
    """Return the peak resident memory of this process so far, in MB.

    On Linux not ``ru_maxrss``: a child inherits that from the process that started it, however large.
    """
    try:
        status = Path("/proc/self/status").read_text()
        kib = int(status.partition("VmHWM:")[2].split()[0])
    except (OSError, IndexError):
        import resource

        kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
    return kib * 1024 / 1e6


def room_for(gigabytes):
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") > gigabytes * 1e9
    except (AttributeError, ValueError):  # this system does not say
        return False


async def measure(make, n):
    stream = make()

    async def collected(fn, items):
        return [result async for result in stream(fn, items)]

    await check_limit_and_results(collected)
    before = peak_mb()
    total = 0
    start = perf_counter()
    async for result in stream(suspends, range(n)):
        total += result
    seconds = perf_counter() - start
    assert total == n * (n - 1) // 2, "wrong results"
    return {"us an item": seconds / n * 1e6, "peak MB": peak_mb(), "MB before": before}


STREAM = Workload(
    name="stream",
    title="Stream of {size:,} items, 100 at once, each `sleep(0)`",
    figures=("us an item", "peak MB", "MB before"),
    compared=("us an item",),
    reference="naive: gather + Semaphore",
    size=1_000_000,
    quick_size=50_000,
    measure=measure,
    contestants=contestants,
    bars={
        "asyncfan: stream": Bar(40, 30, "peak MB", relative=False),
        "asyncfan: stream, as completed": Bar(40, 30, "peak MB", relative=False),
    },
)


contestants.add("asyncfan: stream", package="asyncfan")(asyncfan_stream(WORKERS))
contestants.add("asyncfan: stream, as completed", package="asyncfan")(asyncfan_stream(WORKERS, ordered=False))
contestants.add("naive: gather + Semaphore", share=1 if room_for(gigabytes=3) else 0.1)(gather_all(WORKERS))
contestants.add("naive: gather of 100, then the next 100")(gather_chunks(WORKERS))
contestants.add("aiostream: map", package="aiostream", share=0.05)(aiostream_map(WORKERS, ordered=False))
contestants.add("streamable: map", package="streamable", share=0.1)(streamable_map(WORKERS))
contestants.add("streamable: map, as completed", package="streamable", share=0.1)(
    streamable_map(WORKERS, as_completed=True)
)


@contestants.add("naive: two Queues and 100 tasks")
def queues():
    async def stream(fn, items):
        todo, done = asyncio.Queue(WORKERS), asyncio.Queue(WORKERS)

        async def feed():
            for x in items:
                await todo.put(x)
            for _ in range(WORKERS):
                await todo.put(None)

        async def work():
            while (x := await todo.get()) is not None:
                await done.put(await fn(x))
            await done.put(None)

        async with asyncio.TaskGroup() as group:
            group.create_task(feed())
            for _ in range(WORKERS):
                group.create_task(work())
            working = WORKERS
            while working:
                result = await done.get()
                if result is None:
                    working -= 1
                else:
                    yield result

    return stream


@contestants.add("aiometer: amap", package="aiometer", share=0.1)
def aiometer():
    import aiometer

    async def stream(fn, items):
        async with aiometer.amap(fn, items, max_at_once=WORKERS) as results:
            async for result in results:
                yield result

    return stream

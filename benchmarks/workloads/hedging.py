"""What a second attempt does to the slowest answers, and what it costs.

Workload: 10,000 calls, 50 at a time, of a backend that answers in 8 to 12 ms, but in 1 s to one call in a hundred
    (``hedging``), one in twenty (``hedging-many``), or to all of the second half (``hedging-slow``). The time is
    virtual: the figures are the same on any machine.
Unit: ms of the call at the 99.9th and the 99th percentile; calls that the backend gets for 100 asked for.
Reading: what chance does to the tail, and whether a backend that is slow as a whole is asked twice as much.
    ``asynchedging`` must be told the delay, ours learns it.
Command: python -m benchmarks hedging
"""

import asyncio
import random
from functools import partial

from benchmarks.workload import Bar, Contestants, Workload

AT_ONCE = 50
SEED = 1
contestants = Contestants()


async def measure(make, n, share=0.0, slow_from=1.0):
    return await asyncio.to_thread(measure_in_virtual_time, make, n, share, slow_from)


def measure_in_virtual_time(make, n, share, slow_from):
    from asyncfan.testing import run

    return run(simulate(make, n, share, slow_from))


async def simulate(make, n, share, slow_from):
    chance = random.Random(SEED)
    now = asyncio.get_running_loop().time
    calls, times = 0, []

    async def ask(x):
        nonlocal calls
        calls += 1
        slow = chance.random() < share or x >= n * slow_from
        await asyncio.sleep(1.0 if slow else chance.uniform(0.008, 0.012))

    one = make(ask)
    places = asyncio.Semaphore(AT_ONCE)

    async def item(x):
        async with places:
            began = now()
            await one(x)
            times.append(now() - began)

    await asyncio.gather(*map(item, range(n)))
    times.sort()
    return {"p99.9 ms": times[int(n * 0.999)] * 1e3, "p99 ms": times[int(n * 0.99)] * 1e3, "calls %": calls / n * 100}


def workload(name, title, bar, **how):
    return Workload(
        name=name,
        title=f"{{size:,}} calls of 10 ms, {title}",
        figures=("p99.9 ms", "p99 ms", "calls %"),
        compared=("p99.9 ms", "p99 ms"),
        reference="naive: one attempt",
        size=10_000,
        quick_size=10_000,
        measure=partial(measure, **how),
        contestants=contestants,
        bars={"asyncfan: Hedge()": bar},
    )


HEDGING = workload("hedging", "1 % of which take 1 s", Bar(0.1, 0.05, "p99.9 ms"), share=0.01)
HEDGING_MANY = workload("hedging-many", "5 % of which take 1 s", Bar(0.1, 0.05, "p99 ms"), share=0.05)
HEDGING_SLOW = workload(
    "hedging-slow", "the second half of which take 1 s", Bar(106, 105, "calls %", relative=False), slow_from=0.5
)


@contestants.add("asyncfan: Hedge()", package="asyncfan")
def hedge(ask):
    from asyncfan import Hedge

    return partial(Hedge(), ask)


@contestants.add("asyncfan: Hedge(after=0.013)", package="asyncfan")
def hedge_after(ask):
    from asyncfan import Hedge

    return partial(Hedge(after=0.013), ask)


@contestants.add("naive: one attempt")
def naive(ask):
    return ask


@contestants.add("asynchedging: hedge, after 13 ms", package="asynchedging")
def asynchedging(ask):
    from asynchedging import hedge

    async def one(x):
        return await hedge(partial(ask, x), delays_s=[0.013])

    return one

"""One cached call, spelled in three ways.

Workload: ``async def f(a, b=2)``, cached for 300 s by asyncfan; a hit with the call spelled ``f(1, 2)``,
    ``f(1, b=2)`` and ``f(1)``. The check before the clock starts: the three spellings are one entry, loaded
    once.
Unit: ns a call.
Reading: what normalising a call costs. The peers are not here because to them these are three entries.
Command: python -m benchmarks hit-spelled
"""

from itertools import repeat
from time import perf_counter

from benchmarks.workload import Contestants, Workload, best

contestants = Contestants()


async def measure(make, n):
    from asyncfan import cache_function

    loads = 0

    @cache_function(expire=300)
    async def f(a, b=2):
        nonlocal loads
        loads += 1
        return a * 10 + b

    assert [await f(1, 2), await f(1, b=2), await f(1), await f(a=1, b=2)] == [12] * 4, "wrong values"
    assert loads == 1, f"{loads} loads for one call in four spellings"

    seconds = await best(make(f, n))
    assert loads == 1, f"{loads - 1} of the timed calls were misses"
    return {"ns a call": seconds / n * 1e9}


HIT_SPELLED = Workload(
    name="hit-spelled",
    title="Cached hit of `f(a, b=2)`, spelled in three ways",
    figures=("ns a call",),
    compared=("ns a call",),
    reference="f(1, 2)",
    size=20_000,
    quick_size=5_000,
    measure=measure,
    contestants=contestants,
)


@contestants.add("f(1, 2)", package="asyncfan")
def positional(f, n):
    async def batch():
        start = perf_counter()
        for _ in repeat(None, n):
            await f(1, 2)
        return perf_counter() - start

    return batch


@contestants.add("f(1, b=2)", package="asyncfan")
def keyword(f, n):
    async def batch():
        start = perf_counter()
        for _ in repeat(None, n):
            await f(1, b=2)
        return perf_counter() - start

    return batch


@contestants.add("f(1)", package="asyncfan")
def default(f, n):
    async def batch():
        start = perf_counter()
        for _ in repeat(None, n):
            await f(1)
        return perf_counter() - start

    return batch

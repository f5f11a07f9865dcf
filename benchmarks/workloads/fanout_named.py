"""A fan-out of named tasks.

Workload: a dictionary of 1,000 names and async functions, each one ``await asyncio.sleep(0)``, all at once;
    the answer is a dictionary of results in the same order.
Unit: us a task.
Reading: asyncfan gives each task a name, an isolated context and an error that names it.
Command: python -m benchmarks fanout-named
"""

import asyncio
from functools import partial
from time import perf_counter

from benchmarks.workload import Contestants, Workload, best

contestants = Contestants()


async def fetch(x):
    await asyncio.sleep(0)
    return x


async def measure(make, n):
    run = make()
    tasks = {f"task {x}": partial(fetch, x) for x in range(n)}
    expected = [(f"task {x}", x) for x in range(n)]

    async def batch():
        start = perf_counter()
        results = await run(tasks)
        seconds = perf_counter() - start
        assert list(results.items()) == expected, "wrong names, results or order"
        return seconds

    return {"us a task": await best(batch) / n * 1e6}


FANOUT_NAMED = Workload(
    name="fanout-named",
    title="Fan-out of {size:,} named tasks, all at once, each `sleep(0)`",
    figures=("us a task",),
    compared=("us a task",),
    reference="naive: gather",
    size=1_000,
    quick_size=1_000,
    measure=measure,
    contestants=contestants,
)


@contestants.add("asyncfan: execute_parallel", package="asyncfan")
def execute_parallel():
    from asyncfan import ParallelProcessor

    return ParallelProcessor(max_workers=None).execute_parallel


@contestants.add("asyncfan: execute_parallel, 100 at once", package="asyncfan")
def execute_parallel_limited():
    from asyncfan import ParallelProcessor

    return ParallelProcessor(max_workers=100).execute_parallel


@contestants.add("asyncfan: gather", package="asyncfan")
def asyncfan_gather():
    from asyncfan import gather

    return gather


@contestants.add("naive: gather")
def gather():
    async def run(tasks):
        return dict(zip(tasks, await asyncio.gather(*(fn() for fn in tasks.values())), strict=True))

    return run


@contestants.add("naive: TaskGroup")
def task_group():
    async def run(tasks):
        async with asyncio.TaskGroup() as group:
            started = {name: group.create_task(fn(), name=name) for name, fn in tasks.items()}
        return {name: task.result() for name, task in started.items()}

    return run


@contestants.add("anyio: task group", package="anyio")
def anyio():
    from anyio import create_task_group

    async def run(tasks):
        results = dict.fromkeys(tasks)

        async def one(name, fn):
            results[name] = await fn()

        async with create_task_group() as group:
            for name, fn in tasks.items():
                group.start_soon(one, name, fn, name=name)
        return results

    return run


@contestants.add("quattro: gather", package="quattro")
def quattro():
    from quattro import gather

    async def run(tasks):
        return dict(zip(tasks, await gather(*(fn() for fn in tasks.values())), strict=True))

    return run

"""One of several callers is cancelled at each of its await points: the others never notice, on any path."""

import asyncio
import gc
import itertools
import sys

import pytest
import uvloop

from asyncfan import (
    AsyncQueryBatcher,
    Cache,
    DataBatcher,
    Limiter,
    ParallelProcessor,
    batched,
    scope,
)
from asyncfan.testing import VirtualTimeLoop

LOOPS = {"asyncio": (VirtualTimeLoop, None), "uvloop": (uvloop.new_event_loop, None)}
if sys.version_info >= (3, 12):
    LOOPS["asyncio, eager"] = (VirtualTimeLoop, asyncio.eager_task_factory)
    if not (3, 13) <= sys.version_info < (3, 13, 3):  # uvloop gives the factory an argument that it does not know there
        LOOPS["uvloop, eager"] = (uvloop.new_event_loop, asyncio.eager_task_factory)
CALLERS = 3


async def item(x):
    """Take some steps, and one more to clean up."""
    try:
        for _ in range(1 + x % 2):
            await asyncio.sleep(0)
        return 10 * x
    finally:
        await asyncio.sleep(0)


async def load(keys):
    """Stand for a backend."""
    await asyncio.sleep(0)
    return {key: 10 * key for key in keys}


def processor():
    """Return one that its callers share, with a limit that they share too."""
    return ParallelProcessor(2, limiter=Limiter(max_concurrency=3))


def execute_parallel():
    """Named tasks."""
    shared = processor()
    tasks = {x: lambda x=x: item(x) for x in range(3)}
    return lambda: shared.execute_parallel(tasks), {x: 10 * x for x in range(3)}


def graph():
    """Tasks that take the results of others."""
    shared = processor()
    tasks = {"b": lambda a: item(a), "c": lambda a, b: item(a + b), "a": lambda: item(1)}  # noqa: PLW0108
    return lambda: shared.execute_parallel(tasks), {"b": 100, "c": 1100, "a": 10}


def map_():
    """A map."""
    shared = processor()
    return lambda: shared.map(item, range(4)), [0, 10, 20, 30]


def stream():
    """A stream of an async source, in a narrow window."""
    shared = processor()

    async def source():
        for x in range(4):
            await asyncio.sleep(0)
            yield x

    async def call():
        async with shared.stream(item, source(), buffer_size=1) as results:
            return [x async for x in results]

    return call, [0, 10, 20, 30]


def process_batches():
    """Batches."""
    shared = DataBatcher(2, max_concurrent_batches=2, limiter=Limiter(max_concurrency=3))

    async def total(batch):
        return await item(sum(batch))

    return lambda: shared.process_batches(range(5), total), [10, 50, 40]


def execute():
    """Queries that take turns."""
    shared = AsyncQueryBatcher(max_concurrency=1)
    return lambda: shared.execute(item, 1), 10


def execute_joined():
    """One query for all."""
    shared = AsyncQueryBatcher(max_concurrency=1, key=lambda query, x: x)
    return lambda: shared.execute(item, 1), 10


def execute_many():
    """Several queries at once."""
    shared = AsyncQueryBatcher(max_concurrency=2)
    return lambda: shared.execute_many([lambda x=x: item(x) for x in range(3)]), [0, 10, 20]


def one_key():
    """A loader."""
    shared = batched(load)
    return lambda: shared(1), 10


def a_key_each():
    """A loader of different keys."""
    shared, keys = batched(load), itertools.count()

    async def call():
        key = next(keys)
        return await shared(key) == 10 * key

    return call, True


def many_keys():
    """A loader of many, its calls in turns."""
    shared = batched(max_batch_size=2, dispatch="scope", limiter=Limiter(max_concurrency=1))(load)
    return lambda: shared.many([1, 2, 3]), [10, 20, 30]


def in_a_scope():
    """A loader in a scope for each caller."""
    shared = batched(load)

    async def call():
        async with scope(tenant="acme"):
            return [await shared(1), await shared(2), await shared(1)]

    return call, [10, 20, 10]


def batched_in_a_fan_out():
    """A loader that looks at who waits."""
    shared, loader = ParallelProcessor(2), batched(dispatch="scope")(load)
    return lambda: shared.map(loader, range(3)), [0, 10, 20]


def cached_batched():
    """A cached loader."""
    shared = Cache().cache_function(batched(load))
    return lambda: shared.many([1, 2, 1]), [10, 20, 10]


def limiter():
    """A limiter itself, for a light and a heavy turn."""
    shared = Limiter(max_concurrency=2)

    async def call():
        async with shared:
            await asyncio.sleep(0)
        await shared.acquire(2)
        try:
            return await item(1)
        finally:
            shared.release(2)

    return call, 10


WAYS = [
    execute_parallel,
    graph,
    map_,
    stream,
    process_batches,
    execute,
    execute_joined,
    execute_many,
    one_key,
    a_key_each,
    many_keys,
    in_a_scope,
    batched_in_a_fan_out,
    cached_batched,
    limiter,
]


async def trial(way, victim, step):
    """Cancel one caller after so many steps; return what went wrong, and whether it was too late to cancel it."""
    call, expected = way()
    callers = [asyncio.ensure_future(call()) for _ in range(CALLERS)]
    for _ in range(step):
        await asyncio.sleep(0)
    accepted = callers[victim].cancel()
    async with asyncio.timeout(30):
        found = await asyncio.gather(*callers, return_exceptions=True)
        found.append(await call())  # what they share is as good as new
    wrong = [result for i, result in enumerate(found) if result != expected and not (accepted and i == victim)]
    if accepted and not isinstance(found[victim], asyncio.CancelledError):
        wrong.append(f"a lost cancellation: {found[victim]}")
    for _ in range(3):  # until done callbacks have run
        await asyncio.sleep(0)
    wrong += asyncio.all_tasks() - {asyncio.current_task()}
    return wrong, not accepted


@pytest.mark.real_time
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_cancelling_one_caller_harms_no_other(way, loop):
    """At whichever step: the others get their results, it is cancelled, nothing hangs, is left behind or warns."""
    unseen = []
    make_loop, factory = LOOPS[loop]
    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.get_loop().set_task_factory(factory)
        runner.get_loop().set_exception_handler(lambda _, context: unseen.append(context))
        for victim in range(CALLERS):
            for step in range(200):
                wrong, too_late = runner.run(trial(way, victim, step))
                assert (wrong, unseen) == ([], []), f"caller {victim}, step {step}"
                if too_late:
                    break
            assert too_late
            assert step > 1
    gc.collect()  # so that what warns when it is collected does so here

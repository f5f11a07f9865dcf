"""No orphans and no lost cancellation, on whatever path a fan-out ends."""

import asyncio
import gc
import random
import sys

import pytest
import uvloop

from asyncfan.batching import DataBatcher
from asyncfan.exceptions import AttemptTimeoutError
from asyncfan.fanout import ParallelProcessor, amap, astream
from asyncfan.testing import VirtualTimeLoop

FACTORIES = [None]
if sys.version_info >= (3, 12):
    FACTORIES.append(asyncio.eager_task_factory)
TRIALS = [(VirtualTimeLoop, factory, 10_000) for factory in FACTORIES] + [(uvloop.new_event_loop, None, 2_000)]


def run_with(factory, main):
    """Run ``main`` in virtual time, with ``factory`` making the tasks."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.get_loop().set_task_factory(factory)
        return runner.run(main)


@pytest.mark.parametrize("way", ["named", "map", "stream"])
async def test_a_cancelled_caller_cancels_and_awaits_all(way):
    """When the caller's CancelledError arrives, each item has had its clean-up to the end."""
    started = ended = 0

    async def item(_=None):
        nonlocal started, ended
        started += 1
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(3)
            ended += 1

    async def call():
        if way == "named":
            await ParallelProcessor(5).execute_parallel(dict.fromkeys(range(9), item))
        elif way == "map":
            await amap(item, range(9), max_workers=5)
        else:
            async for _ in astream(item, range(9), max_workers=5):
                pass

    task = asyncio.ensure_future(call())
    await asyncio.sleep(1)
    task.cancel("stop")
    with pytest.raises(asyncio.CancelledError, match="stop"):
        await task
    assert (started, ended) == (5, 5)
    # in `map` the item in the caller's own task is stopped before the others
    assert asyncio.get_running_loop().time() == (7 if way == "map" else 4)


async def test_failures_of_the_cleanup_are_the_cause_of_the_cancellation():
    """What items raise while a cancelled caller waits for them is in the CancelledError's cause."""

    async def item(x):
        try:
            await asyncio.sleep(100)
        finally:
            raise OSError(x)

    task = asyncio.ensure_future(amap(item, range(3)))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert sorted(e.args for e in caught.value.__cause__.exceptions) == [(0,), (1,), (2,)]


async def test_an_item_that_swallows_the_cancellation_does_not_hide_it():
    """The caller is cancelled even if the item in its own task answers the cancellation with a value."""

    async def stubborn(x):
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            return x

    for workers in (1, 3):
        task = asyncio.ensure_future(amap(stubborn, range(3), max_workers=workers))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_timeouts_around_a_fanout_work():
    """`asyncio.timeout` around a call stops it, and leaves the caller's task uncancelled."""
    for workers in (1, 3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await amap(asyncio.sleep, [100] * 5, max_workers=workers)
        assert asyncio.current_task().cancelling() == 0


async def test_timeouts_and_task_groups_inside_items_work():
    """An item's own `asyncio.timeout` and `TaskGroup` behave in a fan-out as anywhere else."""

    async def item(x):
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(1))
        try:
            async with asyncio.timeout(1):
                await asyncio.sleep(100)
        except TimeoutError:
            return x
        return None

    for workers in (1, 3):
        assert await amap(item, range(5), max_workers=workers) == list(range(5))
    assert asyncio.current_task().cancelling() == 0


async def test_a_failing_fanout_leaves_its_caller_uncancelled():
    """The item in the caller's own task is stopped when another fails, and the caller can go on waiting."""

    async def item(x):
        await asyncio.sleep(100 if x == 0 else 1)
        raise ValueError(x)

    with pytest.raises(ValueError, match="1"):
        await amap(item, range(3), max_workers=3)
    assert asyncio.current_task().cancelling() == 0
    await asyncio.sleep(1)


@pytest.mark.parametrize(("make_loop", "factory", "seeds"), TRIALS)
def test_no_cancellation_is_lost(make_loop, factory, seeds):
    """In thousands of seeded trials a cancellation that was accepted before the call returned always arrives.

    The caller answers errors as a handler would, and goes on to its next await, which must be the end of it.
    """
    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.get_loop().set_task_factory(factory)
        lost = [seed for seed in range(seeds) if not runner.run(one_trial(random.Random(seed)))]
    assert lost == []


async def one_trial(rng):  # noqa: C901, PLR0915 - one story
    """Cancel a fan-out of failing and waiting items at a random moment; tell whether the cancellation arrived."""
    live = 0
    survived = False

    async def item(plan):
        nonlocal live
        live += 1
        try:
            for _ in range(plan[0]):
                await asyncio.sleep(0)
            if plan[1] == "fail":
                raise ValueError
            if plan[1] == "leave":
                asyncio.current_task().cancel()
                await asyncio.sleep(0)
            if plan[1] == "timeout":
                async with asyncio.timeout(0):
                    await asyncio.sleep(1)
        finally:
            try:
                for _ in range(plan[2]):
                    await asyncio.sleep(0)
            finally:
                live -= 1

    kinds = ["ok", "ok", "fail", "leave", "timeout"]
    plans = [(rng.randrange(4), rng.choice(kinds), rng.randrange(3)) for _ in range(rng.randrange(1, 6))]
    processor = ParallelProcessor(
        rng.choice([1, 2, None]),
        on_error=rng.choice(["raise", "group", "collect"]),
        timeout=rng.choice([None, 1]),
    )
    way = rng.choice(["map", "named", "graph", "stream", "batches"])

    async def call():
        nonlocal survived
        try:
            if way == "map":
                await processor.map(item, plans)
            elif way == "named":
                await processor.execute_parallel({i: lambda p=p: item(p) for i, p in enumerate(plans)})
            elif way == "graph":
                first, *others = plans
                tasks = {f"t{i}": lambda t, p=p: item(p) for i, p in enumerate(others)}
                await processor.execute_parallel({**tasks, "t": lambda: item(first)})
            elif way == "batches":
                await DataBatcher(1, max_concurrent_batches=rng.choice([1, 2, None])).process_batches(
                    plans, lambda batch: item(batch[0])
                )
            else:
                async for _ in processor.stream(item, plans):
                    pass
        except Exception:  # noqa: BLE001 - as a handler would
            assert live == 0
        assert live == 0
        await asyncio.sleep(1)
        survived = True

    task = asyncio.ensure_future(call())
    for _ in range(rng.randrange(8)):
        await asyncio.sleep(0)
    accepted = task.cancel()
    cancelled = False
    try:
        await task
    except asyncio.CancelledError:
        cancelled = True
    assert live == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return not accepted or (cancelled and not survived)


@pytest.mark.parametrize("factory", FACTORIES, ids=lambda f: "eager" if f else "lazy")
def test_the_engine_runs_under_the_task_factory(factory):
    """A crew of 2,000 workers starts without recursion, under both task factories."""

    async def item(x):
        await asyncio.sleep(1)
        return x

    async def main():
        found = await amap(item, range(4000), max_workers=2000)
        return found == list(range(4000)) and asyncio.get_running_loop().time() == 2

    assert run_with(factory, main())


@pytest.mark.parametrize("factory", FACTORIES, ids=lambda f: "eager" if f else "lazy")
def test_a_timed_out_item_is_stopped_alone(factory):
    """`timeout` ends one item, whichever task runs it, and no other."""

    async def main():
        found = await ParallelProcessor(3, timeout=5, on_error="collect").map(asyncio.sleep, [1, 9, 4, 9, 2])
        assert [type(o.exception) for o in found if not o.ok] == [AttemptTimeoutError] * 2
        return [o.status for o in found]

    assert run_with(factory, main()) == ["ok", "timeout", "ok", "timeout", "ok"]


@pytest.mark.parametrize("way", ["named", "map", "stream"])
def test_a_loop_that_is_closed_under_a_fan_out_raises_nothing(way):
    """What is collected with its loop ends without an error that nobody could catch."""

    async def never(_=None):
        await asyncio.Event().wait()

    async def call():
        if way == "named":
            await ParallelProcessor(5).execute_parallel(dict.fromkeys(range(3), never))
        elif way == "map":
            await amap(never, range(3))
        else:
            async for _ in astream(never, range(3)):
                pass

    loop = VirtualTimeLoop()
    loop.set_exception_handler(lambda *_: None)  # it tells of the tasks, and rightly so
    task = loop.create_task(call())
    loop.call_later(1, loop.stop)
    loop.run_forever()
    loop.close()
    del task
    gc.collect()  # an unraisable error would fail the test


@pytest.mark.real_time
def test_the_engine_runs_on_uvloop():
    """map, named tasks and streams work on uvloop, with items that fail, wait and compute."""

    async def item(x):
        if x % 2:
            await asyncio.sleep(0.001)
        if x == 13:
            raise ValueError(x)
        return x

    async def main():
        collect = ParallelProcessor(4, on_error="collect", deadline=30)
        assert [o.ok for o in await collect.map(item, range(20))] == [x != 13 for x in range(20)]
        with pytest.raises(ValueError, match="13"):
            await ParallelProcessor(3).execute_parallel({x: lambda x=x: item(x) for x in range(20)})
        return [x async for x in astream(item, range(13), max_workers=3)]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == list(range(13))

"""When `batched` sends a batch that is not full."""

import asyncio
import random

import pytest

from asyncfan import amap, astream, batched, gather
from asyncfan.fanout import Limiter
from asyncfan.testing import run


def batches(dispatch, jitter, io=0.0, loads=4000, workers=100, **options):
    """Return how many batches 4,000 loads of 100 workers make: after up to ``jitter`` steps, some after 3 ms of I/O."""
    rng = random.Random(1)
    steps = [rng.randint(0, jitter) for _ in range(loads)]
    slow = [rng.random() < io for _ in range(loads)]
    calls = []

    @batched(dispatch=dispatch, **options)
    async def load(keys):
        calls.append(len(keys))
        await asyncio.sleep(0.002)
        return keys

    async def item(i):
        for _ in range(steps[i]):
            await asyncio.sleep(0)
        if slow[i]:
            await asyncio.sleep(0.003)
        return await load(i)

    assert run(amap(item, range(loads), max_workers=workers)) == list(range(loads))
    assert sum(calls) == loads
    return len(calls)


@pytest.mark.parametrize(("jitter", "most"), [(0, 42), (5, 45), (20, 50)])
def test_quiet_waits_for_callers_who_are_some_steps_behind(jitter, most):
    """Of 40 ideal batches it makes at most 50 where callers come within 20 passes of the loop."""
    assert batches("quiet", jitter) <= most


@pytest.mark.parametrize(("jitter", "io"), [(0, 0), (5, 0), (20, 0), (5, 0.2)])
def test_scope_waits_for_all_items_of_the_fan_out(jitter, io):
    """Of 40 ideal batches it makes at most 42, also where a fifth of the items does I/O first."""
    assert batches("scope", jitter, io) <= 42


def test_tick_waits_for_nobody():
    """DataLoader's rule makes many small batches of callers who are some steps apart."""
    assert batches("tick", 20) > 400


@pytest.mark.parametrize("dispatch", ["quiet", "scope"])
def test_max_delay_is_the_most_that_a_batch_waits(dispatch):
    """With a key in every pass of the loop, or items that wait for something else, time is up at some point."""

    @batched(dispatch=dispatch, max_delay=0.5)
    async def load(keys):
        return [asyncio.get_running_loop().time()] * len(keys)

    async def item(i):
        if i:
            await asyncio.sleep(60)
        return await load(i)

    assert run(amap(item, range(2))) == [0.5 if dispatch == "scope" else 0.0, 60]


def test_quiet_ends_though_a_key_comes_in_every_pass():
    """A queue that is never quiet is sent after a few hundred passes."""

    @batched(max_batch_size=None)
    async def load(keys):
        return [len(keys)] * len(keys)

    async def main():
        callers = [asyncio.ensure_future(load(-1))]
        while not callers[0].done():
            callers.append(asyncio.ensure_future(load(len(callers))))
            await asyncio.sleep(0)
        await asyncio.gather(*callers)
        return await callers[0]

    assert 100 < run(main()) < 300


def scope_calls():
    """Return a loader with the scope rule, and the sorted keys of each call with its time."""
    calls = []

    @batched(dispatch="scope", max_delay=100)
    async def load(keys):
        calls.append((asyncio.get_running_loop().time(), sorted(keys)))
        await asyncio.sleep(1)
        return keys

    return load, calls


async def test_scope_takes_no_time_where_nothing_else_is_waited_for():
    """When all items are blocked, the batch goes; items that end let the rest be all."""
    load, calls = scope_calls()

    async def item(i):
        if i % 2:
            await asyncio.sleep(i)
        else:
            await load(i)

    await amap(item, range(5), max_workers=None)
    assert calls == [(3.0, [0, 2, 4])]


async def test_scope_counts_items_that_wait_for_a_batch_that_was_sent():
    """Two loaders: the second batch goes while the first one runs."""
    (first, first_calls), (second, second_calls) = scope_calls(), scope_calls()
    await amap(lambda i: (first if i < 2 else second)(i), range(4))
    assert (first_calls, second_calls) == ([(0.0, [0, 1])], [(0.0, [2, 3])])


async def test_scope_sees_through_a_fan_out_inside_an_item():
    """Keys of all inner fan-outs travel together: an item waits when all that it started do."""
    load, calls = scope_calls()

    async def item(i):
        await asyncio.sleep(i % 3)
        return await amap(load, [10 * i + j for j in range(3)])

    await amap(item, range(4), max_workers=None)
    assert calls == [(2.0, [10 * i + j for i in range(4) for j in range(3)])]


async def test_scope_works_for_named_tasks_and_streams():
    """Every fan-out tells who is live: `gather`, and `astream` with a window and an async source."""
    load, calls = scope_calls()
    await gather(a=lambda: load(1), b=lambda: load(2))
    assert calls == [(0.0, [1, 2])]

    async def source():
        for i in range(6):
            yield i

    for items in (range(6), source()):
        del calls[:]
        async with astream(load, items, max_workers=3, buffer_size=3) as results:
            assert [i async for i in results] == list(range(6))
        assert [len(keys) for _, keys in calls] == [3, 3]


async def test_scope_works_for_tasks_that_take_results():
    """A task that waits for another one is not live yet: two chains ask twice, together, and take no time for it."""
    load, calls = scope_calls()
    await gather(
        a=lambda: load(1), b=lambda: load(2), c=lambda a: load(10 * a), d=lambda b: load(10 * b), e=lambda c, d: c + d
    )
    assert calls == [(0, [1, 2]), (1, [10, 20])]


async def test_scope_outside_of_a_fan_out_is_quiet():
    """Callers without a fan-out, and tasks that an item starts, do not wait for max_delay."""
    load, calls = scope_calls()
    await asyncio.gather(load(1), load(2))

    async def item(i):
        await asyncio.gather(load(i), load(i + 100))

    await amap(item, range(10, 13))
    assert calls == [(0.0, [1, 2]), (1.0, [10, 11, 12, 110, 111, 112])]


async def test_scope_does_not_hang_where_items_wait_for_each_other():
    """An item that waits for another one's lock is never blocked on a loader: the batch goes after 50 ms."""
    limiter = Limiter(max_concurrency=1)

    @batched(dispatch="scope")
    async def load(keys):
        return keys

    async def item(i):
        async with limiter:
            return await load(i)

    assert await amap(item, range(3)) == [0, 1, 2]
    assert asyncio.get_running_loop().time() == pytest.approx(0.1)  # the last one is alone


async def test_scope_goes_on_when_an_item_is_cancelled():
    """Items that time out no longer count as waiting, nor as live."""
    load, calls = scope_calls()

    async def item(i):
        try:
            async with asyncio.timeout(5):
                await (load(i) if i else asyncio.sleep(60))
        except TimeoutError:
            return await load(i + 10)

    await amap(item, range(3))
    assert calls == [(5.0, [10, 11, 12])]

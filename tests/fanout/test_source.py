"""Sources: in which context their steps run, when they are closed, and what they may lie about."""

import asyncio

import pytest

from asyncfan.batching import DataBatcher
from asyncfan.context import current_scope, scope, time_left
from asyncfan.fanout import ParallelProcessor, amap, astream


async def nap(x):
    """Return ``x`` after a second."""
    await asyncio.sleep(1)
    return x


async def fail(_):
    """Fail after a second."""
    await asyncio.sleep(1)
    raise ValueError("no")


def scoped(log):
    """Yield numbers within a scope, and log the end."""
    try:
        with scope(tenant="acme"):
            for i in range(6):
                yield i, dict(current_scope())
    finally:
        log.append("closed")


async def scoped_later(log):
    """Yield as `scoped` does, waiting before each one and in the end."""
    try:
        with scope(tenant="acme"):
            for i in range(6):
                await asyncio.sleep(0)
                yield i, dict(current_scope())
    finally:
        await asyncio.sleep(1)
        log.append("closed")


@pytest.mark.parametrize("source", [scoped, scoped_later])
async def test_a_generator_keeps_its_context_from_step_to_step(source):
    """Whichever worker asks, a generator is in its own ``with``, and no item is in it."""

    async def item(pair):
        await asyncio.sleep(1)
        return *pair, dict(current_scope())

    expected = [(i, {"tenant": "acme"}, {}) for i in range(6)]
    assert await amap(item, source([]), max_workers=2) == expected
    assert [r async for r in astream(item, source([]), max_workers=2)] == expected


async def test_a_source_sees_the_deadline():
    """The time left is the same for a source as for the items, whichever worker asks."""
    assert await ParallelProcessor(2, deadline=10).map(nap, (time_left() for _ in range(4))) == [10, 10, 9, 9]


@pytest.mark.parametrize("source", [scoped, scoped_later])
async def test_a_generator_is_closed_before_a_failure_is_raised(source):
    """A generator that is not at its end is closed, its clean-up awaited, when the call has ended."""
    log = []
    with pytest.raises(ValueError, match="no"):
        await amap(fail, source(log), max_workers=2)
    assert log == ["closed"]


@pytest.mark.parametrize("source", [scoped, scoped_later])
async def test_a_generator_is_closed_when_a_stream_is_left(source):
    """Leaving a stream, also of batches, closes the generator that it pulls from."""
    log = []
    async with astream(nap, source(log), max_workers=2) as results:
        await anext(results)
    assert log == ["closed"]
    async with DataBatcher(2).stream_batches(source(log), nap) as batches:
        await anext(batches)
    assert log == ["closed", "closed"]


async def test_an_error_of_the_closing_is_noted():
    """What a generator raises while it is closed is a note on the error that ended the call."""

    def source():
        try:
            yield from range(9)
        finally:
            raise KeyError("cursor")

    with pytest.raises(ValueError, match="no") as caught:
        await amap(fail, source(), max_workers=2)
    assert caught.value.__notes__[1:] == ["then fail:items failed too: KeyError: 'cursor'"]


async def test_a_source_that_cannot_begin_ends_a_stream_in_order():
    """An error of ``aiter`` is raised, and the stream no longer counts as running."""

    class Broken:
        def __aiter__(self):
            raise ValueError("no cursor")

    processor = ParallelProcessor(deadline=5)
    with pytest.raises(ValueError, match="no cursor"):
        await anext(processor.stream(nap, Broken()))
    assert processor.stats().calls == 1
    assert not processor._meter._live


async def test_what_a_stopped_source_still_yields_is_not_begun():
    """An async source that answers its cancellation with one more item starts nothing."""
    begun = []

    async def source():
        yield 1
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            yield 2

    async def item(x):
        begun.append(x)
        await fail(x)

    with pytest.raises(ValueError, match="no"):
        await amap(item, source())
    assert begun == [1]


async def test_a_slow_source_gathers_no_idle_workers():
    """Without a limit there are as many workers as items run, and few that wait for one."""
    most = 0

    async def source():
        for i in range(500):
            await asyncio.sleep(1)
            yield i

    async def item(_):
        nonlocal most
        await asyncio.sleep(0.5)
        most = max(most, len(asyncio.all_tasks()))

    await amap(item, source(), max_workers=None)
    assert most <= 8


async def test_a_length_that_lies_makes_no_outcomes():
    """Outcomes are of the items that came, not of those that ``len`` had promised."""

    class Long(list):
        def __len__(self):
            return 10

    assert [o.value for o in await ParallelProcessor(on_error="collect").map(nap, Long("ab"))] == ["a", "b"]
    assert [o.value async for o in astream(nap, Long("ab"), on_error="collect")] == ["a", "b"]


async def test_a_lazy_query_is_not_counted_first():
    """What can be iterated both ways is never asked for its length, which may block."""

    class QuerySet:
        def __len__(self):
            raise RuntimeError("the database is asked on the event loop")

        __iter__ = __len__

        async def __aiter__(self):
            for i in range(3):
                yield i

    assert await amap(nap, QuerySet()) == [0, 1, 2]

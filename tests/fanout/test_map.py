"""`map`, `amap`, `gather` and `execute_parallel` when nothing goes wrong."""

import asyncio
import contextvars
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfan.fanout import ParallelProcessor, amap, gather
from asyncfan.testing import run

VAR = contextvars.ContextVar("VAR", default="unset")


@settings(max_examples=60, deadline=None)
@given(delays=st.lists(st.integers(0, 5), max_size=30), workers=st.one_of(st.none(), st.integers(1, 8)))
def test_results_are_in_the_items_order(delays, workers):
    """Whatever the order of completion and the number of workers, results are in the order of the items."""

    async def wait(pair):
        if pair[1]:
            await asyncio.sleep(pair[1])
        return pair[0]

    assert run(amap(wait, list(enumerate(delays)), max_workers=workers)) == list(range(len(delays)))


@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 40), workers=st.integers(1, 10), source=st.sampled_from(["list", "lazy", "async"]))
def test_never_more_than_max_workers_run(n, workers, source):
    """The peak of items at work is max_workers, or the number of items if that is less, for each kind of source."""
    live = peak = 0

    async def work(_):
        nonlocal live, peak
        live += 1
        peak = max(peak, live)
        await asyncio.sleep(1)
        live -= 1

    async def trickle():
        for i in range(n):
            yield i

    items = {"list": list(range(n)), "lazy": iter(range(n)), "async": trickle()}[source]
    run(amap(work, items, max_workers=workers))
    assert peak == min(n, workers)


async def test_names_keep_their_order():
    """`execute_parallel` returns the results in the order of the mapping, not of completion."""

    async def wait(seconds):
        await asyncio.sleep(seconds)
        return seconds

    tasks = {"slow": lambda: wait(3), "quick": lambda: wait(1), "middle": lambda: wait(2)}
    assert list((await ParallelProcessor().execute_parallel(tasks)).items()) == [
        ("slow", 3),
        ("quick", 1),
        ("middle", 2),
    ]


async def test_nothing_to_do_gives_nothing():
    """An empty mapping gives an empty dict, an empty source an empty list."""
    assert await gather({}) == {}
    assert await amap(asyncio.sleep, []) == []


async def test_gather_takes_keywords_and_a_mapping():
    """Tasks may be named by keyword, by a mapping, or both."""

    async def one():
        return 1

    assert await gather({"a b": one}, c=one) == {"a b": 1, "c": 1}


async def test_named_tasks_bear_their_names():
    """A debugger sees each task under its name, and the context variable of one is unknown to the next."""
    seen = []

    async def look():
        seen.append((asyncio.current_task().get_name(), VAR.get()))
        VAR.set("leaked")

    await ParallelProcessor(1, name="page").execute_parallel({"user": look, "orders": look})
    assert seen == [("asyncfan:page:task 'user'", "unset"), ("asyncfan:page:task 'orders'", "unset")]


async def test_tasks_are_made_when_a_slot_is_free():
    """Of a thousand named tasks never more than max_workers exist."""
    peak = 0

    async def look():
        nonlocal peak
        peak = max(peak, len(asyncio.all_tasks()))
        await asyncio.sleep(1)

    await ParallelProcessor(5).execute_parallel(dict.fromkeys(range(1000), look))
    assert peak == 5 + 1  # and this test's own


async def test_items_that_never_wait_cost_no_task():
    """A fan-out of calls that never suspend, as cache hits do, runs in the caller's own task."""
    here = asyncio.current_task()

    async def hit(x):
        assert asyncio.current_task() is here
        return x

    assert await amap(hit, range(5000)) == list(range(5000))


async def test_one_item_costs_no_task():
    """One item, even one that waits, runs in the caller's own task."""
    before = asyncio.all_tasks()

    async def wait(_):
        await asyncio.sleep(1)
        return asyncio.all_tasks() == before

    assert await amap(wait, ["only"]) == [True]


async def test_no_item_sees_the_context_of_another():
    """A context variable that one item sets is unset for the next item, and for the caller."""

    async def look(i):
        before = VAR.get()
        VAR.set(i)
        if i % 2:
            await asyncio.sleep(1)
        assert VAR.get() == i
        return before

    assert set(await amap(look, range(40), max_workers=3)) == {"unset"}
    assert VAR.get() == "unset"


async def test_a_variable_set_late_in_a_long_run_stays_with_its_item():
    """Also after many items that set nothing, one that does leaves no trace for those after it."""

    async def look(i):
        await asyncio.sleep(0)
        seen.add(VAR.get())
        if i % 100 == 50:
            VAR.set(i)
        if i % 100 == 80:
            VAR.reset(VAR.set(i))
        await asyncio.sleep(0)

    seen = set()
    await amap(look, range(1000), max_workers=4)
    assert seen == {"unset"}


async def test_items_see_the_callers_context():
    """A context variable that the caller has set is seen by each item."""
    VAR.set("mine")

    async def look(_):
        await asyncio.sleep(0)
        return VAR.get()

    assert await amap(look, range(5), max_workers=2) == ["mine"] * 5


@pytest.mark.real_time
async def test_items_that_never_wait_leave_the_loop_alive():
    """While thousands of items compute without waiting, a heartbeat is never late by more than 50 ms.

    Of this thread's own time: what the machine does meanwhile is not the engine's.
    """
    gaps = []
    done = asyncio.Event()

    async def beat():
        while not done.is_set():
            before = time.thread_time()
            await asyncio.sleep(0)
            gaps.append(time.thread_time() - before)

    async def compute(_):
        end = time.thread_time() + 0.0005
        while time.thread_time() < end:
            pass

    heart = asyncio.ensure_future(beat())
    await asyncio.sleep(0)
    await amap(compute, range(1500), max_workers=50)
    done.set()
    await heart
    assert len(gaps) > 50
    assert max(gaps) < 0.05


async def test_many_workers_leave_the_loop_alive():
    """Many workers share one slice of a pass: the loop turns far more often than once in as many items."""
    turns = 0

    async def item(i):
        if i < 50:
            await asyncio.sleep(0)  # so that there are 50 workers
            return
        end = time.perf_counter() + 0.001
        while time.perf_counter() < end:
            pass

    async def beat():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    beating = asyncio.ensure_future(beat())
    await amap(item, range(350), max_workers=50)
    beating.cancel()
    assert turns >= 30


async def test_a_lazy_source_is_pulled_as_workers_get_free():
    """An iterable is never further ahead than the items at work."""
    pulled = 0
    started = 0

    def source():
        nonlocal pulled
        for i in range(50):
            pulled += 1
            yield i

    async def work(_):
        nonlocal started
        started += 1
        assert pulled == started
        await asyncio.sleep(1)

    await amap(work, source(), max_workers=4)
    assert started == 50


async def test_an_async_source_is_asked_by_one_worker_at_a_time():
    """`__anext__` is never called while a call of it runs, and a slow source stops no item at work."""
    asking = False

    class Source:
        left = 20

        def __aiter__(self):
            return self

        async def __anext__(self):
            nonlocal asking
            assert not asking
            asking = True
            await asyncio.sleep(1)
            asking = False
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    async def work(x):
        await asyncio.sleep(3)
        return x

    assert await amap(work, Source(), max_workers=5) == list(range(19, -1, -1))
    assert asyncio.get_running_loop().time() == 20 + 3


async def test_progress_counts_items_to_the_total():
    """`progress` is told how many items are done, of how many, and None where the number is not known."""
    told = []
    processor = ParallelProcessor(2, progress=lambda done, total: told.append((done, total)))
    await processor.map(asyncio.sleep, [2, 1, 1])
    await processor.map(asyncio.sleep, iter([1]))
    await processor.execute_parallel({"a": lambda: asyncio.sleep(1)})
    assert told == [(1, 3), (2, 3), (3, 3), (1, None), (1, 1)]


async def test_processor_can_be_used_by_many_callers_at_once():
    """Calls of one processor at the same time do not disturb each other."""

    async def double(x):
        await asyncio.sleep(x % 3)
        return 2 * x

    processor = ParallelProcessor(3)
    results = await asyncio.gather(*(processor.map(double, range(n)) for n in range(10)))
    assert results == [[2 * x for x in range(n)] for n in range(10)]


async def test_fanouts_nest():
    """An item may be a fan-out itself, several levels deep."""

    async def level(n):
        if n == 0:
            await asyncio.sleep(1)
            return 1
        return sum(await amap(level, [n - 1] * 3, max_workers=2))

    assert await level(4) == 81

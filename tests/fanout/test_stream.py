"""Results while they come: order, back-pressure, memory, and leaving early."""

import asyncio
import gc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfan.fanout import ParallelProcessor, astream
from asyncfan.testing import Gate, run


async def nap(seconds):
    """Return the seconds that it slept."""
    await asyncio.sleep(seconds)
    return seconds


@settings(max_examples=80, deadline=None)
@given(
    delays=st.lists(st.integers(0, 4), max_size=25),
    workers=st.one_of(st.none(), st.integers(1, 6)),
    buffer=st.one_of(st.none(), st.integers(1, 5)),
    lazy=st.booleans(),
    pause=st.integers(0, 2),
)
def test_an_ordered_stream_is_a_map(delays, workers, buffer, lazy, pause):
    """Whatever the delays, the window, the source and the consumer's pace, an ordered stream gives what map gives."""

    async def trickle():
        for pair in enumerate(delays):
            yield pair

    async def wait(pair):
        await asyncio.sleep(pair[1])
        return pair[0]

    async def main(ordered):
        items = trickle() if lazy else list(enumerate(delays))
        taken = []
        async for x in astream(wait, items, max_workers=workers, ordered=ordered, buffer_size=buffer):
            taken.append(x)
            await asyncio.sleep(pause)
        return taken

    assert run(main(ordered=True)) == list(range(len(delays)))
    assert sorted(run(main(ordered=False))) == list(range(len(delays)))


async def test_an_unordered_stream_gives_what_is_completed_first():
    """With `ordered=False` a quick item overtakes a slow one."""
    assert [x async for x in astream(nap, [3, 1, 2], ordered=False)] == [1, 2, 3]


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_slow_consumer_holds_up_the_source(ordered):
    """Never more than max_workers + buffer_size items are between the source and the consumer."""
    pulled = taken = peak = 0

    def source():
        nonlocal pulled, peak
        for _ in range(60):
            pulled += 1
            peak = max(peak, pulled - taken)
            yield 0

    async for _ in astream(nap, source(), max_workers=4, buffer_size=3, ordered=ordered):
        await asyncio.sleep(1)
        taken += 1
    assert taken == 60
    assert peak <= 4 + 3 + 1  # the one in the consumer's hands


async def test_a_slow_head_does_not_stop_the_workers():
    """While the first item runs for long, the window fills at full pace, and the rest needs no more time."""
    finished = []

    async def work(x):
        await asyncio.sleep(10 if x == 0 else 1)
        finished.append((asyncio.get_running_loop().time(), x))
        return x

    assert [x async for x in astream(work, range(14), max_workers=4, buffer_size=10)] == list(range(14))
    assert [x for time, x in finished if time < 10] == list(range(1, 14))


async def test_by_default_a_thousand_results_wait_behind_a_slow_head():
    """The workers go on at full pace while the first item runs, until a thousand items are ahead of the consumer."""
    finished = []

    async def work(x):
        await asyncio.sleep(2000 if x == 0 else 1)
        finished.append(asyncio.get_running_loop().time())
        return x

    assert [x async for x in astream(work, range(1200), max_workers=4)] == list(range(1200))
    ahead = [time for time in finished if time < 2000]
    assert len(ahead) == 999
    assert max(ahead) == 333  # by three workers, for the fourth has the head


async def test_by_default_a_slow_consumer_finds_few_results_ahead():
    """What it could take already is never more than max_workers besides those that run, slow items or not."""
    pulled = taken = peak = 0

    def source():
        nonlocal pulled, peak
        for x in range(300):
            pulled += 1
            peak = max(peak, pulled - taken)
            yield 0.05 if x % 20 == 19 else 0.001

    async for _ in astream(nap, source(), max_workers=4):
        await asyncio.sleep(1)
        taken += 1
        await asyncio.sleep(0)
    assert taken == 300
    assert peak <= 4 + 4 + 1  # the one in the consumer's hands


@pytest.mark.parametrize("way", ["async with", "aclose"])
async def test_leaving_early_cancels_and_awaits_the_workers(way):
    """When `async with` or `aclose` returns, each item that ran has had its clean-up."""
    live = 0

    async def work(x):
        nonlocal live
        live += 1
        try:
            await asyncio.sleep(1 if x == 1 else 100)
        finally:
            await asyncio.sleep(2)
            live -= 1

    stream = astream(work, range(1, 50), max_workers=5)
    if way == "async with":
        async with stream as results:
            async for _ in results:
                break
    else:
        await anext(stream)
        assert live == 5
        await stream.aclose()
    assert live == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_bare_break_stops_the_workers_soon():
    """After a `break` without `async with` the loop closes the stream: no worker goes on."""
    async for _ in astream(nap, [1] * 50, max_workers=5):
        break
    gc.collect()
    await asyncio.sleep(0.5)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("on_error", ["raise", "group", "collect"])
@pytest.mark.parametrize("taken", [1, 2])
def test_a_left_stream_says_nothing_at_the_end_of_the_event_loop(taken, on_error, caplog):
    """That cancels the workers before it closes the stream, which nobody waits for any more."""

    async def main():
        results = aiter(ParallelProcessor(3, on_error=on_error).stream(lambda x: nap(x // 2 * 100), range(9)))
        for _ in range(taken):
            await anext(results)
        return results

    left = asyncio.run(main())
    assert caplog.text == ""
    del left


@pytest.mark.parametrize("busy", [0, 10])
async def test_an_item_that_cancels_its_own_task_ends_alone(busy):
    """Whether the consumer waits for it or is busy with another."""

    async def give_up(x):
        await asyncio.sleep(1)
        if x == 3:
            asyncio.current_task().cancel()
            await asyncio.sleep(0)

    statuses = []
    async for outcome in ParallelProcessor(3, on_error="collect").stream(give_up, range(9)):
        statuses.append(outcome.status)
        await asyncio.sleep(busy)
    assert statuses == ["ok"] * 3 + ["cancelled"] + ["ok"] * 5


async def test_a_cancelled_consumer_stops_the_workers():
    """Cancelled while it waits for a result, the consumer gets CancelledError when no worker is left."""
    gate = Gate()

    async def consume():
        async for _ in astream(lambda _: gate.enter(), range(9), max_workers=3):
            pass

    task = asyncio.ensure_future(consume())
    await gate.reached()
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gate.entered == 3
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_error_of_an_items_cleanup_comes_out_of_aclose():
    """What an item raises while a left stream is being closed is raised by `aclose`."""

    async def work(_):
        try:
            await asyncio.sleep(100)
        finally:
            raise OSError("cleanup")

    stream = ParallelProcessor(2).stream(lambda x: work(x) if x else nap(1), range(2))
    assert await anext(stream) == 1
    with pytest.raises(OSError, match="cleanup"):
        await stream.aclose()


async def test_a_failure_ends_the_stream_at_once():
    """`on_error="raise"`: the failure is raised when it happens, even before the slow head of an ordered stream."""

    async def work(x):
        await asyncio.sleep(100 if x == 0 else x)
        if x == 3:
            raise ValueError(x)

    with pytest.raises(ValueError, match="3"):
        [_ async for _ in astream(work, range(9), max_workers=4)]
    assert asyncio.get_running_loop().time() == 3


@pytest.mark.parametrize("deadline", [None, 60])
@pytest.mark.parametrize("ordered", [True, False])
async def test_group_gives_the_good_results_first(ordered, deadline):
    """`on_error="group"`: the stream gives each value, then raises all failures together, however many there are."""

    async def work(x):
        if x % 2:
            raise ValueError(x)
        return x

    taken = []

    async def consume():
        processor = ParallelProcessor(2, on_error="group", deadline=deadline)
        async for x in processor.stream(work, range(100), ordered=ordered, buffer_size=2):
            taken.append(x)  # noqa: PERF401 - what came before the error is the point

    with pytest.raises(ExceptionGroup) as caught:
        await consume()
    assert taken == list(range(0, 100, 2))
    assert [e.args for e in caught.value.exceptions] == [(x,) for x in range(1, 100, 2)]


async def test_collect_streams_outcomes():
    """`on_error="collect"`: the stream gives an outcome for each item."""

    async def work(x):
        return 1 // x

    assert [(o.key, o.status) async for o in astream(work, [1, 0, 1], on_error="collect")] == [
        (0, "ok"),
        (1, "error"),
        (2, "ok"),
    ]


async def test_nothing_runs_before_the_first_result_is_asked_for():
    """A stream that is never iterated calls nothing and warns of nothing."""
    called = []
    stream = astream(called.append, [1, 2])
    await asyncio.sleep(1)
    assert repr(stream) == "<Stream not begun>"
    await stream.aclose()
    assert called == []

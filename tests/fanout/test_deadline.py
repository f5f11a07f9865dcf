"""`deadline` is the whole call's, `timeout` one item's."""

import asyncio
import re

import pytest

from asyncfan.context import time_left
from asyncfan.exceptions import DeadlineExceededError
from asyncfan.fanout import Limiter, ParallelProcessor, gather
from asyncfan.fanout.budget import RetryBudget
from asyncfan.fanout.in_time import TooLateError
from asyncfan.fanout.retry import Retry


async def nap(seconds):
    """Return the seconds that it slept."""
    await asyncio.sleep(seconds)
    return seconds


async def test_collect_returns_what_was_done_at_the_deadline():
    """At the deadline finished items keep their values; the rest ran out of time or never started."""
    found = await ParallelProcessor(2, deadline=5, on_error="collect").map(nap, [1, 9, 1, 9, 1])
    assert [(o.status, o.value) for o in found] == [
        ("ok", 1),
        ("timeout", None),
        ("ok", 1),
        ("timeout", None),
        ("not_started", None),
    ]
    assert asyncio.get_running_loop().time() == 5


@pytest.mark.parametrize("on_error", ["raise", "group"])
async def test_otherwise_the_deadline_is_raised_with_the_outcomes(on_error):
    """Without collect, DeadlineExceededError has each task's outcome by name, and counts them."""
    with pytest.raises(DeadlineExceededError, match="p: 1 of 3 tasks were done at the deadline of 2 s") as caught:
        await ParallelProcessor(2, deadline=2, on_error=on_error, name="p").execute_parallel(
            {"quick": lambda: nap(1), "slow": lambda: nap(9), "next": lambda: nap(9)}
        )
    assert {name: o.status for name, o in caught.value.outcomes.items()} == {
        "quick": "ok",
        "slow": "timeout",
        "next": "timeout",
    }
    assert asyncio.current_task().cancelling() == 0


async def test_items_in_time_are_returned_as_they_are():
    """A deadline that is kept changes nothing: values, not outcomes."""
    assert await ParallelProcessor(deadline=5).map(nap, [1, 2]) == [1, 2]


async def test_the_time_left_is_seen_inside():
    """Items see the time left, and not after the call."""

    async def look(seconds):
        await asyncio.sleep(seconds)
        return time_left()

    assert await ParallelProcessor(deadline=5).map(look, [0, 1, 2]) == [5, 4, 3]
    assert time_left() is None


async def test_a_nested_call_honours_the_sooner_deadline():
    """An inner fan-out ends at the outer deadline, and the outer one tells it so."""
    inner = ParallelProcessor(deadline=100)
    seen = []

    async def item(_):
        try:
            return await inner.map(nap, [50])
        finally:
            seen.append(asyncio.get_running_loop().time())

    found = await ParallelProcessor(deadline=3, on_error="collect").map(item, [0, 1])
    assert [o.status for o in found] == ["timeout", "timeout"]
    assert seen == [3, 3]


async def test_nothing_starts_when_no_time_is_left():
    """A call whose surrounding deadline has passed calls no function."""
    called = []

    async def late(_):
        await asyncio.sleep(5)  # the outer deadline cancels this, and the item goes on nevertheless

    async def item(_):
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            found = await ParallelProcessor(on_error="collect").map(called.append, [1, 2])
            return [o.status for o in found]

    (outer,) = await ParallelProcessor(deadline=3, on_error="collect").map(item, [0])
    assert outer.value == ["not_started", "not_started"]
    assert called == []


async def test_an_endless_source_ends_at_the_deadline():
    """Of a source of unknown length the outcomes are those of the items that were pulled."""

    def endless():
        while True:
            yield 2

    found = await ParallelProcessor(2, deadline=5, on_error="collect").map(nap, endless())
    assert [o.status for o in found] == ["ok"] * 4 + ["timeout"] * 2


async def test_a_stream_ends_at_the_deadline():
    """A stream gives results until the deadline, then raises, or with collect gives the other outcomes."""
    taken = []

    async def take():
        taken.extend([x async for x in ParallelProcessor(1, deadline=5).stream(keep, [2, 2, 2])])

    async def keep(x):
        taken.append(await nap(x))

    with pytest.raises(DeadlineExceededError):
        await take()
    assert taken == [2, 2]
    stream = ParallelProcessor(1, deadline=5, on_error="collect").stream(nap, [2, 2, 2, 2])
    assert [o.status async for o in stream] == ["ok", "ok", "timeout", "not_started"]


async def test_a_caller_cancelled_at_the_deadline_is_cancelled():
    """The caller's cancellation wins over a deadline that passes in the same moment."""
    task = asyncio.ensure_future(ParallelProcessor(deadline=3, on_error="collect").map(nap, [9, 9]))
    await asyncio.sleep(3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("workers", [1, 3])
async def test_a_deadline_missed_inside_an_item_is_its_failure(workers):
    """A nested call's own deadline fails the item that made it, and never shortens the results."""

    async def item(x):
        return await ParallelProcessor(deadline=1).map(nap, [5 if x == 2 else 0.5])

    with pytest.raises(DeadlineExceededError, match="0 of 1 items were done at the deadline of 1 s"):
        await ParallelProcessor(workers).map(item, range(3))
    outcomes = await ParallelProcessor(workers, on_error="collect").map(item, range(3))
    assert [outcome.status for outcome in outcomes] == ["ok", "ok", "error"]


async def test_the_outer_deadline_is_raised_by_the_outer_call():
    """Where inner and outer calls run out of the same time, the outer one's outcomes are raised."""
    inner = ParallelProcessor(on_error="raise")

    async def item(x):
        await asyncio.sleep(0.1 * x)
        return await inner.map(nap, [0.7 * x])

    with pytest.raises(DeadlineExceededError, match=r"1 of 3 items were done at the deadline of 0\.7 s") as caught:
        await ParallelProcessor(deadline=0.7).map(item, range(3))
    assert [outcome.status for outcome in caught.value.outcomes] == ["ok", "timeout", "timeout"]


# -- the last hundred calls say how long one takes


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("limited", [False, True])
async def test_nothing_starts_that_cannot_end_before_the_deadline(workers, limited):
    """When less time is left than any of a hundred calls took, the rest is not started, and the call ends then."""
    called, seconds, limiter = [], 1 if limited else workers, Limiter(max_concurrency=1) if limited else None

    async def work(x):
        called.append(x)
        return await nap(seconds)

    found = await ParallelProcessor(workers, deadline=150.5, limiter=limiter, on_error="collect").map(work, range(200))
    assert asyncio.get_running_loop().time() == 150
    assert len(called) == 150
    assert [outcome.status for outcome in found] == ["ok"] * 150 + ["not_started"] * 50
    refused = [outcome for outcome in found if outcome.exception is not None]
    assert 1 <= len(refused) <= workers
    for outcome in refused:
        assert (outcome.attempts, outcome.duration) == (0, 0)
        assert isinstance(outcome.exception, DeadlineExceededError)
        words = rf"not started 0\.5 s before the deadline: none of 1[45]\d calls took less than {seconds} s"
        assert re.fullmatch(words, str(outcome.exception))


async def test_few_calls_say_nothing_about_the_next():
    """With fewer than a hundred calls the last one starts, though it is cancelled at the deadline."""
    found = await ParallelProcessor(1, deadline=99.5, on_error="collect").map(nap, [1] * 200)
    assert [outcome.status for outcome in found] == ["ok"] * 99 + ["timeout"] + ["not_started"] * 100


async def test_a_quick_call_among_many_keeps_all_starting():
    """What one call could do in time, the next may: only the shortest time counts, failures too."""
    found = await ParallelProcessor(1, deadline=150.5, on_error="collect").map(nap, [0.25, *[1] * 200])
    assert [outcome.status for outcome in found] == ["ok"] * 151 + ["timeout"] + ["not_started"] * 49

    async def fail(x):
        if x == 0:
            raise ValueError(x)
        return await nap(x)

    found = await ParallelProcessor(1, deadline=150.5, on_error="collect").map(fail, [0, *[1] * 200])
    assert [outcome.status for outcome in found][-50:] == ["timeout"] + ["not_started"] * 49


async def test_what_cannot_end_is_raised_at_once():
    """Without collect the deadline's error comes early, with the outcomes; the outer deadline counts as well."""

    async def outer():
        return await ParallelProcessor(2, name="p").map(nap, [1] * 400)

    with pytest.raises(DeadlineExceededError) as caught:
        await gather(inner=outer, deadline=150.5)
    assert asyncio.get_running_loop().time() == 150
    assert str(caught.value) == (
        "p: 300 of 400 items were done before a further one could only miss the deadline of 150.5 s"
    )


async def test_all_done_before_the_deadline_is_no_failure():
    """Where the last item has just ended when too little time is left, nothing is missing."""
    assert await ParallelProcessor(1, deadline=150.5).map(nap, (1 for _ in range(150))) == [1] * 150


@pytest.mark.parametrize("lazy", [True, False])
async def test_a_stream_starts_nothing_that_cannot_end(lazy):
    """A stream gives all that was done, then raises; its source is asked for no more, and its workers have ended."""
    pulled = []

    def source():
        while True:
            pulled.append(1)
            yield 1

    async def trickle():
        for x in source():
            yield x

    taken = []

    async def consume():
        async for x in ParallelProcessor(2, deadline=150.5).stream(nap, trickle() if lazy else source()):
            taken.append(x)  # noqa: PERF401 - what came before the error is the point

    with pytest.raises(DeadlineExceededError, match="300 of an unknown number of items were done before a further"):
        await consume()
    assert len(taken) == 300
    assert len(pulled) <= 302
    assert asyncio.get_running_loop().time() == 150


async def test_an_attempt_too_late_leaves_the_error_of_the_one_before():
    """A retry that had to wait for its turn until it was too late raises what the backend said."""
    answers = [ConnectionError("first"), TooLateError("not started 1 s before the deadline")]

    async def call():
        raise answers.pop(0)

    with pytest.raises(ConnectionError, match="first") as caught:
        await Retry(3, budget=(budget := RetryBudget()))(call)
    assert caught.value.__notes__ == ["not tried again after 1 attempt: not started 1 s before the deadline"]
    assert budget.tokens == 9

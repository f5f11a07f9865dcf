"""How many must succeed: ``min_success``, ``first`` and ``max_errors``."""

import asyncio

import pytest

from asyncfan import DataBatcher, DeadlineExceededError, ParallelProcessor, amap, astream

ENDED = []


async def replica(answer, seconds=1.0):
    """Answer after some time, or raise the answer."""
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        ENDED.append(answer)
        raise
    if isinstance(answer, BaseException):
        raise answer
    return answer


@pytest.fixture(autouse=True)
def nobody_ended():
    """Begin with an empty list of who was cancelled."""
    ENDED.clear()


def tasks(**plan):
    """Return tasks of these names: an answer, or (answer, seconds)."""
    return {
        name: (lambda what=what: replica(*what)) if isinstance(what, tuple) else (lambda what=what: replica(what))
        for name, what in plan.items()
    }


def now():
    """Return the loop's time."""
    return asyncio.get_running_loop().time()


# -- min_success


async def test_failures_are_tolerated_while_enough_can_succeed():
    """The results are those that succeeded, by name and in order; all have run to their end."""
    processor = ParallelProcessor(min_success=2)
    found = await processor.execute_parallel(tasks(a=("A", 3), b=OSError(), c="C", d=("D", 2)))
    assert list(found.items()) == [("a", "A"), ("c", "C"), ("d", "D")]
    assert now() == 3
    assert await processor.map(replica, ["x", OSError(), "y"]) == ["x", "y"]


async def test_the_call_fails_at_once_when_too_few_can_succeed():
    """The first failure is raised with the others and the count in its notes; who still ran was cancelled."""
    first = OSError("b")
    with pytest.raises(OSError, match="b") as caught:
        await ParallelProcessor(min_success=2, name="quorum").execute_parallel(
            tasks(a=("A", 9), b=first, c=(OSError("c"), 2))
        )
    assert (now(), ENDED) == (2, ["A"])
    assert caught.value is first
    assert first.__notes__ == [
        "in quorum:task 'b'",
        "0 tasks of quorum succeeded, not min_success=2",
        "then quorum:task 'c' failed too: OSError: c",
    ]


async def test_group_raises_all_failures_when_too_few_can_succeed():
    """`on_error="group"` has each failure in its group."""
    with pytest.raises(ExceptionGroup) as caught:
        await amap(replica, [OSError("a"), "b", OSError("c")], min_success=2, on_error="group")
    assert [str(error) for error in caught.value.exceptions] == ["a", "c"]


async def test_collect_stops_too_and_raises_nothing():
    """`on_error="collect"` tells what became of each, also of those that were stopped or never started."""
    answers = ["a", OSError(), OSError(), "d", "e", "f"]
    outcomes = await amap(replica, answers, min_success=5, max_workers=3, on_error="collect")
    statuses = [outcome.status for outcome in outcomes]
    assert statuses == ["ok", "error", "error", "cancelled", "cancelled", "not_started"]


async def test_enough_at_the_deadline_is_enough():
    """At the deadline what succeeded is returned if that is enough, else the deadline is raised."""
    late = tasks(a="A", b=("B", 99), c="C")
    assert await ParallelProcessor(min_success=2, deadline=5).execute_parallel(late) == {"a": "A", "c": "C"}
    with pytest.raises(DeadlineExceededError, match="2 of 3 tasks were done at the deadline of 5 s"):
        await ParallelProcessor(min_success=3, deadline=5).execute_parallel(late)


async def test_a_source_that_ends_too_early_is_an_error():
    """With fewer items than must succeed nothing starts; of an unsized source that is known at its end."""
    called = []
    for size in (ParallelProcessor(min_success=3), ParallelProcessor(first=3)):
        with pytest.raises(ValueError, match=r"=3 can never be reached: there are only 2 items$"):
            await size.map(called.append, [1, 2])
    assert called == []
    with pytest.raises(ValueError, match=r"^first=3 can never be reached: there are only 2 items$"):
        await amap(replica, (x for x in "ab"), first=3)
    batcher = DataBatcher(2, min_success=3)
    with pytest.raises(ValueError, match=r"^min_success=3 can never be reached: there are only 2 batches$"):
        await batcher.process_batches([1, 2, 3], len)


# -- first


async def test_the_first_successes_are_enough():
    """The quickest results are returned, the others cancelled and awaited; failures do not count."""
    processor = ParallelProcessor(first=2)
    found = await processor.execute_parallel(tasks(a=("A", 9), b=OSError(), c=("C", 3), d=("D", 2), e=("E", 8)))
    assert found == {"c": "C", "d": "D"}
    assert (now(), sorted(ENDED)) == (3, ["A", "E"])


@pytest.mark.parametrize("workers", [1, 2, None])
async def test_no_more_than_needed_is_started(workers):
    """Items behind the last success needed are never pulled, beyond those that run."""
    pulled = []

    def source():
        for x in range(100):
            pulled.append(x)
            yield x

    found = await amap(replica, source(), first=3, max_workers=workers)
    assert len(found) == 3
    assert len(pulled) <= 3 + (workers or 100)


async def test_exactly_so_many_results_even_if_more_end_in_the_same_moment():
    """Of ten that end at once, and of those that do not listen to being stopped, the first two count."""

    async def stubborn(x):
        try:
            await asyncio.sleep(1 if x < 2 else 5)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
        return x

    assert await amap(stubborn, range(10), first=2) == [0, 1]
    outcomes = await amap(stubborn, range(4), first=2, on_error="collect")
    assert [outcome.status for outcome in outcomes] == ["ok", "ok", "cancelled", "cancelled"]
    assert len(await amap(replica, range(10), first=2)) == 2


async def test_all_fail_and_the_first_failure_is_raised():
    """Without enough successes the failures are told as without ``first``."""
    with pytest.raises(OSError, match="a") as caught:
        await amap(replica, [OSError("a"), OSError("b")], first=1)
    assert caught.value.__notes__ == [
        "in replica:item 0",
        "0 items of replica succeeded, not first=1",
        "then replica:item 1 failed too: OSError: b",
    ]


async def test_fewer_than_first_may_do():
    """``min_success`` beside ``first`` says how few will do."""
    answers = ["a", OSError(), OSError()]
    assert await amap(replica, answers, first=2, min_success=1) == ["a"]


async def test_a_cancelled_caller_is_cancelled_though_enough_succeeded():
    """The caller's cancellation wins."""

    async def stubborn(x):
        try:
            await asyncio.sleep(1 if x == 0 else 60)
        finally:
            await asyncio.sleep(5)
        return x

    task = asyncio.ensure_future(amap(stubborn, range(3), first=1))
    await asyncio.sleep(8)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_progress_is_told_of_each_item_too():
    """A ``progress`` beside a policy works as without."""
    told = []
    await amap(replica, "abc", min_success=1, progress=lambda *at: told.append(at))
    assert told == [(1, 3), (2, 3), (3, 3)]


# -- max_errors


async def test_so_many_failures_end_the_call():
    """`on_error="collect"`: after the second failure the others are stopped, and nothing more starts."""
    answers = [OSError(), ("a", 9), OSError(), "d", "e"]
    outcomes = await amap(
        lambda what: replica(*what) if isinstance(what, tuple) else replica(what),
        answers,
        max_workers=3,
        max_errors=2,
        on_error="collect",
    )
    assert [outcome.status for outcome in outcomes] == ["error", "cancelled", "error", "cancelled", "not_started"]


async def test_fewer_failures_change_nothing():
    """`on_error="group"`: below the limit all run to their end, and all failures are raised."""
    seen = []
    with pytest.raises(ExceptionGroup, match="1 of 3 items"):
        await amap(
            replica,
            ["a", OSError(), "c"],
            max_errors=2,
            on_error="group",
            progress=lambda *at: seen.append(at),
        )
    assert len(seen) == 3


async def test_failures_are_bounded_while_others_succeed():
    """With ``min_success``: so many failures end the call, which succeeds with what there is if that is enough."""
    answers = ["a", OSError("b"), OSError("c"), "d"]
    assert await amap(replica, answers, max_workers=1, max_errors=2, min_success=1) == ["a"]
    with pytest.raises(OSError, match="b"):
        await amap(replica, answers, max_workers=1, max_errors=2, min_success=2)


async def test_a_stream_ends_after_so_many_failures():
    """A stream takes ``max_errors``: it gives the outcomes until then."""
    stream = astream(replica, [OSError(), "b", OSError(), "d"], max_workers=1, max_errors=2, on_error="collect")
    assert [outcome.status async for outcome in stream] == ["error", "ok", "error", "not_started"]


async def test_an_interrupt_ends_every_policy():
    """KeyboardInterrupt is no failure to be tolerated."""
    with pytest.raises(KeyboardInterrupt):
        await amap(replica, [KeyboardInterrupt(), "b"], min_success=1)

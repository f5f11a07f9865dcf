"""What a caller gets when items fail, by `on_error`."""

import asyncio
import dataclasses
import gc
import time
import weakref

import pytest

from asyncfan.exceptions import AsyncfanError, AttemptTimeoutError, SelfCancelledError
from asyncfan.fanout import Outcome, ParallelProcessor, amap, astream, gather


async def fail(message="no"):
    """Fail at once."""
    raise ValueError(message)


async def fail_later(seconds):
    """Fail after some seconds."""
    await asyncio.sleep(seconds)
    raise ValueError(f"after {seconds}")


async def test_the_first_failure_is_raised_itself():
    """`on_error="raise"` raises the very exception, with a note that names the task."""
    error = KeyError("missing")

    async def bad():
        raise error

    with pytest.raises(KeyError) as caught:
        await gather(good=lambda: asyncio.sleep(1), bad=bad)
    assert caught.value is error
    assert caught.value.__notes__ == ["in gather:task 'bad'"]


async def test_siblings_have_ended_when_a_failure_is_raised():
    """A failure cancels its siblings, and is raised after their clean-up."""
    ended = []

    async def sibling(i):
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(5)
            ended.append(i)

    tasks = {i: lambda i=i: sibling(i) for i in range(3)}
    with pytest.raises(ValueError, match="after 1"):
        await ParallelProcessor().execute_parallel({**tasks, "bad": lambda: fail_later(1)})
    assert sorted(ended) == [0, 1, 2]
    assert asyncio.get_running_loop().time() == 6


async def test_no_item_starts_after_a_failure():
    """When one item failed, those whose turn has not come are never called."""
    started = []

    async def work(i):
        started.append(i)
        await fail_later(1)

    with pytest.raises(ValueError, match="after 1"):
        await amap(work, range(100), max_workers=3)
    assert started == [0, 1, 2]


async def test_errors_of_the_cleanup_are_noted_on_the_first():
    """What a sibling raises while it is being stopped is not lost."""

    async def sibling():
        try:
            await asyncio.sleep(100)
        finally:
            raise OSError("disk")

    with pytest.raises(ValueError, match="after 1") as caught:
        await gather(a=sibling, bad=lambda: fail_later(1))
    assert caught.value.__notes__ == [
        "in gather:task 'bad'",
        "then gather:task 'a' failed too: OSError: disk",
    ]


async def test_group_raises_all_failures_after_all_have_run():
    """`on_error="group"` lets all run to their end, and groups the failures, each noting its task."""
    with pytest.raises(ExceptionGroup, match="2 of 3 tasks of p failed") as caught:
        await ParallelProcessor(on_error="group", name="p").execute_parallel(
            {"a": lambda: fail_later(1), "ok": lambda: asyncio.sleep(5), "b": lambda: fail_later(2)}
        )
    assert [(str(e), e.__notes__) for e in caught.value.exceptions] == [
        ("after 1", ["in p:task 'a'"]),
        ("after 2", ["in p:task 'b'"]),
    ]
    assert asyncio.get_running_loop().time() == 5


async def test_collect_raises_nothing_and_says_what_became_of_each():
    """`on_error="collect"` gives an outcome for each name, and a child's CancelledError is one of them."""

    async def leave():
        raise asyncio.CancelledError

    async def late():
        await asyncio.sleep(10)

    async def good():
        await asyncio.sleep(1)
        return 42

    processor = ParallelProcessor(on_error="collect", timeout=5)
    found = await processor.execute_parallel({"good": good, "bad": fail, "leave": leave, "late": late})
    assert found["good"] == Outcome("good", "ok", 42, None, 1, 1.0)
    assert {name: (o.key, o.status, type(o.exception), o.duration) for name, o in found.items()} == {
        "good": ("good", "ok", type(None), 1.0),
        "bad": ("bad", "error", ValueError, 0.0),
        "leave": ("leave", "cancelled", SelfCancelledError, 0.0),
        "late": ("late", "timeout", AttemptTimeoutError, 5.0),
    }


async def test_outcome_unwraps_to_its_value_or_raises():
    """`unwrap` returns the value, raises the item's exception, or says that there is neither."""
    ok, bad = await ParallelProcessor(on_error="collect").map(lambda x: fail() if x else asyncio.sleep(0, "v"), [0, 1])
    assert (ok.ok, ok.unwrap(), bad.ok) == (True, "v", False)
    with pytest.raises(ValueError, match="no"):
        bad.unwrap()
    with pytest.raises(AsyncfanError, match="'x' has no value: it was not started"):
        Outcome("x", "not_started").unwrap()


@pytest.mark.parametrize("workers", [1, 3])
async def test_a_childs_own_cancelled_error_is_not_the_callers(workers):
    """A child that raises CancelledError ends the call with SelfCancelledError, not with a bare one."""

    async def leave(x):
        if x == 1:
            raise asyncio.CancelledError("mine")
        return x

    with pytest.raises(SelfCancelledError, match="item 1 raised CancelledError") as caught:
        await amap(leave, range(5), max_workers=workers)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


@pytest.mark.parametrize("workers", [1, 2, 10])
@pytest.mark.parametrize("wait_before", [True, False])
@pytest.mark.parametrize("wait_after", [True, False])
async def test_an_item_that_cancels_its_own_task_ends_alone(workers, wait_before, wait_after):
    """Each other item still runs, none is hit by the cancellation, and the caller is not cancelled."""

    async def item(x):
        if wait_before:
            await asyncio.sleep(x % 2)
        if x % 3 == 0:
            asyncio.current_task().cancel()
            if wait_after:
                await asyncio.sleep(1)
        return x

    found = await ParallelProcessor(workers, on_error="collect").map(item, range(12))
    assert [o.status for o in found] == ["cancelled" if wait_after and x % 3 == 0 else "ok" for x in range(12)]
    assert asyncio.current_task().cancelling() == 0
    await asyncio.sleep(1)  # nothing is left to be delivered


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("on_error", ["raise", "group", "collect"])
async def test_an_interrupt_ends_everything_and_is_raised_bare(interrupt, on_error):
    """KeyboardInterrupt in a child: all siblings are cancelled and awaited, then it is raised as it is."""
    ended = 0

    async def item(x):
        nonlocal ended
        try:
            await asyncio.sleep(1 if x == 7 else 100)
        finally:
            ended += 1
        raise interrupt

    with pytest.raises(interrupt):
        await ParallelProcessor(20, on_error=on_error).map(item, range(20))
    assert ended == 20


@pytest.mark.parametrize("make", ["list", "lazy", "async", "stream"])
async def test_an_error_of_the_source_ends_the_call(make):
    """What the source raises is raised itself, after the items at work were cancelled and have ended."""
    ended = 0

    def lazy():
        yield from range(3)
        raise OSError("source")

    async def trickle():
        for i in lazy():
            yield i

    async def item(_):
        nonlocal ended
        try:
            await asyncio.sleep(100)
        finally:
            ended += 1

    async def consume():
        if make == "stream":
            return [x async for x in astream(item, lazy())]
        return await amap(item, trickle() if make == "async" else lazy())

    with pytest.raises(OSError, match="source"):
        await consume()
    assert ended == 3


@pytest.mark.parametrize("on_error", ["raise", "collect"])
async def test_an_error_of_progress_ends_the_call(on_error):
    """A `progress` that raises is not ignored: the call ends and raises that error, with a note."""

    def progress(done, total):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        await ParallelProcessor(2, on_error=on_error, progress=progress, name="p").map(asyncio.sleep, [1, 100])
    assert caught.value.__notes__ == ["raised by the progress= callback of p, which ended the run"]
    assert asyncio.get_running_loop().time() == 1


async def test_one_exception_raised_many_times_collects_no_notes():
    """An exception object that fails call after call keeps one note of each kind."""
    error = ValueError("same")

    async def bad(_):
        raise error

    for _ in range(5):
        with pytest.raises(ValueError, match="same"):
            await amap(bad, [1])
    assert error.__notes__ == ["in test_one_exception_raised_many_times_collects_no_notes.<locals>.bad:item 0"]


async def test_a_failure_leaves_no_garbage_cycle():
    """What failed is freed with the exception, without the garbage collector."""

    class Big:
        pass

    async def bad(x):
        big.append(weakref.ref(held := Big()))
        raise ValueError(held is None)

    big = []
    gc.collect()
    gc.disable()
    try:
        for workers in (1, 3):
            try:
                await amap(bad, [1, 2], max_workers=workers)
            except ValueError as error:
                error.__traceback__ = None
        await asyncio.sleep(0)
        assert [ref() for ref in big] == [None] * len(big)
    finally:
        gc.enable()


async def test_errors_of_a_source_that_is_being_stopped_are_noted():
    """What an async source raises while a failure ends the call is not lost."""

    async def source():
        try:
            yield 1
            await asyncio.sleep(100)
        finally:
            raise OSError("closing")

    with pytest.raises(ValueError, match="after 1") as caught:
        await ParallelProcessor(name="p").map(fail_later, source())
    assert caught.value.__notes__ == ["in p:item 0", "then p:items failed too: OSError: closing"]


async def test_a_failure_of_an_eager_sibling_stops_the_first_item():
    """A sibling that fails the moment it is started stops the item in the caller's own task."""
    if hasattr(asyncio, "eager_task_factory"):
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)

    async def item(x):
        if x:
            raise ValueError(x)
        await asyncio.sleep(100)

    with pytest.raises(ValueError, match="1"):
        await amap(item, range(3))
    assert asyncio.get_running_loop().time() == 0


async def test_no_item_starts_after_a_failure_while_the_first_worker_gives_way():
    """A failure while the caller's own worker lets the loop turn is seen before the next item."""
    begun = []

    async def item(i):
        begun.append(i)
        if i < 2:
            await asyncio.sleep(1)
        if i == 1:
            raise ValueError("no")
        end = time.perf_counter() + 0.02  # more than a slice
        while i == 2 and time.perf_counter() < end:
            pass

    with pytest.raises(ValueError, match="no"):
        await amap(item, range(9), max_workers=2)
    assert begun == [0, 1, 2]


async def test_a_frozen_exception_is_raised_itself():
    """An exception that lets nobody set its attributes arrives as it is."""

    @dataclasses.dataclass(frozen=True)
    class OutOfStockError(Exception):
        item: str

    async def bad():
        await asyncio.sleep(1)
        raise OutOfStockError("tea")

    with pytest.raises(OutOfStockError):
        await gather(bad=bad, other=lambda: asyncio.sleep(2))


async def test_an_exception_without_words_does_not_hide_the_first():
    """An exception whose ``str`` fails is noted by its type."""

    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    async def mute():
        try:
            await asyncio.sleep(9)
        finally:
            raise MuteError

    with pytest.raises(ValueError, match="after 1") as caught:
        await gather(bad=lambda: fail_later(1), mute=mute)
    assert caught.value.__notes__[1:] == ["then gather:task 'mute' failed too: MuteError"]

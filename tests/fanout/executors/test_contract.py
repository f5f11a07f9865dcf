"""What holds on every engine that takes the work, item by item and in chunks."""

import asyncio
import functools
import os
import threading

import pytest

from asyncfan import Limiter, ParallelProcessor, amap, astream, gather
from tests.fanout.executors import work

pytestmark = pytest.mark.real_time


@pytest.fixture(params=[None, 3], ids=lambda size: f"chunk_size={size}")
def size(request):
    """How many items go in one call."""
    return request.param


async def until(condition):
    """Wait for what another process does."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_results_are_in_order(engine, size):
    """Every item has its result in its place, whoever worked it out."""
    found = await amap(work.double, range(10), max_workers=3, executor=engine.executor, chunk_size=size)
    assert found == [2 * x for x in range(10)]


async def test_the_work_is_done_there(engine, size):
    """A plain function runs in the engine's processes, if it has some."""
    pids = await amap(work.where, range(4), executor=engine.executor, chunk_size=size)
    assert (os.getpid() in pids) is not engine.processes


async def test_named_tasks_and_partials_go_there(engine):
    """Named tasks go one by one, with the arguments that partials bind."""
    tasks = {"pid": work.where, "pow": functools.partial(pow, 2, 10)}
    found = await ParallelProcessor(executor=engine.executor, chunk_size=3).execute_parallel(tasks)
    assert (found.pop("pid") == os.getpid()) is not engine.processes
    assert found == {"pow": 1024}


async def test_async_functions_and_lambdas_stay_here(engine, size):
    """What must run on the event loop does, though there is an executor."""

    async def here(_):
        return threading.current_thread() is threading.main_thread()

    options = {"executor": engine.executor, "chunk_size": size}
    assert await amap(here, [1], **options) == [True]
    assert await amap(lambda x: here(x + 1), [1], **options) == [True]


async def test_an_error_is_itself_and_its_items_alone(engine, size):
    """A failing item has its own exception, the others have their results."""
    options = {"executor": engine.executor, "chunk_size": size, "on_error": "collect"}
    found = await amap(work.odd_fails, range(5), **options)
    assert [outcome.status for outcome in found] == ["ok", "error", "ok", "error", "ok"]
    assert [outcome.key for outcome in found] == [0, 1, 2, 3, 4]
    assert type(found[1].exception) is KeyError
    assert found[3].exception.args == ("3 is odd",)


async def test_an_error_shows_where_it_was_raised(engine, size):
    """The traceback of the other process is kept: as frames, as the cause or as a note."""
    with pytest.raises(KeyError) as caught:
        await amap(work.odd_fails, [1], executor=engine.executor, chunk_size=size, name="m")
    error = caught.value
    notes = error.__notes__
    frames = [entry.name for entry in caught.traceback]
    assert any("odd_fails" in text for text in [*frames, str(error.__cause__), *notes])
    assert notes[-1] == "in m:item 0"


async def test_streams_come_in_order_and_in_bounded_memory(engine, size):
    """A stream gives results while they come, and pulls no more than its window."""
    pulled = []

    def source():
        for x in range(1000):
            pulled.append(x)
            yield x

    options = {"executor": engine.executor, "chunk_size": size, "max_workers": 2, "buffer_size": 1}
    async with astream(work.double, source(), **options) as results:
        found = [await anext(results) for _ in range(5)]
    assert found == [0, 2, 4, 6, 8]
    assert len(pulled) < 1000


async def test_an_async_source_is_not_waited_for(engine, size):
    """An item that is there is worked on while the source waits for the result: chunks need not be full."""
    results = asyncio.Queue()

    async def source():
        yield 1
        while (last := await results.get()) < 8:
            yield last

    async with astream(work.double, source(), executor=engine.executor, chunk_size=size) as stream:
        found = []
        async for result in stream:
            found.append(result)
            results.put_nowait(result)
    assert found == [2, 4, 8]


async def test_a_limit_is_kept(engine, tmp_path):
    """No more calls are there at once than `max_workers` says."""
    paths = [str(tmp_path / str(n)) for n in range(3)]
    task = asyncio.ensure_future(amap(work.hold, paths, max_workers=1, executor=engine.executor))
    await until(lambda: work.begun(paths[0]))
    assert not work.begun(paths[1])
    for path in paths:
        (tmp_path / f"{path}.go").touch()
    assert await task == ["0", "1", "2"]


async def test_a_slot_is_held_until_the_call_has_ended(engine, tmp_path):
    """A cancelled caller waits for what runs, and so does the limiter's next one; Dask's own executor tells of none."""
    path = tmp_path / "held"
    limiter = Limiter(max_concurrency=1)
    processor = ParallelProcessor(executor=engine.executor, limiter=limiter)
    task = asyncio.ensure_future(processor.map(work.hold, [str(path)]))
    await until(lambda: work.begun(path))
    task.cancel()
    if engine.outlasts:
        await asyncio.sleep(engine.hears)
        assert not task.done()
    else:
        await until(task.done)
    assert limiter.running == engine.outlasts
    path.with_suffix(".go").touch()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert limiter.running == 0


@pytest.mark.parametrize("size", [None, 2])
async def test_queued_work_is_withdrawn(engine, size, tmp_path):
    """What the engine has not begun when the caller is cancelled never runs."""
    paths = [str(tmp_path / str(n)) for n in range(30)]
    options = {"executor": engine.executor, "chunk_size": size, "max_workers": None}
    task = asyncio.ensure_future(amap(work.hold, paths, **options))
    await until(lambda: sum(map(work.begun, paths)) >= 2)
    task.cancel()
    await asyncio.sleep(engine.hears)
    for path in paths:
        (tmp_path / f"{path}.go").touch()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await amap(work.double, [1, 2], executor=engine.executor) == [2, 4]
    assert sum(map(work.begun, paths)) < 20  # two that ran, and what the engine had at its processes' doors


@pytest.mark.parametrize("engine", ["threads", "processes"], indirect=True)
async def test_a_timeout_is_told_when_the_call_has_ended(engine, tmp_path):
    """What runs cannot be stopped: the item is late, and the others are not harmed."""
    path = tmp_path / "slow"
    processor = ParallelProcessor(1, executor=engine.executor, timeout=0.2, on_error="collect")
    task = asyncio.ensure_future(processor.map(work.hold, [str(path)]))
    await until(lambda: work.begun(path))
    await asyncio.sleep(0.3)
    path.with_suffix(".go").touch()
    (late,) = await task
    assert (late.status, str(late.exception)) == ("timeout", "not done within timeout=0.2 s")


@pytest.mark.parametrize("engine", ["threads", "processes"], indirect=True)
@pytest.mark.parametrize("size", [None, 1])
async def test_a_deadline_leaves_what_was_done(engine, size, tmp_path):
    """At the deadline what was done is there, what ran is late, and what had not begun is said so."""
    path = tmp_path / "slow"
    (tmp_path / "quick.go").touch()
    paths = [str(tmp_path / "quick"), str(path), str(tmp_path / "never")]
    options = {"executor": engine.executor, "chunk_size": size, "max_workers": 1, "on_error": "collect"}
    task = asyncio.ensure_future(amap(work.hold, paths, deadline=1, **options))
    await until(lambda: work.begun(path))
    await asyncio.sleep(1.05)
    path.with_suffix(".go").touch()
    assert [outcome.status for outcome in await task] == ["ok", "timeout", "not_started"]
    assert not work.begun(paths[2])


async def test_context_goes_to_threads_only(threads, processes, loky, dask, size):
    """Each item in a thread has its own copy of the caller's context; other processes know nothing of it."""
    work.VAR.set("mine")
    for engine in (threads, processes, loky, dask):
        found = await amap(work.look, [1, 2, 3], max_workers=1, executor=engine.executor, chunk_size=size)
        assert (found == ["mine"] * 3) is not engine.processes
    assert await amap(work.look, [1, 2, 3], chunk_size=size) == ["mine"] * 3
    assert work.VAR.get() == "mine"


async def test_two_loops_share_an_executor(engine, size):
    """Runs of several event loops at once do not disturb each other."""
    options = {"executor": engine.executor, "chunk_size": size}

    def other():
        return asyncio.run(amap(work.double, range(5), **options))

    found = await gather(here=lambda: amap(work.double, range(5), **options), there=other)
    assert found == {"here": [0, 2, 4, 6, 8], "there": [0, 2, 4, 6, 8]}


async def test_an_argument_that_cannot_be_sent_is_named(engine):
    """The error names the task and what cannot be pickled, and says what to do; the other task is not harmed."""
    lock = threading.Lock()
    tasks = {"bad": functools.partial(work.pick, lock), "good": functools.partial(work.double, 4)}
    processor = ParallelProcessor(executor=engine.executor, on_error="collect")
    if not engine.processes:
        assert (await processor.execute_parallel(tasks))["bad"].value is lock
        return
    found = await processor.execute_parallel(tasks)
    assert found["good"].value == 8
    assert found["bad"].key == "bad"
    assert found["bad"].exception.__notes__[0] == (
        f"{type(engine.executor).__name__} sends functions and arguments to another process, but the argument {lock!r} "
        "cannot be pickled: define functions at the top of a module, bind arguments with functools.partial, not with a "
        "lambda, and open files, locks and connections inside the function"
    )


async def test_a_local_function_goes_where_it_can(engine, size):
    """Engines that send functions by value take a closure; to the others' error is added what to do."""
    seven = 7

    def local(x):
        return seven * x

    call = amap(local, [1, 2], executor=engine.executor, chunk_size=size, name="m")
    if engine.by_value:
        assert await call == [7, 14]
        return
    with pytest.raises(Exception, match="local") as caught:
        await call
    assert f"but the function {local!r} cannot be pickled" in caught.value.__notes__[0]
    assert caught.value.__notes__[1] == "in m:item 0"


async def test_a_result_that_cannot_be_sent_back_is_named(processes, loky):
    """The error says that it is the result, not the arguments."""
    for engine in (processes, loky):
        with pytest.raises(Exception, match="pickle") as caught:
            await amap(work.pick, ["lock"], executor=engine.executor)
        assert "but what the function returned or raised cannot be pickled" in caught.value.__notes__[0]

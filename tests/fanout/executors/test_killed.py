"""A worker process that dies, an executor that is shut down: every item has an outcome, in words, and nothing hangs."""

import asyncio
import multiprocessing
import os
import signal
from concurrent.futures import CancelledError, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from asyncfan import Limiter, ParallelProcessor, Retry, amap
from tests.fanout.executors import work

pytestmark = pytest.mark.real_time


POOLS = ["processes", "loky"]  # which a dead worker breaks
CLUSTERS = ["dask", "dask_adapter"]  # which run its work again


@pytest.fixture
def pool(request):
    """A pool or cluster of this test's own."""
    if request.param in CLUSTERS:
        client = request.getfixturevalue("mortal")
        yield client.get_executor(pure=False) if request.param == "dask" else adapted(client)
        return
    if request.param == "loky":
        from loky import ProcessPoolExecutor as LokyPool

        pool = LokyPool(2)
    else:
        # one worker: shutdown() of CPython's waits for ever for another that starts while the pool breaks
        pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    yield pool
    pool.shutdown(wait=True)


def adapted(client):
    """Return our executor of a Dask cluster, which takes a second to import."""
    from asyncfan.adapters.dask import DaskExecutor

    return DaskExecutor(client)


@pytest.fixture
def paths(tmp_path):
    """Four items for `work.hold`."""
    return [str(tmp_path / str(n)) for n in range(4)]


async def until(condition):
    """Wait for what another process does."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def kill(path):
    """Kill the worker that runs this item."""
    os.kill(work.pids(path)[-1], signal.SIGKILL)


def let_go(paths):
    """Let the calls with these items end."""
    for path in paths:
        Path(f"{path}.go").touch()


@pytest.mark.parametrize("size", [None, 2], ids=lambda size: f"chunk_size={size}")
@pytest.mark.parametrize("pool", [*POOLS, *CLUSTERS], indirect=True)
async def test_a_worker_killed_mid_run_loses_no_item(pool, size, paths, request):
    """Each has its result, made again if the engine does that, or an error of its own that says that a worker died."""
    options = {"max_workers": 2, "on_error": "collect", "deadline": 30}
    task = asyncio.ensure_future(amap(work.hold, paths, executor=pool, chunk_size=size, **options))
    await until(lambda: work.begun(paths[0]))
    kill(paths[0])
    let_go(paths)
    found = await asyncio.wait_for(task, 40)
    assert [outcome.key for outcome in found] == [0, 1, 2, 3]
    assert all(outcome.value == str(outcome.key) for outcome in found if outcome.status == "ok")
    lost = [outcome.exception for outcome in found if outcome.status != "ok"]
    if request.node.callspec.params["pool"] in CLUSTERS:
        assert not lost
        assert work.begun(paths[0]) == 2
    else:
        assert found[0].exception is lost[0]
        assert all(isinstance(error, BrokenProcessPool) for error in lost)
        assert len(set(map(id, lost))) == len(lost)


@pytest.fixture
def strict(mortal):
    """Let Dask give up a call whose worker has died once; it counts those too that wait at a worker's door."""
    mortal.cluster.scheduler.allowed_failures = 0


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("attempts", [1, 2])
@pytest.mark.parametrize("pool", CLUSTERS, indirect=True)
async def test_a_call_that_dask_gives_up_fails_alone_or_is_retried(pool, attempts, paths):
    """Where Dask runs it no more, the item has Dask's own error, unless it is worth another attempt of ours."""
    from distributed import KilledWorker

    retry = Retry(attempts, on=KilledWorker)
    options = {"max_workers": 2, "on_error": "collect", "deadline": 30, "retry": retry}
    task = asyncio.ensure_future(amap(work.hold, paths, executor=pool, **options))
    await until(lambda: all(map(work.begun, paths[:2])))
    kill(paths[0])
    let_go(paths)
    first, *others = await asyncio.wait_for(task, 40)
    assert [outcome.value for outcome in others] == ["1", "2", "3"]
    assert (first.value, first.attempts) == (None if attempts == 1 else "0", attempts)
    assert isinstance(first.exception, KilledWorker) is (attempts == 1)


async def test_a_worker_that_dies_frees_no_slots_but_its_own(mortal, paths):
    """Where calls are withdrawn, those of other workers are waited for, though the answer of one is lost with it."""
    limiter = Limiter(max_concurrency=2)
    processor = ParallelProcessor(executor=adapted(mortal), limiter=limiter)
    task = asyncio.ensure_future(processor.map(work.hold, paths[:2]))
    await until(lambda: all(map(work.begun, paths[:2])))
    os.kill(work.pids(paths[0])[0], signal.SIGSTOP)  # it will not say what it runs
    task.cancel()
    await asyncio.sleep(0.5)
    kill(paths[0])
    await until(lambda: limiter.running < 2)
    await asyncio.sleep(0.5)
    assert limiter.running == 1
    let_go(paths)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 20)
    assert limiter.running == 0


@pytest.mark.parametrize("pool", POOLS, indirect=True)
async def test_a_killed_worker_breaks_the_pool_and_is_said_to(pool):
    """What had ended has its value; what was lost fails, each with an error of its own that says so."""
    kinds = ["a", "die", "b", "c"]
    found = await amap(work.die, kinds, executor=pool, max_workers=1, on_error="collect", deadline=30)
    assert found[0].value == "a"
    broken = [outcome.exception for outcome in found[1:]]
    assert all(isinstance(error, BrokenProcessPool) for error in broken)
    assert len({id(error) for error in broken}) == 3
    name = type(pool).__name__
    for error in broken:
        (note,) = error.__notes__
        assert note == (
            f"a worker process of {name} died (killed, out of memory, os._exit), could not start, or sent what cannot "
            "be unpickled. That breaks the whole pool: all its calls in flight are lost, whichever it was, and it takes "
            "no more: make a new one"
        )


@pytest.mark.parametrize("pool", ["processes"], indirect=True)
async def test_a_chunk_that_kills_its_worker_fails_by_the_item(pool):
    """Each item of the lost chunk has an outcome; the chunk before it is not harmed."""
    kinds = ["a", "b", "die", "c"]
    found = await amap(work.die, kinds, executor=pool, chunk_size=2, max_workers=1, on_error="collect", deadline=30)
    assert [outcome.status for outcome in found] == ["ok", "ok", "error", "error"]
    assert isinstance(found[2].exception, BrokenProcessPool)
    assert found[2].exception is not found[3].exception


async def test_an_executor_that_was_shut_down_refuses():
    """Each item fails with the engine's own words."""
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        await amap(work.double, [1, 2], executor=pool)
    found = await amap(work.double, [1, 2], executor=pool, on_error="collect")
    assert [str(outcome.exception) for outcome in found] == ["cannot schedule new futures after shutdown"] * 2


async def test_a_shutdown_meanwhile_loses_nothing(tmp_path):
    """What runs ends, what was dropped says so, and what comes later is refused."""
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    paths = [str(tmp_path / str(n)) for n in range(6)]
    task = asyncio.ensure_future(amap(work.hold, paths, executor=pool, max_workers=5, on_error="collect"))
    while not work.begun(paths[0]):
        await asyncio.sleep(0.005)
    pool.shutdown(wait=False, cancel_futures=True)
    for path in paths:
        (tmp_path / f"{path}.go").touch()
    found = await asyncio.wait_for(task, 20)
    assert found[0].value == "0"
    dropped = [outcome.exception for outcome in found if isinstance(outcome.exception, CancelledError)]
    assert dropped
    assert {str(error) for error in dropped} == {
        "ProcessPoolExecutor dropped the call: it was shut down meanwhile, or somebody cancelled its future"
    }
    assert str(found[5].exception) == "cannot schedule new futures after shutdown"

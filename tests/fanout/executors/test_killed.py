"""A worker process that dies, an executor that is shut down: every item has an outcome, in words, and nothing hangs."""

import asyncio
import multiprocessing
from concurrent.futures import CancelledError, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest

from asyncfan import amap
from tests.fanout.executors import work

pytestmark = pytest.mark.real_time


@pytest.fixture(params=["processes", "loky"])
def pool(request):
    """A pool that may be broken."""
    if request.param == "loky":
        from loky import ProcessPoolExecutor as LokyPool

        pool = LokyPool(2)
    else:
        # one worker: shutdown() of CPython's waits for ever for another that starts while the pool breaks
        pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    yield pool
    pool.shutdown(wait=True)


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


async def test_dask_runs_the_work_of_a_killed_worker_again(dask, tmp_path):
    """The engine's own retry is seen from here as a result, and other items are not harmed."""
    path = tmp_path / "died"
    found = await amap(work.die_once, [str(path)], executor=dask.executor)
    assert found == ["done"]
    assert path.exists()
    assert await amap(work.double, [1, 2], executor=dask.executor) == [2, 4]


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

"""Items that go in chunks: none fails because of another, and each has its own outcome."""

import asyncio
import threading

import pytest

from asyncfan import ParallelProcessor, UnsendableError, amap, astream
from asyncfan.fanout import calling
from tests.fanout.executors import work

pytestmark = pytest.mark.real_time


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        ("lock", UnsendableError, r"<unlocked _thread.lock .* cannot be pickled to be sent to another process: cannot pickle '_thread.lock' object"),
        ("unreadable", UnsendableError, "what another process sent cannot be unpickled: LookupError: unreadable"),
        ("odd error", UnsendableError, "the function raised an exception that cannot be pickled and read again: .*OddError: 7: seven; give"),
        ("stop", RuntimeError, "raised StopIteration"),
        ("awaitable", TypeError, "returned <coroutine .*>, which cannot be awaited where a chunk runs: leave chunk_size out"),
    ],
)  # fmt: skip
async def test_what_cannot_come_back_fails_alone(processes, loky, item, error, message):
    """A result or an exception that cannot be sent fails its own item, and the pool goes on."""
    for engine in (processes, loky):
        options = {"executor": engine.executor, "chunk_size": 2, "on_error": "collect"}
        first, bad, last = await amap(work.pick, ["first", item, "last"], max_workers=1, **options)
        assert last.value == "last"
        if item != "unreadable":  # it is only read when its chunk is
            assert first.value == "first"
        assert type(bad.exception) is error
        with pytest.raises(error, match=message):
            bad.unwrap()


async def test_an_item_that_cannot_be_sent_fails_alone(processes, loky, dask):
    """One item that cannot be pickled does not keep its chunk here."""
    for engine in (processes, loky, dask):
        items = [1, threading.Lock(), 3]
        found = await amap(work.double, items, executor=engine.executor, chunk_size=3, on_error="collect")
        assert [outcome.status for outcome in found] == ["ok", "error", "ok"]
        assert isinstance(found[1].exception, UnsendableError)
        assert "cannot be pickled to be sent to another process" in str(found[1].exception)


async def test_a_cancelled_error_of_the_functions_own_is_not_the_callers(processes):
    """A function that raises CancelledError there cancels nothing here."""
    found = await amap(work.pick, ["a", "cancelled"], executor=processes.executor, chunk_size=2, on_error="collect")
    assert [outcome.status for outcome in found] == ["ok", "cancelled"]


async def test_nothing_is_copied_in_threads():
    """Items and results in threads are the objects themselves."""
    lock = threading.Lock()
    assert await amap(work.pick, [lock, lock], chunk_size=2) == [lock, lock]


async def test_a_stopped_chunk_in_a_thread_begins_no_further_item():
    """The failure is raised when the thread of the other chunk has ended its item; it has begun no other."""
    begun, entered, leave = [], threading.Event(), threading.Event()

    def block(x):
        begun.append(x)
        if x.startswith("fails"):
            entered.wait(10)
            raise ValueError(x)
        entered.set()
        leave.wait(10)

    task = asyncio.ensure_future(amap(block, ["fails", "fails too", "blocks", "never"], chunk_size=2, max_workers=2))
    while not any(task.cancelling() for task in asyncio.all_tasks()):
        await asyncio.sleep(0.001)
    assert not task.done()
    leave.set()
    with pytest.raises(ValueError, match="fails"):
        await task
    assert "never" not in begun


async def test_progress_and_counts_are_in_items(processes):
    """Chunks are not seen from outside: progress, counts and times are an item's."""
    told = []
    processor = ParallelProcessor(
        2, executor=processes.executor, chunk_size=4, progress=lambda done, total: told.append((done, total)),
        on_error="collect",
    )  # fmt: skip
    found = await processor.map(work.odd_fails, range(10))
    assert told == [(n, 10) for n in range(1, 11)]
    stats = processor.stats()
    assert (stats.ok, stats.failed, stats.running, stats.run_time.count) == (5, 5, 0, 10)
    assert all(outcome.duration < 1 for outcome in found)


async def test_the_first_failure_ends_the_call(processes):
    """With `on_error="raise"` no further chunk is sent, and all failures of the chunk are named."""
    pulled = []

    def source():
        for x in range(1, 1000, 2):
            pulled.append(x)
            yield x

    with pytest.raises(KeyError) as caught:
        await amap(work.odd_fails, source(), executor=processes.executor, chunk_size=2, max_workers=1, name="m")
    assert caught.value.__notes__[1:] == ["in m:item 0", "then m:item 1 failed too: KeyError: '3 is odd'"]
    assert pulled == [1, 3]


async def test_automatic_chunks_are_as_long_as_a_call_is_worth(monkeypatch):
    """Short calls go by hundreds, long ones alone, and others in ever smaller chunks, so that all end together."""
    sizes = []
    in_chunk = calling.Elsewhere.in_chunk

    async def counted(self, items):
        sizes.append(len(items))
        return await in_chunk(self, items)

    monkeypatch.setattr(calling.Elsewhere, "in_chunk", counted)
    assert await amap(work.double, range(3000), max_workers=2, chunk_size="auto") == [2 * x for x in range(3000)]
    assert sizes[0] == 1
    assert max(sizes) > 50
    sizes.clear()
    await amap(work.nap, [0.001] * 150, max_workers=2, chunk_size="auto")
    assert sizes[0] == 1
    assert max(sizes) > sizes[-1]
    sizes.clear()
    await amap(threading.Event().wait, [0.06] * 3, chunk_size="auto")
    assert sizes == [1, 1, 1]


async def test_a_stream_as_completed_in_chunks(processes):
    """Unordered streams give every result once."""
    options = {"executor": processes.executor, "chunk_size": 3, "ordered": False}
    found = [x async for x in astream(work.double, range(10), **options)]
    assert sorted(found) == [2 * x for x in range(10)]

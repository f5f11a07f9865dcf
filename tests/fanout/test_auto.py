"""``"auto"`` at work: runs, streams and limiters under a limit that changes while they run."""

import asyncio
import itertools

import pytest

from asyncfan import AdaptiveLimit, AsyncQueryBatcher, DataBatcher, Limiter, ParallelProcessor, amap


class Backend:
    """Serves ``room`` calls at once, 0.1 s each; more wait."""

    def __init__(self, room):
        self.room = asyncio.Semaphore(room)
        self.running = self.most = 0

    async def __call__(self, item):
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            async with self.room:
                await asyncio.sleep(0.1)
        finally:
            self.running -= 1
        return item


async def slowly(n):
    """Be an async source."""
    for i in range(n):
        yield i


N = 1500


async def collect(stream):
    """Return the results of a stream."""
    return [result async for result in stream]


async def named(processor, call):
    """Run the items as named tasks."""
    found = await processor.execute_parallel({i: (lambda i=i: call(i)) for i in range(N)})
    assert list(found) == list(range(N))
    return list(found.values())


WAYS = {
    "map": lambda processor, call: processor.map(call, range(N)),
    "async source": lambda processor, call: processor.map(call, slowly(N)),
    "stream": lambda processor, call: collect(processor.stream(call, range(N))),
    "stream of an async source": lambda processor, call: collect(processor.stream(call, slowly(N), buffer_size=100)),
    "named": named,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("room", [4, 100])
async def test_finds_the_room_and_loses_nothing(way, room):
    """Whichever way items run, all have their results in order, and the limit ends near what the backend bears."""
    processor, backend = ParallelProcessor("auto"), Backend(room)
    began = asyncio.get_running_loop().time()
    assert await WAYS[way](processor, backend) == list(range(N))
    seconds = asyncio.get_running_loop().time() - began
    assert processor.limit.trace
    assert N / seconds >= 0.5 * room / 0.1
    assert processor.limit.current == pytest.approx(room, rel=0.6)


@pytest.mark.parametrize("way", WAYS)
async def test_a_limit_that_falls_leaves_workers_enough(way):
    """Where all workers are done in the same moment and the limit has fallen, as many as it allows go on."""
    processor = ParallelProcessor(AdaptiveLimit(1, 64))
    controller, running, seen = processor.limit, 0, []

    async def call(item):
        nonlocal running
        running += 1
        seen.append(running)
        await asyncio.sleep(1)
        running -= 1
        if item == 40:
            controller._climber.value = 3
        if item == 500:
            controller._climber.value = 50
        return item

    controller.ended = lambda *_, **__: None
    assert await WAYS[way](processor, call) == list(range(N))
    assert max(seen[100:400]) == 3
    assert max(seen[700:1400]) == 50


async def test_runs_of_one_processor_share_the_limit():
    """Two calls at once have half of it each, and a call alone has all of it again."""
    processor = ParallelProcessor(AdaptiveLimit(10, 10))
    backend = Backend(1000)
    await asyncio.gather(processor.map(backend, range(100)), processor.map(backend, range(100)))
    assert backend.most <= 15  # the second found the first one's workers at work
    backend.most = 0
    await processor.map(backend, range(50))
    assert backend.most == 10


async def test_what_one_call_learned_the_next_one_knows():
    """The limit is the processor's."""
    processor = ParallelProcessor("auto")
    await processor.map(Backend(4), range(500))
    learned = processor.limit.current
    backend = Backend(4)
    await processor.map(backend, range(8))
    assert learned <= 6  # a step on trial beyond the room of 4 at most
    assert backend.most <= 6


async def test_items_that_never_wait_tell_nothing():
    """Cached items neither move the limit nor cost a task."""
    processor = ParallelProcessor("auto")
    tasks = len(asyncio.all_tasks())

    async def instant(item):
        assert len(asyncio.all_tasks()) == tasks
        return item

    assert await processor.map(instant, range(1000)) == list(range(1000))
    assert processor.limit.current == 32


async def test_timeouts_shrink_it():
    """An item that runs into the processor's own ``timeout`` was too much."""
    processor = ParallelProcessor("auto", timeout=0.5, on_error="collect")
    await processor.map(Backend(2), range(300))
    assert processor.limit.current < 10
    assert any("refused" in decision.why for decision in processor.limit.trace)


async def test_a_cancelled_item_tells_nothing():
    """Stopping a call leaves the limit as it was."""
    processor = ParallelProcessor("auto")
    task = asyncio.ensure_future(processor.map(Backend(1), range(1000)))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (processor.limit.current, processor._limit._running) == (32, 0)


async def test_the_item_that_fails_is_raised_as_ever():
    """An error is the item's own, and the others have ended."""
    backend = Backend(10)

    async def call(item):
        await backend(item)
        if item == 50:
            raise KeyError(item)

    with pytest.raises(KeyError):
        await amap(call, range(1000), max_workers="auto")
    assert backend.running == 0


async def test_an_overload_function_that_raises_is_not_lost():
    """Its error is the item's, and no call is counted as running for ever."""
    processor = ParallelProcessor(AdaptiveLimit(overload=lambda _: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        await processor.map(Backend(10), range(100))
    assert processor._limit._running == 0


async def test_time_for_which_the_loop_was_busy_is_left_out():
    """Calls that take long because the loop was held up do not shrink the limit."""
    processor = ParallelProcessor(AdaptiveLimit(32, 32 * 32))
    loop = asyncio.get_running_loop()
    processor.limit._climber._rest = 10**9  # no trials

    async def call(_):
        await asyncio.sleep(0.1)

    async def hold_up():
        while True:
            await asyncio.sleep(0)
            loop.now += 0.06  # as 60 ms of computing do

    await processor.map(call, range(3000))
    task = asyncio.ensure_future(hold_up())
    await processor.map(call, range(100))  # what comes as a surprise is not known
    await processor.map(call, range(1500))
    task.cancel()
    assert not [decision for decision in processor.limit.trace if "as long as usual" in decision.why]


async def test_a_limiter_finds_its_limit():
    """From how long its callers are inside, through whatever call they came."""
    limiter, backend = Limiter("db", max_concurrency="auto"), Backend(8)

    async def call(item):
        async with limiter:
            return await backend(item)

    await amap(call, range(2000), max_workers=200)
    assert limiter.limit.current == limiter.max_concurrency == pytest.approx(8, abs=3)
    assert repr(limiter) == f"<Limiter 'db' 0/{limiter.max_concurrency} running, 0 waiting>"
    assert not limiter._limit._inside


async def test_a_weight_above_the_limit_enters_alone():
    """In a limiter that adapts, what is heavier than the limit of the moment waits until nobody is inside."""
    limiter = Limiter(max_concurrency=AdaptiveLimit(2, 4))
    async with asyncio.timeout(5), limiter:
        heavy = asyncio.ensure_future(limiter.acquire(50))
        await asyncio.sleep(1)
        assert not heavy.done()
    await heavy
    limiter.release(50)
    assert limiter.running == 0


async def test_errors_inside_a_slot_shrink_the_limiter():
    """Connections that are refused inside ``slot`` are too much for the backend."""
    limiter = Limiter(max_concurrency=AdaptiveLimit(1, 100))
    for _ in range(200):
        with pytest.raises(ConnectionRefusedError):
            async with limiter.slot():
                raise ConnectionRefusedError
    assert limiter.max_concurrency == 1


async def test_resizing_ends_adapting():
    """A limit that is set by hand stays."""
    limiter = Limiter(max_concurrency="auto")
    limiter.resize(max_concurrency=5)
    assert (limiter.limit, limiter.max_concurrency) == (None, 5)


async def test_queries_find_their_limit():
    """`AsyncQueryBatcher` passes "auto" on to its limiter."""
    queries, backend = AsyncQueryBatcher("auto"), Backend(8)
    results = await queries.execute_many([lambda i=i: backend(i) for i in range(1500)])
    assert results == list(range(1500))
    assert queries.limiter.limit.current < 20


async def test_batches_at_once_find_their_limit():
    """`DataBatcher` passes "auto" on for batches at once."""
    batcher, backend = DataBatcher(10, max_concurrent_batches="auto"), Backend(8)
    results = await batcher.process_batches(range(15_000), backend)
    assert list(itertools.chain.from_iterable(results)) == list(range(15_000))
    assert batcher.limit.current < 20


async def test_stats_and_repr_show_the_limit():
    """What is in force is seen without asking for the controller."""
    processor = ParallelProcessor("auto", name="users")
    assert processor.stats().limit == 32
    assert "0 running (limit 32)" in str(processor.stats())
    assert repr(processor) == "<ParallelProcessor users 0/32 (auto) running, 0 ok, 0 failed>"
    assert ParallelProcessor().stats().limit is None

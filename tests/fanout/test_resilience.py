"""Retries, hedges, timeouts and limits together: one path, chosen when a fan-out is made."""

import asyncio
import random
import threading
from collections import Counter

import pytest

from asyncfan import (
    AsyncQueryBatcher,
    AttemptTimeoutError,
    DataBatcher,
    Hedge,
    Limiter,
    ParallelProcessor,
    Retry,
    RetryBudget,
    amap,
    astream,
    gather,
    time_left,
)
from asyncfan.testing import VirtualTimeLoop, run


def flaky(*failures):
    """Return a function that fails an item so many times as its failures say, each after 1 s, and then returns it."""
    calls = Counter()

    async def call(x):
        calls[x] += 1
        await asyncio.sleep(1)
        if calls[x] <= failures[x]:
            raise ConnectionError(f"{x}, attempt {calls[x]}")
        return x

    call.calls = calls
    return call


def retry(attempts=3, **options):
    """Return a retry that waits exactly 1, 2, 4, ... seconds."""
    return Retry(attempts, base=1, random=lambda: 1.0, **options)


def now():
    """Return the loop's time."""
    return asyncio.get_running_loop().time()


async def test_outcomes_tell_attempts_and_duration():
    """``attempts`` is how many times the function was called, ``duration`` from the first begin to the last end."""
    outcomes = await amap(flaky(0, 1, 2, 9), range(4), retry=retry(), on_error="collect", max_workers=2)
    assert [(outcome.status, outcome.attempts, outcome.duration) for outcome in outcomes] == [
        ("ok", 1, 1),
        ("ok", 2, 3),
        ("ok", 3, 6),
        ("error", 3, 6),
    ]
    named = await ParallelProcessor(retry=retry(), on_error="collect").execute_parallel(
        {"a": lambda: flaky(1)(0), "b": lambda: asyncio.sleep("long")}
    )
    assert [(outcome.attempts, outcome.status) for outcome in named.values()] == [(3, "error"), (3, "error")]


async def test_stats_count_retries_and_hedges():
    """Items are counted once, whatever they took; what was done beyond that is counted beside."""
    processor = ParallelProcessor(retry=retry(), hedge=Hedge(after=0.5, max_extra=1), on_error="collect")
    outcomes = await processor.map(flaky(0, 1, 2), range(3))
    stats = processor.stats()
    assert (stats.ok, stats.failed, stats.run_time.count) == (3, 0, 3)
    assert sum(outcome.attempts for outcome in outcomes) == 3 + stats.retries + stats.hedges
    assert stats.hedges > 0
    assert f"{stats.retries} retries, {stats.hedges} hedges" in str(stats)
    assert "retries" not in str(ParallelProcessor().stats())


async def test_every_door_takes_them():
    """`gather`, `amap`, `astream`, `DataBatcher` and `AsyncQueryBatcher` retry and hedge alike."""
    one, two = flaky(1), flaky(1)
    assert await gather({"a": lambda: one(0)}, retry=retry()) == {"a": 0}
    assert await gather(a=lambda: two(0), retry=retry(), timeout=5, hedge=Hedge(after=3)) == {"a": 0}
    assert await amap(flaky(1, 2), range(2), retry=retry()) == [0, 1]
    assert [x async for x in astream(flaky(1, 2), range(2), retry=retry(), hedge=Hedge())] == [0, 1]
    batches = Counter()

    async def insert(rows):
        batches[rows[0]] += 1
        if batches[rows[0]] < 2:
            raise ConnectionError
        return len(rows)

    assert await DataBatcher(2, retry=retry()).process_batches([1, 2, 3], insert) == [2, 1]
    call = flaky(2)
    assert await AsyncQueryBatcher(retry=retry()).execute(call, 0) == 0
    assert call.calls == {0: 3}


async def test_timeout_is_an_attempts():
    """An attempt that takes too long is cancelled and tried again."""
    naps = iter([9, 9, 1])
    (outcome,) = await amap(lambda _: asyncio.sleep(next(naps)), [0], timeout=2, retry=retry(), on_error="collect")
    assert (outcome.status, outcome.attempts, now()) == ("ok", 3, 2 + 1 + 2 + 2 + 1)
    (outcome,) = await amap(lambda _: asyncio.sleep(9), [0], timeout=2, retry=retry(), on_error="collect")
    assert (outcome.status, type(outcome.exception)) == ("timeout", AttemptTimeoutError)


async def test_deadline_is_the_wholes():
    """No attempt starts that the deadline would cut short, and each sees what is left."""
    seen = []

    async def call(_):
        seen.append(time_left())
        await asyncio.sleep(1)
        raise ConnectionError

    (outcome,) = await amap(call, [0], deadline=10, retry=retry(9), on_error="collect")
    assert seen == [10, 8, 5]
    assert (outcome.status, outcome.attempts, outcome.duration) == ("error", 3, 6)


async def test_a_deadline_in_an_attempt_is_a_timeout_of_the_item():
    """What still runs at the deadline is stopped; its attempts are told."""
    (outcome,) = await amap(flaky(1), [0], deadline=2.5, retry=Retry(2, base=0.5, random=lambda: 1), on_error="collect")
    assert (outcome.status, outcome.attempts, outcome.duration) == ("timeout", 2, 2.5)


async def test_waiting_for_a_retry_holds_no_place_in_the_limiter():
    """Each attempt passes the limiter, and the time between two is free for others."""
    limiter = Limiter(max_concurrency=1)
    order = []

    async def call(x):
        order.append((x, now()))
        await asyncio.sleep(1)
        if order.count((x, 0)):
            order.remove((x, 0))
            raise ConnectionError
        return x

    await amap(call, "ab", limiter=limiter, retry=retry())
    assert order == [("b", 1), ("a", 2)]


async def test_waiting_for_the_limiter_counts_for_no_hedge():
    """A queue in front of the backend does not look like a slow backend."""
    hedge = Hedge(after=2, max_extra=1)
    await amap(lambda _: asyncio.sleep(1), range(20), limiter=Limiter(max_concurrency=1), hedge=hedge)
    assert (hedge.hedged, hedge.calls) == (0, 20)


async def test_a_second_attempt_that_never_began_was_none():
    """One that still waits for the limiter when the first is done is not counted, and costs nothing."""
    hedge = Hedge(after=2, max_extra=0.01)
    for _ in range(3):
        await amap(lambda _: asyncio.sleep(5), [0], limiter=Limiter(max_concurrency=1), hedge=hedge)
    assert (hedge.hedged, hedge.calls) == (0, 3)
    await hedge(lambda: asyncio.sleep(5))
    assert hedge.hedged == 1


async def test_hedges_never_exceed_the_limiter():
    """At most as many run as the limiter lets in, hedges included, and all places are free afterwards."""
    limiter = Limiter(max_concurrency=3)
    chance = random.Random(1)
    running = most = 0

    async def call(_):
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await asyncio.sleep(chance.choice([1, 1, 9]))
        finally:
            running -= 1

    await amap(call, range(200), limiter=limiter, hedge=Hedge(after=2, max_extra=1), max_workers=10)
    assert (most, running, limiter.running, limiter.waiting) == (3, 0, 0, 0)


async def test_a_joined_query_is_retried_once_for_all():
    """Callers of one key share its retries; who is cancelled leaves alone."""
    call = flaky(2)
    queries = AsyncQueryBatcher(retry=retry(), key=lambda query, x: x)
    tasks = [asyncio.ensure_future(queries.execute(call, 0)) for _ in range(5)]
    await asyncio.sleep(1.5)
    tasks[0].cancel()
    await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [True, False, False, False, False]
    assert [task.result() for task in tasks[1:]] == [0] * 4
    assert call.calls == {0: 3}


async def test_plain_functions_are_retried_but_not_hedged():
    """A thread cannot be cancelled: a hedge for one is refused in words, a retry works."""
    answers = [OSError(), 5]

    def blocking(_):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await amap(blocking, [0], retry=retry()) == [5]
    with pytest.raises(TypeError, match=r"^fn: hedge= needs an async function"):
        await amap(blocking, [0], hedge=Hedge())


# -- a brown-out


async def brown_out(budget, share, calls=2000, seed=1):
    """Return the backend's load, in calls for each item, while a share of its answers are errors."""
    chance = random.Random(seed)
    made = 0
    failing = False

    async def call(_):
        nonlocal made
        made += 1
        await asyncio.sleep(0.01)
        if failing and chance.random() < share:
            raise ConnectionError

    tried = Retry(3, base=0.01, cap=0.1, budget=budget, random=chance.random)
    processor = ParallelProcessor(50, on_error="collect", retry=tried)
    await processor.map(call, range(500))
    made, failing = 0, True
    await processor.map(call, range(calls))
    return made / calls


async def test_plain_retries_triple_the_load_of_a_backend_that_fails():
    """Without a budget three attempts are three times the load, when the backend bears it least."""
    assert await brown_out(None, 1.0) == 3


@pytest.mark.parametrize("share", [0.05, 0.09, 0.1, 0.2, 0.5, 0.9, 1.0])
async def test_a_budget_keeps_the_load_of_a_backend_that_fails(share):
    """With a budget the load is 1.1 times that of no retries at most, however many calls fail."""
    assert await brown_out(RetryBudget(), share) <= 1.1


async def test_a_backend_that_is_well_again_is_retried_again():
    """Successes fill the budget: single failures after a brown-out are tried again."""
    budget = RetryBudget()
    await brown_out(budget, 1.0)
    assert budget.tokens == 0
    await amap(flaky(*[0] * 70), range(70), retry=retry(budget=budget))
    assert await amap(flaky(1), [0], retry=retry(budget=budget)) == [0]


def test_a_budget_is_shared_by_threads():
    """Loops in several threads draw on the same tokens, and none gets lost."""
    budget = RetryBudget.shared("threads", max_tokens=1000, token_ratio=0.5)

    async def fail():
        raise ConnectionError

    def work():
        tried = Retry(1, budget=RetryBudget.shared("threads", max_tokens=1000, token_ratio=0.5))
        run(amap(lambda _: fail(), range(100), retry=tried, on_error="collect"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget.tokens == 1000 - 800


# -- nothing is left behind, whatever happens


class World:
    """One fan-out with retries and hedges over a function that fails, hangs and cleans up by chance."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.running = self.most = self.calls = 0
        self.begun = set()
        self.interrupted = False
        self.limiter = Limiter(max_concurrency=self.chance.randint(1, 5))
        self.hedge = self.chance.choice([None, Hedge(after=self.chance.choice([0.5, 2]), max_extra=1)])
        self.retry = self.chance.choice([None, Retry(self.chance.randint(1, 4), random=self.chance.random)])
        self.processor = ParallelProcessor(
            self.chance.choice([1, 3, None]),
            hedge=self.hedge,
            retry=self.retry,
            limiter=self.limiter,
            timeout=self.chance.choice([None, 1.5]),
            deadline=self.chance.choice([None, None, 4]),
            on_error=self.chance.choice(["raise", "group", "collect"]),
            **self.chance.choice([{}, {}, {"first": 2}, {"min_success": 3}]),
        )

    async def item(self, x):
        self.running += 1
        self.calls += 1
        self.begun.add(x)
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.chance.choice([0, 0.5, 1, 3]))
            if self.chance.random() < 0.3:
                raise self.chance.choice([ConnectionError, asyncio.CancelledError, TimeoutError])
            if self.chance.random() < 0.02:
                raise KeyboardInterrupt
        finally:
            if self.chance.random() < 0.2:
                try:
                    await asyncio.sleep(0.2)
                finally:
                    self.running -= 1
            else:
                self.running -= 1
        return x

    async def work(self):
        await self.processor.map(self.item, range(self.chance.randint(3, 8)))

    async def main(self):
        try:
            await self.work()
        except asyncio.CancelledError:
            raise
        except KeyboardInterrupt:  # it wins over a cancellation
            self.interrupted = True
        except BaseException:  # noqa: BLE001 - any failure is allowed: what is left behind is not
            pass
        await asyncio.sleep(1000)  # where a cancellation that got lost would be noticed

    async def play(self):
        loop = asyncio.get_running_loop()
        before = asyncio.all_tasks()
        task = loop.create_task(self.main())
        if self.chance.random() < 0.6:
            loop.call_at(loop.time() + self.chance.choice([0, 0.5, 1, 1.5, 2, 2.2, 3]), task.cancel)
            cancelled = True
        else:
            cancelled = False
        await asyncio.wait([task])
        assert task.cancelled() is cancelled or self.interrupted, "a cancellation was lost"
        assert asyncio.all_tasks() == before, "left behind"
        assert self.running == 0
        assert (self.limiter.running, self.limiter.waiting) == (0, 0)
        assert self.most <= self.limiter.max_concurrency
        stats = self.processor.stats()
        assert stats.running == 0
        if self.hedge is not None or self.retry is not None:
            assert self.calls == len(self.begun) + stats.retries + stats.hedges
        if self.hedge is not None:
            assert self.hedge.hedged == stats.hedges


@pytest.mark.parametrize("eager", [False, True] if hasattr(asyncio, "eager_task_factory") else [False])
def test_no_orphan_no_lost_cancellation_no_lost_place(eager):
    """Of 400 random fan-outs, most of them cancelled somewhere, none leaves a task, loses a cancellation or a place."""

    async def main():
        if eager:
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        for seed in range(400):
            try:
                await World(seed).play()
            except AssertionError as error:
                error.add_note(f"seed {seed}")
                raise

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())

"""A caller of `batched` who leaves harms nobody, whenever that is; a batch lives as long as somebody wants it."""

import asyncio
import os
import random
import sys

import pytest

from asyncfan import batched
from asyncfan.context import scope
from asyncfan.exceptions import SelfCancelledError
from asyncfan.testing import Gate, VirtualTimeLoop

SEEDS = int(os.environ.get("ASYNCFAN_BATCH_SCHEDULES", "400"))


@pytest.mark.parametrize("victim", range(3))
@pytest.mark.parametrize("after", [0, 1, 2, 3, 0.5])
async def test_a_cancelled_caller_leaves_others_alone(victim, after):
    """Whichever of three callers is cancelled, before or after the batch is sent, the others get their results."""

    @batched
    async def load(keys):
        await asyncio.sleep(1)
        return {key: key for key in keys}

    callers = [asyncio.ensure_future(load(key)) for key in (1, 1, 2)]
    if isinstance(after, float):
        await asyncio.sleep(after)
    else:
        for _ in range(after):
            await asyncio.sleep(0)
    callers[victim].cancel()
    found = await asyncio.gather(*callers, return_exceptions=True)
    assert [isinstance(e, asyncio.CancelledError) or e for e in found] == [
        i == victim or key for i, key in enumerate((1, 1, 2))
    ]


async def test_a_key_that_nobody_wants_is_not_asked_for():
    """Callers who were cancelled before the batch is sent are dropped from it, even if they do not know it yet."""
    calls = []

    @batched(max_batch_size=3)
    async def load(keys):
        calls.append(keys)
        return keys

    callers = [asyncio.ensure_future(load(key)) for key in (1, 1, 2)]
    await asyncio.sleep(0)
    callers[0].cancel()
    callers[1].cancel()
    assert await asyncio.gather(load(3), load(4)) == [3, 4]
    assert await callers[2] == 2
    assert calls == [[2, 3, 4]]


async def test_a_batch_that_nobody_wants_is_not_sent():
    """When all callers have left in time, the function is not called, and nothing is left."""

    @batched
    async def load(keys):
        pytest.fail("called")

    callers = [asyncio.ensure_future(load(key)) for key in (1, 2)]
    await asyncio.sleep(0)
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    await asyncio.sleep(1)
    assert load.loader.queues == {}


async def test_the_last_to_leave_cancels_the_batch_and_waits():
    """A batch is cancelled when all its callers are gone, and has ended when the last one returns."""
    gate, ended = Gate(), []

    @batched
    async def load(keys):
        try:
            await gate.enter()
        finally:
            await asyncio.sleep(1)
            ended.append(keys)

    single, many = asyncio.ensure_future(load(1)), asyncio.ensure_future(load.many([1, 2, 3]))
    await gate.reached()
    many.cancel()
    await asyncio.sleep(5)
    assert many.done()
    assert not ended
    single.cancel()
    single.cancel()
    with pytest.raises(asyncio.CancelledError):
        await single
    assert ended == [[1, 2, 3]]
    assert load.loader.queues == {}


async def test_a_key_that_was_left_is_joined_while_its_batch_runs():
    """The batch runs for others; a new caller of the key need not ask again."""
    calls = []

    @batched
    async def load(keys):
        calls.append(keys)
        await asyncio.sleep(1)
        return keys

    left, other = (asyncio.ensure_future(load(key)) for key in (1, 2))
    await asyncio.sleep(0.5)
    left.cancel()
    await asyncio.wait([left])
    assert await asyncio.gather(other, load(1)) == [2, 1]
    assert calls == [[1, 2]]


async def test_a_new_caller_does_not_join_a_cancelled_batch():
    """Who comes while an abandoned batch cleans up is answered by another one."""
    calls = []

    @batched
    async def load(keys):
        calls.append(keys)
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            await asyncio.sleep(10)
            raise
        return keys

    first = asyncio.ensure_future(load(1))
    await asyncio.sleep(0.5)
    first.cancel()
    await asyncio.sleep(0.5)
    assert await load(1) == 1
    assert asyncio.get_running_loop().time() == 2
    with pytest.raises(asyncio.CancelledError):
        await first
    assert calls == [[1], [1]]


async def test_a_function_that_cancels_itself_is_an_error():
    """CancelledError that nobody asked for reaches no caller bare, whether raised or returned for a key."""

    @batched
    async def raises(keys):
        raise asyncio.CancelledError

    @batched
    async def returns(keys):
        return [asyncio.CancelledError() for _ in keys]

    message = r"^raises\(\) raised CancelledError, but nobody had cancelled it$"
    with pytest.raises(SelfCancelledError, match=message):
        await raises(1)
    with pytest.raises(SelfCancelledError, match=message):
        raise (await raises.load_batch([1]))[0]
    with pytest.raises(SelfCancelledError, match="the result for the key was a CancelledError"):
        await returns(1)


async def test_a_batch_whose_task_is_cancelled_from_outside_is_an_error():
    """Somebody who cancels every task of the loop leaves no caller waiting."""
    gate = Gate()

    @batched
    async def load(keys):
        await gate.enter()

    caller = asyncio.ensure_future(load(1))
    await gate.reached()
    for task in asyncio.all_tasks():
        if task.get_name() == "asyncfan:load:batch":
            task.cancel()
    with pytest.raises(
        SelfCancelledError, match=r"^load\(\[1\]\) was cancelled, but not because its callers had left$"
    ):
        await caller


async def test_a_timeout_of_the_caller_is_its_own():
    """`asyncio.timeout` around one call ends that call only."""

    @batched
    async def load(keys):
        await asyncio.sleep(1)
        return keys

    async def hurried():
        async with asyncio.timeout(0.5):
            await load(1)

    found = await asyncio.gather(hurried(), load(1), return_exceptions=True)
    assert (type(found[0]), found[1]) == (TimeoutError, 1)


async def test_a_batch_that_fails_while_its_caller_leaves_is_quiet():
    """Its error is nobody's: no warning, no unseen exception."""

    @batched
    async def load(keys):
        try:
            await asyncio.sleep(1)
        finally:
            raise ValueError("in clean-up")

    caller = asyncio.ensure_future(load(1))
    await asyncio.sleep(0.5)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller


class Schedule:
    """One seed: callers of a few keys come, leave and are cleared at random; loads are slow, fail or cancel."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.wrong = []
        self.sent = []
        self.live = set()
        rng = self.rng
        self.bad = {key for key in range(8) if rng.random() < 0.15}
        self.load = batched(
            max_batch_size=rng.choice((1, 2, 3, 100, None)),
            dispatch=rng.choice(("quiet", "scope", "tick")),
            max_delay=rng.choice((None, 0.01, 1)),
            on_error=rng.choice(("raise", "bisect")),
            batch_key=rng.choice((None, lambda key: key % 2)),
            key=rng.choice((None, str)),
        )(self.load_many)
        self.scoped = rng.random() < 0.3

    async def load_many(self, keys):
        """Stand for a backend in a bad mood."""
        if len(set(keys)) != len(keys):
            self.wrong.append(f"a key twice in {keys}")
        self.sent.append(keys)
        for _ in range(self.rng.randrange(4)):
            await asyncio.sleep(self.rng.choice((0, 0, 0.3)))
        mood = self.rng.random()
        if mood < 0.05:
            raise asyncio.CancelledError
        if bad := self.bad.intersection(keys):
            raise LookupError(min(bad))
        return {self.load.loader.key(key) if self.load.loader.key else key: (key,) for key in keys}

    async def call(self, keys):
        """Call for one key or many and look at the result."""
        try:
            found = await self.load.many(keys) if len(keys) > 1 else [await self.load(keys[0])]
        except asyncio.CancelledError:
            if asyncio.current_task() not in self.cancelled:
                self.wrong.append(f"foreign cancellation of {keys}")
            raise
        except (LookupError, SelfCancelledError):
            return
        if found != [(key,) for key in keys]:
            self.wrong.append(f"{found} for {keys}")

    async def run(self):
        """Let it all happen."""
        rng, tasks, self.cancelled = self.rng, [], set()
        async with asyncio.timeout(1000):
            for _ in range(rng.randrange(5, 25)):
                calls = [
                    [rng.randrange(8) for _ in range(rng.choice((1, 1, 1, 4)))] for _ in range(rng.choice((0, 1, 1, 3)))
                ]
                tasks += [asyncio.ensure_future(self.call(keys)) for keys in calls]
                what = rng.random()
                if what < 0.3 and tasks:
                    victim = rng.choice(tasks)
                    if victim.cancel():
                        self.cancelled.add(victim)
                elif what < 0.35:
                    self.load.clear(*rng.choice(((), (rng.randrange(8),))))
                elif what < 0.4:
                    key = rng.randrange(8)
                    self.load.prime(key, (key,))
                await asyncio.sleep(rng.choice((0, 0, 0, 0.1, 0.5)))
            await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(5)
        if self.load.loader.queues:
            self.wrong.append(f"left: {self.load.loader.queues}")
        if left := asyncio.all_tasks() - {asyncio.current_task()}:
            self.wrong.append(f"left: {left}")

    async def run_scoped(self):
        """Let it all happen, perhaps inside an async scope."""
        if not self.scoped:
            return await self.run()
        async with scope(tenant="a"):
            return await self.run()


def explore(seed, *, eager=False):
    """Run one schedule and return what went wrong."""
    schedule = Schedule(seed)
    unseen = []
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(lambda _, context: unseen.append(context))
        if eager:
            loop.set_task_factory(asyncio.eager_task_factory)
        runner.run(schedule.run_scoped())
    return [*schedule.wrong, *unseen]


def test_no_caller_is_harmed_by_others_in_any_schedule():
    """No foreign cancellation, wrong result, hang, key sent twice in a batch, unseen error or task left (F47)."""
    assert {seed: found for seed in range(SEEDS) if (found := explore(seed))} == {}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_no_caller_is_harmed_where_tasks_start_at_once():
    """The same with the eager task factory."""
    assert {seed: found for seed in range(SEEDS) if (found := explore(seed, eager=True))} == {}

"""`many` in random schedules of calls, cancellations, clears and failing loads: nobody gets what is stale or foreign."""

import asyncio
import random

import pytest

from asyncfan.caching import Cache
from asyncfan.exceptions import RecursiveLoadError, SelfCancelledError
from asyncfan.testing import run

from .conftest import assert_sound

KEYS = range(6)
SEEDS = 400


class LoadFailedError(Exception):
    """What the source raises."""


class Schedule:
    """One cached source of batches, its versions, and everybody who uses it as chance has it."""

    def __init__(self, seed):
        self.rng = rng = random.Random(seed)
        self.version = dict.fromkeys(KEYS, 0)  # what the source has now
        self.cleared = dict.fromkeys(KEYS, 0)  # the version as of the key's last clear
        self.expected = 0  # items that were asked for
        self.problems = []
        self.cache = Cache(clock=lambda: asyncio.get_running_loop().time())
        self.max_batch_size = rng.choice((None, 1, 2, 3))
        self.__name__ = self.__qualname__ = "source"
        self.f = self.cache.cache_function(
            rng.choice((0.5, 3, None)), key_prefix="f", max_workers=rng.choice((1, 2, 32)),
            **rng.choice(({}, {}, {"stale_while_revalidate": 1}, {"soft_timeout": 0.3})),
        )(self)  # fmt: skip

    async def __call__(self, key):
        (found,) = await self.load_batch([key])
        if isinstance(found, Exception):
            raise found
        return found

    async def load_batch(self, keys):
        """Read the versions at once, then take some time, and fail now and then."""
        rng = self.rng
        found = [(key, self.version[key]) for key in keys]
        try:
            for _ in range(rng.randrange(3)):
                await asyncio.sleep(rng.choice((0, 0.2, 0.7)))
            if rng.random() < 0.1:
                await self.f.many([rng.choice(KEYS) for _ in range(2)])
        except asyncio.CancelledError:
            await asyncio.sleep(rng.choice((0, 0.2)))
            raise
        if rng.random() < 0.1:
            raise LoadFailedError
        if rng.random() < 0.05:
            raise asyncio.CancelledError
        return [LoadFailedError() if rng.random() < 0.05 else one for one in found]

    async def call(self, keys, how):
        """Make one call, and judge what it gives."""
        floor = dict(self.cleared)
        self.expected += len(keys)
        try:
            if how == "many":
                values = await self.f.many(keys)
            elif how == "outcomes":
                values = [o.value if o.ok else o.exception for o in await self.f.many_outcomes(keys)]
            else:
                values = [await self.f(keys[0])]
        except (LoadFailedError, SelfCancelledError, RecursiveLoadError):
            return
        for key, value in zip(keys, values, strict=True):
            if isinstance(value, Exception):
                continue
            if value[0] != key or value[1] < floor[key]:
                self.problems.append((key, value, floor[key]))

    def act(self, tasks, cancelled):
        """Do what chance has it."""
        rng = self.rng
        key, what = rng.choice(KEYS), rng.random()
        if what < 0.55:
            how = rng.choice(("many", "many", "outcomes", "single"))
            keys = [rng.choice(KEYS) for _ in range(1 if how == "single" else rng.randrange(1, 6))]
            tasks.append(asyncio.ensure_future(self.call(keys, how)))
        elif what < 0.75 and tasks:
            victim = rng.choice(tasks)
            cancelled.add(victim)
            victim.cancel()
        elif what < 0.95:
            self.version[key] += 1
            rng.choice((lambda: self.f.invalidate(key), lambda: self.cache.clear(f"f:{key}")))()
            self.cleared[key] = self.version[key]
        else:
            self.version = {key: version + 1 for key, version in self.version.items()}
            self.cache.clear_all()
            self.cleared = dict(self.version)

    async def run(self):
        """Play the schedule, then look at what is left."""
        tasks, cancelled = [], set()
        async with asyncio.timeout(1000):
            for _ in range(self.rng.randrange(5, 30)):
                self.act(tasks, cancelled)
                await asyncio.sleep(self.rng.choice((0, 0, 0.1, 0.4)))
            found = await asyncio.gather(*tasks, return_exceptions=True)
            for task, one in zip(tasks, found, strict=True):
                if one is not None and not (isinstance(one, asyncio.CancelledError) and task in cancelled):
                    self.problems.append(one)
            await asyncio.sleep(100)
            assert_sound(self.cache)
            self.rng.random = lambda: 1.0  # calm
            assert [value[0] for value in await self.f.many(KEYS)] == list(KEYS)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not self.problems


@pytest.mark.parametrize("start", range(0, SEEDS, 100))
def test_every_schedule_is_right(start):
    """No stale or foreign value, foreign cancellation, hang, leaked flight or task, or dead key in any of them."""
    for seed in range(start, start + 100):
        try:
            run(Schedule(seed).run())
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise

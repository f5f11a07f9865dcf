"""What retries do to a backend that fails.

Workload: 5,000 calls, 50 at a time, each tried three times at most with full jitter, of a backend that fails all of
    them (``brown-out``) or nine in ten (``brown-out-part``); 500 calls that succeeded came before. The time is
    virtual: the figures are the same on any machine.
Unit: calls that the backend gets for each one asked for; % that succeeded.
Reading: retries ask most of a backend that bears least. A budget costs successes while it holds them back.
    None of the peers has one.
Command: python -m benchmarks brown-out
"""

import asyncio
import random
from functools import partial

from benchmarks.workload import Bar, Contestants, Workload

AT_ONCE = 50
HEALTHY = 500  # calls before the backend fails
SEED = 1
contestants = Contestants()


async def measure(make, n, share):
    return await asyncio.to_thread(measure_in_virtual_time, make, n, share)


def measure_in_virtual_time(make, n, share):
    from asyncfan.testing import run

    return run(simulate(make, n, share))


async def simulate(make, n, share):
    chance = random.Random(SEED)
    calls = 0
    failing = False

    async def ask():
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        if failing and chance.random() < share:
            raise ConnectionError

    one = make(ask, chance)
    places = asyncio.Semaphore(AT_ONCE)

    async def item(_):
        async with places:
            try:
                await one()
            except ConnectionError:
                return False
            return True

    await asyncio.gather(*map(item, range(HEALTHY)))
    calls, failing = 0, True
    done = await asyncio.gather(*map(item, range(n)))
    return {"load": calls / n, "ok %": sum(done) / n * 100}


def workload(name, title, share):
    return Workload(
        name=name,
        title=f"{{size:,}} calls, tried 3 times, of a backend that fails {title}",
        figures=("load", "ok %"),
        compared=("load",),
        reference="naive: one attempt",
        size=5_000,
        quick_size=5_000,
        measure=partial(measure, share=share),
        contestants=contestants,
        bars={"asyncfan: Retry with RetryBudget": Bar(1.1, 1.05, "load", relative=False)},
    )


BROWN_OUT = workload("brown-out", "all of them", 1.0)
BROWN_OUT_PART = workload("brown-out-part", "nine in ten", 0.9)


@contestants.add("asyncfan: Retry with RetryBudget", package="asyncfan")
def budget(ask, chance):
    from asyncfan import Retry, RetryBudget

    return partial(Retry(3, budget=RetryBudget(), random=chance.random), ask)


@contestants.add("asyncfan: Retry", package="asyncfan")
def plain(ask, chance):
    from asyncfan import Retry

    return partial(Retry(3, random=chance.random), ask)


@contestants.add("naive: one attempt")
def once(ask, _):
    return ask


@contestants.add("naive: a loop")
def loop(ask, chance):
    async def one():
        for attempt in range(3):
            try:
                return await ask()
            except ConnectionError:
                if attempt == 2:
                    raise
            await asyncio.sleep(chance.random() * 0.1 * 2**attempt)
        return None

    return one


@contestants.add("stamina: retry", package="stamina")
def stamina(ask, _):
    from stamina import retry

    return retry(on=ConnectionError, attempts=3)(ask)


@contestants.add("tenacity: retry", package="tenacity")
def tenacity(ask, _):
    from tenacity import retry, stop_after_attempt, wait_random_exponential

    return retry(stop=stop_after_attempt(3), wait=wait_random_exponential(multiplier=0.1), reraise=True)(ask)

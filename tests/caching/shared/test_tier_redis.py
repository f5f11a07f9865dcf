"""The shared tier on a real server keeps what it keeps on the one in memory."""

import asyncio

import pytest

from asyncfan.caching.clears.patterns import Pattern
from asyncfan.caching.shared.leases import Lease
from asyncfan.caching.shared.server.guard import Guard
from asyncfan.caching.shared.tier import SharedTier

pytestmark = pytest.mark.real_time

GOOD = {"fresh": 60, "kept": 300}


@pytest.fixture
async def tiers(connect):
    """Make the tiers of processes on one server, and close them when the test is over."""
    made = []

    def make(server):
        made.append(SharedTier(connect(server.url), guard=Guard(deadline=2.0)))
        return made[-1]

    yield make
    for tier in made:
        await tier.aclose()


async def stored(tier, text, value, **more):
    """Store a value as after a load."""
    assert await tier.write(await tier.claim(text), value, **{**GOOD, **more}) == "stored"


async def values(tier, *texts):
    """Return what a node reads, None where there is nothing."""
    return [found and found.value for found in await tier.read(texts)]


@pytest.mark.parametrize("kind", ["plain", "cluster"])
async def test_processes_share_values_and_clears(kind, tiers, request):
    """Values, tags, patterns with escapes, drops and puts reach the other process."""
    here, there = (tiers(request.getfixturevalue(kind)) for _ in range(2))
    texts = ["user:a%3Ab", "user:2~s", "users:1"]
    for text in texts:
        await stored(here, text, text, tags=("red",) if text == "users:1" else ())
    assert await values(there, *texts) == texts
    assert await there.clear(patterns=[Pattern("user:a%3Ab", subtree=True)]) == 1
    assert await values(here, *texts) == [None, *texts[1:]]
    await there.clear(tags=["red"])
    assert await values(here, *texts) == [None, texts[1], None]
    assert await there.drop([texts[1]]) == 1
    assert await values(here, *texts) == [None] * 3
    await here.put("user:3", "put", **GOOD)
    assert await values(there, "user:3") == ["put"]
    assert await here.clear(everything=True) >= 1
    assert await values(there, "user:3") == [None]


async def test_slow_load_is_fenced(plain, tiers):
    """A drop in another process takes the lease away."""
    here, there = tiers(plain), tiers(plain)
    lease = await here.claim("user:1")
    await there.drop(["user:1"])
    assert await here.write(lease, "old", **GOOD) == "fenced"


async def test_invalidation_outlives_a_killed_server(server, tiers):
    """It is pending while there is no server, and reaches the next one within a second."""
    tier = tiers(server)
    await stored(tier, "user:1", "old")
    server.kill()
    notice = tier.drop(["user:1"])
    await notice
    assert not notice.confirmed
    assert await tier.claim("user:2") is None
    server.start()
    async with asyncio.timeout(1.5):
        while not notice.confirmed:
            await asyncio.sleep(0.01)
    lease = await tier.claim("user:2")
    assert isinstance(lease, Lease)
    await tier.release(lease)

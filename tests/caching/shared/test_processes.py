"""Caches in several processes and event loops, on a real server that is killed and frozen."""

import asyncio
import contextlib
import itertools
import json
import random
import sys
import time
from pathlib import Path

import pytest
import redis
from redis.crc import key_slot

from asyncfan import Cache, batched
from asyncfan.adapters.redis import RedisStore
from asyncfan.caching.shared.server.guard import Guard
from asyncfan.caching.shared.tier import SharedTier
from tests.servers import ValkeyCluster

pytestmark = pytest.mark.real_time

ROOT = Path(__file__).parents[3]


class Process:
    """A process that runs process.py."""

    def __init__(self, child):
        self.child = child

    async def __call__(self, *command):
        """Have it do something; returns what it answers."""
        self.child.stdin.write(json.dumps(command).encode() + b"\n")
        line = await asyncio.wait_for(self.child.stdout.readline(), 20)
        assert line, "the process has ended"
        return json.loads(line)

    async def end(self):
        """Let it close its cache and end."""
        self.child.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            await asyncio.wait_for(self.child.wait(), 10)


@pytest.fixture
async def processes(server):
    """Start processes on the test's own server."""
    made = []

    async def start(number, lease=3.0):
        command = (sys.executable, "-m", "tests.caching.shared.process", server.url, str(lease))
        pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
        children = [await asyncio.create_subprocess_exec(*command, cwd=ROOT, **pipes) for _ in range(number)]
        made.extend(map(Process, children))
        await asyncio.gather(*(one("peek", "none") for one in made))  # they are all there
        return made

    yield start
    await asyncio.gather(*(one.end() for one in made))


def loads(server, n):
    """How many loads of a key all processes have made."""
    return int(server.command("GET", f"loads:{n}") or 0)


def patient(server, **options):
    """Make a tier that waits for a server which a busy machine keeps from answering in time."""
    return SharedTier(RedisStore(server.url, timeout=5, **options), guard=Guard(deadline=5))


async def until(condition, timeout=5.0):
    """Wait until something has come true that happens elsewhere; returns the seconds that it took."""
    began = time.monotonic()
    async with asyncio.timeout(timeout):
        while not await condition():
            await asyncio.sleep(0.005)
    return time.monotonic() - began


# -- several processes


async def test_a_thousand_callers_in_four_processes_make_one_load(server, processes):
    """250 callers in each, all of the same cold key (F29)."""
    four = await processes(4)
    answers = await asyncio.gather(*(one("crowd", 250, "cold", 0.2) for one in four))
    assert [values for values, _ in answers] == [[0]] * 4
    assert loads(server, "cold") == 1


async def test_a_process_killed_while_it_loads_is_replaced_within_the_lease(server, processes):
    """Whoever waits for it takes over: two loads in all (F29)."""
    holder, *others = await processes(3, lease=0.5)
    dying = asyncio.create_task(holder("crowd", 10, "a", 0.3))

    async def loading():
        return loads(server, "a") == 1

    await until(loading)
    waiting = [asyncio.create_task(one("crowd", 100, "a", 0.3)) for one in others]
    await asyncio.sleep(0.05)  # they have asked
    holder.child.kill()
    answers = await asyncio.gather(*waiting)
    with pytest.raises(AssertionError, match="has ended"):
        await dying
    assert loads(server, "a") == 2
    assert max(seconds for _, seconds in answers) < 0.5 + 0.3 + 3  # the lease, a load, and a slow machine


@pytest.mark.parametrize(
    "how",
    [("invalidate", 1), ("clear_prefix", "f", 1), ("clear", "f:1*"), ("clear_tags", "n:1"), ("clear_all",)],
    ids=["key", "prefix", "pattern", "tag", "all"],
)
async def test_an_invalidation_reaches_other_processes_at_once(server, processes, how):
    """Once it is awaited, neither their memory nor the server gives the old value any more."""
    one, other = await processes(2)
    assert await asyncio.gather(one("crowd", 1, 1, 0), other("crowd", 1, 1, 0))
    assert await other("peek", 1) == 0
    server.command("SET", "truth", 7)
    assert await one("clear", *how) is True

    async def forgotten():
        return await other("peek", 1) is None

    assert await until(forgotten) < 2  # a message's way, on a slow machine
    assert (await other("crowd", 1, 1, 0))[0] == [7]
    assert (await one("crowd", 1, 1, 0))[0] == [7]


async def test_instances_of_two_processes_are_not_mistaken_for_one_another(server, processes):
    """Each process numbers them as they come; only a key that is made of their values is the same in both."""
    one, other = await processes(2)
    assert await one("shops", ["a", "b"], 1) == [["a", "b"], ["a", "a"]]
    assert await other("shops", ["c", "d"], 1) == [["c", "d"], ["a", "a"]]
    assert [key for key in server.command("KEYS", "processes:*") if b"own" in key] == []


LOCAL = """
import asyncio, dataclasses, sys
from asyncfan import Cache

def make(name):
    @dataclasses.dataclass
    class Local:
        x: int
    Local.means = name
    return Local

url, first, second, asked = sys.argv[1:]
classes = {name: make(name) for name in (first, second)}
cache = Cache(store=url, namespace="local")

@cache.cache_function(expire=100, key_prefix="f")
async def f(values):
    return values[0].means

async def main():
    for name in (first, second):  # numbered in this order
        await f([classes[name](1)])
    print(*[await f([classes[asked](1)] * size) for size in (1, 20)])
    await cache.aclose()

asyncio.run(main())
"""


async def test_classes_made_at_run_time_are_not_mistaken_for_those_of_another_process(plain):
    """Each process numbers them as they come: what one stores under a number is another class's elsewhere."""
    for order in (("a", "b", "a"), ("b", "a", "b")):
        command = (sys.executable, "-c", LOCAL, plain.url, *order)
        child = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        said, _ = await child.communicate()
        assert said.split() == [order[2].encode()] * 2


# -- one process


def test_one_cache_serves_several_event_loops(server):
    """What the second `asyncio.run` asks for the first has stored."""
    made = []
    cache = Cache(store=server.url)

    @cache.cache_function(expire=100, key_prefix="f")
    async def f(n):
        made.append(n)
        return n

    async def main(n):
        found = await asyncio.gather(f(1), f(n))
        await cache.clear_prefix("f", n)
        return found

    async def last():
        found = await main(3)
        await cache.aclose()
        return found

    assert asyncio.run(main(2)) == [1, 2]
    assert asyncio.run(last()) == [1, 3]
    assert sorted(made) == [1, 2, 3]  # two connections: which reply comes first is nobody's promise


def test_plain_functions_share_values_too(server):
    """Without any event loop: the second cache finds what the first one loaded."""
    made = []
    first, second = Cache(store=server.url), Cache(store=server.url)

    def load(n):
        made.append(n)
        return {"n": n}

    f, g = (one.cache_function(expire=100, key_prefix="f")(load) for one in (first, second))
    assert f(1) == {"n": 1}
    assert g(1) == {"n": 1}
    assert made == [1]
    for one in (first, second):
        asyncio.run(one.aclose())


async def test_a_value_that_cannot_be_written_is_returned_and_kept_here(plain, caches, caplog):
    """The log says so (F26)."""
    value = object()

    @caches(plain.url, namespace="objects").cache_function(expire=100, key_prefix="f")
    async def f():
        return value

    assert await f() is value
    assert await f() is value
    assert "stays in this process only" in caplog.text


async def test_a_frozen_server_delays_a_hundred_cold_keys_by_its_deadline(server, caches):
    """All of them are loaded, in 0.3 s (F23)."""
    cache = caches(server.url)

    @cache.cache_function(expire=100, key_prefix="f")
    async def f(n):
        return n

    await f("warm")
    server.freeze()
    try:
        began = time.monotonic()
        assert await asyncio.gather(*map(f, range(100))) == list(range(100))
        assert time.monotonic() - began <= 3  # 0.3 on a machine at rest
    finally:
        server.thaw()


async def test_an_invalidation_of_a_dead_server_is_replayed_within_a_second_of_its_restart(server, caches):
    """It says that it is not confirmed; the calls meanwhile are served by loads (F14, F24)."""
    truth = [1]
    cache, other = caches(server.url), caches(server.url)

    async def load(n):
        return truth[0]

    f, g = (one.cache_function(expire=100, key_prefix="f")(load) for one in (cache, other))
    assert (await f(1), await g(1)) == (1, 1)
    server.kill()
    truth[0] = 2
    cleared = f.invalidate(1)
    await cleared
    assert not cleared.confirmed
    assert await f(1) == 2
    server.start()

    async def recovered():
        await g(random.random())  # the callers are what finds the server again
        return cleared.confirmed and cache.tier.stats().listening and other.tier.stats().listening

    assert await until(recovered) <= 5  # 1 on a machine at rest
    assert await g(1) == 2


async def test_a_restarted_node_of_a_cluster_is_used_within_a_second_of_answering_anybody(caches):
    """A node refuses everybody for the first two seconds, lest its slots are another's by now; we add less than one (F24).

    That is ``CLUSTER_WRITABLE_DELAY`` of Redis and Valkey; a plain client beside us says when it is over.
    """
    with ValkeyCluster() as cluster:
        node, end = cluster.nodes[0], cluster.BOUNDS[1]
        cache = caches(cluster.url, namespace="back")
        names = (n for n in itertools.count() if key_slot(f"f:{n}".encode()) < end)

        @cache.cache_function(expire=100, key_prefix="f")
        async def f(n):
            return n

        node.kill()
        for _ in range(100):  # long enough for the longest pause between probes
            await f(next(names))
            await asyncio.sleep(0.01)
        await asyncio.to_thread(node.start)
        name = next(names)

        def answers():
            with node.client() as client, contextlib.suppress(redis.RedisError):
                return client.set(f"back:{{f:{name}}}", "by a plain client")

        async def answers_anybody():
            return await asyncio.to_thread(answers)

        async def answers_us():
            await f(next(names))
            return cache.tier.stats().stored

        plain, ours = await asyncio.gather(until(answers_anybody), until(answers_us))
        assert ours - plain < 1
        await cache.aclose()


@pytest.mark.parametrize("kind", ["server", "cluster"])
async def test_ten_thousand_callers_of_different_keys_all_share(kind, caches, request):
    """Nobody does without the server for want of a connection: it is asked over a few of them (F28)."""
    number, server = 10_000, request.getfixturevalue(kind)
    servers = getattr(server, "nodes", [server])
    before = [one.connections_received() for one in servers]
    loads = []

    async def load(n):
        loads.append(n)
        return n

    for _ in range(2):
        cache = caches(patient(server, namespace="crowd"))
        f = cache.cache_function(expire=100, key_prefix="f")(load)
        assert await asyncio.gather(*map(f, range(number))) == list(range(number))

        async def written(cache=cache):
            return not cache.writes

        await until(written, timeout=20)
        stats = cache.tier.stats()
        assert (stats.unavailable, stats.failed, stats.fenced, stats.stored + stats.found) == (0, 0, 0, number)
    assert sorted(loads) == list(range(number))
    for one, connections in zip(servers, before, strict=True):
        assert one.connections_received() - connections <= 2 * (4 + 5)


async def test_ten_thousand_cancelled_callers_cost_no_connections(server, caches):
    """Nor does anybody get a wrong value, or does without the server (F27)."""
    cache = caches(patient(server))
    chance = random.Random(5)

    @cache.cache_function(expire=100, key_prefix="f")
    async def f(n):
        await asyncio.sleep(0)
        return n

    await f(-1)
    cancelled = 0
    for start in range(0, 1_000_000, 1_000):
        calls = {n: asyncio.create_task(f(n)) for n in range(start, start + 1_000)}
        for call in calls.values():
            asyncio.get_running_loop().call_later(chance.random() * 0.05, call.cancel)
        await asyncio.wait(calls.values())
        cancelled += sum(call.cancelled() for call in calls.values())
        assert all(call.cancelled() or call.result() == n for n, call in calls.items())
        if cancelled >= 10_000:
            break
    assert cancelled >= 10_000
    assert cache.tier.stats().unavailable == 0
    assert server.connections_received() <= 2 * (4 + 5)  # as many for the thread that listens


async def asked_of_the_server(server, caches, load):
    """How many scripts one `many` of 1,000 keys runs that another cache has loaded."""
    first, second = (caches(patient(server)) for _ in range(2))
    f, g = (one.cache_function(expire=100, key_prefix="f")(load) for one in (first, second))
    await f.many(range(1_000))
    await f.many([-1])

    async def written():
        return not first.writes

    await until(written)
    await g.many([-1])  # the first value that a process finds has it read the whole ledger too
    before = scripts(server)
    assert await g.many(range(1_000)) == list(range(1_000))
    assert second.stats().functions[0].shared_hits == 1_001
    return scripts(server) - before


def scripts(server):
    """How many scripts clients have had the server run."""
    with server.client() as client:
        stats = client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "eval"))


async def test_a_thousand_hits_of_a_batched_function_are_one_question(server, caches):
    """`many` asks the server once for all that memory has not."""

    @batched(max_batch_size=1_000)
    async def load(keys):
        return list(keys)

    assert await asked_of_the_server(server, caches, load) == 1


async def test_a_thousand_hits_of_a_function_of_one_key_are_one_question(server, caches):
    """`many` asks the server once for all that memory has not, before it loads any of them."""

    async def load(n):
        return n

    assert await asked_of_the_server(server, caches, load) == 1

"""A cache that processes share, on a Valkey server of this machine.

Workload: a function cached for 300 s, called with 1,000 different ints, 100 at once (``gather``). ``shared-get``:
    all are on the server and none in memory. ``shared-set``: none is anywhere; each is asked for, loaded by a
    function that never suspends, and stored. ``shared-hit``: one int that is on the server and in memory, one call
    after the other. ``shared-frozen``: 100 cold ints at once, of a server that was stopped (SIGSTOP) after it had
    answered.
Unit: us a call, and of these, the CPU's time in the caller's process; the server has a process of its own. Of the
    frozen one, ms until the last call has its value; 5,000 is no longer waited for.
Reading: what the shared tier adds to each call. On a busy machine, the CPU's time says more.
    ``redis-py`` is one ``GET`` a call, and one ``SET ... PX`` after a load, with as many connections as callers; the
    naive way is the same on one connection, one command at a time. Neither lets one process of many load what is
    missing, or knows of the clears of the others.
Command: python -m benchmarks shared
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from itertools import count, islice, repeat
from time import monotonic, perf_counter, process_time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from benchmarks.workload import Bar, Contestants, NotOfferedError, Workload, best

AT_ONCE = 100
EXPIRE = 300
LONGEST = 5  # seconds that the values of a frozen server are waited for
contestants = Contestants()


@dataclass(frozen=True, slots=True)
class Shared:
    """What a contestant makes of the loader and the server."""

    f: Callable[[int], Awaitable[Any]]
    close: Callable[[], Awaitable[Any]]
    forget: Callable[[], Any] = lambda: None  # all that is in memory


def value_of(key):
    return {"id": key, "name": f"user {key}", "tags": ["a", "b"]}


async def measure(make, n, work, *, memory=False):
    from tests.servers import Valkey

    loads = 0

    async def load(key):
        nonlocal loads
        loads += 1
        return value_of(key)

    with Valkey() as server:
        shared = await make(load, server.url, memory=memory)
        try:
            spent = await work(shared, n, lambda: loads)
            return {"us a call": spent.wall / n * 1e6, "CPU us a call": spent.cpu / n * 1e6}
        finally:
            await shared.close()


class Spent(NamedTuple):
    """Seconds."""

    wall: float
    cpu: float

    @classmethod
    def so_far(cls):
        return cls(perf_counter(), process_time())

    def since(self, start):
        return Spent(self.wall - start.wall, self.cpu - start.cpu)


async def least(batch):
    """Return the shortest time of a batch, and the least of the CPU's."""
    cpus = []

    async def timed():
        spent = await batch()
        cpus.append(spent.cpu)
        return spent.wall

    return Spent(await best(timed), min(cpus))


async def ask(f, keys):
    """Call with each key, so many at once; check the answers and return what it took."""
    answers = []
    keys = list(keys)
    start = Spent.so_far()
    for first in range(0, len(keys), AT_ONCE):
        answers += await asyncio.gather(*map(f, keys[first : first + AT_ONCE]))
    spent = Spent.so_far().since(start)
    assert answers == [value_of(key) for key in keys], "wrong values"
    return spent


async def get(shared, n, loads):
    await ask(shared.f, range(n))

    async def batch():
        shared.forget()
        return await ask(shared.f, range(n))

    spent = await least(batch)
    assert loads() == n, f"{loads()} loads for {n} keys: this contestant does not share"
    return spent


async def set_(shared, n, loads):
    keys = count()

    async def batch():
        before, mine = loads(), list(islice(keys, n))
        spent = await ask(shared.f, mine)
        shared.forget()
        await ask(shared.f, mine)
        assert loads() - before == n, f"{loads() - before} loads for {n} keys: this contestant does not store"
        return spent

    return await least(batch)


async def hit(shared, n, loads):
    f = shared.f
    for _ in range(2):
        await ask(f, [1])

    async def batch():
        start = Spent.so_far()
        for _ in repeat(None, n):
            await f(1)
        return Spent.so_far().since(start)

    spent = await least(batch)
    assert loads() == 1, f"{loads() - 1} of the timed calls were misses"
    return spent


def workload(name, title, *, reference, size, quick_size, measure):
    return Workload(
        name=name,
        title=title,
        figures=("us a call", "CPU us a call"),
        compared=("us a call", "CPU us a call"),
        reference=reference,
        size=size,
        quick_size=quick_size,
        measure=measure,
        contestants=contestants,
    )


SHARED_GET = workload(
    "shared-get",
    "{size:,} values on a server and not in memory, 100 at once",
    reference="redis-py",
    size=1_000,
    quick_size=500,
    measure=partial(measure, work=get),
)
SHARED_SET = workload(
    "shared-set",
    "{size:,} values loaded and stored on a server, 100 at once",
    reference="redis-py",
    size=1_000,
    quick_size=500,
    measure=partial(measure, work=set_),
)
SHARED_HIT = workload(
    "shared-hit",
    "Hit in the memory in front of a server: `await f(1)`",
    reference="cashews",
    size=20_000,
    quick_size=5_000,
    measure=partial(measure, work=hit, memory=True),
)


async def measure_frozen(make, n):
    from tests.servers import Valkey

    async def load(key):
        return value_of(key)

    with Valkey() as server:
        shared = await make(load, server.url, memory=False)
        try:
            await ask(shared.f, [-1])
            server.freeze()
            start = Spent.so_far()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LONGEST):
                    await ask(shared.f, range(n))
            return {"ms": Spent.so_far().since(start).wall * 1e3}
        finally:
            server.thaw()
            await shared.close()


SHARED_FROZEN = Workload(
    name="shared-frozen",
    title="{size:,} cold keys at once, of a server that has frozen",
    figures=("ms",),
    compared=("ms",),
    reference="asyncfan",
    size=100,
    quick_size=100,
    measure=measure_frozen,
    contestants=contestants,
    bars={"asyncfan": Bar(limit=300, aim=150, figure="ms", relative=False)},
)


def by_hand(load, ask_for, store):
    """Return the function that everyone writes first: look, else load and store."""

    async def f(key):
        data = await ask_for(f"load:{key}")
        if data is not None:
            return json.loads(data)
        value = await load(key)
        await store(f"load:{key}", json.dumps(value))
        return value

    return f


@contestants.add("asyncfan", package="asyncfan")
async def asyncfan(load, url, *, memory):
    from asyncfan import Cache
    from asyncfan.adapters.redis import RedisStore

    cache = Cache(store=RedisStore(url, timeout=2))
    return Shared(cache.cache_function(expire=EXPIRE, key_prefix="load")(load), cache.aclose, cache.forget_all)


@contestants.add("naive: one connection")
async def naive(load, url, *, memory):
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    lock, stored = asyncio.Lock(), {}

    async def run(*parts):
        parts = [part.encode() for part in parts]
        async with lock:
            writer.write(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts))
            head = await reader.readline()
            if head.startswith((b"+", b"$-1")):
                return None
            assert head.startswith(b"$"), head
            return (await reader.readexactly(int(head[1:]) + 2))[:-2]

    f = by_hand(load, partial(run, "GET"), lambda key, data: run("SET", key, data, "PX", str(EXPIRE * 1_000)))

    async def in_front(key):
        entry = stored.get(key)
        if entry is not None and monotonic() < entry[1]:
            return entry[0]
        value = await f(key)
        stored[key] = (value, monotonic() + EXPIRE)
        return value

    async def close():
        writer.close()
        await writer.wait_closed()

    return Shared(in_front if memory else f, close)


@contestants.add("redis-py", package="redis")
async def redis_py(load, url, *, memory):
    from redis.asyncio import Redis

    if memory:
        raise NotOfferedError("has no memory in front of the server")
    client = Redis.from_url(url)
    return Shared(by_hand(load, client.get, partial(client.set, px=EXPIRE * 1_000)), client.aclose)


@contestants.add("aiocache", package="aiocache")
async def aiocache(load, url, *, memory):
    from aiocache import RedisCache, cached
    from aiocache.serializers import JsonSerializer

    if memory:
        raise NotOfferedError("has no memory in front of the server")
    decorate = cached(
        EXPIRE,
        key_builder=lambda _, key: f"load:{key}",
        cache=RedisCache,
        serializer=JsonSerializer(),
        port=urlsplit(url).port,
    )
    return Shared(decorate(load), decorate.cache.close)


@contestants.add("cashews", package="cashews")
async def cashews(load, url, *, memory):
    from cashews import Cache
    from cashews.picklers import PicklerType

    cache = Cache()
    cache.setup(url, client_side=memory, pickle_type=PicklerType.JSON, max_connections=AT_ONCE)
    await cache.init()
    return Shared(cache(ttl=EXPIRE, key="load:{key}")(load), cache.close)

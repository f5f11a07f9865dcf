"""Many callers in several processes, one cold key on a Valkey server of this machine.

Workload: 4 processes with 250 tasks each call ``await f(1)`` at once, connected and warmed up by another key; neither
    memory nor the server has a value, which lives for 300 s; the function takes 0.1 s. Again with a second and a third
    key.
Unit: loads made by all processes together, of the worst key; ms from the word to begin until the last process has all
    its answers, of the best key.
Reading: the loads are what the backend sees when a popular entry expires: 1 is right, 4 is single flight in each
    process only. 100 ms of the time are the load. ``cashews`` holds a lock on the server and asks for it without a
    pause; those of ``aiocache`` hold up the callers of one process only, as its documentation says.
Command: python -m benchmarks stampede-processes
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from time import perf_counter
from urllib.parse import urlsplit

from benchmarks.workload import Bar, Contestants, Workload

from . import shared

PROCESSES = 4
KEYS = 3
LOAD_SECONDS = 0.1
contestants = Contestants()


async def measure(make, n):
    from tests.servers import Valkey

    name = next(name for name, entry in contestants.items() if entry.make is make)
    with Valkey() as server:
        async with AsyncExitStack() as stack:
            command = (sys.executable, "-c", f"import {__name__} as it; it.main()", name, server.url, str(n))
            pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
            children = []
            for _ in range(PROCESSES):
                children.append(await asyncio.create_subprocess_exec(*command, **pipes))
                stack.push_async_callback(end, children[-1])
            await ask(children, 0)
            rounds = [await ask(children, key) for key in range(1, KEYS + 1)]
    return {"loads": max(loads for loads, _ in rounds), "ms": min(seconds for _, seconds in rounds) * 1e3}


async def ask(children, key):
    """Have them all call at once; return how many loads they made, and the seconds until the last one had answers."""
    start = perf_counter()
    for child in children:
        child.stdin.write(f"{key}\n".encode())
    lines = await asyncio.gather(*(child.stdout.readline() for child in children))
    seconds = perf_counter() - start
    assert all(lines), "a process has failed"
    return sum(map(int, lines)), seconds


async def end(child):
    child.stdin.close()
    await child.wait()


async def call(name, url, n):
    """Do in this process what standard input says: a key a line, answered by how many loads it took."""
    loads = 0

    async def load(key):
        nonlocal loads
        loads += 1
        await asyncio.sleep(LOAD_SECONDS)
        return shared.value_of(key)

    made = await contestants[name].make(load, url)
    while line := await asyncio.to_thread(sys.stdin.readline):
        key, loads = json.loads(line), 0
        answers = await asyncio.gather(*(made.f(key) for _ in range(n)))
        assert answers == [shared.value_of(key)] * n, "wrong values"
        print(loads, flush=True)
    await made.close()


def main():
    asyncio.run(call(sys.argv[1], sys.argv[2], int(sys.argv[3])))


STAMPEDE_PROCESSES = Workload(
    name="stampede-processes",
    title=f"{PROCESSES} processes of {{size:,}} callers, one cold key of {LOAD_SECONDS * 1e3:.0f} ms",
    figures=("loads", "ms"),
    compared=("loads", "ms"),
    reference="cashews: lock",
    size=250,
    quick_size=50,
    measure=measure,
    contestants=contestants,
    bars={"asyncfan": Bar(1, 1, "loads", relative=False)},
)


@contestants.add("asyncfan", package="asyncfan")
async def asyncfan(load, url):
    return await shared.asyncfan(load, url, memory=True)


@contestants.add("naive: one connection")
async def naive(load, url):
    return await shared.naive(load, url, memory=True)


@contestants.add("aiocache: cached_stampede", package="aiocache")
async def aiocache(load, url):
    from aiocache import RedisCache, cached_stampede
    from aiocache.serializers import JsonSerializer

    decorate = cached_stampede(
        lease=60,
        ttl=shared.EXPIRE,
        key_builder=lambda _, key: f"load:{key}",
        cache=RedisCache,
        serializer=JsonSerializer(),
        port=urlsplit(url).port,
        pool_max_size=1_000,  # it asks for a connection a caller, and fails without
    )
    return shared.Shared(decorate(load), decorate.cache.close)


@contestants.add("cashews: lock", package="cashews")
async def cashews(load, url):
    from cashews import Cache
    from cashews.picklers import PicklerType

    cache = Cache()
    cache.setup(url, client_side=True, pickle_type=PicklerType.JSON, max_connections=shared.AT_ONCE)
    await cache.init()
    return shared.Shared(cache(ttl=shared.EXPIRE, key="load:{key}", lock=True)(load), cache.close)

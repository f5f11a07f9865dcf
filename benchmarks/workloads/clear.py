"""Clearing the ten entries of one user among very many.

Workload: a cache of entries ``user:profile:<user>:<page>``, ten pages a user. One user after the other is cleared by
    the prefix, each clear awaited to its end, while another task does nothing but let the event loop turn.
    ``clear`` has 100,000 entries, ``clear-million`` ten times as many.
Unit: ms that the loop stood still at most, the first clear included; ms for the first clear to its end, which may have
    to prepare what the others then use; us for each of the 100 clears after it.
Reading: whoever looks at every entry is as slow each time as the cache is large, and stops the loop meanwhile.
Command: python -m benchmarks clear
"""

import asyncio
import gc
from time import perf_counter

from benchmarks.workload import Bar, Contestants, Workload

PAGES = 10
CLEARS = 100
FIGURES = ("ms loop stall", "ms first clear", "us a clear")
contestants = Contestants()


async def measure(make, n):
    users = max(2, n // PAGES)
    clears = min(CLEARS, users - 1)
    clear, held = await make([(user, page) for user in range(users) for page in range(PAGES)])
    assert held() == users * PAGES, "does not hold them all"
    gc.collect()
    gc.disable()  # collecting garbage among so many entries would be the longest stall of all
    longest, watching = 0.0, True

    async def watch():
        nonlocal longest
        last = perf_counter()
        while watching:
            await asyncio.sleep(0)
            now = perf_counter()
            longest, last = max(longest, now - last), now

    watcher = asyncio.create_task(watch())
    await asyncio.sleep(0)
    times = []
    for user in range(1 + clears):
        start = perf_counter()
        await clear(user * (users // (1 + clears)))
        times.append(perf_counter() - start)
        await asyncio.sleep(0)
    watching = False
    await watcher
    assert held() == (users - 1 - clears) * PAGES, "did not clear what it should"
    first, *others = times
    return dict(zip(FIGURES, (longest * 1e3, first * 1e3, sum(others) / clears * 1e6), strict=True))


def workload(name, size, title):
    return Workload(
        name=name,
        title=title,
        figures=FIGURES,
        compared=("us a clear",),
        reference="naive: dict",
        size=size,
        quick_size=size // 10,
        measure=measure,
        contestants=contestants,
        bars={"asyncfan": Bar(10, 2, "ms loop stall", relative=False)},
    )


CLEAR = workload("clear", 100_000, "Clear one prefix of 10 entries among {size:,}")
CLEAR_MILLION = workload("clear-million", 1_000_000, "Clear one prefix of 10 entries among {size:,}")


@contestants.add("asyncfan", package="asyncfan")
async def asyncfan(pairs):
    from asyncfan import Cache

    cache = Cache(maxsize=None)
    f = cache.cache_function(expire=3600, key_prefix="user:profile")(lambda user, page: page)
    for user, page in pairs:
        f.put(page, user, page)

    async def clear(user):
        assert await cache.clear_prefix("user:profile", user) == PAGES

    return clear, lambda: len(cache)


@contestants.add("naive: dict")
async def naive(pairs):
    stored = {f"user:profile:{user}:{page}": page for user, page in pairs}

    async def clear(user):
        start = f"user:profile:{user}:"
        for key in [key for key in stored if key.startswith(start)]:
            del stored[key]

    return clear, lambda: len(stored)


@contestants.add("cashews", package="cashews", share=0.1)
async def cashews(pairs):
    from cashews import Cache

    cache = Cache()
    memory = cache.setup("mem://", size=10**9, check_interval=3600)
    for user, page in pairs:
        await cache.set(f"user:profile:{user}:{page}", page, expire=3600)

    async def clear(user):
        await cache.delete_match(f"user:profile:{user}:*")

    return clear, lambda: len(memory.store)

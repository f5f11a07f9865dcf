"""A cached hit of a plain function.

Workload: a ``def`` of one int argument, cached for 300 s and safe to call from several threads, called
    again and again with the same argument, ``f(1)``, from one thread.
Unit: ns a call, the ``for`` loop included.
Reading: ``functools.lru_cache`` is C and never expires: the floor, not a peer.
Command: python -m benchmarks hit-sync
"""

from itertools import repeat
from threading import Lock, RLock
from time import monotonic, perf_counter

from benchmarks.workload import Contestants, Workload, best

contestants = Contestants()


async def measure(make, n):
    loads = 0

    def load(key):
        nonlocal loads
        loads += 1
        return key * 10

    f = make(load)
    assert (f(1), f(1), f(2)) == (10, 10, 20), "wrong values"
    assert loads == 2, f"{loads} loads for 2 keys: this contestant does not cache"

    async def batch():
        start = perf_counter()
        for _ in repeat(None, n):
            f(1)
        return perf_counter() - start

    seconds = await best(batch)
    assert loads == 2, f"{loads - 2} of the timed calls were misses"
    return {"ns a call": seconds / n * 1e9}


HIT_SYNC = Workload(
    name="hit-sync",
    title="Cached hit of a plain function: `f(1)`",
    figures=("ns a call",),
    compared=("ns a call",),
    reference="cachetools",
    size=20_000,
    quick_size=5_000,
    measure=measure,
    contestants=contestants,
)


@contestants.add("asyncfan", package="asyncfan")
def asyncfan(load):
    from asyncfan import cache_function

    return cache_function(expire=300)(load)


@contestants.add("floor: functools.lru_cache")
def lru_cache(load):
    import functools

    return functools.lru_cache(maxsize=1_000)(load)


@contestants.add("naive: dict and lock")
def naive(load):
    stored, lock = {}, Lock()

    def f(key):
        with lock:
            entry = stored.get(key)
            if entry is None or monotonic() >= entry[1]:
                entry = stored[key] = (load(key), monotonic() + 300)
            return entry[0]

    return f


@contestants.add("cachetools", package="cachetools")
def cachetools(load):
    from cachetools import TTLCache, cached

    return cached(TTLCache(1_000, 300), lock=RLock())(load)


@contestants.add("cachebox", package="cachebox")
def cachebox(load):
    from cachebox import TTLCache, cached

    return cached(TTLCache(1_000, 300), postprocess=None)(load)

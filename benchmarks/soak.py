"""A chaos run of caches on a server that comes and goes: ``python -m benchmarks soak --seconds N``.

Workload: 20 callers of a function of 200 keys, in two caches with room for half of them that share a Valkey server, as
    two processes would. A value lives for 0.2 s and is served stale for another 0.05 s; a load takes up to 5 ms, and
    one in twenty fails; one call in ten is cancelled within 5 ms; a hundred times a second the origin changes and the
    key is invalidated; every 5 s the server is killed, and comes back 0.1 s later.
Reading: it fails, and says why, if a call is given a value from before an invalidation that was confirmed (in the other
    cache: that was confirmed longer ago than memory keeps values), gets another error than its own load's, or waits for
    longer than a machine under load explains; if a cache holds more than it should or miscounts; if more connections
    are open than so many caches need; if a task is left at the end; if memory grows with the calls.
"""

import argparse
import asyncio
import gc
import logging
import random
import time
import tracemalloc

CALLERS = 20
KEYS = 200
NODES = 2
CONNECTIONS = NODES * (4 + 1) + 5  # each of the event loop and the listener, and those just closed
MEMORY = 0.25  # seconds that a value may be served after it was read
DELAY = 2.0  # seconds in which the other cache has heard of a clear, on a machine that does other things too
BEAT = 0.01  # seconds between two beats of the event loop; more where it, or the machine, is busy
PATIENCE = 400  # beats that a call may take: the lease of a process that died, and a load
NOISE, LEAK = 500_000, 1  # bytes that memory may grow by at all, and with each call


class Soak:
    """Calls, cancels, invalidates and restarts, and notes every promise that was broken."""

    def __init__(self, server, seed):
        from asyncfan import Cache

        self.server = server
        self.chance = random.Random(seed)
        self.version = dict.fromkeys(range(KEYS), 0)  # what the origin has now
        self.confirmed = {n: [(0.0, 0)] for n in range(KEYS)}  # {key: [(since when, no call may get anything older)]}
        self.violations = []
        self.loads = self.cancelled = self.failed = self.restarts = self.calls = self.beats = 0
        self.caches = [Cache(maxsize=KEYS // 2, store=server.url) for _ in range(NODES)]
        options = {"stale_while_revalidate": 0.05, "refresh_ahead": True, "jitter": 0.1}
        self.nodes = [
            cache.cache_function(expire=0.2, key_prefix="soak", **options)(self.load) for cache in self.caches
        ]

    async def load(self, n):
        self.loads += 1
        value = self.version[n]
        await asyncio.sleep(self.chance.random() * 0.005)
        if self.chance.random() < 0.05:
            raise OSError("the origin failed")
        return value

    async def caller(self, node, end):
        while time.monotonic() < end:
            n = int(KEYS * self.chance.random() ** 3)
            least, began = self.least(n, node), self.beats
            call = asyncio.create_task(self.nodes[node](n))
            self.calls += 1
            if self.chance.random() < 0.1:
                asyncio.get_running_loop().call_later(self.chance.random() * 0.005, call.cancel)
            await asyncio.wait([call])
            beats = self.beats - began
            self.check(beats < PATIENCE, f"a call of key {n} took {beats} beats of {BEAT} s")
            if call.cancelled():
                self.cancelled += 1
            elif (error := call.exception()) is not None:
                self.failed += 1
                self.check(isinstance(error, OSError) and str(error) == "the origin failed", f"raised {error!r}")
            else:
                self.check(call.result() >= least, f"key {n}: version {call.result()} after {least} was confirmed")
            await asyncio.sleep(0)

    async def heart(self, end):
        while time.monotonic() < end:
            await asyncio.sleep(BEAT)
            self.beats += 1

    def least(self, n, node):
        """Return the oldest version that a call that begins now may get; the first cache is the one that clears."""
        known = time.monotonic() - (MEMORY + DELAY if node else 0)
        return max(version for since, version in self.confirmed[n] if since <= known)

    async def invalidator(self, end):
        while time.monotonic() < end:
            n = int(KEYS * self.chance.random() ** 3)
            self.version[n] += 1
            version = self.version[n]
            cleared = self.nodes[0].invalidate(n)
            await cleared
            if cleared.confirmed:
                confirmed = self.confirmed[n]
                confirmed.append((time.monotonic(), version))
                while len(confirmed) > 1 and confirmed[1][0] <= time.monotonic() - MEMORY - DELAY:
                    del confirmed[0]  # nobody asks that far back; kept, it would pass for a leak of the caches
            await asyncio.sleep(0.01)

    async def breaker(self, end, every):
        while time.monotonic() + every < end:
            await asyncio.sleep(every)
            await asyncio.to_thread(self.server.kill)
            await asyncio.sleep(0.1)
            await asyncio.to_thread(self.server.start)
            self.restarts += 1

    async def watcher(self, end, seconds):
        rows = []
        while time.monotonic() < end:
            await asyncio.sleep(min(1.0, seconds / 8))
            try:
                connections = await asyncio.to_thread(self.connections)
            except Exception:  # noqa: BLE001 - it is down
                connections = 0
            self.check(connections <= CONNECTIONS, f"{connections} connections are open")
            for cache in self.caches:
                self.check(len(cache) <= KEYS // 2, f"{len(cache)} entries in a cache of {KEYS // 2}")
            counted = self.counted()
            self.check(
                self.calls - CALLERS - self.cancelled <= counted <= self.calls, f"{counted} of {self.calls} calls"
            )
            gc.collect()
            rows.append((self.calls, tracemalloc.get_traced_memory()[0]))
            print(f"{rows[-1][1] / 1e6:7.2f} MB  {connections:3} connections  {len(asyncio.all_tasks()):4} tasks  "
                  f"{self.loads:8} loads  {self.calls:8} calls", flush=True)  # fmt: skip
        return rows

    def connections(self):
        with self.server.client() as client:
            return len(client.client_list()) - 1

    def counted(self):
        return sum(cache.stats().functions[0].calls for cache in self.caches)

    def check(self, true, message):
        if not true:
            self.violations.append(message)

    async def run(self, seconds):
        """Do it all for so long; return how many bytes memory has grown by in the second half of the calls."""
        end = time.monotonic() + seconds
        watching = asyncio.create_task(self.watcher(end, seconds))
        await asyncio.gather(
            *(self.caller(number % NODES, end) for number in range(CALLERS)),
            self.heart(end),
            self.invalidator(end),
            self.breaker(end, min(5, seconds / 3)),
        )
        rows = await watching
        for cache in self.caches:
            await cache.aclose()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        self.check(not left, f"tasks are left: {left}")
        counted = self.counted()
        # a task that is cancelled before its first step has not called
        self.check(self.calls - self.cancelled <= counted <= self.calls, f"{counted} calls counted of {self.calls}")
        grown, calls = growth(rows)
        self.check(grown <= NOISE + LEAK * calls, f"memory has grown by {grown} bytes in {calls} calls")
        return grown


def growth(rows):
    """Return by how many bytes memory has grown from the second quarter to the last one, and in how many calls.

    Of each quarter the least counts: what is under way at a look is no leak.
    """
    quarter = len(rows) // 4
    if not quarter:
        return 0, 0
    (before, least), (after, last) = (
        min(rows[n * quarter : (n + 1) * quarter], key=lambda row: row[1]) for n in (1, 3)
    )
    return last - least, after - before


def main(arguments):
    """Run, print, and return 1 if a promise was broken."""
    from tests.servers import Valkey

    parser = argparse.ArgumentParser(prog="python -m benchmarks soak", description="A chaos run of shared caches.")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="N", help="how long (60)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of what happens when (1)")
    options = parser.parse_args(arguments)
    logging.getLogger("asyncfan").setLevel(logging.ERROR)  # that the server has gone, at each restart
    gc.collect()
    gc.freeze()  # what was imported: the watcher's collections would stop the loop for long
    tracemalloc.start()
    try:
        with Valkey() as server:
            soak = Soak(server, options.seed)
            grown = asyncio.run(soak.run(options.seconds))
    finally:
        tracemalloc.stop()
    print(f"{soak.calls} calls, {soak.loads} loads, {soak.failed} failed, {soak.cancelled} cancelled, "
          f"{soak.restarts} restarts; memory {grown / 1e3:+.1f} kB; {len(soak.violations)} violations")  # fmt: skip
    for violation in soak.violations[:20]:
        print(f"violation: {violation}")
    return int(bool(soak.violations))

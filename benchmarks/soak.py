"""A chaos run of a cache on a server that comes and goes: ``python -m benchmarks soak --seconds N``."""

import argparse
import asyncio
import gc
import random
import time
import tracemalloc

CALLERS = 20
KEYS = 200
CONNECTIONS = 4 + 1 + 5  # of the event loop, the listener, and those just closed


class Soak:
    """Calls, cancels, invalidates and restarts, and notes every promise that was broken."""

    def __init__(self, server, seed):
        from asyncfan import Cache

        self.server = server
        self.chance = random.Random(seed)
        self.version = dict.fromkeys(range(KEYS), 0)  # what the origin has now
        self.confirmed = dict.fromkeys(range(KEYS), 0)  # no call that begins now may get anything older
        self.violations = []
        self.loads = self.cancelled = self.failed = self.restarts = self.calls = 0
        self.cache = Cache(maxsize=KEYS // 2, store=server.url)
        options = {"stale_while_revalidate": 0.05, "refresh_ahead": True, "jitter": 0.1}
        self.f = self.cache.cache_function(expire=0.2, key_prefix="soak", **options)(self.load)

    async def load(self, n):
        self.loads += 1
        value = self.version[n]
        await asyncio.sleep(self.chance.random() * 0.005)
        if self.chance.random() < 0.05:
            raise OSError("the origin failed")
        return value

    async def caller(self, end):
        while time.monotonic() < end:
            n = int(KEYS * self.chance.random() ** 3)
            least = self.confirmed[n]
            call = asyncio.create_task(self.f(n))
            self.calls += 1
            if self.chance.random() < 0.1:
                asyncio.get_running_loop().call_later(self.chance.random() * 0.005, call.cancel)
            await asyncio.wait([call])
            if call.cancelled():
                self.cancelled += 1
            elif (error := call.exception()) is not None:
                self.failed += 1
                self.check(isinstance(error, OSError) and str(error) == "the origin failed", f"raised {error!r}")
            else:
                self.check(call.result() >= least, f"key {n}: version {call.result()} after {least} was confirmed")
            await asyncio.sleep(0)

    async def invalidator(self, end):
        while time.monotonic() < end:
            n = int(KEYS * self.chance.random() ** 3)
            self.version[n] += 1
            version = self.version[n]
            cleared = self.f.invalidate(n)
            await cleared
            if cleared.confirmed:
                self.confirmed[n] = max(self.confirmed[n], version)
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
            await asyncio.sleep(min(1.0, seconds / 4))
            try:
                connections = await asyncio.to_thread(self.connections)
            except Exception:  # noqa: BLE001 - it is down
                connections = 0
            self.check(connections <= CONNECTIONS, f"{connections} connections are open")
            stats = self.cache.stats().functions[0]
            self.check(stats.calls >= self.calls - CALLERS, f"{stats} counts other calls than {self.calls}")
            gc.collect()
            rows.append((time.monotonic(), tracemalloc.get_traced_memory()[0]))
            print(f"{rows[-1][1] / 1e6:7.2f} MB  {connections:3} connections  {len(asyncio.all_tasks()):4} tasks  "
                  f"{self.loads:8} loads  {self.calls:8} calls", flush=True)  # fmt: skip
        return rows

    def connections(self):
        with self.server.client() as client:
            return len(client.client_list()) - 1

    def check(self, true, message):
        if not true:
            self.violations.append(message)

    async def run(self, seconds):
        end = time.monotonic() + seconds
        watching = asyncio.create_task(self.watcher(end, seconds))
        await asyncio.gather(
            *(self.caller(end) for _ in range(CALLERS)), self.invalidator(end), self.breaker(end, min(5, seconds / 3))
        )
        rows = await watching
        await self.cache.aclose()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        self.check(not left, f"tasks are left: {left}")
        calls = self.cache.stats().functions[0].calls
        # a task that is cancelled before its first step has not called
        self.check(self.calls - self.cancelled <= calls <= self.calls, f"{calls} calls counted of {self.calls}")
        return slope(rows[len(rows) // 4 :])


def slope(rows):
    """Return the bytes a second by which memory grows, by least squares."""
    if len(rows) < 2:
        return 0.0
    mean_t, mean_m = (sum(column) / len(rows) for column in zip(*rows, strict=True))
    return sum((t - mean_t) * (m - mean_m) for t, m in rows) / sum((t - mean_t) ** 2 for t, _ in rows)


def main(arguments):
    """Run, print, and return 1 if a promise was broken."""
    from tests.servers import Valkey

    parser = argparse.ArgumentParser(prog="python -m benchmarks soak", description="A chaos run of the shared cache.")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="N", help="how long (60)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of what happens when (1)")
    options = parser.parse_args(arguments)
    tracemalloc.start()
    try:
        with Valkey() as server:
            soak = Soak(server, options.seed)
            growth = asyncio.run(soak.run(options.seconds))
    finally:
        tracemalloc.stop()
    print(f"{soak.calls} calls, {soak.loads} loads, {soak.failed} failed, {soak.cancelled} cancelled, "
          f"{soak.restarts} restarts; memory {growth / 1e3:+.1f} kB/s; {len(soak.violations)} violations")  # fmt: skip
    for violation in soak.violations[:20]:
        print(f"violation: {violation}")
    return int(bool(soak.violations))

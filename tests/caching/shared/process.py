"""A process of its own with a cache on a server, told line by line what to do: see `Process` in test_processes.py."""

import asyncio
import json
import sys
import time

import redis

from asyncfan import Cache
from asyncfan.adapters.redis import RedisStore
from asyncfan.caching import MISSING
from asyncfan.caching.shared.tier import SharedTier


class Worker:
    """What the process can be told to do; loads and what they give are on the server."""

    def __init__(self, url, lease):
        self.server = redis.Redis.from_url(url, protocol=2)
        self.cache = Cache(store=SharedTier(RedisStore(url, namespace="processes", timeout=2), lease=lease))

        @self.cache.cache_function(expire=100, key_prefix="f", tags="n:{n}")
        async def f(n, seconds=0):
            self.server.incr(f"loads:{n}")
            await asyncio.sleep(seconds)
            return int(self.server.get("truth") or 0)

        self.f = f

        class Shop:
            def __init__(self, name):
                self.name = name

            @self.cache.cache_function(expire=100, key_prefix="own")
            async def own(self, n):
                return self.name

            @self.cache.cache_function(expire=100, key_prefix="named", key=lambda self, n: ("all shops", n))
            async def named(self, n):
                return self.name

        self.shop = Shop

    async def shops(self, names, n):
        """Make instances with these names; give what a method of each says that is keyed by instance, and by value."""
        shops = [self.shop(name) for name in names]
        return [[await shop.own(n) for shop in shops], [await shop.named(n) for shop in shops]]

    async def crowd(self, callers, n, seconds):
        """Have many call at once; give the different answers and how long the last one waited."""
        began = time.monotonic()
        answers = await asyncio.gather(*(self.f(n, seconds) for _ in range(callers)))
        return [sorted(set(answers)), time.monotonic() - began]

    async def peek(self, n):
        """Give what memory holds."""
        value = self.f.peek(n)
        return None if value is MISSING else value

    async def clear(self, how, *arguments):
        """Invalidate, and give whether the server has it."""
        cleared = (self.f.invalidate if how == "invalidate" else getattr(self.cache, how))(*arguments)
        await cleared
        return cleared.confirmed


async def main(url, lease):
    """Do what standard input says, a line each, and answer with a line."""
    worker = Worker(url, float(lease))
    while line := await asyncio.to_thread(sys.stdin.readline):
        name, *arguments = json.loads(line)
        sys.stdout.write(json.dumps(await getattr(worker, name)(*arguments)) + "\n")
        sys.stdout.flush()
    await worker.cache.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

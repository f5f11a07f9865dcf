"""A cache on a real server: every kind of server, and whatever may befall it, its calls return what is true."""

import asyncio
import contextlib
import logging
import time
from urllib.parse import quote

import pytest

from asyncfan.caching import MISSING
from tests.servers import Proxy, free_port

pytestmark = pytest.mark.real_time


async def until(condition, timeout=10.0):
    """Wait until something has come true that happens elsewhere."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)


# -- every kind of server

KINDS = {
    "plain": lambda get: get("plain").url,
    "password": lambda get: (
        f"redis://default:{quote(get('guarded').password, safe='')}@127.0.0.1:{get('guarded').port}/0"
    ),
    "tls": lambda get: f"rediss://127.0.0.1:{get('encrypted').port}/0?ssl_ca_certs={get('authority')[1]}",
    "unix": lambda get: f"unix://{get('plain').socket}",
    "cluster": lambda get: get("cluster").url,
}


@pytest.mark.parametrize("kind", KINDS)
async def test_caches_share_through_every_kind_of_server(kind, caches, request):
    """One load for both, and what one clears the other does not serve."""
    url, truth, loads = KINDS[kind](request.getfixturevalue), {}, []
    one, other = (caches(url, namespace=f"kinds-{kind}") for _ in range(2))

    async def load(n):
        loads.append(n)
        return truth.get(n, 0)

    f, g = (cache.cache_function(expire=100, key_prefix="f")(load) for cache in (one, other))
    assert await f.many(range(50)) == [0] * 50
    await until(lambda: not one.writes)
    assert await asyncio.gather(*map(g, range(50))) == [0] * 50
    assert sorted(loads) == list(range(50))
    truth[7] = 1
    await one.clear_prefix("f", 7)
    await until(lambda: g.peek(7) is MISSING)
    assert (await g(7), await g(8)) == (1, 0)


# -- whatever befalls it: each begins a trouble and returns what ends it


def killed(server, _proxy):
    """It is not there."""
    server.kill()
    return server.start


def frozen(server, _proxy):
    """It takes everything and answers nothing."""
    server.freeze()
    return server.thaw


def restarted(server, _proxy):
    """It has lost everything."""
    server.kill()
    server.start()
    return lambda: None


def full(server, _proxy):
    """It stores nothing more."""
    server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    server.command("CONFIG", "SET", "maxmemory", "1mb")
    return lambda: server.command("CONFIG", "SET", "maxmemory", "0")


def evicting(server, _proxy):
    """It loses values at random."""
    server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    server.command("CONFIG", "SET", "maxmemory", "1mb")
    return lambda: server.command("CONFIG", "SET", "maxmemory", "0")


def read_only(server, _proxy):
    """It has become a replica of one that cannot be reached."""
    server.command("REPLICAOF", "127.0.0.1", free_port())
    return lambda: server.command("REPLICAOF", "NO", "ONE")


def flushed(server, _proxy):
    """Somebody has emptied it."""
    server.command("FLUSHALL")
    return lambda: None


def spoilt(mode):
    """Something is wrong with what it answers."""

    def trouble(_server, proxy):
        proxy.mode, proxy.delay = mode, 0.3
        return lambda: setattr(proxy, "mode", "pass")

    trouble.__name__ = mode
    return trouble


TROUBLES = [
    killed, frozen, restarted, full, evicting, read_only, flushed,
    *map(spoilt, ["reset", "blackhole", "delay", "garbage", "truncate"]),
]  # fmt: skip


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
async def test_calls_return_what_is_true_whatever_befalls_the_server(trouble, server, caches):
    """While it is in trouble and after; then values are shared again, and only true ones."""
    with Proxy(server.port) as proxy:
        truth = dict.fromkeys(range(30), "old")
        one, other = (caches(f"redis://127.0.0.1:{proxy.port}/0") for _ in range(2))

        async def load(n):
            return truth.get(n, n)

        f, g = (cache.cache_function(expire=100, key_prefix="f")(load) for cache in (one, other))
        assert await f.many(range(10)) == ["old"] * 10
        end = trouble(server, proxy)
        try:
            began = time.monotonic()
            truth[1] = "new"
            cleared = f.invalidate(1)
            assert await asyncio.gather(*map(f, range(30))) == [truth[n] for n in range(30)]
            assert await g.many(range(10, 30)) == ["old"] * 20
            assert time.monotonic() - began < 5  # 0.5 on a machine at rest
        finally:
            end()

        fresh = iter(range(100, 1_000_000))

        async def shares():
            await cleared
            n = next(fresh)
            assert await f(n) == n
            await until(lambda: not one.writes)
            found = other.stats().functions[0].shared_hits
            assert await g(n) == n
            return cleared.confirmed and other.stats().functions[0].shared_hits > found

        async with asyncio.timeout(10):  # 1 on a machine at rest
            while not await shares():
                await asyncio.sleep(0.01)
        assert await g(1) == "new"


# -- what is sent


async def test_a_server_is_never_asked_for_all_its_keys_nor_for_a_script_of_the_day(server, caches):
    """Scans and unlinks in steps; the scripts are a handful, whatever is stored, tagged and cleared."""
    cache = caches(server.url)

    @cache.cache_function(expire=100, key_prefix="f", tags="n:{n}")
    async def f(n):
        if n < 0:
            raise ZeroDivisionError
        return n

    for first in range(0, 60, 20):
        await f.many(range(first, first + 20))
        with contextlib.suppress(ZeroDivisionError):
            await f(-1 - first)
        await until(lambda: not cache.writes)
        f.put(first, first)
        await f.refresh(first + 1)
        await f.invalidate(first)
        await cache.clear_tags(f"n:{first + 2}")
        await cache.clear(f"f:{first + 3}*")
        await cache.clear_prefix("f", first + 4)
    await cache.clear_all()
    with server.client() as client:
        stats, memory = client.info("commandstats"), client.info("memory")
    asked = {name.removeprefix("cmdstat_") for name in stats}
    assert {"scan", "unlink", "eval"} <= asked
    assert asked.isdisjoint({"keys", "flushall", "flushdb", "function|load", "script|load"})
    assert memory["number_of_cached_scripts"] <= 15


async def test_a_password_is_neither_shown_nor_logged(caches, caplog, guarded):
    """Not by the cache, its tier or its parts; right or wrong, in trouble or not."""
    caplog.set_level(logging.DEBUG)
    secret = quote(guarded.password, safe="")
    shown = []
    for url in (
        f"redis://default:{secret}@127.0.0.1:{guarded.port}/0",
        f"redis://default:wrong{secret}@127.0.0.1:{guarded.port}/0",
        f"redis://default:{secret}@127.0.0.1:{free_port()}/0",
    ):
        cache = caches(url, namespace="secrets")

        @cache.cache_function(expire=100, key_prefix="f")
        async def f(n):
            return n

        assert await f(1) == 1
        await f.invalidate(1)
        tier = cache.tier
        shown += map(repr, (cache, cache.stats(), tier, tier._store, tier._outbox, tier._bus, tier._ask._guard))
        shown += [str(f.explain(1)), *map(repr, asyncio.all_tasks())]
    for text in (*shown, caplog.text):
        assert secret not in text
        assert guarded.password not in text
    assert "going on without it" in caplog.text

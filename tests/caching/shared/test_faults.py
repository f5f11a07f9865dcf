"""Servers that are refused, killed, frozen, slow, full, read-only or talk nonsense: an error in time, and back soon."""

import asyncio
import random
import time

import pytest
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from asyncfan.caching.shared.protocol import Granted, Stored
from asyncfan.caching.shared.server.guard import Guard, Unavailable
from tests.servers import free_port

from .single import lease

pytestmark = pytest.mark.real_time

# The figures to hold are for a machine at rest; here they tell deadlines from the seconds of a client's own retries.
SLOW = 10


@pytest.fixture
def guard():
    """A guard with the usual deadline."""
    return Guard()


async def load(guard, store, name):
    """Get a value as a cache does: from the server, and without it if it cannot be had."""
    try:
        (stored,), _ = await guard(lambda: store.read([name]))
    except Unavailable:
        stored = None
    return stored.data if stored else b"loaded"


async def timed(awaitable):
    """Return a result and the seconds that it took."""
    began = time.perf_counter()
    return await awaitable, time.perf_counter() - began


async def reached_again(guard, store):
    """Return the seconds until a call succeeds, as busy callers find out."""
    began = time.perf_counter()
    while time.perf_counter() - began < 5:
        try:
            await guard(lambda: store.read(["a"]))
        except Unavailable:
            await asyncio.sleep(0.01)
        else:
            return time.perf_counter() - began
    return pytest.fail("it was not reached again")


# -- gone


async def test_a_refused_server_costs_one_look(connect, guard):
    """The first call pays for it, a thousand others nearly nothing (F23)."""
    store = connect(f"redis://127.0.0.1:{free_port()}", timeout=0.1)
    value, seconds = await timed(load(guard, store, "a"))
    assert (value, guard.state) == (b"loaded", "open")
    assert seconds < 0.1 * SLOW
    _, seconds = await timed(asyncio.gather(*(load(guard, store, f"n{i}") for i in range(1000))))
    assert seconds < 1 * SLOW


async def test_a_killed_server_is_found_again_after_its_restart(server, connect, guard):
    """Within a second (F23, F24)."""
    store = connect(server.url, timeout=0.1)
    assert await load(guard, store, "a") == b"loaded"
    server.kill()
    value, seconds = await timed(load(guard, store, "a"))
    assert value == b"loaded"
    assert seconds < 0.1 * SLOW
    for _ in range(100):  # long enough for the longest pause between probes
        await load(guard, store, "a")
        await asyncio.sleep(0.01)
    server.start()
    assert await reached_again(guard, store) < 1 * SLOW


async def test_a_restart_between_two_calls_goes_unnoticed(server, connect, guard):
    """Connections to the old one are replaced, not blamed."""
    store = connect(server.url, timeout=1)
    await asyncio.gather(*(store.read([f"n{i}"]) for i in range(1000)))
    server.kill()
    server.start()
    await guard(lambda: store.read(["a"]))
    assert (guard.failed, guard.state) == (0, "closed")


async def test_a_frozen_server_holds_a_hundred_cold_keys_up_once(server, connect, guard):
    """They all have their values within 0.3 s, and the next hundred at once (F23)."""
    store = connect(server.url, timeout=0.1)
    await load(guard, store, "warm")
    server.freeze()
    values, seconds = await timed(asyncio.gather(*(load(guard, store, f"n{i}") for i in range(100))))
    assert values == [b"loaded"] * 100
    assert seconds <= 0.3 * SLOW
    _, seconds = await timed(asyncio.gather(*(load(guard, store, f"n{i}") for i in range(100))))
    assert seconds <= 0.2 * SLOW
    server.thaw()
    assert await reached_again(guard, store) < 1 * SLOW
    await store.put("n1", b"data", None, b"")
    assert await load(guard, store, "n1") == b"data"  # and no reply from before the freeze


async def test_a_server_that_freezes_while_being_connected_to_holds_nobody_up_either(server, connect, guard):
    """The system accepts connections for it."""
    store = connect(server.url, timeout=0.1)
    server.freeze()
    _, seconds = await timed(asyncio.gather(*(load(guard, store, f"n{i}") for i in range(100))))
    assert seconds <= 0.3 * SLOW
    server.thaw()
    assert await reached_again(guard, store) < 1 * SLOW


async def test_a_network_that_swallows_everything_is_left_in_time(proxy, connect, guard):
    """As a frozen server is."""
    store = connect(f"redis://127.0.0.1:{proxy.port}", timeout=0.1)
    await load(guard, store, "a")
    proxy.mode = "blackhole"
    _, seconds = await timed(asyncio.gather(*(load(guard, store, f"n{i}") for i in range(100))))
    assert seconds <= 0.3 * SLOW
    proxy.mode = "pass"
    assert await reached_again(guard, store) < 1 * SLOW


async def test_a_slow_network_is_slow_and_no_more(proxy, connect):
    """Within the timeout, replies come."""
    store = connect(f"redis://127.0.0.1:{proxy.port}", timeout=1)
    await store.put("a", b"data", None, b"")
    proxy.mode, proxy.delay = "delay", 0.05
    ((stored,), _), seconds = await timed(store.read(["a"]))
    assert stored == Stored(b"data", None)
    assert 0.05 <= seconds < 0.5 * SLOW


async def test_a_server_that_is_far_away_is_reached_after_all(proxy, connect, guard):
    """Greetings take longer than a call may: they go on when their first caller has left, for the next one."""
    proxy.mode, proxy.delay = "delay", 0.06
    store = connect(f"redis://127.0.0.1:{proxy.port}", timeout=0.1)
    assert await reached_again(guard, store) < 1 * SLOW


async def test_a_busy_event_loop_is_not_taken_for_a_server_that_cannot_be_reached(plain, connect, guard):
    """Connecting has a deadline too, and no other than ours: what the loop computes meanwhile does not use it up."""
    store = connect(plain.url, timeout=0.02)
    call = asyncio.create_task(guard(lambda: store.read(["a"])))
    for _ in range(3):  # it connects
        await asyncio.sleep(0)
    time.sleep(0.3)  # somebody computes
    await call
    assert guard.failed == 0


# -- nonsense


@pytest.mark.parametrize("mode", ["reset", "garbage", "truncate"])
async def test_a_connection_that_goes_wrong_is_an_error_in_time(proxy, connect, guard, mode):
    """And none of it is taken for a value, nor later for the reply to something else."""
    store = connect(f"redis://127.0.0.1:{proxy.port}", timeout=0.1)
    await store.put("a", b"data", None, b"")
    proxy.mode = mode
    values, seconds = await timed(asyncio.gather(*(load(guard, store, "a") for _ in range(20))))
    assert values == [b"loaded"] * 20
    assert seconds <= 0.3 * SLOW
    proxy.mode = "pass"
    assert await reached_again(guard, store) < 1 * SLOW
    assert await load(guard, store, "a") == b"data"


async def test_connections_that_break_now_and_then_mix_nothing_up(proxy, connect):
    """Every value that is returned is the one that was asked for."""
    store = connect(f"redis://127.0.0.1:{proxy.port}", timeout=0.5)
    await asyncio.gather(*(store.put(f"n{i}", b"%d" % i, None, b"") for i in range(100)))
    choose = random.Random(1)
    errors = 0
    for _ in range(100):
        proxy.mode = choose.choice(["pass", "pass", "reset", "garbage", "truncate"])
        asked = [choose.randrange(100) for _ in range(10)]
        found = await asyncio.gather(*(store.read([f"n{i}"]) for i in asked), return_exceptions=True)
        for i, one in zip(asked, found, strict=True):
            if isinstance(one, Exception):
                assert isinstance(one, OSError)
                errors += 1
            else:
                assert one[0] == [Stored(b"%d" % i, None)]
    assert errors


# -- refusals of one command


async def test_a_full_server_fails_writes_only(server, connect, guard):
    """Reading and removing go on, nothing is opened, and it is well when there is room again."""
    store = connect(server.url, timeout=1)
    await store.put("a", b"data", None, b"")
    server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    server.command("CONFIG", "SET", "maxmemory", "1mb")
    for call in (lambda: store.put("b", b"x" * 1000, None, b""), lambda: lease(store, "b", "t", 10)):
        with pytest.raises(OutOfMemoryError):
            await guard(call)
    assert (await guard(lambda: store.read(["a"])))[0] == [Stored(b"data", None)]
    assert await guard(lambda: store.drop(["a"], b"")) == 1
    assert (guard.state, guard.failed) == ("closed", 2)
    server.command("CONFIG", "SET", "maxmemory", "0")
    assert isinstance(await guard(lambda: lease(store, "b", "t", 10)), Granted)


async def test_an_evicting_server_only_forgets(server, connect):
    """Also the ledger: a new one then has another run."""
    server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    server.command("CONFIG", "SET", "maxmemory", "3mb")
    store = connect(server.url, timeout=5)
    for i in range(0, 4000, 100):
        await asyncio.gather(*(store.put(f"n{j}", b"%d" % j * 500, None, b"") for j in range(i, i + 100)))
    values, _ = await store.read([f"n{i}" for i in range(4000)])
    assert all(value is None or value.data == b"%d" % i * 500 for i, value in enumerate(values))
    assert None in values


async def test_a_read_only_replica_fails_writes_only(server, connect, guard):
    """As after a failover that the client has not noticed."""
    store = connect(server.url, timeout=1)
    await store.put("a", b"data", None, b"")
    server.command("CONFIG", "SET", "replica-serve-stale-data", "yes")
    server.command("REPLICAOF", "127.0.0.1", free_port())
    with pytest.raises(ReadOnlyError):
        await guard(lambda: store.put("a", b"other", None, b""))
    assert (await guard(lambda: store.read(["a"])))[0] == [Stored(b"data", None)]
    assert guard.state == "closed"
    server.command("REPLICAOF", "NO", "ONE")
    await guard(lambda: store.put("a", b"other", None, b""))


async def test_a_failing_command_fails_alone(plain, connect):
    """Others that travel with it are fine."""
    store = connect(plain.url, namespace="wrongtype")
    plain.command("SET", "wrongtype:ledger", "no hash")
    other = connect(plain.url, namespace="righttype")
    other._server._clients = store._server._clients  # so that they share connections
    found = await asyncio.gather(store.read(["a"]), other.read(["a"]), store.read(["a"]), return_exceptions=True)
    assert [type(one) for one in found] == [ResponseError, tuple, ResponseError]


# -- cancellation and crowds


async def test_ten_thousand_cancellations_cost_no_connection(plain, connect):
    """And no caller ever gets a reply to somebody else's question (F27)."""
    store = connect(plain.url, timeout=5)
    names = [f"n{i}" for i in range(50)]
    for name in names:
        await store.put(name, name.encode(), None, b"")
    before = plain.connections_received()
    choose = random.Random(7)
    cancelled = wrong = 0

    async def ask():
        nonlocal wrong
        name = choose.choice(names)
        (stored,), _ = await store.read([name])
        wrong += stored.data != name.encode()

    while cancelled < 10_000:
        calls = [asyncio.ensure_future(ask()) for _ in range(400)]
        for call in choose.sample(calls, 300):
            asyncio.get_running_loop().call_later(choose.random() * 0.02, call.cancel)
        await asyncio.wait(calls)
        cancelled += sum(call.cancelled() for call in calls)
        assert not [call for call in calls if not call.cancelled() and call.exception()]
    assert wrong == 0
    assert plain.connections_received() - before - 1 <= 4 + 5


async def test_ten_thousand_callers_need_four_connections(plain, connect):
    """None of them hears of a pool (F28)."""
    store = connect(plain.url, timeout=5)
    before = plain.connections_received()
    found = await asyncio.gather(*(store.read([f"n{i}"]) for i in range(10_000)))
    assert len(found) == 10_000
    assert plain.connections_received() - before - 1 <= 4

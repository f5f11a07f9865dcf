"""One cache used from many threads and event loops, over their ends, over a fork, and at shutdown: F35 to F38."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from asyncfan import SelfCancelledError
from asyncfan.caching import Cache
from asyncfan.caching.loads import flights
from asyncfan.testing import Gate

from .conftest import assert_sound

THREADS = 4


def in_threads(count, work):
    """Run ``work(number)`` in so many threads at once; their values, or the first error."""
    with ThreadPoolExecutor(count) as pool:
        return [call.result(60) for call in [pool.submit(work, n) for n in range(count)]]


@pytest.fixture
def cache():
    """A cache on the real clock."""
    found = Cache()
    yield found
    assert_sound(found)


# -- threads and loops --------------------------------------------------------------------------------------------------


@pytest.mark.real_time
def test_four_loops_share_loads_and_values(cache):
    """4 threads with a loop each, 1,000 callers in each: no error, every key loaded once (F35)."""
    barrier, loads = threading.Barrier(THREADS), []

    @cache.cache_function
    async def f(n):
        loads.append(n)
        await asyncio.sleep(0.02)
        return n, object()

    async def callers():
        barrier.wait(10)
        return await asyncio.gather(*(f(n % 50) for n in range(1_000)))

    found = in_threads(THREADS, lambda _: asyncio.run(callers()))
    assert sorted(loads) == list(range(50))
    assert [len(set(values)) for values in zip(*found, strict=True)] == [1] * 1_000
    info = f.cache_info()
    assert info.hits + info.misses + info.joined == 4_000


@pytest.mark.real_time
def test_waiter_in_another_loop_gets_the_error(cache):
    """An exception reaches the waiters of every loop."""
    barrier = threading.Barrier(2)

    @cache.cache_function
    async def f():
        await asyncio.sleep(0.05)
        raise KeyError("gone")

    async def call():
        with pytest.raises(KeyError, match="gone"):
            await f()
        return True

    def work(_):
        barrier.wait(10)
        return asyncio.run(call())

    assert in_threads(2, work) == [True, True]


@pytest.mark.real_time
def test_waiter_in_another_loop_can_leave(cache):
    """A caller that leaves from another loop harms nobody; the last to leave cancels the load where it runs."""
    started, left, ended = threading.Event(), threading.Event(), []

    @cache.cache_function
    async def f():
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(threading.current_thread())
            raise

    async def follower():
        call = asyncio.create_task(f())
        while not f.cache_info().joined:
            await asyncio.sleep(0.001)
        joined.set()
        assert await asyncio.to_thread(left.wait, 10)
        call.cancel()
        await asyncio.wait([call])

    joined = threading.Event()

    async def first():
        load = asyncio.create_task(f())
        await asyncio.sleep(0)
        assert await asyncio.to_thread(joined.wait, 10)
        load.cancel()
        await asyncio.wait([load])
        held = not ended
        left.set()
        while not ended:
            await asyncio.sleep(0.005)
        return held, ended[0] is threading.current_thread()

    def work(number):
        if number == 0:
            return asyncio.run(first())
        assert started.wait(10)
        return asyncio.run(follower())

    assert in_threads(2, work)[0] == (True, True)


@pytest.mark.real_time
def test_plain_functions_from_16_threads_make_no_error(cache):
    """Hits, misses, clears and evictions from 16 threads at once leave the cache sound (F35)."""
    small = Cache(maxsize=20)
    f = small.cache_function(0.001, key_prefix="f")(lambda n: n)
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:

        def work(number):
            for n in range(2_000):
                assert f(n % 37) == n % 37
                if n % 50 == number:
                    small.clear(f"f:{n % 37}*")
                if n % 97 == number:
                    f.invalidate(n % 37)

        in_threads(16, work)
    finally:
        sys.setswitchinterval(switch)
    assert_sound(small)
    info = f.cache_info()
    assert info.hits + info.misses + info.joined == 32_000


@pytest.mark.real_time
def test_plain_function_is_loaded_once_for_many_threads(cache):
    """Sixteen threads that ask for a cold key make one load, and all get its value."""
    barrier, loads = threading.Barrier(16), []

    @cache.cache_function
    def f():
        loads.append(1)
        time.sleep(0.05)
        return object()

    def work(_):
        barrier.wait(10)
        return f()

    assert (len(set(in_threads(16, work))), len(loads)) == (1, 1)


# -- loops that end --------------------------------------------------------------------------------------------------------


@pytest.mark.real_time
def test_values_outlive_their_loop(cache):
    """``asyncio.run`` again and again uses one cache: values stay, timers and loads do not get in the way."""
    loads = []

    @cache.cache_function(expire=0.2)
    async def f(n):
        loads.append(n)
        await asyncio.sleep(0)
        return n

    for _ in range(5):
        asyncio.run(f(1))
    assert loads == [1]


@pytest.mark.real_time
def test_loop_closed_in_the_middle_of_a_load_kills_no_key(cache):
    """The next loop loads anew what a dead one never finished (F36)."""
    loads = []

    @cache.cache_function
    async def f():
        loads.append(1)
        await asyncio.sleep(0.01 if len(loads) > 1 else 60)
        return len(loads)

    loop = asyncio.new_event_loop()
    call = loop.create_task(f())
    loop.run_until_complete(asyncio.sleep(0))
    (load,) = cache.tasks
    loop.close()  # as a crashing server does
    for task in (call, load):
        task._log_destroy_pending = False
        task.get_coro().close()
    cache.tasks.clear()
    assert asyncio.run(f()) == 2


@pytest.mark.real_time
@pytest.mark.parametrize("dies", [True, False], ids=["closed", "stopped"])
def test_waiter_of_a_loop_that_ends_loads_itself(cache, monkeypatch, dies):
    """A caller that waits for a load in another loop takes over when that loop does not run any more (F36)."""
    monkeypatch.setattr(flights, "WATCH", 0.01)
    loads, calls, began, joined = [], [], threading.Event(), threading.Event()

    @cache.cache_function
    async def f():
        loads.append(threading.current_thread())
        began.set()
        await asyncio.sleep(60 if len(loads) == 1 else 0)
        return len(loads)

    async def follower():
        asyncio.get_running_loop().call_later(0.02, joined.set)
        async with asyncio.timeout(10):
            return await f()

    loop = asyncio.new_event_loop()
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(loop.run_forever)
        loop.call_soon_threadsafe(lambda: calls.append(loop.create_task(f())))
        assert began.wait(10)
        found = pool.submit(asyncio.run, follower())
        assert joined.wait(10)
        (load,) = cache.tasks
        loop.call_soon_threadsafe(loop.stop)
        running.result(10)
        if dies:
            loop.close()
        assert found.result(10) == 2
    loop.close()
    for task in (*calls, load):
        task._log_destroy_pending = False
        task.get_coro().close()
    cache.tasks.clear()


@pytest.mark.real_time
def test_nobody_waits_for_a_loop_that_does_not_run(cache):
    """One that is run now and then may stand still for ever; what it loads when it goes on is given to its own callers."""
    loads, go_on = [], asyncio.Event()

    @cache.cache_function
    async def f():
        loads.append(mine := len(loads) + 1)
        if mine == 1:
            await go_on.wait()
        return mine

    async def begin():
        call = asyncio.create_task(f())
        await asyncio.sleep(0)
        return call

    async def end(call):
        go_on.set()
        return await call

    with asyncio.Runner() as now_and_then:
        call = now_and_then.run(begin())
        assert asyncio.run(asyncio.wait_for(f(), 10)) == 2
        assert now_and_then.run(end(call)) == 1
    assert f.peek() == 2


@pytest.mark.real_time
def test_waiter_of_a_run_that_ends_loads_itself(cache):
    """A loop that ends in order cancels its loads; who waits in another loop loads itself, without an error (F36)."""
    loads, started = [], threading.Event()

    @cache.cache_function
    async def f():
        loads.append(1)
        started.set()
        await asyncio.sleep(60 if len(loads) == 1 else 0)
        return len(loads)

    async def leader():
        call = asyncio.create_task(f())
        while not f.cache_info().joined:
            await asyncio.sleep(0.001)
        (load,) = cache.tasks
        load.cancel()  # as asyncio.run does at its end
        with pytest.raises(SelfCancelledError):
            await call

    def work(number):
        if number == 0:
            return asyncio.run(leader())
        assert started.wait(10)
        return asyncio.run(f())

    assert in_threads(2, work) == [None, 2]


@pytest.mark.real_time
def test_run_that_ends_during_a_load_leaves_a_live_key(cache):
    """``asyncio.run`` cancels what still runs; the key is loaded by the next one."""
    loads = []

    @cache.cache_function
    async def f():
        loads.append(1)
        await asyncio.sleep(60 if len(loads) == 1 else 0)
        return len(loads)

    async def leaves():
        asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)
        await f()

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(leaves())
    assert asyncio.run(f()) == 2


@pytest.mark.real_time
def test_timer_of_another_threads_loop_is_left_to_that_thread(cache):
    """A timer is cancelled only in the thread of its own loop, which may not be touched from elsewhere."""
    cancelled = []

    class Loop(asyncio.SelectorEventLoop):
        def _timer_handle_cancelled(self, handle):
            cancelled.append(threading.get_ident() == self.ident)
            super()._timer_handle_cancelled(handle)

    stay, there = threading.Event(), threading.Event()

    async def first():
        await cache.cache_function(expire=1_000)(_identity)(1)
        there.set()
        await asyncio.to_thread(stay.wait, 10)

    async def second():
        await cache.cache_function(expire=10)(_identity)(1)
        await cache.aclose()

    def work(number):
        loop = Loop()
        loop.ident = threading.get_ident()
        if number:
            assert there.wait(10)
        loop.run_until_complete(first() if number == 0 else second())
        stay.set()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    in_threads(2, work)
    assert False not in cancelled


def eager_loop():
    """A loop that starts every task at once."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


def uv_loop():
    """A loop of uvloop's."""
    return pytest.importorskip("uvloop").new_event_loop()


LOOPS = [uv_loop, *([eager_loop] if sys.version_info >= (3, 12) else [])]


@pytest.mark.real_time
@pytest.mark.parametrize("make", LOOPS)
def test_other_event_loops_keep_the_promises(cache, make):
    """Joining, leaving, failing, recursion and expiry are the same on uvloop and with eager tasks."""
    loads = []

    @cache.cache_function(expire=0.05, key_prefix="f")
    async def f(n):
        loads.append(n)
        if n == 0:
            return n
        await asyncio.sleep(0.01)
        if n == 2:
            raise KeyError(n)
        return await f(n) if n == 3 else n

    async def main():
        leaving = asyncio.ensure_future(f(1))
        calls = [asyncio.ensure_future(f(n)) for n in (0, 1, 1, 2, 2, 3)]
        await asyncio.sleep(0)
        leaving.cancel()
        found = await asyncio.gather(leaving, *calls, return_exceptions=True)
        await asyncio.sleep(0.2)
        return [type(value).__name__ for value in found], len(cache)

    with asyncio.Runner(loop_factory=make) as runner:
        found, left = runner.run(main())
    assert found == ["CancelledError", "int", "int", "int", "KeyError", "KeyError", "RecursiveLoadError"]
    assert (sorted(loads), left) == ([0, 1, 2, 3], 0)


async def _identity(n):
    return n


# -- fork --------------------------------------------------------------------------------------------------------------------

FORK = """
import asyncio, os, sys, threading
from asyncfan.caching import Cache

cache = Cache()
loads = []

@cache.cache_function
async def f(n):
    loads.append(n)
    if n == 2 and os.getpid() == parent:
        await asyncio.sleep(60)
    return n, os.getpid()

@cache.cache_function
def g(n):
    if os.getpid() == parent:
        started.set()
        go.wait(10)
    return n, os.getpid()

parent, started, go = os.getpid(), threading.Event(), threading.Event()
loop = asyncio.new_event_loop()
loop.run_until_complete(f(1))
call = loop.create_task(f(2))          # a load is open
loop.run_until_complete(asyncio.sleep(0))
thread = threading.Thread(target=g, args=(1,))
thread.start()
started.wait(10)                       # and another, in a thread that the child will not have
HELD
child = os.fork()
if child == 0:
    asyncio.set_event_loop(None)
    code = 1
    try:
        assert asyncio.run(f(2)) == (2, os.getpid()), "the child loads itself"
        assert asyncio.run(f(1))[1] == EXPECTED, "what was stored"
        assert g(1) == (1, os.getpid()), "the child loads itself in a thread"
        code = 0
    finally:
        os._exit(code)
RELEASE
_, status = os.waitpid(child, 0)
go.set()
thread.join(10)
assert g(1) == (1, parent)
call.cancel()
loop.run_until_complete(asyncio.wait([call]))
loop.close()
assert asyncio.run(f(1)) == (1, parent)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.real_time
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("held", [False, True])
def test_child_of_a_fork_loads_itself(held):
    """Forked with loads open, even in the middle of a change, the child is whole and the parent unaffected (F37)."""
    script = FORK.replace("EXPECTED", "os.getpid()" if held else "parent").replace(
        "HELD",
        "held, release = threading.Event(), threading.Event()\n"
        "def hold():\n    with cache.store.lock:\n        held.set(); release.wait(10)\n"
        "holder = threading.Thread(target=hold); holder.start(); held.wait(10)" if held else "",
    ).replace("RELEASE", "release.set(); holder.join()" if held else "")  # fmt: skip
    found = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")


# -- shutdown ------------------------------------------------------------------------------------------------------------------


async def test_aclose_cancels_and_awaits_the_loads():
    """When it returns, no load of this loop runs; callers are told, entries stay, and the cache works on (F38)."""
    cache, gate, cleaned = Cache(), Gate(), []

    @cache.cache_function
    async def f(n):
        if n == 1:
            return n
        try:
            await gate.enter()
        finally:
            await asyncio.sleep(1)
            cleaned.append(n)

    await f(1)
    call = asyncio.create_task(f(2))
    await gate.reached()
    await cache.aclose()
    assert (cleaned, cache.tasks, len(cache)) == ([2], set(), 1)
    with pytest.raises(SelfCancelledError):
        await call
    gate.open()
    assert await f(2) is None


async def test_cache_is_an_async_context_manager():
    """Leaving the block closes the cache."""
    async with Cache() as cache:
        call = asyncio.create_task(cache.cache_function(_forever)())
        await asyncio.sleep(0)
        assert len(cache.tasks) == 1
    assert cache.tasks == set()
    with pytest.raises(SelfCancelledError):
        await call


async def _forever():
    await asyncio.Event().wait()


@pytest.mark.real_time
def test_aclose_waits_for_a_background_load_whose_thread_is_just_being_started(monkeypatch):
    """It could not be joined yet."""
    cache, closed, start = Cache(clock=lambda: now), [], threading.Thread.start
    now = 0.0

    @cache.cache_function(expire=1, stale_while_revalidate=10)
    def f():
        return now

    def started(thread):
        if thread.name.startswith("asyncfan"):
            start(closer)
            closer.join(0.2)  # it would have failed by then
        start(thread)

    closer = threading.Thread(target=lambda: closed.append(asyncio.run(cache.aclose())))
    f()
    now = 2.0
    monkeypatch.setattr(threading.Thread, "start", started)
    f()
    closer.join()
    assert closed == [None]
    assert cache.threads == set()


async def test_aclose_inside_a_load_does_not_wait_for_itself():
    """A load may close the cache that runs it."""
    cache = Cache()

    @cache.cache_function
    async def f():
        await asyncio.sleep(0)
        await cache.aclose()
        return 1

    assert await f() == 1


SHUTDOWN = """
import asyncio, gc
from asyncfan.caching import Cache

async def main():
    async with Cache() as cache:
        @cache.cache_function(expire=10)
        async def f(n):
            await asyncio.sleep(0 if n else 60)
            return n
        await f(1)
        call = asyncio.create_task(f(0))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
    waiting = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
    assert not waiting, waiting

asyncio.run(main())
gc.collect()
"""


@pytest.mark.real_time
def test_program_ends_without_a_warning():
    """In development mode with warnings as errors, a program that closes its cache ends in silence (F38)."""
    found = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", SHUTDOWN],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


async def test_cache_starts_no_thread():
    """A hundred caches with expiring, refreshed and cleared values have no thread of their own."""
    before = set(threading.enumerate())
    loop = asyncio.get_running_loop()
    for cache in [Cache(clock=loop.time) for _ in range(100)]:

        @cache.cache_function(expire=1, stale_while_revalidate=1, key_prefix="f")
        async def f(n):
            return n

        await f.many(range(3))
        await asyncio.sleep(1.5)
        await f(1)
        await cache.clear("f:1*")
        await asyncio.sleep(3)
        await cache.aclose()
    assert set(threading.enumerate()) == before


def test_cache_reads_well(cache):
    """Its text shows entries, bound and loads."""
    assert (repr(cache), repr(Cache(maxsize=None))) == (
        "<Cache 0/100000 entries, 0 loading>",
        "<Cache 0 entries, 0 loading>",
    )

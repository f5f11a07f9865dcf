"""What one load does to its callers and leaves behind: errors, tasks, cancellation, recursion."""

import asyncio
import contextvars
import gc
import traceback
import weakref

import pytest

from asyncfan.caching import Cache
from asyncfan.exceptions import RecursiveLoadError, SelfCancelledError
from asyncfan.testing import Gate, ManualClock


class LoadFailedError(Exception):
    """What a source raises."""


async def turns(number):
    """Let the loop turn so many times."""
    for _ in range(number):
        await asyncio.sleep(0)


# -- recursion ------------------------------------------------------------------------------------------------------


async def test_load_that_waits_for_itself_through_another_is_refused():
    """A load of f that calls g that calls f is an error that names the chain, not a wait for ever."""
    cache = Cache()

    @cache.cache_function(key_prefix="f")
    async def f(n):
        return await g(n)

    @cache.cache_function(key_prefix="g")
    async def g(n):
        return await f(n)

    with pytest.raises(RecursiveLoadError) as caught:
        await asyncio.wait_for(f(1), 1)
    assert caught.value.chain == ("g:1", "f:1", "g:1")


async def test_leader_that_waits_for_itself_through_another_is_refused():
    """A request whose handler calls a cached function that makes the same request is refused too."""
    cache = Cache()
    page = cache.operation("page", "page")

    @cache.cache_function(key_prefix="f")
    async def f(n):
        return await page.lead(n, lambda: f(n))

    with pytest.raises(RecursiveLoadError):
        await asyncio.wait_for(page.lead(1, lambda: f(1)), 1)


async def test_load_that_gave_up_waiting_may_be_waited_for():
    """Once f has stopped waiting for g, g may wait for f: there is no circle any more."""
    cache, gate = Cache(), Gate()

    @cache.cache_function(key_prefix="f")
    async def f(n):
        try:
            return await asyncio.wait_for(g(n), 1)
        except TimeoutError:
            gate.open()
            await asyncio.sleep(1)
            return "alone"

    @cache.cache_function(key_prefix="g")
    async def g(n):
        await gate.enter()
        return await f(n)

    async with asyncio.TaskGroup() as group:
        found = [group.create_task(f(1)), group.create_task(g(1))]
    assert [task.result() for task in found] == ["alone", "alone"]


async def test_loads_nest_deeper_than_the_stack():
    """A chain of 2,000 cached calls, each waiting for the next, needs no deep stack."""
    cache = Cache()

    @cache.cache_function
    async def countdown(n):
        return n and 1 + await countdown(n - 1)

    assert await countdown(2_000) == 2_000


async def test_load_that_could_not_begin_leaves_no_dead_key(monkeypatch):
    """When a task cannot be started, the caller gets the error, and the next one loads."""
    cache = Cache()

    @cache.cache_function
    async def get(n):
        return n

    with monkeypatch.context() as broken:
        broken.setattr(asyncio, "Task", lambda coroutine, **_: coroutine.close() or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await get(1)
    assert await asyncio.wait_for(get(1), 1) == 1


# -- errors -----------------------------------------------------------------------------------------------------


async def test_error_for_a_thousand_callers_has_a_short_traceback():
    """One error raised at 1,000 callers shows the frames of one call each time, not of all that raised it before."""
    gate = Gate()

    @Cache().cache_function
    async def get():
        await gate.enter()
        raise LoadFailedError

    async def depth():
        try:
            await get()
        except LoadFailedError as error:
            return len(traceback.extract_tb(error.__traceback__))

    callers = [asyncio.ensure_future(depth()) for _ in range(1_000)]
    await gate.reached()
    gate.open()
    depths = set(await asyncio.gather(*callers))
    assert len(depths) == 1
    ours = depths.pop() - 2  # the caller's own frame, and the source's
    assert ours <= 5


async def test_error_is_freed_with_its_last_reference():
    """An error and what its frames hold are gone at once, without the garbage collector."""

    class Big:
        pass

    held = []
    gate = Gate()

    @Cache().cache_function
    async def get():
        big = Big()
        held.append(weakref.ref(big))
        await gate.enter()
        raise LoadFailedError

    async def call():
        try:
            await get()
        except LoadFailedError:
            return

    gc.collect()
    gc.disable()
    try:
        callers = [asyncio.ensure_future(call()) for _ in range(1_000)]
        await gate.reached()
        gate.open()
        await asyncio.wait(callers)
        callers.clear()
        await turns(2)
        assert held[0]() is None
    finally:
        gc.enable()


# -- tasks --------------------------------------------------------------------------------------------------------


async def test_load_is_cancelled_soon_after_its_last_caller_left():
    """Two turns of the loop after its last caller left, the load cleans up, and nothing of it remains afterwards."""
    cache, gate, log = Cache(), Gate(), []

    @cache.cache_function
    async def get():
        try:
            await gate.enter()
        finally:
            log.append("cancelled")
            await asyncio.sleep(1)
            log.append("clean")

    callers = [asyncio.ensure_future(get()) for _ in range(3)]
    await gate.reached()
    for caller in callers:
        caller.cancel()
    await turns(2)
    assert log == ["cancelled"]
    await asyncio.sleep(2)
    assert (log, cache.tasks, asyncio.all_tasks()) == (["cancelled", "clean"], set(), {asyncio.current_task()})


async def test_load_that_only_the_cache_holds_survives_garbage_collection():
    """A cancelled load that nobody waits for cleans up to its end, however often garbage is collected."""
    cache, gate, log = Cache(), Gate(), []
    unseen = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unseen.append(context))

    def wake(ref):
        future = ref()
        if future is not None:
            future.set_result(None)

    @cache.cache_function
    async def get():
        try:
            await gate.enter()
        finally:
            future = loop.create_future()  # held by this frame alone
            loop.call_later(1, wake, weakref.ref(future), context=contextvars.Context())
            await future
            log.append("clean")

    caller = asyncio.ensure_future(get())
    await gate.reached()
    get.invalidate()
    caller.cancel()
    await turns(3)
    del caller
    gate.__init__()  # the old gate's events hold the load no longer
    for _ in range(4):
        gc.collect()
        await asyncio.sleep(0.5)
    assert (log, unseen) == (["clean"], [])


async def test_load_cancelled_before_its_first_step_leaves_no_dead_key(monkeypatch):
    """A nested load whose task has not run yet when the cache is closed ends its calls, and the key loads again."""
    monkeypatch.setattr(
        "asyncfan.caching.loads.task_loads.MAX_EAGER_DEPTH", 1
    )  # all loads start as deeply nested ones do
    cache = Cache()

    @cache.cache_function
    async def get(n):
        return n

    caller = asyncio.ensure_future(get(1))
    await asyncio.sleep(0)
    await cache.aclose()
    with pytest.raises(SelfCancelledError):
        await asyncio.wait_for(caller, 1)
    assert await asyncio.wait_for(get(1), 1) == 1
    assert not cache.tasks


# -- expiry -------------------------------------------------------------------------------------------------------


async def test_expired_entry_goes_though_the_timer_rang_early():
    """A timer that rings half a millisecond too soon, as uvloop's do, is set again instead of lost."""
    clock = ManualClock()
    cache = Cache(clock=clock)

    @cache.cache_function(expire=1)
    async def get(n):
        return n

    await get(1)
    clock.advance(0.9995)
    await asyncio.sleep(1.001)
    clock.advance(0.06)
    await asyncio.sleep(0.06)
    assert len(cache) == 0

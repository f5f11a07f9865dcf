"""One load however many callers, and nobody suffers for another: F1 to F10 of the failure list."""

import asyncio
import contextvars
import gc
import traceback
import weakref

import pytest

from asyncfan import RecursiveLoadError, SelfCancelledError
from asyncfan.caching import Cache
from asyncfan.caching.flights import loading
from asyncfan.testing import Gate, run


class Loader:
    """A cached function whose loads wait at a gate, each at its own."""

    def __init__(self, cache, behave=None):
        self.gates = [Gate() for _ in range(4)]
        self.loads = []  # what became of each load
        self.behave = behave
        self.get = cache.cache_function(self._load, ignore=(), key=lambda: 0)

    async def _load(self):
        number = len(self.loads)
        self.loads.append("running")
        try:
            await self.gates[number].enter()
            value = await self.behave(number) if self.behave else number
        except BaseException as error:
            self.loads[number] = type(error).__name__
            raise
        self.loads[number] = "ok"
        return value

    async def callers(self, count):
        """Start callers of one load, and wait until it runs."""
        calls = [asyncio.create_task(self.get()) for _ in range(count)]
        await self.gates[0].reached()
        return calls


async def all_of(calls):
    """Every call's value or exception."""
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_10_000_callers_make_one_load(cache):
    """However many ask for a cold key, it is loaded once (F1)."""
    loader = Loader(cache)
    calls = await loader.callers(10_000)
    loader.gates[0].open()
    assert await all_of(calls) == [0] * 10_000
    assert (len(loader.loads), loader.get.cache_info()) == (1, (0, 1, 100_000, 1, 9_999))


async def test_load_of_a_day_is_still_one(cache):
    """No lease runs out under a long load (F1)."""

    async def for_a_day(_):
        await asyncio.sleep(86_400)
        return "late"

    loader = Loader(cache, for_a_day)
    loader.gates[0].open()
    calls = await loader.callers(10)
    await asyncio.sleep(80_000)
    calls.append(asyncio.create_task(loader.get()))
    assert await all_of(calls) == ["late"] * 11
    assert len(loader.loads) == 1


@pytest.mark.parametrize("cancelled", [{0}, {1}, {0, 1, 2, 3}, {1, 2, 3, 4}])
async def test_cancelled_caller_leaves_others_alone(cache, cancelled):
    """Whichever callers are cancelled, the first one too, the others get the value of the one load (F2)."""
    loader = Loader(cache)
    calls = await loader.callers(5)
    for i in cancelled:
        calls[i].cancel()
    await asyncio.sleep(0)
    loader.gates[0].open()
    found = await all_of(calls)
    assert [i for i, value in enumerate(found) if isinstance(value, asyncio.CancelledError)] == sorted(cancelled)
    assert {value for i, value in enumerate(found) if i not in cancelled} == {0}
    assert loader.loads == ["ok"]


async def test_callers_timeout_is_its_own(cache):
    """A caller that gives up raises its own TimeoutError, the others wait on (F2)."""
    loader = Loader(cache)
    calls = await loader.callers(2)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await loader.get()
    loader.gates[0].open()
    assert await all_of(calls) == [0, 0]


async def test_last_caller_that_leaves_cancels_the_load(cache):
    """A load that nobody waits for is cancelled, within two turns of the loop (F3)."""
    loader = Loader(cache)
    calls = await loader.callers(3)
    for call in calls:
        call.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert loader.loads == ["CancelledError"]
    await all_of(calls)
    assert cache.stats().functions[0].loads_cancelled == 1


async def test_key_is_loaded_anew_after_a_cancelled_load(cache):
    """A load that was cancelled leaves a key like any other (F3)."""
    loader = Loader(cache)
    (call,) = await loader.callers(1)
    call.cancel()
    await all_of([call])
    loader.gates[1].open()
    assert await loader.get() == 1


async def test_new_load_waits_for_a_cancelled_one_to_unwind(cache):
    """While a cancelled load still cleans up, no second one of its key runs (F4)."""
    cleaning, running, most = Gate(), 0, 0

    @cache.cache_function
    async def f():
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            if not cleaning.entered:
                try:
                    await asyncio.Event().wait()
                finally:
                    await cleaning.enter()
        finally:
            running -= 1
        return "second"

    first = asyncio.create_task(f())
    await asyncio.sleep(0)
    first.cancel()
    await cleaning.reached()
    second = asyncio.create_task(f())
    await asyncio.sleep(1)
    assert not second.done()
    cleaning.open()
    assert (await second, most) == ("second", 1)


@pytest.mark.parametrize("meanwhile", ["invalidate", "refresh", "put", "cache_clear"])
async def test_nothing_makes_a_new_load_overlap_an_unwinding_one(cache, meanwhile):
    """Not even after a clear or a put does a load begin while a cancelled one of its key cleans up (F4)."""
    cleaning, running, most = Gate(), 0, 0

    @cache.cache_function
    async def f():
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            if not cleaning.entered:
                try:
                    await asyncio.Event().wait()
                finally:
                    await cleaning.enter()
        finally:
            running -= 1

    first = asyncio.create_task(f())
    await asyncio.sleep(0)
    first.cancel()
    await cleaning.reached()
    if meanwhile == "put":
        f.put("put")
    elif meanwhile != "refresh":
        getattr(f, meanwhile)()
    second = asyncio.create_task(f.refresh())
    await asyncio.sleep(1)
    cleaning.open()
    await second
    assert most == 1


async def test_load_that_survives_its_cancellation_is_not_stored(cache):
    """A cancelled load that returns all the same is thrown away, and who came meanwhile loads anew (F4)."""
    go, loads = asyncio.Event(), []

    @cache.cache_function
    async def f():
        loads.append(1)
        if len(loads) == 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await go.wait()
        return len(loads)

    first = asyncio.create_task(f())
    await asyncio.sleep(0)
    first.cancel()
    second = asyncio.create_task(f())
    await asyncio.sleep(0)
    go.set()
    assert (await second, await f(), len(loads)) == (2, 2, 2)


async def test_load_that_raises_cancelled_error_is_an_error_of_the_library(cache):
    """Callers get SelfCancelledError with the cause, never a bare CancelledError, and the key lives on (F5)."""

    async def raises(number):
        if number == 0:
            raise asyncio.CancelledError("from inside")
        return number

    loader = Loader(cache, raises)
    calls = await loader.callers(3)
    for gate in loader.gates:
        gate.open()
    found = await all_of(calls)
    assert [type(error) for error in found] == [SelfCancelledError] * 3
    assert isinstance(found[0].__cause__, asyncio.CancelledError)
    assert await loader.get() == 1


async def test_load_that_cancels_its_own_task_is_an_error_of_the_library(cache):
    """``current_task().cancel()`` in a load reaches no caller as a cancellation (F5)."""

    @cache.cache_function
    async def f():
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    with pytest.raises(SelfCancelledError):
        await f()


async def test_load_that_cancels_its_own_task_before_its_first_wait_spares_the_caller(cache):
    """Though a load's first step runs in the caller's turn, it is a task of its own (F5)."""
    caller = asyncio.current_task()

    @cache.cache_function
    async def f():
        mine = asyncio.current_task()
        return mine is caller, mine.get_name()

    assert await f() == (False, f"asyncfan:load:{f.cache_key()}")
    assert asyncio.current_task() is caller


async def test_direct_recursion_is_an_error_with_the_chain(cache):
    """A load that calls itself with its own arguments fails at once (F7)."""

    @cache.cache_function(key_prefix="f")
    async def f(n):
        return await f(n)

    with pytest.raises(RecursiveLoadError) as caught:
        await f(1)
    assert caught.value.chain == ("f:1", "f:1")


async def test_indirect_recursion_is_an_error_with_the_chain(cache):
    """A ring of loads is found however long, also through other tasks (F7)."""

    @cache.cache_function(key_prefix="f")
    async def f(n):
        return await asyncio.gather(asyncio.sleep(1), g(n))

    @cache.cache_function(key_prefix="g")
    async def g(n):
        await asyncio.sleep(1)
        return await h(n)

    @cache.cache_function(key_prefix="h")
    async def h(n):
        return await asyncio.create_task(f(n))

    with pytest.raises(RecursiveLoadError) as caught:
        await f(1)
    assert set(caught.value.chain) == {"f:1", "g:1", "h:1"}


async def test_loads_that_would_wait_for_each_other_fail_instead(cache):
    """Two loads that began apart and then ask for one another are a ring, not a hang (F7)."""
    gate = Gate()

    @cache.cache_function
    async def f():
        await gate.enter()
        return await g()

    @cache.cache_function
    async def g():
        await gate.enter()
        return await f()

    calls = [asyncio.create_task(f()), asyncio.create_task(g())]
    await gate.reached()
    await asyncio.sleep(0)
    gate.open()
    assert {type(error) for error in await all_of(calls)} == {RecursiveLoadError}


def test_recursion_of_a_plain_function_is_an_error(cache):
    """A ``def`` that calls itself with its own arguments fails instead of waiting for itself (F7)."""

    @cache.cache_function(key_prefix="f")
    def f(n):
        return f(n)

    with pytest.raises(RecursiveLoadError, match="a cached call waits for itself: f:1 -> f:1"):
        f(1)


async def test_recursion_with_other_arguments_is_fine(cache):
    """A recursive function that comes to an end is no ring."""

    @cache.cache_function
    async def factorial(n):
        return n * await factorial(n - 1) if n else 1

    assert await factorial(20) == 2_432_902_008_176_640_000


async def test_recursion_goes_as_deep_as_without_cache(cache):
    """Five hundred loads inside one another take no more stack than the functions themselves."""

    @cache.cache_function
    async def depth(n):
        return 1 + await depth(n - 1) if n else 0

    assert await depth(500) == 500


def test_load_remembers_no_load_that_has_ended(cache):
    """However many loads a load makes, it waits for none when they are done, in a thread as in a loop (F7)."""
    inner = cache.cache_function(lambda n: n)

    @cache.cache_function
    async def inner_async(n):
        await asyncio.sleep(n % 2)

    @cache.cache_function
    def outer():
        for n in range(10):
            inner(n)
        return list(loading.get().blocked_on)

    @cache.cache_function
    async def outer_async():
        for n in range(10):
            await inner_async(n)
        return list(loading.get().blocked_on)

    assert (outer(), run(outer_async())) == ([], [])


async def test_background_task_may_call_what_started_it(cache):
    """A task that outlives the load that started it is not inside that load any more (F7)."""
    tasks = []

    async def later():
        await asyncio.sleep(1)
        f.invalidate()
        return await f()

    @cache.cache_function
    async def f():
        if not tasks:
            tasks.append(asyncio.create_task(later()))
        return len(tasks)

    await f()
    assert await tasks[0] == 1


async def test_task_of_a_load_that_has_just_ended_is_in_no_ring(cache):
    """Between the end of a load and the next step of who waited for it, what it started may join that one (F7)."""
    gate, ended, tasks = Gate(), asyncio.Event(), []

    async def background():
        await ended.wait()
        return await outer()

    @cache.cache_function
    async def inner():
        tasks.append(asyncio.create_task(background()))
        await gate.enter()
        ended.set()
        return 1

    @cache.cache_function
    async def outer():
        return await inner()

    call = asyncio.create_task(outer())
    await gate.reached()
    await asyncio.sleep(0)
    gate.open()
    assert (await call, await tasks[0]) == (1, 1)


async def test_every_caller_gets_the_exception(cache):
    """One failure, one load, and each caller raises the same exception (F8)."""

    async def fails(_):
        raise KeyError("gone")

    loader = Loader(cache, fails)
    calls = await loader.callers(1_000)
    loader.gates[0].open()
    found = await all_of(calls)
    assert {type(error) for error in found} == {KeyError}
    assert loader.loads == ["KeyError"]


async def test_traceback_does_not_grow_with_the_callers(cache):
    """An exception raised to a thousand callers has the traceback of the load and of one caller (F8)."""

    async def fails(_):
        raise KeyError("gone")

    loader = Loader(cache, fails)
    depths = set()

    async def call():
        try:
            await loader.get()
        except KeyError as error:
            depths.add(len(traceback.extract_tb(error.__traceback__)))

    calls = [asyncio.create_task(call()) for _ in range(1_000)]
    await loader.gates[0].reached()
    loader.gates[0].open()
    await asyncio.gather(*calls)
    assert len(depths) <= 2
    assert max(depths) <= 8


@pytest.mark.parametrize("suspends", [False, True])
async def test_error_leaves_no_garbage(cache, suspends):
    """What a failed load held is freed at its last reference, without the garbage collector (F8)."""

    class Payload:
        pass

    alive = []

    @cache.cache_function
    async def f():
        payload = Payload()
        alive.append(weakref.ref(payload))
        if suspends:
            await asyncio.sleep(1)
        raise ValueError(payload)

    async def call():
        try:
            await f()
        except ValueError:
            return

    gc.collect()
    gc.disable()
    try:
        await call()
        await asyncio.sleep(0)
        assert alive[0]() is None
    finally:
        gc.enable()


async def test_load_that_fails_after_all_left_is_silent(cache):
    """An error that nobody waits for is reported to nobody (F8)."""

    @cache.cache_function
    async def f():
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("unseen")

    call = asyncio.create_task(f())
    await asyncio.sleep(0)
    call.cancel()
    await all_of([call])
    await asyncio.sleep(0)
    gc.collect()  # the fixture fails the test if the loop was told of an exception that nobody retrieved


async def test_garbage_collector_takes_no_load(cache):
    """A load that only the cache knows survives the garbage collector (F9)."""
    waiting = []

    @cache.cache_function
    async def f(n):
        future = asyncio.get_running_loop().create_future()
        waiting.append(weakref.ref(future))
        asyncio.get_running_loop().call_later(1, lambda ref=waiting[-1]: ref().set_result(n))
        return await future

    calls = [asyncio.create_task(f(n)) for n in range(100)]
    for _ in range(5):
        await asyncio.sleep(0)
        gc.collect()
    assert await all_of(calls) == list(range(100))


async def test_no_task_lives_on_in_what_is_stored(cache):
    """A stored entry is neither a task nor holds one: 10^5 of them would burden each garbage collection."""
    tasks = []

    @cache.cache_function
    async def f(n):
        tasks.append(weakref.ref(asyncio.current_task()))
        await asyncio.sleep(n)
        return n

    assert [await f(n) for n in range(2)] == [0, 1]
    await f.refresh(0)
    await f.many([2, 3])
    await asyncio.sleep(0)
    gc.collect()
    assert len(cache) == 4
    assert [task() for task in tasks] == [None] * 5


async def test_load_runs_in_a_copy_of_the_first_callers_context(cache):
    """The load sees the first caller's context variables, and changes nobody's (F10)."""
    variable = contextvars.ContextVar("variable", default="outside")
    seen = []

    @cache.cache_function
    async def f():
        seen.append(variable.get())
        variable.set("the load's")
        await asyncio.sleep(1)
        return variable.get()

    async def caller(name):
        variable.set(name)
        return await f(), variable.get()

    first, second = asyncio.create_task(caller("first")), asyncio.create_task(caller("second"))
    assert await all_of([first, second]) == [("the load's", "first"), ("the load's", "second")]
    assert (seen, variable.get()) == (["first"], "outside")


async def test_what_a_callers_context_holds_is_freed_when_its_call_has_ended(cache):
    """A request that is kept in a context variable goes with its task, whatever of its loads is stored (F10)."""

    class Request:
        pass

    current = contextvars.ContextVar("current")
    seen = []
    get = cache.cache_function(expire=100, stale_while_revalidate=100)(asyncio.sleep)

    async def request(seconds):
        current.set(Request())
        seen.append(weakref.ref(current.get()))
        await get(seconds)
        await get.many([seconds, seconds + 1])
        cache.clear_all()

    for seconds in range(3):
        await asyncio.create_task(request(seconds))
        await asyncio.sleep(90)  # so that the timer rings
    gc.collect()
    assert [request() for request in seen] == [None] * 3


async def test_load_does_not_inherit_a_deadline(cache):
    """A load is shared with callers who have more time."""
    from asyncfan.context import deadline_scope, time_left

    @cache.cache_function
    async def f():
        return time_left()

    with deadline_scope(1):
        assert await f() is None
        assert time_left() is not None


async def test_load_that_ends_at_once_costs_no_turn(cache):
    """A load that never waits is done when its call is, without a turn of the loop."""

    @cache.cache_function
    async def f():
        return 1

    turns = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    assert (await f(), turns) == (1, [])


async def test_error_in_storing_hangs_nobody(clock, caplog):
    """Where a value cannot be weighed, every caller still gets it, nothing is stored, and the log says so (F6)."""

    class Heavy:
        def __sizeof__(self):
            raise ValueError("no size")

    cache = Cache(max_bytes=10_000, clock=clock)

    @cache.cache_function
    async def f():
        await asyncio.sleep(1)
        return Heavy()

    found = await asyncio.wait_for(all_of([f(), f()]), 60)
    assert [type(value) for value in found] == [Heavy, Heavy]
    assert len(cache) == 0
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == ["ValueError"]


async def test_load_that_ends_at_once_needs_no_future(cache, monkeypatch):
    """The leader of a load makes a future to wait with only where the load has not ended when it looks."""
    made = []
    loop = asyncio.get_running_loop()
    create_future = loop.create_future
    monkeypatch.setattr(loop, "create_future", lambda: made.append("future") or create_future())

    @cache.cache_function(expire=60)
    async def double(n):
        if n > 1:
            await asyncio.sleep(0)
        return 2 * n

    assert (await double(1), made) == (2, [])
    assert (await double(2), made) == (4, ["future"])

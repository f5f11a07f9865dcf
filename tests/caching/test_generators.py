"""Cached async generators: replayed once one has come to its end, shared while it runs, closed in every case."""

import asyncio
import contextlib
import contextvars
import gc
import inspect
import itertools
import random
import threading

import pytest

from asyncfan import cache_function
from asyncfan.caching import MISSING, AdaptiveExpire, Cache, current_load
from asyncfan.context import deadline_scope, time_left
from asyncfan.exceptions import LaggingConsumerError, RecursiveLoadError, SelfCancelledError
from asyncfan.testing import Gate, ManualClock


class World:
    """A cached generator of the numbers below ``n`` that waits before each, and what became of its runs."""

    def __init__(self, cache, *, wait=1.0, fail_at=None, **options):
        self.log = []
        self.live = 0
        self.runs = 0
        self.wait = wait
        self.fail_at = fail_at
        self.closed = []  # the number of items that each run had given when it was closed

        @cache.cache_function(key_prefix="count", **options)
        async def count(n, *, step=1):
            self.runs += 1
            self.live += 1
            run, given = self.runs, 0
            try:
                for i in range(0, n * step, step):
                    if self.wait is not None:
                        await asyncio.sleep(self.wait)
                    if given == self.fail_at:
                        raise ValueError("failed")
                    given += 1
                    yield (run, i)
            finally:
                await asyncio.sleep(0)
                self.live -= 1
                self.closed.append(given)

        self.count = count


async def everything(items):
    """Read an async generator to its end."""
    return [item async for item in items]


async def some(items, n):
    """Read ``n`` items and leave."""
    found = []
    async with contextlib.aclosing(items):
        if n:
            async for item in items:
                found.append(item)
                if len(found) == n:
                    break
    return found


def numbers(run, n):
    """What a run gives."""
    return [(run, i) for i in range(n)]


@pytest.fixture
def world(cache):
    """A generator that takes a second an item."""
    return World(cache)


# -- what the decorator keeps -----------------------------------------------------------------------------------------


def test_generator_keeps_its_face(cache):
    """An async generator stays one, with its name, docstring and signature."""

    async def rows(table: str, *, limit: int = 10):
        """Give rows."""
        yield table

    cached = cache.cache_function(rows)
    assert inspect.isasyncgenfunction(cached)
    assert inspect.signature(cached) == inspect.signature(rows)
    assert (cached.__name__, cached.__doc__, cached.__wrapped__) == ("rows", "Give rows.", rows)


def test_wrong_arguments_fail_at_the_call(world):
    """As for the generator itself, and before anything is read."""
    with pytest.raises(TypeError, match="count"):
        world.count()


@pytest.mark.parametrize("name", ["many", "many_outcomes"])
def test_generator_has_no_many(cache, name):
    """Which item of which call came first has no meaning; the error says what to do."""
    with pytest.raises(TypeError, match=r"is an async generator, which has no many\(\): iterate over each call"):
        getattr(World(cache).count, name)([1, 2])


async def test_generator_not_begun_runs_nothing(world):
    """Nothing runs or is counted before the first item is asked for."""
    await world.count(3).aclose()
    assert (world.runs, world.count.cache_info()[:2]) == (0, (0, 0))


async def test_root_decorator_caches_generators():
    """``asyncfan.cache_function`` does, bare and with options."""
    runs = []

    async def f():
        runs.append(1)
        yield 1

    for cached in (cache_function(f), cache_function(expire=60)(f)):
        assert await everything(cached()) == await everything(cached()) == [1]
        cached.cache_clear()
    assert len(runs) == 2


# -- replay -----------------------------------------------------------------------------------------------------------


async def test_whole_generator_is_replayed(world):
    """The second time the items come from the cache, and nothing runs."""
    first = await everything(world.count(3))
    assert first == await everything(world.count(n=3)) == numbers(1, 3)
    assert (world.runs, world.closed, world.count.cache_info()[:2]) == (1, [3], (1, 1))
    assert asyncio.get_running_loop().time() == 3


@pytest.mark.parametrize("items", [[], [None], [0, "", None, False, [], b"", 0.0], ["", "x"]])
async def test_falsy_items_are_kept(cache, items):
    """No item means the end, and a generator without items is cached too."""
    runs = []

    @cache.cache_function
    async def f():
        runs.append(1)
        for item in items:
            yield item

    assert await everything(f()) == await everything(f()) == items
    assert len(runs) == 1


async def test_expired_items_are_given_anew(cache, clock):
    """After its expiry a recording is made again."""
    world = World(cache, expire=10)
    await everything(world.count(2))
    clock.advance(10)
    assert await everything(world.count(2)) == numbers(2, 2)


async def test_items_are_shared_or_copied(cache):
    """Without ``copy`` all consumers get the same objects, with it each has its own, from a run as from the cache."""
    for copy, shared in (("none", True), ("shallow", False), ("deep", False)):

        @cache.cache_function(key_prefix=copy, copy=copy)
        async def f(key):
            yield [1]

        for key in (1, [1]):  # a list is keyed by its value, which takes a hit another way
            one, other, third = [(await everything(f(key)))[0] for _ in range(3)]
            assert (one is other, other is third) == (shared, shared)
            assert (f.peek(key)[0] is f.peek(key)[0]) is shared


async def test_methods_are_cached_by_instance(cache):
    """A method's items belong to its instance, on which the wrapper's methods work."""

    class Table:
        def __init__(self, name):
            self.name = name

        @cache.cache_function
        async def rows(self, n):
            for i in range(n):
                yield f"{self.name}{i}"

        @cache.cache_function
        @staticmethod
        async def fixed():
            yield 1

    one, other = Table("a"), Table("b")
    assert await everything(one.rows(2)) == ["a0", "a1"]
    assert (one.rows.peek(2), other.rows.peek(2), await everything(Table.fixed())) == (("a0", "a1"), MISSING, [1])
    assert await one.rows.refresh(2) == ("a0", "a1")


async def test_callable_objects_and_partials_are_cached(cache):
    """Whatever gives an async generator when it is called."""

    class Rows:
        async def __call__(self, n):
            for i in range(n):
                yield i

    f = cache.cache_function(key_prefix="rows")(Rows())
    assert await everything(f(2)) == await everything(f(2)) == [0, 1]
    assert f.cache_info().hits == 1


# -- what is not stored -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [1, 2, 3])
async def test_generator_left_early_is_closed_and_not_stored(world, read):
    """Whoever stops reading, even after the last item, waits until the generator is closed; nothing is stored."""
    assert await some(world.count(3), read) == numbers(1, read)
    assert (world.closed, world.live, world.count.peek(3)) == ([read], 0, MISSING)


async def test_dropped_generator_is_closed(world):
    """A bare ``break`` without closing lets the event loop close it, as for any async generator."""
    async for _ in world.count(3):
        break
    gc.collect()
    await asyncio.sleep(1)
    assert (world.closed, world.count.peek(3)) == ([1], MISSING)


async def test_failing_generator_gives_its_items_and_its_error(cache):
    """The items before the error are given, the error passes through unchanged, and nothing is stored."""
    world = World(cache, fail_at=2)
    for _ in range(2):
        items = world.count(5)
        assert len([await anext(items), await anext(items)]) == 2
        with pytest.raises(ValueError, match="failed"):
            await anext(items)
    assert (world.runs, world.closed, world.live) == (2, [2, 2], 0)


async def test_cancelled_consumer_closes_the_generator(world):
    """The last consumer's cancellation reaches the generator, which has ended when the consumer has."""
    task = asyncio.ensure_future(everything(world.count(3)))
    await asyncio.sleep(1.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (world.closed, world.count.peek(3)) == ([1], MISSING)


async def test_run_that_never_began_leaves_nothing_behind(cache, world):
    """A run whose task is cancelled before its first step ends its consumers' wait, and the next one starts anew."""
    task = asyncio.ensure_future(everything(world.count(2)))
    await asyncio.sleep(0)
    await cache.aclose()
    with pytest.raises(SelfCancelledError):
        await task
    assert (world.runs, await everything(world.count(2))) == (0, numbers(1, 2))


@pytest.mark.parametrize("n", [3, 4, 100])
async def test_too_many_items_are_given_but_not_stored(cache, n):
    """A generator of more than ``max_items`` is consumed whole each time."""
    world = World(cache, max_items=3)
    for run in (1, 2):
        assert await everything(world.count(n)) == numbers(1 if n == 3 else run, n)
    assert world.count.cache_info().currsize == (n == 3)


class Blocks:
    """Gives blocks of 10 kB, and knows the most that were alive at once."""

    def __init__(self, cache, **options):
        self.alive = self.most = 0
        blocks = self

        class Block:
            def __init__(self):
                blocks.alive += 1
                blocks.most = max(blocks.most, blocks.alive)
                self.data = bytes(10_000)

            def __del__(self):
                blocks.alive -= 1

        @cache.cache_function(**options)
        async def read(n):
            for _ in range(n):
                yield Block()

        self.read = read


@pytest.mark.parametrize(("max_bytes", "max_items"), [(50_000, None), (5_000, None), (None, 5)])
async def test_recording_that_was_given_up_holds_nothing(clock, max_bytes, max_items):
    """Above the cache's ``max_bytes`` as above ``max_items``, what the only consumer has read is let go of."""
    blocks = Blocks(Cache(clock=clock, max_bytes=max_bytes), max_items=max_items)
    count = 0
    async for block in blocks.read(100):
        count += 1
        del block
        assert blocks.alive <= (count if count <= 5 else 2)
    assert (count, blocks.alive, blocks.read.peek(100)) == (100, 0, MISSING)
    await everything(blocks.read(3))
    assert len(blocks.read.peek(3) or ()) == (0 if max_bytes == 5_000 else 3)


# -- one run for all consumers ----------------------------------------------------------------------------------------


async def test_consumers_share_one_run(world):
    """A hundred consumers at once make one run, and each gets all items."""
    found = await asyncio.gather(*(everything(world.count(3)) for _ in range(100)))
    assert found == [numbers(1, 3)] * 100
    info = world.count.cache_info()
    assert (world.runs, info.hits, info.misses, info.joined) == (1, 0, 1, 99)


async def test_each_consumer_has_its_own_pace(world):
    """A slow consumer does not hold up a quick one, and both get all items; a late one gets them from the start."""
    times = {}

    async def read(name, pause, start=0):
        await asyncio.sleep(start)
        found = []
        async for item in world.count(4):
            found.append(item)
            await asyncio.sleep(pause)
        times[name] = asyncio.get_running_loop().time()
        return found

    found = await asyncio.gather(read("quick", 0), read("slow", 10), read("late", 0, start=2.5))
    assert (found, world.runs) == ([numbers(1, 4)] * 3, 1)
    assert times == {"quick": 4, "late": 4, "slow": 41}


async def test_generator_never_runs_ahead(cache):
    """It is asked for an item when a consumer asks, and not before."""
    given = []

    @cache.cache_function
    async def f():
        for i in range(3):
            given.append(i)
            yield i

    async for i in f():
        await asyncio.sleep(100)
        assert given == list(range(i + 1))


async def test_generator_never_runs_ahead_of_two(cache):
    """Who comes to wait for an item that is on its way has not asked for the one after it."""
    given = []

    @cache.cache_function
    async def f():
        for i in range(3):
            given.append(i)
            await asyncio.sleep(1)
            yield i

    one, other = f(), f()
    first = asyncio.ensure_future(anext(one))
    await asyncio.sleep(0.5)
    assert (await anext(other), await first) == (0, 0)
    await asyncio.sleep(100)
    assert given == [0]
    await one.aclose()
    await other.aclose()


async def test_leaving_consumer_leaves_the_others_alone(world):
    """Whoever began, leaves early or is cancelled, the others get all items."""
    first = asyncio.ensure_future(everything(world.count(4)))
    await asyncio.sleep(0.1)
    second = asyncio.ensure_future(some(world.count(4), 2))
    third = asyncio.ensure_future(everything(world.count(4)))
    await asyncio.sleep(1.4)
    first.cancel()
    assert await second == numbers(1, 2)
    assert await third == numbers(1, 4)
    assert (world.runs, world.closed, world.count.peek(4)) == (1, [4], tuple(numbers(1, 4)))


async def test_run_ends_with_its_last_consumer(world):
    """When all have left, the generator is closed."""
    tasks = [asyncio.ensure_future(some(world.count(5), n)) for n in (1, 3, 2)]
    await asyncio.gather(*tasks)
    assert (world.closed, world.runs, world.count.peek(5)) == ([3], 1, MISSING)


async def test_error_reaches_every_consumer_after_the_items(cache):
    """Each consumer gets the items first, at its own pace, then the same error."""
    world = World(cache, fail_at=2)

    async def read(pause):
        found = []
        try:
            async for item in world.count(5):
                found.append(item)
                await asyncio.sleep(pause)
        except ValueError as error:
            return found, error

    (one, first), (other, second) = await asyncio.gather(read(0), read(10))
    assert (one, other, first is second) == (numbers(1, 2), numbers(1, 2), True)


async def test_next_run_waits_until_the_last_one_is_closed(cache):
    """A consumer that comes while a generator is being closed starts its own when that has ended."""
    closing, live = Gate(), 0

    @cache.cache_function
    async def f():
        nonlocal live
        live += 1
        assert live == 1
        try:
            yield 1
            yield 2
        finally:
            await closing.enter()
            live -= 1

    leaving = asyncio.ensure_future(some(f(), 1))
    await closing.reached()
    next_one = asyncio.ensure_future(everything(f()))
    await asyncio.sleep(1)
    assert not next_one.done()
    closing.open()
    assert (await leaving, await next_one) == ([1], [1, 2])
    assert (f.cache_info().misses, f.cache_info().joined) == (2, 0)


async def test_closing_generator_that_waits_for_who_closes_it_is_refused(cache):
    """A generator that asks, while it is closed, for what only comes after that is told so: nobody waits for ever."""

    @cache.cache_function(key_prefix="head")
    async def head(n):
        async with contextlib.aclosing(rows(n)) as items:
            async for item in items:
                yield item
                break
        yield "end"

    @cache.cache_function(key_prefix="rows")
    async def rows(n):
        try:
            yield n
            yield n
        finally:
            await everything(head(n))

    with pytest.raises(RecursiveLoadError) as caught:
        await asyncio.wait_for(everything(head(1)), 1)
    assert caught.value.chain == ("rows:1", "head:1", "rows:1")


async def test_lagging_consumer_is_told(cache):
    """Once more items came than are kept, a consumer may be so many behind, and no more."""
    world = World(cache, max_items=3)
    slow, quick = world.count(10), world.count(10)
    assert [await anext(slow), await anext(quick)] == numbers(1, 1) * 2
    for i in range(1, 4):
        assert await anext(quick) == (1, i)
    assert await anext(slow) == (1, 1)
    for i in range(4, 8):
        assert await anext(quick) == (1, i)
    with pytest.raises(LaggingConsumerError) as caught:
        await anext(slow)
    assert str(caught.value) == (
        "a consumer of 'count:10:1' fell more than 3 items behind another one: let it read faster, or keep more items, "
        "as in cache_function(max_items=...)"
    )
    assert await everything(quick) == [(1, 8), (1, 9)]
    assert world.runs == 1


async def test_consumer_after_too_many_items_begins_anew(cache):
    """A run whose first items are gone is not joined."""
    world = World(cache, max_items=3)
    first = world.count(5)
    for _ in range(4):
        await anext(first)
    assert await everything(world.count(5)) == numbers(2, 5)
    assert await everything(first) == [(1, 4)]


async def test_run_keeps_one_task_and_one_context(cache):
    """A generator may hold a timeout, a task group or a context variable across its items."""
    variable = contextvars.ContextVar("variable", default=0)
    seen = []

    @cache.cache_function
    async def f():
        token = variable.set(1)
        async with asyncio.timeout(100), asyncio.TaskGroup() as group:
            for i in range(4):
                seen.append((asyncio.current_task(), variable.get()))
                await group.create_task(asyncio.sleep(1))
                yield i
        variable.reset(token)

    await asyncio.gather(some(f(), 1), some(f(), 2), everything(f()))
    assert len(set(seen)) == 1
    assert (seen[0][0].get_name(), seen[0][1], variable.get()) == (f"asyncfan:load:{f.cache_key()}", 1, 0)


# -- clears -----------------------------------------------------------------------------------------------------------

CLEARS = {
    "invalidate": lambda cache, f: f.invalidate(3),
    "cache_clear": lambda cache, f: f.cache_clear(),
    "pattern": lambda cache, f: cache.clear("count:3*"),
    "prefix": lambda cache, f: cache.clear_prefix("count", 3),
    "all": lambda cache, f: cache.clear_all(),
    "put": lambda cache, f: f.put("ab", 3),
}


@pytest.mark.parametrize("clear", CLEARS.values(), ids=CLEARS)
async def test_cleared_run_is_neither_stored_nor_joined(cache, world, clear):
    """Who reads it gets all of it; who comes later starts anew, or gets what was put."""
    old = asyncio.ensure_future(everything(world.count(3)))
    await asyncio.sleep(1.5)
    clear(cache, world.count)
    new = asyncio.ensure_future(everything(world.count(3)))
    assert await old == numbers(1, 3)
    put = clear is CLEARS["put"]
    expected = ["a", "b"] if put else numbers(2, 3)
    assert (await new, world.runs, world.count.peek(3)) == (expected, 2 - put, tuple(expected))


@pytest.mark.parametrize("fails", [False, True])
async def test_later_consumer_looks_again_when_the_tag_is_added_before_the_first_item(cache, fails):
    """He came in good faith; what he gets is from after the clear, and the earlier consumer keeps his."""
    gate, runs = Gate(), []

    @cache.cache_function
    async def rows():
        runs.append(len(runs))
        run = runs[-1]
        if run == 0:
            await gate.enter()
        current_load().tag("t")
        if fails and run == 0:
            raise ValueError("old")
        yield run
        yield run

    old = asyncio.ensure_future(everything(rows()))
    await gate.reached()
    cache.clear_tags("t")
    late = asyncio.ensure_future(everything(rows()))
    await asyncio.sleep(0)
    gate.open()
    if fails:
        with pytest.raises(ValueError, match="old"):
            await old
    else:
        assert await old == [0, 0]
    assert (await late, rows.peek()) == ([1, 1], (1, 1))
    assert (rows.cache_info().misses, cache.stats().functions[0].joined) == (1, 1)  # each call once


@pytest.mark.parametrize("cleared", ["t", "other"])
async def test_tag_that_is_added_between_items_is_minded_when_they_are_stored(cache, cleared):
    """Cleared since the run began, it keeps its items out; what is stored carries it."""

    @cache.cache_function
    async def rows():
        yield 1
        current_load().tag("t")
        yield 2

    items = rows()
    await anext(items)
    cache.clear_tags(cleared)
    await everything(items)
    stored = () if cleared == "t" else (1, 2)
    assert (rows.peek() or (), cache.clear_tags("t").count, rows.peek()) == (stored, len(stored) // 2, MISSING)


async def test_stored_items_are_cleared_while_they_are_read(world):
    """A replay goes on with the items that it began with; the next one runs anew."""
    await everything(world.count(3))
    items = world.count(3)
    first = await anext(items)
    world.count.invalidate(3)
    assert ([first, *await everything(items)], await everything(world.count(3))) == (numbers(1, 3), numbers(2, 3))


@pytest.mark.parametrize("joining", [True, False])
async def test_large_clear_fences_runs(cache, joining):
    """A clear that only leaves a fence is minded too: the run is neither joined nor stored."""
    world = World(cache)
    for i in range(3000):
        world.count.put((), i, step=2)
    old = asyncio.ensure_future(everything(world.count(3)))
    await asyncio.sleep(1.5)
    cache.clear("count:3*")
    new = [asyncio.ensure_future(everything(world.count(3)))] if joining else []
    assert await asyncio.gather(old, *new) == [numbers(1, 3), numbers(2, 3)][: 1 + joining]
    assert world.count.peek(3) == (tuple(numbers(2, 3)) if joining else MISSING)


# -- what the wrapper offers ------------------------------------------------------------------------------------------


async def test_peek_gives_the_tuple(world):
    """And `MISSING` where nothing is stored, or not yet."""
    assert world.count.peek(2) is MISSING
    await everything(world.count(2))
    assert (world.count.peek(2), world.count.cache_info().hits) == (tuple(numbers(1, 2)), 0)


async def test_put_stores_any_iterable(world):
    """What was put is replayed."""
    world.count.put(iter("ab"), 2)
    assert (await everything(world.count(2)), world.count.peek(2), world.runs) == (["a", "b"], ("a", "b"), 0)


async def test_refresh_runs_anew_and_returns_the_items(world):
    """The old items are served meanwhile; neither call counts the refresh."""
    await everything(world.count(2))
    refresh = asyncio.ensure_future(world.count.refresh(2))
    await asyncio.sleep(1.5)
    assert await everything(world.count(2)) == numbers(1, 2)
    assert await refresh == world.count.peek(2) == tuple(numbers(2, 2))
    assert world.count.cache_info()[:2] == (1, 1)


async def test_failed_refresh_keeps_the_old_items(cache):
    """An error of the new run passes through, and the entry stays."""
    world = World(cache)
    await everything(world.count(2))
    world.fail_at = 1
    with pytest.raises(ValueError, match="failed"):
        await world.count.refresh(2)
    assert world.count.peek(2) == tuple(numbers(1, 2))


async def test_run_under_way_cannot_replace_a_refresh(cache):
    """What was begun before a refresh is not stored over it."""
    world = World(cache, wait=10)
    old = asyncio.ensure_future(everything(world.count(2)))
    await asyncio.sleep(5)
    world.wait = 1
    assert await world.count.refresh(2) == tuple(numbers(2, 2))
    await old
    assert world.count.peek(2) == tuple(numbers(2, 2))


async def test_stats_count_runs_by_the_generators_own_time(cache, clock):
    """A slow consumer's time is not the generator's."""

    @cache.cache_function(key_prefix="f")
    async def f():
        clock.advance(1)
        yield 1
        clock.advance(1)

    async for _ in f():
        clock.advance(100)
    (stats,) = cache.stats().functions
    assert (stats.loads_ok, stats.load_time.total, stats.calls, stats.entries) == (1, 2.0, 1, 1)


# -- options ----------------------------------------------------------------------------------------------------------


async def test_run_says_what_its_items_are(cache, clock):
    """A generator sets expiry and tags of its items, and sees the old ones, as a function does."""
    stale = []

    @cache.cache_function(tags="table:{table}")
    async def rows(table):
        load = current_load()
        stale.append(load.stale)
        load.expire = 5
        load.tag("rows")
        yield table

    await everything(rows("a"))
    assert await rows.refresh("a") == ("a",)
    rows.put(["b"], "b")
    (operation,) = cache.operations
    assert {entry.tags for entry in operation.table.values()} == {("table:a", "rows"), ("table:b",)}
    clock.advance(5)
    assert (rows.peek("a"), stale) == (MISSING, [None, ("a",)])


async def test_items_are_stored_on_condition(cache):
    """``cache_if`` sees all items at once; of a run that was too long it sees nothing."""
    seen = []

    def condition(items):
        seen.append(items)
        return len(items) > 1

    world = World(cache, cache_if=condition, max_items=3)
    for n in (1, 2, 5):
        await everything(world.count(n))
    assert seen == [tuple(numbers(1, 1)), tuple(numbers(2, 2))]
    assert (world.count.peek(1), world.count.peek(2)) == (MISSING, tuple(numbers(2, 2)))


async def test_failing_condition_reaches_the_consumers(cache):
    """An error of the user's ``cache_if`` comes after the items."""
    world = World(cache, cache_if=lambda items: 1 / len(items))
    assert await everything(world.count(1)) == numbers(1, 1)
    with pytest.raises(ZeroDivisionError):
        await everything(world.count(0))


async def test_run_may_say_that_it_is_not_stored(cache):
    """``current_load().skip()`` holds for generators too."""

    @cache.cache_function
    async def f():
        yield 1
        current_load().skip()

    assert (await everything(f()), f.peek()) == ([1], MISSING)


async def test_expiry_adapts_to_runs(cache, clock):
    """`AdaptiveExpire` learns whether items change."""
    option = AdaptiveExpire(5, 500)

    @cache.cache_function(expire=option)
    async def f():
        yield 1

    for _ in range(9):
        await everything(f())
        clock.advance(51)
    (operation,) = cache.operations
    assert operation.adaptive.current == pytest.approx(100)


async def test_weigher_weighs_what_is_stored(clock):
    """A weigher of the user's is given the tuple."""
    weighed = []
    cache = Cache(clock=clock, max_bytes=1000, weigher=lambda items: weighed.append(items) or len(items))

    @cache.cache_function
    async def f(n):
        for i in range(n):
            yield i

    await everything(f(3))
    await everything(f(700))
    assert (f.peek(3), f.peek(700), len(weighed)) == ((0, 1, 2), MISSING, 2)


# -- trouble ----------------------------------------------------------------------------------------------------------


async def test_generator_that_consumes_itself_is_told(cache):
    """A run that waits for its own items raises in place of hanging, directly and through a cached function."""

    @cache.cache_function(key_prefix="f")
    async def f():
        yield 1
        async for item in f():
            yield item

    @cache.cache_function(key_prefix="g")
    async def g():
        async for item in h():
            yield item

    @cache.cache_function(key_prefix="h")
    async def h():
        yield await i()

    @cache.cache_function(key_prefix="i")
    async def i():
        return await everything(g())

    with pytest.raises(RecursiveLoadError, match="f -> f"):
        await everything(f())
    with pytest.raises(RecursiveLoadError, match="i -> g -> h -> i"):
        await everything(g())


async def test_generators_may_consume_others(cache):
    """Cached generators, functions and generators again inside one another."""

    @cache.cache_function
    async def below(n):
        if n:
            async for item in below(n - 1):
                yield item
        yield n

    @cache.cache_function
    async def total(n):
        return sum([x async for x in below(n)])

    assert (await total(50), await everything(below(3))) == (sum(range(51)), [0, 1, 2, 3])


async def test_generator_that_cancels_itself_is_told(cache):
    """A ``CancelledError`` of its own reaches the consumers as an error, not as their cancellation."""

    @cache.cache_function
    async def f():
        yield 1
        raise asyncio.CancelledError("mine")

    with pytest.raises(SelfCancelledError, match="was cancelled, but not by its consumers") as caught:
        await everything(f())
    assert caught.value.__cause__.args == ("mine",)


async def test_generator_that_ignores_its_cancellation_is_closed(cache):
    """One that goes on after it was cancelled gives no further items."""
    closed = []

    @cache.cache_function
    async def f():
        try:
            for i in itertools.count():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(1)
                yield i
        finally:
            closed.append(i)

    task = asyncio.ensure_future(everything(f()))
    await asyncio.sleep(2.5)
    task.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), closed) == (True, [2])


async def test_generator_that_ends_when_cancelled_is_not_stored(cache):
    """What it gave until its consumers left is not all of it."""

    @cache.cache_function
    async def f():
        yield 1
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1)

    task = asyncio.ensure_future(everything(f()))
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.wait([task])
    (stats,) = cache.stats().functions
    assert (f.peek(), stats.loads_ok, stats.loads_cancelled) == (MISSING, 0, 1)


async def test_clean_up_of_a_generator_left_early_is_not_cancelled(cache):
    """A generator that waited at its ``yield`` is closed there, as if it were not cached."""
    cancelling = []

    @cache.cache_function
    async def f():
        try:
            yield 1
        finally:
            await asyncio.sleep(1)
            cancelling.append(asyncio.current_task().cancelling())

    await some(f(), 1)
    assert cancelling == [0]


async def test_generator_may_wait_for_who_no_longer_waits_for_it(cache):
    """A load that has read an item of a run and goes on is no reason for that run not to wait for the load."""

    @cache.cache_function
    async def load():
        async with contextlib.aclosing(run()) as items:
            first = await anext(items)
            await asyncio.sleep(5)
        return first

    @cache.cache_function
    async def run():
        yield 1
        yield await load()

    assert await asyncio.gather(load(), everything(run())) == [1, [1, 1]]


async def test_deadline_of_the_first_consumer_is_not_the_runs(cache):
    """A run that others share sees no deadline."""
    seen = []

    @cache.cache_function
    async def f():
        seen.append(time_left())
        yield 1

    with deadline_scope(5):
        await everything(f())
    assert seen == [None]


async def test_error_while_closing_reaches_who_closes(cache):
    """What a generator raises in its clean-up is not lost."""

    @cache.cache_function
    async def f():
        try:
            yield 1
            yield 2
        finally:
            raise ValueError("in the clean-up")

    with pytest.raises(ValueError, match="in the clean-up"):
        await some(f(), 1)


async def test_aclose_of_the_cache_ends_runs(cache, world):
    """Consumers of a run that the cache ended get an error, and its generator is closed."""
    task = asyncio.ensure_future(everything(world.count(3)))
    await asyncio.sleep(1.5)
    await cache.aclose()
    assert world.closed == [1]
    with pytest.raises(SelfCancelledError):
        await task


async def test_what_is_sent_in_does_not_reach_the_generator(cache):
    """``asend`` is ``anext``, and ``athrow`` ends the consumer only."""
    got = []

    @cache.cache_function
    async def f():
        got.append((yield 1))
        got.append((yield 2))

    one, other = f(), f()
    assert [await anext(one), await anext(other), await one.asend("sent")] == [1, 1, 2]
    with pytest.raises(KeyError):
        await one.athrow(KeyError("thrown"))
    assert (await everything(other), got) == ([2], [None, None])


@pytest.mark.real_time
def test_consumers_in_several_threads_get_all_items():
    """Each from a run in its own event loop."""
    cache, start = Cache(), threading.Barrier(4)

    @cache.cache_function
    async def f():
        for i in range(20):
            await asyncio.sleep(0.001)
            yield i

    found = []

    async def main():
        found.extend(await asyncio.gather(*(everything(f()) for _ in range(10))))

    def run():
        start.wait()
        asyncio.run(main())

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [list(range(20))] * 40
    assert f.peek() == tuple(range(20))


@pytest.mark.real_time
async def test_run_of_another_loop_is_not_waited_for():
    """Whoever comes in another event loop runs the generator there, which is not stored in place of the first run."""
    cache, runs = Cache(clock=ManualClock()), []

    @cache.cache_function
    async def f():
        run = len(runs)
        runs.append(run)
        yield run
        yield run

    items = f()
    assert await anext(items) == 0
    assert await asyncio.to_thread(asyncio.run, everything(f())) == [1, 1]
    assert f.peek() is MISSING
    assert await everything(items) == [0]
    assert f.peek() == (0, 0)


def test_run_of_a_dead_loop_blocks_nobody():
    """A loop that was closed in the middle of a run leaves the key free for the next."""
    cache = Cache(clock=ManualClock())

    @cache.cache_function
    async def f():
        yield 1
        yield 2

    dead = asyncio.new_event_loop()
    items = f()
    assert dead.run_until_complete(anext(items)) == 1
    (task,) = asyncio.all_tasks(dead)
    dead.close()
    assert asyncio.run(everything(f())) == [1, 2]
    assert f.peek() == (1, 2)
    task._log_destroy_pending = False  # nobody can end it any more
    task.get_coro().close()


# -- at random --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", range(10))
async def test_random_consumers_get_whole_runs(block):
    """Whatever mix of pace, leaving, cancelling and clearing: whole runs, none stale, all closed, one live at a time."""
    for seed in range(block * 50, block * 50 + 50):
        await schedule(random.Random(seed))


async def schedule(rng):
    """Run one random schedule, and check it."""
    cache = Cache(clock=ManualClock())
    n = rng.randrange(6)
    options = {"max_items": rng.choice((2, 5, None))}
    world = World(cache, wait=rng.choice((None, 0, 0.5, 1)), fail_at=rng.choice((None, None, None, 2)), **options)
    cleared = 0  # runs up to this one began before the last clear

    async def consume():
        await asyncio.sleep(rng.choice((0, 0, 1, rng.random() * 5)))
        pause, most = rng.choice((None, 0, 0.3, 2)), rng.choice((1, 3, 9, 9, 9))
        before, found = cleared, []
        try:
            async with contextlib.aclosing(world.count(n)) as items:
                async for item in items:
                    found.append(item)
                    if len(found) == most:
                        break
                    if pause is not None:
                        await asyncio.sleep(pause)
                else:
                    assert len(found) == n
        except ValueError:
            assert len(found) == 2
        except LaggingConsumerError:
            assert options["max_items"] is not None
        finally:
            run = found[0][0] if found else before + 1
            assert found == numbers(run, n)[: len(found)]
            assert run > before

    async def clear():
        nonlocal cleared
        await asyncio.sleep(rng.random() * 5)
        world.count.invalidate(n)
        cleared = world.runs

    async def cancel(task):
        await asyncio.sleep(rng.random() * 6)
        task.cancel()

    consumers = [asyncio.ensure_future(consume()) for _ in range(rng.randrange(1, 6))]
    others = [asyncio.ensure_future(clear()) for _ in range(rng.randrange(3))]
    others += [asyncio.ensure_future(cancel(task)) for task in consumers if rng.random() < 0.3]
    done = await asyncio.gather(*consumers, *others, return_exceptions=True)
    failures = [x for x in done if isinstance(x, BaseException) and not isinstance(x, asyncio.CancelledError)]
    assert not failures, failures
    assert (world.live, len(world.closed), cache.tasks) == (0, world.runs, set())
    stored = world.count.peek(n)
    if stored is not MISSING and stored:
        assert (list(stored), stored[0][0] > cleared) == (numbers(stored[0][0], n), True)
    assert all(not op.flights for op in cache.operations)

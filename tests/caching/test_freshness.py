"""What a caller gets of a value at each age, and what its loads cost the origin."""

import asyncio
import gc
import math
import random
import threading
import traceback
import weakref
from datetime import timedelta

import pytest

from asyncfan import AdaptiveExpire, AttemptTimeoutError, Limiter, current_load
from asyncfan.caching import MISSING, Cache
from asyncfan.caching.freshness.aging import Age, Aging
from asyncfan.caching.loads.register import Seal
from asyncfan.testing import run

from .conftest import assert_sound


class NotFoundError(Exception):
    """An answer of the origin."""


class Origin:
    """What is cached: a counter that may be slow or down."""

    def __init__(self):
        self.loads = 0
        self.seconds = 0.0
        self.down = False
        self.running = self.peak = 0

    async def read(self, key=0):
        self.loads += 1
        mine = self.loads
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.running -= 1
        if self.down:
            raise ConnectionError("the origin is down")
        return mine


@pytest.fixture
def origin():
    """An origin that is up and fast."""
    return Origin()


@pytest.fixture
def timed():
    """A cache whose clock is the loop's virtual time."""
    made = []

    def make(**options):
        made.append(Cache(clock=asyncio.get_running_loop().time, **options))
        return made[-1]

    yield make
    for found in made:
        assert_sound(found)


# -- stale-while-revalidate


async def test_stale_value_is_served_at_once_and_replaced(timed, origin):
    """After its expiry the old value is served without waiting; the next caller gets the new one."""
    get = timed().cache_function(expire=10, stale_while_revalidate=5)(origin.read)
    assert await get() == 1
    origin.seconds = 1
    await asyncio.sleep(11)
    before = asyncio.get_running_loop().time()
    assert (await get(), asyncio.get_running_loop().time() - before) == (1, 0)
    await asyncio.sleep(2)
    assert (await get(), origin.loads) == (2, 2)


async def test_one_refresh_however_many_are_served_stale(timed, origin):
    """A thousand callers of a stale value start one load in the background."""
    cache = timed()
    get = cache.cache_function(expire=10, stale_while_revalidate=5)(origin.read)
    await get()
    origin.seconds = 1
    await asyncio.sleep(11)
    assert await asyncio.gather(*[get() for _ in range(1000)]) == [1] * 1000
    await asyncio.sleep(2)
    stats = cache.stats().functions[0]
    assert (origin.loads, stats.stale_hits, stats.refreshes) == (2, 1000, 1)


async def test_value_is_loaded_in_front_of_the_caller_once_its_stale_time_is_over(timed, origin):
    """Beyond expire + stale_while_revalidate nothing old is served."""
    get = timed().cache_function(expire=10, stale_while_revalidate=5)(origin.read)
    await get()
    await asyncio.sleep(15)
    assert await get() == 2


async def test_caller_of_a_stale_value_that_is_cancelled_leaves_the_refresh_alone(timed, origin):
    """The load in the background belongs to the cache, not to who was served."""
    get = timed().cache_function(expire=10, stale_while_revalidate=5)(origin.read)
    await get()
    origin.seconds = 1
    await asyncio.sleep(11)
    caller = asyncio.create_task(get())
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.sleep(2)
    assert get.peek() == 2


async def test_invalidation_during_a_refresh_wins(timed, origin):
    """What a refresh that began before the invalidation gives is never stored."""
    get = timed().cache_function(expire=10, stale_while_revalidate=5)(origin.read)
    await get()
    origin.seconds = 1
    await asyncio.sleep(11)
    await get()
    await asyncio.sleep(0.5)
    get.invalidate()
    await asyncio.sleep(2)
    assert get.peek() is MISSING


async def test_failing_refresh_is_not_repeated_at_once(timed, origin):
    """After a failed refresh the next ones come 1, 2, 4 ... seconds later, however many are served meanwhile."""
    get = timed().cache_function(expire=10, stale_while_revalidate=100)(origin.read)
    await get()
    origin.down = True
    await asyncio.sleep(11)
    for _ in range(80):
        assert await get() == 1
        await asyncio.sleep(0.1)
    assert origin.loads == 1 + 4  # at 0, 1, 3 and 7 s


async def test_recovered_origin_ends_the_pause(timed, origin):
    """Once a refresh succeeds, all is as before."""
    get = timed().cache_function(expire=10, stale_while_revalidate=100)(origin.read)
    await get()
    origin.down = True
    await asyncio.sleep(11)
    await get()
    await asyncio.sleep(1.5)
    origin.down = False
    await get()
    await asyncio.sleep(0.1)
    assert await get() == 3


async def test_aclose_cancels_refreshes_and_waits_for_them(timed, origin):
    """A load in the background never outlives its cache."""
    cache = timed()
    get = cache.cache_function(expire=10, stale_while_revalidate=5)(origin.read)
    await get()
    origin.seconds = 60
    await asyncio.sleep(11)
    await get()
    await asyncio.sleep(0)
    assert [task.get_name().split(":")[:2] for task in cache.tasks] == [["asyncfan", "load"]]
    await cache.aclose()
    assert (origin.running, get.peek()) == (0, 1)


async def test_aclose_waits_until_a_refresh_has_cleaned_up(timed):
    """What a load in the background does when it is cancelled is done before ``aclose`` returns."""
    steps = []

    async def read():
        try:
            await asyncio.sleep(60 if steps else 0)
        finally:
            await asyncio.sleep(1)
            steps.append("cleaned up")

    cache = timed()
    get = cache.cache_function(expire=100, stale_while_revalidate=50)(read)
    await get()
    await asyncio.sleep(101)
    await get()
    await asyncio.sleep(1)
    await cache.aclose()
    assert steps == ["cleaned up", "cleaned up"]


async def test_pause_after_failures_is_bounded(timed, origin):
    """However often refreshes have failed, the next one comes within 30 s: what recovers is noticed."""
    get = timed().cache_function(expire=10, stale_while_revalidate=10_000)(origin.read)
    await get()
    origin.down = True
    await asyncio.sleep(11)
    for _ in range(1_000):
        await get()
        await asyncio.sleep(1)
    assert origin.loads == 1 + 6 + 32  # at 0, 1, 3, 7, 15 and 31 s, then every 30 s


async def test_refresh_of_another_key_does_not_wait(timed, origin):
    """Stale keys are refreshed side by side."""
    get = timed().cache_function(expire=10, stale_while_revalidate=50)(origin.read)
    await asyncio.gather(*[get(n) for n in range(3)])
    origin.seconds, origin.peak = 1, 0
    await asyncio.sleep(11)
    await asyncio.gather(*[get(n) for n in range(3)])
    await asyncio.sleep(2)
    assert origin.peak == 3


# -- stale-if-error


async def test_expired_value_is_served_where_its_load_fails(timed, origin):
    """The caller waits for the load, and gets the old value instead of its error."""
    cache = timed()
    get = cache.cache_function(expire=10, stale_if_error=100)(origin.read)
    await get()
    origin.down, origin.seconds = True, 1
    await asyncio.sleep(11)
    assert await asyncio.gather(get(), get()) == [1, 1]
    stats = cache.stats().functions[0]
    assert (stats.loads_failed, stats.rescued, stats.misses, stats.joined) == (1, 2, 2, 1)


async def test_failing_origin_is_not_asked_by_every_caller(timed, origin):
    """After a failed load the old value is served at once for 1, 2, 4 ... seconds: the origin is left in peace."""
    get = timed().cache_function(expire=10, stale_if_error=100)(origin.read)
    await get()
    origin.down, origin.seconds = True, 0.05
    await asyncio.sleep(11)
    waits = []
    for _ in range(160):
        before = asyncio.get_running_loop().time()
        assert await get() == 1
        waits.append(asyncio.get_running_loop().time() - before)
        await asyncio.sleep(0.05)
    assert origin.loads == 1 + sum(seconds > 0 for seconds in waits)
    assert origin.loads == 1 + 4  # about 0, 1, 3 and 7 s after the first
    origin.down = False
    await asyncio.sleep(8)
    assert await get() == origin.loads


async def test_load_that_fails_when_it_is_cancelled_says_nothing_of_the_origin(timed):
    """Its last caller has left, so nobody is served an old value for it, and the next call loads at once."""
    cache, loads = timed(), 0

    @cache.cache_function(expire=10, stale_if_error=100)
    async def get():
        nonlocal loads
        loads += 1
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            raise ConnectionError("the connection was closed") from None
        return loads

    await get()
    await asyncio.sleep(11)
    leaving = asyncio.ensure_future(get())
    await asyncio.sleep(0.5)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert await get() == 3
    assert cache.stats().functions[0].rescued == 0


async def test_error_is_raised_once_stale_if_error_is_over(timed, origin):
    """Beyond expire + stale_if_error the load's own error reaches the caller."""
    get = timed().cache_function(expire=10, stale_if_error=100)(origin.read)
    await get()
    origin.down = True
    await asyncio.sleep(111)
    with pytest.raises(ConnectionError, match="the origin is down"):
        await get()


async def test_error_without_an_old_value_is_raised(timed, origin):
    """There is nothing to serve: the caller gets the error."""
    get = timed().cache_function(expire=10, stale_if_error=100)(origin.read)
    origin.down = True
    with pytest.raises(ConnectionError):
        await get()


async def test_refresh_asked_for_raises_its_error(timed, origin):
    """``refresh`` is about the new value: its caller gets no old one."""
    get = timed().cache_function(expire=10, stale_if_error=100)(origin.read)
    await get()
    origin.down = True
    with pytest.raises(ConnectionError):
        await get.refresh()
    assert get.peek() == 1


async def test_invalidated_value_is_no_fallback(timed, origin):
    """What was invalidated while the load ran is not served, even where the load fails."""
    get = timed().cache_function(expire=10, stale_if_error=100)(origin.read)
    await get()
    origin.down, origin.seconds = True, 1
    await asyncio.sleep(11)
    call = asyncio.create_task(get())
    await asyncio.sleep(0.5)
    get.invalidate()
    with pytest.raises(ConnectionError):
        await call


# -- soft and hard timeouts


async def test_caller_waits_for_a_slow_load_only_so_long(timed, origin):
    """After soft_timeout the expired value is served; the load goes on and is stored."""
    get = timed().cache_function(expire=10, stale_if_error=100, soft_timeout=0.2)(origin.read)
    await get()
    origin.seconds = 1
    await asyncio.sleep(11)
    before = asyncio.get_running_loop().time()
    assert await get() == 1
    assert asyncio.get_running_loop().time() - before == pytest.approx(0.2)
    await asyncio.sleep(1)
    assert get.peek() == 2


async def test_soft_timeout_without_an_old_value_waits_to_the_end(timed, origin):
    """There is nothing to serve: the caller waits for the load."""
    get = timed().cache_function(expire=10, stale_if_error=100, soft_timeout=0.2)(origin.read)
    origin.seconds = 1
    assert await get() == 1


async def test_load_that_takes_too_long_is_cancelled(timed, origin):
    """After hard_timeout the load is cancelled, and its callers get a TimeoutError that says so."""
    cache = timed()
    get = cache.cache_function(expire=10, hard_timeout=2)(origin.read)
    origin.seconds = 60
    with pytest.raises(AttemptTimeoutError, match=r"the load of .*read took longer than 2\.0 s \(hard_timeout\)"):
        await get()
    assert (origin.running, cache.stats().functions[0].loads_timed_out) == (0, 1)


async def test_load_that_takes_too_long_is_replaced_by_the_old_value(timed, origin):
    """A hard timeout is a failure as any other: stale_if_error serves the old value."""
    get = timed().cache_function(expire=10, hard_timeout=2, stale_if_error=100)(origin.read)
    await get()
    origin.seconds = 60
    await asyncio.sleep(11)
    assert await get() == 1


async def test_timeout_error_of_the_loader_itself_passes_unchanged(timed):
    """Only the cache's own timeout becomes AttemptTimeoutError."""

    async def read():
        raise TimeoutError("the user's")

    with pytest.raises(TimeoutError, match="the user's") as caught:
        await timed().cache_function(expire=10, hard_timeout=2)(read)()
    assert not isinstance(caught.value, AttemptTimeoutError)


# -- refresh ahead


def xfetch(cost, beta, left, draws):
    """How many of ``draws`` calls with ``left`` seconds to go would start a load."""
    chance = random.Random(7).random
    life = (100.0, 100.0, 100.0, 100.0)
    entry = Aging("k", 1, Seal(None, 0), born=0.0, life=life, cost=cost, beta=beta)
    return sum(entry.age(100.0 - left, chance) is Age.REFRESH for _ in range(draws))


@pytest.mark.parametrize("left", [0.5, 1, 2, 5])
def test_early_refresh_has_the_probability_of_xfetch(left):
    """A call with t seconds to go refreshes with probability exp(-t / (cost * beta)) (VLDB 2015)."""
    assert xfetch(1.0, 1.0, left, 100_000) / 100_000 == pytest.approx(math.exp(-left), rel=0.05, abs=0.001)


def test_beta_refreshes_earlier():
    """With beta 2 a call with 2 s to go is as likely to refresh as one with 1 s to go without."""
    assert xfetch(1.0, 2.0, 2, 100_000) == xfetch(1.0, 1.0, 1, 100_000)


def test_lookup_thinks_before_any_draw_could_refresh():
    """The compiled hit path serves an entry only while an early load has a chance below one in a million."""
    entry = Aging("k", 1, Seal(None, 0), born=0.0, life=(100.0, 100.0, 100.0, 100.0), cost=2.0, beta=1.0)
    assert entry.expires == 100 - 28
    assert math.exp(-28 / 2) < 1e-6


async def test_value_asked_for_often_never_expires_in_front_of_a_caller(timed, origin):
    """With refresh_ahead a key under load is replaced in time: no caller waits."""
    cache = timed(random=random.Random(1).random)
    origin.seconds = 0.5
    get = cache.cache_function(expire=10, refresh_ahead=True)(origin.read)
    await get()
    for _ in range(5000):
        await get()
        await asyncio.sleep(0.01)
    stats = cache.stats().functions[0]
    assert (stats.misses, stats.hits) == (1, 5000)
    assert 5 <= stats.refreshes <= 8


# -- jitter, negative answers, conditions


async def test_jitter_spreads_what_was_loaded_together(timed, origin):
    """A hundred values of one moment expire over a tenth of their time, none later than it."""
    cache = timed(random=random.Random(3).random)
    get = cache.cache_function(expire=100, jitter=0.1)(origin.read)
    await asyncio.gather(*[get(n) for n in range(100)])
    ends = sorted(entry.expires for op in cache.operations for entry in op.table.values())
    assert 90 <= ends[0] < 91
    assert 99 < ends[-1] <= 100


async def test_none_is_kept_as_long_as_negative_expire_says(timed):
    """A value that is not there is asked for again sooner."""
    loads = []

    async def find(key):
        loads.append(key)
        return None if key else "there"

    get = timed().cache_function(expire=100, negative_expire=5)(find)
    await asyncio.gather(get(0), get(1))
    await asyncio.sleep(6)
    await asyncio.gather(get(0), get(1))
    assert loads == [0, 1, 1]


async def test_exception_that_is_an_answer_is_kept(timed):
    """Hits raise it again without a load, until negative_expire is over; others are not kept."""
    loads = []

    async def find(key):
        loads.append(key)
        raise NotFoundError(key) if key == "a" else ValueError(key)

    cache = timed()
    get = cache.cache_function(expire=100, negative_expire=5, cache_exceptions=NotFoundError)(find)
    for _ in range(3):
        with pytest.raises(NotFoundError, match="a"):
            await get("a")
        with pytest.raises(ValueError, match="b"):
            await get("b")
    assert (loads.count("a"), loads.count("b"), cache.stats().functions[0].hits) == (1, 3, 2)
    await asyncio.sleep(6)
    with pytest.raises(NotFoundError):
        await get("a")
    assert loads.count("a") == 2
    assert get.peek("b") is MISSING


async def test_kept_exception_grows_no_traceback_and_keeps_no_frame_alive(timed):
    """A thousand hits raise a thousand copies: no caller's frame is in another's traceback."""

    class Big:
        pass

    held = []

    async def find():
        big = Big()
        held.append(weakref.ref(big))
        raise NotFoundError("x")

    get = timed().cache_function(expire=100, cache_exceptions=(NotFoundError,))(find)
    seen = []
    for _ in range(1000):
        try:
            await get()
        except NotFoundError as error:
            seen.append(len(traceback.extract_tb(error.__traceback__)))
    gc.collect()
    assert (max(seen) <= 6, held[0]()) == (True, None)


async def test_kept_exception_is_no_fallback_for_an_error(timed):
    """stale_if_error is for values: an expired "not found" gives way to the load's error."""
    error = NotFoundError("x")

    async def find():
        raise error

    get = timed().cache_function(expire=10, cache_exceptions=(NotFoundError,), stale_if_error=100)(find)
    with pytest.raises(NotFoundError):
        await get()
    await asyncio.sleep(11)
    error = ConnectionError("down")
    with pytest.raises(ConnectionError):
        await get()


async def test_cache_if_says_what_is_stored(timed, origin):
    """A value that it refuses is given to all who wait, and to nobody later."""
    origin.seconds = 1
    get = timed().cache_function(expire=10, cache_if=lambda value: value > 1)(origin.read)
    assert await asyncio.gather(get(), get()) == [1, 1]
    assert await get() == 2
    assert await get() == 2


async def test_put_is_stored_whatever_cache_if_says(timed, origin):
    """Who puts a value means it."""
    get = timed().cache_function(expire=10, cache_if=lambda value: value > 1)(origin.read)
    get.put(0)
    assert await get() == 0


async def test_error_of_cache_if_reaches_the_callers(timed, origin):
    """The user's mistake is not swallowed, and leaves nothing behind."""
    get = timed().cache_function(expire=10, cache_if=lambda value: value / 0)(origin.read)
    with pytest.raises(ZeroDivisionError):
        await get()


# -- the load's own word


async def test_load_sets_its_own_expiry(timed, origin):
    """What the function itself says of its value goes before the decorator."""

    async def read():
        current_load().expire = timedelta(seconds=2)
        return await origin.read()

    get = timed().cache_function(expire=100)(read)
    await get()
    await asyncio.sleep(3)
    assert await get() == 2


async def test_load_that_skips_is_not_stored(timed, origin):
    """All who wait get the value, nobody later."""

    async def read():
        current_load().skip()
        return await origin.read()

    get = timed().cache_function(expire=100)(read)
    assert [await get(), await get(), get.peek()] == [1, 2, MISSING]


async def test_conditional_load_sees_the_old_value_and_its_validator(timed):
    """A load that finds nothing changed gives the old value a new life, at the cost of a question."""
    asked = []

    async def read():
        load = current_load()
        asked.append(load.validator)
        if load.validator == '"v1"':
            return load.stale
        load.validator = '"v1"'
        return {"page": 1}

    get = timed().cache_function(expire=10, stale_if_error=100)(read)
    first = await get()
    await asyncio.sleep(11)
    assert (await get() is first, asked) == (True, [None, '"v1"'])
    await asyncio.sleep(11)
    assert (await get() is first, asked) == (True, [None, '"v1"', '"v1"'])


def test_current_load_outside_of_a_load_has_no_effect():
    """The user's function can be called by itself, as a test would."""
    load = current_load()
    load.expire = 5
    load.tag("a")
    load.skip()
    assert (load.key, load.stale, load.validator) == ("", None, None)


@pytest.mark.parametrize("wrong", [0, -1, math.nan, math.inf, "5", True])
def test_load_refuses_an_expiry_that_is_none(wrong):
    """Where it is written, as at decoration."""
    with pytest.raises((TypeError, ValueError), match="expire must be"):
        current_load().expire = wrong


async def test_conditional_load_needs_no_stale_serving(timed):
    """A value with a validator is kept as long again as it was fresh, to be asked about, not to be served."""
    asked = []

    async def read():
        load = current_load()
        asked.append(load.validator)
        load.validator = '"v1"'
        return load.stale or "page"

    get = timed().cache_function(expire=10)(read)
    await get()
    await asyncio.sleep(15)
    assert get.peek() is MISSING
    await get()
    await asyncio.sleep(25)
    await get()
    assert asked == [None, '"v1"', None]


async def test_new_value_does_not_inherit_the_old_validator(timed):
    """A load that sets no validator with another value has none."""
    asked = []

    async def read():
        load = current_load()
        asked.append(load.validator)
        if len(asked) == 1:
            load.validator = '"v1"'
        return len(asked)

    get = timed().cache_function(expire=10, stale_if_error=100)(read)
    for _ in range(3):
        await get()
        await asyncio.sleep(11)
    assert asked == [None, '"v1"', None]


# -- expiry that adapts


async def test_values_that_change_are_kept_shorter(timed, origin):
    """Two functions of one origin: what changes at each load expires sooner than what never does."""
    cache = timed()
    moving = cache.cache_function(expire=AdaptiveExpire(1, 1000), key_prefix="moving")(origin.read)
    still = cache.cache_function(expire=AdaptiveExpire(1, 1000), key_prefix="still", cache_if=bool)(lambda: "same")
    for _ in range(5000):
        await moving()
        still()
        await asyncio.sleep(10)
    by_name = {op.prefix: op for op in cache.operations}
    assert by_name["moving"].adaptive.current < 10
    assert by_name["still"].adaptive.current > 500
    assert "often change" in str(by_name["moving"].adaptive.trace[-1])


# -- loads under a limiter


async def test_mass_expiry_does_not_flood_the_origin(timed, origin):
    """A thousand values that expire at once are loaded as many at a time as the limiter allows."""
    get = timed().cache_function(expire=10, stale_while_revalidate=60, limiter=Limiter("db", max_concurrency=7))(
        origin.read
    )
    origin.seconds = 0.01
    await asyncio.gather(*[get(n) for n in range(1000)])
    assert origin.peak == 7
    await asyncio.sleep(11)
    await asyncio.gather(*[get(n) for n in range(1000)])
    await asyncio.sleep(5)
    assert (origin.peak, origin.loads) == (7, 2000)


async def test_refreshes_are_loaded_last(timed, origin):
    """A caller who waits goes before a hundred loads that nobody waits for."""
    get = timed().cache_function(expire=10, stale_while_revalidate=60, limiter=Limiter("db", max_concurrency=1))(
        origin.read
    )
    await asyncio.gather(*[get(n) for n in range(100)])
    origin.seconds = 1
    await asyncio.sleep(11)
    await asyncio.gather(*[get(n) for n in range(100)])
    await asyncio.sleep(0.5)
    before = asyncio.get_running_loop().time()
    await get("urgent")
    assert asyncio.get_running_loop().time() - before <= 1.5
    await asyncio.sleep(100)


# -- plain functions


@pytest.mark.real_time
def test_plain_function_is_refreshed_in_a_thread_of_the_cache(clock):
    """The stale value is served at once; a named thread that ``aclose`` waits for loads the new one."""
    cache = Cache(clock=clock)
    release, names = threading.Event(), []

    @cache.cache_function(expire=10, stale_while_revalidate=5, key_prefix="plain")
    def read():
        names.append(threading.current_thread().name)
        if len(names) == 2:
            release.wait(10)
        return len(names)

    assert read() == 1
    clock.advance(11)
    assert (read(), read()) == (1, 1)
    release.set()
    run(cache.aclose())
    assert (read.peek(), names) == (2, ["MainThread", "asyncfan:load:plain"])


@pytest.mark.real_time
def test_caller_of_a_slow_plain_function_waits_only_so_long(clock):
    """With soft_timeout the load runs in a thread of the cache, and goes on when its caller was served."""
    cache = Cache(clock=clock)
    release, loads = threading.Event(), []

    @cache.cache_function(expire=10, stale_if_error=100, soft_timeout=0.02)
    def read():
        loads.append(1)
        if len(loads) == 2:
            release.wait(10)
        return len(loads)

    assert read() == 1
    clock.advance(11)
    assert read() == 1
    release.set()
    run(cache.aclose())
    assert read.peek() == 2


def test_failing_plain_function_is_replaced_by_its_old_value(cache, clock):
    """stale_if_error holds for plain functions too."""
    down = False

    @cache.cache_function(expire=10, stale_if_error=100)
    def read():
        if down:
            raise ConnectionError
        return 1

    read()
    down = True
    clock.advance(11)
    assert read() == 1

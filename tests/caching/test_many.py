"""`many`: hits from memory, one flight a key, one call for what is missing, and nobody harmed by another."""

import asyncio
import threading

import pytest

from asyncfan import Limiter, MissingKeyError, Outcome, batched
from asyncfan.caching import MISSING, Cache, current_load
from asyncfan.exceptions import AttemptTimeoutError, RecursiveLoadError, SelfCancelledError, UnkeyableArgumentError
from asyncfan.testing import Gate


class LoadFailedError(Exception):
    """What a source raises."""


class Source:
    """A function made by something like `batched`: it knows how to load exactly the keys that it is given."""

    def __init__(self, size=None, behave=None):
        self.max_batch_size = size
        self.calls = []  # the keys of each call
        self.ended = []  # how each call ended
        self.behave = behave or (lambda keys: [f"value {key}" for key in keys])
        self.gate = Gate()
        self.gate.open()
        self.__name__ = self.__qualname__ = "source"

    async def __call__(self, key):
        (found,) = await self.load_batch([key])
        if isinstance(found, Exception):
            raise found
        return found

    async def load_batch(self, keys):
        self.calls.append(list(keys))
        number = len(self.ended)
        self.ended.append("running")
        try:
            await self.gate.enter()
            found = self.behave(keys)
            found = await found if asyncio.iscoroutine(found) else found
        except BaseException as error:
            self.ended[number] = type(error).__name__
            raise
        self.ended[number] = "ok"
        return found


def figures(f):
    """Hits, misses and joined calls."""
    info = f.cache_info()
    return info.hits, info.misses, info.joined


def closed(source):
    """Let the source's next calls wait at a gate."""
    source.gate = Gate()
    return source.gate


def cached_batches(cache, source, **options):
    """The cached function of a source."""
    return cache.cache_function(key_prefix="f", **{"expire": 100, **options})(source)


@pytest.fixture(params=["alone", "together"])
def made(request, cache):
    """A cached function that loads each key alone or several in one call, and the keys that it has loaded."""
    loaded = []

    def value(key):
        loaded.append(key)
        return LoadFailedError(key) if key == 13 else f"value {key}"

    async def alone(key):
        await asyncio.sleep(1)
        found = value(key)
        if isinstance(found, Exception):
            raise found
        return found

    async def together(keys):
        await asyncio.sleep(1)
        return list(map(value, keys))

    function = alone if request.param == "alone" else Source(behave=together)
    return cached_batches(cache, function), loaded


# -- with and without batches ---------------------------------------------------------------------------------------


async def test_values_come_in_the_items_order(made):
    """Each item has its value in its place, equal ones the same one."""
    f, loaded = made
    assert await f.many([3, 1, 2, 3, 1]) == ["value 3", "value 1", "value 2", "value 3", "value 1"]
    assert sorted(loaded) == [1, 2, 3]


async def test_hits_are_not_loaded(made):
    """Only what is missing is loaded."""
    f, loaded = made
    await f(1)
    f.put("put", 2)
    assert await f.many([1, 2, 3]) == ["value 1", "put", "value 3"]
    assert loaded == [1, 3]


async def test_each_item_counts_once(made):
    """An item is a hit, a miss or a joined call; the figures tell which."""
    f, _ = made
    await f(1)
    other = asyncio.create_task(f(2))
    await asyncio.sleep(0)
    await f.many([1, 1, 2, 3, 3])
    await other
    assert figures(f) == (2, 3, 2)


async def test_loads_in_flight_are_joined(made):
    """A single call and a further `many` join the loads of the first, and the first joins theirs."""
    f, loaded = made
    async with asyncio.TaskGroup() as group:
        single = group.create_task(f(1))
        await asyncio.sleep(0.1)
        first = group.create_task(f.many([1, 2, 3]))
        await asyncio.sleep(0.1)
        second = group.create_task(f.many([2, 4]))
        late = group.create_task(f(3))
    assert single.result() == "value 1"
    assert first.result() == ["value 1", "value 2", "value 3"]
    assert (second.result(), late.result()) == (["value 2", "value 4"], "value 3")
    assert sorted(loaded) == [1, 2, 3, 4]


async def test_first_failure_is_raised(made):
    """A key whose load fails fails the whole call, with the load's own exception."""
    f, _ = made
    with pytest.raises(LoadFailedError):
        await f.many([1, 13, 2])
    assert f.peek(13) is MISSING


async def test_outcomes_tell_of_each_item(made):
    """``many_outcomes`` raises nothing, and its outcomes say which item they are of."""
    f, _ = made
    await f(1)
    found = await f.many_outcomes([13, 1, 2, 13])
    assert [(o.key, o.status, o.value, type(o.exception)) for o in found] == [
        (0, "error", None, LoadFailedError),
        (1, "ok", "value 1", type(None)),
        (2, "ok", "value 2", type(None)),
        (3, "error", None, LoadFailedError),
    ]
    assert [o.attempts for o in found] == [1, 0, 1, 1]
    assert found[2].duration == pytest.approx(1, abs=1)
    assert isinstance(found[2], Outcome)


async def test_cleared_load_is_not_stored(made):
    """What is invalidated while it is loaded is given out and not stored; the other keys are."""
    f, _ = made
    call = asyncio.create_task(f.many([1, 2]))
    await asyncio.sleep(0.5)
    f.invalidate(1)
    assert await call == ["value 1", "value 2"]
    assert (f.peek(1), f.peek(2)) == (MISSING, "value 2")


async def test_cancelled_caller_leaves_others_alone(made):
    """Who joined one of the keys gets it, though the caller of `many` was cancelled."""
    f, loaded = made
    call = asyncio.create_task(f.many([1, 2]))
    await asyncio.sleep(0.5)
    other = asyncio.create_task(f(2))
    await asyncio.sleep(0)
    call.cancel()
    assert await other == "value 2"
    assert call.cancelled()
    assert loaded[-1] == 2


async def test_last_caller_that_leaves_cancels_the_loads(made):
    """When nobody waits for any of its keys a load is cancelled, and nothing is stored."""
    f, loaded = made
    call = asyncio.create_task(f.many([1, 2]))
    await asyncio.sleep(0.5)
    call.cancel()
    await asyncio.wait([call])
    await asyncio.sleep(2)
    assert loaded == []
    assert (f.peek(1), f.peek(2)) == (MISSING, MISSING)


async def test_nothing_is_asked_for_no_items(made):
    """No items give no values."""
    f, loaded = made
    assert await f.many([]) == []
    assert await f.many_outcomes(iter(())) == []
    assert loaded == []


async def test_stale_value_is_served_while_it_is_loaded_anew(cache, clock):
    """Expired values within ``stale_while_revalidate`` come at once; one call in the background replaces them all."""
    source = Source()
    f = cached_batches(cache, source, expire=10, stale_while_revalidate=100)
    await f.many([1, 2])
    clock.advance(20)
    source.behave = lambda keys: [f"new {key}" for key in keys]
    assert await f.many([1, 2]) == ["value 1", "value 2"]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await f.many([1, 2]) == ["new 1", "new 2"]
    assert source.calls == [[1, 2], [1, 2]]


async def test_refresh_under_way_is_joined(cache, clock):
    """There is one table of flights: what the background loads already, neither `many` nor a single call loads."""
    source = Source()
    f = cached_batches(cache, source, expire=10, stale_while_revalidate=5)
    await f(1)
    gate = closed(source)
    clock.advance(12)
    assert await f(1) == "value 1"
    await gate.reached()
    clock.advance(10)  # too old to be served now
    many, single = asyncio.create_task(f.many([1, 2])), asyncio.create_task(f(1))
    await asyncio.sleep(0)
    gate.open()
    assert (await many, await single) == (["value 1", "value 2"], "value 1")
    assert source.calls == [[1], [1], [2]]


# -- batches --------------------------------------------------------------------------------------------------------


async def test_missing_keys_travel_in_one_call(cache):
    """One call has all misses, and no hit and no key in flight."""
    source = Source()
    f = cached_batches(cache, source)
    await f.many([1, 2])
    gate = closed(source)
    single = asyncio.create_task(f(3))
    await gate.reached()
    call = asyncio.create_task(f.many(range(10)))
    await asyncio.sleep(0)
    gate.open()
    assert await call == [f"value {n}" for n in range(10)]
    assert source.calls == [[1, 2], [3], [0, 4, 5, 6, 7, 8, 9]]
    await single


async def test_call_has_no_more_than_max_batch_size_keys(cache):
    """Misses beyond ``max_batch_size`` go in further calls, at the same time."""
    source = Source(size=4)
    gate = closed(source)
    f = cached_batches(cache, source)
    call = asyncio.create_task(f.many(range(10)))
    await gate.reached()
    assert source.calls == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    gate.open()
    assert len(await call) == 10


async def test_no_more_than_max_workers_calls_run_at_once(cache):
    """Further calls begin when those before have ended."""
    source = Source(size=2)
    gate = closed(source)
    f = cached_batches(cache, source, max_workers=2)
    call = asyncio.create_task(f.many(range(10)))
    await gate.reached()
    assert source.calls == [[0, 1], [2, 3]]
    gate.open()
    assert len(await call) == 10


async def test_one_task_a_call(cache):
    """A hundred keys in one call are one task."""
    source = Source()
    gate = closed(source)
    f = cached_batches(cache, source)
    call = asyncio.create_task(f.many(range(100)))
    await gate.reached()
    assert len(cache.tasks) == 1
    gate.open()
    await call


async def test_call_goes_on_while_one_of_its_keys_is_wanted(cache):
    """A call of three keys is cancelled when the last of those who wait for any of them has left, not before."""
    source = Source()
    gate = closed(source)
    f = cached_batches(cache, source)
    first = asyncio.create_task(f.many([1, 2, 3]))
    await gate.reached()
    second = asyncio.create_task(f(3))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    third = asyncio.create_task(f(1))  # nobody waited for it, but it is on its way
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    assert source.ended == ["running"]
    third.cancel()
    await asyncio.wait([third])
    await asyncio.sleep(0)
    assert source.ended == ["CancelledError"]


async def test_key_of_a_cancelled_call_is_loaded_anew(cache):
    """Who comes while a cancelled call unwinds waits for its end, and loads."""
    cleaning = Gate()

    async def slow(keys):
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await cleaning.enter()
            raise

    source = Source(behave=slow)
    f = cached_batches(cache, source)
    first = asyncio.create_task(f.many([1, 2]))
    await asyncio.sleep(1)
    first.cancel()
    await cleaning.reached()
    source.behave = lambda keys: [f"anew {key}" for key in keys]
    second = asyncio.create_task(f.many([2, 3]))
    await asyncio.sleep(0)
    cleaning.open()
    assert await second == ["anew 2", "anew 3"]


async def test_failed_call_fails_its_keys_only(cache):
    """One call raises: its keys fail with that, those of another call have values."""

    async def behave(keys):
        if 0 in keys:
            raise LoadFailedError
        return keys

    f = cached_batches(cache, Source(size=2, behave=behave))
    found = await f.many_outcomes([0, 1, 2, 3])
    assert [o.status for o in found] == ["error", "error", "ok", "ok"]
    assert await f.many([2, 3]) == [2, 3]
    assert cache.stats().functions[0].loads_failed == 2


async def test_call_that_cancels_itself_is_an_error(cache):
    """A source that raises CancelledError by itself does not look like a cancellation of the caller."""

    async def behave(_):
        raise asyncio.CancelledError

    f = cached_batches(cache, Source(behave=behave))
    with pytest.raises(SelfCancelledError):
        await f.many([1, 2])


async def test_call_that_asks_for_one_of_its_keys_is_refused(cache):
    """A load of several keys that waits for one of them is an error, not a wait for ever."""

    async def behave(_):
        return [await f(2)] * 2

    f = cached_batches(cache, Source(behave=behave))
    with pytest.raises(RecursiveLoadError):
        await asyncio.wait_for(f.many([1, 2]), 10)


async def test_call_that_asks_for_its_keys_with_many_is_refused(cache):
    """The same where it asks for several, of which one is its own: no key stays dead."""

    async def behave(_):
        return await f.many([3, 1])

    source = Source(behave=behave)
    f = cached_batches(cache, source)
    with pytest.raises(RecursiveLoadError):
        await asyncio.wait_for(f.many([1, 2]), 10)
    source.behave = lambda keys: keys
    assert await asyncio.wait_for(f.many([1, 2, 3]), 10) == [1, 2, 3]


async def test_what_a_call_says_of_its_values_holds_for_all(cache, clock):
    """``current_load()`` in a call sets expiry and tags of each of its keys, beside their own tags."""

    async def behave(keys):
        current_load().expire = 5
        current_load().tag("all")
        return keys

    f = cached_batches(cache, Source(behave=behave), tags="own:{key}")
    f.cache_clear()
    await f.many([1, 2])
    assert [f.explain(key).tags for key in (1, 2)] == [("own:1", "all"), ("own:2", "all")]
    clock.advance(6)
    assert f.peek(1) is MISSING


async def test_cache_if_is_asked_of_each_value(cache):
    """A value that ``cache_if`` refuses, or fails on, is not stored, and the others are."""
    f = cached_batches(cache, Source(behave=lambda keys: keys), cache_if=lambda value: value and 4 / (value - 2) < 3)
    found = await f.many_outcomes([0, 1, 2, 4])
    assert [type(o.exception) for o in found] == [type(None), type(None), ZeroDivisionError, type(None)]
    assert [f.peek(key) for key in (0, 1, 2, 4)] == [MISSING, 1, MISSING, 4]


async def test_expired_values_are_served_where_the_call_fails(cache, clock):
    """Within ``stale_if_error`` the old values answer for those that could not be loaded."""
    source = Source()
    f = cached_batches(cache, source, expire=10, stale_if_error=100)
    await f.many([1, 2])
    clock.advance(20)
    source.behave = lambda keys: 1 / 0
    assert await f.many([1, 2]) == ["value 1", "value 2"]


async def test_expired_values_are_served_where_the_call_is_slow(cache, clock):
    """After ``soft_timeout`` the old values are served, once for all keys, and the call goes on."""
    source = Source()
    f = cached_batches(cache, source, expire=10, stale_if_error=100, soft_timeout=1)
    await f.many([1, 2])
    clock.advance(20)
    gate = closed(source)
    source.behave = lambda keys: [f"new {key}" for key in keys]
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await f.many([1, 2]) == ["value 1", "value 2"]
    assert loop.time() - started == pytest.approx(1)
    gate.open()
    await asyncio.sleep(0.1)
    assert await f.many([1, 2]) == ["new 1", "new 2"]


async def test_kept_exception_is_an_outcome(cache):
    """An exception that is cached is raised by hits of `many` too, for its key only."""
    source = Source(behave=lambda keys: [LoadFailedError(key) if key == 2 else key for key in keys])
    f = cached_batches(cache, source, cache_exceptions=LoadFailedError)
    for _ in range(2):
        assert [o.status for o in await f.many_outcomes([1, 2])] == ["ok", "error"]
    assert source.calls == [[1, 2]]
    with pytest.raises(LoadFailedError):
        await f.many([2, 1])


async def test_call_passes_the_limiter_once(cache):
    """A call of many keys takes one slot, and has ``hard_timeout`` seconds."""
    limiter = Limiter("db", max_concurrency=1)
    source = Source(size=2, behave=lambda keys: asyncio.sleep(5 if 3 in keys else 1, keys))
    f = cached_batches(cache, source, limiter=limiter, hard_timeout=4)
    found = await f.many_outcomes([1, 2, 3])
    assert [o.status for o in found] == ["ok", "ok", "timeout"]
    assert isinstance(found[2].exception, AttemptTimeoutError)


async def test_aclose_ends_a_call(cache):
    """Closing the cache cancels the call; who waits for its keys is told."""
    source = Source()
    gate = closed(source)
    f = cached_batches(cache, source)
    call = asyncio.create_task(f.many_outcomes([1, 2]))
    await gate.reached()
    await cache.aclose()
    assert {type(o.exception) for o in await call} == {SelfCancelledError}


async def test_call_that_could_not_begin_leaves_no_dead_key(cache, monkeypatch):
    """When a task cannot be started the caller gets the error, and the next one loads."""
    f = cached_batches(cache, Source())
    with monkeypatch.context() as broken:
        broken.setattr(asyncio, "Task", lambda coroutine, **_: coroutine.close() or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await f.many([1, 2])
    assert await asyncio.wait_for(f.many([1, 2]), 10) == ["value 1", "value 2"]


@pytest.mark.real_time
def test_loop_that_dies_leaves_no_dead_key():
    """Keys of a call whose event loop was closed under it are loaded by the next one who asks."""
    cache, source = Cache(), Source()
    f = cached_batches(cache, source)
    loop = asyncio.new_event_loop()

    async def begin():
        gate = closed(source)
        task = asyncio.ensure_future(f.many([1, 2]))
        await gate.reached()
        return task

    task = loop.run_until_complete(begin())
    loop.set_exception_handler(lambda *_: None)
    loop.close()
    source.gate = Gate()
    source.gate.open()
    assert asyncio.run(f.many([1, 2, 3])) == ["value 1", "value 2", "value 3"]
    for left in (*cache.tasks, task):
        left.get_coro().close()
        left._log_destroy_pending = False


# -- with `batched` -------------------------------------------------------------------------------------------------


async def test_batched_function_is_asked_once_for_what_is_missing(cache):
    """`many` of a function made by `batched` sends the misses in one call; single calls go through its queue."""
    calls = []

    @cache.cache_function(key_prefix="f")
    @batched(max_batch_size=50)
    async def f(keys):
        calls.append(list(keys))
        return {key: f"value {key}" for key in keys if key != 13}

    assert await asyncio.gather(f(1), f(2)) == ["value 1", "value 2"]
    assert await f.many(range(5)) == [f"value {n}" for n in range(5)]
    assert calls == [[1, 2], [0, 3, 4]]
    found = await f.many_outcomes([12, 13])
    assert (found[0].value, type(found[1].exception)) == ("value 12", MissingKeyError)
    assert len(await f.many(range(100, 200))) == 100
    assert [len(call) for call in calls] == [2, 3, 2, 50, 50]


async def test_batched_method_is_given_its_instance(cache):
    """Each instance has values and calls of its own."""
    calls = []

    class Service:
        def __init__(self, name):
            self.name = name

        @cache.cache_function
        @batched
        async def get(self, keys):
            calls.append((self.name, list(keys)))
            return [f"{self.name} {key}" for key in keys]

    a, b = Service("a"), Service("b")
    assert await a.get.many([1, 2]) == ["a 1", "a 2"]
    assert await b.get.many([1, 2]) == ["b 1", "b 2"]
    assert (await a.get(1), await a.get(3)) == ("a 1", "a 3")
    assert calls == [("a", [1, 2]), ("b", [1, 2]), ("a", [3])]


# -- functions of every kind ----------------------------------------------------------------------------------------


async def test_no_more_than_max_workers_loads_run_at_once(cache):
    """32 by default, or as ``max_workers`` says."""
    running, most = 0, 0

    async def load(key):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1

    for options, expected in (({}, 32), ({"max_workers": 5}, 5), ({"max_workers": None}, 100)):
        most = 0
        await cache.cache_function(key_prefix=str(expected), **options)(load).many(range(100))
        assert most == expected


async def test_other_arguments_are_the_same_for_all(cache):
    """What follows the items goes to every call, and is in its key."""

    @cache.cache_function(key_prefix="f")
    async def f(number, lang="en", *, unit=""):
        return f"{number} {lang} {unit}"

    assert await f.many([1, 2], "ko", unit="m") == ["1 ko m", "2 ko m"]
    assert await f.many([1, 2], lang="ko", unit="m") == ["1 ko m", "2 ko m"]
    assert (await f(1, "ko", unit="m"), figures(f)) == ("1 ko m", (3, 2, 0))


async def test_item_may_be_anything_that_an_argument_may_be(cache):
    """Lists are keyed by value, 1 and "1" and True are different items, a wrong one is refused."""

    @cache.cache_function
    async def f(item):
        return repr(item)

    items = [[1], "1", 1, True, 1.0, None, float("nan"), [1]]
    for _ in range(2):
        assert await f.many(items) == [repr(item) for item in items]
    assert f.cache_info().misses == 7
    with pytest.raises(UnkeyableArgumentError):
        await f.many([object()])


@pytest.mark.parametrize("options", [{"key": lambda item, _="": item % 2}, {"ignore": ("item",)}, {}])
async def test_key_may_be_made_of_the_item_in_any_way(cache, options):
    """Whatever the options make of a key, `many` finds what a call finds."""

    async def f(item, other=""):
        return item

    f = cache.cache_function(**options)(f)
    first = [await f(n) for n in (1, 2, 3)]
    assert await f.many([1, 2, 3]) == first
    assert f.cache_info().hits >= 3


async def test_method_is_given_its_instance(cache):
    """On an instance `many` takes only the items, and each instance has values of its own."""

    class Service:
        def __init__(self, name):
            self.name = name

        @cache.cache_function
        async def get(self, number, unit=""):
            return f"{self.name} {number}{unit}"

        @cache.cache_function
        @classmethod
        async def kind(cls, number):
            return f"{cls.__name__} {number}"

    a, b = Service("a"), Service("b")
    assert await a.get.many([1, 2], "m") == ["a 1m", "a 2m"]
    assert await b.get.many([1, 2], "m") == ["b 1m", "b 2m"]
    assert await a.get.many([1, 2], unit="m") == ["a 1m", "a 2m"]
    assert [o.value for o in await a.get.many_outcomes([1], "m")] == ["a 1m"]
    assert await Service.kind.many([1]) == ["Service 1"]
    assert figures(Service.get) == (3, 4, 0)


async def test_copies_are_handed_out_for_each_place(cache):
    """With ``copy`` no two places hold the same object."""

    @cache.cache_function(copy="shallow")
    async def f(item):
        return [item]

    for _ in range(2):
        found = await f.many([1, 1, 2])
        assert found == [[1], [1], [2]]
        assert len({id(value) for value in found}) == 3


def test_plain_function_loads_one_after_the_other(cache):
    """A ``def`` gives a list at once; what is missing is loaded in the caller's thread, in order."""
    loaded = []

    @cache.cache_function(key_prefix="f")
    def f(number):
        loaded.append((number, threading.current_thread()))
        return 10 // number

    assert f.many([2, 1, 2]) == [5, 10, 5]
    assert loaded == [(2, threading.current_thread()), (1, threading.current_thread())]
    with pytest.raises(ZeroDivisionError):
        f.many([1, 0, 5])
    assert f.peek(5) is MISSING
    assert [o.status for o in f.many_outcomes([1, 0, 5])] == ["ok", "error", "ok"]
    assert figures(f) == (2, 5, 1)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("abc",), "many() takes first an iterable of what {}() takes first, such as [1, 2, 3], got 'abc'"),
        ((5,), "many() takes first an iterable of what {}() takes first, such as [1, 2, 3], got 5"),
        ((), "many() takes first an iterable of what {}() takes first, such as [1, 2, 3], got nothing"),
    ],
)
def test_misuse_is_said_in_words(cache, args, message):
    """What cannot be items is refused, with how to do it right."""
    f = cache.cache_function(lambda item: item)
    with pytest.raises(TypeError) as caught:
        f.many(*args)
    assert str(caught.value) == message.format(f.many.__self__.operation.name)


@pytest.mark.parametrize("wrong", [0, -1])
def test_max_workers_below_1_is_refused(cache, wrong):
    """The bound is checked where it is written."""
    with pytest.raises(ValueError, match=f"max_workers must be >= 1 or None, got {wrong}"):
        cache.cache_function(max_workers=wrong)(lambda item: item)

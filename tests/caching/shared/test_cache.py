"""A cache with a tier that processes share: several of them here stand for processes, one server in memory for theirs."""

import asyncio
import contextvars
import functools
import gc
import importlib
import inspect
import operator
import re
import sys
import time
import weakref

import pytest

from asyncfan import Cache, RecursiveLoadError, batched, cache_response, current_load
from asyncfan.caching import MISSING
from asyncfan.caching.loads.leader_loads import Loaded, unsharing
from asyncfan.caching.loads.tiering import Passage
from asyncfan.caching.shared import SharedTier
from asyncfan.caching.shared.server.guard import Guard
from asyncfan.testing import FailingStore, Gate, ManualClock, MemoryStore, run

pytestmark = pytest.mark.real_time  # the tier listens and sends in a thread of its own


class Process:
    """What one process would have: a cache on the common server, and a cached function that counts its loads."""

    def __init__(self, server, truth, **options):
        self.loads = []
        self.cache = Cache(store=server.connect())

        @self.cache.cache_function(expire=100, key_prefix="f", tags="n:{n}", **options)
        async def f(n):
            self.loads.append(n)
            await asyncio.sleep(0)
            return truth.get(n, 0)

        self.f = f


@pytest.fixture
async def processes():
    """Make processes; they are closed at the end."""
    server, truth, made = MemoryStore(), {}, []

    def make(**options):
        made.append(Process(server, truth, **options))
        return made[-1]

    make.server, make.truth = server, truth
    yield make
    for one in made:
        await one.cache.aclose()


async def until(condition):
    """Wait until something has come true that happens in another thread."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_what_one_process_loaded_another_finds(processes):
    """The second process has a miss in memory, and no load."""
    a, b = processes(), processes()
    processes.truth[1] = {"name": "Ann", "tuple": (1, 2)}
    assert await a.f(1) == await b.f(1) == processes.truth[1]
    assert (a.loads, b.loads, b.cache.stats().functions[0].shared_hits) == ([1], [], 1)


async def test_processes_share_one_load(processes):
    """A hundred callers in two processes make one load."""
    a, b = processes(), processes()
    await asyncio.gather(*[one.f(1) for one in (a, b) for _ in range(100)])
    assert a.loads + b.loads == [1]


@pytest.mark.parametrize("together", [False, True], ids=["one", "many"])
async def test_load_joins_no_batch_from_before_it_had_the_right_to_load(processes, together):
    """Another process may have invalidated its key since that batch was sent, and nobody here have heard of it yet."""
    cache, gate, rows = processes().cache, Gate(), iter(["old", "new"])

    @batched
    async def read(keys):
        found = dict.fromkeys(keys, next(rows))
        await gate.enter()
        return found

    @cache.cache_function(key_prefix="row")
    async def get(key):
        return await read(key)

    async def get_many(keys):
        return {key: await read(key) for key in keys}

    before = asyncio.ensure_future(read("a"))
    await gate.reached()
    after = asyncio.ensure_future(cache.get_or_set_many(["a"], get_many, expire=9) if together else get("a"))
    await until(lambda: gate.entered == 2)
    gate.open()
    assert await before == "old"
    assert await after == ({"a": "new"} if together else "new")


@pytest.mark.parametrize(
    "clear",
    [
        lambda one: one.f.invalidate(1),
        lambda one: one.cache.clear("f:1*"),
        lambda one: one.cache.clear_prefix("f", 1),
        lambda one: one.cache.clear_tags("n:1"),
        lambda one: one.f.cache_clear(),
        lambda one: one.cache.clear_all(),
    ],
    ids=["call", "pattern", "prefix", "tag", "function", "all"],
)
async def test_clear_in_one_process_reaches_memory_and_server(processes, clear):
    """What one process cleared no other one serves, from memory or from the server."""
    a, b, c = processes(), processes(), processes()
    await a.f(1)
    await b.f(1)
    processes.truth[1] = 1
    cleared = clear(a)
    await cleared
    assert cleared.confirmed
    await until(lambda: b.f.peek(1) is MISSING)
    assert (await c.f(1), await b.f(1), await a.f(1)) == (1, 1, 1)


async def test_what_a_callers_context_holds_is_freed_when_its_call_has_ended(processes):
    """The first caller's request does not live as long as the thread that listens."""

    class Request:
        pass

    one, current, seen = processes(), contextvars.ContextVar("current"), []

    async def request(n):
        current.set(Request())
        seen.append(weakref.ref(current.get()))
        await one.f(n)
        await one.f.invalidate(n)

    for n in range(3):
        await asyncio.create_task(request(n))
    await until(lambda: not one.cache.writes)
    await asyncio.sleep(0)
    gc.collect()
    assert [request() for request in seen] == [None] * 3


async def test_clear_before_the_first_use_clears_nothing(processes):
    """Nothing need have been called or connected before."""
    for clear in ("f.invalidate", "cache.clear", "cache.clear_prefix", "cache.clear_tags"):
        one = processes()
        cleared = operator.attrgetter(clear)(one)("f")
        assert (await cleared, cleared.confirmed) == (0, True)


async def test_put_and_refresh_reach_other_processes(processes):
    """A value that was put or loaded anew replaces what others hold."""
    a, b = processes(), processes()
    await a.f(1)
    await b.f(1)
    a.f.put(7, 1)
    await until(lambda: b.f.peek(1) is MISSING)
    await until(lambda: not a.cache.tier.stats().pending)
    assert await b.f(1) == 7
    processes.truth[1] = 8
    await b.f.refresh(1)
    await until(lambda: a.f.peek(1) is MISSING)
    assert await a.f(1) == 8


async def test_load_that_began_before_another_process_cleared_is_stored_nowhere(processes):
    """The slow load's caller gets its value; nobody else ever does."""
    server = processes.server
    a = processes()
    gate, began = asyncio.Event(), asyncio.Event()
    slow = Cache(store=server.connect())

    @slow.cache_function(expire=100, key_prefix="f")
    async def f(n):
        value = processes.truth.get(n, 0)
        began.set()
        await gate.wait()
        return value

    call = asyncio.create_task(f(1))
    await began.wait()
    processes.truth[1] = 1
    await a.f.invalidate(1)
    gate.set()
    assert await call == 0
    assert (await a.f(1), f.peek(1)) == (1, MISSING)
    await slow.aclose()


class SlowTags(FailingStore):
    """A way to the server on which the answers about tags alone are held back."""

    def __init__(self, store):
        super().__init__(store)
        self.gate = Gate()

    async def read(self, names, tags=()):
        """Read at once, answer late."""
        found = await super().read(names, tags)
        if not names:
            await self.gate.enter()
        return found


async def cleared_while_found(clock, age):
    """A call that finds a value, whose tag another process clears before the finder can tell; what it gives, and next.

    ``age`` is the value's, of 10 seconds that it is fresh and 100 that it is served if a load fails.
    """
    server = MemoryStore(clock=clock)
    store = SlowTags(server.connect())
    a, b = (Cache(store=SharedTier(one, guard=Guard(deadline=10)), clock=clock) for one in (server.connect(), store))

    @a.cache_function(expire=10, stale_if_error=90, key_prefix="f", tags="n:{n}")
    async def load(n):
        return "old"

    @b.cache_function(expire=10, stale_if_error=90, key_prefix="f")
    async def find(n):
        raise ConnectionError

    await load(1)
    await until(lambda: len(server))
    clock.advance(age)
    call = asyncio.create_task(find(1))
    await store.gate.reached()
    await a.clear_tags("n:1")
    await until(lambda: b.clears.number)
    store.gate.open()
    given = await asyncio.gather(call, return_exceptions=True)
    given += await asyncio.gather(find(1), return_exceptions=True)
    for one in (a, b):
        await one.aclose()
    return [one if isinstance(one, str) else type(one) for one in given]


async def test_value_whose_tag_was_cleared_while_it_was_found_is_not_kept(clock):
    """The reader learns of the tag from the value itself; a clear of it may have been heard before that."""
    assert await cleared_while_found(clock, age=1) == ["old", ConnectionError]  # the first one called before the clear


async def test_expired_value_whose_tag_was_cleared_while_it_was_found_rescues_nobody(clock):
    """Nor is it kept for the case that loads fail."""
    assert await cleared_while_found(clock, age=20) == [ConnectionError, ConnectionError]


async def test_memory_keeps_a_value_no_longer_than_memory_expire(clock):
    """So long may a lost message let it stay; then the server is asked."""
    server = MemoryStore()
    cache = Cache(store=server.connect(), memory_expire=5, clock=clock)

    @cache.cache_function(expire=100, key_prefix="f")
    async def f():
        return 1

    await f()
    clock.advance(6)
    assert f.peek() is MISSING
    assert await f() == 1
    assert cache.stats().functions[0].shared_hits == 1
    await cache.aclose()


@pytest.mark.parametrize("options", [{}, {"stale_while_revalidate": 50}], ids=["plain", "stale"])
async def test_value_older_than_memory_expire_is_served_on_no_condition(clock, options):
    """Its invalidation may be lost: it neither rescues a failing load nor bridges one in the background."""
    server = MemoryStore(clock=clock)
    cache = Cache(store=server.connect(), memory_expire=5, clock=clock)
    loads = []

    @cache.cache_function(expire=1 if options else 100, key_prefix="f", tags="t", **options)
    async def f():
        loads.append(1)
        if len(loads) > 1:
            raise ConnectionError
        return 1

    await f()
    await until(lambda: len(server))
    await server.drop(["f"], b"")  # which this process does not hear
    clock.advance(6)
    with pytest.raises(ConnectionError):
        await f()
    await cache.aclose()


async def test_server_that_fails_is_a_miss(processes):
    """Whatever the server does, the call returns what it loads; a clear says that it is not confirmed."""
    failing = FailingStore(processes.server.connect(), failing=1.0)
    cache = Cache(store=failing)

    @cache.cache_function(expire=100, key_prefix="f")
    async def f(n):
        return n

    assert await f(1) == 1
    cleared = f.invalidate(1)
    await cleared
    assert not cleared.confirmed
    assert re.fullmatch(r"<Cleared 1 entries, 0 shared, not yet confirmed>", repr(cleared))
    failing.failing = 0.0
    await until(lambda: cleared.confirmed)
    await cache.aclose()


async def test_many_takes_from_memory_server_and_origin(processes):
    """Of five keys one is in memory, two are on the server, two are loaded; duplicates are one."""
    a, b = processes(), processes()
    await b.f.many([1, 2, 3])
    await a.f(1)
    assert await a.f.many([1, 2, 3, 4, 5, 5]) == [0] * 6
    assert (a.loads, b.loads) == ([4, 5], [1, 2, 3])


async def test_batched_function_sends_only_what_no_process_has(processes):
    """With a loader beneath, what the server has is read in one round trip and the rest is one call."""
    a = processes()
    await a.f.many([1, 2, 3])
    cache, calls = Cache(store=processes.server.connect()), []

    @cache.cache_function(expire=100, key_prefix="f")
    @batched
    async def f(keys):
        calls.append(list(keys))
        return {key: key * 10 for key in keys}

    assert await f.many([1, 2, 3, 4, 5]) == [0, 0, 0, 40, 50]
    assert calls == [[4, 5]]
    await until(lambda: cache.tier.stats().stored == 2)
    assert await a.f.many([4, 5]) == [40, 50]
    await cache.aclose()


async def test_call_for_what_the_server_lacks_may_not_wait_for_itself(processes):
    """Though the first of its keys was found on the server, a load that asks for one of the others is refused."""
    a = processes()
    await a.f(1)
    cache = Cache(store=processes.server.connect())

    @cache.cache_function(expire=100, key_prefix="f")
    @batched
    async def f(keys):
        return [await f(key) for key in keys]

    async with asyncio.timeout(5):
        found = await f.many_outcomes([1, 2])
    assert (found[0].value, type(found[1].exception)) == (0, RecursiveLoadError)
    await cache.aclose()


async def test_value_that_has_expired_before_it_is_written_frees_the_key(processes, monkeypatch):
    """Where the machine stands still between the load and the writing, the next process may load at once."""
    a, b = processes(), processes()
    stop = 0.0
    monkeypatch.setattr(a.cache, "clock", lambda: time.monotonic() + stop)
    shorten = Passage.shorten

    def late(passage, entry):
        nonlocal stop
        stop = 1_000.0
        return shorten(passage, entry)

    monkeypatch.setattr(Passage, "shorten", late)
    assert await a.f(1) == 0
    await until(lambda: not a.cache.writes)
    monkeypatch.undo()
    async with asyncio.timeout(1):  # a lease is 3 s
        assert await b.f(1) == 0
    assert (a.loads, b.loads) == ([1], [1])


async def test_value_that_cannot_be_stored_stays_in_this_process(processes, caplog):
    """The caller gets it, and hits do; the log says so once."""
    a, b = processes(), processes()
    processes.truth[1] = object()
    assert await a.f(1) is await a.f(1) is processes.truth[1]
    assert await b.f(1) is processes.truth[1]
    assert (a.loads, b.loads) == ([1], [1])
    assert "stays in this process only" in caplog.text


async def test_expired_value_of_another_process_is_served_where_the_load_fails(clock):
    """stale_if_error holds across processes: what one has loaded saves another one."""
    server = MemoryStore(clock=clock)
    down = False

    def process():
        cache = Cache(store=server.connect(), clock=clock)

        @cache.cache_function(expire=10, stale_if_error=100, key_prefix="f")
        async def f():
            if down:
                raise ConnectionError
            return 1

        return cache, f

    (one, f), (other, g) = process(), process()
    await f()
    await until(lambda: one.tier.stats().stored == 1)
    down = True
    clock.advance(11)
    assert await g() == 1
    await one.aclose()
    await other.aclose()


async def test_validator_travels(processes):
    """A conditional load in another process asks by the validator that the first one stored."""
    asked, caches = [], []

    def process(clock_at):
        cache = Cache(store=processes.server.connect(), clock=clock_at)
        caches.append(cache)

        @cache.cache_function(expire=100, key_prefix="page")
        async def page():
            load = current_load()
            asked.append(load.validator)
            load.validator = '"v1"'
            return "page"

        return page

    one, other = process(lambda: 0.0), process(lambda: 0.0)
    await one()
    await until(lambda: caches[0].tier.stats().stored == 1)
    await other()
    await other.refresh()
    assert asked == [None, '"v1"']
    for cache in caches:
        await cache.aclose()


def test_plain_function_goes_through_the_tier():
    """A ``def`` in a thread without an event loop shares too."""
    server, loads = MemoryStore(), []

    def process():
        cache = Cache(store=server.connect())

        @cache.cache_function(expire=100, key_prefix="f")
        def f(n):
            loads.append(n)
            return n * 2

        return cache, f

    (one, f), (other, g) = process(), process()
    assert (f(1), g(1), f(1), loads) == (2, 2, 2, [1])
    asyncio.run(one.aclose())
    asyncio.run(other.aclose())


async def test_methods_and_what_only_this_process_can_name_stay_here(processes):
    """An instance means nothing in another process: its entries are not shared."""
    cache = Cache(store=processes.server.connect())

    class Shop:
        @cache.cache_function(expire=100)
        async def price(self, n):
            return n

    assert await Shop().price(1) == 1
    assert cache.tier.stats().stored == 0
    await cache.aclose()


async def answer(of, n):
    """Tell what answered."""
    return [of, n]


class Answers:
    """An object whose class, method and function each give a name to what can answer differently."""

    def __init__(self, of):
        self.of = of

    async def __call__(self, n):
        return [self.of, n]

    async def get(self, n):
        return [self.of, n]

    @batched
    async def load(self, keys):
        return {key: [self.of, key] for key in keys}

    def made(self):
        async def get(n):
            return [self.of, n]

        return get


@batched
async def first(keys):
    """Answer each key."""
    return {key: ["first", key] for key in keys}


@batched
async def second(keys):
    """Answer each key, too."""
    return {key: ["second", key] for key in keys}


UNALIKE = {
    "batched": (first, second),
    "partial": (functools.partial(answer, "first"), functools.partial(answer, "second")),
    **{
        name: (make(Answers("first")), make(Answers("second")))
        for name, make in {
            "object": lambda it: it,
            "bound method": lambda it: it.get,
            "bound batched method": lambda it: it.load,
            "function in a function": Answers.made,
            "lambda": lambda it: lambda n: [it.of, n],
        }.items()
    },
}


@pytest.mark.parametrize("functions", UNALIKE.values(), ids=UNALIKE)
async def test_functions_that_differ_in_more_than_their_name_do_not_get_each_others_values(functions):
    """A name stands for one function in the tier, or what it returns is not shared."""
    async with Cache(store=MemoryStore().connect()) as cache:
        for function, of in zip(functions, ["first", "second"], strict=True):
            get = cache.cache_function(expire=100)(function)
            found = get(1)
            assert (await found if inspect.isawaitable(found) else found) == [of, 1]


async def test_a_prefix_lets_processes_share_what_a_function_in_a_function_returns(processes):
    """It says that the name is good for all of them."""
    server, caches = processes.server, []
    for of in ("loaded", "not loaded again"):
        caches.append(Cache(store=server.connect()))
        get = caches[-1].cache_function(expire=100, key_prefix="get")(Answers(of).made())
        assert await get(1) == ["loaded", 1]
    for cache in caches:
        await cache.aclose()


async def test_processes_share_what_a_batched_function_returns(processes):
    """It has the name that it was given, not that of what it was made into."""
    server, caches = processes.server, []
    for _ in range(2):
        caches.append(Cache(store=server.connect()))
        get = caches[-1].cache_function(expire=100)(first)
        assert get.cache_key(1) == f"{__name__}.first:1"
        assert await get(1) == ["first", 1]
        assert caches[-1].stats().functions[0].shared_hits == len(caches) - 1
    for cache in caches:
        await cache.aclose()


async def test_two_functions_of_one_prefix_are_refused(processes):
    """They would get each other's values (F19)."""
    a = processes()
    with pytest.raises(
        ValueError, match=r"f and .*Process.* have the same prefix 'f', so that they would get each other"
    ):

        @a.cache.cache_function(expire=1, key_prefix="f")
        async def f(n):
            return n


async def test_what_is_put_for_a_generator_is_kept_as_long_as_what_it_gives(processes):
    """Neither is shared, so a lost message cannot let memory keep what the server has not."""
    a, clock = processes(), ManualClock()
    async with Cache(store=processes.server.connect(), clock=clock) as cache:

        @cache.cache_function(expire=100, key_prefix="g")
        async def g(n):
            yield n

        await a.f(1)
        assert [item async for item in g(1)] == [1]
        await until(lambda: cache.tier.stats().listening)
        assert [item async for item in g(1)] == [1]
        g.put([3], 2)
        clock.advance(99)
        assert (g.peek(1), g.peek(2)) == ((1,), (3,))


@pytest.mark.parametrize("clear", [lambda c: c.clear_tags("t"), lambda c: c.clear("m*"), lambda c: c.clear_all()])
async def test_process_that_shares_nothing_hears_of_the_clears_of_others(processes, clear):
    """Methods and generators have entries in memory only; their tags and prefixes are everybody's."""
    a = processes()
    async with Cache(store=processes.server.connect()) as cache:

        class Shop:
            @cache.cache_function(expire=100, key_prefix="m", tags="t")
            async def price(self, n):
                return [n]

        @cache.cache_function(expire=100, key_prefix="m:g", tags="t")
        async def prices(n):
            yield n

        shop = Shop()
        await shop.price(1)
        await until(lambda: cache.tier.stats().listening)
        assert ([await shop.price(1)], [item async for item in prices(1)]) == ([[1]], [1])
        await clear(a.cache)
        await until(lambda: (shop.price.peek(1), prices.peek(1)) == (MISSING, MISSING))


def test_cache_with_a_store_is_closed_in_virtual_time_too():
    """A loop that knows of no timer waits all the same until the tier's own thread has ended."""

    async def closed():
        async with Cache(store=MemoryStore()) as cache:
            return await cache.cache_function(expire=100, key_prefix="f")(plain)(1)

    assert [run(closed()) for _ in range(5)] == [[1]] * 5


async def plain(n):
    """Answer as it is."""
    return [n]


def times(number):
    """Return a decorator; what it makes has the name of what it decorates."""

    def decorate(function):
        @functools.wraps(function)
        async def wrapper(n):
            return number * await function(n)

        return wrapper

    return decorate


@pytest.mark.parametrize(
    ("one", "other", "options"),
    [
        (plain, plain, {"key": lambda n: n % 2}),
        (plain, plain, {"cache_if": bool}),
        (plain, plain, {"expire": 5}),
        (plain, times(2)(plain), {}),
        (times(2)(plain), times(3)(plain), {}),
        (plain, times(2)(Cache().cache_function(plain)), {}),
    ],
    ids=["key", "cache_if", "expire", "wrapped", "wrapped by another", "above a cached one"],
)
async def test_one_function_cached_twice_in_different_ways_is_refused(processes, one, other, options):
    """Each would get values that the other one made, or that it would not have kept so long."""
    cache = processes().cache
    first = cache.cache_function(expire=100)(one)
    message = (
        f"{__name__}.plain and another of that name have the same prefix '{__name__}.plain', so that they would get each "
        "other's values from the shared tier: give one of them another key_prefix"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        cache.cache_function(**{"expire": 100, **options})(other)
    assert await first(1) == await one(1)


async def test_one_function_cached_twice_alike_has_the_same_values(processes):
    """It is no mistake: options that say the same are the same, also those that are functions."""
    cache = processes().cache
    made = [cache.cache_function(expire=100, key=lambda n, of=of: n % 2)(plain) for of in (1, 1)]
    assert [await function(1) for function in made] == [[1], [1]]


REGISTERED = """
from asyncfan import cache

handlers = []

@handlers.append
@cache.cache_function
async def _(n): ...

@handlers.append
@cache.cache_function{option}
async def _(n): ...
"""


async def test_two_functions_of_one_name_are_refused_where_their_module_is_loaded(processes, tmp_path, monkeypatch):
    """One that is edited and loaded again defines the same functions again."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("asyncfan.cache", processes().cache)
    (tmp_path / "of_one_name.py").write_text(REGISTERED.format(option=""))
    with pytest.raises(ValueError, match=r"^of_one_name\._ and another of that name have the same prefix"):
        importlib.import_module("of_one_name")
    file = tmp_path / "of_two_prefixes.py"
    file.write_text(REGISTERED.format(option="(key_prefix='second')"))
    module = importlib.import_module("of_two_prefixes")
    monkeypatch.setitem(sys.modules, "of_two_prefixes", module)
    before = module.handlers
    file.write_text("\n\n" + REGISTERED.format(option="(key_prefix='second')"))
    assert importlib.reload(module).handlers != before


async def test_responses_are_shared_but_not_those_of_a_single_person(processes):
    """An endpoint runs once for all processes; a request with credentials has its entry in one process."""
    import httpx
    from fastapi import FastAPI, Request

    runs, caches = [], []

    def process():
        cache, app = Cache(store=processes.server.connect()), FastAPI()
        caches.append(cache)

        @app.get("/page")
        @cache_response(expire=60, prefix="page", cache=cache)
        async def page(request: Request):
            runs.append(1)
            return {"runs": len(runs)}

        return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://shop")

    async with process() as one, process() as other:
        first = await one.get("/page")
        await until(lambda: caches[0].tier.stats().stored == 1)
        second = await other.get("/page")
        assert second.content == first.content
        assert second.headers["cache-status"].startswith("asyncfan; hit")
        assert second.headers["age"] == "0"
        for client in (one, other):
            await client.get("/page", headers={"authorization": "Bearer ann"})
        assert len(runs) == 3
    for cache in caches:
        await cache.aclose()


async def test_response_on_its_way_keeps_nobody_waiting(processes):
    """From when a handler sends what it makes, those who wait run their own, in other processes too."""
    caches = [Cache(store=processes.server.connect()) for _ in range(2)]
    one, other = (cache.operation("page", "page") for cache in caches)
    gate, tasks = Gate(), []

    async def stream():
        tell = unsharing()
        for _ in range(3):  # with each part
            tell()
        tasks.append(len(caches[0].writes) + len(caches[1].writes))
        await gate.enter()
        return Loaded("sent", None)

    readers = [asyncio.ensure_future(operation.lead("key", stream)) for operation in (one, one, other)]
    await until(lambda: gate.entered == 3)
    gate.open()
    assert await asyncio.gather(*readers) == [("sent", "miss")] * 3
    assert tasks[0] == 1  # that tells the other processes, once
    for cache in caches:
        await cache.aclose()


async def test_responses_that_vary_stay_where_they_were_made(processes):
    """Their keys hold a digest that no other process can make: on the server they would only take room."""
    import httpx
    from fastapi import FastAPI, Request, Response

    cache, app = Cache(store=processes.server.connect()), FastAPI()

    @app.get("/said")
    @cache_response(expire=60, vary=("x-kind",), cache=cache)
    async def said(request: Request):
        return "said"

    @app.get("/learned")
    @cache_response(expire=60, cache=cache)
    async def learned(request: Request):
        return Response("learned", headers={"vary": "x-kind"})

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://shop") as client:
        for path in ("/said", "/learned"):
            for _ in range(2):  # the first one may teach what it varies on
                await client.get(path, headers={"x-kind": "a"})
            hit = await client.get(path, headers={"x-kind": "a"})
            assert hit.headers["cache-status"].startswith("asyncfan; hit")
    await cache.aclose()
    assert [names async for names in processes.server.connect().scan("")] == []


@pytest.mark.parametrize("wrong", [5, [1], {}])
def test_store_that_is_none_is_refused(wrong):
    """Where it is written."""
    with pytest.raises(TypeError, match=r'store must be a URL such as "redis://localhost", a Store or a SharedTier'):
        Cache(store=wrong)


def test_url_of_no_store_is_refused():
    """With the schemes that there are."""
    with pytest.raises(ValueError, match=r"no store is known for 'memcached://': there are redis, rediss"):
        Cache(store="memcached://localhost")


@pytest.mark.parametrize("url", ["user:hidden@host:6379", "user:hidden@redis://host", "redis:/user:hidden@host"])
def test_text_that_is_no_url_is_refused_and_not_shown(url):
    """Whatever it is, it may hold a password."""
    with pytest.raises(ValueError, match=r"a store's URL \(not shown: it may hold a password\) is such as") as caught:
        Cache(store=url)
    assert "hidden" not in str(caught.value)

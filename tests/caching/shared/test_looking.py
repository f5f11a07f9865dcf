"""`many` asks the tier that processes share once for all that memory has not, and then loads the rest."""

import asyncio

import pytest

from asyncfan import Cache, current_load
from asyncfan.caching import MISSING
from asyncfan.caching.loads import looking
from asyncfan.caching.shared import SharedTier
from asyncfan.caching.shared.portal import Portal
from asyncfan.caching.shared.server.guard import Guard
from asyncfan.testing import FailingStore, Gate, MemoryStore


class HeldUp(FailingStore):
    """A way to the server on which answers to reads wait for a gate, while there is one."""

    gate = None

    async def read(self, names, tags=()):
        """Read at once, answer late."""
        found = await super().read(names, tags)
        if self.gate is not None:
            await self.gate.enter()
        return found


class Process:
    """What one process would have: a cache on the common server, and a cached function that counts its loads."""

    def __init__(self, server, deadline=None, **options):
        loop = asyncio.get_running_loop()
        self.store = HeldUp(server.connect())
        tier = SharedTier(self.store, guard=Guard(deadline=deadline), portal=Portal("home", loop))
        self.cache = Cache(store=tier, clock=loop.time, memory_expire=1_000)
        self.loads, self.most, self.running = [], 0, 0

        @self.cache.cache_function(expire=100, key_prefix="f", **options)
        async def f(n):
            self.loads.append(n)
            self.running += 1
            self.most = max(self.most, self.running)
            await asyncio.sleep(1)
            self.running -= 1
            if n < 0:
                raise ZeroDivisionError
            return [n]

        self.f = f

    async def rest(self):
        """Wait until all that was loaded is written."""
        while self.cache.writes:
            await asyncio.sleep(0.1)


@pytest.fixture
async def process():
    """Make processes on one server, all in the test's own event loop; they are closed at the end."""
    server, made = MemoryStore(), []

    def make(**options):
        made.append(Process(server, **options))
        return made[-1]

    yield make
    for one in made:
        await one.cache.aclose()


@pytest.fixture
async def other(process):
    """A process that finds 1 and 2 on the server, with its answers held up at a gate."""
    first = process(tags="n:{n}")
    await first.f.many([1, 2])
    await first.rest()
    found = process(tags="n:{n}")
    found.first = first
    found.store.gate = Gate()
    return found


async def test_all_that_is_missing_is_asked_for_at_once_and_the_rest_loaded_few_at_a_time(process):
    """One question for the values; where there is none, no second one, but for the right to load."""
    a, b = process(), process(max_workers=10)
    await a.f.many(range(100))
    await a.rest()
    assert await b.f.many(range(150)) == [[n] for n in range(150)]
    assert (b.loads, b.most) == (list(range(100, 150)), 10)
    assert b.store.calls["read"] == 1
    assert 5 <= b.store.calls["lease"] <= 10
    figures = b.cache.stats().functions[0]
    assert (figures.hits, figures.misses, figures.shared_hits) == (0, 150, 100)
    assert await b.f.many(range(100)) == [[n] for n in range(100)]
    assert b.store.calls["read"] == 1


async def test_thousands_are_asked_for_in_a_few_questions(process, monkeypatch):
    """So many at a time."""
    monkeypatch.setattr(looking, "KEYS_AT_ONCE", 10)
    a, b = process(max_workers=None), process()
    await a.f.many(range(25))
    await a.rest()
    assert await b.f.many(range(25)) == [[n] for n in range(25)]
    assert (b.loads, b.store.calls["read"]) == ([], 3)


async def test_outcomes_are_asked_for_at_once_too(process):
    """What the server has is ok; what fails to load fails alone."""
    a, b = process(), process()
    await a.f.many([1, 2])
    await a.rest()
    outcomes = await b.f.many_outcomes([1, -1, 2, 3, 1])
    assert [(o.key, o.status, o.value) for o in outcomes] == [
        (0, "ok", [1]), (1, "error", None), (2, "ok", [2]), (3, "ok", [3]), (4, "ok", [1])
    ]  # fmt: skip
    assert b.store.calls["read"] == 1


async def test_who_asks_for_one_of_them_meanwhile_waits_for_the_same_question(other):
    """What the server has not, it loads itself."""
    many = asyncio.create_task(other.f.many([1, 2]))
    await other.store.gate.reached()
    calls = [asyncio.create_task(other.f(n)) for n in (1, 2)]
    await asyncio.sleep(0.1)
    other.store.gate.open()
    assert await asyncio.gather(many, *calls) == [[[1], [2]], [1], [2]]
    assert (other.store.calls["read"], other.loads) == (1, [])


async def test_who_asks_meanwhile_for_what_is_not_there_loads_it(other):
    """And is one with the load of `many`."""
    many = asyncio.create_task(other.f.many([1, 7]))
    await other.store.gate.reached()
    call = asyncio.create_task(other.f(7))
    await asyncio.sleep(0.1)
    other.store.gate.open()
    assert await asyncio.gather(many, call) == [[[1], [7]], [7]]
    assert other.loads == [7]


async def test_what_is_loading_already_is_not_asked_for(process):
    """`many` waits for that load."""
    one = process()
    call = asyncio.create_task(one.f(1))
    await asyncio.sleep(0.5)
    assert await asyncio.gather(call, one.f.many([1])) == [[1], [[1]]]
    assert (one.store.calls["read"], one.loads) == (1, [1])


async def test_a_cancelled_caller_leaves_whoever_waits_to_ask_for_himself(other):
    """Nothing of its question is left behind."""
    many = asyncio.create_task(other.f.many([1, 2]))
    await other.store.gate.reached()
    call = asyncio.create_task(other.f(1))
    await asyncio.sleep(0.1)
    many.cancel()
    with pytest.raises(asyncio.CancelledError):
        await many
    other.store.gate.open()
    assert await call == [1]
    assert not any(op.flights for op in other.cache.operations)


@pytest.mark.parametrize(
    "clear",
    [
        lambda one: one.f.invalidate(1),
        lambda one: one.cache.clear("f:1*"),
        lambda one: one.cache.clear_tags("n:1"),
        lambda one: one.cache.clear_all(),
    ],
    ids=["call", "pattern", "tag", "all"],
)
@pytest.mark.parametrize("where", ["here", "there"])
async def test_what_is_cleared_while_it_is_asked_for_is_not_kept(other, clear, where):
    """Whoever clears it; and who comes after the clear does not get it either."""
    many = asyncio.create_task(other.f.many([1, 2]))
    await other.store.gate.reached()
    await clear(other if where == "here" else other.first)
    await asyncio.sleep(0.1)
    late = asyncio.create_task(other.f(1))
    await asyncio.sleep(0.1)
    other.store.gate.open()
    await many
    assert await late == [1]
    assert sorted(other.loads) in ([1], [1, 2])  # the other one may be loaded, too, or not


async def test_a_load_may_ask_for_another_that_waits_for_a_worker(process):
    """Nothing that is not loading yet can block anybody."""
    one = process()

    @one.cache.cache_function(expire=100, key_prefix="g", max_workers=1)
    async def g(n):
        return 1 if n == 9 else 1 + await g(n + 1)

    assert await g.many(range(10)) == list(range(10, 0, -1))


async def test_a_load_of_many_says_things_of_its_own_value(process):
    """As a single one does."""
    one = process()

    @one.cache.cache_function(expire=100, key_prefix="g")
    async def g(n):
        current_load().tag(f"g:{n}")
        return n

    await g.many([1, 2])
    await one.cache.clear_tags("g:1")
    assert (g.peek(1), g.peek(2)) == (MISSING, 2)


async def test_an_expired_value_in_memory_is_served_while_it_is_replaced(process):
    """stale_while_revalidate holds for `many`: nobody waits for the server."""
    one = process(stale_while_revalidate=50)
    await one.f(1)
    await asyncio.sleep(110)
    one.store.gate = Gate()
    assert await one.f.many([1]) == [[1]]
    one.store.gate.open()
    await one.rest()


async def test_a_server_that_cannot_be_reached_is_no_obstacle(process):
    """All is loaded."""
    one = process()
    one.store.stop()
    assert await one.f.many([1, 2]) == [[1], [2]]


async def test_a_frozen_server_is_waited_for_once(process):
    """Who has waited for it in vain loads without it: asking for leases would take as long again."""
    process = process(deadline=0.1)
    await process.f(0)
    await process.rest()
    process.store.freeze()
    began = asyncio.get_running_loop().time()
    assert await process.f.many([1, 2]) == [[1], [2]]
    assert asyncio.get_running_loop().time() - began == pytest.approx(0.1 + 1)
    process.store.thaw()


def test_plain_functions_on_a_frozen_server_wait_once_too():
    """Likewise, though they are loaded one after the other."""
    store, guard = FailingStore(MemoryStore()), Guard(deadline=0.3)
    cache = Cache(store=SharedTier(store, guard=guard))
    f = cache.cache_function(expire=100, key_prefix="f")(lambda n: n)
    f(0)
    store.freeze()
    before = guard.timed_out
    assert (f.many(range(1, 6)), guard.timed_out - before) == (list(range(1, 6)), 1)
    store.thaw()
    asyncio.run(cache.aclose())


def test_plain_functions_ask_at_once_too():
    """In a thread without an event loop."""
    server = MemoryStore()
    store = FailingStore(server.connect())
    first, second = Cache(store=server.connect()), Cache(store=SharedTier(store))
    loads = []

    def load(n):
        loads.append(n)
        return n

    f, g = (cache.cache_function(expire=100, key_prefix="f")(load) for cache in (first, second))
    assert f.many(range(50)) == list(range(50))
    assert g.many(range(60)) == list(range(60))
    assert loads == list(range(60))
    assert [o.value for o in g.many_outcomes([1, 70])] == [1, 70]
    assert store.calls["read"] == 2
    for cache in (first, second):
        asyncio.run(cache.aclose())

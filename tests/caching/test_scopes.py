"""Clears at the cost of what they drop: the index, counts, dry runs; a level's key as a scope to clear."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfan.caching import MISSING, Cache, CacheLevel
from asyncfan.caching.clears import cleared
from asyncfan.caching.clears.index import BUCKET, TextIndex
from asyncfan.caching.clears.patterns import Pattern
from asyncfan.context import scope
from asyncfan.http.keys import KeyRule, by_name
from asyncfan.http.messages import Declared, RequestParts
from asyncfan.testing import Gate, ManualClock

MANY = 5_000


def large(entries=MANY, **options):
    """A cache of so many entries ``p:0`` and on, its operation and its function."""
    cache = Cache(maxsize=None, clock=ManualClock())
    f = cache.cache_function(key_prefix="p", expire=None, **options)(lambda a: a)
    for n in range(entries):
        f.put(n, n)
    (op,) = cache.operations
    return cache, op, f


def spelled(op, monkeypatch):
    """Every key of the operation that is spelled from now on."""
    keys = []
    text = op.text
    monkeypatch.setattr(op, "text", lambda key: keys.append(key) or text(key))
    return keys


# -- cost -------------------------------------------------------------------------------------------------------------


async def test_clear_looks_at_what_it_means_only(monkeypatch):
    """Once there is an index, a clear spells no key but those that it drops."""
    cache, op, _ = large()
    await cache.clear_prefix("p", 1)
    keys = spelled(op, monkeypatch)
    assert cache.clear_prefix("p", 2).count == 1
    assert cache.clear("p:300*").count == 11
    assert len(keys) == 1 + 11


async def test_hits_after_a_clear_cost_what_they_did(monkeypatch):
    """No entry that a clear did not mean is measured anew for it."""
    cache, op, f = large()
    await cache.clear_prefix("p", 1)
    f(2)
    seal = op.seal
    for n in range(100, 200):
        cache.clear_prefix("p", n)
    assert op.seal is seal


def test_operation_that_was_never_cleared_in_part_has_no_index():
    """Memory is spent on an index only where it is of use."""
    _, op, f = large()
    f.put(3, 3)
    f.cache_clear()
    assert op.index is None


async def test_index_is_made_in_the_background():
    """Where nobody awaits the clear, the loop sweeps, and then remembers nothing of it."""
    loop = asyncio.get_running_loop()
    cache = Cache(maxsize=None, clock=loop.time)
    f = cache.cache_function(key_prefix="p", expire=None)(lambda a: a)
    for n in range(MANY):
        f.put(n, n)
    (op,) = cache.operations
    gone = cache.clear("p:1*")
    await asyncio.sleep(10)
    assert (gone.count, gone.open, op.index.complete, len(op.fences), op.sweeps) == (1_111, 0, True, 0, {})
    assert cache.store._timer is None


async def test_index_follows_what_comes_and_goes(monkeypatch):
    """While it is made, and afterwards: stored, replaced, evicted, used and cleared entries."""
    monkeypatch.setattr("asyncfan.caching.clears.clearing.LIST_LIMIT", 0)
    monkeypatch.setattr("asyncfan.caching.memory.store.WORK_SLICE", 7)
    chance = random.Random(1)
    cache = Cache(maxsize=1_500, clock=ManualClock())
    f = cache.cache_function(key_prefix="p", expire=None)(lambda a: a)
    (op,) = cache.operations
    for n in range(1_500):
        f.put(n, n)
    cache.clear("p:77*")
    for _ in range(3_000):
        n = chance.randrange(3_000)
        chance.choice((f, lambda n: f.put(n, n), f.invalidate, lambda n: cache.clear(f"p:{n}*")))(n)
    with cache.store.lock:
        while cache.store.chores:
            cache.store.work(100)
    assert op.index.complete
    assert {e.key[0] for _, e in op.index.walk("", "q")} == {key[0] for key in op.table}
    assert len(op.index) == len(op.table) == op.live


@pytest.mark.parametrize("limit", [0, 50_000])
async def test_clears_while_the_index_is_made_are_counted_each(monkeypatch, limit):
    """A hundred clears that nobody awaits: none of their entries is served, each is counted once."""
    monkeypatch.setattr("asyncfan.caching.clears.clearing.LIST_LIMIT", limit)
    cache, op, f = large()
    gone = [cache.clear_prefix("p", n) for n in range(0, 200, 2)]
    assert [f.peek(n) is MISSING for n in range(200)] == [True, False] * 100
    assert [await each for each in gone] == [1] * 100
    assert (len(op.fences), op.sweeps, len(cache)) == (0, {}, MANY - 100)


# -- counts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("indexed", [True, False])
async def test_entry_that_several_clears_meant_counts_for_the_first(indexed):
    """Same, wider, narrower, by tag, all: the sum is what went."""
    cache, _, f = large(tags="t")
    if indexed:
        await cache.clear("p:none")
    clears = [
        cache.clear("p:1*"),
        cache.clear("p:1*"),
        cache.clear("p:12*"),
        cache.clear("p:*9"),
        cache.clear_tags("t"),
        cache.clear("p:2*"),
        cache.clear_all(),
    ]
    f.put("new", 1)
    ends_on_9 = sum(str(n)[0] != "1" and str(n)[-1] == "9" for n in range(MANY))
    expected = [1_111, 0, 0, ends_on_9, MANY - 1_111 - ends_on_9, 0, 0]
    assert [await each for each in reversed(clears)] == expected[::-1]
    assert (len(cache), f.peek(1)) == (1, "new")


async def test_cleared_entry_counts_whatever_removes_it_in_the_end():
    """Replaced, invalidated, looked up or evicted before its turn to be swept, it went because of the clear."""
    cache, op, f = large()
    first = cache.clear("p:1*")
    f.put("new", 1)
    assert f.invalidate(10).count == 0
    f.peek(100)
    assert await first == 1_111
    assert op.removed == {"size": 0, "expired": 0, "invalidated": 1_111, "replaced": 0, "too_big": 0}


async def test_entry_that_expires_after_a_clear_counts():
    """It was cleared before it expired."""
    clock = ManualClock()
    cache = Cache(maxsize=None, clock=clock)
    f = cache.cache_function(key_prefix="p", expire=10)(lambda a: a)
    for n in range(MANY):
        f.put(n, n)
    gone = cache.clear("p:1*")
    clock.advance(20)
    assert await gone == 1_111


async def test_one_call_looks_at_no_more_than_the_limit_in_all_operations(monkeypatch):
    """A hundred functions of 200 entries each are cleared in steps as well."""
    cache = Cache(maxsize=None, clock=ManualClock())
    functions = [cache.cache_function(key_prefix=f"f{i}", expire=None)(lambda a: a) for i in range(100)]
    for f in functions:
        for n in range(200):
            f.put(n, n)
    keys = [spelled(op, monkeypatch) for op in cache.operations]
    gone = cache.clear("*:7")
    assert sum(map(len, keys)) <= 3 * cleared.SCAN_LIMIT
    assert all(f.peek(7) is MISSING for f in functions)
    assert await gone == 100


# -- dry runs -----------------------------------------------------------------------------------------------------------


DRY_RUNS = {
    "prefix": lambda cache, **how: cache.clear_prefix("p", 7, **how),
    "start": lambda cache, **how: cache.clear("p:4*", **how),
    "inner star": lambda cache, **how: cache.clear("p:*4*5", **how),
    "function": lambda cache, **how: cache.clear_prefix("p", **how),
    "all": lambda cache, **how: cache.clear_all(**how),
    "tag": lambda cache, **how: cache.clear_tags("t", **how),
    "tags": lambda cache, **how: cache.clear_tags("t", "n:7", **how),
}


@pytest.mark.parametrize("size", [100, MANY])
@pytest.mark.parametrize("before", [lambda _: None, lambda cache: cache.clear("p:3*"), Cache.clear_all], ids="-3a")
@pytest.mark.parametrize("run", DRY_RUNS.values(), ids=DRY_RUNS)
async def test_dry_run_says_what_the_clear_drops(run, before, size):
    """Small or large, with clears under way or without, and nothing goes."""
    cache, _, f = large(size, tags=("t", "n:{a}"))
    before(cache)
    for n in (7, *range(4_000, 4_010)):
        f.put("new", n)
    foreseen = run(cache, dry_run=True)
    expected = await foreseen
    assert repr(foreseen) == f"<Cleared nothing, would clear {expected} entries>"
    assert await run(cache) == expected
    assert expected


async def test_dry_run_over_an_index_counts_at_once():
    """The count of a prefix is the distance between two places."""
    cache, _, _ = large()
    await cache.clear_prefix("p", 1)
    assert cache.clear("p:4*", dry_run=True).count == 1_111
    assert cache.clear_prefix("p", dry_run=True).count == MANY - 1


async def test_count_so_far_is_said():
    """What is not yet counted shows in the text."""
    cache, _, _ = large()
    assert repr(cache.clear("p:4*5", dry_run=True)).endswith("so far>")
    assert repr(cache.clear("p:4*5")).endswith("so far>")


async def test_dry_run_fences_no_load():
    """A load in flight is stored and joined as if nobody had asked."""
    cache, gate = Cache(), Gate()

    @cache.cache_function(key_prefix="p")
    async def f(a):
        await gate.enter()
        return object()

    loading = asyncio.create_task(f(1))
    await gate.reached()
    for run in DRY_RUNS.values():
        run(cache, dry_run=True)
    joined = asyncio.create_task(f(1))
    await asyncio.sleep(0)
    gate.open()
    assert await loading is await joined is await f(1)


# -- levels are scopes ----------------------------------------------------------------------------------------------------


def in_scopes(cache, size=0):
    """A function at the finest level, called for two users by two people of two tenants each; 42 alone, too."""
    f = cache.cache_function(key_prefix="user:profile", cache_level=CacheLevel.HIGH, expire=None)(lambda a: a)
    for n in range(1_000, 1_000 + size):
        f.put(n, n)
    for user in (42, 420):
        for tenant in ("acme", "acme2"):
            for principal in ("ann", "bob"):
                with scope(tenant=tenant, principal=principal):
                    f(user)
    f(42)
    return f


@pytest.mark.parametrize("size", [0, MANY])
@pytest.mark.parametrize(
    ("clear", "count"),
    [
        (lambda cache, _: cache.clear_prefix("user:profile", 42), 5),
        (lambda _, f: f.invalidate(42), 5),
        (lambda cache, _: cache.clear("user:profile:42:@tenant/acme:*"), 2),
        (lambda cache, _: cache.clear("*:@tenant/acme:*"), 4),
        (lambda cache, _: cache.clear("*:@principal/ann"), 4),
    ],
    ids=["prefix", "call", "tenant of a call", "tenant", "principal"],
)
async def test_coarser_key_clears_the_finer_ones(clear, count, size):
    """A call is cleared for all tenants and principals, a tenant for all principals, and 420 is not 42."""
    cache = Cache(maxsize=None, clock=ManualClock())
    f = in_scopes(cache, size)
    before = len(cache)
    assert await clear(cache, f) == count
    assert len(cache) == before - count


async def test_invalidate_in_a_scope_means_every_scope():
    """Who invalidates a call does so for all: what changed is the data, whoever asks for it."""
    cache = Cache(clock=ManualClock())
    f = in_scopes(cache)
    with scope(tenant="acme", principal="ann"):
        assert f.invalidate(42).count == 5


def test_http_keys_are_cleared_by_segments():
    """A route's prefix, then method, scheme, host and path, are segments of a request's key."""
    cache = Cache(clock=ManualClock())
    rule = KeyRule("shop:items", CacheLevel.MEDIUM, Declared())
    pages = cache.operation("shop:items", "items")
    other = cache.operation("shop:items2", "items2")

    def key(path, tenant=None):
        parts = RequestParts(method="GET", scheme="http", path=path, query=b"a=1", headers=[(b"host", b"x.org")])
        with scope(tenant=tenant) if tenant else scope():
            return rule.key(parts, by_name(parts.headers)).text

    def fill():
        for path in (b"/1", b"/10"):
            for tenant in (None, "acme", "acme2"):
                pages.put(key(path, tenant), b"page")
        other.put("shop:items2:GET", b"page")

    for parts, left in [
        (("shop:items", "GET", "http", "x.org", "/1"), 4),
        (("shop:items", "GET"), 1),
        (("shop:items",), 1),
        (("shop",), 0),
        (("shop:item",), 7),
    ]:
        fill()
        cache.clear_prefix(*parts)
        assert len(cache) == left, parts
    fill()
    assert cache.clear("*:@tenant/acme").count == 2


# -- the index ------------------------------------------------------------------------------------------------------------


class Thing:
    """Stands for an entry."""


words = st.text(alphabet="ab:", max_size=4)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(words, st.booleans())), words, st.sampled_from(["exact", "subtree", "tail"]))
def test_index_finds_what_the_pattern_means(changes, literal, kind):
    """Whatever came and went, equal texts among it, the walk over the bounds yields what matches, and counts it."""
    pattern = Pattern(literal, subtree=kind == "subtree", tail=kind == "tail")
    held, index = [], TextIndex()
    for text, comes in changes:
        if comes or not held:
            held.append((text, Thing()))
            index.add(*held[-1])
            index.add(*held[-1])  # once more changes nothing
        else:
            index.discard(*held.pop(len(text) % len(held)))
    found = [pair for bounds in pattern.bounds() for pair in index.walk(*bounds)]
    expected = [pair for pair in held if pattern.matches(pair[0])]
    assert sorted(map(id, (e for _, e in found))) == sorted(map(id, (e for _, e in expected)))
    assert sum(index.count(*bounds) for bounds in pattern.bounds()) == len(expected)
    assert len(index) == len(held)


def test_index_of_many_keeps_its_lists_short():
    """No list grows beyond the bound, none is empty, and a walk is in order over all of them."""
    index, things = TextIndex(), [(f"{n:05}", Thing()) for n in range(10 * BUCKET)]
    random.Random(1).shuffle(things)
    for text, thing in things:
        index.add(text, thing)
    assert [text for text, _ in index.walk("", "9")] == sorted(text for text, _ in things)
    assert max(map(len, index._texts)) <= BUCKET
    for text, thing in things[50:]:
        index.discard(text, thing)
        index.discard(text, thing)
    assert (len(index), min(map(len, index._texts)) > 0) == (50, True)
    assert index.count("", "9") == 50


def test_index_keeps_those_of_one_text_together():
    """More entries of one text than a list holds are all found, also where the walk pauses between lists."""
    index, things = TextIndex(), [Thing() for _ in range(3 * BUCKET)]
    for thing in things:
        index.add("same", thing)
    index.add("same!", things[0])
    assert {id(e) for _, e in index.walk("same", "same\0")} == set(map(id, things))
    index.complete = True
    for thing in things:
        index.discard("same", thing)
    assert (len(index), repr(index)) == (1, "<TextIndex 1 entries>")

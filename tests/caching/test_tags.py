"""What carries a tag is cleared by it, also by a load that adds the tag only afterwards."""

import asyncio

import pytest

from asyncfan.caching import MISSING, Cache, current_load
from asyncfan.caching.clears import cleared
from asyncfan.caching.clears.patterns import MAX_FENCES
from asyncfan.caching.clears.tags import Clears
from asyncfan.testing import Gate, ManualClock


@pytest.fixture(params=["at once", "in steps"])
def path(request, monkeypatch):
    """Both ways of dropping: each entry in the call, and out of sight first."""
    if request.param == "in steps":
        monkeypatch.setattr(cleared, "SCAN_LIMIT", 0)
        monkeypatch.setattr("asyncfan.caching.memory.store.WORK_SLICE", 1)
    return request.param


def tagged(cache, **options):
    """A cached function whose loads wait for a gate and then add the tags that they are told to."""
    gates, added = {}, {}

    @cache.cache_function(key_prefix="f", **options)
    async def f(n):
        number = f.loads
        f.loads += 1
        if number in gates:
            await gates[number].enter()
        current_load().tag(*added.get(number, ()))
        return number

    f.loads = 0
    return f, gates, added


# -- entries --------------------------------------------------------------------------------------------------------


async def test_tag_drops_what_carries_it_and_nothing_else(cache, path):
    """Entries of all functions with the tag are gone when the call returns, the others stay."""
    f = cache.cache_function(tags="user:{user}", key_prefix="f")(lambda user, page: (user, page))
    g = cache.cache_function(tags=("user:{user}", "g"), key_prefix="g")(lambda user: user)
    for user in (1, 2):
        f(user, 1), f(user, 2), g(user)
    gone = cache.clear_tags("user:1")
    assert [f.peek(1, 1), f.peek(1, 2), g.peek(1)] == [MISSING] * 3
    assert [f.peek(2, 1), f.peek(2, 2), g.peek(2)] == [(2, 1), (2, 2), 2]
    assert await gone == 3


@pytest.mark.parametrize("tags", [lambda user: f"user:{user}", lambda user: {f"user:{user}"}], ids=["text", "texts"])
def test_function_of_the_arguments_gives_one_tag_or_several(cache, tags):
    """A text is one tag, and not its letters."""
    f = cache.cache_function(tags=tags)(lambda user: user)
    f(1)
    assert cache.clear_tags("u", "1").count == 0
    assert cache.clear_tags("user:1").count == 1


def test_function_that_gives_no_tags_is_told(cache):
    """Nothing is loaded then."""
    f = cache.cache_function(tags=lambda user: None)(lambda user: user)
    with pytest.raises(TypeError, match='tags must be a text such as "user:42", or several, got None'):
        f(1)
    assert f.peek(1) is MISSING


async def test_entry_with_several_of_the_tags_counts_once(cache, path):
    """Two tags of one entry are one entry gone."""
    f = cache.cache_function(tags=("a", "b"), key_prefix="f")(lambda n: n)
    for n in range(5):
        f(n)
    assert await cache.clear_tags("a", "b", "c", "a") == 5


@pytest.mark.parametrize("how", ["evicted", "expired", "replaced", "invalidated", "cleared", "cleared whole"])
async def test_index_lets_go_of_what_is_gone(how):
    """Whatever removes entries, no tag of theirs is left behind (cashews: 5,000 dead keys)."""
    clock = ManualClock()
    cache = Cache(maxsize=100 if how == "evicted" else None, clock=clock)
    f = cache.cache_function(tags=("n:{n}", "all"), key_prefix="f", expire=10)(lambda n: n)
    for n in range(5_000):
        f(n)
    if how == "expired":
        clock.advance(11)
    for n in range(4_990):
        if how == "replaced":
            f.put(0, n)
        elif how == "invalidated":
            f.invalidate(n)
    if how == "cleared":
        await cache.clear("f:*1*")
    elif how == "cleared whole":
        f.cache_clear()
    with cache.store.lock:
        while not cache.store.sweep(1_000):
            pass
    (op,) = cache.operations
    left = {tag for entry in op.table.values() for tag in entry.tags}
    assert len(op.tagged) == len(left)
    assert len(op.tagged["all"]) == len(op.table)


async def test_clear_of_a_large_tag_goes_in_steps(monkeypatch):
    """Ten thousand entries are not served from the moment of the call, and leave in slices."""
    cache = Cache(maxsize=None, clock=ManualClock())
    f = cache.cache_function(tags="{n}", key_prefix="f", expire=None)(lambda n: n)
    g = cache.cache_function(tags="big", key_prefix="g", expire=None)(lambda n: n)
    for n in range(10_000):
        f(n), g(n)
    slices = []
    work = cache.store.work
    monkeypatch.setattr(cache.store, "work", lambda steps: slices.append(steps) or work(steps))
    gone = cache.clear_tags("big")
    assert (sum(slices), gone.count, repr(gone)) == (50, 50, "<Cleared 50 entries so far>")
    assert all(g.peek(n) is MISSING for n in range(0, 10_000, 100))
    assert all(f.peek(n) == n for n in range(0, 10_000, 100))
    g.put("new", 1)
    assert await gone == 10_000
    assert (max(slices) <= 200, g.peek(1), len(cache)) == (True, "new", 10_001)


async def test_entry_put_after_a_clear_stays(cache, path):
    """A clear means what was before it only."""
    f = cache.cache_function(tags="t", key_prefix="f")(lambda n: n)
    f(1)
    gone = cache.clear_tags("t")
    f.put("new", 1)
    assert (await gone, f.peek(1)) == (1, "new")


# -- loads in flight --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("static", [True, False])
async def test_load_that_began_before_is_not_stored(cache, path, static):
    """The tag is fenced too: given by the arguments, or added by the loader after the clear."""
    f, gates, added = tagged(cache, tags="t" if static else ())
    gates[0], added[0] = Gate(), ("x",) if static else ("t",)
    old = asyncio.create_task(f(1))
    await gates[0].reached()
    cache.clear_tags("t")
    gates[0].open()
    assert (await old, await f(1)) == (0, 1)


async def test_load_of_a_cleared_tag_is_not_joined(cache, path):
    """Who comes after the clear gets a load of his own, though the old one still runs."""
    f, gates, _ = tagged(cache, tags="t")
    gates[0] = Gate()
    old = asyncio.create_task(f(1))
    await gates[0].reached()
    cache.clear_tags("t")
    assert await f(1) == 1
    gates[0].open()
    assert (await old, await f(1)) == (0, 1)


async def test_later_waiter_looks_again_when_the_tag_is_added_last(cache, path):
    """He joined in good faith; what he gets is from after the clear, and the earlier caller keeps his."""
    f, gates, added = tagged(cache)
    gates[0], added[0] = Gate(), ("t",)
    old = asyncio.create_task(f(1))
    await gates[0].reached()
    cache.clear_tags("t")
    late = asyncio.create_task(f(1))
    await asyncio.sleep(0)
    gates[0].open()
    assert (await old, await late, await f(1), f.loads) == (0, 1, 1, 2)


async def test_later_waiter_of_a_disowned_load_looks_again(cache, path):
    """Also where the load was not to be stored anyway, because of another clear that came last."""
    f, gates, added = tagged(cache)
    gates[0], added[0] = Gate(), ("t",)
    old = asyncio.create_task(f(1))
    await gates[0].reached()
    cache.clear_tags("t")
    late = asyncio.create_task(f(1))
    await asyncio.sleep(0)
    f.invalidate(1)
    cache.clear_tags("other")
    gates[0].open()
    assert (await old, await late) == (0, 1)


async def test_error_from_before_a_clear_is_not_raised_after_it(cache, path):
    """An old load's failure is as old as its value would be."""
    gate, loads = Gate(), []

    @cache.cache_function(key_prefix="f")
    async def f(n):
        loads.append(n)
        if len(loads) == 1:
            await gate.enter()
            current_load().tag("t")
            raise ValueError("old")
        return len(loads)

    old = asyncio.create_task(f(1))
    await gate.reached()
    cache.clear_tags("t")
    late = asyncio.create_task(f(1))
    await asyncio.sleep(0)
    gate.open()
    with pytest.raises(ValueError, match="old"):
        await old
    assert await late == 2


async def test_loads_of_other_tags_are_stored_and_joined(cache, path):
    """A clear touches no load whose tags it does not name."""
    f, gates, added = tagged(cache, tags="mine")
    gates[0], added[0] = Gate(), ("more",)
    old = asyncio.create_task(f(1))
    await gates[0].reached()
    cache.clear_tags("t")
    late = asyncio.create_task(f(1))
    await asyncio.sleep(0)
    gates[0].open()
    assert (await old, await late, await f(1), f.loads) == (0, 0, 0, 1)


def test_too_many_tags_clear_too_much_never_too_little():
    """Memory for clears is bounded: beyond, every tag of an older load counts as cleared."""
    clears = Clears()
    for n in range(MAX_FENCES + 2):
        clears.add((f"t{n}",), in_flight=True)
    assert len(clears._tags) <= MAX_FENCES
    assert clears.tagged_since(0, ("t0",))
    assert clears.tagged_since(0, ("never cleared",))
    assert not clears.tagged_since(0, ())
    assert not clears.tagged_since(clears.number, ("t0",))


def test_clears_without_loads_in_flight_remember_nothing():
    """What no load can carry back needs no memory; a load that is no longer registered counts as cleared."""
    clears = Clears()
    clears.add(("t",), in_flight=False)
    assert (clears._tags, clears.tagged_since(0, ("x",)), repr(clears)) == ({}, True, "<Clears 1, 0 tags remembered>")


# -- dry runs and misuse ----------------------------------------------------------------------------------------------


async def test_dry_run_counts_and_drops_nothing(cache, path):
    """The count is that of the real clear, and everything is served on; no load in flight is fenced."""
    f, gates, _ = tagged(cache, tags=("t", "n:{n}"))
    for n in range(10):
        await f(n)
    gates[10] = Gate()
    loading = asyncio.create_task(f(99))
    await gates[10].reached()
    foreseen = cache.clear_tags("t", "n:1", dry_run=True)
    assert await foreseen == 10
    assert repr(foreseen) == "<Cleared nothing, would clear 10 entries>"
    gates[10].open()
    assert (await loading, await f(99), await f(1), f.loads) == (10, 10, 1, 11)
    assert await cache.clear_tags("t") == 11


async def test_dry_run_does_not_count_what_is_cleared_already(cache, path):
    """Entries that an earlier clear meant are gone, swept or not."""
    f = cache.cache_function(tags="t", key_prefix="f")(lambda n: n)
    for n in range(20):
        f(n)
    cache.clear("f:1*")
    assert await cache.clear_tags("t", dry_run=True) == 9


@pytest.mark.parametrize(
    ("tags", "error", "message"),
    [
        ((), ValueError, 'clear_tags() takes at least one tag, such as clear_tags("user:42")'),
        (("",), ValueError, 'a tag must not be empty: write what the value is about, such as "user:42"'),
        ((["a"],), TypeError, "a tag must be a string such as \"user:42\", got ['a']"),
    ],
)
def test_wrong_tags_are_refused_in_words(cache, tags, error, message):
    """No tag, an empty one and a list are each told what to write."""
    with pytest.raises(error) as caught:
        cache.clear_tags(*tags)
    assert str(caught.value) == message

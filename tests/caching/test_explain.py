"""`explain`: what the cache knows of a call, and why its value is or is not stored."""

import asyncio
import math

import pytest

from asyncfan import explain, scope
from asyncfan.caching import Cache, CacheLevel, KeyPart, current_load
from asyncfan.testing import Gate

NEVER = "never loaded, or too long ago to be remembered"


class LoadFailedError(Exception):
    """What a source raises."""


def identity(cache, **options):
    """A cached function that gives back its argument."""

    @cache.cache_function(key_prefix="f", **{"expire": 100, **options})
    async def f(n):
        return n

    return f


async def test_stored_value_is_explained(cache, clock):
    """Key, level, age, times left, weight and hits of a value that is stored."""
    f = identity(cache)
    await f(1)
    clock.advance(30)
    await f(1)
    found = explain(f, 1)
    assert (found.state, found.stored, found.why, found.key, found.level) == (
        "fresh", True, "", "f:1", CacheLevel.MEDIUM
    )  # fmt: skip
    assert (found.age, found.fresh_for, found.served_for, found.gone_in) == (30, 70, 70, 70)
    assert (found.hits, found.loading, found.waiting, found.tags) == (1, False, 0, ())
    assert 400 < found.weight < 500


async def test_explaining_changes_nothing(cache):
    """Nothing is counted, loaded or moved."""
    f = identity(cache)
    await f(1)
    before = cache.stats()
    explain(f, 1)
    explain(f, 2)
    assert cache.stats() == before
    assert not cache.store.touched


async def test_parts_of_the_key_say_where_they_come_from(cache):
    """Each part has its parameter's name, or that of the scope's value."""

    @cache.cache_function(key_prefix="menu", cache_level=CacheLevel.HIGH, ignore=("session",))
    async def menu(session, page, lang="en"):
        return page

    with scope(tenant="acme", locale="ko"):
        found = menu.explain(object(), [1], lang="a b")
    assert found.parts == (
        KeyPart("page", "(1)~l"), KeyPart("lang", "a%20b"), KeyPart("@tenant", "acme"), KeyPart("@locale", "ko")
    )  # fmt: skip
    assert found.key == "menu:(1)~l:a%20b:@tenant/acme:@locale/ko"


async def test_key_function_is_one_part(cache):
    """Where a function makes the key, it has one part."""
    f = identity(cache, key=lambda n: n % 2)
    assert explain(f, 3).parts == (KeyPart("key", "1"),)


async def test_method_is_explained_on_its_instance(cache):
    """The instance is filled in."""

    class Service:
        @cache.cache_function
        async def get(self, number):
            return number

    service = Service()
    await service.get(1)
    assert (explain(service.get, 1).stored, service.get.explain(2).stored) == (True, False)


@pytest.mark.parametrize(
    ("options", "told"),
    [({}, None), ({"negative_expire": 50}, None), ({"tags": "tag"}, None), ({}, 50), ({"stale_if_error": 9}, None)],
)
@pytest.mark.parametrize("value", [None, 1])
async def test_age_is_right_however_long_a_value_lives(cache, clock, options, told, value):
    """The age is the time since the value was stored, whoever said how long it lives."""

    @cache.cache_function(expire=100, **options)
    async def f():
        if told:
            current_load().expire = told
        return value

    await f()
    clock.advance(30)
    assert explain(f).age == 30


async def test_age_that_is_not_known_is_not_invented(cache):
    """Where the expiry was drawn at random, or is for good, a plain entry does not tell its age."""
    for options in ({"jitter": 0.5}, {"expire": None}):
        f = identity(cache, **options)
        await f(1)
        assert explain(f, 1).age is None


async def test_expired_value_says_on_what_condition_it_is_served(cache, clock):
    """Stale, then only for want of a better one, then gone: with the times left."""
    f = identity(cache, expire=10, stale_while_revalidate=20, stale_if_error=40)
    await f(1)
    seen = []
    for moment in (5, 15, 35, 55):
        clock.advance(moment - clock())
        found = explain(f, 1)
        seen.append((found.state, found.fresh_for, found.served_for))
    assert seen == [("fresh", 5, 45), ("stale", 0, 35), ("fallback", 0, 15), ("not stored", 0, 0)]
    assert found.why == "expired"


async def test_failed_refreshes_are_counted(cache, clock):
    """A value that is served since its load fails says how often it has failed."""
    fails = False

    @cache.cache_function(expire=10, stale_if_error=100)
    async def f():
        return 1 / (not fails)

    await f()
    fails = True
    clock.advance(20)
    await f()
    assert explain(f).why == "expired: served if its load fails or takes too long; 1 loads in a row have failed"


async def test_load_in_flight_is_shown(cache):
    """How many wait for it, too; a caller of `many` is one of them."""
    gate = Gate()

    @cache.cache_function
    async def f(n):
        await gate.enter()

    calls = [asyncio.create_task(f(1)), asyncio.create_task(f(1)), asyncio.create_task(f.many([1, 2]))]
    await gate.reached()
    await asyncio.sleep(0)
    found = explain(f, 1)
    assert (found.loading, found.waiting, found.why) == (True, 3, NEVER)
    gate.open()
    await asyncio.gather(*calls)
    assert not explain(f, 1).loading


async def _refused(cache):
    f = identity(cache, cache_if=lambda value: value > 5)
    await f(1)
    return f


async def _skipped(cache):
    @cache.cache_function
    async def f(n):
        current_load().skip()

    await f(1)
    return f


async def _failed(cache):
    @cache.cache_function
    async def f(n):
        raise LoadFailedError

    with pytest.raises(LoadFailedError):
        await f(1)
    return f


async def _fenced(cache):
    gate = Gate()

    @cache.cache_function
    async def f(n):
        await gate.enter()

    call = asyncio.create_task(f(1))
    await gate.reached()
    f.invalidate(1)
    gate.open()
    await call
    return f


async def _cancelled(cache):
    @cache.cache_function
    async def f(n):
        await asyncio.sleep(10)

    call = asyncio.create_task(f(1))
    await asyncio.sleep(1)
    call.cancel()
    await asyncio.wait([call])
    await asyncio.sleep(0)
    return f


async def _invalidated(cache):
    f = identity(cache)
    await f(1)
    f.invalidate(1)
    return f


async def _replaced_then_cleared(cache):
    f = identity(cache)
    await f(1)
    f.put(2, 1)
    cache.clear_all()
    return f


async def _expired(cache):
    f = identity(cache)
    await f(1)
    cache.clock.advance(100)
    f.peek(1)
    return f


async def _never(cache):
    return identity(cache)


@pytest.mark.parametrize(
    ("story", "why"),
    [
        (_never, NEVER),
        (_refused, "cache_if refused the value"),
        (_skipped, "the load said that its value must not be stored"),
        (_failed, "the load failed with LoadFailedError"),
        (_fenced, "invalidated, replaced or loaded anew while it was loaded"),
        (_cancelled, "the load was cancelled"),
        (_invalidated, "invalidated"),
        (_replaced_then_cleared, "invalidated"),
        (_expired, "expired"),
    ],
)
async def test_reason_why_nothing_is_stored(cache, story, why):
    """Whatever kept a value out or removed it is told in words."""
    f = await story(cache)
    assert (explain(f, 1).stored, explain(f, 1).why) == (False, why)


async def test_evicted_value_says_so():
    """What went for want of room, and what is too big for any, is told."""
    f = identity(Cache(maxsize=1))
    await f.many([1, 2])
    assert explain(f, 1).why == "evicted: the cache was full"
    f = identity(Cache(max_bytes=500))
    await f("x" * 500)
    assert explain(f, "x" * 500).why == "it alone is heavier than all that the cache may hold"


async def test_fenced_value_says_so(cache, monkeypatch):
    """What a clear of a large function meant is invalidated though nobody has looked at it since."""
    monkeypatch.setattr("asyncfan.caching.clears.cleared.SCAN_LIMIT", 0)
    monkeypatch.setattr("asyncfan.caching.memory.store.STORE_STEPS", 0)
    f = identity(cache)
    await f.many(range(50))
    cache.clear("f:1*")
    assert (explain(f, 11).why, explain(f, 2).why) == ("invalidated", "")


async def test_only_so_many_reasons_are_remembered(cache):
    """The memory of reasons is bounded."""
    f = identity(cache)
    await f.many(range(1000))
    for n in range(1000):
        f.invalidate(n)
    assert (explain(f, 0).why, explain(f, 999).why) == (NEVER, "invalidated")
    assert len(f.explain.__self__.operation.notes) == 100


def test_argument_without_a_value_is_explained(cache):
    """What cannot be keyed is an explanation with the error's text, not an error."""
    found = explain(identity(cache), object())
    assert (found.key, found.stored) == (None, False)
    assert "argument 'n' of type object cannot be keyed by value" in found.why


def test_what_is_not_cached_is_refused(cache):
    """A function of another kind, and arguments that the function does not take, are errors."""
    with pytest.raises(TypeError, match=r"explain\(\) takes a function made by cache_function, and its arguments; got"):
        explain(print, 1)
    with pytest.raises(TypeError):
        explain(identity(cache), 1, 2)


async def test_printed_it_is_for_people(cache, clock):
    """``print`` shows a few lines with what matters, never a value."""

    @cache.cache_function(expire=60, stale_if_error=60, key_prefix="user", tags="user:{number}")
    async def get(number):
        return "secret"

    name = get.explain.__self__.operation.name
    assert str(explain(get, 7)) == (
        f"{name}: not stored ({NEVER})\n"
        "  key     user:7\n          number = 7\n  level   MEDIUM\n  hits    0 of the function\n  loading no"
    )
    await get(7)
    clock.advance(12)
    assert str(explain(get, 7)) == (
        f"{name}: fresh\n"
        "  key     user:7\n          number = 7\n  level   MEDIUM\n"
        "  age     12.0 s; fresh for 48.0 s, served for 108.0 s\n"
        f"  tags    user:7\n  weight  {explain(get, 7).weight} bytes\n"
        "  hits    0 of the function\n  loading no"
    )


async def test_key_of_ones_own_is_explained(cache):
    """`Cache.explain` tells of what `get_or_set` keeps."""
    assert cache.explain("user:1").why == NEVER
    cache.put(("user", 1), "value", expire=None)
    found = cache.explain("user:1")
    assert (found.state, found.key, found.parts, found.level) == ("fresh", "user:1", (), None)
    assert (found.served_for, found.age) == (math.inf, None)
    cache.clear("user*")
    assert cache.explain("user:1").why == "invalidated"

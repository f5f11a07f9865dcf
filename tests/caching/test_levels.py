"""How much of the surroundings is in a key, by level."""

import asyncio
import contextvars
from datetime import timedelta

import pytest

from asyncfan.caching import Cache, CacheLevel, expiry
from asyncfan.context import scope


def keys_of(cache, *args):
    """The key of one call at each of the levels, coarse to fine."""
    return [
        cache.cache_function(key_prefix="f", cache_level=level)(lambda a: a).cache_key(*args) for level in CacheLevel
    ]


def test_levels_key_alike_without_a_scope(cache):
    """Where nothing is declared, nothing is added."""
    assert keys_of(cache, 1) == ["f:1"] * 3


def test_levels_add_tenant_then_everything(cache):
    """LOW has the call only, MEDIUM the tenant too, HIGH all that the scope declares, sorted."""
    with scope(principal="ann", tenant="acme", locale="ko"):
        assert keys_of(cache, 1) == ["f:1", "f:1:@tenant/acme", "f:1:@tenant/acme:@locale/ko:@principal/ann"]


def test_each_levels_key_is_a_prefix_of_the_finer_ones(cache):
    """A level is also a scope to clear."""
    with scope(a=1, tenant=None, zone=[1]):
        low, medium, high = keys_of(cache, "x")
    assert medium.startswith(f"{low}:")
    assert high.startswith(f"{medium}:")


def test_scope_without_tenant_is_in_no_medium_key(cache):
    """MEDIUM looks at the tenant only."""
    with scope(locale="ko"):
        assert keys_of(cache, 1) == ["f:1", "f:1", "f:1:@locale/ko"]


def test_inner_scope_adds_and_overrides(cache):
    """Scopes nest, and end where their block ends."""
    with scope(tenant="acme", locale="ko"):
        with scope(tenant="globex"):
            inner = keys_of(cache, 1)[2]
        outer = keys_of(cache, 1)[2]
    assert (inner, outer) == ("f:1:@tenant/globex:@locale/ko", "f:1:@tenant/acme:@locale/ko")


def test_scope_values_are_typed(cache):
    """A tenant 1 is not a tenant "1"."""
    with scope(tenant=1):
        number = keys_of(cache, 1)[1]
    with scope(tenant="1"):
        assert keys_of(cache, 1)[1] != number


def test_scope_cannot_be_forged_by_an_argument(cache):
    """An argument that looks like a tenant is only an argument."""

    @cache.cache_function(key_prefix="f")
    def f(*parts):
        return parts

    with scope(tenant="acme"):
        inside = f.cache_key("a")
    assert f.cache_key("a", "@tenant/acme") != inside


async def test_tenants_do_not_see_one_another(cache):
    """At the default level each tenant has entries of its own, on the hit path as on the miss path."""

    @cache.cache_function
    async def who(a):
        return a, tenant.get()

    tenant = contextvars.ContextVar("tenant")
    for name in ("acme", "globex", "acme"):
        with scope(tenant=name):
            tenant.set(name)
            assert await who(1) == (1, name)
    assert who.cache_info()[:2] == (1, 2)


async def test_tasks_inherit_the_scope(cache):
    """A task started inside a scope keys as its parent does."""

    @cache.cache_function(key_prefix="f")
    async def f(a):
        return a

    async def key():
        return f.cache_key(1)

    with scope(tenant="acme"):
        task = asyncio.create_task(key())
    assert await task == "f:1:@tenant/acme"


def test_low_level_shares_across_tenants(cache):
    """At LOW all tenants share an entry."""

    @cache.cache_function(cache_level=CacheLevel.LOW)
    def f(a):
        return a

    for name in ("acme", "globex"):
        with scope(tenant=name):
            f(1)
    assert f.cache_info()[:2] == (1, 1)


@pytest.mark.parametrize(
    ("level", "seconds"), [(CacheLevel.LOW, 60), (CacheLevel.MEDIUM, 300), (CacheLevel.HIGH, 3600), (None, 300)]
)
def test_level_gives_the_default_expiry(cache, clock, level, seconds):
    """The coarser the key, the shorter it lives."""

    @cache.cache_function(cache_level=level)
    def f():
        return object()

    first = f()
    clock.advance(seconds - 0.001)
    assert f() is first
    clock.advance(0.001)
    assert f() is not first


def test_expire_may_be_a_timedelta():
    """A timedelta is its seconds."""
    assert expiry(timedelta(minutes=1, milliseconds=1), CacheLevel.LOW) == 60.001


def test_expire_none_is_for_good(cache, clock):
    """Without expiry an entry stays however long it takes."""

    @cache.cache_function(expire=None)
    def f():
        return object()

    first = f()
    clock.advance(1e9)
    assert f() is first


def test_invalidate_drops_a_call_in_every_scope(cache):
    """One call is one call, whoever made it."""

    @cache.cache_function(cache_level=CacheLevel.HIGH)
    def f(a):
        return a

    for name in ("acme", "globex"):
        with scope(tenant=name, principal="ann"):
            f(1)
            f(10)
    f(1)
    assert f.invalidate(1).count == 3
    assert f.cache_info().currsize == 2


def test_level_is_a_scope_to_clear():
    """Clearing a tenant's key drops what all its principals stored, and nothing of another tenant's."""
    cache = Cache()

    @cache.cache_function(cache_level=CacheLevel.HIGH, key_prefix="f")
    def f(a):
        return a

    for tenant in ("acme", "acme2"):
        for principal in ("ann", "bob"):
            with scope(tenant=tenant, principal=principal):
                f(1)
    assert cache.clear("f:1:@tenant/acme:*").count == 2

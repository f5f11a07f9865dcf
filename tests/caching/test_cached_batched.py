"""A cached function over a batched one: what was invalidated comes back by neither of them."""

import asyncio
from unittest.mock import AsyncMock

import pytest

from asyncfan import AsyncQueryBatcher, Cache, batched, scope
from asyncfan.testing import Gate


class Source:
    """One row, read when a batch begins; the batch ends when the gate is open."""

    def __init__(self):
        self.row = "old"
        self.gate = Gate()
        self.asked = 0

    async def read(self, keys):
        self.asked += 1
        rows = dict.fromkeys(keys, self.row)
        await self.gate.enter()
        return rows


@pytest.fixture
def source():
    """A source of one row."""
    return Source()


def itself(read):
    """Have the batched function itself cached."""
    return read


def awaited(read):
    """Have a function cached that awaits the batched one."""

    async def get(key):
        return await read(key)

    return get


async def before_and_after(source, get):
    """Return what two calls give, of which the second comes after an invalidation while the first is loaded."""
    before = asyncio.ensure_future(get(1))
    await source.gate.reached()
    source.row = "new"
    get.invalidate(1)
    after = asyncio.ensure_future(get(1))
    await asyncio.sleep(1)
    source.gate.open()
    return await before, await after


over = pytest.mark.parametrize("over", [itself, awaited])


@over
@pytest.mark.parametrize("max_batch_size", [100, 1])
async def test_call_after_an_invalidation_joins_no_batch_from_before(source, max_batch_size, over):
    """Who calls once an invalidation has returned gets what is read afterwards, although a batch of the key runs."""
    get = Cache().cache_function(over(batched(max_batch_size=max_batch_size)(source.read)))
    assert await before_and_after(source, get) == ("old", "new")
    assert (get.peek(1), source.asked) == ("new", 2)


@over
async def test_async_scope_gives_a_load_nothing_from_before_an_invalidation(source, over):
    """What an async scope remembers of a batched function is no answer to a load of the cache above it."""
    read = batched(source.read)
    get = Cache().cache_function(over(read))
    source.gate.open()
    async with scope():
        assert await get(1) == "old"
        source.row = "new"
        get.invalidate(1)
        assert await get(1) == "new"
        assert await read(1) == "new"
    assert (get.peek(1), source.asked) == ("new", 2)


async def test_method_joins_no_batch_from_before_either(source):
    """A batched method keeps its instance, and what was invalidated stays away."""

    class Users:
        def __init__(self, of):
            self.of = of

        @Cache().cache_function
        @batched
        async def get(self, keys):
            return await self.of.read(keys)

    assert await before_and_after(source, Users(source).get) == ("old", "new")


async def test_callers_of_two_caches_share_the_batch_that_gathers():
    """Loads of two caches over one batched function still travel in one call, if it has not begun."""
    asked = []

    @batched
    async def read(keys):
        asked.append(keys)
        return {key: key for key in keys}

    first, second = Cache().cache_function(read), Cache().cache_function(read)
    assert await asyncio.gather(first(1), second(1), second(2)) == [1, 1, 2]
    assert asked == [[1, 2]]


async def test_unhashable_key_is_refused_in_words(source):
    """A key that cannot be hashed is refused in the batched function's own words."""
    get = Cache().cache_function(batched(source.read))
    with pytest.raises(TypeError, match="a key must be hashable"):
        await get([1])


async def test_mock_is_cached_as_any_function():
    """A mock, which has whatever attribute is asked for, is called itself."""
    assert await Cache().cache_function(AsyncMock(return_value=3), key=lambda: 0)() == 3


@over
@pytest.mark.parametrize("forget", ["clear", "clear_prefix", "clear_tags", "clear_all", "cache_clear", "refresh"])
async def test_whatever_invalidates_keeps_loads_out_of_batches_from_before(source, forget, over):
    """Each way to invalidate does; who asks the batched function itself still joins what runs."""
    cache, read = Cache(), batched(source.read)
    get = cache.cache_function(key_prefix="shop", tags=["prices"])(over(read))
    before = asyncio.ensure_future(read(1))
    await source.gate.reached()
    beside = asyncio.ensure_future(read(1))
    source.row = "new"
    match forget:
        case "clear":
            cache.clear("shop:*")
        case "clear_prefix":
            cache.clear_prefix("shop")
        case "clear_tags":
            cache.clear_tags("prices")
        case "clear_all":
            cache.clear_all()
        case "cache_clear":
            get.cache_clear()
    after = asyncio.ensure_future(get.refresh(1) if forget == "refresh" else get(1))
    await asyncio.sleep(1)
    source.gate.open()
    assert (await before, await beside, await after) == ("old", "old", "new")


@over
async def test_load_joins_the_batch_that_runs_where_nothing_was_invalidated(source, over):
    """A load and a caller of the batched function itself share what runs."""
    read = batched(source.read)
    get = Cache().cache_function(over(read))
    running = asyncio.ensure_future(read(1))
    await source.gate.reached()
    loaded = asyncio.ensure_future(get(1))
    await asyncio.sleep(1)
    source.gate.open()
    assert (await running, await loaded, source.asked) == ("old", "old", 1)


async def test_load_joins_no_query_from_before_an_invalidation(source):
    """Nor is a query in flight, that of an `AsyncQueryBatcher` with ``key=``, joined by a later load."""
    queries = AsyncQueryBatcher(key=lambda _, key: key)

    @Cache().cache_function
    async def get(key):
        return (await queries.execute(lambda key: source.read([key]), key))[key]

    assert await before_and_after(source, get) == ("old", "new")

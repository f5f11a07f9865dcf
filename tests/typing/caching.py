"""What type checkers see of cached functions: parameters and results as they were, and the wrapper's methods."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from datetime import timedelta
from typing import Any, assert_type

from asyncfan import Cache, CacheLevel, Explanation, Outcome, cache, cache_function, explain
from asyncfan.caching import MISSING, AsyncCached, Cached, CachedGenerator, CacheInfo, Cleared, Missing


@cache_function
async def bare(number: int, *, unit: str = "m") -> str:
    """Stand for a user's function."""
    return f"{number} {unit}"


@cache_function(expire=300, key_prefix="called")
async def called(number: int, *, unit: str = "m") -> str:
    """Stand for a user's function."""
    return f"{number} {unit}"


@cache_function
def plain_bare(number: int) -> list[str]:
    """Stand for a user's function."""
    return [str(number)]


@cache_function(timedelta(minutes=5), cache_level=CacheLevel.HIGH, copy="deep")
def plain_called(number: int) -> list[str]:
    """Stand for a user's function."""
    return [str(number)]


@Cache(maxsize=10).cache_function(expire=None, ignore=("session",))
async def with_session(number: int, session: object) -> None:
    """Stand for a user's function."""
    del number, session


@cache_function
async def rows_bare(table: str, *, limit: int = 10) -> AsyncIterator[int]:
    """Stand for a user's async generator."""
    del table
    yield limit


@cache_function(expire=60, max_items=100)
async def rows_called(table: str) -> AsyncGenerator[str, None]:
    """Stand for a user's async generator."""
    yield table


class Service:
    @cache_function
    async def get(self, number: int) -> str:
        return str(number)

    @cache_function(expire=60)
    async def fetch(self, number: int) -> str:
        return str(number)

    @cache_function(max_items=None)
    async def rows(self, number: int) -> AsyncIterator[bytes]:
        yield bytes(number)

    @cache.cache_function
    def plain(self, number: int) -> bytes:
        return bytes(number)


async def functions() -> None:
    """A cached ``async def`` is awaited as it was, a ``def`` called as it was."""
    assert_type(await bare(1, unit="km"), str)
    assert_type(await called(number=1), str)
    assert_type(plain_bare(1), list[str])
    assert_type(plain_called(1), list[str])
    assert_type(await with_session(1, object()), None)
    wanted: Callable[[int], Coroutine[Any, Any, str]] = bare
    assert_type(await wanted(1), str)


async def generators() -> None:
    """A cached async generator is one, and its wrapper's methods speak of the tuple of its items."""
    assert_type(rows_bare("users", limit=5), AsyncGenerator[int, None])
    assert_type([row async for row in rows_called("users")], list[str])
    assert_type(rows_bare.peek("users"), tuple[int, ...] | Missing)
    assert_type(await rows_bare.refresh("users"), tuple[int, ...])
    assert_type(rows_bare.put(range(3), "users"), None)
    assert_type(rows_called.invalidate("users"), Cleared)
    assert_type(rows_called.cache_info(), CacheInfo)
    assert_type([row async for row in Service().rows(1)], list[bytes])
    assert_type(Service().rows.peek(1), tuple[bytes, ...] | Missing)
    wanted: Callable[[str], AsyncIterator[int]] = rows_bare
    named: CachedGenerator[[str], str] = rows_called
    del wanted, named


async def methods_of_the_wrapper() -> None:
    """They take the arguments of a call, and give what the function gives."""
    assert_type(bare.invalidate(1, unit="km"), Cleared)
    assert_type(await bare.invalidate(1), int)
    assert_type(await bare.refresh(1), str)
    assert_type(plain_bare.refresh(1), list[str])
    assert_type(bare.peek(1), str | Missing)
    assert_type(bare.put("1 m", 1), None)
    assert_type(bare.cache_key(1), str)
    assert_type(bare.cache_info(), CacheInfo)
    assert_type(bare.cache_info().hits, int)
    assert_type(bare.cache_clear(), Cleared)
    assert_type(await bare.__wrapped__(1), str)
    assert_type(plain_bare.__wrapped__(1), list[str])


async def bound_methods() -> None:
    """On an instance neither the call nor the wrapper's methods take ``self``."""
    service = Service()
    assert_type(await service.get(1), str)
    assert_type(await service.fetch(1), str)
    assert_type(service.plain(1), bytes)
    assert_type(service.get.invalidate(1), Cleared)
    assert_type(service.plain.peek(1), bytes | Missing)
    assert_type(await Service.get(service, 1), str)


def missing() -> str:
    """``MISSING`` is false, and tells what is left."""
    found = bare.peek(1)
    if found is MISSING or isinstance(found, Missing):
        return "nothing"
    assert_type(found, str)
    return found


async def protocols(one: AsyncCached[[int], str], other: Cached[[int], str]) -> None:
    """The wrapper's types can be named."""
    assert_type(await one(1), str)
    assert_type(other(1), str)


async def many() -> None:
    """Items have the type of the first parameter; what follows is that of the others."""
    service = Service()
    assert_type(await bare.many([1, 2], unit="km"), list[str])
    assert_type(await bare.many_outcomes(range(3)), list[Outcome[str]])
    assert_type(plain_bare.many({1, 2}), list[list[str]])
    assert_type(plain_bare.many_outcomes([1]), list[Outcome[list[str]]])
    assert_type(await service.get.many([1]), list[str])
    assert_type(service.plain.many([1]), list[bytes])
    assert_type(await with_session.many([1], object()), list[None])


async def keys_of_ones_own() -> None:
    """`get_or_set` gives what the loader gives."""

    async def load() -> int:
        return 1

    def load_many(keys: list[str]) -> dict[str, int]:
        return dict.fromkeys(keys, 1)

    assert_type(await cache.get_or_set("a:1", load, expire=60), int)
    assert_type(await cache.get_or_set(("a", 1), lambda: "text", stale_if_error=60), str)
    found = await cache.get_or_set_many(["a:1"], load_many, tags=lambda key: key)
    assert_type(found, dict[str, Any])
    assert_type(await cache.get_or_set_many(["a"], load_many, on_error="collect"), dict[str, Outcome[Any]])
    cache.put("a:1", 5, expire=None, tags="x")
    assert_type(cache.invalidate("a:1"), Cleared)


def explanations() -> None:
    """An explanation is a record."""
    assert_type(explain(bare, 1), Explanation)
    assert_type(bare.explain(1), Explanation)
    assert_type(cache.explain("a:1").age, float | None)


async def clears() -> None:
    """A clear may be awaited or not."""
    assert_type(cache.clear("user:*"), Cleared)
    assert_type(await cache.clear_prefix("user", 42), int)
    assert_type(await cache.clear_all(), int)


async def wrong_uses() -> None:
    """Wrong arguments are found by the checker: each line would be an unused ignore if they were not."""
    await bare("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await bare.refresh(unit=1)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    rows_called(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    rows_called.put([1], "users")  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    await bare.many([b"1"], unit=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    bare.put(1, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cache_function(expire="60")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]

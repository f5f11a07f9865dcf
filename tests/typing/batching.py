"""What type checkers see of loaders: one key in, one result out, methods and options included."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, assert_type

from asyncfan import Batched, LoaderStats, amap, batched
from asyncfan.batching import Answers


class User:
    """Stand for what a backend returns."""


@batched
async def by_mapping(ids: list[int]) -> dict[int, User]:
    """Stand for a user's function."""
    return dict.fromkeys(ids, User())


@batched(max_batch_size=50, dispatch="scope", max_delay=0.01)
async def by_sequence(ids: Sequence[str]) -> list[User]:
    """Stand for a user's function."""
    return [User() for _ in ids]


@batched(on_error="bisect", key=str.lower)
async def with_errors(ids: list[str]) -> Mapping[str, User | Exception]:
    """Stand for a user's function."""
    return dict.fromkeys(ids, User())


class Users:
    @batched
    async def get(self, ids: list[int]) -> dict[int, User]:
        return dict.fromkeys(ids, User())

    @batched(max_batch_size=None)
    async def find(self, names: list[str]) -> Sequence[User]:
        return [User() for _ in names]


async def functions() -> None:
    """A loader is an ``async def`` of one key."""
    assert_type(await by_mapping(1), User)
    assert_type(await by_sequence("a"), User)
    assert_type(await with_errors("a"), User)
    assert_type(await by_mapping.many([1, 2]), list[User])
    assert_type(await by_sequence.many({"a"}), list[User])
    wanted: Callable[[int], Coroutine[Any, Any, User]] = by_mapping
    assert_type(await wanted(1), User)
    assert_type(await amap(by_mapping, [1]), list[User])
    loader: Batched[int, User] = by_mapping
    assert_type(await loader(1), User)


async def what_else_a_loader_has() -> None:
    """Its methods take keys and results of its types."""
    by_mapping.prime(1, User())
    by_mapping.clear(1)
    by_mapping.clear()
    assert_type(by_mapping.stats(), LoaderStats)
    assert_type(await by_mapping.load_batch([1]), Answers)
    await by_mapping("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    by_mapping.prime(1, "user")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def methods(users: Users) -> None:
    """A loader of an instance is one of a function without it."""
    assert_type(await users.get(1), User)
    assert_type(await users.find("a"), User)
    assert_type(await users.get.many([1]), list[User])
    assert_type(await Users.get(users, 1), User)
    users.get.prime(1, User())

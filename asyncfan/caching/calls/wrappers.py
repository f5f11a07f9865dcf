"""What `cache_function` makes of a function, for type checkers and readers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar, overload

from ..loads.register import Missing

if TYPE_CHECKING:
    from ...fanout.outcome import Outcome
    from ..clears.cleared import Cleared
    from ..explain import Explanation

__all__ = ["AsyncCached", "CacheInfo", "Cached", "CachedGenerator"]

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")
A = TypeVar("A")
P2 = ParamSpec("P2")


class AsyncCached(Protocol[P, T]):
    """What `cache_function` makes of an ``async def``: the same function, and these methods.

    Each takes the arguments of a call of the function.
    """

    @property
    def __wrapped__(self) -> Callable[P, Coroutine[Any, Any, T]]:
        """The function as it was."""
        ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        """Return the value: stored, from a load that already runs, or from a new one."""
        ...

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Cleared:
        """Drop the entry of one call, in every `scope`; a load in flight for it is neither stored nor joined."""
        ...

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        """Load anew and store; the old entry is served meanwhile, and stays if the load fails.

        Raises:
            Exception: What the function raised.

        Cancellation:
            A cancelled caller leaves alone, as from a call.
        """
        ...

    def peek(self, *args: P.args, **kwargs: P.kwargs) -> T | Missing:
        """Return what is stored, or `MISSING`; never load, count or reorder."""
        ...

    def put(self, value: T, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Store ``value`` as what the call gives; a load in flight for it will not replace it."""
        ...

    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the text of the call's key, ``prefix:part:part``, which patterns match."""
        ...

    def many(
        self: AsyncCached[Concatenate[A, P2], T], items: Iterable[A], /, *args: P2.args, **kwargs: P2.kwargs
    ) -> Coroutine[Any, Any, list[T]]:
        """Return the value for each of ``items``, which are the first argument; the others are the same for all calls.

        Hits come from memory, loads in flight are joined, and only what is missing is loaded, each once: in one call
        of a function made by `batched`, else ``max_workers`` at a time. The values are in the items' order. Each item
        counts as one call; equal ones make one load.

        Raises:
            Exception: The first failure; who waits for none of the other loads leaves them, as if cancelled.

        Cancellation:
            The caller leaves all loads; those that nobody else waits for are cancelled.

        Example:
            >>> from asyncfan.testing import run
            >>> @Cache().cache_function(expire=60)
            ... async def user(number, lang="en"):
            ...     return f"{lang} {number}"
            >>> run(user.many([1, 2, 1], lang="ko"))
            ['ko 1', 'ko 2', 'ko 1']
        """
        ...

    def many_outcomes(
        self: AsyncCached[Concatenate[A, P2], T], items: Iterable[A], /, *args: P2.args, **kwargs: P2.kwargs
    ) -> Coroutine[Any, Any, list[Outcome[T]]]:
        """As `many`, but raise no load's failure: return an `Outcome` for each item, whose ``key`` is its index."""
        ...

    def explain(self, *args: P.args, **kwargs: P.kwargs) -> Explanation:
        """Return what the cache knows of a call: its key, its age, why it is or is not stored; ``print`` it."""
        ...

    def cache_info(self) -> CacheInfo:
        """Return hits, misses, maxsize, currsize and joined."""
        ...

    def cache_clear(self) -> Cleared:
        """Drop all entries of the function; its loads in flight are neither stored nor joined."""
        ...

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> AsyncCached[P, T]: ...
    @overload
    def __get__(
        self: AsyncCached[Concatenate[S, P2], T], instance: S, owner: type | None = None
    ) -> AsyncCached[P2, T]: ...


class Cached(Protocol[P, T]):
    """What `cache_function` makes of a plain ``def``: as `AsyncCached`, without awaiting, for any thread."""

    @property
    def __wrapped__(self) -> Callable[P, T]:
        """The function as it was."""
        ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the value: stored, from a load that another thread runs, or from a new one."""
        ...

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Cleared:
        """Drop the entry of one call, in every `scope`; a load in flight for it is neither stored nor joined."""
        ...

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Load anew and store; the old entry is served meanwhile, and stays if the load fails."""
        ...

    def peek(self, *args: P.args, **kwargs: P.kwargs) -> T | Missing:
        """Return what is stored, or `MISSING`; never load, count or reorder."""
        ...

    def put(self, value: T, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Store ``value`` as what the call gives; a load in flight for it will not replace it."""
        ...

    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the text of the call's key, ``prefix:part:part``, which patterns match."""
        ...

    def many(
        self: Cached[Concatenate[A, P2], T], items: Iterable[A], /, *args: P2.args, **kwargs: P2.kwargs
    ) -> list[T]:
        """Return the value for each of ``items``, which are the first argument; the others are the same for all calls.

        Hits come from memory, what is missing is loaded in this thread, one after the other, each once.

        Raises:
            Exception: The first failure; what comes after it is not loaded.
        """
        ...

    def many_outcomes(
        self: Cached[Concatenate[A, P2], T], items: Iterable[A], /, *args: P2.args, **kwargs: P2.kwargs
    ) -> list[Outcome[T]]:
        """As `many`, but raise no load's failure: return an `Outcome` for each item, whose ``key`` is its index."""
        ...

    def explain(self, *args: P.args, **kwargs: P.kwargs) -> Explanation:
        """Return what the cache knows of a call: its key, its age, why it is or is not stored; ``print`` it."""
        ...

    def cache_info(self) -> CacheInfo:
        """Return hits, misses, maxsize, currsize and joined."""
        ...

    def cache_clear(self) -> Cleared:
        """Drop all entries of the function; its loads in flight are neither stored nor joined."""
        ...

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Cached[P, T]: ...
    @overload
    def __get__(self: Cached[Concatenate[S, P2], T], instance: S, owner: type | None = None) -> Cached[P2, T]: ...


class CachedGenerator(Protocol[P, T]):
    """What `cache_function` makes of an async generator: the same, and these methods.

    Only a run that came to its end by itself is stored, as one tuple: one that failed, was left early by all, gave
    more than ``max_items`` or was invalidated meanwhile is not. Consumers of one call in one event loop share a run,
    in a task of its own. It gives an item when the foremost consumer asks for it; the others get it too, at their own
    pace. Once more items came than may be kept, a consumer that falls so many behind gets a `LaggingConsumerError`,
    and later ones begin a new run. Whoever leaves last waits until the user's generator is closed: a consumer that
    may stop early says ``async with contextlib.aclosing(...)``, as for any async generator.
    """

    @property
    def __wrapped__(self) -> Callable[P, AsyncIterator[T]]:
        """The function as it was."""
        ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
        """Give the items: stored, from a run that is under way, or from a new one."""
        ...

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Cleared:
        """Drop the entry of one call, in every `scope`; a run under way for it is neither stored nor joined."""
        ...

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, tuple[T, ...]]:
        """Run anew and store; the old items are served meanwhile, and stay if the run fails."""
        ...

    def peek(self, *args: P.args, **kwargs: P.kwargs) -> tuple[T, ...] | Missing:
        """Return all items that are stored, or `MISSING`; never run, count or reorder."""
        ...

    def put(self, value: Iterable[T], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Store the items of ``value`` as those that the call gives; a run under way for it will not replace them."""
        ...

    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the text of the call's key, ``prefix:part:part``, which patterns match."""
        ...

    def cache_info(self) -> CacheInfo:
        """Return hits, misses, maxsize, currsize and joined."""
        ...

    def cache_clear(self) -> Cleared:
        """Drop all entries of the function; its runs under way are neither stored nor joined."""
        ...

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> CachedGenerator[P, T]: ...
    @overload
    def __get__(
        self: CachedGenerator[Concatenate[S, P2], T], instance: S, owner: type | None = None
    ) -> CachedGenerator[P2, T]: ...


class CacheInfo(NamedTuple):
    """What `cache_info` returns: the standard library's four figures first.

    Attributes:
        hits: Calls answered from the cache.
        misses: Calls that started a load.
        maxsize: The most entries that the whole cache keeps, None without a limit.
        currsize: Entries of this function now; expired ones count until they are swept.
        joined: Calls that waited for a load already running.
    """

    hits: int
    misses: int
    maxsize: int | None
    currsize: int
    joined: int

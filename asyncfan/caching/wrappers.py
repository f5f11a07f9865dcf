"""What `cache_function` makes of a function, for type checkers and readers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar, overload

from .register import Missing

if TYPE_CHECKING:
    from .cache import Cleared

__all__ = ["AsyncCached", "CacheInfo", "Cached", "CachedGenerator"]

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")
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
        """Load anew and store; the old entry is served meanwhile, and stays if the load fails."""
        ...

    def peek(self, *args: P.args, **kwargs: P.kwargs) -> T | Missing:
        """Return what is stored, or `MISSING`; never load, count or reorder."""
        ...

    def put(self, value: T, *args: P.args, **kwargs: P.kwargs) -> None:
        """Store ``value`` as what the call gives; a load in flight for it will not replace it."""
        ...

    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the text of the call's key, ``prefix:part:part``, which patterns match."""
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

    def put(self, value: T, *args: P.args, **kwargs: P.kwargs) -> None:
        """Store ``value`` as what the call gives; a load in flight for it will not replace it."""
        ...

    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the text of the call's key, ``prefix:part:part``, which patterns match."""
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

    def put(self, value: Iterable[T], *args: P.args, **kwargs: P.kwargs) -> None:
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

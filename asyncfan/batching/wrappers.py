"""What `batched` makes of a function, for type checkers and readers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict, TypeVar, overload

if TYPE_CHECKING:
    from ..fanout.limiter import Limiter
    from .answers import Answers
    from .dispatch import Rule
    from .stats import LoaderStats

__all__ = ["Batched", "BatchedMethod", "BatchedOptions", "Decorator", "LoadFunction", "LoadMethod"]

K = TypeVar("K")
V = TypeVar("V")
S = TypeVar("S")
K_contra = TypeVar("K_contra", contravariant=True)
S_contra = TypeVar("S_contra", contravariant=True)

Answer = Mapping[Any, V | Exception] | Sequence[V | Exception]
LoadFunction = Callable[[list[K]], Awaitable[Answer[V]]]
LoadMethod = Callable[[S, list[K]], Awaitable[Answer[V]]]


class Batched(Protocol[K_contra, V]):
    """What `batched` makes of a function of many keys: a function of one key, and these methods."""

    @property
    def __wrapped__(self) -> Callable[..., Awaitable[Any]]:
        """The function as it was."""
        ...

    def __call__(self, key: K_contra, /) -> Coroutine[Any, Any, V]:
        """Return the result for ``key``, asked for together with what others ask for at the time."""
        ...

    def many(self, keys: Iterable[K_contra], /) -> Coroutine[Any, Any, list[V]]:
        """Return the results for ``keys``, in order; equal keys are asked for once.

        Raises:
            Exception: That of the first key, in their order, that has no result. When all have ended: for an
                outcome each, see `amap` with ``on_error="collect"``.

        Cancellation: As a call, for each key.
        """
        ...

    def prime(self, key: K_contra, value: V, /) -> None:
        """Give ``value`` to all who wait for ``key`` now, and to those who will ask in the async `scope` around."""
        ...

    def clear(self, key: K_contra = ..., /) -> None:
        """Let nobody join a load of ``key`` (of any, without one) that has begun; the async `scope` forgets it too.

        Who waits already still gets what it gives. Loads in other threads are let go when their loop comes to it.
        """
        ...

    def stats(self) -> LoaderStats:
        """Return counts of batches, keys and callers, and how long calls took; for a method, of all instances."""
        ...

    def load_batch(self, keys: Sequence[K_contra], /) -> Coroutine[Any, Any, Answers]:
        """Ask for exactly ``keys``, in the current task and context; nobody else is joined, nothing is kept.

        For caches: they know who else waits. One call, or as many as the sizes and weights allowed need.

        Returns:
            The outcome of each key, in order: the value, or the exception of a key that has none. What a mapping
            gave besides is its ``extra``.

        Cancellation: Cancels the call.
        """
        ...


class BatchedMethod(Protocol[S_contra, K_contra, V]):
    """What `batched` makes of a method of many keys: in an instance, a `Batched`."""

    @property
    def __wrapped__(self) -> Callable[..., Awaitable[Any]]:
        """The method as it was."""
        ...

    def __call__(self, instance: S_contra, key: K_contra, /) -> Coroutine[Any, Any, V]:
        """Return the result for ``key``, of ``instance``."""
        ...

    def stats(self) -> LoaderStats:
        """Return counts of batches, keys and callers of all instances, and how long calls took."""
        ...

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> BatchedMethod[S_contra, K_contra, V]: ...
    @overload
    def __get__(self, instance: S_contra, owner: type | None = None) -> Batched[K_contra, V]: ...


class BatchedOptions(TypedDict, total=False):
    """What can be said of a `batched` function; see there."""

    max_batch_size: int | None
    max_delay: float | None
    dispatch: Rule
    key: Callable[[Any], Hashable] | None
    batch_key: Callable[[Any], Hashable] | None
    on_error: Literal["raise", "bisect"]
    weight: Callable[[Any], float] | None
    max_batch_weight: float | None
    limiter: Limiter | None


class Decorator(Protocol):
    """What `batched` with options returns."""

    @overload
    def __call__(self, load: LoadFunction[K, V], /) -> Batched[K, V]: ...
    @overload
    def __call__(self, load: LoadMethod[S, K, V], /) -> BatchedMethod[S, K, V]: ...

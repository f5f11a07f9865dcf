"""What the engines share without importing each other: the ambient scope, the deadline, and which load this is."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

__all__ = [
    "Kept",
    "Surroundings",
    "current_scope",
    "deadline_scope",
    "hide_deadline",
    "inside",
    "invalidations",
    "kept_here",
    "loading",
    "scope",
    "scopes_in_use",
    "since",
    "time_left",
]

# (the moment, the clock that it is measured by); None: no deadline
_deadline: contextvars.ContextVar[tuple[float, Callable[[], float]] | None] = contextvars.ContextVar(
    "asyncfan_deadline", default=None
)


class Surroundings(Mapping[str, Any]):
    """The values that the surrounding scopes declare, read-only."""

    __slots__ = ("_values", "keys_by_level")

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values
        self.keys_by_level: dict[Any, Any] = {}  # {level: its part of a cache key}, worked out once a scope

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Surroundings {', '.join(sorted(self._values))}>"


_scope: contextvars.ContextVar[Surroundings] = contextvars.ContextVar("asyncfan_scope", default=Surroundings({}))  # noqa: B039 - read-only

# Empty until the first scope() of the process. Cached functions look at it before they pay for the context
# variable: a call costs 30 ns less in the many programs that never declare a scope.
scopes_in_use: list[bool] = []


class scope:  # noqa: N801 - used like a function, as contextlib.suppress is
    """Declare who and what the calls inside are for: the surroundings that `CacheLevel` may put in a cache key.

    ``tenant`` is part of the key from MEDIUM on; ``principal``, ``locale`` and any other value at HIGH only. Scopes
    nest: the inner one adds to or overrides the outer one's values. Tasks started inside inherit it.

    With ``async with`` it is also the lifetime of one request: a function made by `batched` asks for each key once
    inside, and nobody waits for one any more when the block has been left: who still does, in a task that was left
    behind, gets a `ScopeEndedError`.

    Cancellation: Leaving the block waits for the end of the batches that nobody wants any more.

    Args:
        **values: Names and the values to key by; strings, numbers or whatever a cached function's arguments may be.

    Example:
        >>> with scope(tenant="acme", locale="ko"):
        ...     dict(current_scope())
        {'tenant': 'acme', 'locale': 'ko'}
    """

    __slots__ = ("_kept", "_kept_token", "_token", "values")

    def __init__(self, **values: Any) -> None:
        self.values: dict[str, Any] = values
        self._token: contextvars.Token[Surroundings] | None = None
        self._kept: Kept | None = None  # inside ``async with``
        self._kept_token: contextvars.Token[Any] | None = None

    def __enter__(self) -> Surroundings:
        if not scopes_in_use:
            scopes_in_use.append(True)
        merged = Surroundings({**_scope.get(), **self.values})
        self._token = _scope.set(merged)
        return merged

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _reset(_scope, self._token)
            self._token = None

    async def __aenter__(self) -> Surroundings:
        self._kept = Kept(asyncio.get_running_loop(), inside.get())
        self._kept_token = inside.set(self._kept)
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kept, token, self._kept, self._kept_token = self._kept, self._kept_token, None, None
        self.__exit__(kind, error, trace)
        if kept is not None and token is not None:
            _reset(inside, token)
            await kept.close()

    def __repr__(self) -> str:
        return f"<scope {', '.join(sorted(self.values))}>"


def _reset(variable: contextvars.ContextVar[Any], token: contextvars.Token[Any]) -> None:
    """Put back what a block has set, where it was set: a generator's may be left by another task than entered it."""
    with suppress(ValueError):
        variable.reset(token)


def current_scope() -> Surroundings:
    """Return the values that the surrounding `scope` blocks declare, read-only."""
    return _scope.get()


def time_left() -> float | None:
    """Return the seconds until the surrounding call's ``deadline``, at least 0.0, or None where there is none.

    Example:
        >>> time_left() is None
        True
    """
    found = _deadline.get()
    if found is None:
        return None
    when, clock = found
    return max(0.0, when - clock())


@contextmanager
def deadline_scope(seconds: float | None, clock: Callable[[], float] = time.monotonic) -> Iterator[float | None]:
    """Make calls inside see a deadline ``seconds`` from now, or the surrounding one if that is sooner.

    Args:
        seconds: Time allowed; None hides the surrounding deadline (for work shared with callers who have none).
        clock: The clock to measure by; the event loop's, where there is one.

    Yields:
        The seconds that are really left: None without a deadline.
    """
    outer = time_left()
    left = seconds if outer is None or seconds is None else min(seconds, outer)
    token = _deadline.set(None if left is None else (clock() + left, clock))
    try:
        yield left
    finally:
        _deadline.reset(token)


def hide_deadline() -> None:
    """Drop the deadline for the rest of this task: its work is shared with callers who have none."""
    if _deadline.get() is not None:
        _deadline.set(None)


class Kept:
    """What an async `scope` keeps until its exit: what was asked for inside, and who waits there."""

    __slots__ = ("_all_left", "around", "ended", "loop", "memos", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, around: Any = None) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.around: Any = around  # what was `inside` before
        self.memos: dict[Any, Any] = {}  # {who remembers: what}
        self.waiting: set[asyncio.Future[Any]] = set()  # at the exit each one gets this object as its result
        self.ended: bool = False
        self._all_left: asyncio.Future[None] | None = None  # while `close` waits

    def left(self, *waiters: asyncio.Future[Any]) -> None:
        """Note that these, and whatever their owner had to put in order, are done with."""
        self.waiting.difference_update(waiters)
        if not self.waiting and self._all_left is not None and not self._all_left.done():
            self._all_left.set_result(None)

    async def close(self) -> None:
        """Tell all who wait that the scope has ended, and wait until they have left.

        Cancellation: Raised when they have.
        """
        self.ended = True
        self.memos.clear()
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(self)
        cancelled: asyncio.CancelledError | None = None
        while self.waiting:
            self._all_left = self.loop.create_future()
            try:
                await self._all_left
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def __repr__(self) -> str:
        return f"<Kept of a scope, {len(self.waiting)} waiting{', ended' if self.ended else ''}>"


# What a loader must mind here: the `Kept` of an async scope, or the batch whose call this is. One variable for both,
# because every call of a loader looks at it; mostly there is neither.
inside: contextvars.ContextVar[Any] = contextvars.ContextVar("asyncfan_inside", default=None)


def kept_here(loop: asyncio.AbstractEventLoop) -> Kept | None:
    """Return what the surrounding async scope keeps; None without one, or if it has ended or is another loop's."""
    found = inside.get()
    return found if isinstance(found, Kept) and found.loop is loop and not found.ended else None


class Invalidations:
    """The moments of the process that a load must not look behind: how many invalidations there have been.

    Example: a cached function awaits one made by `batched`. What the cache loads after an invalidation would be from
    before it if that joined a batch which was under way by then.
    """

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count: int = 0

    def __repr__(self) -> str:
        return f"<Invalidations {self.count}>"


invalidations: Invalidations = Invalidations()

# The load of a cache that the current context runs, with ``since``: the invalidations when it began. None outside.
loading: contextvars.ContextVar[Any] = contextvars.ContextVar("asyncfan_loading", default=None)


def since() -> int:
    """Return how many invalidations there must have been when something began that may be joined here.

    Those before the load began that the context runs; 0 outside of loads, where anything may be joined.
    """
    load = loading.get()
    return 0 if load is None else load.since

"""What the engines share without importing each other: the ambient scope and the deadline, in context variables."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

__all__ = ["Surroundings", "current_scope", "deadline_scope", "hide_deadline", "scope", "scopes_in_use", "time_left"]

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

    Args:
        **values: Names and the values to key by; strings, numbers or whatever a cached function's arguments may be.

    Example:
        >>> with scope(tenant="acme", locale="ko"):
        ...     dict(current_scope())
        {'tenant': 'acme', 'locale': 'ko'}
    """

    __slots__ = ("_token", "values")

    def __init__(self, **values: Any) -> None:
        self.values: dict[str, Any] = values
        self._token: contextvars.Token[Surroundings] | None = None

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
            _scope.reset(self._token)
            self._token = None

    def __repr__(self) -> str:
        return f"<scope {', '.join(sorted(self.values))}>"


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

"""`gather_into`: the results of named tasks as the fields of a class, so that each has its own type."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, is_typeddict

from .calling import close_coroutines
from .functions import gather

__all__ = ["gather_into"]

T = TypeVar("T")


async def gather_into(into: type[T], /, **tasks: Callable[..., object]) -> T:
    """Call all functions at once, as `gather` does, and return ``into(name=result, ...)``.

    What a type checker knows of the results is what the class says of its fields: a dataclass, a ``NamedTuple``, a
    ``TypedDict``, or any class that takes them by name. Whether values are of these types is the class's to check, as
    pydantic's do.

    Raises:
        Exception: What a task raised, when no other runs any more; or what the class raised.
        TypeError: ``into`` does not take these names; no task has begun.

    Cancellation: Cancels all tasks and waits for their end.

    Example:
        >>> from typing import NamedTuple
        >>> from asyncfan.testing import run
        >>> class Page(NamedTuple):
        ...     user: str
        ...     orders: list[int]
        >>> async def get_user(number):
        ...     return f"user {number}"
        >>> async def get_orders(user):
        ...     return [1, 2]
        >>> run(gather_into(Page, user=lambda: get_user(7), orders=get_orders))
        Page(user='user 7', orders=[1, 2])
    """
    try:
        _check(into, tasks)
    except TypeError:
        close_coroutines(tasks.values())
        raise
    return into(**await gather(tasks))


def _check(into: Any, tasks: dict[str, Any]) -> None:
    if not inspect.isclass(into):
        raise TypeError(f"gather_into takes a class and named tasks, gather_into(Page, user=get_user), got {into!r}")
    try:
        _signature(into).bind(**tasks)
    except TypeError as error:
        raise TypeError(f"gather_into({into.__name__}): {error}") from None


def _signature(into: Any) -> inspect.Signature:
    if not is_typeddict(into):
        return inspect.signature(into)
    parameter = inspect.Parameter
    return inspect.Signature(
        [
            parameter(name, parameter.KEYWORD_ONLY, default=None if _may_be_left_out(into, name) else parameter.empty)
            for name in into.__annotations__
        ]
    )


def _may_be_left_out(into: Any, name: str) -> bool:
    # where annotations are strings, Python counts a NotRequired one as required
    return name in into.__optional_keys__ or "NotRequired[" in str(into.__annotations__.get(name))

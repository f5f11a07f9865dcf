"""Decorators in the wrong order: said where they stand, for every framework in the same words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["refuse_guard", "refuse_registered"]


def refuse_registered(fn: Callable[..., Any], handlers: Iterable[Any], route: str) -> None:
    """Refuse a handler that a router has already, so without its cache.

    Args:
        fn: The handler.
        handlers: Those of the routers that its module knows.
        route: How such a router is written above a handler.

    Raises:
        TypeError: It is among them.
    """
    if any(handler is fn for handler in handlers):
        raise TypeError(
            f"{fn.__qualname__} was registered without its cache, because @cache_response stands above the "
            f"route. Put it below, next to the function:\n"
            f"    {route}\n    @cache_response(...)\n    async def {fn.__name__}(...): ..."
        )


def refuse_guard(fn: Callable[..., Any], module: str, guard: str) -> None:
    """Refuse what a guard of the framework made of a handler: a hit would get by the guard.

    Args:
        fn: The handler.
        module: Where the framework's guards are defined.
        guard: How one is written above a handler.

    Raises:
        TypeError: ``fn`` is a guard's wrapper.
    """
    if fn.__globals__.get("__name__") == module:
        raise TypeError(
            f"{fn.__qualname__} is guarded below its cache, so that a hit would get by the guard. Put "
            f"@cache_response below, next to the function:\n"
            f"    {guard}\n    @cache_response(...)\n    async def {fn.__name__}(...): ..."
        )

"""Decorators in the wrong order: said where they stand, for every framework in the same words."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

__all__ = ["near", "refuse_guard", "refuse_registered"]


def near(fn: Callable[..., Any], *kinds: type) -> Iterator[Any]:
    """Return the routers that the code around a handler knows, to see whether it is registered already.

    Those are what its module names, and what the functions do that are defining it now (a factory of applications),
    or an attribute of either that is the program's own: a module, a class, an object.

    Args:
        fn: The handler.
        kinds: The classes of the routers.
    """
    package = (fn.__module__ or "").partition(".")[0]  # what was run from a text is of no module
    for names in _scopes(fn):
        for value in list(names.values()):
            if isinstance(value, kinds):
                yield value
            elif _is_of(value, package):
                yield from (inner for inner in list(vars(value).values()) if isinstance(inner, kinds))


def _scopes(fn: Callable[..., Any]) -> list[dict[str, Any]]:
    found, frame = [fn.__globals__], sys._getframe(1)  # noqa: SLF001 - inspect's own way to it reads files
    while frame is not None:
        if frame.f_code.co_filename == fn.__code__.co_filename and frame.f_locals is not fn.__globals__:
            found.append(frame.f_locals)
        frame = frame.f_back  # type: ignore[assignment]
    # A handler that has a name there already is not being decorated: somebody wants it with and without a cache.
    named = any(value is fn for names in found[1:] for value in names.values())
    return found[:1] if named else found


def _is_of(value: Any, package: str) -> bool:
    """Say whether a module, a class or an object with a ``__dict__`` is one of the package's own."""
    cls = type(value)
    if not cls.__dictoffset__:
        return False
    module = value.__name__ if cls is type(sys) else (value if cls is type else cls).__module__
    return str(module).partition(".")[0] == package


def refuse_registered(fn: Callable[..., Any], handlers: Iterable[Any], route: str) -> None:
    """Refuse a handler that a router has already, so without its cache.

    Args:
        fn: The handler.
        handlers: Those of the routers that are `near`.
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

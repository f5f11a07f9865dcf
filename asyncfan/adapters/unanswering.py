"""Functions that frameworks call for something else than a response: there is none to cache."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["refuse_dependency", "refuse_websocket"]


def refuse_dependency(fn: Callable[..., Any], dependencies: Iterable[Any]) -> None:
    """Refuse a function that gives handlers a value, in whose place they would get a response of their own route.

    Args:
        fn: The function.
        dependencies: Those of a route.

    Raises:
        TypeError: It is one of them.
    """
    if any(_is_made_of(fn, each) for each in dependencies):
        raise TypeError(
            f"{fn.__qualname__} is a dependency, and has no response to cache: decorate it with @cache_function"
        )


def refuse_websocket(fn: Callable[..., Any], handler: Any = None) -> None:
    """Refuse a handler of a WebSocket.

    Args:
        fn: The function.
        handler: What a WebSocket has for its handler; None: ``fn`` itself.

    Raises:
        TypeError: It is ``fn``.
    """
    if handler is None or _is_made_of(fn, handler):
        raise TypeError(
            f"{fn.__qualname__} takes a WebSocket, and has no response to cache. Take @cache_response away, "
            f"or cache what it sends with @cache_function"
        )


def _is_made_of(fn: Callable[..., Any], decorated: Any) -> bool:
    return callable(decorated) and inspect.unwrap(decorated, stop=lambda found: found is fn) is fn

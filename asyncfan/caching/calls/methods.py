"""Cached methods: the instance is filled in, for a call as for the wrapper's own methods."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["METHODS", "BoundMethod", "CachedMethod"]

# what a wrapper offers beside being called
METHODS = (
    "cache_clear", "cache_info", "cache_key", "explain", "invalidate", "many", "many_outcomes", "peek", "put",
    "refresh",
)  # fmt: skip


class BoundMethod(functools.partial[Any]):
    """A cached method of one instance: calls, and its wrapper's methods, with the instance filled in."""

    def __getattr__(self, name: str) -> Any:
        if name in {"__wrapped__", "__code__"}:  # would hide from inspect.signature that the instance is filled in
            raise AttributeError(name)
        method = getattr(self.func, name)
        if name not in METHODS or name in {"cache_clear", "cache_info"}:
            return method
        if name == "put":
            return lambda value, /, *args, **kwargs: method(value, *self.args, *args, **kwargs)
        return functools.partial(method, *self.args)


class CachedMethod:
    """The descriptor that stands in a class for a cached method; each instance has entries of its own.

    For a class method it is the class that is filled in, and that has entries of its own.
    """

    def __init__(self, wrapper: Callable[..., Any], *, of_class: bool = False) -> None:
        self.wrapper = wrapper
        self.of_class = of_class
        functools.update_wrapper(self, wrapper)
        if inspect.iscoroutinefunction(wrapper):
            _mark(self)

    def __get__(self, instance: Any, owner: type | None = None) -> Callable[..., Any]:
        filled_in = owner if self.of_class else instance
        return self.wrapper if filled_in is None else BoundMethod(self.wrapper, filled_in)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function as it is, the instance among the arguments."""
        return self.wrapper(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<CachedMethod {self.wrapper.__qualname__}>"


def _mark(function: Any) -> None:
    """Let frameworks that are given what stands in the class body see that it is asynchronous."""
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(function)
    else:  # asks for it through asyncio
        function._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # noqa: SLF001

"""Cached methods: the instance is filled in, for a call as for the wrapper's own methods."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

__all__ = ["METHODS", "BoundMethod", "CachedMethod"]

# what a wrapper offers beside being called
METHODS = (
    "cache_clear", "cache_info", "cache_key", "explain", "invalidate", "many", "many_outcomes", "peek", "put",
    "refresh",
)  # fmt: skip


class BoundMethod(functools.partial[Any]):
    """A cached method of one instance: calls, and its wrapper's methods, with the instance filled in."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        """What it stands for, and looks like to whoever asks for its signature, its document or its kind."""
        return MethodType

    def __getattr__(self, name: str) -> Any:
        if name in {"__self__", "__func__"}:
            return self.args[0] if name == "__self__" else self.func
        method = getattr(self.func, name)
        if name not in METHODS or name in {"cache_clear", "cache_info"}:
            return method
        if name == "put":
            return lambda value, /, *args, **kwargs: method(value, *self.args, *args, **kwargs)
        return functools.partial(method, *self.args)

    def __eq__(self, other: object) -> bool:
        return type(other) is BoundMethod and self.func is other.func and self.args[0] is other.args[0]

    def __hash__(self) -> int:
        return hash((self.func, id(self.args[0])))

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.args[0], self.func.__name__)  # as any method: a class method's function has no other way


# of an instance its function's, which frameworks show to people
BoundMethod.__doc__ = property(lambda bound: bound.func.__doc__)  # type: ignore[assignment]


class CachedMethod:
    """The descriptor that stands in a class for a cached method; each instance has entries of its own.

    For a class method it is the class that is filled in, and that has entries of its own.
    """

    def __init__(self, wrapper: Callable[..., Any], *, of_class: bool = False) -> None:
        self.wrapper = wrapper
        self.of_class = of_class
        functools.update_wrapper(self, wrapper)

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        """What it stands for: pydantic takes nothing but a function for a method, others ask if it is asynchronous."""
        return FunctionType

    def __getattr__(self, name: str) -> Any:
        if name not in {"__code__", "__defaults__", "__kwdefaults__", "__globals__", "__closure__"}:
            raise AttributeError(name)
        return getattr(self.wrapper, name)

    def __get__(self, instance: Any, owner: type | None = None) -> Callable[..., Any]:
        filled_in = owner if self.of_class else instance
        return self.wrapper if filled_in is None else BoundMethod(self.wrapper, filled_in)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function as it is, the instance among the arguments."""
        return self.wrapper(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<CachedMethod {self.wrapper.__qualname__}>"

"""Two functions under one name and prefix: where processes share what they return, one would get the other's values."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

__all__ = ["Source", "are_twins", "loads_first"]


class Source(NamedTuple):
    """What was cached, and what was said of it."""

    function: Callable[..., Any]
    options: Mapping[str, Any]


def are_twins(one: Source, other: Source) -> bool:
    """Say whether two of one name are known to be different: a module that is loaded again defines them again.

    They are if they are one function, wrapped or cached differently, or stand apart in a module that loads.
    """
    if hasattr(sys, "ps1"):  # what is typed again in a shell or notebook replaces what was there
        return False
    inner, its = inspect.unwrap(one.function), inspect.unwrap(other.function)
    if inner is its:
        return not (_is_same(one.function, other.function) and _say_the_same(one.options, other.options))
    code = getattr(inner, "__code__", None)
    return code is not None and code != getattr(its, "__code__", code) and loads_first(inner.__module__)


def loads_first(module: str) -> bool:
    """Say whether a module is being loaded for the first time."""
    spec = getattr(sys.modules.get(module), "__spec__", None)
    return module == "__main__" or bool(getattr(spec, "_initializing", False))


def _say_the_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(_is_same(value, other[name]) for name, value in one.items())


def _is_same(one: Any, other: Any) -> bool:
    """Say whether two values are equal, or two functions made by the same code of the same things."""
    try:
        return bool(one == other) or (one.__code__ == other.__code__ and _held_by(one) == _held_by(other))
    except Exception:  # noqa: BLE001 - they are no functions, or cannot be compared
        return False


def _held_by(function: Any) -> tuple[Any, ...]:
    return function.__defaults__, function.__kwdefaults__, [x.cell_contents for x in function.__closure__ or ()]

"""The classic mistake with lambdas in a loop, noticed before it costs wrong results."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from types import FunctionType
from typing import Any

__all__ = ["warn_of_late_binding"]


def warn_of_late_binding(tasks: Mapping[Any, Any]) -> None:
    """Warn if lambdas named after a loop's values all use the last one: ``{f"item_{i}": lambda: f(i) ...}``.

    Sharing a variable may be meant, so the names decide: the value is in the last one's name, and in no
    other.
    """
    if len(tasks) < 2:  # noqa: PLR2004 - one alone cannot differ from the others
        return
    *others, last = tasks
    function = tasks[last]
    if not _is_plain_lambda(function):
        return
    for other in others:
        if not _is_plain_lambda(tasks[other]) or tasks[other].__code__ is not function.__code__:
            return
        if any(a is not b for a, b in zip(tasks[other].__closure__ or (), function.__closure__ or (), strict=True)):
            return
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
        text = str(value) if isinstance(value, str | int) else ""
        if text and text in str(last) and not any(text in str(other) for other in others):
            warnings.warn(
                f"all {len(tasks)} lambdas in tasks use the last value of {name!r}, {value!r}: "
                f"write lambda {name}={name}: ... to bind each its own",
                RuntimeWarning,
                stacklevel=3,
            )


def _is_plain_lambda(function: Any) -> bool:
    return isinstance(function, FunctionType) and function.__name__ == "<lambda>" and not function.__defaults__

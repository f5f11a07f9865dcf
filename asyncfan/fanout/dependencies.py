"""Which tasks a task waits for: those that its required parameters name."""

from __future__ import annotations

import inspect
from collections.abc import Container, Mapping
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from .calling import unplaced

__all__ = ["dependencies_of", "takes_arguments"]

_ANY = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
_TAKES_ANY = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS


def takes_arguments(function: Any) -> bool:
    """Say quickly (0.2 us) that ``function`` needs no argument; True if it may."""
    given = 0
    if type(function) is partial and not function.keywords:
        given, function = len(function.args), function.func
    if type(function) is MethodType:
        given, function = given + 1, function.__func__
    if type(function) is not FunctionType:
        return callable(function)
    code = function.__code__
    return (
        code.co_argcount > given + len(function.__defaults__ or ())
        or code.co_kwonlyargcount > 0
        or (bool(code.co_flags & _TAKES_ANY) and hasattr(function, "__wrapped__"))
    )


def dependencies_of(function: Any, tasks: Container[Any]) -> tuple[list[str], list[str]]:
    """Return the names of the results that ``function`` is called with: those by position, those by keyword.

    A parameter with a default keeps it, whatever tasks there are: ``lambda i=item: ...`` binds a loop's value.
    What a decorator passes on as ``*args, **kwargs`` may be given by the decorator itself, as a session is: of the
    parameters of the function inside only those count that a task is called like.
    """
    function = unplaced(function)
    own = _parameters(function, follow_wrapped=False)
    required = [found for found in own.values() if found.default is found.empty and found.kind not in _ANY]
    by_keyword = [found.name for found in required if found.kind is found.KEYWORD_ONLY]
    by_position = [found.name for found in required if found.kind is not found.KEYWORD_ONLY]
    if any(found.kind is found.VAR_KEYWORD for found in own.values()):
        inside = _parameters(function, follow_wrapped=True)
        by_keyword += [
            name
            for name, found in inside.items()
            if found.default is found.empty and found.kind not in _ANY and name not in own and name in tasks
        ]
    return by_position, by_keyword


def _parameters(function: Any, *, follow_wrapped: bool) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function, follow_wrapped=follow_wrapped).parameters
    except (TypeError, ValueError):  # one in C, perhaps, that does not tell
        return {}

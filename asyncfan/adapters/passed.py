"""What a decorator between the route and a handler passes to it: it may be nowhere in the request."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["Passed"]


class Passed:
    """Tells the arguments of one handler that came from a decorator from those that are the framework's.

    Args:
        fn: The handler.
        own: Classes of what the framework passes: its request, and objects whose methods are handlers.
        of_object: Whether the first argument is such an object, of whatever class.
    """

    def __init__(self, fn: Callable[..., Any], own: tuple[type, ...], *, of_object: bool = False) -> None:
        # what a wrapper passes on may be called otherwise there
        parameters = inspect.signature(fn, follow_wrapped=False).parameters.values()
        self._names: list[str] = [x.name for x in parameters if x.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
        # a parameter that is positional only may share its name with an argument of **kwargs
        self._before: int = sum(x.kind is inspect.Parameter.POSITIONAL_ONLY for x in parameters)
        self._own = own
        self._first = int(of_object)

    def more(self, visit: Any, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return a visit's arguments by name, unless they are just ``args`` and ``kwargs``, which the path holds.

        One that has no name is called by its place, such as ``*2``.
        """
        own, first, request = self._own, self._first, visit.request
        beside = [(i, x) for i, x in enumerate(visit.args) if i >= first and x is not request]
        given = {self._name(i): x for i, x in beside if not isinstance(x, own)}
        named = {name: x for name, x in visit.kwargs.items() if x is not request and not isinstance(x, own)}
        return {} if [*given.values()] == [*args] and named == (kwargs or {}) else {**given, **named}

    def beside(self, visit: Any, filled: frozenset[str]) -> dict[str, Any]:
        """Return a visit's arguments by name, without those that the framework fills."""
        if not visit.args and visit.kwargs.keys() <= filled:  # mostly
            return {}
        return {name: value for name, value in self.more(visit).items() if name not in filled}

    def _name(self, number: int) -> str:
        place = number - self._before
        return self._names[place] if 0 <= place < len(self._names) else f"*{number}"

    def __repr__(self) -> str:
        return f"<Passed to {', '.join(self._names)}>"

"""What a handler's positional arguments are called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["Positional"]


class Positional:
    """Names the positional arguments of one handler by its parameters; others by their place, such as ``*2``."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        # what a wrapper passes on may be called otherwise there
        parameters = inspect.signature(fn, follow_wrapped=False).parameters.values()
        self._names: list[str] = [x.name for x in parameters if x.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
        # a parameter that is positional only may share its name with an argument of **kwargs
        self._before: int = sum(x.kind is inspect.Parameter.POSITIONAL_ONLY for x in parameters)

    def named(self, args: Iterable[Any], *, but: Callable[[Any], bool]) -> dict[str, Any]:
        """Return the arguments by name, without those that ``but`` is true of."""
        return {self._name(number): value for number, value in enumerate(args) if not but(value)}

    def _name(self, number: int) -> str:
        place = number - self._before
        return self._names[place] if 0 <= place < len(self._names) else f"*{number}"

    def __repr__(self) -> str:
        return f"<Positional {', '.join(self._names)}>"

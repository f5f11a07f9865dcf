"""Named tasks that wait for the results of others: in what order they may run, and that order at work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from graphlib import CycleError, TopologicalSorter
from typing import Any

from ..exceptions import DependencyFailedError
from .calling import in_thread, on_loop, stays_on_loop, unplaced
from .dependencies import dependencies_of
from .named import NamedRun
from .offload import SupportsSubmit
from .outcome import Outcome
from .run import MISSING

__all__ = ["GraphRun", "arrange"]


def arrange(
    tasks: Mapping[Any, Callable[..., Any]], executor: SupportsSubmit | None
) -> tuple[Mapping[Any, Callable[..., Any]], Callable[..., NamedRun]]:
    """Return the tasks as functions that take all they need by position, and what makes the run of them.

    Raises:
        TypeError: A required parameter is the name of no task.
        ValueError: Tasks wait for each other in a ring.
    """
    found = {name: dependencies_of(function, tasks) for name, function in tasks.items()}
    if not any(by_position or by_keyword for by_position, by_keyword in found.values()):
        return tasks, NamedRun
    places = {name: i for i, name in enumerate(tasks)}
    needs: list[list[int]] = []
    functions: dict[Any, Callable[..., Any]] = {}
    for name, (by_position, by_keyword) in found.items():
        needed = by_position + by_keyword
        for one in needed:
            if one not in tasks:
                raise TypeError(_unknown(name, one, tasks))
        needs.append([places[one] for one in needed])
        functions[name] = (
            _by_position(tasks[name], executor, len(by_position), by_keyword) if by_keyword else tasks[name]
        )
    order = TopologicalSorter(dict(enumerate(needs)))
    try:
        order.prepare()
    except CycleError as error:
        raise ValueError(_ring(error.args[1], list(tasks))) from None
    return functions, partial(GraphRun, needs=needs, order=order)


class GraphRun(NamedRun):
    """The books of named tasks that wait for others: one may start as soon as those have ended, whatever else runs."""

    def __init__(self, *args: Any, needs: Sequence[Sequence[int]], order: TopologicalSorter[int], **facts: Any) -> None:
        super().__init__(*args, **facts)
        self._needs = needs
        self._order = order
        self._calls: Sequence[Callable[..., Any]] = ()
        self._ready: deque[int] = deque()  # those whose dependencies have ended well, the longest ready first
        self._failed: dict[int, Sequence[int]] = {}  # {one without a value: the way to the one that failed}

    def number(self, items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Take the calls; they come in an order of their own, from `next_task`."""
        self._calls = list(items)
        return iter(())

    def next_task(self) -> tuple[int, Iterator[tuple[int, Any]]] | None:
        """Return the next task that is ready."""
        while not self._ready and (more := self._order.get_ready()):
            for i in sorted(more):
                self._enter(i)
        if not self._ready:
            return None
        i = self._ready.popleft()
        return i, self._one(i)

    def _enter(self, i: int) -> None:
        """Let ``i`` be ready, or give up what can't have what it needs."""
        bad = next((one for one in self._needs[i] if one in self._failed), None)
        if bad is None:
            self._ready.append(i)
            return
        way = self._failed[i] = [i, *self._failed[bad]]
        if self.keep:
            self.put(i, Outcome(self.key(i), "not_started", None, self._blame(way), attempts=0))
        self._order.done(i)

    def _one(self, i: int) -> Iterator[tuple[int, Any]]:
        """Yield one task with its call; its worker asks for another one when it has ended."""
        yield i, partial(self._calls[i], *[self._value(one) for one in self._needs[i]])
        if not self._has_value(i):
            self._failed[i] = [i]
        self._order.done(i)

    def _has_value(self, i: int) -> bool:
        return i < len(self.out) and (self.out[i].ok if self.keep else self.out[i] is not MISSING)

    def _value(self, i: int) -> Any:
        return self.out[i].value if self.keep else self.out[i]

    def _blame(self, way: Sequence[int]) -> DependencyFailedError:
        """Return why the first task of ``way`` is not started: the last one failed."""
        outcome = self.out[way[-1]]
        found = DependencyFailedError(tuple(map(self.key, way)), outcome.status)
        found.__cause__ = outcome.exception
        return found


class _ByPosition:
    """A function that gets by position what it takes by keyword; an executor may send it where it could send that."""

    __slots__ = ("count", "function", "names")

    def __init__(self, function: Callable[..., Any], count: int, names: Sequence[str]) -> None:
        self.function = function
        self.count = count  # arguments that stay as they are
        self.names = names  # of those that follow

    def __call__(self, *values: Any) -> Any:
        named = dict(zip(self.names, values[self.count :], strict=True))
        return self.function(*values[: self.count], **named)

    def __repr__(self) -> str:
        return repr(self.function)


def _by_position(function: Any, executor: SupportsSubmit | None, count: int, names: Sequence[str]) -> Any:
    """Return ``function`` as one that takes no keywords, to be called in the same place."""
    placed = _ByPosition(unplaced(function), count, names)
    if isinstance(function, in_thread | on_loop):
        return type(function)(placed)
    return on_loop(placed) if stays_on_loop(function, executor) else placed


def _unknown(task: Any, parameter: str, tasks: Mapping[Any, Any]) -> str:
    close = get_close_matches(parameter, [name for name in tasks if isinstance(name, str)], 1)
    guess = f": did you mean {close[0]!r}?" if close else "."
    return (
        f"tasks[{task!r}] takes {parameter!r}, but no task is called that{guess} A task gets the results of the tasks "
        f"that its parameters name; to bind a value, write lambda {parameter}=value: ..."
    )


def _ring(ring: Sequence[int], names: Sequence[Any]) -> str:
    """Return what is wrong; ``ring`` is the other way round, with its first one at both ends."""
    turned = ring[:0:-1]
    first = turned.index(min(turned))
    way = [*turned[first:], *turned[:first], turned[first]]
    return f"tasks wait for each other: {' -> '.join(str(names[i]) for i in way)}"

"""What a benchmark is: a workload, the contestants that do it, its figures and its bars."""

import gc
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

Make = Callable[..., Any]  # builds what a workload times; the workload says from what
Measure = Callable[[Make, int], Coroutine[Any, Any, dict[str, float]]]  # (make, size) -> {figure: value}


class NotOfferedError(Exception):
    """Raised by a contestant that cannot do this workload; its text is the predicate: "has no ..."."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One way to do the work."""

    name: str
    make: Make
    package: str | None = None  # the distribution it needs; None: the standard library is enough
    share: float = 1.0  # of the workload's size: less for one that would take minutes or gigabytes


class Contestants(dict[str, Contestant]):
    """The contestants of one or more workloads, by name, in the order of the table."""

    def add(self, name: str, package: str | None = None, share: float = 1.0) -> Callable[[Make], Make]:
        """Return a decorator that enters the function as a contestant."""

        def enter(make: Make) -> Make:
            self[name] = Contestant(name=name, make=make, package=package, share=share)
            return make

        return enter


@dataclass(frozen=True, slots=True)
class Bar:
    """How low a figure must be (``limit``) and should be (``aim``), in times the reference or absolute."""

    limit: float
    aim: float
    figure: str
    relative: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One piece of work, done by every contestant; lower figures are better, but for hits, which have no bar."""

    name: str
    title: str  # {size:,} in it stands for the size that was run
    figures: tuple[str, ...]  # what is measured, unit included; the spread of the rounds is the first one's
    compared: tuple[str, ...]  # the figures that are also shown in times the reference
    reference: str  # the contestant that is 1.0
    size: int
    quick_size: int
    measure: Measure
    contestants: Contestants
    bars: dict[str, Bar] = field(default_factory=dict)  # {contestant: its bar}

    def size_for(self, name: str, *, quick: bool) -> int:
        """Return how many calls, items or starts this contestant is measured with."""
        size = self.quick_size if quick else self.size
        return max(1, int(size * self.contestants[name].share))


async def best(batch: Callable[[], Awaitable[float]]) -> float:
    """Run 3 to 30 batches, for about a second; return the shortest time of one, in seconds.

    The shortest is the one that the rest of the machine disturbed least.
    """
    times: list[float] = []
    end = perf_counter() + 1
    while len(times) < 3 or (len(times) < 30 and perf_counter() < end):
        gc.collect()
        times.append(await batch())
    return min(times)

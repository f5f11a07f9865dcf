"""Who waited and who ran in one fan-out, on a common time axis."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Bar", "Recorder", "Span", "bars"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Span:
    """One task of a fan-out; times are seconds since the fan-out was started.

    Attributes:
        name: The task's name.
        started: When its function was called; until then it was in the queue.
        ended: When its result was there.
    """

    name: str
    started: float
    ended: float


class Recorder:
    """Records the first fan-out whose tasks it is shown, and leaves those of later ones as they are."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.spans: list[Span] = []  # in the order in which the tasks ended
        self._clock = clock
        self._recording = True

    def watch(self, tasks: Mapping[str, Callable[[], Awaitable[T]]]) -> dict[str, Callable[[], Awaitable[T]]]:
        """Return the tasks of a fan-out that starts now, made to leave a `Span` each when they end well."""
        if not self._recording:
            return dict(tasks)
        self._recording = False
        zero = self._clock()
        return {name: self._watched(name, call, zero) for name, call in tasks.items()}

    def _watched(self, name: str, call: Callable[[], Awaitable[T]], zero: float) -> Callable[[], Awaitable[T]]:
        async def watched() -> T:
            started = self._clock() - zero
            result = await call()
            self.spans.append(Span(name, started, self._clock() - zero))
            return result

        return watched

    def __repr__(self) -> str:
        return f"<Recorder {len(self.spans)} spans>"


@dataclass(frozen=True, slots=True)
class Bar:
    """A `Span` in columns of text: so many of waiting, then so many of running, at least one."""

    span: Span
    waits: int
    runs: int


def bars(spans: list[Span], columns: int) -> list[Bar]:
    """Return the spans in the order in which they started, scaled so that the last to end fills ``columns``.

    Example:
        >>> [(bar.waits, bar.runs) for bar in bars([Span("a", 0.0, 1.0), Span("b", 1.0, 4.0)], 20)]
        [(0, 5), (5, 15)]
    """
    scale = columns / max((span.ended for span in spans), default=1.0)
    found = []
    for span in sorted(spans, key=lambda span: (span.started, span.ended)):
        waits = min(columns - 1, round(span.started * scale))
        found.append(Bar(span, waits, max(1, round(span.ended * scale) - waits)))
    return found

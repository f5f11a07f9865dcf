"""Figures as lines of styled text, and as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .measure import Measured, Run
from .waterfall import Bar, Span, bars

__all__ = ["Line", "Marks", "as_json", "duration", "report"]

Line = list[tuple[str, str]]  # pieces of (text, style); a style is a word that `screen` knows

_HEADS = ("time", "speed-up", "queries", "hits", "joined", "query p50", "query p95")
_WIDTHS = (9, 10, 9, 6, 8, 11, 11)
_NAME = 14  # the first column of a table
_MOST_BARS = 40
_ROUND = 100  # from here on ratios have no decimals
_RUNS = " runs (briefly where it joins a running query)"
_LEGEND = (
    ("time", "from the first request to the last answer"),
    ("speed-up", "over sequential, which queries repeated items again"),
    ("queries", "reached the database; p50, p95 with --latency, within 19 %"),
    ("hits", "answered by the cache"),
    ("joined", "waited for the same query, already started for another"),
    ("half cached", "every second item was invalidated before"),
)


@dataclass(frozen=True, slots=True)
class Marks:
    """What bars and rules are drawn with: these, or the plain ones where the terminal cannot show them."""

    wait: str = "·"
    run: str = "━"
    rule: str = "─"


def report(measured: Sequence[Measured], about: str, width: int, marks: Marks) -> Iterator[Line]:
    """Yield the lines of the whole report, none wider than ``width`` columns if that is 80 or more."""
    yield [(f" {about}", "label")]
    yield []
    for case in measured:
        yield from _table(case, width, marks)
        yield []
    yield from _waterfall(measured[0].spans, width, marks)
    yield []
    for word, meaning in _LEGEND:
        yield [(f" {word:<{_NAME}}", "label"), (meaning, "dim")]


def as_json(measured: Sequence[Measured], settings: dict[str, Any]) -> str:
    """Return the settings and the figures as text; all times in seconds, shares and ratios as numbers."""
    cases = [{**asdict(case), "runs": [_with_speed_up(run, case) for run in case.runs]} for case in measured]
    return json.dumps({"settings": settings, "equal": _all_equal(measured), "use_cases": cases}, indent=2)


def _with_speed_up(run: Run, case: Measured) -> dict[str, Any]:
    return {**asdict(run), "speed_up": round(case.runs[0].seconds / run.seconds, 2)}


def _all_equal(measured: Sequence[Measured]) -> bool:
    return all(case.difference is None for case in measured)


def duration(seconds: float) -> str:
    """Return seconds as people read them, in at most eight characters.

    Example:
        >>> duration(4.912), duration(0.4123), duration(0.0203), duration(0.00009)
        ('4.91 s', '412 ms', '20.3 ms', '0.09 ms')
    """
    number, unit = (seconds, "s") if seconds >= 1 else (seconds * 1000, "ms")
    whole = len(str(int(number)))  # three figures say enough; a thousand keeps all of its own
    return f"{number:,.{max(0, 3 - whole)}f} {unit}"


def _ratio(number: float) -> str:
    return f"{number:,.{int(number < _ROUND)}f}x"


def _table(case: Measured, width: int, marks: Marks) -> Iterator[Line]:
    yield [(f" {case.title}", "title")]
    yield [(f" {case.callers}: {case.asked} items in all", "dim")]
    yield [(" " * (_NAME + 1), ""), ("".join(map(str.rjust, _HEADS, _WIDTHS)), "label")]
    yield [(" " + marks.rule * (_NAME + sum(_WIDTHS)), "dim")]
    for run in case.runs:
        yield _row(run, case, width - _NAME - sum(_WIDTHS) - 4, marks)
    if case.difference is None:
        yield [(" all four gave equal answers", "good"), (f"; {case.found} of {case.asked} have rows", "dim")]
    else:
        yield [(" the answers differ", "bad")]


def _row(run: Run, case: Measured, room: int, marks: Marks) -> Line:
    first = case.runs[0]
    plain = run is first  # no cache, no joining: nothing to count
    cells = (
        duration(run.seconds),
        _ratio(first.seconds / run.seconds),
        f"{run.queries:,}",
        "-" if plain else f"{run.hits:,}",
        "-" if plain else f"{run.joined:,}",
        duration(run.p50) if run.queries else "-",
        duration(run.p95) if run.queries else "-",
    )
    time, speed_up, *rest = map(str.rjust, cells, _WIDTHS)
    share = max(1, round(room * run.seconds / max(r.seconds for r in case.runs)))
    bar = f"   {marks.run * share}" if room >= _NAME else ""
    name = f" {run.name:<{_NAME}}"
    return [(name, ""), (time, "number"), (speed_up, "good"), ("".join(rest), ""), (bar, "run")]


def _waterfall(spans: list[Span], width: int, marks: Marks) -> Iterator[Line]:
    names = min(24, max((len(span.name) for span in spans), default=0))
    room = max(20, width - names - 24)
    ended = duration(max((span.ended for span in spans), default=0.0))
    yield [(f" The first fan-out of the first cold run: {len(spans)} tasks", "title")]
    yield [(f" {marks.wait * 5}", "dim"), (" waits for a worker   ", ""), (marks.run * 5, "run"), (_RUNS, "")]
    yield [
        (f" {'':<{names}}  0{'':<{room - len(ended) - 1}}{ended}", "dim"),
        (f"{'queued':>10}{'ran':>10}", "label"),
    ]
    drawn = bars(spans, room)
    for bar in drawn[:_MOST_BARS]:
        yield _bar(bar, names, room, marks)
    if len(drawn) > _MOST_BARS:
        yield [(f" and {len(drawn) - _MOST_BARS} more", "dim")]


def _bar(bar: Bar, names: int, room: int, marks: Marks) -> Line:
    span = bar.span
    return [
        (f" {_cut(span.name, names):<{names}}  ", ""),
        (marks.wait * bar.waits, "dim"),
        (marks.run * bar.runs, "run"),
        (" " * (room - bar.waits - bar.runs), ""),
        (f"{duration(span.started):>10}", "dim"),
        (f"{duration(span.ended - span.started):>10}", "number"),
    ]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "~"

"""The four runs of a use case: how long each took, what it asked of the database, whether all agree."""

from __future__ import annotations

import reprlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .database import Database
from .use_cases import Answer, UseCase
from .waterfall import Span

__all__ = ["Measured", "Run", "measure"]


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a use case took.

    Attributes:
        name: Which of the four it was.
        seconds: From the first request to the last answer.
        queries: How many queries reached the database, counted where they run.
        hits: How many items the cache had.
        joined: How many waited for a query that another caller had already started.
        p50: Half of the queries took at most this many seconds, latency included; 0.0 if none ran.
        p95: 95 % took at most this.
    """

    name: str
    seconds: float
    queries: int
    hits: int
    joined: int
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A use case and its four runs.

    Attributes:
        title: What was done.
        callers: Who asked for what.
        asked: How many items all callers asked for together, in each run.
        found: How many of them have rows.
        runs: The runs, the sequential one first.
        spans: The tasks of the first fan-out of the cold run.
        difference: What the first run that disagreed with the sequential one answered; None if all agree.
    """

    title: str
    callers: str
    asked: int
    found: int
    runs: list[Run]
    spans: list[Span]
    difference: str | None


async def measure(case: UseCase, database: Database, begin: Callable[[str, int], None]) -> Measured:
    """Run ``case`` four ways, calling ``begin`` with the name of each and how many items it has.

    Raises:
        QueryError: A query failed.

    Cancellation:
        The run stops; queries that have begun go on until the database is closed.
    """
    runs: list[Run] = []
    answers: list[list[Answer]] = []
    asked = sum(map(len, case.requests))
    for name, prepare, work in (
        ("sequential", _nothing, case.one_by_one),
        ("parallel, cold", _nothing, case.together),
        ("cached, warm", _nothing, case.together),
        ("half cached", case.forget_half, case.together),
    ):
        begin(name, asked)
        prepare()
        run, answer = await _timed(name, work, case, database)
        runs.append(run)
        answers.append(answer)
    differences = (_differs(run.name, answers[0], other) for run, other in zip(runs, answers, strict=True))
    difference = next(filter(None, differences), None)
    found = sum(bool(rows) for answer in answers[0] for rows in answer.values())
    return Measured(case.title, case.callers, asked, found, runs, case.recorder.spans, difference)


def _nothing() -> None:
    """Leave the cache as it is."""


async def _timed(
    name: str, work: Callable[[], Awaitable[list[Answer]]], case: UseCase, database: Database
) -> tuple[Run, list[Answer]]:
    before = _hits_and_joined(case)
    database.take_tally()
    started = time.perf_counter()
    answer = await work()
    seconds = time.perf_counter() - started
    after, tally = _hits_and_joined(case), database.take_tally()
    hits, joined = (now - then for now, then in zip(after, before, strict=True))
    return Run(name, seconds, tally.count, hits, joined, tally.p50, tally.p95), answer


def _hits_and_joined(case: UseCase) -> tuple[int, int]:
    stats = case.cache.stats()
    return stats.hits, stats.joined


def _differs(name: str, expected: list[Answer], found: list[Answer]) -> str | None:
    for caller, (right, other) in enumerate(zip(expected, found, strict=True), 1):
        for item in {**right, **other}:
            if right.get(item) != other.get(item):
                pair = reprlib.repr(right.get(item)), reprlib.repr(other.get(item))
                return f"caller {caller}, {item}: sequential {pair[0]}, {name} {pair[1]}"
    return None

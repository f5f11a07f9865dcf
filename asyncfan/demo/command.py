"""The ``demo`` command: from options to a report and an exit code."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from .database import Database, QueryError
from .measure import Measured, measure
from .options import ABOUT, EXAMPLES, Options, add_options, complete
from .report import as_json, duration, report
from .sample import VEHICLES, build_sample
from .screen import marks_for, print_lines, progress, width_of
from .use_cases import own_use_cases, sample_use_cases

__all__ = ["add_demo"]


def add_demo(commands: Any) -> None:
    """Add the command to argparse's ``commands``; what it parses has ``run``, which gives the exit code."""
    parser = commands.add_parser(
        "demo",
        help="measure parallel and cached queries against a real SQLite database",
        description=ABOUT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_options(parser)
    parser.set_defaults(run=partial(_run, parser))


def _run(parser: argparse.ArgumentParser, found: argparse.Namespace) -> int:
    options = complete(found, parser.error)
    try:
        with _sigterm_like_ctrl_c(), _file_to_read(options) as path:
            measured = asyncio.run(_measure(path, options))
    except QueryError as error:
        parser.error(str(error))
    return _show(measured, options)


@contextmanager
def _sigterm_like_ctrl_c() -> Iterator[None]:
    """Make SIGTERM do what SIGINT does: the main task is cancelled, and all is closed on the way out."""

    def stop(number: int, frame: FrameType | None) -> None:
        handler = signal.getsignal(signal.SIGINT)  # asyncio's, or ignored: a job with & in a script
        (handler if callable(handler) else signal.default_int_handler)(number, frame)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _file_to_read(options: Options) -> Iterator[Path]:
    """Yield the user's file, or a sample that is gone at the end."""
    if options.db:
        yield options.db
        return
    with tempfile.TemporaryDirectory(prefix="asyncfan-demo-") as folder:
        sample = Path(folder) / "dealer.db"
        try:
            build_sample(sample)
        except sqlite3.Error as error:
            raise QueryError(f"no sample can be built in {folder} ({error}): set TMPDIR to another folder") from error
        yield sample


async def _measure(path: Path, options: Options) -> list[Measured]:
    connections = 2 * options.workers  # two callers at once, each with a fan-out of its own
    with (
        Database(path, latency=options.latency, connections=connections) as database,
        progress(sys.stderr) as bar,
    ):
        if options.sql:
            await database.query(options.sql, options.keys[:1])  # a wrong query fails before anything is shown
            cases = own_use_cases(database, options.sql, options, bar.tick)
        else:
            cases = sample_use_cases(database, options, bar.tick)
        return [await measure(case, database, bar.begin) for case in cases]


def _show(measured: list[Measured], options: Options) -> int:
    """Write the report to stdout, and where answers differ a line to stderr; return the exit code."""
    if options.json:
        sys.stdout.write(as_json(measured, _settings(options)) + "\n")
    else:
        lines = report(measured, _about(options), width_of(sys.stdout), marks_for(sys.stdout))
        print_lines(lines, sys.stdout)
    sys.stdout.flush()
    differences = [case.difference for case in measured if case.difference]
    for difference in differences:
        sys.stderr.write(f"asyncfan demo: the runs gave different answers: {difference}\n")
    return 1 if differences else 0


def _about(options: Options) -> str:
    source = options.db or f"a sample of {VEHICLES:,} vehicles"
    return f"{source}: {duration(options.latency)} latency a query, {options.workers} workers a fan-out"


def _settings(options: Options) -> dict[str, Any]:
    """Return the options for a machine; the sample is a database of null."""
    return {**asdict(options), "db": options.db and str(options.db), "keys": len(options.keys)}

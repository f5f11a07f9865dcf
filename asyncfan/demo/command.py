"""The ``demo`` command: its options, and the way from them to a report and an exit code."""

from __future__ import annotations

import argparse
import asyncio
import math
import re
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .database import Database, QueryError
from .keys import Key, parse_keys
from .measure import Measured, measure
from .report import as_json, duration, report
from .sample import VEHICLES, build_sample
from .screen import marks_for, print_lines, progress, width_of
from .use_cases import own_use_cases, sample_use_cases

__all__ = ["add_demo"]

_MOST_WORKERS = 256  # a thread and a connection each, and as many again for the second caller
_MOST_SECONDS = 60

_OWN = '--sql "select * from items where id = ?" --keys 1-500'

_TEXT = """\
Answer the same requests four ways against a real SQLite database: one query
after another; in parallel with an empty cache; again with a warm cache; and
with half of the items invalidated. All four must give equal answers.

Without --db it builds a car dealer's database in a temporary folder (5,000
vehicles, sales, inventory, users, orders), and asks for vehicles by id and for
a dashboard of five parts. With --db it reads yours, and never writes to it: the
records that --sql gives for each of --keys, and an overview of the keys in five
parts, each reading up to four of its keys."""

_EXAMPLES = """\
examples:
  asyncfan demo
  asyncfan demo --latency 0.1 --workers 50 --batch-size 50
  asyncfan demo --db shop.db --sql "select * from items where id = ?" --keys 1-500
  asyncfan demo --json | jq ".use_cases[0].runs"

exit codes: 0 all went well; 1 the answers differ; 2 an argument, the file or
the query is wrong; 130 stopped by Ctrl-C"""


def add_demo(commands: Any) -> None:
    """Add the command to argparse's ``commands``; its parser sets ``run``, which returns the exit code."""
    parser = commands.add_parser(
        "demo",
        help="measure parallel and cached queries against a real SQLite database",
        description=_TEXT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    own = parser.add_argument_group("your own database")
    own.add_argument("--db", type=_file, metavar="PATH", help="a SQLite file, only read: --db shop.db")
    own.add_argument(
        "--sql", metavar="SQL", help='gives a record by its key: --sql "select * from items where id = ?"'
    )
    parser.add_argument(
        "--keys",
        type=_keys,
        metavar="KEYS",
        help="what to ask for: --keys 1-500 or --keys 1,5,9 or --keys a,b,c (the sample's default: 1-200)",
    )
    parser.add_argument(
        "--latency",
        type=_seconds,
        default=0.02,
        metavar="SECONDS",
        help="simulated network delay of each query (default 0.02): --latency 0.1",
    )
    parser.add_argument(
        "--workers",
        type=_whole(_MOST_WORKERS),
        default=10,
        metavar="N",
        help=f"how many queries a fan-out runs at once, 1 to {_MOST_WORKERS} (default 10): --workers 32",
    )
    parser.add_argument(
        "--batch-size",
        type=_whole(10_000),
        default=20,
        metavar="N",
        help="how many keys a batch has (default 20): --batch-size 50",
    )
    parser.add_argument(
        "--json", action="store_true", help="figures as JSON on stdout: --json > figures.json"
    )
    parser.set_defaults(run=_run, refuse=parser.error)


def _file(text: str) -> Path:
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a folder: name the SQLite file in it")
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text!r}: name an existing SQLite file")
    return path


def _keys(text: str) -> list[Key]:
    try:
        return parse_keys(text)
    except ValueError as error:  # argparse would show its own words instead
        raise argparse.ArgumentTypeError(str(error)) from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"must be 0 to {_MOST_SECONDS} seconds, as in 0.02, got {text!r}")
    return seconds


def _whole(most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {most}, got {text!r}")
        return int(text)

    return parse


def _run(options: argparse.Namespace) -> int:
    _complete(options)
    with _sigterm_like_ctrl_c(), _file_to_read(options) as path:
        try:
            measured = asyncio.run(_measure(path, options))
        except QueryError as error:
            options.refuse(str(error))
    return _show(measured, options)


def _complete(options: argparse.Namespace) -> None:
    """Check the options that only make sense together, and fill in the keys."""
    if options.db or options.sql:
        if not (options.db and options.sql and options.keys):
            options.refuse(f"your own database needs three options together: --db PATH {_OWN}")
    elif options.keys is None:
        options.keys = list(range(1, 201))


@contextmanager
def _file_to_read(options: argparse.Namespace) -> Iterator[Path]:
    """Yield the user's file, or a sample that is gone at the end."""
    if options.db:
        yield options.db
        return
    with tempfile.TemporaryDirectory(prefix="asyncfan-demo-") as folder:
        sample = Path(folder) / "dealer.db"
        try:
            build_sample(sample)
        except sqlite3.Error as error:
            options.refuse(
                f"the sample cannot be built in {folder} ({error}): set TMPDIR to a folder with 2 MB free"
            )
        yield sample


@contextmanager
def _sigterm_like_ctrl_c() -> Iterator[None]:
    """Make SIGTERM do what SIGINT does: the main task is cancelled, and all is closed on the way out."""
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


async def _measure(path: Path, options: argparse.Namespace) -> list[Measured]:
    connections = 2 * options.workers  # two callers at once, each with a fan-out of its own
    with (
        Database(path, latency=options.latency, connections=connections) as database,
        progress(sys.stderr) as bar,
    ):
        sizes = {"workers": options.workers, "batch_size": options.batch_size}
        if options.db:
            await database.query(
                options.sql, options.keys[:1]
            )  # a wrong query fails here, before anything is shown
            cases = own_use_cases(database, options.sql, options.keys, **sizes, tick=bar.tick)
        else:
            cases = sample_use_cases(database, options.keys, **sizes, tick=bar.tick)
        return [await measure(case, database, bar.begin) for case in cases]


def _show(measured: list[Measured], options: argparse.Namespace) -> int:
    """Write the report to stdout, and where answers differ a line to stderr; return the exit code."""
    if options.json:
        sys.stdout.write(as_json(measured, _settings(options)) + "\n")
    else:
        print_lines(
            report(measured, _about(options), width_of(sys.stdout), marks_for(sys.stdout)), sys.stdout
        )
    sys.stdout.flush()
    differences = [case.difference for case in measured if case.difference]
    for difference in differences:
        sys.stderr.write(f"asyncfan demo: the runs gave different answers: {difference}\n")
    return 1 if differences else 0


def _about(options: argparse.Namespace) -> str:
    source = options.db or f"a sample of {VEHICLES:,} vehicles"
    return f"{source}: {duration(options.latency)} latency a query, {options.workers} workers a fan-out"


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "database": str(options.db) if options.db else "sample",
        "sql": options.sql,
        "keys": len(options.keys),
        "latency": options.latency,
        "workers": options.workers,
        "batch_size": options.batch_size,
    }

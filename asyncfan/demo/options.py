"""What can be said on the demo's command line, and what is refused, in words."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from .keys import Key, parse_keys

__all__ = ["ABOUT", "EXAMPLES", "Options", "add_options", "complete"]

_MOST_WORKERS = 256  # each is a thread with a connection, and there are two callers
_MOST_SECONDS = 60
_OWN = '--db shop.db --sql "select * from items where id = ?" --keys 1-500'

ABOUT = """\
Answer the same requests four ways against a real SQLite database: one query
after another; in parallel with an empty cache; again with a warm cache; and
with half of the items invalidated. All four must give equal answers.

Without --db it builds a car dealer's database in a temporary folder (5,000
vehicles, sales, inventory, users, orders), and asks for vehicles by id and for
a dashboard of five parts. With --db it reads yours, and never writes to it: the
records that --sql gives for each of --keys, and an overview of the keys in five
parts, each reading up to four of its keys."""

EXAMPLES = f"""\
examples:
  asyncfan demo
  asyncfan demo --latency 0.1 --workers 50 --batch-size 50
  asyncfan demo {_OWN}
  asyncfan demo --json | jq ".use_cases[0].runs"

exit codes: 0 all went well; 1 the answers differ; 2 an argument, the file or
the query is wrong; 130 stopped by Ctrl-C"""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for.

    Attributes:
        db: The user's SQLite file; None is the sample.
        sql: Its query, with one ``?``; None for the sample.
        keys: What to ask for.
        latency: Simulated network delay of each query, in seconds.
        workers: How many queries one fan-out runs at once.
        batch_size: How many keys a batch has.
        json: Whether stdout gets figures for machines.
    """

    db: Path | None
    sql: str | None
    keys: list[Key]
    latency: float
    workers: int
    batch_size: int
    json: bool


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add every option to ``parser``."""
    add = parser.add_argument
    add("--db", type=_file, metavar="PATH", help="your own SQLite file, only read: --db shop.db")
    add("--sql", help='gives a record of it by its key: --sql "select * from items where id = ?"')
    keys = "what to ask for: --keys 1-500, --keys 1,5,9 or --keys a,b,c (the sample's default: 1-200)"
    add("--keys", type=_keys, help=keys)
    latency = "simulated network delay of a query (default 0.02): --latency 0.1"
    add("--latency", type=_seconds, default=0.02, metavar="SECONDS", help=latency)
    workers = "queries that one fan-out runs at once (default 10): --workers 32"
    add("--workers", type=_whole(_MOST_WORKERS), default=10, metavar="N", help=workers)
    batch_size = "keys in a batch (default 20): --batch-size 50"
    add("--batch-size", type=_whole(10_000), default=20, metavar="N", help=batch_size)
    add("--json", action="store_true", help="figures as JSON, nothing else on stdout: --json > figures.json")


def complete(found: argparse.Namespace, refuse: Callable[[str], NoReturn]) -> Options:
    """Return what argparse ``found``, once the options that need each other are there."""
    values = {name: getattr(found, name) for name in Options.__slots__}
    if found.db or found.sql is not None:
        if not (found.db and found.sql and found.keys):
            refuse(f"your own database needs three options together: {_OWN}")
    elif found.keys is None:
        values["keys"] = list(range(1, 201))
    return Options(**values)


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

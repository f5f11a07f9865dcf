"""The ``inspect`` command's options. What does the work is imported when it is asked for."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

__all__ = ["add_inspect"]

EXAMPLES = """\
examples:
  asyncfan inspect --store redis://localhost "user:profile:42*"
  asyncfan inspect --store redis://localhost --explain user:profile:42
  asyncfan inspect --store redis://localhost --clear "user:*"
"""


def add_inspect(commands: Any) -> None:
    """Add the command to argparse's ``commands``; what it parses has ``run``, which gives the exit code."""
    parser = commands.add_parser(
        "inspect",
        help="list, explain and clear what processes share in Redis or Valkey",
        description="Show what is in a tier that processes share, or clear a part of it in all of them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("pattern", nargs="?", metavar="PATTERN", help="keys, * stands for anything; all without one")
    parser.add_argument("--store", required=True, metavar="URL", help="such as redis://:password@localhost:6379/0")
    parser.add_argument("--namespace", default="asyncfan", metavar="NAME", help="the cache's (asyncfan)")
    parser.add_argument("--timeout", type=float, default=5.0, metavar="SECONDS", help="for one answer (5)")
    parser.add_argument("--limit", type=int, metavar="N", help="show at most so many values (100; with --json, all)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--explain", action="store_true", help="all that is known of each value, and whether it is served"
    )
    what.add_argument("--json", action="store_true", help="an object a line")
    what.add_argument("--clear", action="store_true", help="clear them, in the memory of all processes too")
    parser.add_argument("--yes", action="store_true", help="clear without asking")
    parser.set_defaults(run=partial(_run, parser))


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    from .running import run  # noqa: PLC0415 - the other commands need nothing of it

    if options.clear and options.pattern is None:
        parser.error('--clear needs a PATTERN; "*" stands for everything')
    if options.limit is not None and options.limit < 1:
        parser.error(f"--limit must be a whole number >= 1, got {options.limit}")
    try:
        return run(options)
    except ValueError as error:
        parser.error(str(error))
    except ConnectionError as error:
        parser.exit(1, f"{parser.prog}: {error}\n")

"""The ``inspect`` command: from options to a listing or a clear, and an exit code."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from ..caching.patterns import Pattern
from ..caching.shared.protocol import Store
from ..caching.shared.tier import SharedTier
from ..caching.shared.urls import open_store
from .listing import as_json, explained, listed
from .look import Row, look

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
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="show at most so many values (100)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--explain", action="store_true", help="all that is known of each value, and whether it is served"
    )
    what.add_argument("--json", action="store_true", help="an object a line")
    what.add_argument("--clear", action="store_true", help="clear them, in the memory of all processes too")
    parser.add_argument("--yes", action="store_true", help="clear without asking")
    parser.set_defaults(run=partial(_run, parser))


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if options.clear and options.pattern is None:
        parser.error('--clear needs a PATTERN; "*" stands for everything')
    try:
        store = open_store(options.store, namespace=options.namespace, timeout=options.timeout)
    except (ValueError, TypeError, ImportError) as error:
        parser.error(str(error))
    try:
        return asyncio.run(_do(store, options))
    except Exception as error:  # noqa: BLE001 - whatever the store's client raises
        parser.exit(1, f"{parser.prog}: {type(error).__name__}: {error}\n")


async def _do(store: Store, options: argparse.Namespace) -> int:
    patterns = None if options.pattern in {None, "*"} else Pattern.readings(options.pattern)
    try:
        rows = [row async for row in look(store, patterns)]
        rows.sort(key=lambda row: row.key)
        if options.clear:
            return await _clear(store, rows, patterns, asked=not options.yes)
    finally:
        await store.aclose()
    _show(rows, options)
    return 0


def _show(rows: Sequence[Row], options: argparse.Namespace) -> None:
    shown = rows[: options.limit]
    if options.json:
        lines = [as_json(shown)] if shown else []
    elif options.explain:
        lines = [line for row in shown for line in explained(row)] or ["nothing is stored under such a key"]
    else:
        lines = listed(shown, len(rows) - len(shown))
    sys.stdout.write("".join(f"{line}\n" for line in lines))


async def _clear(store: Store, rows: Sequence[Row], patterns: Sequence[Pattern] | None, *, asked: bool) -> int:
    if asked and not _confirmed(len(rows)):
        sys.stdout.write("nothing was cleared\n")
        return 1
    tier = SharedTier(store)
    try:
        notice = tier.clear(patterns=patterns or (), everything=patterns is None)
        count = await notice
        if not notice.confirmed:
            sys.stderr.write("asyncfan inspect: the store could not be reached; nothing was cleared\n")
            return 1
    finally:
        await tier.aclose()
    sys.stdout.write(f"cleared {count} value{'' if count == 1 else 's'}\n")
    return 0


def _confirmed(count: int) -> bool:
    """Ask; where nobody can answer, that is a no."""
    sys.stdout.write(f"clear {count} value{'' if count == 1 else 's'}, and what processes hold of them? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}

"""What ``inspect`` does with its options: a listing or a clear, and an exit code."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from ..caching.clears.patterns import Pattern
from ..caching.shared.protocol import Store
from ..caching.shared.tier import SharedTier
from ..caching.shared.urls import open_store
from .listing import as_json, explained, listed
from .look import Row, look

__all__ = ["run"]

SHOWN = 100  # rows, unless --limit says otherwise


def run(options: argparse.Namespace) -> int:
    """Do what was asked for, and return the exit code.

    Raises:
        ValueError: The store's URL, or another option of the store, makes no sense.
        ConnectionError: The store does not answer, or not as a store does.
    """
    try:
        store = open_store(options.store, namespace=options.namespace, timeout=options.timeout)
    except (TypeError, ImportError) as error:
        raise ValueError(str(error)) from error
    try:
        return asyncio.run(_do(store, options))
    except BrokenPipeError:  # of stdout
        raise
    except TimeoutError as error:
        raise ConnectionError(f"the server did not answer within {options.timeout:g} s") from error
    except Exception as error:
        raise ConnectionError(f"{type(error).__name__}: {error}") from error


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
    shown = rows[: options.limit or (None if options.json else SHOWN)]
    if options.json:
        lines = [as_json(shown)] if shown else []
    elif options.explain:
        lines = [line for row in shown for line in explained(row)] or ["nothing is stored under such a key"]
    else:
        lines = listed(rows, len(shown))
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
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        sys.stdout.write("\n")
    return answer.strip().lower() in {"y", "yes"}

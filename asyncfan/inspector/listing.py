"""Rows of a store for people, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from .look import Row

__all__ = ["as_json", "explained", "listed"]


def listed(rows: Sequence[Row], most: int) -> list[str]:
    r"""Return a line a row, under a heading, for the first ``most`` of them; the last line counts all.

    Example:
        >>> print(*listed([Row("user:42", 180, "fresh", 12.0, 300.0, ("users",))], 1), sep="\n")
           bytes  state        fresh      kept  key
             180  fresh         12 s     5 min  user:42  [users]
        1 value, 180 bytes
    """
    if not rows:
        return ["nothing is stored under such a key"]
    lines = ["   bytes  state        fresh      kept  key"]
    for row in rows[:most]:
        tags = f"  [{', '.join(row.tags)}]" if row.tags else ""
        lines.append(f"{row.size:8}  {row.state:10}{_time(row.fresh):>8}  {_time(row.kept):>8}  {row.key}{tags}")
    count = len(rows)
    shown = f", {count - most} of them not shown" if count > most else ""
    lines.append(f"{count} value{'' if count == 1 else 's'}{shown}, {sum(row.size for row in rows)} bytes")
    return lines


def explained(row: Row) -> list[str]:
    """Return all that is known of one value, and why readers use it or not."""
    why = {
        "fresh": "it is served",
        "stale": "it is served while it is loaded anew, or where its load fails, if its function says so",
        "cleared": "a clear meant it: no reader uses it, and the next load replaces it",
        "unreadable": "it was not written by a cache, or is damaged: no reader uses it",
    }[row.state]
    return [
        row.key,
        f"  state       {row.state}: {why}",
        f"  fresh       {_time(row.fresh)}",
        f"  kept        {_time(row.kept)}",
        f"  bytes       {row.size}",
        f"  tags        {', '.join(row.tags) or 'none'}",
        f"  written by  {row.serializer or 'a stranger'}",
        f"  load took   {row.cost * 1e3:.1f} ms",
        f"  validator   {row.validator or 'none'}",
    ]


def as_json(rows: Sequence[Row]) -> str:
    """Return the rows as JSON, one object a line."""
    return "\n".join(json.dumps(asdict(row)) for row in rows)


def _time(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return "for good"
    for most, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < most:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} d"

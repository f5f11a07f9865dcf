"""What a cluster says of its slots: who has them, and who has one now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["owners", "redirection"]

SLOTS = 16384


def owners(ranges: Sequence[Any]) -> list[str]:
    """Return the "host:port" of each slot's primary from the reply to CLUSTER SLOTS; empty where there is none."""
    found = [""] * SLOTS
    for first, last, (host, port, *_), *_ in ranges:
        found[first : last + 1] = [f"{(host or b'').decode()}:{port}"] * (last + 1 - first)
    return found


def redirection(error: Exception) -> tuple[bool, str]:
    """Return whether a slot has moved for good, and where to ask; where is empty if the error says something else.

    Some versions of redis-py have classes for these errors, whose texts lack the first word.
    """
    words = [type(error).__name__.removesuffix("Error").upper(), *str(error).split()]
    for kind in words[:2]:
        if kind in ("MOVED", "ASK"):
            return kind == "MOVED", words[-1]
    return False, ""

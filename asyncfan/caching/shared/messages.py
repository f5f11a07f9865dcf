"""What processes tell one another of what is no longer valid: JSON, so that a stranger can read it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["Message", "clear_message", "drop_message", "parse_message"]


class Message(NamedTuple):
    """What one process tells the others.

    Attributes:
        origin: The process that sent it.
        run: The ledger's run, for a clear.
        number: The clear's number; 0: no clear, only keys.
        texts: The keys that were dropped.
        patterns: What `spell` made of the patterns that were cleared.
        tags: The tags that were cleared.
        everything: Whether all was cleared.
    """

    origin: str
    run: str = ""
    number: int = 0
    texts: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    everything: bool = False


def drop_message(origin: str, texts: Sequence[str]) -> bytes:
    """Return the message that keys were dropped."""
    return _json({"origin": origin, "texts": texts}).encode()


def clear_message(origin: str, patterns: Sequence[str], tags: Sequence[str], *, everything: bool) -> str:
    """Return the message of a clear, in which the server fills in ``%(run)s`` and ``%(number)d``.

    Example:
        >>> clear_message("a", ["user:42*"], [], everything=False) % {"run": "r", "number": 7}
        '{"run":"r","number":7,"origin":"a","patterns":["user:42*"],"tags":[],"everything":false}'
    """
    rest = _json({"origin": origin, "patterns": patterns, "tags": tags, "everything": everything})
    # another "%" would be taken for a place to fill in
    return '{"run":"%(run)s","number":%(number)d,' + rest[1:].replace("%", "\\u0025")


def parse_message(data: bytes) -> Message | None:
    """Return what a message says, None if it is none of ours."""
    try:
        found: dict[str, Any] = json.loads(data)
        return Message(
            origin=str(found["origin"]),
            run=str(found.get("run", "")),
            number=int(found.get("number", 0)),
            texts=tuple(map(str, found.get("texts", ()))),
            patterns=tuple(map(str, found.get("patterns", ()))),
            tags=tuple(map(str, found.get("tags", ()))),
            everything=found.get("everything") is True,
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _json(what: dict[str, Any]) -> str:
    return json.dumps(what, separators=(",", ":"))

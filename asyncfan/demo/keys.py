"""The keys that the demo looks up, as a user writes them: ``1-500``, ``1,5,9`` or ``a,b,c``."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["Key", "parse_keys"]

Key = int | str

_MOST = 100_000
_LARGEST = 2**63 - 1  # SQLite's
_NUMBER = "(?:0|[1-9][0-9]*)"  # 007 is a text: as a number it would lose its zeros
_HOW = "write a range (1-500), numbers (1,5,9) or texts (a,b,c)"


def parse_keys(text: str) -> list[Key]:
    """Return the keys that ``text`` names, in order, each once.

    Parts are separated by commas. If every part is a whole number or a range of them, the keys are numbers;
    otherwise they are texts.

    Raises:
        ValueError: A part is empty, a range is unfinished, runs backwards or stands beside a text, or keys
            are too many; the message says which and how to do it right.

    Example:
        >>> parse_keys("1-3,9")
        [1, 2, 3, 9]
        >>> parse_keys("KMH-01,KMH-02")
        ['KMH-01', 'KMH-02']
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise ValueError(f"a key in {text!r} is empty: {_HOW}")
    if unfinished := [part for part in parts if _is_unfinished(part)]:
        raise ValueError(f"the range {unfinished[0]!r} has one end only: {_HOW}")
    ranges = [_as_range(part) for part in parts]
    numbers = [found for found in ranges if found is not None]
    if len(numbers) == len(parts):
        return list(dict.fromkeys(_numbers(numbers)))
    if wide := [part for part, found in zip(parts, ranges, strict=True) if found and len(found) > 1]:
        raise ValueError(f"the range {wide[0]!r} stands beside keys that are texts: {_HOW}")
    return list(dict.fromkeys(parts))


def _is_unfinished(part: str) -> bool:
    return part.endswith("-") or (part.startswith("-") and not re.fullmatch(f"-{_NUMBER}", part))


def _as_range(part: str) -> range | None:
    """Return the numbers that ``part`` means, or None if it is a text."""
    if re.fullmatch(f"-?{_NUMBER}", part):
        first = last = int(part)
    elif found := re.fullmatch(f"({_NUMBER})-({_NUMBER})", part):
        first, last = int(found[1]), int(found[2])
    else:
        return None
    if first > last:
        raise ValueError(f"the range {part!r} runs backwards: write {last}-{first}")
    if max(abs(first), last) > _LARGEST:
        raise ValueError(f"the key {part!r} is beyond SQLite's largest number, {_LARGEST}")
    return range(first, last + 1)


def _numbers(ranges: list[range]) -> Iterator[int]:
    count = sum(map(len, ranges))
    if count > _MOST:
        raise ValueError(f"at most {_MOST:,} keys can be asked for, got {count:,}: write a smaller range")
    for numbers in ranges:
        yield from numbers

"""What a clear() names, and what was cleared since a moment: fences that are counters, never clocks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .keys import escape, short_text, untyped

__all__ = ["Fences", "Pattern"]

# Beyond this many remembered clears everything older is taken as cleared: too much, never too little.
MAX_FENCES = 10_000
_PIECES = re.compile(r"(\*|:|%[0-9A-F]{2})")


@dataclass(frozen=True, slots=True)
class Pattern:
    """Which keys a clear() means, over their untyped texts.

    Attributes:
        literal: What the text begins with; the whole text if nothing else is set.
        subtree: True also means every text that goes on with ``:`` behind ``literal``.
        tail: True means any text that begins with ``literal``.
        rest: What must follow ``literal`` in this order, anything between, where there is a ``*`` before the end.
    """

    literal: str
    subtree: bool = False
    tail: bool = False
    rest: tuple[str, ...] | None = None

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read a pattern in which ``*`` stands for any characters and ``:`` for itself.

        Raises:
            TypeError: ``text`` is not a string.
            ValueError: It is empty or has nothing but ``*``.
        """
        if not isinstance(text, str):
            raise TypeError(f'clear(pattern) takes a string such as "user:42*", got {text!r}')
        if not text.strip("*"):
            raise ValueError(f"clear({text!r}) would drop everything: call clear_all() if that is meant")
        pieces = [p if _PIECES.fullmatch(p) else escape(p) for p in _PIECES.split(text) if p]
        literal, star, rest = "".join(pieces).partition("*")
        if not star:
            return cls(literal)
        rest = rest.lstrip("*")
        if not rest:
            return cls(literal, tail=True)
        return cls(literal, rest=tuple(rest.split("*")))

    @classmethod
    def readings(cls, text: str) -> tuple[Pattern, ...]:
        """Return what ``text`` may mean: a pattern, and the text of one key, in which nothing needs escaping.

        Raises:
            TypeError: ``text`` is not a string.
            ValueError: It is empty or has nothing but ``*``.
        """
        pattern, key = cls.parse(text), cls(untyped(text))
        return (pattern,) if "*" in text or key == pattern else (pattern, key)

    @classmethod
    def under(cls, parts: tuple[object, ...]) -> Pattern:
        """Return the pattern of the key whose segments are ``parts``, and of everything below it."""
        first, *others = parts
        prefix = ":".join(map(escape, first.split(":"))) if isinstance(first, str) else untyped(short_text(first))
        return cls(":".join([prefix, *(untyped(short_text(part)) for part in others)]), subtree=True)

    def matches(self, text: str) -> bool:
        """Say whether the untyped ``text`` is meant."""
        if self.rest is not None:
            return text.startswith(self.literal) and _follow(text, len(self.literal), self.rest)
        if self.tail:
            return text.startswith(self.literal)
        return text == self.literal or (self.subtree and text.startswith(self.literal + ":"))

    def covers(self, prefix: str) -> bool:
        """Say whether every text that is ``prefix`` or goes on with ``:`` behind it is meant."""
        if self.rest is not None:
            return False
        return prefix.startswith(self.literal) if self.tail else self.subtree and self.matches(prefix)

    def touches(self, prefix: str) -> bool:
        """Say whether some text that is ``prefix`` or goes on with ``:`` behind it may be meant."""
        if not prefix:  # keys of the user's own
            return True
        below = prefix + ":"
        return below.startswith(self.literal) or self.literal.startswith(below) or self.matches(prefix)


def _follow(text: str, start: int, pieces: tuple[str, ...]) -> bool:
    """Say whether the pieces follow in order from ``start`` on, the last one at the end of ``text``.

    The first place of each is as good as any: no need to try others, as ``.*.*`` in a regular expression would.
    """
    *inner, last = pieces
    for piece in inner:
        found = text.find(piece, start)
        if found < 0:
            return False
        start = found + len(piece)
    return text.endswith(last) and start <= len(text) - len(last)


class Fences:
    """What was cleared, and when, counted in clears: whether something older than a clear is meant by it."""

    __slots__ = ("_exact", "_lengths", "_patterns", "_starts", "floor")

    def __init__(self) -> None:
        self.floor: int = 0  # everything from before this number is cleared
        self._exact: dict[str, int] = {}  # {text: number of the last clear that named it}
        self._starts: dict[str, int] = {}  # {beginning of texts: number}
        self._lengths: set[int] = set()  # of the keys of _starts: few, so that a text has few beginnings to look up
        self._patterns: list[tuple[int, Callable[[str], bool]]] = []

    def add(self, number: int, pattern: Pattern) -> None:
        """Remember that clear ``number`` was of ``pattern``."""
        if len(self._exact) + len(self._starts) + 50 * len(self._patterns) >= MAX_FENCES:
            self.raise_floor(number)
        elif pattern.rest is not None:
            self._patterns.append((number, pattern.matches))
        else:
            if not pattern.tail:
                self._exact[pattern.literal] = number
            if pattern.tail or pattern.subtree:
                start = pattern.literal if pattern.tail else pattern.literal + ":"
                self._starts[start] = number
                self._lengths.add(len(start))

    def raise_floor(self, number: int) -> None:
        """Take everything older than ``number`` as cleared; what is remembered of earlier clears is then needless."""
        self.floor = number
        self._exact.clear()
        self._starts.clear()
        self._lengths.clear()
        self._patterns.clear()

    def forget(self, number: int) -> None:
        """Drop what is remembered up to clear ``number``: nothing older than it is left."""
        self.floor = max(self.floor, number)
        self._exact = {text: n for text, n in self._exact.items() if n > number}
        self._starts = {text: n for text, n in self._starts.items() if n > number}
        self._lengths = {len(text) for text in self._starts}
        self._patterns = [(n, matches) for n, matches in self._patterns if n > number]

    def cleared_since(self, number: int, text: Callable[[], str]) -> bool:
        """Say whether a clear after ``number`` meant the untyped text that ``text()`` returns."""
        if number < self.floor:
            return True
        if not (self._exact or self._starts or self._patterns):
            return False
        t = text()
        return (
            self._exact.get(t, 0) > number
            or any(self._starts.get(t[:n], 0) > number for n in self._lengths)
            or any(since > number and matches(t) for since, matches in self._patterns)
        )

    def __len__(self) -> int:
        return len(self._exact) + len(self._starts) + len(self._patterns)

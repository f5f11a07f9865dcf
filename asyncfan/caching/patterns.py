"""What a clear() names, and what was cleared since a moment: fences that are counters, never clocks."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .keys import escape, short_text, untyped

__all__ = ["Fences", "Pattern"]

# Beyond this many remembered clears everything older is taken as cleared: too much, never too little.
MAX_FENCES = 10_000
_PIECES = r"(\*|:|%[0-9A-F]{2})"  # compiled when the first pattern is read


class Pattern(NamedTuple):
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
        pieces = [p if re.fullmatch(_PIECES, p) else escape(p) for p in re.split(_PIECES, text) if p]
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

    def bounds(self) -> tuple[tuple[str, str], ...]:
        """Return between which texts, in their order, those are that it means; others too if a ``*`` is before its end.

        The first text of each pair is within, the last one is not.
        """
        if self.tail or self.rest is not None:
            return (_beginning(self.literal),)
        exact = (self.literal, self.literal + "\0")
        return (exact, _beginning(self.literal + ":")) if self.subtree else (exact,)

    def touches(self, prefix: str) -> bool:
        """Say whether some text that is ``prefix`` or goes on with ``:`` behind it may be meant."""
        if not prefix:  # keys of the user's own
            return True
        below = prefix + ":"
        return below.startswith(self.literal) or self.literal.startswith(below) or self.matches(prefix)


def _beginning(text: str) -> tuple[str, str]:
    return text, text + "\U0010ffff"


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
    """What was cleared, and when, counted in clears: whether something older than a clear is meant by it.

    Args:
        each: Remember every clear, not only the last one of the same pattern.
    """

    __slots__ = ("_each", "_exact", "_held", "_lengths", "_patterns", "_starts", "floor")

    def __init__(self, *, each: bool = False) -> None:
        self._each = each
        self.floor: int = 0  # everything from before this number is cleared
        self._exact: dict[str, list[int]] = {}  # {text: numbers of the clears that named it, growing}
        self._starts: dict[str, list[int]] = {}  # {beginning of texts: numbers}
        self._lengths: Counter[int] = Counter()  # of the keys of _starts: few, so a text has few beginnings to look up
        self._patterns: dict[int, Pattern] = {}  # {number: what must be compared}
        self._held: int = 0  # numbers in all three

    def add(self, number: int, pattern: Pattern) -> None:
        """Remember that clear ``number`` was of ``pattern``."""
        if self._held + 50 * len(self._patterns) >= MAX_FENCES:
            self.raise_floor(number)
        elif pattern.rest is not None:
            self._patterns[number] = pattern
            self._held += 1
        else:
            for by_text, text in self._places(pattern):
                if by_text is self._starts and text not in by_text:
                    self._lengths[len(text)] += 1
                numbers = by_text.setdefault(text, [])
                if not self._each:
                    self._held -= len(numbers)
                    numbers.clear()
                numbers.append(number)
                self._held += 1

    def remove(self, number: int, pattern: Pattern) -> None:
        """Forget clear ``number``, which was of ``pattern``, if it is remembered: nothing that it meant is left."""
        self._held -= self._patterns.pop(number, None) is not None
        for by_text, text in self._places(pattern):
            numbers = by_text.get(text, [])
            if number in numbers:
                numbers.remove(number)
                self._held -= 1
                if not numbers:
                    del by_text[text]
                    if by_text is self._starts:
                        self._lengths[len(text)] -= 1
                        self._lengths += Counter()  # without what is 0

    def forget(self, number: int) -> None:
        """Drop what is remembered up to clear ``number``: nothing older than it is left."""
        self.floor = max(self.floor, number)
        for by_text in (self._exact, self._starts):
            for text, numbers in list(by_text.items()):
                del numbers[: bisect_right(numbers, number)]
                if not numbers:
                    del by_text[text]
        self._lengths = Counter(map(len, self._starts))
        self._patterns = {n: pattern for n, pattern in self._patterns.items() if n > number}
        self._held = sum(map(len, (*self._exact.values(), *self._starts.values()))) + len(self._patterns)

    def _places(self, pattern: Pattern) -> Iterator[tuple[dict[str, list[int]], str]]:
        if not pattern.tail:
            yield self._exact, pattern.literal
        if pattern.tail or pattern.subtree:
            yield self._starts, pattern.literal if pattern.tail else pattern.literal + ":"

    def raise_floor(self, number: int) -> None:
        """Take everything older than ``number`` as cleared; what is remembered of earlier clears is then needless."""
        self.floor = number
        self._exact.clear()
        self._starts.clear()
        self._lengths.clear()
        self._patterns.clear()
        self._held = 0

    def first_since(self, number: int, text: Callable[[], str]) -> int:
        """Return the number of the first clear after ``number`` of the untyped text that ``text()`` returns, or 0.

        Of clears of the same pattern, it is that of the last one, unless each is remembered.
        """
        if number < self.floor:
            return self.floor
        if not self._held:
            return 0
        t = text()
        found = [self._exact.get(t, ()), *[self._starts.get(t[:n], ()) for n in self._lengths]]
        firsts = [numbers[bisect_right(numbers, number)] for numbers in found if numbers and numbers[-1] > number]
        if self._patterns:
            firsts += [n for n, pattern in self._patterns.items() if n > number and pattern.matches(t)]
        return min(firsts) if firsts else 0

    def cleared_since(self, number: int, text: Callable[[], str]) -> bool:
        """Say whether a clear after ``number`` meant the untyped text that ``text()`` returns."""
        return self.first_since(number, text) > 0

    def __len__(self) -> int:
        return self._held

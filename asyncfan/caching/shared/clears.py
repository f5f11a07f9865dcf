"""What this process knows of the server's clears, and whether a value was meant by one of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from ..calls.keys import untyped
from ..clears.patterns import Fences, Pattern
from .protocol import Ledger

__all__ = ["Clears", "read_pattern", "spell"]


def spell(pattern: Pattern) -> tuple[str, ...]:
    """Return the texts that the ledger and messages carry a pattern by; a ``*`` in them is never part of a key.

    Example:
        >>> spell(Pattern("user:42", subtree=True))
        ('user:42', 'user:42:*')
    """
    if pattern.rest is not None:
        return ("*".join((pattern.literal, *pattern.rest)),)
    if pattern.tail:
        return (pattern.literal + "*",)
    return (pattern.literal, pattern.literal + ":*") if pattern.subtree else (pattern.literal,)


def read_pattern(text: str) -> Pattern:
    """Return the pattern that `spell` made a text of."""
    literal, *rest = text.split("*")
    if not rest:
        return Pattern(literal)
    return Pattern(literal, tail=True) if rest == [""] else Pattern(literal, rest=tuple(rest))


class Clears:
    """A copy of the server's ledger, without tags: kept up by messages, fetched anew where one is missing.

    Used by any thread.
    """

    def __init__(self) -> None:
        self.run: str = ""
        self.number: int = 0  # all clears up to this one are in the copy
        self.seen: tuple[str, int] = ("", 0)  # the run and the highest number that this process has heard of
        self._fences = Fences()
        self._lock = threading.Lock()

    def see(self, run: str, number: int) -> None:
        """Take note that the server has counted so many clears."""
        with self._lock:
            self.seen = (run, max(number, self.seen[1]) if run == self.seen[0] else number)

    def knows(self, ledger: Ledger) -> bool:
        """Say whether every clear that ``ledger`` counts is in the copy."""
        return ledger.run == self.run and ledger.number <= self.number

    def note(self, run: str, number: int, patterns: Iterable[str], *, everything: bool) -> None:
        """Add one clear, if it is the next: else others are missing, and a reader will find that out."""
        self.see(run, number)
        with self._lock:
            if run == self.run and number == self.number + 1:
                self._add(number, patterns, everything=everything)
                self.number = number

    def adopt(self, ledger: Ledger) -> None:
        """Replace the copy by the server's whole ledger, unless it is older."""
        with self._lock:
            if ledger.run == self.run and ledger.number < self.number:
                return
            self.run, self.number = ledger.run, ledger.number
            self._fences = Fences()
            self._fences.raise_floor(ledger.floor)  # the values in question may be from before it, with a ledger as old
            for number, text in sorted((number, text) for text, number in ledger.patterns.items()):
                self._add(number, [text], everything=False)

    def forget(self) -> None:
        """Know nothing any more, as in the beginning; also in a forked child, whatever the parent's threads were at."""
        self._lock = threading.Lock()
        with self._lock:
            self.run, self.number, self.seen, self._fences = "", 0, ("", 0), Fences()

    def _add(self, number: int, patterns: Iterable[str], *, everything: bool) -> None:
        if everything:
            self._fences.raise_floor(number)
        for text in patterns:
            self._fences.add(number, read_pattern(text))

    def mean(self, text: str, run: str, number: int, tags: Iterable[str], ledger: Ledger) -> bool:
        """Say whether a value stamped ``run`` and ``number`` was cleared, as of a ledger not older than the value."""
        if not run or run != ledger.run or number < ledger.floor or not self.knows(ledger):
            return True
        if any(ledger.tags.get(tag, 0) > number for tag in tags):
            return True
        with self._lock:
            return self._fences.cleared_since(number, lambda: untyped(text))

    def __repr__(self) -> str:
        return f"<Clears of run {self.run!r} up to {self.number}, {len(self._fences)} patterns>"

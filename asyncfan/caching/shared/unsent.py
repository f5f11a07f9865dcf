"""What this process has invalidated and the server may not have heard of: refused here until it has."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..calls.keys import untyped
from ..clears.patterns import MAX_FENCES, Fences, Pattern

__all__ = ["Unsent"]


class Unsent:
    """Invalidations by the order in which they were issued here. Used by any thread.

    A value is refused if it is meant by one that the server did not have when the value was asked for: a process never
    reads back what it cleared.

    Attributes:
        issued: How many there were.
        confirmed: The server has all up to this one.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: in a forked child, what was issued is the parent's."""
        self.issued: int = 0
        self.confirmed: int = 0
        self._lock: threading.Lock = threading.Lock()
        self._fences: Fences = Fences()
        self._tags: dict[str, int] = {}  # {tag: the last invalidation of it}
        self._marks: Counter[int] = Counter()  # {confirmed as of a read's begin: such reads now}

    def issue(self, texts: Sequence[str], patterns: Sequence[Pattern], tags: Sequence[str], *, everything: bool) -> int:
        """Refuse from now on what an invalidation means; returns its number."""
        with self._lock:
            self.issued += 1
            if everything or len(self._tags) + len(tags) > MAX_FENCES:
                self._fences.raise_floor(self.issued)
                self._tags.clear()
            for pattern in (*patterns, *(Pattern(untyped(text)) for text in texts)):
                self._fences.add(self.issued, pattern)
            self._tags.update(dict.fromkeys(tags, self.issued))
            return self.issued

    def confirm(self, number: int) -> None:
        """Refuse what was meant by invalidations up to ``number`` no longer, but to those who have asked already."""
        with self._lock:
            self.confirmed = number
            oldest = min(self._marks, default=number)
            self._fences.forget(oldest)
            self._tags = {tag: of for tag, of in self._tags.items() if of > oldest}

    @contextmanager
    def reading(self) -> Iterator[int]:
        """Remember what is not confirmed now, for as long as what is read from the server is being judged."""
        with self._lock:
            mark = self.confirmed
            self._marks[mark] += 1
        try:
            yield mark
        finally:
            with self._lock:
                self._marks[mark] -= 1
                if not self._marks[mark]:
                    del self._marks[mark]

    def mean(self, mark: int, text: str, tags: Sequence[str]) -> bool:
        """Say whether a value read since ``mark`` is meant by what the server may not have had then."""
        with self._lock:
            if any(self._tags.get(tag, 0) > mark for tag in tags):
                return True
            return self._fences.cleared_since(mark, lambda: untyped(text))

    def __repr__(self) -> str:
        return f"<Unsent {self.issued - self.confirmed} of {self.issued}>"

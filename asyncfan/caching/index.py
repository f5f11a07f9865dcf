"""The entries of an operation by their texts, so that those of a prefix are found without looking at the others."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from .order import Entry

__all__ = ["TextIndex"]

BUCKET = 500  # texts in a list, after which it is split: a list of all would take long to insert into


class TextIndex:
    """Entries in the order of their texts, in a list of short lists: about 100 bytes an entry.

    What begins with ``user:4`` stands together, be it segments or a part of one. A dictionary by segments was no
    smaller, and knew nothing of ``user:4*``; one sorted list of all took 0.2 ms for each change among a million.
    """

    __slots__ = ("_entries", "_lasts", "_texts", "complete")

    def __init__(self) -> None:
        self.complete: bool = False  # every entry of the operation is in it
        self._texts: list[list[str]] = []  # none of them empty
        self._entries: list[list[Entry]] = []  # in the same places
        self._lasts: list[str] = []  # the last text of each list

    def add(self, text: str, entry: Entry) -> None:
        """Take in an entry, unless it is there."""
        lasts = self._lasts
        i = bisect_left(lasts, text)
        if i < len(lasts):
            texts = self._texts[i]
            j = bisect_left(texts, text)
            if not self.complete and texts[j] == text and self._place_of(text, entry) is not None:
                return
        elif i:
            i -= 1
            texts = self._texts[i]
            j = len(texts)
            lasts[i] = text
        else:
            self._texts, self._entries, self._lasts = [[text]], [[entry]], [text]
            return
        texts.insert(j, text)
        self._entries[i].insert(j, entry)
        if len(texts) > BUCKET:
            self._split(i)

    def _split(self, i: int) -> None:
        texts, entries, half = self._texts[i], self._entries[i], BUCKET // 2
        self._texts[i : i + 1] = texts[:half], texts[half:]
        self._entries[i : i + 1] = entries[:half], entries[half:]
        self._lasts[i : i + 1] = texts[half - 1], texts[-1]

    def discard(self, text: str, entry: Entry) -> None:
        """Let go of an entry, if it is there."""
        place = self._place_of(text, entry)
        if place is None:
            return
        i, j = place
        del self._texts[i][j], self._entries[i][j]
        if self._texts[i]:
            self._lasts[i] = self._texts[i][-1]
        else:
            del self._texts[i], self._entries[i], self._lasts[i]

    def count(self, low: str, high: str) -> int:
        """Return how many texts there are from ``low`` up to ``high``, without it."""
        (i, j), (k, m) = self._place(low), self._place(high)
        return m - j if i == k else len(self._texts[i]) - j + sum(map(len, self._texts[i + 1 : k])) + m

    def walk(self, low: str, high: str) -> Iterator[tuple[str, Entry]]:
        """Yield the entries from ``low`` up to ``high``, with their texts, while others may come and go."""
        while page := self._page(low, high):
            yield from page
            low = page[-1][0] + "\0"

    def _page(self, low: str, high: str) -> list[tuple[str, Entry]]:
        """Return the first entries from ``low`` on; never only some of those that have one text."""
        i, j = self._place(low)
        page: list[tuple[str, Entry]] = []
        while i < len(self._lasts) and (not page or self._texts[i][0] == page[-1][0]):
            end = bisect_left(self._texts[i], high)
            page += zip(self._texts[i][j:end], self._entries[i][j:end], strict=True)
            if end < len(self._texts[i]):
                break
            i, j = i + 1, 0
        return page

    def _place(self, text: str) -> tuple[int, int]:
        """Return in which list, and where in it, the texts from ``text`` on begin."""
        i = bisect_left(self._lasts, text)
        return i, bisect_left(self._texts[i], text) if i < len(self._lasts) else 0

    def _place_of(self, text: str, entry: Entry) -> tuple[int, int] | None:
        i, j = self._place(text)
        while i < len(self._lasts) and self._texts[i][j] == text:
            if self._entries[i][j] is entry:
                return i, j
            i, j = (i, j + 1) if j + 1 < len(self._texts[i]) else (i + 1, 0)
        return None

    def __len__(self) -> int:
        return sum(map(len, self._texts))

    def __repr__(self) -> str:
        return f"<TextIndex {len(self)} entries{'' if self.complete else ' so far'}>"

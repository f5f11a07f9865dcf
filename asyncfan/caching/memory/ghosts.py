"""Keys that were dropped lately, by what is left of them: 24 bytes each."""

from __future__ import annotations

from array import array

__all__ = ["Ghosts"]

WAYS = 8  # places that a fingerprint may have


class Ghosts:
    """A queue of fingerprints, of which each is forgotten when so many others have come after it.

    They stand in arrays, hashed into buckets: a dictionary or a set of as many numbers is four to eight times as
    large. A bucket is twice as large as what it has to remember on average, so that one in fifty is forgotten early.
    """

    def __init__(self) -> None:
        self._prints = array("I")  # the lower 32 bits of each
        self._numbers = array("Q")  # the how manieth it was, in the same places; 0: none, or it was taken
        self._last = 0
        self._forgotten = 0  # the number of the last that is

    def leave(self, fingerprint: int, room: int) -> None:
        """Remember one, and forget all but the last ``room``."""
        if room * 4 >= len(self._prints) * 3:
            self._grow(room)
        self._last += 1
        self._forgotten = max(self._forgotten, self._last - room)
        place = self._find(fingerprint)
        if place is None:
            first = self._bucket(fingerprint)
            numbers = self._numbers[first : first + WAYS]
            place = first + numbers.index(min(numbers))
        self._prints[place] = fingerprint & 0xFFFFFFFF
        self._numbers[place] = self._last

    def take(self, fingerprint: int) -> bool:
        """Say whether one is remembered, and forget it."""
        place = self._find(fingerprint)
        if place is None or self._numbers[place] <= self._forgotten:
            return False
        self._numbers[place] = 0
        return True

    def _bucket(self, fingerprint: int) -> int:
        """Return its first place; hashes of tuples are even enough for that, those of numbers are not."""
        return fingerprint % (len(self._prints) // WAYS) * WAYS

    def _find(self, fingerprint: int) -> int | None:
        if not self._prints:
            return None
        first = self._bucket(fingerprint)
        found = self._prints[first : first + WAYS]
        low = fingerprint & 0xFFFFFFFF
        return first + found.index(low) if low in found else None

    def _grow(self, room: int) -> None:
        """Make place for twice as many, and forget all: it is seldom, and to move them would take long."""
        buckets = room * 2 // WAYS + 64
        self._prints = array("I", (0,)) * (WAYS * buckets)
        self._numbers = array("Q", (0,)) * (WAYS * buckets)

    def __repr__(self) -> str:
        return f"<Ghosts {sum(number > self._forgotten for number in self._numbers)}>"

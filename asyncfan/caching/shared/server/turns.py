"""Who of several couriers goes next: what was begun is ended before more is begun."""

from __future__ import annotations

from typing import Protocol

from .per_loop import PerLoop

__all__ = ["READS", "RELEASES", "RENEWALS", "WISHES", "WRITES", "Turns", "turns_of_each_loop"]

# The places of what a tier asks: a lease that is held is written or renewed before more are granted.
WRITES, RENEWALS, RELEASES, WISHES, READS = range(5)

# Two of one kind, and one that need not wait for them. More would share the same processor, and the same deadline.
MAX_TRIPS_IN_ALL = 3


class _Courier(Protocol):
    def depart(self) -> None:
        """Go as often as there is something to take and room for it."""
        ...


class Turns:
    """Room for so many trips of an event loop's couriers at once; the first in line goes first.

    Args:
        max_trips: How many; the next one goes when one has arrived.
        max_batch: How many commands go with each; None: as many as the courier takes.
    """

    __slots__ = ("_line", "_max_trips", "_under_way", "max_batch")

    def __init__(self, max_trips: int, max_batch: int | None = None) -> None:
        self.max_batch: int | None = max_batch
        self._max_trips = max_trips
        self._under_way = 0
        self._line: list[tuple[int, _Courier]] = []  # by place

    def join(self, courier: _Courier, place: int) -> None:
        """Let a courier stand in line, behind all whose place is lower."""
        self._line.append((place, courier))
        self._line.sort(key=lambda one: one[0])

    @property
    def has_room(self) -> bool:
        """Whether one more trip may begin."""
        return self._under_way < self._max_trips

    def begin(self) -> None:
        """Take the room of a trip."""
        self._under_way += 1

    def end(self) -> None:
        """Give it back."""
        self._under_way -= 1

    def depart(self) -> None:
        """Let all go that can."""
        for _, courier in self._line:
            courier.depart()

    def __repr__(self) -> str:
        return f"<Turns {self._under_way}/{self._max_trips} under way, {len(self._line)} couriers>"


def turns_of_each_loop(store: object) -> PerLoop[Turns]:
    """Return what gives each event loop the line of a tier's questions; the store may say how many go at once."""

    async def close(_turns: Turns) -> None:
        pass

    return PerLoop(lambda: Turns(MAX_TRIPS_IN_ALL, getattr(store, "at_once", None)), close)

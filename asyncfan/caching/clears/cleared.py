"""`Cleared`: what a clear returns."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from ..memory.store import WORK_SLICE

if TYPE_CHECKING:
    from ..memory.store import Store
    from ..shared.rounds import Notice

__all__ = ["Cleared", "Told"]

# So many entries are looked at or dropped in one call, about 1 us each; more go in steps.
SCAN_LIMIT = 1_000


class Cleared:
    """What a clear returns: nothing that it named is served any more.

    Where that is more than 1,000 entries, or has to be searched for among more, they leave memory in small steps:
    awaiting this waits until they have, and returns how many left the memory of this process. An entry that several
    clears named counts for the first of them. Of a dry run nothing went: ``count`` says how many would, were it none.

    With a tier that processes share, awaiting this also waits until the server has been told, and what it had is gone
    there; if the server cannot be reached, it waits for the first attempt, and the clear stays queued.

    Attributes:
        count: Entries dropped from this process's memory, or for a dry run found, so far.
    """

    __slots__ = ("_dry_run", "_looked_at", "_store", "_told", "count", "open")

    def __init__(self, store: Store, *, dry_run: bool = False) -> None:
        self._store = store
        self._dry_run = dry_run
        self._looked_at = 0
        self._told: tuple[Notice, ...] = ()
        self.count: int = 0
        self.open: int = 0  # chores of the store that add to the count

    @property
    def confirmed(self) -> bool:
        """Whether the tier that processes share has it; True where there is none."""
        return all(notice.confirmed for notice in self._told)

    @property
    def shared_count(self) -> int:
        """Values taken out of the tier that processes share, so far; what a tag means is refused there, and stays."""
        return sum(notice.count for notice in self._told)

    def tell(self, *told: Notice) -> None:
        """Note what is on its way to the tier that processes share."""
        self._told = told

    def may_look_at(self, entries: int) -> bool:
        """Say whether so many entries may be looked at in this call, after those of other operations."""
        if self._looked_at + entries > SCAN_LIMIT:
            return False
        self._looked_at += entries
        return True

    def begin(self) -> Cleared:
        """Do the first steps of what the clear left to be done; the rest in the background where a loop runs."""
        if self.open:
            self._store.begin()
        return self

    def __await__(self) -> Generator[Any, None, int]:
        return self._finish().__await__()

    async def _finish(self) -> int:
        store = self._store
        while self.open and store.chores:
            await asyncio.sleep(0)  # first: the clear itself has just done some
            with store.lock:
                store.work(WORK_SLICE)
        for notice in self._told:
            await notice
        return self.count

    def __int__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        so_far = " so far" if self.open else ""
        if self._dry_run:
            return f"<Cleared nothing, would clear {self.count} entries{so_far}>"
        shared = f", {self.shared_count} shared" if self._told else ""
        waiting = "" if self.confirmed else ", not yet confirmed"
        return f"<Cleared {self.count} entries{so_far}{shared}{waiting}>"


class Told:
    """What the tier that processes share was told of a clear, to be joined with what was cleared in memory."""

    __slots__ = ("_notices",)

    def __init__(self, *notices: Notice | None) -> None:
        self._notices = tuple(notice for notice in notices if notice is not None)

    def join(self, cleared: Cleared) -> Cleared:
        """Return ``cleared``, which waits for the tier too."""
        cleared.tell(*self._notices)
        return cleared

    def __repr__(self) -> str:
        return f"<Told {len(self._notices)} notices>"

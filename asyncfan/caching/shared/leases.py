"""The right to load, which one process at a time has for a key; renewed for as long as the load runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from .protocol import Hold, Ledger, Store
from .server.asking import Asking
from .server.guard import Unavailable
from .server.joining import Joined
from .server.turns import RELEASES, RENEWALS, Turns

__all__ = ["Lease", "Leases"]


class Lease:
    """The right to load one key, from the moment the server granted it until it is written, released or lost.

    Attributes:
        text: The key's text.
        token: Proves to the server whose lease it is.
        run: The ledger's, as of when it was granted.
        number: The ledger's, as of when it was granted.
        lost: The server has said that it is no longer ours.
    """

    __slots__ = ("lost", "number", "run", "text", "timer", "token")

    def __init__(self, text: str, token: str, ledger: Ledger) -> None:
        self.text: str = text
        self.token: str = token
        self.run: str = ledger.run
        self.number: int = ledger.number
        self.lost: bool = False
        self.timer: asyncio.TimerHandle | None = None  # rings when it must be renewed; None: it has ended

    def __repr__(self) -> str:
        state = "lost" if self.lost else "ended" if self.timer is None else "held"
        return f"<Lease of {self.text!r}, {state}>"


class Leases:
    """Renews leases at each third of their time, each in the event loop that it was granted in.

    Args:
        store: The server.
        ask: Asks it.
        seconds: How long a lease is valid unless renewed.
        turns: Gives the line that what is asked stands in.
    """

    def __init__(self, store: Store, ask: Asking, seconds: float, turns: Callable[[], Turns]) -> None:
        self._store = store
        self._ask = ask
        self.seconds = seconds
        self._renewals: Joined[Hold, bool] = Joined(self._renew_all, turns, place=RENEWALS, of_leases=True)
        self._releases: Joined[Hold, None] = Joined(self._release_all, turns, place=RELEASES, of_leases=True)
        self._tasks: set[asyncio.Task[Any]] = set()  # renewals and releases that run now
        self._held: set[Lease] = set()

    def begin(self, text: str, token: str, ledger: Ledger) -> Lease:
        """Hold a lease that was just granted."""
        lease = Lease(text, token, ledger)
        self._held.add(lease)
        self._arm(lease)
        return lease

    def end(self, lease: Lease) -> None:
        """Renew it no longer."""
        self._held.discard(lease)
        if lease.timer is not None:
            lease.timer.cancel()
            lease.timer = None

    def give_back(self, lease: Lease) -> asyncio.Task[None]:
        """End a lease, and give it back; as for `release_soon`."""
        self.end(lease)
        return self.release_soon(lease.text, lease.token)

    def release_soon(self, text: str, token: str) -> asyncio.Task[None]:
        """Give back what the server may have granted, in a task that nobody needs to wait for."""
        return self._start(self._release(text, token), "asyncfan:shared tier releases")

    async def _release(self, text: str, token: str) -> None:
        with contextlib.suppress(Unavailable):  # it ends by itself
            await self._releases(Hold(text, token))

    async def _release_all(self, holds: Sequence[Hold]) -> Sequence[None]:
        await self._ask(lambda: self._store.release(holds))
        return [None] * len(holds)

    def _arm(self, lease: Lease) -> None:
        lease.timer = asyncio.get_running_loop().call_later(self.seconds / 3, self._ring, lease)

    def _ring(self, lease: Lease) -> None:
        self._start(self._renew(lease), "asyncfan:shared tier renews")

    async def _renew(self, lease: Lease) -> None:
        try:
            renewed = await self._renewals(Hold(lease.text, lease.token))
        except Unavailable:
            renewed = True  # there is time for another attempt
        if lease.timer is None:
            return
        if renewed:
            self._arm(lease)  # not before: one that waits its turn is enough
        else:
            lease.lost = True
            self.end(lease)

    async def _renew_all(self, holds: Sequence[Hold]) -> Sequence[bool]:
        return await self._ask(lambda: self._store.renew(holds, self.seconds))

    def _start(self, work: Any, name: str) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """End the leases that were granted in this event loop; the server forgets them by itself."""
        loop = asyncio.get_running_loop()
        for lease in list(self._held):
            self.end(lease)
        mine = [task for task in self._tasks if task.get_loop() is loop]
        for task in mine:
            task.cancel()
        if mine:
            await asyncio.wait(mine)
        await self._renewals.aclose()
        await self._releases.aclose()

    def forget(self) -> None:
        """In a forked child: leave the leases to the parent."""
        self._tasks, self._held = set(), set()

    def __len__(self) -> int:
        return len(self._held)

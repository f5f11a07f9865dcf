"""Takes out of the server what clears of patterns have made useless; nobody waits for it but who wants the count."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import AsyncIterator, Sequence
from functools import partial

from ..calls.keys import untyped
from ..clears.patterns import Pattern
from .portal import Portal
from .protocol import Store
from .rounds import Notice
from .server.asking import Asking
from .server.guard import Unavailable

__all__ = ["Reclaimer"]

ALL = Pattern("", tail=True)


class Reclaimer:
    """Scans the server's names for those that were cleared; what is cleared meanwhile waits for the next scan.

    A value that was stored since the clear may go too: it is loaded once more. Used in the portal's loop.
    """

    def __init__(self, store: Store, ask: Asking, portal: Portal) -> None:
        self._store = store
        self._ask = ask
        self._portal = portal
        self._patterns: list[Pattern] = []
        self._notices: list[Notice] = []
        self._scanning: concurrent.futures.Future[None] | None = None

    def want(self, patterns: Sequence[Pattern], notices: Sequence[Notice]) -> None:
        """Have the values that ``patterns`` mean taken out, and tell ``notices`` how many they were."""
        self._patterns += patterns
        self._notices += notices
        if self._scanning is None:
            self._scanning = self._portal.start(self._scan_all(), "asyncfan:shared tier reclaims")

    async def _scan_all(self) -> None:
        notices: list[Notice] = []
        try:
            while self._patterns:
                patterns, self._patterns = self._patterns, []
                notices, self._notices = self._notices, []
                await self._scan(patterns, notices)
                _end(notices)
        except Unavailable:
            self._patterns = []  # what is left there expires
        finally:
            self._scanning = None
            _end(notices)
            _end(self._notices)
            self._notices = []

    async def _scan(self, patterns: Sequence[Pattern], notices: Sequence[Notice]) -> None:
        # a literal is untyped, a name is not: up to the first colon they agree
        starts = {pattern.literal.partition(":")[0] for pattern in patterns}
        async with contextlib.aclosing(self._store.scan(starts.pop() if len(starts) == 1 else "")) as steps:  # type: ignore[type-var]
            while (names := await self._ask(partial(_next, steps))) is not None:
                meant = [name for name in names if any(pattern.matches(untyped(name)) for pattern in patterns)]
                if meant:
                    count = await self._ask(partial(self._store.remove, meant))
                    for notice in notices:
                        notice.count += count


async def _next(steps: AsyncIterator[Sequence[str]]) -> Sequence[str] | None:
    async for names in steps:
        return names
    return None


def _end(notices: Sequence[Notice]) -> None:
    for notice in notices:
        notice.end()

"""Invalidations on their way to the server: sent in order, kept while it is down, minded here until it has them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from ..clears.patterns import Pattern
from .messages import clear_message, drop_message
from .portal import Portal, result_of
from .protocol import Granted, Store, Wish, Write
from .rounds import Notice, Put, Round
from .server.asking import Asking
from .unsent import Unsent

__all__ = ["Outbox"]

T = TypeVar("T")
log: logging.Logger = logging.getLogger("asyncfan.caching")

NAMES_AT_ONCE = 500  # in one request and its message
LEASE = 1.0  # seconds that a put may take
RETRY = 0.2  # seconds between attempts while the server is down


class Outbox:
    """Sends invalidations from one place, one round trip after the other; what comes meanwhile goes with the next.

    Used by any thread; sends in the portal's loop.

    Args:
        store: The server.
        ask: Asks it.
        portal: Where to send from.
        unsent: What the server may not have heard of; kept up here.
        origin: This process's name in messages.
        new_token: Makes the token of a lease.
        confirmed: Called with a round that the server has, and the number of its clear, or None.

    Attributes:
        behind: The last attempt failed: the server misses something.
    """

    def __init__(
        self,
        store: Store,
        ask: Asking,
        portal: Portal,
        unsent: Unsent,
        *,
        origin: str,
        new_token: Callable[[], str],
        confirmed: Callable[[Round, int | None], None],
    ) -> None:
        self._store = store
        self._ask = ask
        self._portal = portal
        self._unsent = unsent
        self._origin = origin
        self._new_token = new_token
        self._on_confirmed = confirmed
        self._lock = threading.Lock()
        self._next = Round()
        self._under_way: Round | None = None
        self._sending: concurrent.futures.Future[None] | None = None  # None: nothing to send
        self.behind: bool = False

    def add(
        self,
        texts: Sequence[str] = (),
        patterns: Sequence[Pattern] = (),
        tags: Sequence[str] = (),
        *,
        everything: bool = False,
        put: Put | None = None,
    ) -> Notice:
        """Mind an invalidation from now on, and send it; ``put`` is the new value of the only one of ``texts``."""
        with self._lock:
            self._next.number = self._unsent.issue(texts, patterns, tags, everything=everything)
            self._next.merge(texts, patterns, tags, everything=everything)
            notice = Notice(self._unsent, self._next.number)
            if self.behind:
                notice.tell(confirmed=False)
            else:
                if put is not None:
                    self._next.puts[texts[0]] = put
                self._next.notices.append(notice)
        self.resume()
        return notice

    def resume(self) -> None:
        """Send what is pending, unless that is being done."""
        with self._lock:
            if self._sending is None and len(self._next):
                self._sending = self._portal.start(self._send_all(), "asyncfan:shared tier sends")

    # -- sending -------------------------------------------------------------------------------------------------

    async def _send_all(self) -> None:
        while (batch := self._take()) is not None:
            try:
                number = await self._send(batch)
            except Exception as error:  # noqa: BLE001 - whatever it is, the server may not have it
                self._report(error)
                self._put_back(batch)
                await self._pause()
            except BaseException:
                self._put_back(batch)
                self._sending = None
                raise
            else:
                self._confirm(batch, number)

    async def _pause(self) -> None:
        try:
            await asyncio.sleep(RETRY)
        except BaseException:
            self._sending = None
            raise

    def _take(self) -> Round | None:
        with self._lock:
            if not len(self._next):
                self._sending = self._under_way = None
                return None
            self._under_way, self._next = self._next, Round()
            return self._under_way

    async def _send(self, batch: Round) -> int | None:
        """Send one round; returns the number of its clear."""
        number = None
        if batch.everything or batch.patterns or batch.tags:
            number = await self._ask(lambda: self._clear(batch))
        dropped = 0
        for names in _slices(batch.texts):
            dropped += await self._ask(partial(self._drop, names))
        for some in _slices(batch.puts.items()):
            dropped += await self._put(some)
        for notice in batch.notices:
            notice.count = dropped
        return number

    async def _clear(self, batch: Round) -> int:
        patterns, tags = batch.spellings, list(batch.tags)
        message = clear_message(self._origin, patterns, tags, everything=batch.everything)
        return await self._store.clear(patterns=patterns, tags=tags, everything=batch.everything, message=message)

    async def _drop(self, names: Sequence[str]) -> int:
        return await self._store.drop(names, drop_message(self._origin, names))

    async def _put(self, puts: Sequence[tuple[str, Put]]) -> int:
        """Store values, already dropped, under leases: a request that arrives late can then do no harm."""
        wishes = [Wish(text, self._new_token(), force=True) for text, _ in puts]
        answers = await self._ask(lambda: self._store.lease(wishes, LEASE))
        writes = [
            Write(text, wish.token, put.pack(answer.ledger.run, answer.ledger.number), put.seconds)
            for (text, put), wish, answer in zip(puts, wishes, answers, strict=True)
            if isinstance(answer, Granted)
        ]
        return sum(await self._ask(lambda: self._store.write(writes)))

    def _put_back(self, batch: Round) -> None:
        """Keep what failed for the next attempt, of puts only their drops; whoever waits is told that it failed."""
        with self._lock:
            self._under_way = None
            self.behind = True
            newer, self._next = self._next, batch
            batch.merge(newer.texts, newer.patterns, newer.tags, everything=newer.everything)
            batch.puts.clear()
            batch.number = max(batch.number, newer.number)
            notices, batch.notices = batch.notices + newer.notices, []
        for notice in notices:
            notice.tell(confirmed=False)

    def _report(self, error: Exception) -> None:
        if not self.behind:
            log.warning("the shared cache cannot be reached, %d invalidations wait for it: %s", len(self), error)

    def _confirm(self, batch: Round, number: int | None) -> None:
        with self._lock:
            if self.behind:
                log.info("the shared cache has all invalidations that waited for it")
            self.behind = False
            self._unsent.confirm(batch.number)
        for notice in batch.notices:
            notice.tell(confirmed=True)
        self._on_confirmed(batch, number)

    # -- ending --------------------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Wait until nothing is pending; in any event loop."""
        while (sending := self._sending) is not None:
            with suppress(concurrent.futures.CancelledError):  # the portal was closed meanwhile
                await result_of(sending)

    def flush_here(self, timeout: float) -> None:
        """Block this thread until nothing is pending, for so many seconds at most."""
        with suppress(TimeoutError):
            if self._sending is not None:
                self._sending.result(timeout)

    def forget(self) -> None:
        """In a forked child: leave what is pending to the parent."""
        self._lock = threading.Lock()
        self._next, self._under_way, self._sending, self.behind = Round(), None, None, False

    def __len__(self) -> int:
        return len(self._next) + (0 if self._under_way is None else len(self._under_way))

    def __repr__(self) -> str:
        return f"<Outbox {len(self)} pending{', behind' if self.behind else ''}>"


def _slices(things: Iterable[T]) -> Iterator[list[T]]:
    listed = list(things)
    return (listed[first : first + NAMES_AT_ONCE] for first in range(0, len(listed), NAMES_AT_ONCE))

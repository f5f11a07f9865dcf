"""Invalidations on their way to the server: sent in order, kept while it is down, minded here until it has them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from ..keys import untyped
from ..patterns import MAX_FENCES, Fences, Pattern
from .asking import Asking
from .clears import spell
from .messages import clear_message, drop_message
from .portal import Portal, result_of
from .protocol import Granted, Store

__all__ = ["Notice", "Outbox", "Put", "Round"]

log: logging.Logger = logging.getLogger("asyncfan.caching")

MAX_PENDING = 10_000  # keys, patterns and tags; above, all that is pending becomes one clear of everything
NAMES_AT_ONCE = 500  # in one request and its message
RETRY = 0.2  # seconds between attempts while the server is down


class Put(NamedTuple):
    """A value that is to be in the server.

    Attributes:
        pack: Makes its bytes of the ledger's run and number.
        seconds: When the server drops it; None: never.
    """

    pack: Callable[[str, int], bytes]
    seconds: float | None


class Notice:
    """An invalidation on its way to the server; this process minds it already.

    Awaiting it waits until the server has it and, for a clear of a pattern, until the values that it meant are out of
    the server; then it gives their number. If the server cannot be reached it gives 0 after the first attempt;
    ``confirmed`` is then False until the invalidation, which stays queued, has come through.

    Attributes:
        count: Values taken out of the server so far; of keys dropped in one round trip, all are counted together.
    """

    __slots__ = ("_number", "_outbox", "_told", "count", "done")

    def __init__(self, outbox: Outbox, number: int) -> None:
        self._outbox = outbox
        self._number = number
        self._told: concurrent.futures.Future[bool] = concurrent.futures.Future()
        self.done: concurrent.futures.Future[None] = concurrent.futures.Future()  # nothing more will be counted
        self.count: int = 0

    @property
    def confirmed(self) -> bool:
        """Whether the server has it."""
        return self._outbox.confirmed >= self._number

    def tell(self, *, confirmed: bool) -> None:
        """End the waiting for the first attempt."""
        if not self._told.done():
            self._told.set_result(confirmed)
        if not confirmed:
            self.end()

    def end(self) -> None:
        """End the waiting for the count."""
        if not self.done.done():
            self.done.set_result(None)

    async def sent(self) -> bool:
        """Wait for the first attempt only; says whether the server has it.

        Cancellation:
            The caller leaves; the invalidation goes its way.
        """
        return await result_of(self._told)

    def wait(self, timeout: float | None = None) -> int:
        """Block this thread as awaiting would; for threads without an event loop.

        Raises:
            TimeoutError: It takes longer than ``timeout`` seconds.
        """
        self.done.result(timeout)
        return self.count

    def __await__(self) -> Generator[Any, None, int]:
        yield from result_of(self.done).__await__()
        return self.count

    def __repr__(self) -> str:
        return f"<Notice {'confirmed' if self.confirmed else 'pending'}, {self.count} values>"


@dataclass(slots=True)
class Round:
    """What goes to the server together: the order among invalidations does not matter, and puts come last."""

    number: int = 0  # of the last invalidation in it
    texts: dict[str, None] = field(default_factory=dict)
    patterns: dict[Pattern, None] = field(default_factory=dict)
    tags: dict[str, None] = field(default_factory=dict)
    everything: bool = False
    puts: dict[str, Put] = field(default_factory=dict)  # their keys are in texts too
    notices: list[Notice] = field(default_factory=list)  # those whose awaiters were not told yet

    def merge(
        self, texts: Collection[str], patterns: Collection[Pattern], tags: Collection[str], *, everything: bool
    ) -> None:
        """Add invalidations; a put before them must not come after them, so nothing but its drop is left of it."""
        self.everything = self.everything or everything
        if everything or patterns or tags:
            self.puts.clear()
        for text in texts:
            self.puts.pop(text, None)
        self.texts.update(dict.fromkeys(texts))
        self.patterns.update(dict.fromkeys(patterns))
        self.tags.update(dict.fromkeys(tags))
        if len(self) > MAX_PENDING:
            self.everything = True
            for pending in (self.texts, self.patterns, self.tags, self.puts):
                pending.clear()

    @property
    def spellings(self) -> list[str]:
        """The patterns as the ledger knows them."""
        return [text for pattern in self.patterns for text in spell(pattern)]

    def __len__(self) -> int:
        return self.everything + len(self.texts) + len(self.patterns) + len(self.tags)


class Outbox:
    """Sends invalidations from one place, one round trip after the other; what comes meanwhile goes with the next.

    Until the server has confirmed one, and for readers who asked the server before that, `means` refuses what it names:
    a process never reads back what it cleared. Used by any thread; sends in the portal's loop.

    Args:
        store: The server.
        ask: Asks it.
        portal: Where to send from.
        origin: This process's name in messages.
        new_token: Makes the token of a lease.
        confirmed: Called with a round that the server has, and the number of its clear, or None.
    """

    def __init__(  # noqa: PLR0917 - one caller
        self,
        store: Store,
        ask: Asking,
        portal: Portal,
        origin: str,
        new_token: Callable[[], str],
        confirmed: Callable[[Round, int | None], None],
    ) -> None:
        self._store = store
        self._ask = ask
        self._portal = portal
        self._origin = origin
        self._new_token = new_token
        self._on_confirmed = confirmed
        self._lock = threading.Lock()
        self._next = Round()
        self._under_way: Round | None = None
        self._sending: concurrent.futures.Future[None] | None = None  # None: nothing to send
        self._issued = 0
        self._fences = Fences()  # by numbers of invalidations issued here
        self._fenced_tags: dict[str, int] = {}
        self._marks: Counter[int] = Counter()  # {confirmed as of a read's begin: such reads now}
        self.confirmed: int = 0  # the server has all invalidations up to this one
        self.behind: bool = False  # the last attempt failed: the server misses something

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
            self._issued += 1
            self._fence(texts, patterns, tags, everything=everything)
            self._next.number = self._issued
            self._next.merge(texts, patterns, tags, everything=everything)
            notice = Notice(self, self._issued)
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

    # -- what is minded until the server has it ------------------------------------------------------------------

    def _fence(
        self, texts: Sequence[str], patterns: Sequence[Pattern], tags: Sequence[str], *, everything: bool
    ) -> None:
        if everything or len(self._fenced_tags) + len(tags) > MAX_FENCES:
            self._fences.raise_floor(self._issued)
            self._fenced_tags.clear()
        for pattern in (*patterns, *(Pattern(untyped(text)) for text in texts)):
            self._fences.add(self._issued, pattern)
        self._fenced_tags.update(dict.fromkeys(tags, self._issued))

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

    def means(self, mark: int, text: str, tags: Sequence[str]) -> bool:
        """Say whether a value read since ``mark`` is meant by what the server may not have had then."""
        with self._lock:
            if any(self._fenced_tags.get(tag, 0) > mark for tag in tags):
                return True
            return self._fences.cleared_since(mark, lambda: untyped(text))

    def _forget_fences(self) -> None:
        oldest = min(self._marks, default=self.confirmed)
        self._fences.forget(oldest)
        self._fenced_tags = {tag: number for tag, number in self._fenced_tags.items() if number > oldest}

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
        texts = list(batch.texts)
        dropped = 0
        for first in range(0, len(texts), NAMES_AT_ONCE):
            dropped += await self._ask(partial(self._drop, texts[first : first + NAMES_AT_ONCE]))
        for text, put in batch.puts.items():
            dropped += await self._put(text, put)
        for notice in batch.notices:
            notice.count = dropped
        return number

    async def _clear(self, batch: Round) -> int:
        patterns, tags = batch.spellings, list(batch.tags)
        message = clear_message(self._origin, patterns, tags, everything=batch.everything)
        return await self._store.clear(patterns=patterns, tags=tags, everything=batch.everything, message=message)

    async def _drop(self, names: Sequence[str]) -> int:
        return await self._store.drop(names, drop_message(self._origin, names))

    async def _put(self, text: str, put: Put) -> bool:
        """Store a value, already dropped, under a lease: a request that arrives late can then do no harm."""
        token = self._new_token()
        granted = await self._ask(lambda: self._store.lease(text, token, 1.0, force=True))
        if not isinstance(granted, Granted):
            return False
        data = put.pack(granted.ledger.run, granted.ledger.number)
        return bool(await self._ask(lambda: self._store.write(text, token, data, put.seconds)))

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
            self.confirmed = batch.number
            self._forget_fences()
        for notice in batch.notices:
            notice.tell(confirmed=True)
        self._on_confirmed(batch, number)

    # -- ending --------------------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Wait until nothing is pending; in any event loop."""
        while (sending := self._sending) is not None:
            await result_of(sending)

    def flush_here(self, timeout: float) -> None:
        """Block this thread until nothing is pending, for so many seconds at most."""
        with suppress(TimeoutError):
            if self._sending is not None:
                self._sending.result(timeout)

    def after_fork(self) -> None:
        """In a forked child: leave what is pending to the parent."""
        self.__init__(  # type: ignore[misc]
            self._store, self._ask, self._portal, self._origin, self._new_token, self._on_confirmed
        )

    def __len__(self) -> int:
        return len(self._next) + (0 if self._under_way is None else len(self._under_way))

    def __repr__(self) -> str:
        return f"<Outbox {len(self)} pending{', behind' if self.behind else ''}>"

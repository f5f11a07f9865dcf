"""`SharedTier`: the values that processes share, none of which was cleared by any of them."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import logging
import random as random_module
from collections.abc import Coroutine, Sequence
from typing import Any, Literal, TypeVar

from ...exceptions import UnstorableValueError
from ..clears.patterns import Pattern
from .bus import Bus, Invalidated
from .claiming import Claimer
from .clears import Clears, read_pattern
from .envelope import Header, pack
from .leases import Lease, Leases
from .messages import Message, drop_message
from .outbox import Outbox
from .portal import Portal, result_of
from .protocol import Held, Store, Write
from .putting import put_of
from .reading import Coding, Found, Reader
from .reclaiming import ALL, Reclaimer
from .rounds import Notice, Round
from .server.asking import Asking
from .server.guard import Guard, Unavailable
from .server.joining import Joined
from .server.turns import WRITES, turns_of_each_loop
from .tier_stats import TierStats
from .unsent import Unsent

__all__ = ["SharedTier"]

T = TypeVar("T")
log: logging.Logger = logging.getLogger("asyncfan.caching")

CONNECTING = 0.1  # seconds that the first readers wait for messages to arrive
CLOSING = 1.0  # seconds that invalidations have to get out when the tier is closed


class SharedTier:
    """Values that processes share through a server, fenced so that none is served after it was cleared.

    A value carries the count of clears from before its load began; a reader refuses it if a later clear means it. A
    load runs under a lease that an invalidation of its key takes away, so that what it gives is not stored. Both are
    counters that the server keeps, no clocks.

    It may be used from any number of event loops and threads. What must outlive them, listening and sending
    invalidations, is done in a thread of its own, which starts at the first use.

    Args:
        store: The server, as this process sees it.
        guard: Calls the server with a deadline and keeps away from it while it is down.
        coding: How values become bytes.
        lease: Seconds after which another process takes over from one that died while it loaded.
        random: Chooses names and pauses.
        portal: Where to listen and to send from, if not in a thread of its own.

    Raises:
        ValueError: ``lease`` is not above 0.
    """

    def __init__(
        self,
        store: Store,
        *,
        guard: Guard | None = None,
        coding: Coding | None = None,
        lease: float = 3.0,
        random: random_module.Random | None = None,
        portal: Portal | None = None,
    ) -> None:
        if not lease > 0:
            raise ValueError(f"lease must be > 0 seconds, got {lease!r}")
        self._store = store
        self._ask = Asking(guard or Guard())
        self._coding = coding or Coding()
        self._random: random_module.Random = random or random_module.SystemRandom()
        self._portal = portal or Portal("asyncfan:shared tier")
        self._invalidated: Invalidated | None = None
        self._origin = self._new_token()
        self._clears = Clears()
        self._unsent = Unsent()
        self._outbox = Outbox(
            store,
            self._ask,
            self._portal,
            self._unsent,
            origin=self._origin,
            new_token=self._new_token,
            confirmed=self._confirmed,
        )
        self._turns = turns_of_each_loop(store)
        self._reader = Reader(
            store,
            self._ask,
            self._clears,
            self._unsent,
            turns=self._turns.get,
            coding=self._coding,
            went_back=self._start_anew,
        )
        self._leases = Leases(store, self._ask, lease, self._turns.get)
        self._claimer = Claimer(
            store,
            self._ask,
            leases=self._leases,
            reader=self._reader,
            unsent=self._unsent,
            outbox=self._outbox,
            turns=self._turns.get,
            new_token=self._new_token,
            random=self._random,
        )
        self._writes: Joined[Write, bool] = Joined(self._write_all, self._turns.get, place=WRITES, of_leases=True)
        self._reclaimer = Reclaimer(store, self._ask, self._portal)
        self._bus = Bus(store, self._portal, self._heard, self._connected)
        self._deaf = False  # something was read while no messages arrived
        self._stored = self._fenced = self._failed = self._unavailable = 0

    def attach(self, invalidated: Invalidated) -> None:
        """Have the invalidations of other processes told to ``invalidated``."""
        self._invalidated = invalidated

    # -- values --------------------------------------------------------------------------------------------------

    async def read(self, texts: Sequence[str], tags: Sequence[str] = ()) -> list[Found | None] | None:
        """Return what the server has for each key and was not cleared; one round trip for any number of keys.

        Args:
            texts: The keys' texts.
            tags: The tags that the values have, as far as they are known: others cost another round trip.

        Returns:
            None for each key where there is nothing of use; None for all where the server cannot be reached: a load
            need not ask it for a lease then, which would take as long again.

        Cancellation:
            Nothing is left behind.
        """
        if await self.is_open():
            try:
                return await self._reader.read(texts, tags)
            except Unavailable:
                self._unavailable += 1
        return None

    async def claim(self, text: str, *, known: Found | None = None, force: bool = False) -> Lease | Found | None:
        """Ask for the right to load a key; wait while another process has it.

        Args:
            text: The key's text.
            known: The value that was read, if it is of no use any more.
            force: Load in any case, even if another process does already: what that one loads is not stored.

        Returns:
            A lease, to be given to `write` or `release`; or the value, if another process has just stored it; or None,
            if the server cannot be reached or the wait was very long: load without it.

        Cancellation:
            A lease that may have been granted is given back.
        """
        return await self._claimer.claim(text, known, force=force) if await self.is_open() else None

    async def claim_many(self, texts: Sequence[str], known: Sequence[Found | None]) -> list[Lease | Held | None]:
        """Ask for the right to load many keys, in one round trip, and don't wait.

        Args:
            texts: The keys' texts.
            known: The value that was read of each, if it is of no use any more.

        Returns:
            For each key a lease, or None where the server cannot be reached, or ``Held`` where another process loads or
            has just stored it: use `claim` for those, after having loaded what there are leases for. To hold leases
            while waiting for others could be to wait for a process that does the same.

        Cancellation:
            As for `claim`.
        """
        return await self._claimer.claim_many(texts, known) if await self.is_open() else [None] * len(texts)

    async def write(
        self,
        lease: Lease,
        value: Any,
        *,
        fresh: float | None,
        kept: float | None,
        tags: Sequence[str] = (),
        validator: str | None = None,
        cost: float = 0.0,
    ) -> Literal["stored", "fenced", "failed"]:
        """Store what was loaded under a lease, and end the lease.

        Args:
            lease: The lease that the value was loaded under.
            value: The value.
            fresh: Seconds that it is fresh; None: for good.
            kept: Seconds until it must not be served at all; None: for good.
            tags: What it can be cleared by, beside its key.
            validator: What its origin recognises it by.
            cost: Seconds that its load took.

        Returns:
            "fenced" if the key was invalidated meanwhile, or the lease lost: the value must not be kept in memory
            either. "failed" if the server cannot be reached, or the value cannot be made bytes of.

        Cancellation:
            The value may be stored or not; the lease is given back.
        """
        if lease.lost:
            self._fenced += 1
            return "fenced"
        try:
            header = Header(lease.run, lease.number, fresh, kept, tuple(tags), validator, cost)
            data = pack(lease.text, value, header, self._coding.serializer, self._coding.compress_above)
            stored = await self._writes(Write(lease.text, lease.token, data, kept))
        except (Unavailable, UnstorableValueError) as error:
            self._leases.release_soon(lease.text, lease.token)
            self._failed += 1
            self._warn_of_value(error)
            return "failed"
        except BaseException:
            self._leases.release_soon(lease.text, lease.token)
            raise
        finally:
            self._leases.end(lease)  # not before: the write may have to wait its turn
        self._stored += stored
        self._fenced += not stored
        return "stored" if stored else "fenced"

    async def _write_all(self, writes: Sequence[Write]) -> Sequence[bool]:
        return await self._ask(lambda: self._store.write(writes))

    async def announce(self, text: str) -> None:
        """Have other processes drop what they hold of a key in memory, since a newer value has been written.

        If the server cannot be reached, they keep it as long as memory may.

        Cancellation:
            They may have been told or not.
        """
        try:
            await self._ask(lambda: self._store.drop([], drop_message(self._origin, [text])))
        except Unavailable:
            self._unavailable += 1

    async def release(self, lease: Lease) -> None:
        """End a lease without a value: its load has failed.

        Cancellation:
            It is given back all the same.
        """
        await asyncio.shield(self._leases.give_back(lease))

    def _warn_of_value(self, error: Exception) -> None:
        if isinstance(error, UnstorableValueError):
            log.warning("a value stays in this process only: %s", error)

    # -- invalidation, from any thread, with or without an event loop --------------------------------------------

    def put(
        self,
        text: str,
        value: Any,
        *,
        fresh: float | None,
        kept: float | None,
        tags: Sequence[str] = (),
        validator: str | None = None,
    ) -> Notice:
        """Replace a value, here and in other processes; the arguments are those of `write`.

        If the server cannot be reached, the key is dropped there as soon as it can.
        """
        self._start()  # memory holds it from now on
        self.listen()
        put = None
        try:
            header = Header("", 0, fresh, kept, tuple(tags), validator)
            put = put_of(text, value, header, self._coding.serializer, self._coding.compress_above)
        except UnstorableValueError as error:
            self._warn_of_value(error)
        return self._outbox.add([text], put=put)

    def drop(self, texts: Sequence[str]) -> Notice:
        """Drop keys, here and in other processes, and fence the loads that run for them."""
        return self._outbox.add(texts)

    def clear(self, *, patterns: Sequence[Pattern] = (), tags: Sequence[str] = (), everything: bool = False) -> Notice:
        """Clear what patterns and tags mean, here and in other processes, and fence the loads that run for it."""
        return self._outbox.add((), patterns, tags, everything=everything)

    def _confirmed(self, done: Round, number: int | None) -> None:
        """Note a clear that the server has confirmed, and have its values taken out."""
        if number is not None:
            self._clears.note(self._clears.seen[0], number, done.spellings, everything=done.everything)
        if done.everything or done.patterns:
            self._reclaimer.want([ALL] if done.everything else list(done.patterns), done.notices)
        else:
            for notice in done.notices:
                notice.end()

    def _start_anew(self) -> None:
        log.warning("the shared cache's server went back to an older state: everything in it is cleared")
        self._clears.forget()
        self._outbox.add(everything=True)

    # -- what other processes say; in the portal -----------------------------------------------------------------

    def _heard(self, message: Message | None) -> None:
        if message is not None and message.number:
            self._clears.note(message.run, message.number, message.patterns, everything=message.everything)
        if self._invalidated is None or (message is not None and message.origin == self._origin):
            return
        if message is None or message.everything:
            self._invalidated.drop_all()
            return
        if message.texts:
            self._invalidated.drop_texts(message.texts)
        if message.patterns:
            self._invalidated.drop_patterns(tuple(map(read_pattern, message.patterns)))
        if message.tags:
            self._invalidated.drop_tags(message.tags)

    def _connected(self) -> None:
        if self._invalidated is not None and (self._deaf or self._bus.losses):
            self._deaf = False
            self._invalidated.drop_all()  # what was said meanwhile is lost

    # -- the tier itself -----------------------------------------------------------------------------------------

    async def is_open(self) -> bool:
        """Say whether the server may be asked: not before it has all invalidations that it missed."""
        self._start()
        if not self._bus.tried.done():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CONNECTING):
                    await result_of(self._bus.tried)
        self.listen()
        return not self._outbox.behind

    @property
    def tried(self) -> bool:
        """Whether it has tried to hear of invalidations."""
        return self._bus.tried.done()

    def listen(self) -> None:
        """Hear of invalidations from now on: memory is about to hold something that others may mean by them."""
        self._start()
        if not self._bus.connected:
            self._deaf = True

    def _start(self) -> None:
        if not self._bus.started:
            self._bus.start()
            self._outbox.resume()
            atexit.register(self._outbox.flush_here, CLOSING)
        elif self._outbox.behind:
            self._outbox.resume()  # it may have been closed meanwhile

    def blocking(self, call: Coroutine[Any, Any, T]) -> T | None:
        """Run one of the tier's coroutines for a thread that has no event loop, and block until it has ended.

        Returns:
            What it gives; None if the tier is closed meanwhile.

        Example:
            >>> from asyncfan.testing import MemoryStore
            >>> tier = SharedTier(MemoryStore())
            >>> tier.blocking(tier.read(["user:42"]))
            [None]
            >>> asyncio.run(tier.aclose())
        """
        future = self._portal.start(call, "asyncfan:shared tier works for a thread")
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            return None
        except BaseException:
            future.cancel()
            raise

    async def aclose(self) -> None:
        """End all that runs in this event loop and in the thread; pending invalidations get a second to go out.

        The tier may be used again; what could not be sent is sent then.
        """
        await self._leases.aclose()
        try:
            async with asyncio.timeout(CLOSING):
                await self._outbox.flush()
        except TimeoutError:
            log.warning("the shared cache was closed before %d invalidations reached it", len(self._outbox))
        atexit.unregister(self._outbox.flush_here)
        self._bus.stop()  # first: who uses the tier from here on starts it anew
        await self._portal.aclose(self._end_here)
        await self._end_here()

    async def _end_here(self) -> None:
        """End what runs in this event loop."""
        async with contextlib.AsyncExitStack() as closing:  # all of it, whatever comes while one part is being closed
            for part in (self._store, self._turns, self._writes, self._claimer, self._reader):
                closing.push_async_callback(part.aclose)

    def after_fork(self) -> None:
        """In a forked child: forget the parent's thread, leases and pending invalidations."""
        for part in (self._portal, self._unsent, self._outbox, self._reader, self._leases, self._clears, self._bus):
            part.forget()

    def stats(self) -> TierStats:
        """Return what the tier did so far."""
        return TierStats(
            found=self._reader.found,
            refused=self._reader.refused,
            unreadable=dict(self._reader.unreadable),
            stored=self._stored,
            fenced=self._fenced,
            failed=self._failed,
            unavailable=self._unavailable + self._claimer.unavailable,
            pending=len(self._outbox),
            listening=self._bus.connected,
            losses=self._bus.losses,
        )

    def _new_token(self) -> str:
        return f"{self._random.getrandbits(128):032x}"

    def __repr__(self) -> str:
        state = "listening" if self._bus.connected else "not listening"
        return f"<SharedTier {state}, {len(self._leases)} leases, {len(self._outbox)} invalidations pending>"

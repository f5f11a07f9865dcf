"""Asks for the right to load, and waits while another process has it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from .leases import Lease, Leases
from .outbox import Outbox
from .protocol import HEAD, Granted, Held, Store, Stored, Wish
from .reading import Found, Reader
from .server.asking import Asking
from .server.guard import Unavailable
from .server.joining import MAX_LEASES, Joined
from .server.turns import WISHES, Turns
from .unsent import Unsent

__all__ = ["Claimer"]

FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.05  # seconds between looks at a lease that another process holds
LONGEST_WAIT = 10  # leases; then one loads beside the holder, lest two loads in two processes wait for each other


class Claimer:
    """Gets leases; see `SharedTier.claim`.

    Attributes:
        unavailable: Leases that the server could not be asked for.
    """

    def __init__(
        self,
        store: Store,
        ask: Asking,
        *,
        leases: Leases,
        reader: Reader,
        unsent: Unsent,
        outbox: Outbox,
        turns: Callable[[], Turns],
        new_token: Callable[[], str],
        random: random.Random,
    ) -> None:
        self._store = store
        self._ask = ask
        self._leases = leases
        self._reader = reader
        self._unsent = unsent
        self._outbox = outbox
        self._new_token = new_token
        self._random = random
        self._wishes: Joined[Wish, Granted | Held | Stored] = Joined(self._ask_for, turns, place=WISHES, of_leases=True)
        self.unavailable: int = 0

    async def claim(self, text: str, known: Found | None, *, force: bool) -> Lease | Found | None:
        """Return a lease, a value that another process has just stored, or None to load without either.

        Cancellation:
            A lease that may have been granted is given back.
        """
        token = self._new_token()
        try:
            return await self._wait_for(text, token, self._unless(text, known), force=force)
        except BaseException as error:
            self._leases.release_soon(text, token)  # it may have been granted
            if not isinstance(error, Unavailable):
                raise
            self.unavailable += 1
            return None

    async def _wait_for(self, text: str, token: str, unless: bytes | None, *, force: bool) -> Lease | Found | None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + LONGEST_WAIT * self._leases.seconds
        pause = FIRST_PAUSE
        while not self._outbox.behind and loop.time() < give_up:
            with self._unsent.reading() as mark:
                answer = await self._wishes(Wish(text, token, unless, force))
                if isinstance(answer, Granted):
                    return self._leases.begin(text, token, answer.ledger)
                if isinstance(answer, Stored):
                    found = await self._reader.judge(text, answer, mark)
                    if found is not None and found.is_fresh:
                        return found
                    unless = answer.data[:HEAD]
                    continue
            await asyncio.sleep(min(pause * self._random.uniform(0.5, 1), answer.left))
            pause = min(2 * pause, LONGEST_PAUSE)
        return None

    async def claim_many(self, texts: Sequence[str], known: Sequence[Found | None]) -> list[Lease | Held | None]:
        """Return for each key a lease, None to load without, or ``Held`` where it may be worth to `claim` it later.

        Cancellation:
            As for `claim`.
        """
        answers: list[Lease | Held | None] = []
        try:
            for first in range(0, len(texts), MAX_LEASES):  # what is granted is renewed while others are asked for
                some = slice(first, first + MAX_LEASES)
                answers += await self._claim_some(texts[some], known[some])
        except BaseException:
            for lease in answers:
                if isinstance(lease, Lease):
                    self._leases.give_back(lease)
            raise
        return answers

    async def _claim_some(self, texts: Sequence[str], known: Sequence[Found | None]) -> list[Lease | Held | None]:
        tokens = [self._new_token() for _ in texts]
        try:
            answers = await self._wishes.each([*map(Wish, texts, tokens, map(self._unless, texts, known))])
        except BaseException as error:
            for text, token in zip(texts, tokens, strict=True):
                self._leases.release_soon(text, token)
            if not isinstance(error, Unavailable):
                raise
            self.unavailable += 1
            return [None] * len(texts)
        return [self._held(*one) for one in zip(texts, tokens, answers, strict=True)]

    def _held(self, text: str, token: str, answer: Granted | Held | Stored) -> Lease | Held:
        if isinstance(answer, Granted):
            return self._leases.begin(text, token, answer.ledger)
        return answer if isinstance(answer, Held) else Held(0.0)

    def _unless(self, text: str, known: Found | None) -> bytes | None:
        return self._reader.head_of_refused(text) if known is None else known.head

    async def _ask_for(self, wishes: Sequence[Wish]) -> Sequence[Granted | Held | Stored]:
        return await self._ask(lambda: self._store.lease(wishes, self._leases.seconds))

    async def aclose(self) -> None:
        """End what runs in this event loop."""
        await self._wishes.aclose()

"""Reads values from the server, and refuses what was cleared: as the ledger says, or as this process alone knows."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .clears import Clears
from .codec.as_json import Json, Serializer
from .envelope import Header, remaining, unpack
from .protocol import HEAD, Ledger, Store, Stored
from .server.asking import Asking
from .server.joining import Joined
from .server.seen import see
from .server.turns import READS, Turns
from .unsent import Unsent

__all__ = ["Coding", "Found", "Reader"]

Question = tuple[str, Sequence[str]]  # a key's text, and the tags that its value is known to have

MAX_HEADS = 10_000


@dataclass(frozen=True, slots=True)
class Coding:
    """How values become bytes.

    Attributes:
        serializer: Writes the values.
        others: Read what is there of theirs, too.
        compress_above: Payloads of more bytes are compressed; None: none is.
    """

    serializer: Serializer = field(default_factory=Json)
    others: Sequence[Serializer] = ()
    compress_above: int | None = 4096

    @property
    def serializers(self) -> Mapping[str, Serializer]:
        """Those that can be read, by name."""
        return {one.name: one for one in (*self.others, self.serializer)}


@dataclass(frozen=True, slots=True)
class Found:
    """A value from the server that no clear has meant.

    Attributes:
        value: The value, a copy for all who asked for it at once.
        fresh: Seconds that it is fresh from now on; None: for good; 0.0: it is stale.
        kept: Seconds from now on that it may be served at all; None: for good.
        tags: What it can be cleared by, beside its key.
        validator: What its origin recognises it by.
        cost: Seconds that its load took.
        head: Tells it from every other value.
    """

    value: Any
    fresh: float | None
    kept: float | None
    tags: tuple[str, ...]
    validator: str | None
    cost: float
    head: bytes

    @property
    def is_fresh(self) -> bool:
        """Whether nobody needs to load it now."""
        return self.fresh is None or self.fresh > 0


class Reader:
    """Reads and judges.

    Args:
        store: The server.
        ask: Asks it.
        clears: The copy of the ledger to judge by.
        unsent: What the server may not have heard of.
        turns: Gives the line that reads stand in.
        coding: How to read the bytes.
        went_back: Called where the server has forgotten clears that it had confirmed, as from an old snapshot of it.

    Attributes:
        found: Values that were of use.
        refused: Values that were not, since they were cleared.
        unreadable: ``{reason: values that could not be read}``.
    """

    def __init__(
        self,
        store: Store,
        ask: Asking,
        clears: Clears,
        unsent: Unsent,
        *,
        turns: Callable[[], Turns],
        coding: Coding,
        went_back: Callable[[], object],
    ) -> None:
        self._store = store
        self._ask = ask
        self._clears = clears
        self._unsent = unsent
        self._went_back = went_back
        self._serializers = coding.serializers
        self._joined: Joined[Question, Found | None] = Joined(self._read, turns, place=READS)
        self._heads: dict[str, bytes] = {}  # {text: the head of the value that was refused last}
        self._fetches: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}  # the ledger is on its way
        self.found: int = 0
        self.refused: int = 0
        self.unreadable: Counter[str] = Counter()

    def read(self, texts: Sequence[str], tags: Sequence[str]) -> Awaitable[list[Found | None]]:
        """Return what is stored and was not cleared; what is asked for at once is one request, whoever asks.

        Raises:
            Unavailable: The server cannot be reached.

        Cancellation:
            The others are read all the same.
        """
        return self._joined.each([(text, tags) for text in texts])

    async def _read(self, questions: Sequence[Question]) -> list[Found | None]:
        texts = [text for text, _ in questions]
        tags = list({tag: None for _, some in questions for tag in some})
        with self._unsent.reading() as mark:
            run, number = self._clears.seen
            values, ledger = await self._ask(lambda: self._store.read(texts, tags))
            if ledger.run == run and ledger.number < number:
                self._went_back()
            self._clears.see(ledger.run, ledger.number)
            stored = {text: one for text, one in zip(texts, values, strict=True) if one is not None}
            judged = await self._judge(stored, ledger, tags, mark) if stored else {}
        return [judged.get(text) for text in texts]

    async def judge(self, text: str, stored: Stored, mark: int) -> Found | None:
        """Return a value that the server gave without its ledger, if it was not cleared.

        Raises:
            Unavailable: The server cannot be reached.
        """
        return (await self._judge({text: stored}, None, (), mark)).get(text)

    def head_of_refused(self, text: str) -> bytes | None:
        """Return the head of the value that was of no use, once."""
        return self._heads.pop(text, None)

    async def _judge(
        self, stored: Mapping[str, Stored], ledger: Ledger | None, asked: Iterable[str], mark: int
    ) -> dict[str, Found]:
        opened = self._open(stored)
        tags = {tag for header, _ in opened.values() for tag in header.tags}
        if opened and (ledger is None or not tags.issubset(asked)):
            _, ledger = await self._ask(lambda: self._store.read((), tuple(tags)))
        if opened and ledger is not None:
            await self._catch_up(ledger)
            opened = {text: one for text, one in opened.items() if self._stands(text, one[0], ledger, mark)}
        judged = {text: _found(*opened[text], stored[text]) for text in opened}
        judged = {text: one for text, one in judged.items() if one.kept is None or one.kept > 0}
        self._remember_heads({text: one.data[:HEAD] for text, one in stored.items() if text not in judged})
        self.found += len(judged)
        return judged

    def _open(self, stored: Mapping[str, Stored]) -> dict[str, tuple[Header, Any]]:
        contents = {text: unpack(text, one.data, self._serializers, self.unreadable) for text, one in stored.items()}
        return {text: content for text, content in contents.items() if content is not None}

    def _stands(self, text: str, header: Header, ledger: Ledger, mark: int) -> bool:
        cleared = self._clears.mean(text, header.run, header.number, header.tags, ledger) or self._unsent.mean(
            mark, text, header.tags
        )
        self.refused += cleared
        return not cleared

    def _remember_heads(self, heads: Mapping[str, bytes]) -> None:
        if len(self._heads) + len(heads) > MAX_HEADS:
            self._heads.clear()  # one more round trip for each, no harm
        self._heads.update(heads)

    async def _catch_up(self, ledger: Ledger) -> None:
        """Fetch the whole ledger where clears are missing in the copy: all who need it in this loop fetch it once."""
        loop = asyncio.get_running_loop()
        for _ in range(2):  # one that was under way may be too old
            if self._clears.knows(ledger):
                return
            task = self._fetches.get(loop)
            if task is None:
                task = self._fetches[loop] = loop.create_task(self._fetch(loop), name="asyncfan:shared tier catches up")
                task.add_done_callback(partial(self._fetched, loop))
            await asyncio.shield(task)

    async def _fetch(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._clears.adopt(await self._ask(self._store.ledger))
        finally:
            del self._fetches[loop]

    def _fetched(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
        if self._fetches.get(loop) is task:  # it was cancelled before its first step
            del self._fetches[loop]
        see(task)

    async def aclose(self) -> None:
        """End what runs in this event loop."""
        await self._joined.aclose()
        task = self._fetches.get(asyncio.get_running_loop())
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def forget(self) -> None:
        """In a forked child: leave what runs to the parent."""
        self._fetches = {}


def _found(header: Header, value: Any, stored: Stored) -> Found:
    fresh, kept = remaining(header, stored.left)
    return Found(value, fresh, kept, header.tags, header.validator, header.cost, stored.data[:HEAD])

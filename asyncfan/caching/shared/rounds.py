"""What goes to the server together, and who waits for it."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ..clears.patterns import Pattern
from .clears import spell
from .portal import result_of

__all__ = ["Notice", "Put", "Round"]

MAX_PENDING = 10_000  # keys, patterns and tags; above, all that is pending becomes one clear of everything


class Progress(Protocol):
    """What knows how far the server is."""

    @property
    def confirmed(self) -> int:
        """The server has all invalidations up to this one."""
        ...


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

    __slots__ = ("_number", "_progress", "_told", "count", "done")

    def __init__(self, progress: Progress, number: int) -> None:
        self._progress = progress
        self._number = number
        self._told: concurrent.futures.Future[bool] = concurrent.futures.Future()
        self.done: concurrent.futures.Future[None] = concurrent.futures.Future()  # nothing more will be counted
        self.count: int = 0

    @property
    def confirmed(self) -> bool:
        """Whether the server has it."""
        return self._progress.confirmed >= self._number

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

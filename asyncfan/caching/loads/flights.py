"""One load in progress, and who waits for it: in any event loop or thread of the process.

Rule 1: A flight is joined only while it is its operation's registered one and nothing was cleared under it.
Rule 2: Each caller has a waiter of its own; one that leaves takes nothing from the others.
Rule 3: Whoever removes or replaces a flight compares its identity, never only its key.
Rule 4: A settled flight has no waiters and never gets any.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from ...context import invalidations, loading
from ...exceptions import RecursiveLoadError, SelfCancelledError

if TYPE_CHECKING:
    from ..freshness.freshness import Freshness
    from ..freshness.load import Load
    from .register import Register
    from .tiering import Passage

__all__ = ["AGAIN", "LATE", "UNSHARED", "Failure", "Flight", "deliver", "outcome", "running_loop"]

Waiter = asyncio.Future[Any] | concurrent.futures.Future[Any]
W = TypeVar("W", asyncio.Future[Any], concurrent.futures.Future[Any])

# What a waiter gets whose load came to nothing through no fault of its own: look again, perhaps lead.
AGAIN = type("Again", (), {"__repr__": lambda _: "AGAIN"})()

# What a waiter gets whose leader's result belongs to the leader alone.
UNSHARED = type("Unshared", (), {"__repr__": lambda _: "UNSHARED"})()

# What a waiter gets who was to wait only so long; the load goes on.
LATE = type("Late", (), {"__repr__": lambda _: "LATE"})()

# Seconds between looks at whether the event loop of another thread, which runs the load, still lives.
WATCH = 1.0


class Failure:
    """An exception on its way to the waiters: as a future's result, so that a waiter who left leaves no warning."""

    __slots__ = ("error", "trace")

    def __init__(self, error: BaseException) -> None:
        self.error: BaseException = error
        # without the frame that caught it, which is ours
        self.trace: TracebackType | None = error.__traceback__ and error.__traceback__.tb_next

    def throw(self) -> NoReturn:
        """Raise the exception with the traceback it had: raised a thousand times, it grows no longer."""
        error, trace = self.error, self.trace
        try:
            raise error.with_traceback(trace)
        finally:
            del error, trace, self  # the traceback holds this frame: no cycle through it


class Flight:
    """One load of one key."""

    __slots__ = (
        "anew", "asked", "background", "began", "blocked_on", "cancelled", "checked", "depth", "how", "key", "load",
        "loop", "mates", "operation", "passage", "result", "since", "tags", "task", "waiters",
    )  # fmt: skip

    def __init__(self, operation: Register, key: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        self.operation: Register = operation
        self.key: Any = key
        # how many clears of parts there were in the cache: what it loads must not be stored if a later one meant it
        self.began: int = operation.clears.number
        self.checked: int = self.began  # no clear up to this one meant its key
        self.since: int = invalidations.count  # of any kind: its function joins nothing that began before them
        self.loop: asyncio.AbstractEventLoop | None = loop  # where it runs; None: in a thread
        self.task: asyncio.Task[Any] | None = None  # None: it runs in its first caller's own task or thread
        # {waiter: clears when it came}, in the order in which they came; None: settled. Its leader stands there as the
        # flight itself until it has to wait: a load that ends at once needs no future
        self.waiters: dict[Waiter | Flight, int] | None = {}
        self.result: Any = None  # its leader's, if it ended before that had to wait
        self.cancelled: bool = False  # all waiters left, or its leader: never stored, only waited for
        self.blocked_on: list[Flight] = []  # the flights that its load waits for right now
        self.depth: int = 0  # how many loads it was started inside of
        self.background: bool = False  # it goes on without waiters: somebody was served an expired value meanwhile
        self.anew: bool = False  # its caller wants this load's result and no other
        self.asked: bool | None = None  # whether the tier that processes share could be asked, if its caller just tried
        self.load: Load | None = None  # what its function said of the value, once it asked
        self.tags: tuple[str, ...] = ()  # of the value, as the arguments tell
        self.passage: Passage | None = None  # its way through the tier that processes share
        self.how: Freshness | None = None  # what its caller said of freshness; None: the operation's
        self.mates: tuple[Flight, ...] = ()  # all that its task loads, itself too; (): it has a load of its own

    @property
    def known_tags(self) -> tuple[str, ...]:
        """The tags of its value, as far as they are known: a value that was found brings its own."""
        if self.passage is not None and self.passage.found is not None:
            return self.passage.found.tags
        return self.tags if self.load is None else self.load.tags

    def lead(self) -> None:
        """Have a leader, and note that its own load now waits for this one. Under the lock."""
        self.waiters = {self: self.began}
        mine = loading.get()
        if mine is not None:
            self.depth = mine.depth + 1
            mine.blocked_on.append(self)

    def seat(self, make: Callable[[], W]) -> W | None:
        """Give its leader a waiter of its own; None where it is settled by now, and has a `result`."""
        with self.operation.lock:
            if self.waiters is None:
                return None
            waiter = make()
            self.waiters[waiter] = self.waiters.pop(self)
            return waiter

    def enlist(self, waiter: Waiter) -> None:
        """Add a waiter, and note what the caller's own load now waits for. Under the lock.

        Raises:
            RecursiveLoadError: This flight waits, directly or not, for the caller's.
        """
        mine = loading.get()
        if mine is not None and mine.waiters is not None:
            path = self._path_to(mine)
            if path is not None:
                raise RecursiveLoadError(tuple(f.operation.text(f.key) for f in (mine, *path)))
            mine.blocked_on.append(self)
        assert self.waiters is not None, "rule 4"  # noqa: S101
        self.waiters[waiter] = self.operation.clears.number

    def _path_to(self, wanted: Flight) -> list[Flight] | None:
        seen: set[Flight] = set()
        paths: list[list[Flight]] = [[self]]
        while paths:
            path = paths.pop()
            last = path[-1]
            if last is wanted or (last.mates and last.mates is wanted.mates):
                return path
            if last not in seen:
                seen.add(last)
                paths += [[*path, then] for then in last.blocked_on]
        return None

    def leave(self, waiter: Waiter) -> bool:
        """Take a waiter out; True if it was the last of a load that runs for its waiters only. Under the lock."""
        if self.waiters is None:
            return False
        self.waiters.pop(waiter, None)
        return self.abandon()

    def abandon(self) -> bool:
        """Give the load up if nobody waits for it; says whether it is to be stopped. Under the lock."""
        if self.task is None or self.cancelled or self.waiters or self.background:
            return False
        if any(mate.waiters is not None and (mate.waiters or mate.background) for mate in self.mates):
            return False
        for flight in self.mates or (self,):
            flight.cancelled = True
        return True

    def take(self) -> Any:
        """Return what the load gave its leader, or raise it, once `seat` or `waiters` say that it has ended."""
        result, self.result = self.result, None
        if self.depth:
            self.unblock()
        try:
            if result.__class__ is Failure:
                result.throw()
            return result
        finally:
            del self, result  # as in wait

    def block(self) -> None:
        """Note that the caller's own load waits for this one, other than by a waiter."""
        mine = loading.get()
        if mine is not None:
            with self.operation.lock:
                mine.blocked_on.append(self)

    def unblock(self) -> None:
        """Note that the caller's own load no longer waits for this one."""
        mine = loading.get()
        if mine is not None and self in mine.blocked_on:
            mine.blocked_on.remove(self)

    def stop(self) -> None:
        """Cancel the load's task, in its own loop."""
        if self.task is None or self.loop is None or self.loop.is_closed():
            return
        if self.loop is running_loop():
            self.task.cancel()
        else:
            self.loop.call_soon_threadsafe(self.task.cancel)

    def is_stranded(self) -> bool:
        """Say whether the event loop that should run it does not run: it is closed, or stopped, perhaps for ever."""
        if self.loop is None or self.loop.is_running():
            return False
        # a request's own loop stands still while its thread runs a plain handler, which has no task
        return self.task is not None or self.loop.is_closed()

    async def wait(self, waiter: asyncio.Future[Any], patience: float | None = None) -> Any:
        """Return what the load gives or raise its error; `AGAIN` where it came to nothing.

        With ``patience``, `LATE` after so many seconds: the load then goes on in the background.

        Cancellation:
            The waiter leaves; the last one to leave cancels the load.
        """
        try:
            if patience is not None and not (await asyncio.wait([waiter], timeout=patience))[0]:
                self._run_on(waiter)
                return LATE
            if self.loop is waiter.get_loop():
                return outcome(await waiter)
            return outcome(await self._wait_elsewhere(waiter))
        except asyncio.CancelledError:
            with self.operation.lock:
                last = self.leave(waiter)
            if last:
                self.stop()
            raise
        finally:
            self.unblock()
            del self, waiter  # an error's traceback holds this frame: no cycle through it

    def _run_on(self, waiter: Waiter) -> None:
        """Leave, but not the load: it has somebody to load for although nobody waits."""
        with self.operation.lock:
            self.background = True
            self.leave(waiter)

    async def _wait_elsewhere(self, waiter: asyncio.Future[Any]) -> Any:
        """Wait for a load in another thread, whose event loop may die or stop without a word."""
        while not (await asyncio.wait([waiter], timeout=WATCH))[0]:
            if self.is_stranded():
                with self.operation.lock:
                    last = self.leave(waiter)
                if last:
                    self.stop()
                return AGAIN
        result = waiter.result()
        # the other loop may be ending, and its tasks with it: this one leads then
        ended = result.__class__ is Failure and isinstance(result.error, SelfCancelledError)
        return AGAIN if ended else result

    def wait_in_thread(self, waiter: concurrent.futures.Future[Any], patience: float | None = None) -> Any:
        """Block until the load gives something: as `wait`."""
        try:
            if patience is not None and not concurrent.futures.wait([waiter], timeout=patience).done:
                self._run_on(waiter)
                return LATE
            return outcome(waiter.result())
        finally:
            self.unblock()
            with self.operation.lock:
                self.leave(waiter)
            del self, waiter

    def __repr__(self) -> str:
        state = "settled" if self.waiters is None else f"{len(self.waiters)} waiting"
        return f"<Flight {self.operation.prefix!r} {state}{', cancelled' if self.cancelled else ''}>"


def outcome(result: Any) -> Any:
    """Return what a waiter was given, or raise it."""
    if result.__class__ is not Failure:
        return result
    try:
        result.throw()
    finally:
        del result


def deliver(waiters: Iterable[Waiter | Flight], result: Any, here: asyncio.AbstractEventLoop | None) -> None:
    """Give each waiter the result, in its own loop or thread; ``here`` is the loop that this is called in."""
    for waiter in waiters:
        try:
            if isinstance(waiter, Flight):
                continue  # its leader finds it there
            if isinstance(waiter, concurrent.futures.Future):
                waiter.set_result(result)
            elif waiter.get_loop() is here:
                _set(waiter, result)
            else:
                waiter.get_loop().call_soon_threadsafe(_set, waiter, result)
        except RuntimeError:  # its loop has closed: nobody waits any more
            continue


def _set(waiter: asyncio.Future[Any], result: Any) -> None:
    if not waiter.done():
        waiter.set_result(result)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread, None where none does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None

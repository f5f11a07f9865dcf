"""Cached async generators: all consumers of a call share one run, and what it gave to its end is replayed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ...context import hide_deadline, loading
from ...exceptions import LaggingConsumerError, RecursiveLoadError, SelfCancelledError
from ..memory.order import Entry
from ..memory.weighing import weigh
from .flights import Failure, Flight, Waiter, deliver, outcome

if TYPE_CHECKING:
    from ..operation import Operation

__all__ = ["Recorder", "Recording"]

Call = Callable[[], AsyncGenerator[Any, None]]


class Recording(Flight):
    """One run of a user's generator, in a task of its own, and what it gave that may still be read.

    It never runs ahead: the generator is asked for an item when a consumer is. Everything here happens in one event
    loop. Who waits, waits for the next item; all of them get it.
    """

    __slots__ = ("bytes", "consumers", "count", "failure", "idle", "items", "kept", "seconds")

    waiters: dict[Waiter | Flight, int] | None  # the flight's, set here too

    def __init__(self, operation: Operation, key: Any, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(operation, key, loop)
        self.items: list[Any] = []  # the last ones
        self.count: int = 0  # of all items so far
        self.bytes: int = 0  # of `items`, if the cache counts bytes
        self.kept: int | None = None  # the most that `items` may hold from now on; None: all, to be stored at the end
        self.consumers: dict[object, int] = {}  # {consumer: how many items it has read}
        self.idle: asyncio.Future[None] | None = None  # on which the run waits to be asked
        self.seconds: float = 0.0  # that the generator took
        self.failure: Failure | None = None  # what ended it

    @property
    def is_over(self) -> bool:
        """Whether the run has ended, and its generator is closed."""
        return self.waiters is None

    async def next(self) -> None:
        """Wait until there is another item, or the run is over."""
        waiter = asyncio.get_running_loop().create_future()
        with self.operation.lock:
            self.enlist(waiter)
        self._wake()
        try:
            await waiter
        finally:
            self.unblock()
            if self.waiters is not None:
                self.waiters.pop(waiter, None)

    async def is_asked(self) -> bool:
        """Wait until somebody wants the next item; False if nobody will."""
        while not self.waiters and not self.cancelled:
            self.idle = asyncio.get_running_loop().create_future()
            await self.idle
        return not self.cancelled

    def add(self, item: Any) -> None:
        """Give an item to those who wait for it, and let go of what need not or may not be kept."""
        self.items.append(item)
        self.count += 1
        if self.kept is not None:
            behind = self.count - min(self.consumers.values(), default=self.count)
            del self.items[: len(self.items) - min(behind, self.kept)]
        with self.operation.lock:
            waiters, self.waiters = self.waiters, {}
        deliver(waiters or (), None, self.loop)

    def item(self, position: int) -> Any:
        """Return an item by its number.

        Raises:
            LaggingConsumerError: It is no longer kept.
        """
        index = position - self.count  # from the end
        if -index > len(self.items):
            raise LaggingConsumerError(self.operation.text(self.key), len(self.items))
        return self.items[index]

    async def quit(self, consumer: object) -> None:
        """Be a consumer no longer; whoever is the last one ends the run, and waits until its generator is closed."""
        del self.consumers[consumer]
        task = self.task
        if self.consumers or task is None or self.is_stranded():
            return
        with self.operation.lock:
            self.cancelled = True
        if not self._wake():
            task.cancel()
        self.block()  # it may not wait for the caller's own load while it is closed
        try:
            await asyncio.wait([task])
        finally:
            self.unblock()
        outcome(self.failure)

    def _wake(self) -> bool:
        """Let the run go on if it waits to be asked; says whether it did."""
        if self.idle is None or self.idle.done():
            return False
        self.idle.set_result(None)
        return True


class Recorder:
    """Runs the generators of one operation, shares each run among its consumers, and stores what one gave in whole.

    A run is a flight of the operation, and what is stored is a tuple. Consumers in another event loop than that of the
    registered run have one of their own, which is not stored.
    """

    def __init__(self, operation: Operation, max_items: int | None, copy: Callable[[Any], Any] | None) -> None:
        self.operation = operation
        self.max_items = max_items
        cache = operation.cache
        # a weigher of the user's knows whole values only: it has its say when a run has ended
        self.max_bytes: int | None = None if cache.weigher else cache.max_bytes
        self.copy: Callable[[Any], Any] = copy or (lambda item: item)

    async def consume(
        self, key: Any, call: Call, *, tags: tuple[str, ...] = (), anew: bool = False, counts: bool = True
    ) -> AsyncGenerator[Any, None]:
        """Give the items for ``key``: stored, from the run under way, or from a new one.

        Args:
            key: The call's key.
            call: Makes the generator; it runs in a copy of the first consumer's context.
            tags: Those of what is stored.
            anew: Run although items are stored or a run is under way.
            counts: This is a call, and not another way of one to its items.

        Raises:
            LaggingConsumerError: More items came meanwhile than are kept.
            RecursiveLoadError: The run waits for itself.
            SelfCancelledError: The generator raised ``CancelledError`` although nobody had cancelled it.

        Cancellation:
            The consumer leaves; the run goes on for the others. The last one waits until the generator is closed.
        """
        found = await self._find_or_start(key, call, tags, anew=anew, counts=counts)
        if isinstance(found, Entry):
            for item in found.value:
                yield self.copy(item)
            return
        consumer, since, late = object(), self.operation.clears.number, False
        found.consumers[consumer] = position = 0
        try:
            while not (late := not position and self._comes_too_late(found, since)):
                if position < found.count:
                    item = found.item(position)
                    found.consumers[consumer] = position = position + 1
                    yield self.copy(item)
                elif found.is_over:
                    break
                else:
                    await found.next()
        finally:
            await found.quit(consumer)
        if late:
            async with contextlib.aclosing(self.consume(key, call, tags=tags, anew=anew, counts=False)) as items:
                async for item in items:
                    yield item
            return
        outcome(found.failure)

    def _comes_too_late(self, recording: Recording, since: int) -> bool:
        """Say whether a run is from before a clear that its consumer came after, as a tag of its own now shows.

        It can be minded until the consumer has its first item.
        """
        if since == recording.began or not (recording.count or recording.is_over):
            return False
        with self.operation.lock:
            return self.operation.has_lost_tag(recording)

    async def _find_or_start(
        self, key: Any, call: Call, tags: tuple[str, ...], *, anew: bool, counts: bool
    ) -> Entry | Recording:
        op = self.operation
        if anew:
            op.fence(key)
        while True:
            found = self._enter(key, asyncio.get_running_loop(), anew=anew, counts=counts)
            if isinstance(found, Entry):
                return found
            if found is loading.get():
                raise RecursiveLoadError((op.text(key), op.text(key)))
            if not found.cancelled:
                if found.task is None:
                    found.tags, found.anew = tags, anew
                    self._start(found, call)
                return found
            await found.next()  # its generator is being closed: never two at once

    def _enter(self, key: Any, loop: asyncio.AbstractEventLoop, *, anew: bool, counts: bool) -> Entry | Recording:
        """Find what is stored or the run under way, or register a new one."""
        op = self.operation
        with op.lock:
            entry = None if anew else op.find(key)
            if entry is not None:
                op.store.touched.append(entry)
                op.hits += counts
                return entry
            flight = op.flights.get(key)
            if flight is not None and (flight.is_stranded() or (not flight.cancelled and op.is_fenced(flight))):
                flight = None
            if isinstance(flight, Recording) and flight.loop is loop:
                op.joined += counts and not (anew or flight.cancelled)
                return flight
            recording = Recording(op, key, loop)
            if flight is None:
                op.flights[key] = recording
            op.misses += counts and not anew
            return recording

    def _start(self, recording: Recording, call: Call) -> None:
        """Start the run's task, which the cache owns until it ends."""
        task = asyncio.get_running_loop().create_task(self._run(recording, call), name=self.operation.task_name)
        recording.task = task
        self.operation.cache.tasks.add(task)
        task.add_done_callback(partial(self._settle, recording))

    async def _run(self, recording: Recording, call: Call) -> bool:
        """Ask the generator for as many items as the consumers do; says whether it ended by itself."""
        loading.set(recording)
        hide_deadline()  # the first consumer's; others share this run
        clock = self.operation.cache.clock
        async with contextlib.aclosing(call()) as source:
            while await recording.is_asked():
                began = clock()
                try:
                    item = await anext(source)
                except StopAsyncIteration:
                    return not recording.cancelled
                finally:
                    recording.seconds += clock() - began
                self._bound(recording, item)
                recording.add(item)
        return False

    def _bound(self, recording: Recording, item: Any) -> None:
        """Give a recording up that the next item would make too long: it is neither stored nor joined any more."""
        if recording.kept is not None:
            return
        if self.max_bytes is not None:
            recording.bytes += weigh(item)
        full = self.max_items is not None and recording.count >= self.max_items
        if full or (self.max_bytes is not None and recording.bytes > self.max_bytes):
            recording.kept = max(1, recording.count)
            op = self.operation
            with op.lock:
                if op.flights.get(recording.key) is recording:
                    del op.flights[recording.key]

    def _settle(self, recording: Recording, task: asyncio.Task[bool]) -> None:
        """End a recording: store what was given unless it was fenced meanwhile, and tell all who wait."""
        op = self.operation
        op.cache.tasks.discard(task)
        recording.task = None  # its context holds the recording: no cycle through it
        entry: Entry | None = None
        started = op.cache.clock() - recording.seconds
        try:
            if not task.result():
                op.loads_cancelled += 1
            elif recording.kept is not None:
                op.count_success(started)
            else:
                entry = op.succeeded(recording, tuple(recording.items), started)
        except asyncio.CancelledError as error:
            op.loads_cancelled += 1
            if not recording.cancelled:
                found = SelfCancelledError(f"the run of {op.name} was cancelled, but not by its consumers")
                found.__cause__ = error
                recording.failure = Failure(found)
        except BaseException as error:  # noqa: BLE001 - it is the consumers'
            op.count_failure(error, started)
            recording.failure = Failure(error)
        op.settle(recording, None, entry)

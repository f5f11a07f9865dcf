"""Takes the commands of all callers to the server, those of one pass of the event loop in one go.

Rule 1: A command travels in a task of the courier's, never in its caller's: a caller that is cancelled leaves its
future behind and nothing else, so no connection is lost in the middle of an answer.
Rule 2: Only so many trips are under way at once; whatever comes meanwhile goes with the next one.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from .turns import Turns

__all__ = ["Command", "Courier"]

Command = tuple[Any, ...]
Call = tuple[Command, asyncio.Future[Any]]

# Each trip has a connection: more of them do not make one event loop faster.
MAX_TRIPS = 4

# Packing and reading a command takes some 30 us: a trip must end well before its deadline by that alone.
MAX_BATCH = 250

CLOSED = "the connections were closed"


class Courier:
    """Gathers commands and sends them together; belongs to one event loop.

    Args:
        exchange: Sends commands and returns as many replies, in order; a reply that is an exception is of that command
            alone. What it raises, all of them get.
        max_trips: How many exchanges are under way at once.
        max_batch: How many commands go with one.
        turns: Where it stands in line with others of its event loop; None: it stands alone.
        place: Where in that line.
        closed: What is raised for whoever waits when it is closed.

    Example:
        >>> async def exchange(commands):
        ...     print("sent", commands)
        ...     return [word.upper() for (word,) in commands]
        >>> async def main():
        ...     courier = Courier(exchange)
        ...     return await asyncio.gather(courier.send(("a",)), courier.send(("b",)))
        >>> asyncio.run(main())
        sent [('a',), ('b',)]
        ['A', 'B']
    """

    def __init__(
        self,
        exchange: Callable[[Sequence[Command]], Coroutine[Any, Any, Sequence[Any]]],
        *,
        max_trips: int = MAX_TRIPS,
        max_batch: int = MAX_BATCH,
        turns: Turns | None = None,
        place: int = 0,
        closed: Callable[[str], Exception] = ConnectionAbortedError,
    ) -> None:
        self._exchange = exchange
        self._closed = closed
        self._max_trips = max_trips
        self._max_batch = max_batch
        self._waiting: deque[Call] = deque()
        self._trips: set[asyncio.Task[Sequence[Any]]] = set()
        self._called = False  # the loop will call _depart() on its next pass
        self._turns = turns or Turns(max_trips)
        self._turns.join(self, place)

    async def send(self, command: Command) -> Any:
        """Return the reply to a command.

        Raises:
            Exception: The reply is one, or the exchange failed.

        Cancellation:
            The command is not sent if it has not gone yet; else it is carried out, and nobody hears of the reply.
        """
        reply = await self._enlist([command])[0]
        try:
            if isinstance(reply, BaseException):
                raise reply
            return reply
        finally:
            del reply  # an error's traceback holds this frame: no cycle through it

    async def send_all(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies to commands, which go together as far as there is room; as for one."""
        replies = await self.replies(commands)
        for reply in replies:
            if isinstance(reply, BaseException):
                try:
                    raise reply
                finally:
                    del reply, replies  # as in `send`
        return replies

    async def replies(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies to commands as `send_all` does, but those that are errors as exceptions."""
        futures = self._enlist(commands)
        try:
            for future in futures:
                if not future.done():
                    await future
        except asyncio.CancelledError:
            for future in futures:
                future.cancel()
            raise
        return [future.result() for future in futures]

    def _enlist(self, commands: Sequence[Command]) -> list[asyncio.Future[Any]]:
        """Have commands go, and return the futures of their replies, which an error is set as the result of."""
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Any]] = [loop.create_future() for _ in commands]
        self._waiting += zip(commands, futures, strict=True)
        if not self._called and len(self._trips) < self._max_trips:
            self._called = True
            loop.call_soon(self._depart)
        return futures

    def _depart(self) -> None:
        self._called = False
        self._turns.depart()

    def depart(self) -> None:
        """Go as often as there is something to take and room for it; not before this pass's commands are all there."""
        while not self._called and self._waiting and len(self._trips) < self._max_trips and self._turns.has_room:
            batch = self._pick()
            if batch:
                self._turns.begin()
                commands = [command for command, _ in batch]
                # An empty context: it carries many callers' commands, and a connection that it opens stays.
                nobody = contextvars.Context()
                trip = asyncio.create_task(self._exchange(commands), name="asyncfan:courier", context=nobody)
                self._trips.add(trip)
                trip.add_done_callback(functools.partial(self._arrive, batch), context=nobody)

    def _pick(self) -> list[Call]:
        """Take the oldest commands whose callers still wait."""
        batch: list[Call] = []
        while self._waiting and len(batch) < self._max_batch:
            call = self._waiting.popleft()
            if not call[1].done():
                batch.append(call)
        return batch

    def _arrive(self, batch: list[Call], trip: asyncio.Task[Sequence[Any]]) -> None:
        self._trips.discard(trip)
        self._turns.end()
        error = self._closed(CLOSED) if trip.cancelled() else trip.exception()
        replies = trip.result() if error is None else [_own(error) for _ in batch]
        for (_, future), reply in zip(batch, replies, strict=True):
            if not future.done():
                future.set_result(reply)  # an exception, too: nobody is warned of one that no caller waits for
        self._turns.depart()

    async def aclose(self) -> None:
        """End what is under way; whoever waits gets ``closed``."""
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_result(self._closed(CLOSED))
        trips = list(self._trips)
        for trip in trips:
            trip.cancel()
        await asyncio.gather(*trips, return_exceptions=True)

    def __repr__(self) -> str:
        return f"<Courier {len(self._trips)}/{self._max_trips} under way, {len(self._waiting)} waiting>"


def _own(error: BaseException) -> BaseException:
    """Return an exception for one caller alone: one raised in a thousand places would grow with each."""
    own = copy.copy(error)
    own.__cause__ = error
    return own

"""Makes of the questions that are asked at once one question to the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar, cast

from .courier import Courier
from .guard import Unavailable
from .per_loop import PerLoop
from .turns import Turns

__all__ = ["Joined"]

Q = TypeVar("Q", bound=tuple[Any, ...])
A = TypeVar("A")

# A server does nothing else while it answers one: for so many keys about a millisecond.
MAX_KEYS = 1000

# A lease is held until what was loaded is written: of more that are granted at once, the first wait for the last. The
# server takes four times as long for one as for a value, and some of the deadline where it has little of a processor.
MAX_LEASES = 250

# One is answered while the answers to the other are given out. Two that take all of a deadline of 0.1 s are 20,000
# values a second, or 5,000 leases, about what an event loop asks for: what waits here is soon asked.
MAX_TRIPS = 2


class Joined(Generic[Q, A]):
    """Asks for all callers of one pass of an event loop together; what fails, fails for all of them.

    Args:
        ask: Takes questions, and returns the answer to each.
        turns: Gives the line of the running event loop that these questions stand in; None: they stand alone.
        place: Where in that line.
        of_leases: They are of leases: fewer of them go together.

    Example:
        >>> import asyncio
        >>> async def ask(questions):
        ...     print("asked", questions)
        ...     return [word.upper() for (word,) in questions]
        >>> async def main():
        ...     joined = Joined(ask)
        ...     return await asyncio.gather(joined(("a",)), joined(("b",)))
        >>> asyncio.run(main())
        asked [('a',), ('b',)]
        ['A', 'B']
    """

    def __init__(
        self,
        ask: Callable[[Sequence[Q]], Coroutine[Any, Any, Sequence[A]]],
        turns: Callable[[], Turns] | None = None,
        *,
        place: int = 0,
        of_leases: bool = False,
    ) -> None:
        def open_courier() -> Courier:
            exchange = cast("Callable[[Sequence[tuple[Any, ...]]], Coroutine[Any, Any, Sequence[A]]]", ask)
            line = None if turns is None else turns()
            most = min(MAX_LEASES if of_leases else MAX_KEYS, (line and line.max_batch) or MAX_KEYS)
            return Courier(exchange, max_trips=MAX_TRIPS, max_batch=most, turns=line, place=place, closed=Unavailable)

        self._couriers: PerLoop[Courier] = PerLoop(open_courier, Courier.aclose)

    # Neither is a coroutine around another one: thousands wait here at once, and the garbage collector visits each.

    def __call__(self, question: Q) -> Awaitable[A]:
        """Return the answer to a question.

        Raises:
            Unavailable: This was closed meanwhile.
            Exception: Whatever the asking raised.

        Cancellation:
            The caller leaves alone; it may be asked all the same.
        """
        return self._couriers.get().send(question)

    def each(self, questions: Sequence[Q]) -> Awaitable[list[A]]:
        """Return the answers to questions; as for one."""
        return self._couriers.get().send_all(questions)

    async def aclose(self) -> None:
        """End what is under way in this event loop."""
        await self._couriers.aclose()

    def __repr__(self) -> str:
        return f"<Joined in {len(self._couriers)} event loops>"

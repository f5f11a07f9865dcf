"""`AsyncQueryBatcher`: one long-lived gate in front of a backend, for all callers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, overload

from ..context import since
from ..fanout.calling import as_coroutine_function, close_coroutines
from ..fanout.checks import adapting, positive_number
from ..fanout.layers import check_layers, layered
from ..fanout.limiter import Limiter
from ..fanout.processor import ParallelProcessor
from ..fanout.signatures import AsyncTask, MaxWorkers, Task
from .flight import Flight

if TYPE_CHECKING:
    from ..fanout.hedge import Hedge
    from ..fanout.retry import Retry

__all__ = ["AsyncQueryBatcher"]

K = TypeVar("K")
R = TypeVar("R")
Args = TypeVarTuple("Args")


class AsyncQueryBatcher:
    """Executes queries within a limit that all its callers share, and equal ones once.

    Args:
        max_concurrency: How many queries may run at once; None is no limit, ``"auto"`` or an `AdaptiveLimit` finds it
            out, as for a `Limiter`.
        rate: How many may start a second; None is no limit.
        burst: How many may start at once after a pause; 1 by default.
        key: ``key(query, *args)`` says which queries are equal: callers of one that already runs or waits
            get its result. None as the key joins nothing. Without ``key``, each query is executed.
        timeout: Seconds for one attempt at a query, from when the limit let it through.
        retry: A `Retry`: a query that failed is tried again; while it waits for that it holds no place in the limit.
        hedge: A `Hedge`: beside a query that takes long a second one is executed, within the limit too.
        limiter: A `Limiter` made elsewhere, in place of the three limits above.
        name: What ``repr``, tasks and messages call it.

    Raises:
        TypeError: An option is of the wrong type, or there is a ``burst`` without a ``rate``.
        ValueError: A number is out of its range.

    Example:
        >>> from asyncfan.testing import run
        >>> async def select(table):
        ...     return f"rows of {table}"
        >>> queries = AsyncQueryBatcher(max_concurrency=5)
        >>> run(queries.execute(select, "users"))
        'rows of users'
        >>> run(queries.execute_many({"u": lambda: select("users"), "o": lambda: select("orders")}))
        {'u': 'rows of users', 'o': 'rows of orders'}
    """

    def __init__(
        self,
        max_concurrency: MaxWorkers = 10,
        *,
        rate: float | None = None,
        burst: int | None = None,
        key: Callable[..., Hashable] | None = None,
        timeout: float | None = None,
        retry: Retry | None = None,
        hedge: Hedge | None = None,
        limiter: Limiter | None = None,
        name: str | None = None,
    ) -> None:
        adapting("max_concurrency", max_concurrency)  # also where a limiter is given
        check_layers(retry, hedge, limiter)
        if limiter is not None and (rate is not None or burst is not None):
            raise TypeError("limiter has its own limits: give rate and burst to Limiter(...), not here")
        if not (key is None or callable(key)):
            raise TypeError(f"key must be a function key(query, *args), got {key!r}")
        positive_number("timeout", timeout)
        self.limiter: Limiter = limiter or Limiter(name, max_concurrency=max_concurrency, rate=rate, burst=burst)
        self.name = name
        self.timeout = timeout
        self.retry = retry
        self.hedge = hedge
        self._key = key
        # {(loop, key): Flight}; present only while the query waits or runs
        self._flights: dict[tuple[asyncio.AbstractEventLoop, Hashable], Flight] = {}

    @overload
    async def execute(self, query: Callable[[*Args], Awaitable[R]], *args: *Args) -> R: ...
    @overload
    async def execute(self, query: Callable[[*Args], Awaitable[R] | R], *args: *Args) -> R: ...
    async def execute(self, query: Callable[[*Args], Any], *args: *Args) -> Any:
        """Call ``query(*args)`` when the limit allows it, and return its result.

        Args:
            query: An ``async def`` function, a lambda or partial that returns an awaitable, or a plain
                function, which runs in a thread.
            *args: Its arguments.

        Raises:
            Exception: What the query raised; all callers who were joined get it.
            TypeError: ``query`` is not a function.

        Cancellation: Cancels the query and waits for its end, unless others wait for the same one.
        """
        return await self._execute(self._prepare(query), query, *args)

    def _prepare(self, query: Callable[..., Any]) -> Callable[..., Any]:
        call = as_coroutine_function(query)
        if self.hedge is not None:
            self.hedge.check(call, "query")
        return layered(call, timeout=self.timeout, limiter=self.limiter, retry=self.retry, hedge=self.hedge)

    async def _execute(self, call: Callable[..., Any], query: Callable[..., Any], *args: Any) -> Any:
        key = None if self._key is None else self._key(query, *args)
        if key is None:
            return await call(*args)
        place = (asyncio.get_running_loop(), key)
        try:
            flight = self._flights.get(place)
        except TypeError as error:
            raise TypeError(f"key must return something hashable, or None to join nothing, got {key!r}") from error
        if flight is None or flight.began < since():
            flight = Flight(
                partial(call, *args), f"asyncfan:{self.name or 'query'}:{key!r}", partial(self._landed, place)
            )
            self._flights[place] = flight
        return await flight.join()

    # A mapping is an iterable too, of its names: it must come first.
    @overload
    async def execute_many(self, queries: Mapping[K, AsyncTask[R]]) -> dict[K, R]: ...  # type: ignore[overload-overlap]
    @overload
    async def execute_many(self, queries: Mapping[K, Task[R]]) -> dict[K, R]: ...  # type: ignore[overload-overlap]
    @overload
    async def execute_many(self, queries: Iterable[AsyncTask[R]]) -> list[R]: ...
    @overload
    async def execute_many(self, queries: Iterable[Task[R]]) -> list[R]: ...
    async def execute_many(self, queries: Iterable[Any] | Mapping[Any, Any]) -> list[Any] | dict[Any, Any]:
        """Execute all queries; return a list of their results in order, or ``{name: result}`` of a mapping.

        Raises:
            Exception: What the first query that failed raised, when none of the others runs any more.

        Cancellation: As `execute`, for each.
        """
        most = self.limiter.max_concurrency if self.limiter.limit is None else self.limiter.limit.most
        processor = ParallelProcessor(most, name=self.name or "AsyncQueryBatcher")
        named = queries if isinstance(queries, Mapping) else dict(enumerate(queries))
        try:
            calls = {name: partial(self._execute, self._prepare(query), query) for name, query in named.items()}
        except TypeError:
            close_coroutines(named.values())
            raise
        results = await processor.execute_parallel(calls)
        return results if isinstance(queries, Mapping) else list(results.values())

    def _landed(self, place: tuple[asyncio.AbstractEventLoop, Hashable], flight: Flight) -> None:
        if self._flights.get(place) is flight:
            del self._flights[place]

    def __repr__(self) -> str:
        name = "" if self.name is None else f" {self.name!r}"
        return f"<AsyncQueryBatcher{name} {self.limiter!r}, {len(self._flights)} keys in flight>"

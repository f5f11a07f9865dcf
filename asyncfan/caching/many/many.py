"""`many`: the values of many calls that differ in their first argument; hits first, then what is missing together."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from ...exceptions import AttemptTimeoutError
from ...fanout.meter import Meter
from ...fanout.outcome import Outcome, Status
from ...fanout.run import Run
from ...fanout.signatures import Collecting, Raising
from ..calls.call_keys import Key
from ..loads.flights import Failure
from ..loads.limits import limited
from ..loads.looking import Looked, look_there
from ..loads.register import MISSING
from ..memory.order import Entry
from .batches import Batch, Wanted

if TYPE_CHECKING:
    from ..calls.functions import CachedFunction

__all__ = ["BatchLoader", "Many", "batch_loader", "outcome_of"]

NOWHERE = Looked({}, {})


class BatchLoader(Protocol):
    """What `many` asks of a function made by `batched`."""

    max_batch_size: int | None

    async def load_batch(self, *args: Any, **kwargs: Any) -> Sequence[Any]:
        """Return what one call gives for each of a list of keys, in order: its value, or an exception."""
        ...


class Call(NamedTuple):
    """A call whose value is not at hand, and where in the results it belongs."""

    exact: Key
    key: Key  # as the call is looked up by
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    places: list[int]  # filled in as they are found


class Many:
    """The ways of one cached function to the values of many calls: memory, the tier that processes share, loads."""

    def __init__(self, function: CachedFunction) -> None:
        self._function = function
        self._operation = function.operation
        self._before: int = 1 if function.is_method else 0  # the instance comes before the item
        self._pair: int | None = _place_in_key(function.function, function.keyed, self._before)
        self._loader = batch_loader(function.function)
        self._meter = Meter()

    # -- plain functions ----------------------------------------------------------------------------------------------

    def values(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Return the values of a plain function's calls, loaded one after the other."""
        found, missing = self._look_up(args, kwargs)
        there = self._look_there_in_thread(missing)
        for call in missing:
            self._fill(found, call, self._given_or_fetched(call, there))
        return found

    def outcomes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Outcome[Any]]:
        """Return what became of each of a plain function's calls."""
        clock = self._operation.cache.clock
        found, missing = self._look_up(args, kwargs)
        results = [outcome_of(i, value) for i, value in enumerate(found)]
        there = self._look_there_in_thread(missing)
        for call in missing:
            started = clock()
            try:
                value = self._given_or_fetched(call, there)
            except Exception as error:  # noqa: BLE001 - the outcome of this call
                value = Failure(error)
            self._spread(results, call, outcome_of(None, value, clock() - started))
        return results

    # -- async def functions ------------------------------------------------------------------------------------------

    async def async_values(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Return the values of an ``async def`` function's calls."""
        found, missing = self._look_up(args, kwargs)
        if missing:
            for call, value in zip(missing, await self._load(missing, "raise"), strict=True):
                self._fill(found, call, value)
        return found

    async def async_outcomes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Outcome[Any]]:
        """Return what became of each of an ``async def`` function's calls."""
        found, missing = self._look_up(args, kwargs)
        results = [outcome_of(i, value) for i, value in enumerate(found)]
        if missing:
            for call, outcome in zip(missing, await self._load(missing, "collect"), strict=True):
                self._spread(results, call, outcome)
        return results

    async def _load(self, missing: list[Call], on_error: Raising | Collecting) -> list[Any]:
        """Return the value of each call, or its outcome to collect."""
        if self._loader is not None:
            return await self._load_together(missing, on_error, self._loader)
        clock = self._operation.cache.clock
        started = clock()
        there = await self._look_there(missing)
        duration = clock() - started
        left = [call for call in missing if call.exact not in there.values]
        run = Run(
            lambda call: self._given_or_fetched(call, there),
            max_workers=self._function.max_workers,
            on_error=on_error,
            deadline=None,
            progress=None,
            meter=self._meter,
            name=f"{self._operation.name}.many",
            names=[call.places[0] for call in left],
            total=len(left),
        )
        values = {call.exact: value for call, value in zip(left, await run.every(left), strict=True)}
        for call in missing:
            if call.exact not in values:
                value = there.values[call.exact]
                values[call.exact] = value if on_error == "raise" else outcome_of(None, value, duration)
        return [values[call.exact] for call in missing]

    # -- the tier that processes share: asked for all that is missing before any of it is loaded ----------------------

    async def _look_there(self, missing: list[Call]) -> Looked:
        """Return what it has, by exact keys.

        Cancellation:
            Whoever waits for one of the keys asks for it then.
        """
        if self._operation.tier is None:
            return NOWHERE
        look = look_there(self._operation, self._operation.tier, self._tags(missing), asyncio.get_running_loop())
        return self._copies(await look)

    def _look_there_in_thread(self, missing: list[Call]) -> Looked:
        """As `_look_there`, in a thread without an event loop."""
        if self._operation.tier is None:
            return NOWHERE
        look = look_there(self._operation, self._operation.tier, self._tags(missing), None)
        return self._copies(self._operation.tier.blocking(look) or NOWHERE)

    def _tags(self, calls: Sequence[Call]) -> dict[Key, tuple[str, ...]]:
        tags_of = self._function.freshness.tags_of
        return {call.exact: () if tags_of is None else tags_of(*call.args, **call.kwargs) for call in calls}

    def _copies(self, there: Looked) -> Looked:
        return there._replace(values={exact: self._copied(value) for exact, value in there.values.items()})

    def _given_or_fetched(self, call: Call, there: Looked) -> Any:
        """Return what the tier gave for a call; else what a fetch gives, a coroutine where the function is one."""
        if call.exact in there.values:
            return there.values[call.exact]
        return self._function.fetch(call.key, call.args, call.kwargs, asked=there.asked.get(call.exact))

    async def _load_together(self, missing: list[Call], on_error: str, loader: BatchLoader) -> list[Any]:
        function, n, collect = self._function, self._before, on_error == "collect"
        how, first = function.freshness, missing[0]  # in which all calls agree but for the item

        def load(items: list[Any]) -> Awaitable[Sequence[Any]]:
            call = partial(loader.load_batch, *first.args[:n], items, *first.args[n + 1 :], **first.kwargs)
            return limited(self._operation.name, call, how.hard_timeout, how.limiter)()

        batch = Batch(self._operation, load, size=loader.max_batch_size, max_workers=function.max_workers)
        tags_of = how.tags_of or (lambda *_, **__: ())
        wanted = [Wanted(call.exact, call.args[n], tags_of(*call.args, **call.kwargs)) for call in missing]
        clock = self._operation.cache.clock
        started = clock()
        results = await batch.fetch(wanted, collect=collect)
        if not collect:
            return [self._copied(results[call.exact]) for call in missing]
        duration = clock() - started
        return [outcome_of(None, self._copied(results[call.exact]), duration) for call in missing]

    # -- before and after the loads -----------------------------------------------------------------------------------

    def _look_up(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], list[Call]]:
        """Return the values at hand, in the items' order, and the calls of those that are not: each once."""
        n, op, bind = self._before, self._operation, self._function.bind
        items, before, rest = _listed(args[n:], op.name), args[:n], args[n + 1 :]
        found: list[Any] = []
        hits: list[Entry] = []
        left: list[int] = []
        table, now = op.table, op.cache.clock()
        for i, key in enumerate(self._keys(items, before, rest, kwargs)):
            try:
                entry = table[key]
            except Exception:  # noqa: BLE001 - it is not there, or cannot be hashed
                entry = None
            if entry is not None and entry.seal is op.seal and entry.expires > now:
                hits.append(entry)
                found.append(entry.value)
            else:
                left.append(i)
                found.append(MISSING)
        op.hits += len(hits)
        op.store.touched.extend(hits)
        if self._function.copy is not None:
            found = [value if value is MISSING else self._copied(value) for value in found]
        missing: dict[Key, Call] = {}
        for i in left:
            key, args, kwargs_ = bind(*before, items[i], *rest, **kwargs)
            exact = self._function.exact(key)
            call = missing.get(exact) or missing.setdefault(exact, Call(exact, key, args, kwargs_, []))
            call.places.append(i)
        op.joined += len(left) - len(missing)  # equal ones wait for the load of the first
        return found, list(missing.values())

    def _keys(
        self, items: list[Any], before: tuple[Any, ...], rest: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Iterable[Key]:
        """The key of each call: the first one bound, in the others only the item's part is another."""
        bind, pair = self._function.bind, self._pair
        if pair is None or not items:
            return (bind(*before, item, *rest, **kwargs)[0] for item in items)
        key = bind(*before, items[0], *rest, **kwargs)[0]
        head, tail = key[:pair], key[pair + 2 :]
        if head or tail:
            return ((*head, item, item.__class__, *tail) for item in items)
        return ((item, item.__class__) for item in items)

    def _fill(self, found: list[Any], call: Call, value: Any) -> None:
        """Put the value of a call wherever it belongs."""
        first, *others = call.places
        found[first] = value
        for place in others:
            found[place] = self._copied(value)

    def _spread(self, results: list[Outcome[Any]], call: Call, outcome: Outcome[Any]) -> None:
        """Put the outcome of a call wherever it belongs."""
        first, *others = call.places
        results[first] = outcome._replace(key=first)
        for place in others:
            results[place] = outcome._replace(key=place, value=self._copied(outcome.value))

    def _copied(self, value: Any) -> Any:
        copy = self._function.copy
        return value if copy is None or value.__class__ is Failure else copy(value)


def _place_in_key(function: Callable[..., Any], keyed: Sequence[str] | None, before: int) -> int | None:
    """Return where in a key the item stands; None where a function makes the key, or the item is not in it."""
    parameters = list(inspect.signature(function).parameters.values())[before:]
    if not parameters or keyed is None or parameters[0].name not in keyed:
        return None
    first = parameters[0]
    return None if first.kind is first.VAR_POSITIONAL else 2 * list(keyed).index(first.name)


def _listed(args: tuple[Any, ...], name: str) -> list[Any]:
    if not args or isinstance(args[0], str | bytes) or not isinstance(args[0], Iterable):
        got = f"got {args[0]!r:.60}" if args else "got nothing"
        raise TypeError(f"many() takes first an iterable of what {name}() takes first, such as [1, 2, 3], {got}")
    return list(args[0])


def outcome_of(key: Any, result: Any, duration: float | None = None) -> Outcome[Any]:
    """Return the outcome for a value or a `Failure`; without a duration it was at hand."""
    if duration is None:
        return Outcome(key, "ok", result, attempts=0)
    if result.__class__ is not Failure:
        return Outcome(key, "ok", result, duration=duration)
    status: Status = "timeout" if isinstance(result.error, AttemptTimeoutError) else "error"
    return Outcome(key, status, None, result.error, duration=duration)


def batch_loader(function: Callable[..., Any]) -> BatchLoader | None:
    """Return ``function`` if `batched` made it: it can then load exactly the keys that it is given in one call."""
    return cast("BatchLoader", function) if callable(getattr(function, "load_batch", None)) else None

"""The books of one fan-out: what became of each item, and what the caller gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..context import deadline_scope, time_left
from ..exceptions import AttemptTimeoutError, DeadlineExceededError, SelfCancelledError
from .crew import Crew
from .in_time import TooLateError
from .notes import in_words, note
from .outcome import Outcome, Status
from .signatures import OnError
from .source import AsyncSource, Source
from .worker import Caller, awaitable, work

if TYPE_CHECKING:
    from .adapting import SharedLimit
    from .layers import Tally
    from .meter import Meter
    from .policy import Policy

__all__ = ["Run"]

MISSING: Any = object()  # in the place of an item that has no result yet
_SAMPLE = 63  # a long run measures the items whose index & 63 is 0: 1.2 us each
_ROOM = 1000  # places that are made for results at once
_SHORT = 1000  # items up to which a run measures each one
_NOTES = 10  # further failures that are named on the one that is raised
_TICK = 0.001  # seconds; uvloop's clock is no finer


class _Once:
    """The tally of a run whose items have one attempt each."""

    attempts = 1


class Run(Crew):
    """One fan-out, from its first item to its last worker's end; made and used up by one call."""

    worker: tuple[Any, ...]  # the crew's, set here too
    hold: bool
    limit: SharedLimit | None
    max_workers: float
    fatal: BaseException | None
    cause: BaseException | None

    def __init__(
        self,
        call: Callable[..., Any],
        *,
        max_workers: int | None,
        on_error: OnError,
        deadline: float | None,
        progress: Callable[[int, int | None], object] | None,
        meter: Meter,
        name: str,
        noun: str = "item",
        names: Sequence[Any] | None = None,
        total: int | None = None,
        limit: SharedLimit | None = None,
        waits: bool = False,
        policy: Policy | None = None,
        tally: Tally | None = None,
    ) -> None:
        super().__init__(max_workers, name)
        if limit is not None:
            self.limit, self.hold = limit, True
        self.call = call
        self.on_error = on_error
        self.policy: Policy | None = None
        self.tally: Tally | type[_Once] = tally or _Once
        self.progress = progress
        self.meter = meter
        self.noun: str = noun
        self.names: Sequence[Any] | None = names
        self.total: int | None = total
        self.waits = waits  # whether a cancelled item may go on for long, because it runs in a thread or elsewhere
        self.nouns: str = noun + ("es" if noun.endswith("ch") else "s")
        self.clock: Callable[[], float] = self.loop.time
        self.began: float = self.clock()
        self.allowed: float | None = min((s for s in (deadline, time_left()) if s is not None), default=None)
        self._scope = deadline_scope(self.allowed, self.clock)
        self._timer: asyncio.TimerHandle | None = None
        self.keep: bool = on_error == "collect" or self.allowed is not None  # whether each result is an outcome
        self.sample = 0 if self.keep or (total is not None and total <= _SHORT) else _SAMPLE
        self.out: Any = []  # the result of each item, or its outcome if they are kept, in its place; or MISSING
        self.source: Iterator[tuple[int, Any]] | None = None  # unless items must be waited for
        self._items: Source | AsyncSource | None = None  # from `open` on
        self._asking = 0  # workers that wait for an item
        self.pulled: int = 0  # items of an async source, of a stream or in chunks so far
        self.succeeded: int = 0
        self.errors: int = 0
        self.timeouts: int = 0
        self.cancellations: int = 0
        self.failures: list[tuple[int, BaseException]] = []
        if policy is not None:
            self._obey(policy)

    def _obey(self, policy: Policy) -> None:
        policy.check(self.total, self.nouns)
        self.policy = policy
        self.progress = self.progress or _nothing  # so that workers `tell` of each item
        self.keep, self.sample = True, 0

    # -- running

    async def every(self, items: Iterable[Any] | AsyncIterable[Any]) -> list[Any]:
        """Run all items and return their results, or raise what the whole run is to raise."""
        self.begin()
        try:
            if self.open(items):
                await self.go()
            await self.finish()
        except GeneratorExit:  # the loop is gone
            self.close("left")
            raise
        finally:
            self.end()
        self.verdict()
        return self.results()

    async def go(self) -> None:
        """Begin: the caller's own task is the first worker, unless it would hear too late that it was cancelled."""
        task = asyncio.current_task()
        if self.source is None or task is None or self.waits:
            self.start()
            return
        self.caller = Caller(task)
        await self.guarded(*self.worker, self.caller)
        self.caller = None
        self._leaving.discard(task)

    def begin(self) -> None:
        """Open the books: from now on time counts."""
        self.meter.begin(self)
        if self.limit is not None:
            self.max_workers = self.limit.join(self)
        if self.allowed is not None:
            self.context.run(self._scope.__enter__)
            if self.allowed <= 0:
                self.close("deadline")
            else:
                self._timer = self.loop.call_later(self.allowed, self.close, "deadline")

    async def finish(self) -> None:
        """Wait until every task has ended, and close a source that is not at its end."""
        await self.join()
        if self.too_late:
            self.close("deadline")
        if self._items is not None and not self.exhausted:
            self.spawn(f"asyncfan:{self.name}:close", self._items.close)
            await self.join()

    def end(self) -> None:
        """Close the books: no worker is left."""
        if self._timer is not None:
            self._timer.cancel()
        if self.allowed is not None:
            self.context.run(self._scope.__exit__, None, None, None)
        self.worker = ()  # it refers to this run
        if self.crowd is not None:
            self.crowd.members = None  # as it does, and our context to it
        if self.limit is not None:
            self.limit.leave(self)
        self.meter.end(self)

    def open(self, items: Iterable[Any] | AsyncIterable[Any]) -> bool:
        """Get ready to pull from ``items``; False if there is no time for it."""
        if self.closed:
            return False
        context = self.context.copy()
        if isinstance(items, AsyncIterable):
            self._items = AsyncSource(items, context)
            self.worker = (self._wait_and_work, self._items.take, asyncio.Lock())
        else:
            self._items = Source(items, context)
            self.source = self.number(self._items.items)
            self.worker = (work, self, self.source)
        return True

    def number(self, items: Iterable[Any]) -> Iterator[Any]:
        """Return the items with their indices."""
        return enumerate(items)

    def pull(self) -> int:
        """Count an item of an async source, and return its index."""
        self.pulled += 1
        return self.pulled - 1

    def _may_grow(self) -> bool:
        return super()._may_grow() and not self._asking  # or each item of a slow source would add an idle worker

    async def _wait_and_work(self, take: Callable[[], Awaitable[Any]], turn: asyncio.Lock) -> None:
        while (pair := await self._next_pair(take, turn)) is not None:
            await work(self, iter((pair,)))

    async def _next_pair(self, take: Callable[[], Awaitable[Any]], turn: asyncio.Lock) -> tuple[int, Any] | None:
        self._asking += 1
        self.fewer_run()
        try:
            while not (self.hold and await awaitable(self.must_end())) and not self.exhausted:
                async with turn:  # one waits for the source at a time: an async generator allows no more
                    if self.full() or self.exhausted:  # meanwhile; but nobody waits for room while it is his turn
                        continue
                    item = await take()
                    return None if self.closed else (self.pull(), item)
        except StopAsyncIteration:
            self.source_ended()
        finally:
            self._asking -= 1
        return None

    def full(self) -> bool:
        """Say whether no worker may take an item now."""
        return self.closed is not None

    # -- what became of an item

    @property
    def done(self) -> int:
        """How many items have ended, in whatever way."""
        return self.succeeded + self.errors + self.timeouts + self.cancellations

    @property
    def running(self) -> int:
        """How many items run now."""
        return len(self.tasks) + (self.caller is not None)

    def busy(self) -> int:
        """Return how many workers have an item, or will take one without waiting for it."""
        return super().busy() - self._asking

    def measured(self, i: int, value: Any, started: float) -> Any:
        """Note how long item ``i`` waited and ran, and return what is to be kept of it."""
        duration = self.clock() - started
        self.meter.record(started - self.began, duration)
        if not self.keep:
            return value
        if self.closed == "enough":  # it ended though it was told to stop: no more are wanted
            return Outcome(self.key(i), "cancelled", None, None, self.tally.attempts, duration)
        return Outcome(self.key(i), "ok", value, None, self.tally.attempts, duration)

    def put(self, i: int, result: Any) -> None:
        """Keep the result of item ``i``, and make room for those that follow if it is the first of its thousand."""
        try:
            self.out[i] = result
        except IndexError:
            room = _ROOM if self.total is None else min(max(self.total - i, 1), _ROOM)  # of few, no more: see `_places`
            self.out += [MISSING] * (i + room - len(self.out))
            self.out[i] = result

    def failed(self, i: int, error: BaseException, started: float | None) -> None:
        """Note that item ``i`` raised ``error``, and end the run if that is what ``on_error`` says."""
        trace = error.__traceback__  # without our frame, and no cycle; assigned, it would be refused by a frozen error
        error.with_traceback(trace and trace.tb_next)
        if not isinstance(error, Exception | asyncio.CancelledError):
            self.fatal = self.fatal or error
            self.close("broken")
            return
        if isinstance(error, TooLateError):
            self.too_late = self.hold = True
            self.put(i, Outcome(self.key(i), "not_started", None, error, 0))
            return
        status, found = self._judge(i, error)
        duration = 0.0 if started is None else self.clock() - started
        if started is not None:
            self.meter.record(started - self.began, duration)
        if self.keep:
            self.put(i, Outcome(self.key(i), status, None, found, self.tally.attempts, duration))
        late = self.closed == "deadline" and isinstance(found, DeadlineExceededError)
        if found is not None and self.on_error != "collect" and not late:
            self.failures.append((i, found))
            if self.on_error == "raise" and (self.policy is None or self.policy.min_success is None):
                self.close("failure")

    def _judge(self, i: int, error: BaseException) -> tuple[Status, BaseException | None]:
        if isinstance(error, asyncio.CancelledError):
            if self.closed == "deadline":
                self.timeouts += 1
                return "timeout", DeadlineExceededError(f"{self.label(i)} still ran at the deadline")
            self.cancellations += 1
            if self.closed == "caller":
                self.cause = self.cause or error
            if self.closed:
                return "cancelled", None
            found = SelfCancelledError(f"{self.label(i)} raised CancelledError, but nobody had cancelled it")
            found.__cause__ = error
            return "cancelled", found
        if isinstance(error, DeadlineExceededError) and self._timer and self._timer.when() <= self.clock() + _TICK:
            self.close("deadline")  # a fan-out inside the item noticed first that our time is up
        if isinstance(error, AttemptTimeoutError) or (
            self.closed == "deadline" and isinstance(error, DeadlineExceededError)
        ):
            self.timeouts += 1
            return "timeout", error
        self.errors += 1
        return "error", error

    def tell(self) -> None:
        """Report the progress; an error of the report ends the run, since nobody else would ever see it."""
        if self.policy is not None:
            self.policy.look(self)
        if self.closed == "broken":
            return
        try:
            self.progress(self.done, self.total)  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - raised by the verdict
            note(error, f"raised by the progress= callback of {self.name}, which ended the run")
            self.broke(error)

    def broke(self, error: Exception) -> None:
        """End the run because of the source or of ``progress``, or note that it failed while being ended."""
        if self.closed:
            self.failures.append((-1, error))
        self.close("broken", error)

    # -- what the caller gets

    def key(self, i: int) -> Any:
        """Return the name of item ``i``, or its index."""
        return i if self.names is None else self.names[i]

    def label(self, i: int) -> str:
        """Return what messages call item ``i``; -1 is the source."""
        if i < 0:
            return f"{self.name}:items"
        return f"{self.name}:{self.noun} {self.key(i)!r}"

    def _places(self) -> list[Any]:
        """Return the places of the items that were pulled: what lies behind the last one was room for more."""
        while self.out and self.out[-1] is MISSING:
            self.out.pop()
        return self.out  # type: ignore[no-any-return]

    def outcomes(self) -> list[Outcome[Any]]:
        """Return an outcome for each item that was pulled, and for those of a sized source that were not."""
        places = self._places()
        if not self.exhausted and self.total is not None:  # the source's length may have lied
            places += [MISSING] * (self.total - len(places))
        return [
            Outcome(self.key(i), "not_started", attempts=0) if place is MISSING else place
            for i, place in enumerate(places)
        ]

    def results(self) -> list[Any]:
        """Return what the caller gets for each item."""
        if self.on_error == "collect":
            return self.outcomes()
        found = self._places()
        if self.policy is not None:
            return [outcome.value for outcome in found if outcome is not MISSING and outcome.ok]
        return [outcome.value for outcome in found] if self.keep else found

    def named(self, results: list[Any]) -> dict[Any, Any]:
        """Return the results of named tasks by name."""
        names = self.names or ()
        if self.policy is not None and self.on_error != "collect":
            names = [outcome.key for outcome in self._places() if outcome is not MISSING and outcome.ok]
        return dict(zip(names, results, strict=True))

    def verdict(self) -> None:
        """Raise what the whole run is to raise, if anything; nothing that failed is lost."""
        failures, self.failures = self.failures, []  # what is raised refers to this frame: no cycle
        if self.fatal is not None:
            raise self.fatal
        if self.closed == "caller":
            raise (self.cause or asyncio.CancelledError()) from (self._group(failures) if failures else None)
        if self.closed == "broken" and self.cause is not None:
            raise self._with_notes(self.cause, failures)
        if self.policy is not None and self.policy.satisfied(self):
            return
        if self.closed == "deadline" and self.on_error != "collect":
            raise self._late()
        if failures and self.on_error == "group":
            raise self._group(failures)
        if failures:
            (i, first), *others = failures
            note(first, f"in {self.label(i)}")
            if self.policy is not None and self.policy.min_success is not None:
                note(first, f"{self.succeeded} {self.nouns} of {self.name} succeeded, not {self.policy.wanted}")
            try:
                raise self._with_notes(first, others)
            finally:
                del failures, first, others
        if self.policy is not None and self.on_error != "collect":
            self.policy.check(self.succeeded, self.nouns)

    def _with_notes(self, error: BaseException, others: list[tuple[int, BaseException]]) -> BaseException:
        for i, other in others[:_NOTES]:
            note(error, f"then {self.label(i)} failed too: {in_words(other)}")
        if len(others) > _NOTES:
            note(error, f"then {len(others) - _NOTES} more failed")
        return error

    def _group(self, failures: list[tuple[int, BaseException]]) -> BaseExceptionGroup[Any]:
        for i, error in failures:
            note(error, f"in {self.label(i)}")
        message = f"{len(failures)} of {self.done} {self.nouns} of {self.name} failed"
        return BaseExceptionGroup(message, [error for _, error in failures])

    def _late(self) -> DeadlineExceededError:
        found = self.outcomes()
        done = self.succeeded + self.errors + self.cancellations
        of = "an unknown number of" if self.total is None else self.total
        when = "before a further one could only miss" if self.too_late else "at"
        return DeadlineExceededError(
            f"{self.name}: {done} of {of} {self.nouns} were done {when} the deadline of {self.allowed:g} s",
            found if self.names is None else {outcome.key: outcome for outcome in found},
        )


def _nothing(done: int, total: int | None) -> None:
    """Be the progress of a run that only its policy looks at."""

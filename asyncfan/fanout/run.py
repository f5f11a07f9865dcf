"""The books of one fan-out: what became of each item, and what the caller gets."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from ..context import deadline_scope, time_left
from ..exceptions import AttemptTimeoutError, DeadlineExceededError, SelfCancelledError
from .crew import Crew
from .outcome import Outcome, Status
from .worker import Caller, work

if TYPE_CHECKING:
    from .stats import Meter

__all__ = ["OnError", "Run"]

OnError = Literal["raise", "group", "collect"]

MISSING: Any = object()  # in the place of an item that has no result yet
_SAMPLE = 15  # a long run measures the items whose index & 15 is 0
_SHORT = 1000  # items up to which a run measures each one
_NOTES = 10  # further failures that are named on the one that is raised


class Run(Crew):
    """One fan-out, from its first item to its last worker's end; made and used up by one call."""

    def __init__(
        self,
        call: Callable[[Any], Coroutine[Any, Any, Any]],
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
    ) -> None:
        super().__init__(max_workers, name)
        self.call = call
        self.on_error = on_error
        self.progress = progress
        self.meter = meter
        self.noun, self.names, self.total = noun, names, total
        self.nouns = noun + ("es" if noun.endswith("ch") else "s")
        self.clock = self.loop.time
        self.began = self.clock()
        self.allowed = min((s for s in (deadline, time_left()) if s is not None), default=None)
        self._scope = deadline_scope(self.allowed, self.clock)
        self._timer: asyncio.TimerHandle | None = None
        self.keep = on_error == "collect" or self.allowed is not None  # whether each result is an outcome
        self.sample = 0 if self.keep or (total is not None and total <= _SHORT) else _SAMPLE
        self.out: Any = []  # [result or MISSING]
        self.source: Iterator[tuple[int, Any]] = iter(())
        self.pulled = self.succeeded = self.errors = self.timeouts = self.cancellations = 0
        self.failures: list[tuple[int, BaseException]] = []

    # -- running

    async def every(self, items: Iterable[Any] | AsyncIterable[Any]) -> None:
        """Run all items; the caller's own task is the first worker, unless it would have to wait for an item."""
        self.begin()
        try:
            if isinstance(items, AsyncIterable):
                self.start(items)
            elif not self.closed:
                self.source, self._main = self.number(items), self._work
                task = asyncio.current_task()
                assert task is not None  # noqa: S101 - it awaits us
                self.caller = Caller(task)
                await self.guarded(work, self, self.source, task, self.caller)
                self.caller = None
            await self.join()
        except GeneratorExit:
            self.close("left")
            raise
        finally:
            self.end()

    async def every_named(self, calls: Iterable[Callable[[], Coroutine[Any, Any, Any]]]) -> None:
        """Run all calls, each in a task of its own that bears its name."""
        self.begin()
        try:
            self.source = self.number(calls)
            self.task_ended = self._launch  # type: ignore[method-assign]
            self._launch()
            await self.join()
        except GeneratorExit:
            self.close("left")
            raise
        finally:
            self.end()

    def begin(self) -> None:
        """Open the books: from now on time counts."""
        self.meter.begin(self)
        if self.allowed is not None:
            self.context.run(self._scope.__enter__)
            if self.allowed <= 0:
                self.close("deadline")
            else:
                self._timer = self.loop.call_later(self.allowed, self.close, "deadline")

    def end(self) -> None:
        """Close the books: no worker is left."""
        if self._timer is not None:
            self._timer.cancel()
        if self.allowed is not None:
            self.context.run(self._scope.__exit__, None, None, None)
        self.meter.end(self)

    def start(self, items: Iterable[Any] | AsyncIterable[Any]) -> None:
        """Start the first worker in a task."""
        if self.closed:
            return
        if isinstance(items, AsyncIterable):
            self._pull = aiter(items).__anext__
            self._turn = asyncio.Lock()
            self._main = self._wait_and_work
        else:
            self.source, self._main = self.number(items), self._work
        self.spawn(f"asyncfan:{self.name}:worker", self._main)

    def number(self, items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Yield each item with its index, and make a place for its result."""
        for pair in enumerate(items):
            self.pull()
            yield pair
        self.exhausted = True

    def pull(self) -> None:
        """Make a place for the result of an item that has been pulled."""
        self.pulled += 1
        self.out.append(MISSING)

    async def _work(self) -> None:
        await work(self, self.source, asyncio.current_task())

    async def _wait_and_work(self) -> None:
        while (pair := await self._next_pair()) is not None:
            await work(self, iter((pair,)), asyncio.current_task())

    async def _next_pair(self) -> tuple[int, Any] | None:
        async with self._turn:  # one waits for the source at a time: an async generator allows no more
            if self.exhausted or (self.hold and await self.must_end()):
                return None
            try:
                item = await self._pull()
            except StopAsyncIteration:
                self.exhausted = True
                return None
            self.pull()
            return self.pulled - 1, item

    def _launch(self) -> None:
        while not self.closed and len(self.tasks) < self.max_workers:
            pair = next(self.source, None)
            if pair is None:
                return
            self.spawn(f"asyncfan:{self.label(pair[0])}", self._work_alone, pair)

    async def _work_alone(self, pair: tuple[int, Any]) -> None:
        await work(self, iter((pair,)), asyncio.current_task())

    # -- what became of an item

    def measured(self, i: int, value: Any, started: float) -> Any:
        """Note how long item ``i`` waited and ran, and return what is to be kept of it."""
        duration = self.clock() - started
        self.meter.record(started - self.began, duration)
        return Outcome(self.key(i), "ok", value, None, 1, duration) if self.keep else value

    def failed(self, i: int, error: BaseException, started: float | None) -> None:
        """Note that item ``i`` raised ``error``, and end the run if that is what ``on_error`` says."""
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # without our frame, and no cycle
        if not isinstance(error, Exception | asyncio.CancelledError):
            self.fatal = self.fatal or error
            self.close("broken")
            return
        status, found = self._judge(i, error)
        duration = 0.0 if started is None else self.clock() - started
        if started is not None:
            self.meter.record(started - self.began, duration)
        if self.keep:
            self.out[i] = Outcome(self.key(i), status, None, found, 1, duration)
        if found is not None and self.on_error != "collect" and not isinstance(found, DeadlineExceededError):
            self.failures.append((i, found))
            if self.on_error == "raise":
                self.close("failure")

    def _judge(self, i: int, error: BaseException) -> tuple[Status, BaseException | None]:
        if isinstance(error, asyncio.CancelledError):
            if self.closed == "deadline":
                self.timeouts += 1
                return "timeout", DeadlineExceededError(f"{self.label(i)} still ran at the deadline")
            self.cancellations += 1
            if self.closed:
                return "cancelled", None
            found = SelfCancelledError(f"{self.label(i)} raised CancelledError, but nobody had cancelled it")
            found.__cause__ = error
            return "cancelled", found
        if isinstance(error, AttemptTimeoutError):
            self.timeouts += 1
            return "timeout", error
        self.errors += 1
        return "error", error

    def tell(self) -> None:
        """Report the progress; an error of the report ends the run, since nobody else would ever see it."""
        done = self.succeeded + self.errors + self.timeouts + self.cancellations
        try:
            self.progress(done, self.total)  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - raised by the verdict
            _note(error, f"raised by the progress= callback of {self.name}, which ended the run")
            self.broke(error)

    # -- what the caller gets

    def key(self, i: int) -> Any:
        """Return the name of item ``i``, or its index."""
        return i if self.names is None else self.names[i]

    def label(self, i: int) -> str:
        """Return what messages call item ``i``."""
        return f"{self.name}:{self.noun} {self.key(i)!r}"

    def outcomes(self) -> list[Outcome[Any]]:
        """Return an outcome for each item that was pulled, and for those of a sized source that were not."""
        n = len(self.out) if self.total is None else max(self.total, len(self.out))
        found = [*self.out, *[MISSING] * (n - len(self.out))]
        return [Outcome(self.key(i), "not_started", attempts=0) if o is MISSING else o for i, o in enumerate(found)]

    def results(self) -> list[Any]:
        """Return each item's result, or raise what the whole run is to raise."""
        self.verdict()
        if self.on_error == "collect":
            return self.outcomes()
        return [outcome.value for outcome in self.out] if self.keep else self.out

    def verdict(self) -> None:
        """Raise what the whole run is to raise, if anything; nothing that failed is lost."""
        if self.fatal is not None:
            raise self.fatal
        if self.closed == "caller":
            raise (self.cause or asyncio.CancelledError()) from self._group()
        if self.closed == "broken":
            raise self._with_others(self.cause, self.failures)
        if self.closed == "deadline" and self.on_error != "collect":
            raise self._late()
        if self.failures and self.on_error == "raise":
            raise self._with_others(*self._first())
        if self.failures:
            raise self._group()

    def _first(self) -> tuple[BaseException, list[tuple[int, BaseException]]]:
        (i, error), *others = self.failures
        _note(error, f"in {self.label(i)}")
        return error, others

    def _with_others(self, error: BaseException | None, others: list[tuple[int, BaseException]]) -> BaseException:
        assert error is not None  # noqa: S101 - a run is broken by an error
        for i, other in others[:_NOTES]:
            _note(error, f"then {self.label(i)} failed too: {type(other).__name__}: {other}")
        if len(others) > _NOTES:
            _note(error, f"then {len(others) - _NOTES} more failed")
        return error

    def _group(self) -> BaseExceptionGroup[Any] | None:
        if not self.failures:
            return None
        for i, error in self.failures:
            _note(error, f"in {self.label(i)}")
        return BaseExceptionGroup(
            f"{len(self.failures)} of {self.pulled} {self.nouns} of {self.name} failed",
            [error for _, error in self.failures],
        )

    def _late(self) -> DeadlineExceededError:
        found = self.outcomes()
        done = self.succeeded + self.errors + self.cancellations
        of = "an unknown number of" if self.total is None else self.total
        return DeadlineExceededError(
            f"{self.name}: {done} of {of} {self.nouns} were done at the deadline of {self.allowed:g} s",
            found if self.names is None else {outcome.key: outcome for outcome in found},
        )


def _note(error: BaseException, text: str) -> None:
    if text not in getattr(error, "__notes__", ()):  # one exception object may fail many items
        with suppress(Exception):  # a frozen exception takes no notes
            error.add_note(text)

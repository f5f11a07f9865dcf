"""A call and its second attempt: who wins, and how the loser is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from .notes import in_words, note

if TYPE_CHECKING:
    from .budget import RetryBudget
    from .hedge import Hedge

__all__ = ["Race"]

Attempt = Callable[[Callable[[], None]], Awaitable[Any]]  # awaits its turn, calls what it is given, then the function


class Race:
    """The attempts of one call, owned by it: both have ended when `run` returns."""

    def __init__(
        self,
        hedge: Hedge,
        attempt: Attempt,
        *,
        mark: Callable[..., None] = lambda **_: None,
        budget: RetryBudget | None = None,
    ) -> None:
        self._hedge = hedge
        self._attempt = attempt
        self._mark = mark  # called when the function is, as mark(second=False)
        self._budget = budget
        self._loop = asyncio.get_running_loop()
        self._name = _name_here()
        self._tasks: set[asyncio.Task[None]] = set()  # attempts that have not ended
        self._ended: asyncio.Future[None] | None = None  # set while `run` waits for their end
        self._timer: asyncio.TimerHandle | None = None  # until the second attempt starts
        self._began: float | None = None  # when the first one called the function
        self._reserved = False  # whether the second one may call the function, and has not yet
        self._stopped = False
        self._won = False
        self._value: Any = None
        self._errors: list[tuple[bool, BaseException]] = []  # (whether of the second attempt, what it raised)
        self._fatal: BaseException | None = None  # KeyboardInterrupt and its like

    async def run(self) -> Any:
        """Return the first result, or raise the first attempt's error.

        Cancellation: Cancels both attempts and waits for their end, whatever they have come to.
        """
        self._start(second=False)
        cancelled: asyncio.CancelledError | None = None
        while self._tasks:
            self._ended = self._loop.create_future()
            try:
                await self._ended
            except asyncio.CancelledError as error:
                cancelled = error
                self._stop()
        if self._timer is not None:
            self._timer.cancel()
        if self._reserved:
            self._hedge.give_back()
        failure = self._to_raise(cancelled)
        self._errors, self._fatal = [], None  # they refer to frames, and those to us: no cycle
        if failure is None:
            return self._value
        try:
            raise failure
        finally:
            del failure, cancelled  # as above

    def _to_raise(self, cancelled: asyncio.CancelledError | None) -> BaseException | None:
        if self._fatal is not None:
            return self._fatal
        errors = [error for _, error in sorted(self._errors, key=lambda found: found[0])]
        if cancelled is not None:
            cancelled.__cause__ = next((error for error in errors if isinstance(error, Exception)), None)
            return cancelled
        if self._won:
            return None
        for other in errors[1:]:
            note(errors[0], f"a second attempt, made because the first took long, failed too: {in_words(other)}")
        return errors[0]

    def _start(self, *, second: bool) -> None:
        task = self._loop.create_task(self._main(second), name=f"{self._name}:{'second' if second else 'first'}")
        if not task.done():  # an eager one may be
            self._tasks.add(task)
            task.add_done_callback(self._left)

    async def _main(self, second: bool) -> None:  # noqa: FBT001 - private, and a name for it above
        try:
            value = await self._attempt(self._second_begins if second else self._first_begins)
        except GeneratorExit:  # the loop is gone
            raise
        except asyncio.CancelledError as error:
            if not self._stopped:  # the function's own
                self._errors.append((second, error))
        except Exception as error:  # noqa: BLE001 - raised by the verdict, if no other attempt succeeds
            self._errors.append((second, error))
        except BaseException as error:  # noqa: BLE001 - as above
            self._fatal = self._fatal or error
            self._stop()
        else:
            self._wins(value, second=second)

    def _wins(self, value: Any, *, second: bool) -> None:
        if self._stopped:  # the other was first, or nobody waits for it any more
            return
        self._won, self._value = True, value
        if self._began is not None:
            self._hedge.ended(self._loop.time() - self._began, ok=not second)
        self._stop()

    def _first_begins(self) -> None:
        self._mark(second=False)
        self._began = self._loop.time()
        after = self._hedge.begin()
        if after is not None:
            self._timer = self._loop.call_at(self._began + after, self._hurry)

    def _second_begins(self) -> None:
        self._reserved = False
        self._mark(second=True)

    def _hurry(self) -> None:
        """Start the second attempt; called by the timer, in the context in which the first one began."""
        if self._tasks and not self._stopped and self._hedge.take(self._budget):
            self._reserved = True
            self._start(second=True)

    def _stop(self) -> None:
        """Cancel what runs: once, so that nothing interrupts its clean-up."""
        if self._stopped:
            return
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        current = asyncio.current_task(self._loop)
        for task in list(self._tasks):
            if task is not current:
                task.cancel()

    def _left(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() and not self._stopped:  # by a stranger, before its first step
            self._errors.append((False, asyncio.CancelledError()))
        if not self._tasks and self._ended is not None and not self._ended.done():
            self._ended.set_result(None)


def _name_here() -> str:
    task = asyncio.current_task()
    return task.get_name() if task is not None else "asyncfan"

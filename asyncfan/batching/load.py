"""One key that somebody waits for, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from ..exceptions import SelfCancelledError

if TYPE_CHECKING:
    from ..crowd import Crowd
    from .batch import Batch

__all__ = ["DROPPED", "PENDING", "Failure", "Load", "as_outcome"]

PENDING: Any = type("Pending", (), {"__repr__": lambda _: "PENDING"})()
DROPPED: Any = type("Dropped", (), {"__repr__": lambda _: "DROPPED"})()  # all callers left before there was an outcome


class Failure:
    """An exception that is the outcome of a load."""

    __slots__ = ("error", "trace")

    def __init__(self, error: BaseException) -> None:
        self.error: BaseException = error
        self.trace: TracebackType | None = error.__traceback__

    def throw(self) -> NoReturn:
        """Raise the exception with the traceback it had: raised for a thousand callers, it grows no longer."""
        error, trace = self.error, self.trace
        try:
            raise error.with_traceback(trace)
        finally:
            del error, trace, self  # the traceback holds this frame: no cycle through it


def as_outcome(value: Any) -> Any:
    """Return what a load that gave ``value`` ends with: an exception is a failure."""
    if not isinstance(value, BaseException):
        return value
    if isinstance(value, asyncio.CancelledError):  # raised bare, it would seem to be the caller's own
        found = SelfCancelledError("the result for the key was a CancelledError, but nobody had cancelled it")
        found.__cause__ = value
        return Failure(found)
    return Failure(value)


class Load:
    """One key of one batch, for all callers who asked for it in time."""

    __slots__ = ("batch", "callers", "crowds", "identity", "key", "outcome", "waiters")

    def __init__(self, key: Any, identity: Hashable, batch: Batch | None) -> None:
        self.key: Any = key
        self.identity: Hashable = identity  # what equal keys have in common
        self.batch: Any = batch  # a `Batch`; None if it was known without one
        self.callers: int = 1  # those who still want it
        self.waiters: dict[asyncio.Future[Any], None] = {}  # one a caller; a caller of many keys has one for them all
        self.crowds: tuple[Crowd, ...] = ()  # of those waiters that are items of a fan-out, if the loader looks
        self.outcome: Any = PENDING

    @classmethod
    def known(cls, key: Any, identity: Hashable, outcome: Any) -> Load:
        """Return a load whose outcome is there without one."""
        load = cls(key, identity, None)
        load.outcome = outcome
        return load

    def settle(self, outcome: Any) -> None:
        """Set the outcome, and let all callers have it."""
        self.outcome = outcome
        for crowd in self.crowds:
            crowd.unblock()
        self.crowds = ()
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)

    def unblock(self, crowd: Crowd) -> None:
        """Note that one item of a fan-out no longer waits, because it leaves."""
        crowds = list(self.crowds)
        crowds.remove(crowd)
        self.crowds = tuple(crowds)
        crowd.unblock()

    def is_dead(self) -> bool:
        """Say whether nobody wants it any more, those included who have been cancelled and do not know it yet."""
        for waiter in self.waiters:
            if not waiter.cancelled():
                return False
        return self.callers <= len(self.waiters)

    def leave(self) -> asyncio.Task[Any] | None:
        """Take one caller away; return the batch's task if nobody wants that any more, so that it is cancelled."""
        if self.outcome is not PENDING:
            return None
        self.callers -= 1
        if self.callers:
            return None
        self.outcome = DROPPED
        return self.batch.drop(self)

    def result(self) -> Any:
        """Return the outcome, or raise it."""
        outcome = self.outcome
        if outcome.__class__ is Failure:
            try:
                outcome.throw()
            finally:
                del outcome, self
        return outcome

    def __repr__(self) -> str:
        return f"<Load of {self.key!r}, {self.callers} callers, {self.outcome!r}>"

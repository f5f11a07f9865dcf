"""An exception on its way to the callers of one key, as a result: who left before leaves no warning behind."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, NoReturn

from ..exceptions import SelfCancelledError

__all__ = ["Failure", "as_failure", "raise_first", "unwrap"]


class Failure:
    """An exception that is the outcome of a key."""

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


def as_failure(error: BaseException) -> Failure:
    """Return what is handed to the callers of a key that has only an exception."""
    if not isinstance(error, asyncio.CancelledError):
        return Failure(error)
    found = SelfCancelledError("the result for the key was a CancelledError, but nobody had cancelled it")
    found.__cause__ = error
    return Failure(found)  # raised bare, it would seem to be the caller's own


def unwrap(outcome: Any) -> Any:
    """Return an outcome's value, or raise its exception."""
    if outcome.__class__ is not Failure:
        return outcome
    try:
        outcome.throw()
    finally:
        del outcome


def raise_first(outcomes: list[Any]) -> None:
    """Raise the first exception among the outcomes, if there is one, and empty the list, which its frames hold."""
    first = next((outcome for outcome in outcomes if outcome.__class__ is Failure), None)
    if first is None:
        return
    outcomes.clear()
    try:
        first.throw()
    finally:
        del first

"""What became of one item of a fan-out."""

from __future__ import annotations

from typing import Any, Generic, Literal, NamedTuple, TypeVar, cast

from ..exceptions import AsyncfanError

__all__ = ["Outcome", "Status"]

T = TypeVar("T")
Status = Literal["ok", "error", "timeout", "cancelled", "not_started"]


class Outcome(NamedTuple, Generic[T]):
    """What became of one item: its value, or why there is none.

    Attributes:
        key: The task's name, or the item's index in the order of the source.
        status: ``ok``; ``error`` (the function raised); ``timeout`` (its ``timeout`` or the ``deadline``
            passed while it ran); ``cancelled`` (it raised `asyncio.CancelledError`, or was stopped because
            another one failed or enough had succeeded); ``not_started`` (the call ended before its turn came, too
            little time was left for it, or a task has no value whose result it needs).
        value: What the function returned; None unless ``ok``.
        exception: Why there is no value; None if ``ok``, and if the call's end stopped or prevented it.
        attempts: How many times the function was called: more than once with a `Retry` or a `Hedge`.
        duration: Seconds that the item ran, all its attempts and the waits between them; 0.0 if it did not.

    Example:
        >>> Outcome(key="user", status="ok", value=42).unwrap()
        42
    """

    key: Any
    status: Status
    value: T | None = None
    exception: BaseException | None = None
    attempts: int = 1
    duration: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether there is a value."""
        return self.status == "ok"

    def unwrap(self) -> T:
        """Return the value.

        Raises:
            BaseException: The item's own exception, if it has one.
            AsyncfanError: It was stopped or never started, so that it has neither a value nor an exception.
        """
        if self.status == "ok":
            return cast("T", self.value)
        if self.exception is not None:
            raise self.exception
        raise AsyncfanError(f"{self.key!r} has no value: it was {self.status.replace('_', ' ')}")

"""When a whole fan-out is over and whether it succeeded, other than by its first failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .checks import positive_int

if TYPE_CHECKING:
    from .run import Run
    from .signatures import OnError

__all__ = ["Policy", "as_policy"]


def as_policy(first: int | None, min_success: int | None, max_errors: int | None, on_error: OnError) -> Policy | None:
    """Return what these options of `ParallelProcessor` say together; None if they say nothing.

    Raises:
        TypeError: One is not an int.
        ValueError: One is less than 1, or they contradict each other.
    """
    if first is None and min_success is None and max_errors is None:
        return None
    positive_int("first", first)
    positive_int("min_success", min_success)
    positive_int("max_errors", max_errors)
    if first is not None and min_success is not None and min_success > first:
        raise ValueError(
            f"min_success must be <= first={first}, got {min_success}: no more than {first} are waited for"
        )
    if max_errors is not None and on_error == "raise" and first is None and min_success is None:
        raise ValueError(
            f"max_errors={max_errors} never applies with on_error='raise', which stops at the first failure: say "
            "on_error='group' or 'collect', or how many must succeed, as min_success=1"
        )
    return Policy(first, min_success if min_success is not None else first, max_errors)


class Policy:
    """Looks at a run after each item, ends it when the rest cannot matter, and says whether it succeeded.

    Args:
        first: How many successes are enough; the rest is stopped then.
        min_success: How many there must be.
        max_errors: At how many failures the run is stopped.
    """

    __slots__ = ("first", "max_errors", "min_success")

    def __init__(self, first: int | None, min_success: int | None, max_errors: int | None) -> None:
        self.first: int | None = first
        self.min_success: int | None = min_success
        self.max_errors: int | None = max_errors

    @property
    def wanted(self) -> str:
        """How many must succeed, as it was written."""
        return f"{'first' if self.first == self.min_success else 'min_success'}={self.min_success}"

    def check(self, total: int | None, what: str) -> None:
        """Refuse fewer items than must succeed.

        Raises:
            ValueError: There are.
        """
        if total is not None and self.min_success is not None and total < self.min_success:
            raise ValueError(f"{self.wanted} can never be reached: there are only {total} {what}")

    def look(self, run: Run) -> None:
        """End ``run`` if that is decided."""
        if run.closed:
            return
        failed = run.done - run.succeeded
        if self.first is not None and run.succeeded >= self.first:
            run.close("enough")
        elif (self.max_errors is not None and failed >= self.max_errors) or (
            self.min_success is not None and run.total is not None and run.total - failed < self.min_success
        ):
            run.close("failure")

    def satisfied(self, run: Run) -> bool:
        """Say whether enough have succeeded, so that failures are not raised."""
        return self.min_success is not None and run.succeeded >= self.min_success

    def __repr__(self) -> str:
        return f"<Policy first={self.first} min_success={self.min_success} max_errors={self.max_errors}>"

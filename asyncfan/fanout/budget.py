"""`RetryBudget`: how much a backend that fails may be asked again, by all its callers together."""

from __future__ import annotations

import threading
from typing import ClassVar

from .checks import positive_number

__all__ = ["RetryBudget"]


class RetryBudget:
    """Stops second attempts while too many calls fail, so that a backend in trouble is not asked even more.

    The rule is gRPC's (proposal A6): the budget begins with ``max_tokens``; each failed attempt costs one token, each
    success gives ``token_ratio`` back; while half or less are left, nothing is tried again and no hedge is sent. First
    attempts always run: they are what tells when the backend is well again. Failures that a `Retry` does not try again
    anyway cost nothing. In the long run there are at most ``1 + token_ratio`` times as many calls as asked for.

    One budget may be shared by any number of calls, threads and event loops of the process.

    Args:
        name: What it protects; shown by ``repr``.
        max_tokens: Where it begins, and the most that it holds; half of it is how many failures pass by unnoticed.
        token_ratio: What a success gives back.

    Raises:
        TypeError: An option is no number.
        ValueError: A number is not above 0.

    Example:
        >>> budget = RetryBudget("search", max_tokens=4)
        >>> retry = Retry(3, budget=budget)
        >>> budget.failed(), budget.failed()
        (None, None)
        >>> budget
        <RetryBudget 'search' 2/4 tokens, no retries>
    """

    _by_name: ClassVar[dict[str, RetryBudget]] = {}  # what `shared` has made; never removed, names are few

    def __init__(self, name: str | None = None, *, max_tokens: float = 10, token_ratio: float = 0.1) -> None:
        positive_number("max_tokens", max_tokens, "a number", none="")
        positive_number("token_ratio", token_ratio, "a number", none="")
        self.name = name
        self.max_tokens = max_tokens
        self.token_ratio = token_ratio
        self.tokens: float = max_tokens
        self._lock = threading.Lock()

    @classmethod
    def shared(cls, name: str, *, max_tokens: float = 10, token_ratio: float = 0.1) -> RetryBudget:
        """Return the process's one budget of this name, made by whoever asks first.

        Raises:
            ValueError: It was made with other numbers.

        Example:
            >>> RetryBudget.shared("payments") is RetryBudget.shared("payments")
            True
        """
        found = cls._by_name.setdefault(name, cls(name, max_tokens=max_tokens, token_ratio=token_ratio))
        if (found.max_tokens, found.token_ratio) != (max_tokens, token_ratio):
            raise ValueError(
                f"the shared budget {name!r} was made with max_tokens={found.max_tokens:g} and "
                f"token_ratio={found.token_ratio:g}, got {max_tokens:g} and {token_ratio:g}"
            )
        return found

    @property
    def allows(self) -> bool:
        """Whether a second attempt may be made now."""
        return self.tokens > self.max_tokens / 2

    def failed(self) -> None:
        """Count an attempt that failed."""
        with self._lock:
            self.tokens = max(0.0, self.tokens - 1)

    def succeeded(self) -> None:
        """Count an attempt that gave a result."""
        with self._lock:
            self.tokens = min(self.max_tokens, self.tokens + self.token_ratio)

    def __repr__(self) -> str:
        name = "" if self.name is None else f" {self.name!r}"
        return f"<RetryBudget{name} {self.tokens:g}/{self.max_tokens:g} tokens{'' if self.allows else ', no retries'}>"

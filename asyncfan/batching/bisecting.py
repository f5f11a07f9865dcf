"""`bisect`: find the keys that make a batch fail, by halving."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from .answers import Answers

__all__ = ["bisect", "is_about_the_backend"]


def is_about_the_backend(error: Exception) -> bool:
    """Say whether ``error`` would meet any key: connections, files and timeouts (`OSError`) tell of no key."""
    return isinstance(error, OSError)


async def bisect(call: Callable[[list[Any]], Awaitable[Answers]], keys: Sequence[Any], error: Exception) -> Answers:
    """Ask for halves of ``keys``, which failed with ``error``, down to the single keys that fail.

    One bad key of n costs at most 2 log2(n) calls. If as many and two have failed and none has succeeded, or
    one failed with what is about the backend, that is down: no further call is made, and the keys that are left
    fail too.
    """
    found: Answers | Exception = error
    outcomes: list[Any] = [error] * len(keys)
    extra: dict[Any, Any] = {}
    patience: float = 2 * len(keys).bit_length() + 2
    parts = list(reversed(_halves(range(len(keys)))))
    while parts:
        part = parts.pop()
        found = await _attempt(call, [keys[i] for i in part])
        if isinstance(found, Answers):
            patience = float("inf")
            extra |= found.extra
            for i, outcome in zip(part, found, strict=True):
                outcomes[i] = outcome
            continue
        patience -= 1
        over = patience <= 0 or is_about_the_backend(found)
        for i in (i for rest in (part, *parts) for i in rest) if over else part:
            outcomes[i] = found
        if over:
            break
        parts += reversed(_halves(part))
    try:
        return Answers(outcomes, extra)
    finally:
        del error, found, outcomes  # the errors' tracebacks may lead to this frame: no cycle through it


async def _attempt(call: Callable[[list[Any]], Awaitable[Answers]], keys: list[Any]) -> Answers | Exception:
    """Return what came of a call; in a frame of its own, which the error's traceback may hold without a cycle."""
    try:
        return await call(keys)
    except Exception as error:  # noqa: BLE001 - the outcome of its keys
        return error


def _halves(part: range) -> list[range]:
    middle = len(part) // 2
    return [part[:middle], part[middle:]] if middle else []

"""Clients' wishes to have a response made for them, of which not every one is granted."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Wishes"]

_PAUSE = 1.0  # seconds from one granted wish to the next
_MOST_REMEMBERED = 1024  # keys


class Wishes:
    """Grants one wish a second for each key: a flood of ``no-cache`` must not reach the handler each time.

    Whose wish is not granted gets what is stored. A first wish is always granted, however fresh that is.

    Args:
        clock: The time, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._granted: dict[str, float] = {}  # bounded; {text of a key: when the last wish was granted}

    def grant(self, key: str) -> bool:
        """Say whether a wish is granted now."""
        now = self._clock()
        if 0.0 <= now - self._granted.get(key, -_PAUSE) < _PAUSE:
            return False
        if len(self._granted) >= _MOST_REMEMBERED:
            self._granted.clear()
        self._granted[key] = now
        return True

    def __repr__(self) -> str:
        return f"<Wishes for {len(self._granted)} keys>"

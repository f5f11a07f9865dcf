"""Where things stand in a server: the spelling of keys."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["Keys"]


class Keys:
    """Spells keys, all of which begin with a namespace.

    Attributes:
        ledger: The key of the ledger.
        channel: Where messages are sent.
    """

    def __init__(self, namespace: str) -> None:
        if not namespace or set("{}") & set(namespace):
            raise ValueError(f"namespace must be a text without braces, and not empty, got {namespace!r}")
        self._namespace = namespace
        self.ledger: str = f"{namespace}:ledger"
        self.channel: str = f"{namespace}:messages"

    def value(self, name: str) -> str:
        """Return the key of a value; the braces put its lease into the same slot of a cluster."""
        return f"{self._namespace}:{{{name}}}"

    def lease(self, name: str) -> str:
        """Return the key of a value's lease."""
        return f"{self._namespace}:{{{name}}}:lease"

    def values(self, names: Sequence[str]) -> list[str]:
        """Return the keys of values."""
        return [self.value(name) for name in names]

    def leases(self, names: Sequence[str]) -> list[str]:
        """Return the keys of values' leases."""
        return [self.lease(name) for name in names]

    def both(self, names: Sequence[str]) -> list[str]:
        """Return the keys of values, each followed by its lease's."""
        return [key(name) for name in names for key in (self.value, self.lease)]

    def pattern(self, start: str) -> str:
        """Return what SCAN matches: values whose names begin with ``start``."""
        return re.sub(r"([*?\[\]\\])", r"\\\1", self.value(start)[:-1]) + "*}"

    def name(self, key: bytes) -> str:
        """Return the name of a value's key."""
        return key.decode()[len(self._namespace) + 2 : -1]

    def __repr__(self) -> str:
        return f"<Keys {self._namespace!r}>"

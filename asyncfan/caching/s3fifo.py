"""S3-FIFO as one of cachetools' classes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import cachetools

from .queues import Queues
from .ring import Linked

__all__ = ["S3FIFOCache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Node(Linked):
    """A key in one of the two queues."""

    __slots__ = ("key",)

    def __init__(self, key: Any, size: int) -> None:
        super().__init__(size)
        self.key = key

    def fingerprint(self) -> int:
        """Return what is left of a key in its ghost; of a tuple, since hashes of numbers are close together."""
        return hash((self.key,))


class S3FIFOCache(cachetools.Cache[K, V]):
    """Keeps what is read again, and lets a scan of keys that are read once pass by: `Queues` for keys of any kind.

    "FIFO Queues are All You Need for Cache Eviction", Yang, Zhang, Qiu, Yue, Rashmi; SOSP 2023, algorithm 1.

    Example:
        >>> found = S3FIFOCache(20)
        >>> for number in range(1_000):
        ...     found[number] = number
        ...     _ = found.get(0), found.get(1)
        >>> 0 in found, 1 in found, 2 in found
        (True, True, False)
    """

    def __init__(self, maxsize: float, getsizeof: Callable[[V], float] | None = None) -> None:
        super().__init__(maxsize, getsizeof)
        self._nodes: dict[K, _Node] = {}
        self._queues: Queues[_Node] = Queues()

    def __getitem__(self, key: K) -> V:
        value = super().__getitem__(key)
        node = self._nodes.get(key)
        if node is not None:
            self._queues.read(node)
        return value

    def __setitem__(self, key: K, value: V) -> None:
        size: int = self.getsizeof(value)  # type: ignore[assignment]  # may be a float: it is only summed up
        super().__setitem__(key, value)  # makes room by popitem()
        node = self._nodes.get(key)
        if node is None:
            self._nodes[key] = node = _Node(key, size)
            self._queues.take_in(node, node.fingerprint())
        else:
            self._queues.queue_of(node).reweigh(node, size)
            self._queues.read(node)

    def __delitem__(self, key: K) -> None:
        super().__delitem__(key)
        self._queues.discard(self._nodes.pop(key))

    def popitem(self) -> tuple[K, V]:
        """Evict the first key that nothing speaks for; on the way, others move on in their queues."""
        if not self._nodes:
            raise KeyError("S3FIFOCache is empty")
        node, is_out = self._queues.turn(_Node.fingerprint)
        while not is_out:
            node, is_out = self._queues.turn(_Node.fingerprint)
        value = super().__getitem__(node.key)  # should a finalizer have deleted the key by now, this fails only once
        del self[node.key]
        return node.key, value

    def clear(self) -> None:
        """Forget all, ghosts too."""
        super().clear()
        self._nodes.clear()
        self._queues.clear()

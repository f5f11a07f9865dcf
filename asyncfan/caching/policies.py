"""The policies by name: "lru" is `Recency`, the others are classes of cachetools."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from operator import attrgetter
from typing import Any, TypeVar

import cachetools

from .mapped import Mapped, MappingLike, call_of
from .order import Entry, Order
from .recency import Recency
from .ring import Linked, Ring
from .weighing import Scale

__all__ = ["POLICIES", "S3FIFOCache", "make_order"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
MAX_READS = 3  # counted of one key: two bits


class _Node(Linked):
    """A key in one of the two queues."""

    __slots__ = ("key", "queue", "reads")

    def __init__(self, key: Any, size: int, queue: Ring[_Node]) -> None:
        super().__init__(size)
        self.key = key
        self.reads = 0  # since it came, or entered the main queue; each turn in the main queue takes one
        self.queue = queue


class S3FIFOCache(cachetools.Cache[K, V]):
    """Keeps what is read again, and lets a scan of keys that are read once pass by.

    A new key enters a small queue, a tenth of the cache. If it was read twice when it comes to the end of it, it moves
    to the main queue; if not, it goes, and leaves a ghost: a key that comes back soon enters the main queue at
    once. At the end of the main queue, what was read since goes round again.

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
        self._small: Ring[_Node] = Ring()
        self._main: Ring[_Node] = Ring()
        # {fingerprint: None}, to keep no key alive; that two keys may share one does no harm
        self._ghosts: OrderedDict[int, None] = OrderedDict()

    def __getitem__(self, key: K) -> V:
        value = super().__getitem__(key)
        self._read(key)
        return value

    def __setitem__(self, key: K, value: V) -> None:
        size: int = self.getsizeof(value)  # type: ignore[assignment]  # may be a float: it is only summed up
        super().__setitem__(key, value)  # makes room by popitem()
        node = self._nodes.get(key)
        if node is not None:
            node.queue.reweigh(node, size)
            self._read(key)
            return
        queue = self._main if self._came_back(key) else self._small
        self._nodes[key] = node = _Node(key, size, queue)
        queue.append(node)

    def __delitem__(self, key: K) -> None:
        super().__delitem__(key)
        node = self._nodes.pop(key)
        node.queue.discard(node)

    def popitem(self) -> tuple[K, V]:
        """Evict the first key that nothing speaks for; on the way, others move on in their queues."""
        while True:
            node, is_new = self._next()
            if is_new and node.reads > 1:
                self._promote(node)
            elif not is_new and node.reads > 0:
                node.reads -= 1
                self._main.renew(node)
            else:
                if is_new:
                    self._remember(node.key)
                node.queue.discard(node)  # first: should a finalizer have deleted the key by now, it fails only once
                value = super().__getitem__(node.key)
                del self[node.key]
                return node.key, value

    def clear(self) -> None:
        """Forget all, ghosts too."""
        super().clear()
        self._nodes.clear()
        self._ghosts.clear()
        self._small.clear()
        self._main.clear()

    def _fingerprint(self, key: K) -> int:
        """What is left of a key in its ghost."""
        return hash(key)

    def _read(self, key: K) -> None:
        node = self._nodes.get(key)
        if node is not None and node.reads < MAX_READS:
            node.reads += 1

    def _next(self) -> tuple[_Node, bool]:
        """Return the oldest of the queue that is above its share, and whether that is the small one."""
        first, settled = self._small.oldest, self._main.oldest
        # of what is held, not of maxsize: the cache of entries has another bound beside it
        if first is not None and (settled is None or self._small.weight * 10 >= self.currsize):
            return first, True
        if settled is None:
            raise KeyError("S3FIFOCache is empty")
        return settled, False

    def _came_back(self, key: K) -> bool:
        ghost = self._fingerprint(key)
        if ghost not in self._ghosts:
            return False
        del self._ghosts[ghost]
        return True

    def _promote(self, node: _Node) -> None:
        self._small.discard(node)
        node.reads, node.queue = 0, self._main
        self._main.append(node)

    def _remember(self, key: K) -> None:
        """Leave a ghost; there are as many as the main queue holds keys when the cache is full."""
        self._ghosts[self._fingerprint(key)] = None
        while len(self._ghosts) > len(self) * 9 // 10:
            self._ghosts.popitem(last=False)


class _Told(cachetools.Cache[Entry, Entry]):
    """Makes one of cachetools' classes keep both bounds, and tell what it evicts."""

    def __init__(self, maxsize: float, scale: Scale | None, evicted: Callable[[Entry], None]) -> None:
        super().__init__(maxsize if scale is None else scale.most, None if scale is None else attrgetter("weight"))
        self._most = maxsize
        self._evicted = evicted

    def __setitem__(self, entry: Entry, value: Entry) -> None:
        while len(self) >= self._most:
            self.popitem()
        super().__setitem__(entry, value)

    def popitem(self) -> tuple[Entry, Entry]:
        """Evict one entry as the other base class says."""
        found = super().popitem()
        self._evicted(found[0])
        return found


class _Frequency(_Told, cachetools.LFUCache[Entry, Entry]):
    """Least frequently used first."""


class _Queues(_Told, S3FIFOCache[Entry, Entry]):
    """S3-FIFO that knows a call again by a new entry."""

    def _fingerprint(self, key: Entry) -> int:
        return hash(call_of(key))


POLICIES: dict[str, Any] = {"lru": Recency, "lfu": _Frequency, "s3fifo": _Queues}


def make_order(
    policy: str | MappingLike,
    evicted: Callable[[Entry], None],
    *,
    maxsize: int | None,
    scale: Scale | None,
) -> Order:
    """Return the order of a policy by its name, or that of the user's mapping.

    Raises:
        TypeError: It is neither a name nor a mapping.
        ValueError: There is no policy of that name, or ``max_bytes`` stands beside a mapping.
    """
    if isinstance(policy, str):
        return _named(policy, math.inf if maxsize is None else maxsize, scale, evicted)
    if not isinstance(policy, MappingLike):
        raise TypeError(f"policy must be {_names()} or a mutable mapping with bounds of its own, got {policy!r}")
    if scale is not None:
        raise ValueError("max_bytes cannot bound a mapping given as policy: bound the mapping itself")
    return Mapped(policy)


def _named(name: str, most: float, scale: Scale | None, evicted: Callable[[Entry], None]) -> Order:
    if name not in POLICIES:
        raise ValueError(f"policy must be {_names()} or a mutable mapping with bounds of its own, got {name!r}")
    if name == "lru":
        return Recency(most, scale, evicted)
    return Mapped(POLICIES[name](most, scale, evicted), scale=scale, key=lambda entry: entry, silent=False)


def _names() -> str:
    return ", ".join(map(repr, POLICIES))

"""`Cache`: the entries, bounds and clears that a group of cached functions share."""

from __future__ import annotations

import asyncio
import math
import os
import random
import threading
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from .calls.decorating import Decorating
from .calls.level import seconds_of
from .calls.twins import Source, are_twins
from .clears.invalidation import Invalidation
from .clears.tags import Clears
from .freshness.freshness import Freshness
from .listening import Listening
from .many.items import Items
from .memory.mapped import MappingLike
from .memory.order import Entry
from .memory.policies import make_order
from .memory.store import Store
from .memory.weighing import make_scale
from .operation import Operation

if TYPE_CHECKING:
    from datetime import timedelta

    from .shared.protocol import Store as SharedStore
    from .shared.tier import SharedTier
    from .stats import CacheStats

__all__ = ["Cache", "cache"]

_caches: weakref.WeakSet[Cache] = weakref.WeakSet()


class Cache(Decorating, Items, Invalidation):
    """Entries of cached functions, with common bounds; `cache` is the one that everything uses by default.

    It may be used from any number of event loops and threads at once; values belong to the process, a running load to
    the loop or thread of its first caller. After a fork the child keeps the values and forgets the parent's loads.

    Args:
        maxsize: The most entries it keeps; beyond, the policy chooses which goes. None is no limit.
        max_bytes: The most bytes the entries may hold, each with 400 for what it costs beside its value; None is no
            limit. One that alone is above it is given out, not stored.
        weigher: ``weigher(value)`` is the bytes of a value; by default an estimate from a sample of what it holds. It
            is called once for each value, under the cache's lock: it must be quick. Where it fails, or returns no
            number >= 0, the value is given out, not stored, and the log says so; `put` raises.
        policy: "lru" drops what was not used for longest. "lfu" drops what was used least often, and is slow to forget
            what was once in demand (Shah et al., 2010). "s3fifo" lets what is used once, such as a scan, pass by
            without driving out the rest (Yang et al., SOSP 2023). An entry of each takes some 400 bytes beside its
            value. Or a mutable mapping with bounds of its own, such as cachebox's, in place of those above: it is
            given a record with a ``value`` for each call, and what it drops goes here too.
        clock: Gives the time in seconds that expiry is measured by; it must not go back.
        random: Gives a number from [0, 1): for ``jitter`` and ``refresh_ahead``.
        namespace: Put before every key in a tier shared with other programs.
        store: What processes share behind their memory: a URL such as "redis://localhost:6379/0", a `Store`, or a
            `SharedTier`, which has more to set. Each process keeps what it uses in memory, and learns at once of what
            another one invalidates. Where the server cannot be reached, the cache does without.
        memory_expire: With a store, seconds or `timedelta` that memory keeps a value which processes share: so long
            can one that another process invalidated be served, if its message was lost.

    Raises:
        TypeError: The policy is neither a name nor a mapping; the weigher is not callable, or without ``max_bytes``;
            another option has the wrong type.
        ValueError: A bound is below 1, the policy has another name, or ``max_bytes`` stands beside a mapping.

    Example:
        >>> users = Cache(maxsize=10_000)
        >>> @users.cache_function(expire=60)
        ... def name_of(number):
        ...     return f"user {number}"
        >>> name_of(1), name_of(1), name_of.cache_info().hits
        ('user 1', 'user 1', 1)
    """

    def __init__(
        self,
        maxsize: int | None = 100_000,
        *,
        max_bytes: int | None = None,
        weigher: Callable[[Any], int] | None = None,
        policy: Literal["lru", "lfu", "s3fifo"] | MappingLike = "lru",
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random.random,
        namespace: str = "",
        store: str | SharedStore | SharedTier | None = None,
        memory_expire: float | timedelta = 60.0,
    ) -> None:
        super().__init__(lambda: self.operation("", "get_or_set"))
        _check_bound("maxsize", maxsize)
        _check_bound("max_bytes", max_bytes)
        _check_function("clock", clock, "the time in seconds")
        _check_function("random", random, "a number from [0, 1)")
        if not isinstance(namespace, str):
            raise TypeError(f'namespace must be a string such as "shop", got {namespace!r}')
        order = make_order(policy, _evicted, _moved, maxsize=maxsize, scale=make_scale(max_bytes, weigher))
        self.maxsize: int | None = maxsize if isinstance(policy, str) else getattr(policy, "maxsize", None)
        self.max_bytes: int | None = max_bytes
        self.weigher = weigher
        self.clock = clock
        self.random = random
        self.namespace = namespace
        self.tier: SharedTier | None = None if store is None else _opened(store, namespace)
        memory_seconds = seconds_of(memory_expire, "memory_expire", none="")
        self.memory_expire: float = math.inf if store is None else memory_seconds
        self.tasks: set[asyncio.Task[Any]] = set()  # the loads that run now, in any loop
        self.writes: set[asyncio.Task[Any]] = set()  # those that have ended, but for telling the shared tier
        self.threads: set[threading.Thread] = set()  # those that run loads of plain functions in the background
        # in the order in which they were made, which a set would not keep
        self.operations: weakref.WeakKeyDictionary[Operation, None] = weakref.WeakKeyDictionary()
        self.store: Store = Store(order, clock)
        self.clears: Clears = Clears()
        _caches.add(self)
        if self.tier is not None:
            self.tier.attach(Listening(self))

    def operation(
        self,
        prefix: str,
        name: str,
        *,
        text: Callable[[Any], str] = str,
        freshness: Freshness = Freshness(math.inf),  # noqa: B008 - frozen
        source: Source | None = None,
    ) -> Operation:
        """Register something cached: ``text`` spells its keys, which begin with ``prefix``.

        Raises:
            ValueError: Processes share its values, and what is from another ``source`` has the same prefix.
        """
        for other in list(self.operations) if self.tier is not None else ():
            if other.prefix != prefix:
                continue
            if other.name != name or (source and other.source and are_twins(source, other.source)):
                which = "another of that name" if other.name == name else other.name
                raise ValueError(
                    f"{name} and {which} have the same prefix {prefix!r}, so that they would get each other's "
                    "values from the shared tier: give one of them another key_prefix"
                )
        found = Operation(self, prefix, name, text, freshness)
        found.source = source
        self.operations[found] = None
        if self.tier is not None:
            found.keep_index()  # other processes name keys by their texts
        return found

    # -- seeing -----------------------------------------------------------------------------------------------------

    def stats(self) -> CacheStats:
        """Return what the cache counted, by function; ``print`` it for a table."""
        from .stats import snapshot  # noqa: PLC0415 - seldom used

        return snapshot(list(self.operations), len(self), self.maxsize)

    def __len__(self) -> int:
        return sum(op.live for op in list(self.operations))

    def __repr__(self) -> str:
        limit = "" if self.maxsize is None else f"/{self.maxsize}"
        return f"<Cache {len(self)}{limit} entries, {len(self.tasks)} loading>"

    # -- ending -----------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Cancel the loads that run in this event loop, and wait until they have ended; entries stay.

        Loads of plain functions in the background cannot be cancelled: they are waited for.

        Callers that wait for one of them get `SelfCancelledError`. The cache may be used again.
        """
        loop = asyncio.get_running_loop()
        mine = [task for task in self.tasks if task.get_loop() is loop and task is not asyncio.current_task()]
        for task in mine:
            task.cancel()
        with self.store.lock:
            self.store.stop()
        if mine:
            await asyncio.wait(mine)
        with self.store.lock:
            threads = list(self.threads)
        for thread in threads:
            await asyncio.to_thread(thread.join)
        writes = [task for task in self.writes if task.get_loop() is loop and task is not asyncio.current_task()]
        if writes:
            await asyncio.wait(writes)
        if self.tier is not None:
            await self.tier.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def after_fork(self) -> None:
        """In a forked child: forget the parent's loads and timers, and everything if a change was under way."""
        whole = self.store.lock.acquire(blocking=False)
        lock = self.store.lock = threading.RLock()
        self.tasks, self.threads, self.writes = set(), set(), set()
        if self.tier is not None:
            self.tier.after_fork()
        self.store.forget_timer()
        for op in list(self.operations):
            op.lock = lock
            op.flights.clear()
            if not whole:
                op.forget_all()
        if not whole:
            self.store.forget_all()


def _evicted(entry: Entry) -> None:
    entry.seal.operation.drop(entry, "size")


def _moved(entry: Entry) -> None:
    entry.seal.operation.store.moved(entry)


def _opened(store: str | SharedStore | SharedTier, namespace: str) -> SharedTier:
    """Return the tier behind what the user gave; nothing of it is loaded where there is none."""
    from .shared.tier import SharedTier  # noqa: PLC0415
    from .shared.urls import open_store  # noqa: PLC0415

    if isinstance(store, SharedTier):
        return store
    if isinstance(store, str):
        return SharedTier(open_store(store, **({"namespace": namespace} if namespace else {})))
    if not callable(getattr(store, "lease", None)):
        raise TypeError(f'store must be a URL such as "redis://localhost", a Store or a SharedTier, got {store!r}')
    return SharedTier(store)


def _check_bound(name: str, value: int | None) -> None:
    if value is not None and (type(value) is not int or value < 1):
        raise ValueError(f"{name} must be a whole number >= 1, or None for no limit, got {value!r}")


def _check_function(name: str, function: Any, gives: str) -> None:
    if not callable(function):
        raise TypeError(f"{name} must be a function that returns {gives}, got {function!r}")


def _after_fork() -> None:
    for found in list(_caches):
        found.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

cache: Cache = Cache()

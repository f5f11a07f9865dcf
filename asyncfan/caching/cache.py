"""`Cache`: the entries, bounds and clears that a group of cached functions share."""

from __future__ import annotations

import asyncio
import math
import os
import random
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, Self, TypeVar, Unpack, overload

from .adaptive import AdaptiveExpire
from .call_keys import without_surroundings
from .cleared import Cleared, Told
from .freshness import Freshness
from .functions import cached_function
from .items import Items
from .keys import untyped
from .level import CacheLevel, Expire, seconds_of
from .listening import Listening
from .load import checked_tags
from .mapped import MappingLike
from .operation import Operation
from .options import CacheOptions, check_names
from .order import Entry
from .patterns import Pattern
from .policies import make_order
from .stats import CacheStats, snapshot
from .store import Store
from .tags import Clears
from .tiering import is_shareable
from .weighing import make_scale
from .wrappers import AsyncCached, Cached, CachedGenerator

if TYPE_CHECKING:
    from .shared.protocol import Store as SharedStore
    from .shared.tier import SharedTier

__all__ = ["Cache", "cache"]

P = ParamSpec("P")
T = TypeVar("T")

_caches: weakref.WeakSet[Cache] = weakref.WeakSet()


class CacheFunctionDecorator(Protocol):
    """What ``cache_function(...)`` with options returns: the decorator."""

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a coroutine function is a function; the first match wins
        self, function: Callable[P, Coroutine[Any, Any, T]], /
    ) -> AsyncCached[P, T]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, AsyncIterator[T]], /
    ) -> CachedGenerator[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, T], /) -> Cached[P, T]: ...


class Cache(Items):
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
            what was once in demand. "s3fifo" lets what is used once, such as a scan, pass by without driving out the
            rest (Yang et al., SOSP 2023). Or a mutable mapping with bounds of its own, such as cachebox's, in
            place of those above: it is given a record with a ``value`` for each call, and what it drops goes here too.
        clock: Gives the time in seconds that expiry is measured by; it must not go back.
        random: Gives a number from [0, 1): for ``jitter`` and ``refresh_ahead``.
        namespace: Put before every key in a tier shared with other programs.
        store: What processes share behind their memory: a URL such as "redis://localhost:6379/0", a `Store`, or a
            `SharedTier`, which has more to set. Each process keeps what it uses in memory, and learns at once of what
            another one invalidates. Where the server cannot be reached, the cache does without.
        memory_expire: With a store, seconds or `timedelta` that memory keeps a value: so long can one that another
            process invalidated be served, if its message was lost.

    Raises:
        TypeError: The policy is neither a name nor a mapping; the weigher is not callable, or without ``max_bytes``.
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
        order = make_order(policy, _evicted, maxsize=maxsize, scale=make_scale(max_bytes, weigher))
        self.maxsize: int | None = maxsize if isinstance(policy, str) else getattr(policy, "maxsize", None)
        self.max_bytes: int | None = max_bytes
        self.weigher = weigher
        self.clock = clock
        self.random = random
        self.namespace = namespace
        self.tier: SharedTier | None = None if store is None else _opened(store, namespace)
        self.memory_expire: float = math.inf if store is None else seconds_of(memory_expire, "memory_expire", none="")
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

    # -- decorating -------------------------------------------------------------------------------------------------

    @overload
    def cache_function(  # type: ignore[overload-overlap]  # as above
        self, function: Callable[P, Coroutine[Any, Any, T]], /
    ) -> AsyncCached[P, T]: ...
    @overload
    def cache_function(  # type: ignore[overload-overlap]
        self, function: Callable[P, AsyncIterator[T]], /
    ) -> CachedGenerator[P, T]: ...
    @overload
    def cache_function(self, function: Callable[P, T], /) -> Cached[P, T]: ...
    @overload
    def cache_function(
        self,
        expire: Expire | AdaptiveExpire = ...,
        key_prefix: str | None = None,
        cache_level: CacheLevel | None = None,
        **options: Unpack[CacheOptions],
    ) -> CacheFunctionDecorator: ...

    def cache_function(
        self,
        expire: Any = ...,
        key_prefix: str | None = None,
        cache_level: CacheLevel | None = None,
        **options: Unpack[CacheOptions],
    ) -> Any:
        """Make a function remember what it returned: same arguments, same value, until it expires.

        ``async def`` stays ``async def``, ``def`` stays ``def`` (thread-safe). Equal calls at the same time make one
        load, which runs in a task of its own (for a ``def``: in the first caller's thread) and is cancelled only when
        all its callers have left. ``None`` is cached, an exception is not. ``f(1)``, ``f(a=1)`` and a default of 1 are
        one call; ``1``, ``1.0``, ``True`` and ``"1"`` are different ones. Use it bare or with options.

        An async generator stays one. Its items are replayed once a run of it has come to its end by itself; until then
        all consumers share the run, each at its own pace, and the last one to leave closes it. What one of them sends
        or throws in does not reach the generator. See `CachedGenerator`.

        In a class body, a method whose first parameter is ``self`` is cached for each instance, which is not kept
        alive by it.

        Args:
            expire: Seconds or `timedelta` that a value is kept; None is for good; `AdaptiveExpire` finds it out. Not
                given: 60, 300 or 3600 s at the levels LOW, MEDIUM and HIGH.
            key_prefix: What the texts of the keys begin with, for `clear`; the function's module and name by default.
            cache_level: How much of the surrounding `scope` is in the key; MEDIUM by default.
            **options: See `CacheOptions`: keying (``key``, ``ignore``, ``copy``), freshness
                (``stale_while_revalidate``, ``stale_if_error``, ``refresh_ahead``, ``jitter``, ``negative_expire``,
                ``cache_exceptions``, ``cache_if``), loads (``soft_timeout``, ``hard_timeout``, ``limiter``), ``tags``,
                ``max_items``.

        Raises:
            TypeError: It is no function, or a plain generator; an option has the wrong type.
            ValueError: ``expire`` or ``max_items`` is not above 0, or ``ignore`` names no parameter.
            UnkeyableArgumentError: At a call, an argument has no value to key by.
            RecursiveLoadError: At a call, the load waits for itself.
            SelfCancelledError: At a call, the function raised ``CancelledError`` although nobody had cancelled it.

        Cancellation:
            A cancelled caller leaves alone; the load goes on for the others.

        Example:
            >>> from asyncfan.testing import run
            >>> @Cache().cache_function(expire=60, key_prefix="square")
            ... async def square(n):
            ...     return n * n
            >>> run(square(3)), square.peek(3), square.cache_key(3)
            (9, 9, 'square:3')
        """
        check_names(options)  # type: ignore[arg-type]  # a TypedDict is a dict of str
        given: dict[str, Any] = {"key_prefix": key_prefix, "cache_level": cache_level, "options": options}
        if callable(expire) or isinstance(expire, (staticmethod, classmethod)) or asyncio.iscoroutine(expire):
            return cached_function(self, expire, expire=..., **given)
        return lambda function: cached_function(self, function, expire=expire, **given)

    def operation(
        self,
        prefix: str,
        name: str,
        *,
        text: Callable[[Any], str] = str,
        freshness: Freshness = Freshness(math.inf),  # noqa: B008 - frozen
    ) -> Operation:
        """Register something cached: ``text`` spells its keys, which begin with ``prefix``."""
        for other in list(self.operations) if self.tier is not None else ():
            if other.prefix == prefix and other.name != name:
                raise ValueError(
                    f"{name} and {other.name} have the same prefix {prefix!r}, so that they would get each other's "
                    "values from the shared tier: give one of them another key_prefix"
                )
        found = Operation(self, prefix, name, text, freshness)
        self.operations[found] = None
        if self.tier is not None:
            found.keep_index()  # other processes name keys by their texts
        return found

    # -- clearing ---------------------------------------------------------------------------------------------------

    def clear(self, pattern: str, *, dry_run: bool = False) -> Cleared:
        """Drop every entry whose key matches ``pattern``, in which ``*`` stands for anything.

        When it returns, none of them is served any more, and no load in flight for one is stored or joined. It need
        not be awaited; see `Cleared`. Numbers and strings that look alike both match: ``42`` means 42 and "42". Since
        ``user:42*`` also means user 420, prefer `clear_prefix` where that matters. What a function's ``cache_key``
        returns is a pattern too, and ``*:@tenant/acme*`` means whatever was stored in ``scope(tenant="acme")``.

        The first clear of a part of more than 1,000 entries of one function makes an index of them, of about 100 bytes
        an entry, in small steps. From then on it costs what it drops, and what else begins as the pattern does up to
        its first ``*``.

        Args:
            pattern: What to drop.
            dry_run: Only count what would go.

        Raises:
            TypeError: ``pattern`` is not a string.
            ValueError: It is empty or has nothing but ``*``: `clear_all` says that.

        Example:
            >>> cache.clear("user:profile:42*")
            <Cleared 0 entries>
        """
        return self.clear_patterns(*Pattern.readings(pattern), dry_run=dry_run)

    def clear_prefix(self, *parts: object, dry_run: bool = False) -> Cleared:
        """Drop the entry of the key ``part:part:...`` and all below it, exactly by segment.

        Since each level's key begins with the coarser one's, that is a call in every tenant's and principal's scope.

        Args:
            *parts: The first is the prefix given at decoration (or its first segments), the others argument values.
            dry_run: Only count what would go.

        Raises:
            ValueError: No part is given: `clear_all` says that.

        Example:
            >>> cache.clear_prefix("user:profile", 42)  # not 420
            <Cleared 0 entries>
        """
        if not parts:
            raise ValueError("clear_prefix() would drop everything: call clear_all() if that is meant")
        return self.clear_patterns(Pattern.under(parts), dry_run=dry_run)

    def clear_tags(self, *tags: str, dry_run: bool = False) -> Cleared:
        """Drop every entry that carries one of the ``tags``, whatever function it is of.

        A load in flight that has one of them in the end is not stored, even if it adds it only now; who called before
        may get what it gives, who calls from now on does not. It costs what it drops.

        Args:
            *tags: As given by ``cache_function(tags=...)`` or ``current_load().tag(...)``, without wildcards.
            dry_run: Only count what would go.

        Raises:
            TypeError: A tag is not a string.
            ValueError: A tag is empty, or none is given.

        Example:
            >>> @cache.cache_function(tags="user:{user}")
            ... def name_of(user):
            ...     return f"user {user}"
            >>> name_of(42)
            'user 42'
            >>> cache.clear_tags("user:42")
            <Cleared 1 entries>
        """
        if not checked_tags(tags):
            raise ValueError('clear_tags() takes at least one tag, such as clear_tags("user:42")')
        return self._tell(dry_run, tags=tags).join(self.forget_tags(*tags, dry_run=dry_run))

    def clear_all(self, *, dry_run: bool = False) -> Cleared:
        """Drop every entry of this cache; no load in flight is stored or joined.

        Args:
            dry_run: Only count what would go.
        """
        return self._tell(dry_run, everything=True).join(self.forget_all(dry_run=dry_run))

    def clear_patterns(self, *patterns: Pattern, dry_run: bool = False) -> Cleared:
        """Drop every entry that one of the ``patterns`` means, of which no two mean the same entry."""
        return self._tell(dry_run, patterns=patterns).join(self.forget_patterns(*patterns, dry_run=dry_run))

    def clear_operation(self, operation: Operation) -> Cleared:
        """Drop every entry of one function or endpoint; from the shared tier, every one that its prefix begins."""
        told = self._tell(patterns=(Pattern(operation.prefix, subtree=True),))
        cleared = Cleared(self.store)
        operation.clear_matching(None, cleared)
        return told.join(cleared.begin())

    def clear_call(self, operation: Operation, key: Any, *, scoped: bool = True) -> Cleared:
        """Drop the entry of one call, whatever the scope it was made in; not ``scoped``: it was made in none."""
        base = without_surroundings(key) if scoped else key
        below = (Pattern(untyped(operation.text(base)) + ":@", tail=True),) if scoped else ()
        told = self._tell(texts=[operation.text(one) for one in dict.fromkeys((key, base))], patterns=below)
        cleared = Cleared(self.store)
        cleared.count = operation.clear_key(key) + (operation.clear_key(base) if base is not key else 0)
        for pattern in below:
            operation.clear_matching(pattern, cleared)
        return told.join(cleared.begin())

    def _tell(
        self,
        dry_run: bool = False,  # noqa: FBT001, FBT002 - as its callers have it
        *,
        texts: Sequence[str] = (),
        patterns: Sequence[Pattern] = (),
        tags: Sequence[str] = (),
        everything: bool = False,
    ) -> Told:
        """Tell the tier that processes share of a clear, before memory is cleared: it must not be read from there."""
        shareable = [text for text in texts if is_shareable(text)]
        if self.tier is None or dry_run:
            return Told()
        dropped = self.tier.drop(shareable) if shareable else None
        if patterns or tags or everything:
            return Told(dropped, self.tier.clear(patterns=patterns, tags=tags, everything=everything))
        return Told(dropped)

    # -- clearing memory alone, as other processes ask for it -------------------------------------------------------

    def forget_tags(self, *tags: str, dry_run: bool = False) -> Cleared:
        """Drop every entry of this process that carries one of the ``tags``."""
        cleared = Cleared(self.store, dry_run=dry_run)
        found = tuple(dict.fromkeys(tags))
        with self.store.lock:
            operations = list(self.operations)
            if not dry_run:
                self.clears.add(found, in_flight=any(op.flights for op in operations))
            for op in operations:
                (op.count_tags if dry_run else op.clear_tags)(found, cleared)
        return cleared.begin()

    def forget_all(self, *, dry_run: bool = False) -> Cleared:
        """Drop every entry of this process."""
        cleared = Cleared(self.store, dry_run=dry_run)
        for op in list(self.operations):
            (op.count_matching if dry_run else op.clear_matching)(None, cleared)
        return cleared.begin()

    def forget_patterns(self, *patterns: Pattern, dry_run: bool = False) -> Cleared:
        """Drop every entry of this process that one of the ``patterns`` means."""
        cleared = Cleared(self.store, dry_run=dry_run)
        for op in list(self.operations):
            for pattern in patterns:
                if pattern.touches(op.prefix):
                    (op.count_matching if dry_run else op.clear_matching)(pattern, cleared)
        return cleared.begin()

    def forget_texts(self, *texts: str) -> Cleared:
        """Drop the entries of this process by their keys' texts; those that look alike go too."""
        return self.forget_patterns(*{Pattern(untyped(text)) for text in texts})

    # -- seeing -----------------------------------------------------------------------------------------------------

    def stats(self) -> CacheStats:
        """Return what the cache counted, by function; ``print`` it for a table."""
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
        for thread in list(self.threads):
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


def _after_fork() -> None:
    for found in list(_caches):
        found.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

cache: Cache = Cache()

"""Values by a key of the user's own: `get_or_set`, and the few words beside it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from ...fanout.calling import as_coroutine_function
from ..calls.level import CacheLevel, Expire, expiry
from ..freshness.freshness import Freshness
from ..freshness.load import checked_tags
from ..freshness.options import FreshnessOptions, check_names, freshness_of
from ..loads.limits import limited
from ..loads.register import Missing
from ..memory.order import Entry
from .item_keys import ItemKey, item_text

if TYPE_CHECKING:
    from ...fanout.outcome import Outcome
    from ..clears.cleared import Cleared
    from ..explain import Explanation
    from ..operation import Operation

__all__ = ["Items"]

T = TypeVar("T")
K = TypeVar("K", bound=ItemKey)

Tags = str | Iterable[str]


class Items:
    """What a cache offers to those who name the keys themselves. All of it is one operation of the cache."""

    def __init__(self, make: Callable[[], Operation]) -> None:
        self._make_items = make

    @overload
    async def get_or_set(
        self,
        key: ItemKey,
        loader: Callable[[], Awaitable[T]],
        expire: Expire = ...,
        *,
        tags: Tags = ...,
        **options: Unpack[FreshnessOptions],
    ) -> T: ...
    @overload
    async def get_or_set(
        self,
        key: ItemKey,
        loader: Callable[[], T],
        expire: Expire = ...,
        *,
        tags: Tags = ...,
        **options: Unpack[FreshnessOptions],
    ) -> T: ...
    async def get_or_set(
        self,
        key: ItemKey,
        loader: Callable[[], Any],
        expire: Expire = ...,
        *,
        tags: Tags = (),
        **options: Unpack[FreshnessOptions],
    ) -> Any:
        """Return what is stored under ``key``, or what ``loader`` gives, and store that.

        As a function of `cache_function`: one load however many ask at once, in a task of its own; what began before
        an invalidation is never stored. Plain code has no such method: let it cache a ``def`` with `cache_function`.

        Args:
            key: A text, in which each ":" begins a segment, for `clear` and `clear_prefix`; or a tuple of such values
                as arguments of cached functions may have: ``("user:profile", 42)`` is "user:profile:42".
            loader: Called without arguments, as a fan-out calls a function: a plain ``def`` in a thread.
            expire: Seconds or `timedelta` that the value is kept; None is for good; 300 s if not given.
            tags: By which `Cache.clear_tags` drops the value.
            **options: See `FreshnessOptions`. They and ``expire`` hold for what this call loads.

        Raises:
            TypeError: ``key`` or an option has the wrong type.
            ValueError: ``key`` or a tag is empty, or a number is out of bounds.
            Exception: What the loader raised.

        Cancellation:
            A cancelled caller leaves alone; the load goes on for the others, and is cancelled with the last one.

        Example:
            >>> from asyncfan.testing import run
            >>> users = Cache()
            >>> async def load():
            ...     return {"name": "Ann"}
            >>> run(users.get_or_set("user:profile:42", load, expire=300))
            {'name': 'Ann'}
            >>> users.peek("user:profile:42"), users.clear("user:profile:42*")
            ({'name': 'Ann'}, <Cleared 1 entries>)
        """
        op, text = self._operation(), item_text(key)
        entry = _fresh(op, text)
        if entry is not None:
            return entry.value
        how = _freshness("get_or_set", expire, options)
        call = limited(text, as_coroutine_function(loader), how.hard_timeout, how.limiter)
        return await op.fetch(text, call, tags=checked_tags(tags), how=how)

    @overload
    async def get_or_set_many(
        self,
        keys: Iterable[K],
        loader: Callable[[list[K]], Any],
        expire: Expire = ...,
        *,
        on_error: Literal["raise"] = "raise",
        tags: Tags | Callable[[K], Tags] = ...,
        **options: Unpack[FreshnessOptions],
    ) -> dict[K, Any]: ...
    @overload
    async def get_or_set_many(
        self,
        keys: Iterable[K],
        loader: Callable[[list[K]], Any],
        expire: Expire = ...,
        *,
        on_error: Literal["collect"],
        tags: Tags | Callable[[K], Tags] = ...,
        **options: Unpack[FreshnessOptions],
    ) -> dict[K, Outcome[Any]]: ...
    async def get_or_set_many(
        self,
        keys: Iterable[K],
        loader: Callable[[list[K]], Any],
        expire: Expire = ...,
        *,
        on_error: Literal["raise", "collect"] = "raise",
        tags: Tags | Callable[[K], Tags] = (),
        **options: Unpack[FreshnessOptions],
    ) -> dict[K, Any]:
        """Return ``{key: value}`` for all keys, of which those that are missing are loaded in one call.

        Each value is stored, fenced and shared with other callers by itself, as with `get_or_set`.

        Args:
            keys: As for `get_or_set`.
            loader: Called with the list of the missing keys; returns a mapping by key, or a sequence in their order.
                An exception in the place of a value is raised for that key only.
            expire: As for `get_or_set`.
            on_error: "raise" raises the first failure; "collect" raises none and gives an `Outcome` for each key.
            tags: Texts, or a function of the key that returns some.
            **options: See `FreshnessOptions`.

        Raises:
            MissingKeyError: The loader returned nothing for a key.
            BatchResultError: The loader returned something else, or a sequence of another length.
            Exception: What the loader raised; as `get_or_set`.

        Cancellation:
            The caller leaves; the load goes on if others wait for one of its keys, else it is cancelled.

        Example:
            >>> from asyncfan.testing import run
            >>> async def load(missing):
            ...     return {key: key.upper() for key in missing}
            >>> run(Cache().get_or_set_many(["a:1", "a:2"], load, expire=60))
            {'a:1': 'A:1', 'a:2': 'A:2'}
        """
        from .item_batches import load_items, outcome_of  # noqa: PLC0415 - loaded where it is used

        if on_error not in ("raise", "collect"):
            raise ValueError(f"on_error must be 'raise' or 'collect', got {on_error!r}")
        if isinstance(keys, str):
            raise TypeError(f"get_or_set_many() takes an iterable of keys, got one: [{keys!r}]?")
        op, collect = self._operation(), on_error == "collect"
        texts = {key: item_text(key) for key in keys}
        results, clock, started = {}, op.cache.clock, op.cache.clock()
        wanted: dict[str, K] = {}
        for key, text in texts.items():
            entry = _fresh(op, text)
            if entry is None:
                op.joined += text in wanted
                wanted.setdefault(text, key)
            else:
                results[text] = entry.value
        if wanted:
            how = _freshness("get_or_set_many", expire, options)
            todo = [(text, key, checked_tags(tags(key) if callable(tags) else tags)) for text, key in wanted.items()]
            results |= await load_items(op, todo, loader, how, collect=collect)
        if not collect:
            return {key: results[text] for key, text in texts.items()}
        taken = clock() - started
        return {key: outcome_of(key, results[text], taken if text in wanted else None) for key, text in texts.items()}

    def peek(self, key: ItemKey) -> Any | Missing:
        """Return what is stored under ``key``, or `MISSING`; never load, count or reorder."""
        return self._operation().peek(item_text(key))

    def put(
        self,
        key: ItemKey,
        value: object,
        expire: Expire = ...,
        *,
        tags: Tags = (),
        **options: Unpack[FreshnessOptions],
    ) -> None:
        """Store ``value`` under ``key``, as `get_or_set` would; a load in flight for it will not replace it."""
        self._operation().put(item_text(key), value, checked_tags(tags), _freshness("put", expire, options))

    def invalidate(self, key: ItemKey) -> Cleared:
        """Drop what is stored under ``key``; a load in flight for it is neither stored nor joined."""
        op = self._operation()
        return op.cache.clear_call(op, item_text(key), scoped=False)

    def explain(self, key: ItemKey) -> Explanation:
        """Return what the cache knows of ``key``; ``print`` it for people. See `asyncfan.explain`."""
        from ..explain import explain_item  # noqa: PLC0415 - seldom used

        return explain_item(self._operation(), item_text(key))

    def _operation(self) -> Operation:
        """Return what all items belong to; made when it is needed, for it shows in the figures."""
        found: Operation | None = self.__dict__.get("_items")
        return self.__dict__.setdefault("_items", self._make_items()) if found is None else found


def _fresh(op: Operation, text: str) -> Entry | None:
    """Return the entry that is served without a thought, as a hit of a compiled function is."""
    entry = op.table.get(text)
    if entry is None or entry.seal is not op.seal or entry.expires <= op.cache.clock():
        return None
    op.hits += 1
    op.store.touched.append(entry)
    return entry


def _freshness(name: str, expire: Expire, options: FreshnessOptions) -> Freshness:
    seconds = expiry(expire, CacheLevel.MEDIUM)
    if not options:
        return _plain_freshness(seconds)
    check_names(options, FreshnessOptions, name)  # type: ignore[arg-type]  # a TypedDict is a dict of str
    return freshness_of(_freshness, seconds, options, is_async=True)  # type: ignore[arg-type]  # a part of CacheOptions


@lru_cache(maxsize=64)
def _plain_freshness(seconds: float) -> Freshness:
    return Freshness(seconds)

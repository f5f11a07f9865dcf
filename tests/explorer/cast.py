"""What a schedule calls: each cached thing, made when it is first called, behind the same few words."""

import contextlib
import inspect
from functools import partial

from asyncfan import Limiter
from asyncfan.caching.freshness.freshness import Freshness
from asyncfan.context import scope

from .source import Batches, NotFoundError, tags_of

SIGNATURE = inspect.signature(lambda key: key)


def within(tenant):
    """Return the surroundings of a tenant's calls."""
    return scope(tenant=tenant) if tenant else contextlib.nullcontext()


class Cast(dict):
    """``{name: what is cached under it}``."""

    def __init__(self, plan, cache, source):
        self.plan = plan
        self.cache = cache
        self.source = source

    def __missing__(self, name):
        make = {"page": Page, "i": Items}.get(name, Function)
        found = self[name] = make(name, self.plan, self.cache, self.source)
        return found


class Function:
    """``f`` with freshness options and tags, ``g`` without, ``b`` over a batched function with them and more."""

    def __init__(self, name, plan, cache, source):
        options, function = {}, _single(source, name)
        if name in {"f", "b"}:
            options = {"tags": tags_of, **plan.stale}
        if name == "b":
            function = Batches(source, plan.batch_size)
            options |= {"cache_exceptions": NotFoundError, **plan.batch}
            if "limiter" in options:
                options["limiter"] = Limiter("origin", max_concurrency=options["limiter"])
        self.wrapper = cache.cache_function(expire=plan.expire, key_prefix=name, **options)(function)
        self.operation = self.wrapper.cache_clear.__self__.operation

    async def call(self, key, *, anew):
        """Return the value."""
        return await (self.wrapper.refresh(key) if anew else self.wrapper(key))

    async def many(self, keys):
        """Return the values."""
        return await self.wrapper.many(keys)

    async def outcomes(self, keys):
        """Return what became of each."""
        return await self.wrapper.many_outcomes(keys)

    def invalidate(self, key):
        """Drop one key."""
        return self.wrapper.invalidate(key)

    def put(self, value, key):
        """Store a value."""
        self.wrapper.put(value, key)

    def peek(self, key):
        """Look, and leave no trace."""
        return self.wrapper.peek(key)


def _single(source, name):
    async def function(key):
        return await source.load(name, key)

    function.__signature__ = SIGNATURE  # to find it anew for each schedule takes long
    return function


class Items:
    """`get_or_set` and its like."""

    def __init__(self, name, plan, cache, source):
        self.name, self.expire, self.cache, self.source = name, plan.expire, cache, source
        self.operation = cache._operation()

    async def call(self, key, *, anew):
        """Return the value."""
        return await self.cache.get_or_set((self.name, key), partial(self.source.load, self.name, key), self.expire)

    async def many(self, keys):
        """Return the values."""
        return list((await self._load(keys, "raise")).values())

    async def outcomes(self, keys):
        """Return what became of each."""
        return list((await self._load(keys, "collect")).values())

    async def _load(self, keys, on_error):
        async def load(missing):
            return await self.source.load_together(self.name, [key for _, key in missing], self.source.ask)

        named = [(self.name, key) for key in keys]
        return await self.cache.get_or_set_many(named, load, self.expire, on_error=on_error)

    def invalidate(self, key):
        """Drop one key."""
        return self.cache.invalidate((self.name, key))

    def put(self, value, key):
        """Store a value."""
        self.cache.put((self.name, key), value, self.expire)

    def peek(self, key):
        """Look, and leave no trace."""
        return self.cache.peek((self.name, key))


class Page:
    """An endpoint: whoever calls first runs the handler in its own task."""

    def __init__(self, name, plan, cache, source):
        self.source = source
        freshness = Freshness(source.oracle.expire)
        self.operation = cache.operation(name, name, text=lambda key: f"{name}:{key}", freshness=freshness)

    async def call(self, key, *, anew):
        """Return the value."""
        return (await self.operation.lead(key, lambda: self.source.load("page", key)))[0]

    def invalidate(self, key):
        """Drop one key; returns how many went."""
        return self.operation.clear_key(key)

    def put(self, value, key):
        """Store a value."""
        self.operation.put(key, value)

    def peek(self, key):
        """Look, and leave no trace."""
        return self.operation.peek(key)

"""What a schedule calls: each cached thing, made when it is first called, behind the same few words."""

import contextlib
import inspect
from contextlib import aclosing
from functools import partial

from asyncfan import Limiter
from asyncfan.caching.freshness.freshness import Freshness
from asyncfan.context import scope

from .oracle import LEFT
from .source import TAGGED, Batches, NotFoundError, caller, tags_of

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
        make = {"page": Page, "i": Items, "s": Stream}.get(name, Function)
        found = self[name] = make(name, self.plan, self.cache, self.source)
        return found


class Function:
    """``f`` with freshness options and tags, ``g`` without, ``b`` over a batched function with them and more."""

    def __init__(self, name, plan, cache, source):
        options, function = {}, self.function(source, name)
        if name in TAGGED:
            options = {"tags": tags_of, **(plan.stream if name == "s" else plan.stale)}
        if name == "b":
            function = Batches(source, plan.batch_size)
            options |= {"cache_exceptions": NotFoundError, **_limited(plan.batch)}
        self.wrapper = cache.cache_function(expire=plan.expire, key_prefix=name, **options)(function)
        self.operation = self.wrapper.cache_clear.__self__.operation
        self.limiter = options.get("limiter")

    @staticmethod
    def function(source, name):
        """Return what is cached."""

        async def function(key):
            return await source.load(name, key)

        function.__signature__ = SIGNATURE  # to find it anew for each schedule takes long
        return function

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


class Stream(Function):
    """``s``, an async generator: whoever calls it reads as a `Reader` does."""

    def __init__(self, name, plan, cache, source):
        super().__init__(name, plan, cache, source)
        self.source = source

    @staticmethod
    def function(source, name):
        """Return what is cached."""
        function = partial(source.stream, name)
        function.__signature__ = SIGNATURE
        return function

    async def call(self, key, *, anew):
        """Return the value that the items are of, or `LEFT`."""
        call, oracle = caller.get(), self.source.oracle
        if anew:
            for item in await self.wrapper.refresh(key):
                oracle.take(call, item)
            return call.reads
        reader = self.source.next_reader()
        async with aclosing(self.wrapper(key)) as items:
            async for item in items:
                oracle.take(call, item)
                if call.read == reader.most:
                    oracle.leave(call)
                    return LEFT
                await self.source.pause(reader.pauses[call.read - 1 : call.read])
                oracle.ask(call)
        return call.reads

    def put(self, value, key):
        """Store a value."""
        value.given = 2
        super().put([(value, 0), (value, 1)], key)

    def peek(self, key):
        """Look, and leave no trace."""
        items = super().peek(key)
        return items and self.source.oracle.value_of(items)


class Items:
    """`get_or_set` and its like."""

    def __init__(self, name, plan, cache, source):
        self.name, self.expire, self.cache, self.source = name, plan.expire, cache, source
        self.options = _limited(plan.items)
        self.limiter = self.options.get("limiter")
        self.operation = cache._operation()

    async def call(self, key, *, anew):
        """Return the value."""
        load = partial(self.source.load, self.name, key)
        return await self.cache.get_or_set((self.name, key), load, self.expire, **self.options)

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
        return await self.cache.get_or_set_many(named, load, self.expire, on_error=on_error, **self.options)

    def invalidate(self, key):
        """Drop one key."""
        return self.cache.invalidate((self.name, key))

    def put(self, value, key):
        """Store a value."""
        self.cache.put((self.name, key), value, self.expire, **self.options)

    def peek(self, key):
        """Look, and leave no trace."""
        return self.cache.peek((self.name, key))


def _limited(options):
    """Return the options with a limiter in place of its size."""
    size = options.get("limiter")
    return options if size is None else options | {"limiter": Limiter("origin", max_concurrency=size)}


class Page:
    """An endpoint: whoever calls first runs the handler in its own task."""

    limiter = None

    def __init__(self, name, plan, cache, source):
        self.source = source
        freshness = Freshness(source.oracle.expire, **plan.page)
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

"""What is behind the cache: loads that go as a plan says, one behaviour after the other."""

import asyncio
import contextvars
import gc
import inspect
import weakref

from asyncfan import batched
from asyncfan.caching import Loaded, current_load

from .plan import EAGER, INSTANT

# The call that the current context belongs to; of `many`, {key: call}.
caller = contextvars.ContextVar("caller", default=None)
# The loads that a call of several keys is for, where its context tells.
asking = contextvars.ContextVar("asking", default=())


class LoadFailedError(Exception):
    """The only error of a load that is none of its answers."""


class NotFoundError(Exception):
    """There is no such thing: an answer, with the `Value` that stands for it."""


TAGGED = frozenset("fbs")


def tags_of(key):
    """Return the tags that the arguments of what is in `TAGGED` give."""
    return (f"t{key % 2}",)


def _wake(ref):
    future = ref()
    if future is not None and not future.done():
        future.set_result(None)


class Source:
    """Makes loads, and tells the oracle of each; ``inside(load, ...)`` is what happens in the middle of one."""

    def __init__(self, plan, loop, oracle, inside):
        self.plan = plan
        self.loop = loop
        self.oracle = oracle
        self.inside = inside
        self.used = self.readers = 0  # behaviours so far, and readers
        self.calm = False  # all loads succeed at once

    def _next(self):
        how = INSTANT if self.calm else self.plan.loads[self.used % len(self.plan.loads)]
        self.used += 1
        return how

    def next_reader(self):
        """Return how the next one reads."""
        readers = self.plan.readers
        self.readers += 1
        return EAGER if self.calm or not readers else readers[self.readers % len(readers)]

    def _begin(self, name, key):
        call = caller.get()
        call = call[key] if isinstance(call, dict) else call
        load = self.oracle.begin_load(name, call.target, call)
        load.value.tags = tags_of(key) if name in TAGGED else ()
        return load

    # -- of one key ------------------------------------------------------------------------------------------------

    async def load(self, name, key):
        """Load one key: for a cached function, for `get_or_set`, for the leader of a page."""
        how = self._next()
        load = self._begin(name, key)
        self.oracle.look_at_slots(name)
        try:
            self._tag(load, how.tags[0])
            await self._work(how, [load], self._steps(load, how))
            self._tag(load, how.tags[1])
        except BaseException as error:
            self.oracle.end_load(load, error)
            raise
        if name != "page":
            self.oracle.end_load(load)
            return load.value
        failed = how.result == "missing" and bool(self.plan.page)
        shared = not failed and how.result != "unshared"
        self.oracle.end_load(load, shared=shared, failed=failed)
        return Loaded(load.value, self.oracle.expire if shared else None, **self.plan.page, failed=failed)

    async def _steps(self, load, how):
        middle = len(how.pauses) // 2
        await self.pause(how.pauses[:middle])
        if how.inside:
            await self.inside(load, *how.inside)
        await self.pause(how.pauses[middle:])
        _end_badly(load, how)

    def _tag(self, load, tag):
        if tag is not None and load.name in {"f", "g", "s"}:
            current_load().tag(tag)
            load.value.tags += (tag,)

    async def stream(self, name, key):
        """Load one key item by item: one after each pause, and one more."""
        how = self._next()
        load = self._begin(name, key)
        last = len(how.pauses)
        try:
            self._tag(load, how.tags[0])
            while (i := load.value.given) <= last:
                self.oracle.look_at_demand(load)
                try:
                    if how.inside and i == last // 2:
                        await self.inside(load, *how.inside)
                    await self.pause(how.pauses[i : i + 1])
                    if i == last:
                        _end_badly(load, how)
                    yield self.oracle.give_item(load)
                except (asyncio.CancelledError, GeneratorExit) as error:
                    if await self._ends(how, [load]) or isinstance(error, GeneratorExit):
                        raise
            self.oracle.look_at_demand(load)
        except BaseException as error:
            self.oracle.end_load(load, error)
            raise
        self.oracle.end_load(load)

    # -- of several ------------------------------------------------------------------------------------------------

    async def load_together(self, name, keys, ask):
        """Load several keys by one call of ``ask``; returns for each a value or an exception."""
        loads = self.oracle.together([self._begin(name, key) for key in keys])
        self.oracle.look_at_slots(name)
        token = asking.set(loads)
        try:
            found = await ask(keys)
        except BaseException as error:
            for load in loads:
                self.oracle.end_load(load, error)
            raise
        finally:
            asking.reset(token)
        return [self._answer(load, one) for load, one in zip(loads, found, strict=True)]

    def _answer(self, load, found):
        """Return what a load gives of what a call of several keys gave for its own: a stamp, or an exception."""
        if isinstance(found, NotFoundError) and load.name != "b":  # no answer there
            found = LoadFailedError(load)
        elif isinstance(found, NotFoundError):
            self.oracle.read(load, *found.args)
            found = NotFoundError(load.value)
        elif not isinstance(found, BaseException):
            self.oracle.read(load, found)
            self.oracle.end_load(load)
            return load.value
        self.oracle.end_load(load, found)
        return found

    async def ask(self, keys):
        """Be asked for several keys: return for each the stamp of when it was read, or an exception."""
        how, stamp = self._next(), next(self.oracle.stamps)
        await self._work(how, asking.get(), self.pause(how.pauses))
        if how.result == "error":
            raise LoadFailedError(stamp)
        if how.result == "cancel":
            for load in asking.get():
                load.own_cancel = True
            raise asyncio.CancelledError(stamp)
        wrong = {"unshared": LoadFailedError, "missing": NotFoundError}.get(how.result)
        return [wrong(stamp) if wrong and key == keys[0] else stamp for key in keys]

    # -- how any of them goes --------------------------------------------------------------------------------------

    async def _work(self, how, loads, steps):
        """Take the steps; when cancelled, clean up, and end as the behaviour says."""
        try:
            await steps
        except asyncio.CancelledError:
            if await self._ends(how, loads):
                raise

    async def _ends(self, how, loads):
        """Clean up, since the loads are cancelled; says whether they end of it."""
        for load in loads:
            self.oracle.cancel_load(load)
        await self.pause(how.cleanup)
        if how.cancelled == "error":
            raise LoadFailedError(*loads) from None
        return how.cancelled == "leave" or any(load.own_cancel for load in loads)

    async def pause(self, pauses):
        """Wait for turns of the loop, seconds, or garbage to be collected."""
        for pause in pauses:
            if pause is None:  # nothing of this loop's holds who waits here while garbage is collected
                future = self.loop.create_future()
                self.loop.call_later(0.2, gc.collect, 1, context=contextvars.Context())
                self.loop.call_later(0.3, _wake, weakref.ref(future), context=contextvars.Context())
                await future
            elif isinstance(pause, float):
                await asyncio.sleep(pause)
            else:
                for _ in range(pause):
                    await asyncio.sleep(0)


def _end_badly(load, how):
    """Raise what a load is to raise by itself."""
    if how.result == "error":
        raise LoadFailedError(load)
    if how.result == "cancel":
        load.own_cancel = True
        raise asyncio.CancelledError(load)


class Batches:
    """A batched function as a cache sees it, with an oracle that hears of each load."""

    __signature__ = inspect.signature(lambda key: key)

    def __init__(self, source, max_batch_size):
        self.__name__ = self.__qualname__ = "b"
        self.source = source
        self.max_batch_size = max_batch_size
        self.batched = batched(max_batch_size=max_batch_size)(source.ask)

    async def __call__(self, key):
        """Load one key with others that are asked for."""
        load = self.source._begin("b", key)
        self.source.oracle.look_at_slots("b")
        try:
            found = await self.batched(key)
        except asyncio.CancelledError as error:
            self.source.oracle.cancel_load(load, late=True)  # the last to leave waits for the end of the batch
            self.source.oracle.end_load(load, error)
            raise
        except Exception as error:  # noqa: BLE001 - it is the load's answer
            found = error
        found = self.source._answer(load, found)
        if isinstance(found, BaseException):
            raise found
        return found

    async def load_batch(self, keys):
        """Load several keys in one call."""
        return await self.source.load_together("b", keys, self.batched.load_batch)

"""A cache, its cached functions, and everybody who uses them as a plan says."""

import asyncio
import contextlib
import contextvars
import gc
import inspect
import random
import weakref
from fnmatch import fnmatchcase

from asyncfan.caching import MISSING, Cache, Loaded, current_load
from asyncfan.caching.freshness import Freshness
from asyncfan.context import scope
from asyncfan.exceptions import RecursiveLoadError

from .oracle import Oracle
from .plan import INSTANT, KEYS, TARGETS

FOREVER = 10_000.0  # virtual seconds: longer than any schedule
SIGNATURE = inspect.signature(lambda key: key)
# The call that the current context belongs to.
caller = contextvars.ContextVar("caller", default=None)


class LoadFailedError(Exception):
    """The only error that a source raises by itself."""


def _signed(function):
    """Give a function its signature once: to find it anew for each schedule takes long."""
    function.__signature__ = SIGNATURE
    return function


def tags_of(key):
    """Return the tags that the arguments of ``f`` give."""
    return (f"t{key % 2}",)


def _within(tenant):
    return scope(tenant=tenant) if tenant else contextlib.nullcontext()


def _wake(ref):
    future = ref()
    if future is not None and not future.done():
        future.set_result(None)


class Client:
    """Who makes calls one after the other, and may be cancelled."""

    def __init__(self, number, tenant=None):
        self.number = number
        self.tenant = tenant
        self.cancelled = False
        self.task = None

    def __repr__(self):
        return f"client {self.number}"


class World:
    """A cache, its cached functions and everybody who uses them."""

    def __init__(self, plan, loop):
        self.plan = plan
        self.loop = loop
        self.oracle = Oracle(loop, plan.expire, plan.stale, roomy=plan.maxsize is None or plan.maxsize > len(TARGETS))
        chance = random.Random(len(plan.turns))
        self.cache = Cache(plan.maxsize, policy=plan.policy, clock=loop.time, random=chance.random)
        self.behaviours = 0  # how many were used
        self.calm = False  # all loads succeed at once
        self.clients = []
        self.clears = []  # what they returned
        self.cached = {name: self._cached(name) for name in ("f", "g")}
        self.page = self.cache.operation(
            "page", "page", text=lambda key: f"page:{key}", freshness=Freshness(self.oracle.expire)
        )
        self.operations = {n: f.cache_clear.__self__.operation for n, f in self.cached.items()} | {"page": self.page}

    def _cached(self, name):
        options = {"tags": tags_of, **self.plan.stale} if name == "f" else {}

        @self.cache.cache_function(expire=self.plan.expire, key_prefix=name, **options)
        @_signed
        async def function(key):
            return await self.load(name, key)

        return function

    # -- the source behind the cache -----------------------------------------------------------------------------

    async def load(self, name, key):
        """Load as the next behaviour says; cached functions and the leaders of pages come here."""
        how = INSTANT if self.calm else self.plan.loads[self.behaviours % len(self.plan.loads)]
        self.behaviours += 1
        call = caller.get()
        call = call[key] if isinstance(call, dict) else call  # of `many`
        load = self.oracle.begin_load(name, call.target, call)
        load.value.tags = tags_of(key) if name == "f" else ()
        try:
            self._tag(load, how.tags[0])
            await self._work(load, how)
            self._tag(load, how.tags[1])
        except BaseException as error:
            self.oracle.end_load(load, error)
            raise
        self.oracle.end_load(load, shared=name != "page" or how.result != "unshared")
        if name != "page":
            return load.value
        expire = self.oracle.expire
        return Loaded(load.value, None if how.result == "unshared" else expire)

    def _tag(self, load, tag):
        if tag is not None and load.name != "page":
            current_load().tag(tag)
            load.value.tags += (tag,)

    async def _work(self, load, how):
        try:
            await self._steps(load, how)
        except asyncio.CancelledError:
            self.oracle.cancel_load(load)
            await self._pause(how.cleanup)
            if how.cancelled == "error":
                raise LoadFailedError(load) from None
            if how.cancelled == "leave" or load.own_cancel:
                raise

    async def _steps(self, load, how):
        middle = len(how.pauses) // 2
        await self._pause(how.pauses[:middle])
        if how.inside:
            await self._inside(load, *how.inside)
        await self._pause(how.pauses[middle:])
        if how.result == "error":
            raise LoadFailedError(load)
        if how.result == "cancel":
            load.own_cancel = True
            raise asyncio.CancelledError(load)

    async def _pause(self, pauses):
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

    async def _inside(self, load, what, key, timeout):
        tenant = load.call.client.tenant
        if what in self.cached:
            with contextlib.suppress(LoadFailedError, TimeoutError):
                await self.call(what, key, tenant, load.call.client, parent=load, timeout=timeout)
        else:
            self.act(what, "f", key, tenant)

    # -- calls ---------------------------------------------------------------------------------------------------

    async def call(self, name, key, tenant, client, *, parent=None, anew=False, timeout=None):
        """Make one call, and tell the oracle how it ended."""
        target = self._target(name, key, tenant)
        call = self.oracle.begin_call(name, target, client, parent=parent, anew=anew, timeout=timeout)
        token = caller.set(call)
        try:
            if timeout is None:
                value = await self._reach(name, key, anew=anew)
            else:
                async with asyncio.timeout(timeout):
                    value = await self._reach(name, key, anew=anew)
        except BaseException as error:
            self.oracle.fail(call, error)
            raise
        finally:
            caller.reset(token)
        self.oracle.give(call, value)
        return value

    async def _reach(self, name, key, *, anew):
        if name == "page":
            return (await self.page.lead(key, lambda: self.load("page", key)))[0]
        function = self.cached[name]
        return await (function.refresh(key) if anew else function(key))

    def _target(self, name, key, tenant):
        return f"{name}:{key}" + (":@tenant/a" if tenant and name != "page" else "")

    async def _client(self, client, name, key, timeout, more, *, anew):
        tenant = client.tenant
        with _within(tenant):
            for _ in range(1 + more):
                with contextlib.suppress(Exception):
                    await self.call(name, key, tenant, client, anew=anew and name != "page", timeout=timeout)
                anew = False

    def start(self, name, key, tenant, timeout, more, *, anew):
        """Start a client."""
        client = Client(len(self.clients), tenant)
        self.clients.append(client)
        client.task = self.loop.create_task(self._client(client, name, key, timeout, more, anew=anew))

    # -- everything else that is done to a cache -----------------------------------------------------------------

    def act(self, kind, *args):
        """Do one action of the plan."""
        getattr(self, f"do_{kind}")(*args)

    def do_call(self, *args):
        self.start(*args, anew=False)

    def do_many(self, name, keys, tenant):
        client = Client(len(self.clients), tenant)
        self.clients.append(client)
        client.task = self.loop.create_task(self._many(client, name, keys))

    async def _many(self, client, name, keys):
        """Make several calls in one, and tell the oracle how each ended."""
        with _within(client.tenant):
            calls = [
                self.oracle.begin_call(
                    name,
                    self._target(name, key, client.tenant),
                    client,
                    parent=None,
                    anew=False,
                    timeout=None,
                    together=True,
                )
                for key in keys
            ]
            token = caller.set(dict(zip(reversed(keys), reversed(calls), strict=True)))  # of equal ones the first leads
            try:
                outcomes = await self.cached[name].many_outcomes(keys)
            except BaseException as error:
                for call in calls:
                    self.oracle.fail(call, error)
                raise
            finally:
                caller.reset(token)
        for call, outcome in zip(calls, outcomes, strict=True):
            if outcome.ok:
                self.oracle.give(call, outcome.value)
            else:
                self.oracle.fail(call, outcome.exception)

    def do_refresh(self, *args):
        self.start(*args, anew=True)

    def do_cancel(self, which):
        running = [c for c in self.clients if not c.task.done()]
        if running:
            client = running[int(which * len(running))]
            self.oracle.note(client, "is cancelled")
            client.cancelled = True
            client.task.cancel()

    def do_invalidate(self, name, key, _):
        if name == "page":
            self.clears.append(self.page.clear_key(key))
        else:
            self.clears.append(self.cached[name].invalidate(key))
        self._cleared(f"{name}:{key}", f"{name}:{key}:*")

    def do_clear(self, pattern):
        self._clear(self.cache.clear, pattern)
        self._cleared(pattern)

    def do_clear_prefix(self, parts):
        self._clear(self.cache.clear_prefix, *parts)
        text = ":".join(map(str, parts))
        self._cleared(text, f"{text}:*")

    def do_clear_all(self):
        self._clear(self.cache.clear_all)
        self._cleared("*")

    def do_cache_clear(self, name, *_):
        self.clears.append(self.cache.clear_operation(self.operations[name]))
        self._cleared(f"{name}:*")

    def do_clear_tags(self, tags):
        self._clear(self.cache.clear_tags, *tags)
        self.oracle.note("cleared tags", *tags)
        keyed = {key for key in KEYS for tag in tags_of(key) if tag in tags}
        self.oracle.clear_tags(tags, [t for t in TARGETS if t[0] == "f" and int(t[2]) in keyed])

    def _clear(self, clear, *args):
        """Clear, after a dry run that must foresee the count where everything is counted at once."""
        foreseen = clear(*args, dry_run=True)
        cleared = clear(*args)
        self.clears.append(cleared)
        if not self.plan.fences and foreseen.count != cleared.count:
            self.oracle.blame("wrong count of a dry run", args, foreseen, cleared)

    def _cleared(self, *patterns):
        self.oracle.note("cleared", *patterns)
        self.oracle.clear(t for t in TARGETS if any(fnmatchcase(t, p) for p in patterns))

    def do_put(self, name, key, tenant):
        target = self._target(name, key, tenant)
        value = self.oracle.put(target)
        value.tags = tags_of(key) if name == "f" else ()
        if name == "page":
            self.page.put(key, value)
        else:
            with _within(tenant):
                self.cached[name].put(value, key)

    def do_peek(self, name, key, tenant):
        if name == "page":
            value = self.page.peek(key)
        else:
            with _within(tenant):
                value = self.cached[name].peek(key)
        if value is not MISSING:
            self.oracle.see(self._target(name, key, tenant), value)

    def do_gc(self):
        self.oracle.note("garbage is collected")
        gc.collect(1)

    def do_close(self):
        closing = Client(len(self.clients))
        self.clients.append(closing)
        closing.task = self.loop.create_task(self._close())

    async def _close(self):
        self.oracle.close()
        await self.cache.aclose()

    # -- the run -------------------------------------------------------------------------------------------------

    async def run(self):
        """Play the plan, then look at what is left."""
        blame = self.oracle.blame
        self.loop.set_exception_handler(lambda _, context: blame("reported to the loop only", context))
        for turn in self.plan.turns:
            for kind, *args in turn:
                if kind == "sleep":
                    await asyncio.sleep(*args)
                elif kind == "turn":
                    await asyncio.sleep(0)
                else:
                    self.act(kind, *args)
            await asyncio.sleep(0)
        tasks = [client.task for client in self.clients]
        if tasks:
            await asyncio.wait(tasks, timeout=FOREVER)
        for client in self.clients:
            if not client.task.done():
                blame("hang", client)
                client.task.cancel()
        await asyncio.sleep(FOREVER)  # the loads that nobody waits for clean up
        self._look_at_rest()
        await self._load_all()
        self._look_at_counters()

    def _look_at_rest(self):
        blame = self.oracle.blame
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            blame("leaked task", *(task.get_name() for task in left))
        if self.cache.tasks:
            blame("leaked load", *self.cache.tasks)
        if self.oracle.pending:
            blame("call that never ended", *self.oracle.pending)
        with self.cache.store.lock:
            while not self.cache.store.work(100):
                pass
        for name, op in self.operations.items():
            self._look_at_operation(name, op)
        held = sum(len(op.table) for op in self.operations.values())
        if len(self.cache.store) != held:
            blame("order and tables differ", len(self.cache.store), held)
        counted, gone = sum(map(int, self.clears)), sum(op.removed["invalidated"] for op in self.operations.values())
        if counted != gone:
            blame("wrong counts of clears", counted, "counted of", gone)

    def _look_at_operation(self, name, op):
        blame = self.oracle.blame
        if op.flights:
            blame("leaked flight", name, op.flights)
        for key, entry in op.table.items():
            if entry.key != key or entry.seal.operation is not op or entry not in self.cache.store.order:
                blame("entry out of place", name, key)
        alive = sum(not op.first_clear(entry) for entry in op.table.values())
        if alive != op.live or (not self.plan.fences and op.live != len(op.table)):
            blame("wrong number of entries", name, op.live, len(op.table))
        if op.sweeps or op.tag_sweeps or op.fences:
            blame("leaked fence", name, op.sweeps)
        if op.index is not None and len(op.index) != len(op.table):
            blame("index and table differ", name, op.index)
        tagged = {tag: {e for e in op.table.values() if tag in e.tags} for e in op.table.values() for tag in e.tags}
        if len(op.tagged) != len(tagged) or any(op.tagged[tag] != entries for tag, entries in tagged.items()):
            blame("tags and table differ", name, op.tagged)

    async def _load_all(self):
        """Each key that was used loads, gives the current version, and is then stored."""
        self.calm = True
        for target in sorted({load.target for load in self.oracle.loads}):
            name, key, *tenant = target.split(":")
            nobody = Client(-1, "a" if tenant else None)
            try:
                async with asyncio.timeout(FOREVER):
                    with _within(nobody.tenant):
                        first = await self.call(name, int(key), nobody.tenant, nobody)
                        used = self.behaviours
                        second = await self.call(name, int(key), nobody.tenant, nobody)
            except Exception as error:  # noqa: BLE001 - whatever it is, the key is dead
                self.oracle.blame("dead key", target, repr(error))
            else:
                if second is not first or self.behaviours != used:
                    self.oracle.blame("not stored", target)

    def _look_at_counters(self):
        for name, op in self.operations.items():
            calls = [
                call
                for call, error in self.oracle.ended_calls[name]
                if not call.anew and not isinstance(error, RecursiveLoadError)
            ]
            refused = [c for c, e in self.oracle.ended_calls[name] if isinstance(e, RecursiveLoadError) and not c.anew]
            counted = op.hits + op.stale_hits + op.misses + op.joined
            if not len(calls) <= counted <= len(calls) + len(refused):
                self.oracle.blame("unbalanced calls", name, counted, "counted of", len(calls), "and", len(refused))
            loads = [load for load in self.oracle.loads if load.name == name]
            counted = op.loads_ok + op.loads_failed + op.loads_cancelled
            if counted != len(loads) and not any(t.startswith("page") for t in self.oracle.unshared):
                self.oracle.blame("unbalanced loads", name, counted, "counted of", len(loads))

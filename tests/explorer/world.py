"""A cache, and everybody who uses it as a plan says."""

import asyncio
import contextlib
import functools
import gc
import random
from fnmatch import fnmatchcase

from asyncfan.caching import MISSING, Cache

from .cast import Cast, within
from .oracle import LEFT, Oracle
from .plan import KEYS, TARGETS, UNSCOPED
from .rest import look_at_counters, look_at_rest
from .source import TAGGED, LoadFailedError, NotFoundError, Source, caller, tags_of

FOREVER = 10_000.0  # virtual seconds: longer than any schedule


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
        self.oracle = Oracle(loop, plan)
        chance = random.Random(len(plan.turns))
        self.cache = Cache(plan.maxsize, policy=plan.policy, clock=loop.time, random=chance.random)
        self.source = Source(plan, loop, self.oracle, self._inside)
        self.cast = Cast(plan, self.cache, self.source)
        self.clients = []
        self.clears = []  # what they returned

    # -- calls ---------------------------------------------------------------------------------------------------

    async def call(self, name, key, tenant, client, *, parent=None, anew=False, timeout=None):
        """Make one call, and tell the oracle how it ended."""
        target = _target(name, key, tenant)
        call = self.oracle.begin_call(name, target, client, parent=parent, anew=anew, timeout=timeout)
        token = caller.set(call)
        try:
            if timeout is None:
                value = await self.cast[name].call(key, anew=anew)
            else:
                async with asyncio.timeout(timeout):
                    value = await self.cast[name].call(key, anew=anew)
        except NotFoundError as error:
            (value,) = error.args
        except BaseException as error:
            self.oracle.fail(call, error)
            raise
        finally:
            caller.reset(token)
        if value is LEFT:
            self.oracle.has_left(call)
        else:
            self.oracle.give(call, value)
        return value

    async def _inside(self, load, what, key, timeout):
        """Do something in the middle of a load."""
        tenant = load.call.client.tenant
        if what in {"f", "g", "s"}:
            with contextlib.suppress(LoadFailedError, TimeoutError):
                await self.call(what, key, tenant, load.call.client, parent=load, timeout=timeout)
        else:
            self.act(what, "s" if load.name == "s" else "f", key, tenant)

    async def _client(self, client, name, key, timeout, more, *, anew):
        tenant = client.tenant
        with within(tenant):
            for _ in range(1 + more):
                with contextlib.suppress(Exception):
                    await self.call(name, key, tenant, client, anew=anew and name not in UNSCOPED, timeout=timeout)
                anew = False

    async def _many(self, client, name, keys, *, raises):
        """Make several calls in one, and tell the oracle how each ended."""
        if name == "i":  # equal keys are one there
            keys = tuple(dict.fromkeys(keys))
        with within(client.tenant):
            targets = [_target(name, key, client.tenant) for key in keys]
            calls = self.oracle.begin_calls(name, targets, client, raises=raises)
            token = caller.set(dict(zip(reversed(keys), reversed(calls), strict=True)))  # of equal ones the first leads
            try:
                if raises:
                    found = await self.cast[name].many(keys)
                else:
                    found = [o.value if o.ok else o.exception for o in await self.cast[name].outcomes(keys)]
            except BaseException as error:  # noqa: BLE001 - raised below where it is no load's
                found = error
            finally:
                caller.reset(token)
        if not isinstance(found, BaseException):
            for call, one in zip(calls, found, strict=True):
                self._end(call, one)
            return
        self.oracle.fail_together(calls, found)
        if not isinstance(found, Exception):
            raise found

    def _end(self, call, found):
        """Tell the oracle of a value or an exception that one call of several gave."""
        if isinstance(found, NotFoundError):
            self.oracle.give(call, *found.args)
        elif isinstance(found, BaseException):
            self.oracle.fail(call, found)
        else:
            self.oracle.give(call, found)

    # -- what is done to a cache ---------------------------------------------------------------------------------

    def act(self, kind, *args):
        """Do one action of the plan."""
        getattr(self, f"do_{kind}")(*args)

    def _start(self, tenant, run, *args, **kwargs):
        client = Client(len(self.clients), tenant)
        self.clients.append(client)
        client.task = self.loop.create_task(run(client, *args, **kwargs))

    def do_call(self, name, key, tenant, timeout, more):
        self._start(tenant, self._client, name, key, timeout, more, anew=False)

    def do_refresh(self, name, key, tenant, timeout, more):
        self._start(tenant, self._client, name, key, timeout, more, anew=True)

    def do_many(self, name, keys, tenant, raises):
        self._start(tenant, self._many, name, keys, raises=raises)

    def do_cancel(self, which):
        running = [c for c in self.clients if not c.task.done()]
        if running:
            client = running[int(which * len(running))]
            self.oracle.note(client, "is cancelled")
            client.cancelled = True
            client.task.cancel()

    def do_invalidate(self, name, key, _):
        self.clears.append(self.cast[name].invalidate(key))
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
        self.clears.append(self.cache.clear_operation(self.cast[name].operation))
        self._cleared(f"{name}:*")

    def do_clear_tags(self, tags):
        self._clear(self.cache.clear_tags, *tags)
        self.oracle.note("cleared tags", *tags)
        self.oracle.clear_tags(tags, _tagged(tags))

    def _clear(self, clear, *args):
        """Clear, after a dry run that must foresee the count where everything is counted at once."""
        foreseen = clear(*args, dry_run=True)
        cleared = clear(*args)
        self.clears.append(cleared)
        if not self.plan.fences and foreseen.count != cleared.count:
            self.oracle.blame("wrong count of a dry run", args, foreseen, cleared)

    def _cleared(self, *patterns):
        self.oracle.note("cleared", *patterns)
        self.oracle.clear(_meant(patterns))

    def do_put(self, name, key, tenant):
        target = _target(name, key, tenant)
        value = self.oracle.put(target)
        value.tags = tags_of(key) if name in TAGGED else ()
        with within(tenant):
            self.cast[name].put(value, key)

    def do_peek(self, name, key, tenant):
        with within(tenant):
            value = self.cast[name].peek(key)
        if value is not MISSING:
            self.oracle.see(_target(name, key, tenant), value)

    def do_gc(self):
        self.oracle.note("garbage is collected")
        gc.collect(1)

    def do_close(self):
        self._start(None, self._close)

    async def _close(self, _):
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
        look_at_rest(self)
        await self._load_all()
        look_at_counters(self)

    async def _load_all(self):
        """Each key that was used loads, gives the current version, and is then stored."""
        source = self.source
        source.calm = True
        for target in sorted(target for target, loads in self.oracle.loads_of.items() if loads):
            name, key, *tenant = target.split(":")
            nobody = Client(-1, "a" if tenant else None)
            try:
                with within(nobody.tenant):  # who waits for ever here finds no timer set: the loop says so
                    first = await self.call(name, int(key), nobody.tenant, nobody)
                    used = source.used
                    second = await self.call(name, int(key), nobody.tenant, nobody)
            except Exception as error:  # noqa: BLE001 - whatever it is, the key is dead
                self.oracle.blame("dead key", target, repr(error))
            else:
                if second is not first or source.used != used:
                    self.oracle.blame("not stored", target)


def _target(name, key, tenant):
    return f"{name}:{key}" + (":@tenant/a" if tenant and name not in UNSCOPED else "")


@functools.cache
def _meant(patterns):
    """Return the targets that some patterns mean."""
    return tuple(t for t in TARGETS if any(fnmatchcase(t, p) for p in patterns))


@functools.cache
def _tagged(tags):
    """Return the targets whose arguments give one of the tags."""
    keys = {key for key in KEYS for tag in tags_of(key) if tag in tags}
    return tuple(t for t in TARGETS if t[0] in TAGGED and int(t[2]) in keys)

"""What must be true of every call of a cached function, whatever runs at the same time.

Everything that happens gets a stamp, a number that only grows. Targets are the texts of keys, such as ``f:1``. A *turn*
of a target is the time between two events after which a load in flight may be joined no more: clears, puts, refreshes.
"""

import asyncio
import itertools
import math
from collections import defaultdict

from asyncfan.exceptions import AttemptTimeoutError, LaggingConsumerError, RecursiveLoadError, SelfCancelledError

from .plan import TARGETS, UNSCOPED
from .reading import Reading
from .source import LoadFailedError, NotFoundError

# A load learns two turns of the loop after its last waiter left that it is cancelled; who came since waits rightly.
UNNOTICED_TICKS = 2
NAME_OF = {target: target.partition(":")[0] for target in TARGETS}
LEFT = object()  # what a call gives that stopped reading before the end
PAUSE = 1.0  # seconds from a load that failed to the next one, where an expired value is served


class Value:
    """What a load or a put gives: never equal to another one."""

    __slots__ = ("fresh", "given", "kept_at", "load", "stamp", "surely", "tags", "target")

    def __init__(self, target, stamp, fresh, jitter=0.0, *, load=None, kept_at=None):
        self.target = target
        self.fresh = fresh  # seconds that it is, at most
        self.surely = fresh * (1 - jitter)  # and at least
        self.stamp = stamp  # when it was read from the source
        self.load = load  # None: it was put
        self.tags = ()
        self.given = 0  # items of a generator so far
        self.kept_at = kept_at  # the cache's time when it was stored; None: not yet

    def __repr__(self):
        return f"{self.target}@{self.stamp}"


class Call:
    """One call of a cached function, by a client or inside of a load."""

    __slots__ = (
        "anew",
        "asks",
        "at",
        "client",
        "fellows",
        "floor",
        "leaves",
        "name",
        "number",
        "old",
        "parent",
        "raises",
        "read",
        "reads",
        "served",
        "stamp",
        "target",
        "task",
        "tick",
        "timeout",
        "turn",
    )

    def __repr__(self):
        return f"call {self.number} of {self.target}{' anew' * self.anew}"


class Load:
    """One run of the function behind the cache."""

    __slots__ = (
        "alone",
        "began_at",
        "call",
        "cancelled",
        "disowned",
        "ended",
        "ended_at",
        "error",
        "failed",
        "mates",
        "name",
        "number",
        "own_cancel",
        "parted",
        "private",
        "rescuer",
        "settled",
        "stamp",
        "target",
        "tick",
        "timed_out",
        "too_long",
        "value",
    )

    def __repr__(self):
        return f"load {self.number} of {self.target}"


class Oracle(Reading):
    """Is told what happens; collects what should not."""

    def __init__(self, loop, plan):
        self.loop = loop
        self.roomy = plan.maxsize is None or plan.maxsize > len(TARGETS)  # no entry has to go for want of room
        self.expire = math.inf if plan.expire is None else plan.expire
        self.options = defaultdict(
            dict, f=plan.stale, b=plan.stale | plan.batch, s=plan.stream
        )  # of what is called, by name
        self.options.update(i=plan.items, page=plan.page)
        self.violations = []  # what went wrong, in words
        self.events = []  # (tick, what happened), to print
        self.stamps = itertools.count(1)
        self.cleared = defaultdict(int)  # {target: stamp of what makes older values stale}
        self.cleared_tick = defaultdict(int)  # {target: tick of that}
        self.tag_clears = defaultdict(list)  # {tag: stamps of its clears}
        self.turned = defaultdict(int)  # {target: stamp of its turn's begin}
        self.parted = defaultdict(int)  # the same, but for clears of tags that its load may not have
        self.unshared = defaultdict(int)  # {target: stamp of the last load whose result belonged to its caller alone}
        self.stored = {}  # {target: the value that must be in the cache, unless it was cleared or has expired}
        self.closed = 0  # stamp of the last aclose()
        self.closed_tick = -math.inf
        self.pending = {}  # {call: None}, in order
        self.live = defaultdict(list)  # {target: [load]}
        self.loads = []
        self.loads_of = defaultdict(list)  # {target: [load]}
        self.left = defaultdict(int)  # {target: tick in which a call of it ended last}
        self.deserted = defaultdict(int)  # {target: stamp of the last moment in which nobody waited for this turn's}
        self.owed = []  # (call, value that had expired): a load must run beside it
        self.ended_calls = defaultdict(list)  # {name: [(call, error)]}
        self.asked_in = defaultdict(set)  # {target: targets of the calls in its loads}
        self.asked_at = {}  # {target: seconds at which it was asked for first}

    def note(self, *what):
        """Remember what happened, for whoever reads the schedule."""
        self.events.append((self.loop.ticks, what))

    def blame(self, rule, *what):
        """A rule is broken."""
        self.note("VIOLATION", rule, *what)
        self.violations.append(f"{rule}: {' '.join(map(str, what))}")

    def is_limited(self, name):
        """Loads of the name wait for a slot before the oracle hears of them."""
        return "limiter" in self.options[name]

    def _option(self, target, name, default):
        return self.options[NAME_OF[target]].get(name, default)

    def _lives(self, value):
        """Seconds after which a value is not served on any condition."""
        given = [self._option(value.target, name, 0) for name in ("stale_while_revalidate", "stale_if_error")]
        return value.fresh + max(given)

    # -- what makes older values stale ---------------------------------------------------------------------------

    def clear(self, targets):
        """A clear or a put of ``targets`` has returned, or begins."""
        stamp = next(self.stamps)
        for target in targets:
            self.cleared[target] = self.turned[target] = self.parted[target] = stamp
            self.cleared_tick[target] = self.loop.ticks
        return stamp

    def clear_tags(self, tags, targets):
        """A clear of ``tags`` has returned: of all values that carry one, for certain those of ``targets``."""
        stamp = self.clear(targets)
        for tag in tags:
            self.tag_clears[tag].append(stamp)
        for target, loads in self.live.items():  # who may yet add one
            if loads and NAME_OF[target] not in UNSCOPED:  # which have no tags either
                self.turned[target] = stamp
        for target, value in self.stored.items():
            if self._lost_tag(value, stamp + 1):
                self.turned[target] = stamp

    def _lost_tag(self, value, until, since=None):
        """A tag of the value was cleared after it was read, or ``since``, and before ``until``."""
        if not self.tag_clears:
            return False
        since = value.stamp if since is None else since
        return any(since < stamp < until for tag in value.tags for stamp in self.tag_clears[tag])

    def put(self, target):
        """Return the value that is about to be put."""
        jitter = self._option(target, "jitter", 0.0)
        value = Value(target, self.clear([target]), self.expire, jitter, kept_at=self.loop.time())
        self.stored[target] = value
        self.note("put", value)
        return value

    def close(self):
        """``aclose`` is about to be called."""
        self.note("the cache is closed")
        self.closed, self.closed_tick = next(self.stamps), self.loop.ticks

    # -- calls ---------------------------------------------------------------------------------------------------

    def begin_calls(self, name, targets, client, *, raises):
        """Calls are about to be made together: all end with the last, or with the first that fails if it ``raises``."""
        calls = [self.begin_call(name, target, client) for target in targets]
        for call in calls:
            call.fellows, call.raises = tuple(calls), raises
        return calls

    def begin_call(self, name, target, client, *, parent=None, anew=False, timeout=None):
        """A call is about to be made."""
        call = Call()
        call.name, call.target, call.client, call.parent, call.anew = name, target, client, parent, anew
        call.timeout, call.fellows, call.raises, call.served = timeout, (), False, False
        call.stamp = next(self.stamps)
        call.number = call.stamp
        call.tick = self.loop.ticks
        call.at = self.loop.time()
        self.asked_at.setdefault(target, call.at)
        call.floor = self.cleared[target]
        if parent is not None:
            self.asked_in[parent.target].add(target)
        call.old = self.stored.get(target)
        call.task = asyncio.current_task() if name == "s" else None
        call.asks, call.leaves = True, False  # waits for the next item; has read enough
        call.reads, call.read = None, 0  # the value whose items it reads, and how many so far
        if anew:
            self.turned[target] = self.parted[target] = call.stamp
        call.turn = self.turned[target]
        self.pending[call] = None
        self.note(client, "starts", call, *(("in", parent) if parent else ()))
        return call

    def give(self, call, value):
        """A call returned ``value``."""
        self._end_call(call, None)
        call.served = True
        self.note(call, "gives", value)
        if call.name == "s":
            self._look_at_end(call, value)
        elif self._is_of(call, value):
            self._look_at(call, value)

    def _is_of(self, call, value):
        if type(value) is Value and value.target == call.target:
            return True
        self.blame("foreign value", call, value)
        return False

    def _look_at(self, call, value):
        """A call is given a value."""
        if value.stamp < call.floor:
            self.blame("stale read", call, value, "cleared at", call.floor)
        if self._lost_tag(value, call.stamp):
            self.blame("stale tag", call, value)
        if call.anew and value.stamp < call.stamp:
            self.blame("refresh gave an old value", call, value)
        if value.kept_at is not None and value.stamp < call.stamp:
            self._look_at_age(call, value)
        if value.load is not None and not value.load.ended and call.name != "s":
            self.blame("value of a running load", call, value)
        if value.load is not None and value.load.private and value.load.call is not call:
            self.blame("private value", call, value)
        if value.load is not None and self._ends_too_late(call, value.load):
            self.blame("waited longer than its patience", call, value)
        if value.load is not None and value.load.failed and self._fails_in_vain(value.load):
            self.blame("failure though an expired value is left", call, value)

    def _look_at_age(self, call, value):
        age, on_condition = call.at - value.kept_at, self._option(call.target, "stale_while_revalidate", 0)
        if age >= self._lives(value):
            self.blame("expired value", call, value)
        elif age >= value.fresh + on_condition and not self._is_excused(call):
            self.blame("value for bad times, though nothing failed", call, value)
        elif (
            value.stamp < self.cleared[call.target]
            and self.cleared_tick[call.target] < self.loop.ticks - UNNOTICED_TICKS
            and (value.load.ended if value.load else value.stamp) < call.stamp
            and not call.fellows  # those of several get at the end what was found at the begin
        ):
            self.blame("value served after its clear", call, value)
        elif age >= value.fresh:
            self.owed.append((call, value, self.loop.ticks))

    def fail_together(self, calls, error):
        """Calls that were made together raised ``error``: that of one of them, or of whoever left them all."""
        able = [call for call in calls if self._may_raise(call, error)] or calls[:1]
        mine = next((call for call in able if not self._should_be_rescued(call, error)), able[0])
        for call in calls:
            if call is not mine:
                self._end_call(call, error)
        if isinstance(error, NotFoundError):
            self.give(mine, *error.args)
        else:
            self.fail(mine, error)

    def _may_raise(self, call, error):
        if isinstance(error, NotFoundError):
            return error.args[0].target == call.target
        if isinstance(error, AttemptTimeoutError):
            return self._had_to_stop(call)
        return isinstance(error, Exception) and self._took_part(call, error)

    def fail(self, call, error):
        """A call raised ``error``."""
        self._end_call(call, error)
        self.note(call, "raises", repr(error))
        self._cancel_reader(call)
        if isinstance(error, asyncio.CancelledError):
            self._look_at_cancel(call, error)
        elif isinstance(error, TimeoutError):
            if not (self._is_leaving(call) or (isinstance(error, AttemptTimeoutError) and self._had_to_stop(call))):
                self.blame("timeout too soon", call)
        elif self._took_part(call, error):
            self._look_at_error(call, error)
        elif not self._may_be_refused(call, error):
            self.blame("error of another load", call, repr(error))
        if call.task is not None and self._is_undisturbed(call, error):
            self._look_at_closing(call)

    def _look_at_cancel(self, call, error):
        if call.parent is not None and not call.parent.own_cancel:
            self.cancel_load(call.parent)
        elif not self._is_leaving(call) and not self._is_own_cancel(call, error):
            self.blame("foreign cancel", call)

    def _look_at_error(self, call, error):
        """A load that the call took part in raised ``error``."""
        if self._should_be_rescued(call, error):
            self.blame("error though an expired value is left", call, repr(error))
        elif call.reads and not (self._is_leaving(call) or self._lags(call)) and call.read != call.reads.given:
            self.blame("error before all items", call, repr(error))

    def _may_be_refused(self, call, error):
        """The cache itself raised ``error``, and rightly."""
        if isinstance(error, LaggingConsumerError):
            return self._lags(call)
        circle = call.parent is not None and self._waits_for(call.target, call.parent)
        return circle and isinstance(error, RecursiveLoadError)

    def _had_to_stop(self, call):
        """A load of the target ran as long as it may, and ended during the call; or it never got a slot."""
        return self.is_limited(call.name) or any(
            self._had_no_time(load) and load.ended > call.stamp for load in self.loads_of[call.target]
        )

    def _is_excused(self, call):
        """A load of the target has failed of late, or took long: then an expired value may be served."""
        late = call.at + self._option(call.target, "soft_timeout", math.inf) - 1e-6 <= self.loop.time()
        if self.is_limited(call.name):  # a load may fail before the oracle hears of it: it waited too long for a slot
            late |= self.asked_at[call.target] + self._option(call.target, "hard_timeout", math.inf) <= self.loop.time()
        return late or any(
            load.ended and (load.error is not None or load.failed) for load in self.loads_of[call.target]
        )

    def _end_call(self, call, error):
        del self.pending[call]
        self.left[call.target] = self.loop.ticks
        turned = self.turned[call.target]
        same = [other for other in self.pending if other.target == call.target and other.stamp >= turned]
        if all(self._waits_for_fellows(other) for other in same):
            self.deserted[call.target] = next(self.stamps)
        self.ended_calls[call.name].append((call, error))

    def _waits_for_fellows(self, call):
        """The call has its own answer, but is one of several that are given theirs together."""
        return bool(call.fellows) and any(load.ended and load.ended > call.stamp for load in self.loads_of[call.target])

    def _is_leaving(self, call):
        if call.leaves or (call.task is not None and call.task.cancelling()):
            return True
        return call.client.cancelled or self._is_late(call)

    def _is_late(self, call):
        return call.timeout is not None and self.loop.time() >= call.at + call.timeout - 1e-6

    def _is_own_cancel(self, call, error):
        """A leader's own function raised it."""
        loads = self.loads_of[call.target]
        return any(load.call is call and load.error is error and load.own_cancel for load in loads)

    def _took_part(self, call, error):
        """The error came from a load of the target that ran during the call and was not cleared before it."""
        cause = error.__cause__ if isinstance(error, SelfCancelledError) else error
        limited = self.is_limited(call.name) or call.name == "s"
        unknown = cause is None or (limited and isinstance(cause, asyncio.CancelledError))
        if unknown and call.tick <= self.closed_tick + UNNOTICED_TICKS:
            return True  # the cache was closed before the load took its first step
        return any(
            (
                load.error is error
                or (load.error is cause and (load.own_cancel or load.stamp < self.closed))
                or (unknown and call.name == "s" and load.cancelled and load.stamp < self.closed)
            )
            and load.settled > call.stamp
            and load.stamp >= call.floor
            for load in self.loads_of[call.target]
        )

    def _waits_for(self, target, wanted, seen=()):
        """A live load of ``target`` is, or waits for, the ``wanted`` load."""
        for load in self.live[target]:
            if load is wanted:
                return True
            if load not in seen:
                inside = [c.target for c in self.pending if c.parent is load]
                if any(self._waits_for(t, wanted, (*seen, load)) for t in inside):
                    return True
        return False

    # -- loads ---------------------------------------------------------------------------------------------------

    def begin_load(self, name, target, call):
        """A load takes its first step; ``call`` is the one it was started by."""
        load = Load()
        load.name, load.target, load.call = name, target, call
        load.error = None
        load.mates = (load,)
        load.tick = self.loop.ticks
        load.began_at = load.ended_at = self.loop.time()
        load.timed_out = False
        load.ended = load.settled = load.too_long = 0
        load.cancelled = load.own_cancel = load.private = load.disowned = load.parted = load.failed = False
        load.alone = call.stamp <= self.unshared[target]  # perhaps it is for its caller only
        load.rescuer = None  # the expired value that is to be served in its place
        load.stamp = load.number = next(self.stamps)
        load.value = Value(target, load.stamp, self.expire, self._option(target, "jitter", 0.0), load=load)
        stored = self.stored.get(target)
        if (
            stored is not None
            and not call.anew
            and not self._is_early(target)
            and self._is_fresh(stored)
            and self._came_after(call, stored)
        ):
            self.blame("load of what is stored", load, stored)
        if stored is not None and not call.anew:
            self._look_at_pause(load, stored)
        for other in self.live[target]:
            since = min(call.stamp, other.call.stamp)
            one_turn = since >= self.turned[target] and since > self.unshared[target]
            if one_turn and not self._lost_tag(other.value, math.inf, since=other.call.stamp):
                self.blame("second live load of one turn", load, "beside", other)
        self.live[target].append(load)
        self.loads.append(load)
        self.loads_of[target].append(load)
        self.note(load, "begins for", call)
        return load

    def _look_at_pause(self, load, stored):
        """After a load that failed there is none for a while, where an expired value can be served instead."""
        now, stale = self.loop.time(), self._lives(stored) - stored.fresh
        serves = self.roomy and not self._is_cleared(stored) and now < stored.kept_at + stored.surely + stale
        serves = serves and not (stored.load and stored.load.error)  # an answer that is an exception rescues no load
        for last in self.loads_of[load.target] if serves and stale else ():
            if (
                (last.failed or isinstance(last.error, LoadFailedError))
                and not last.alone
                and not (last.disowned or last.cancelled or last.call.anew)
                and (stored.load.ended if stored.load else stored.stamp) < last.ended
                and last.ended < load.call.stamp
                and now < last.ended_at + PAUSE - 1e-6
            ):
                self.blame("load though one has just failed", load, "after", last)

    def look_at_slots(self, name):
        """No more calls of the source run at once than its limiter allows."""
        running = {id(load.mates) for loads in self.live.values() for load in loads if load.name == name}
        if len(running) > self.options[name].get("limiter", math.inf):
            self.blame("more loads than there are slots", name, len(running))

    def together(self, loads):
        """One call of the source is for all of these loads: it goes on as long as somebody waits for one of them."""
        for load in loads:
            load.mates = loads
        return loads

    def read(self, load, stamp):
        """What a load gives was read together with others', at ``stamp``."""
        load.value.stamp = stamp
        if stamp < load.call.turn:
            self.blame("load was given what is from before an invalidation", load, stamp)

    def _is_early(self, target):
        """Loads of the target may begin before its value expires."""
        return bool(self._option(target, "refresh_ahead", default=False))

    def _came_after(self, call, value):
        return call.stamp > max(value.load.ended if value.load else value.stamp, self.unshared[call.target])

    def _is_fresh(self, value):
        return self.roomy and not self._is_cleared(value) and self.loop.time() < value.kept_at + value.surely

    def _is_cleared(self, value):
        return value.stamp < self.cleared[value.target] or self._lost_tag(value, math.inf)

    def cancel_load(self, load, *, late=False):
        """A load sees that it is cancelled, though it did not cancel itself; ``late``: perhaps it was some time ago."""
        if load.cancelled or load.own_cancel:
            return
        if self._had_no_time(load):
            load.timed_out = True
            self.note(load, "has run out of time")
            return
        load.cancelled = True
        self.note(load, "is cancelled")
        self._cancel_readers(load)
        if load.stamp < self.closed:
            return
        if load.name == "page" and not load.call.served:  # runs in its caller's own task
            if not self._is_leaving(load.call):
                self.blame("leader cancelled", load)
            return
        if load.call.served:  # with something else, so that the load is to go on for those who come
            self.blame("load in the background cancelled", load)
        if late and self.deserted[load.target] > load.stamp:
            return
        for call in self.pending:
            if (
                call.target == load.target
                and min(call.stamp, load.call.stamp) >= self.turned[load.target]
                and call.tick < self.loop.ticks - UNNOTICED_TICKS
                and not self._is_leaving(call)
                and call.reads in {None, load.value}
                and not (call.parent is not None and call.reads and self._may_wait_for(call.parent.target, load.target))
                and (load.call is call or not call.fellows)
                and not (call.fellows and call.stamp < self.closed)  # one that the close has ended ends the others
                and not self._gave_up(call)
                and not (call.parent is not None and call.parent.cancelled)
                and not self._waits_elsewhere(load.target)
            ):
                self.blame("load cancelled although somebody waits", load, call)

    def _gave_up(self, call):
        """One of the calls that were made with this one has failed, and that is raised."""
        if call.raises and call.tick <= self.closed_tick + UNNOTICED_TICKS:
            return True  # a load of theirs may never have begun
        targets = {fellow.target for fellow in call.fellows} if call.raises else ()
        return any(load.error and load.ended > call.stamp and load.target in targets for load in self.loads)

    def _waits_elsewhere(self, target):
        """A load has lost a tag: calls may wait for that one, or for one that began beside it."""
        return any(self._lost_tag(load.value, math.inf, since=load.call.stamp) for load in self.loads_of[target])

    def end_load(self, load, error=None, *, shared=True, failed=False):
        """A load is about to return its value, which may tell that it has ``failed``, or to raise ``error``."""
        load.ended, load.ended_at = next(self.stamps), self.loop.time()
        load.settled = load.ended
        self._cancel_readers(load)
        load.error, load.failed = error, failed
        load.disowned = load.call.stamp < self.turned[load.target]
        load.parted = load.call.stamp < self.parted[load.target]
        load.value.kept_at = self.loop.time()
        answered = error is None or isinstance(error, NotFoundError)
        if error is not None and answered:
            load.value.fresh = self._option(load.target, "negative_expire", self.expire)
            load.value.surely = load.value.fresh * (1 - self._option(load.target, "jitter", 0.0))
        self.live[load.target].remove(load)
        if (
            load.name != "page"
            and not load.cancelled
            and not self._may_run_on(load)
            and all(self._is_abandoned(mate.target) for mate in load.mates)
        ):
            self.blame("load goes on though nobody waits", load)
        if failed or isinstance(error, LoadFailedError):
            load.rescuer = self._rescuer_of(load)
        if not shared:
            load.private = True
            self.unshared[load.target] = load.ended
        elif load.name == "s":
            self.loop.call_soon(self._settle, load)  # just before the run's task tells of its end
        elif answered and self._is_to_be_stored(load):
            self.stored[load.target] = load.value
        self.note(load, "gives", load.value) if error is None else self.note(load, "raises", repr(error))

    def _is_to_be_stored(self, load):
        return (
            not load.cancelled
            and not load.timed_out
            and load.call.stamp >= self.turned[load.target]
            and load.call.stamp > self.unshared[load.target]
            and not self._lost_tag(load.value, math.inf, since=load.call.stamp)
        )

    def _rescuer_of(self, load):
        """Return the expired value that is there when a load fails, if there is one."""
        value, gone = self.stored.get(load.target), load.disowned or load.cancelled or load.call.anew or load.alone
        return None if gone or value is None or not self._may_rescue(value) else value

    def _may_rescue(self, value):
        stale = self._lives(value) - value.fresh
        stays = self.roomy and stale and self.loop.time() < value.kept_at + value.surely + stale - 1e-6
        return stays and not self._is_cleared(value) and not (value.load and value.load.error)

    def _ends_too_late(self, call, load):
        """Whoever is to wait only so long, where an expired value may be served, waited to the end of a load."""
        until = call.at + self._option(call.target, "soft_timeout", math.inf) + 1e-6
        if load.ended_at <= until or call.anew:
            return False
        # of several that are made together, one without such a value makes all of them wait
        return all(c.old is not None and self._may_rescue(c.old) for c in call.fellows or (call,))

    def _should_be_rescued(self, call, error):
        return any(load.error is error and self._fails_in_vain(load) for load in self.loads_of[call.target])

    def _fails_in_vain(self, load):
        """An expired value must be served in place of what the load fails with, unless it was cleared since."""
        return (
            load.rescuer is not None and load.call.stamp >= self.turned[load.target] and self._may_rescue(load.rescuer)
        )

    def _may_run_on(self, load):
        """Somebody may have been served an expired value for it, or one about to expire; or it ends for want of time."""
        options = {"stale_while_revalidate", "refresh_ahead", "soft_timeout"}
        return load.timed_out or not options.isdisjoint(self.options[load.name])

    def _had_no_time(self, load):
        """The load has run for as long as it may."""
        until = load.ended_at if load.ended else self.loop.time()
        since = load.call.at if self.is_limited(load.name) else load.began_at  # to wait for a slot takes time too
        return until >= since + self._option(load.target, "hard_timeout", math.inf) - 1e-6

    def _is_abandoned(self, target):
        noticed = self.left[target] < self.loop.ticks - UNNOTICED_TICKS
        return noticed and not any(call.target == target for call in self.pending)

    # -- what is stored ------------------------------------------------------------------------------------------

    def see(self, target, value):
        """``peek`` returned ``value``."""
        self.note("peek at", target, "gives", value)
        if value.target != target or self._is_cleared(value):
            self.blame("stale peek", target, value)
        elif value.load is not None and not value.load.ended:
            self.blame("value of a running load", target, value)
        elif self.loop.time() >= value.kept_at + self._lives(value):
            self.blame("expired peek", target, value)

    def look_at_late_loads(self):
        """Whoever was served an expired value had a load begin, or run, unless one had failed of late."""
        for call, value, tick in self.owed:
            loads = self.loads_of[call.target]
            if not (
                self.is_limited(call.name)
                or call.stamp <= self.closed
                or any(load.ended > call.stamp and load.tick <= tick + UNNOTICED_TICKS for load in loads)
                or any(
                    (load.error or load.failed)
                    and not load.parted
                    and not (load.cancelled and load.name != "page")
                    and value.kept_at <= load.ended_at
                    and load.ended < call.stamp
                    for load in loads
                )
            ):
                self.blame("expired value, and nothing loads", call, value)

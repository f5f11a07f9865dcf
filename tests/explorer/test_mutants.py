"""The explorer finds bugs: each of these plausible ones, put into the cache on purpose, within some thousand seeds."""

import inspect
import sys
import textwrap

import pytest

from asyncfan import Limiter
from asyncfan.batching.queue import Queue
from asyncfan.caching import Operation
from asyncfan.caching.calls import compiling
from asyncfan.caching.calls.functions import CachedFunction
from asyncfan.caching.clears.index import TextIndex
from asyncfan.caching.clears.patterns import Fences
from asyncfan.caching.clears.tags import Clears
from asyncfan.caching.freshness.aging import Aging
from asyncfan.caching.freshness.freshness import Freshness
from asyncfan.caching.loads.flights import Flight
from asyncfan.caching.loads.generators import Recorder, Recording
from asyncfan.caching.many.batch_loads import BatchLoads
from asyncfan.caching.many.batches import Visit
from asyncfan.caching.many.items import Items
from asyncfan.caching.many.many import Many

from .explorer import explore, play
from .scenes import SCENES

SEEDS = 6_000

MUTANTS = {
    "what was loaded is stored although it was cleared meanwhile": (
        Operation, "settle", " and self.is_fenced(flight)", " and False"
    ),
    "what a cancelled load gives is stored": (
        Operation, "settle", " and not flight.cancelled", ""
    ),
    "a settled flight is removed by its key, whoever is registered": (
        Operation, "settle", "if self.flights.get(flight.key) is flight:", "if flight.key in self.flights:"
    ),
    "a flight that is no longer registered is stored": (
        Operation, "settle", "if self.flights.get(flight.key) is flight:\n                del self.flights[flight.key]",
        "if True:\n                self.flights.pop(flight.key, None)",
    ),
    "a settled flight stays registered": (
        Operation, "settle", "del self.flights[flight.key]", "pass"
    ),
    "nothing is stored": (
        Operation, "settle", "self.keep(entry, flight.loop)", "pass"
    ),
    "waiters of a cancelled load get its CancelledError": (
        Operation, "settle", "result = AGAIN", "result = Failure(asyncio.CancelledError())"
    ),
    "waiters of a cancelled load are forgotten": (
        Operation, "settle", "result = AGAIN", "waiters = {}"
    ),
    "the error of a load that cancels itself is a bare CancelledError": (
        Operation, "_load", "self.foreign_cancel(error)", "error"
    ),
    "waiters of a cancelled leader get its cancellation": (
        Operation, "_lead", "self.settle(flight, AGAIN)\n        raise",
        "self.settle(flight, Failure(asyncio.CancelledError()))\n        raise",
    ),
    "a call that is told to look again returns that": (
        Operation, "fetch", "if result is not AGAIN:", "if True:"
    ),
    "a cleared flight is joined": (
        Operation, "in_flight", "not flight.cancelled and self.is_fenced(flight)", "False"
    ),
    "a new load does not wait for a cancelled one": (
        Operation, "in_flight", "(not flight.cancelled and self.is_fenced(flight))", "flight.cancelled"
    ),
    "a new load begins beside the one that runs": (
        Operation, "in_flight", "flight.is_stranded() or", "True or"
    ),
    "put leaves the load in flight to be joined and stored": (
        Operation, "replace", "self.disown(entry.key)", "pass"
    ),
    "a clear of one key leaves the load in flight": (
        Operation, "clear_key", "self.disown(key)", "pass"
    ),
    "a clear of a pattern leaves the loads in flight": (
        Operation, "_fence_flights", "self.flight_fences.add(number, pattern)", "pass"
    ),
    "a clear of all leaves the loads in flight": (
        Operation, "_fence_flights", "self.flight_fences.raise_floor(number)", "pass"
    ),
    "loads in flight are checked once for all clears": (
        Operation, "is_fenced", "if flight.checked != number:", "if flight.checked == flight.began != number:"
    ),
    "refresh joins the load in flight": (
        Operation, "fence", "self.disown(key)", "pass"
    ),
    "an expired entry is served": (
        Operation, "find",
        'if entry.gone <= now:\n        self.drop(entry, "expired")\n        return None\n    return entry if now < entry.last else None',
        "return entry",
    ),
    "a cleared entry is served": (
        Operation, "first_clear", "if entry.seal is self.seal:", "if True:"
    ),
    "a replaced entry stays in the order": (
        Operation, "drop", "self.store.order.remove(entry)", "pass"
    ),
    "the load is cancelled when the first of its waiters leaves": (
        Flight, "abandon", " or self.waiters", ""
    ),
    "the load goes on when its last waiter left": (
        Flight, "stop", "if self.task is None or", "if True or"
    ),
    "a load whose last waiter left is not marked as cancelled": (
        Flight, "abandon", "flight.cancelled = True", "pass"
    ),
    "a load may wait for itself": (
        Flight, "enlist", "if path is not None:", "if False:"
    ),
    "a load may wait for itself through another": (
        Flight, "_path_to", "paths += [[*path, then] for then in last.blocked_on]", "pass"
    ),
    "a waiter that left stays": (
        Flight, "leave", "self.waiters.pop(waiter, None)", "pass"
    ),
    "a fence of beginnings counts as none": (
        Fences, "first_since", "self._starts.get(t[:n], ())", "()"
    ),
    "a fence of one key counts as none": (
        Fences, "first_since", "self._exact.get(t, ())", "()"
    ),
    "a fence of all says nothing": (
        Fences, "first_since", "if number < self.floor:", "if False:"
    ),
    "a fence stands longer than its sweep": (
        Operation, "_end", "self.fences.remove(sweep.number, pattern)", "pass"
    ),
    "a sweep ends before it has dropped anything": (
        Operation, "_drop_matching", 'self.drop(entry, "invalidated", sweep)', "pass"
    ),
    "a sweep drops what is younger than its clear": (
        Operation, "_drop_matching", "entry.seal.number < sweep.number and ", ""
    ),
    "an index is taken as complete before it is filled": (
        Operation, "keep_index", "if self.table:", "if False:"
    ),
    "an index knows nothing of what came while it was filled": (
        Operation, "keep", "if self.index is not None:", "if self.index is not None and self.index.complete:"
    ),
    "an index keeps what is gone": (
        Operation, "drop", "self.index.discard(text, entry)", "pass"
    ),
    "an index takes an entry in twice": (
        TextIndex, "add", "not self.complete and ", "False and "
    ),
    "the tags of what is gone are kept": (
        Operation, "drop", "self.tagged.discard(entry)", "pass"
    ),
    "entries of a tag are served until they are swept": (
        Operation, "first_clear", "if entry in sweep.entries:", "if False:"
    ),
    "a clear of tags leaves the loads in flight": (
        Operation, "is_fenced", "return self.has_lost_tag(flight)", "return False"
    ),
    "a tag added after its clear counts as not cleared": (
        Operation, "has_lost_tag", "flight.began, flight.known_tags", "flight.began, flight.tags",
    ),
    "who came after a clear of tags gets what is from before": (
        Operation, "settle", "late = self.come_too_late(flight, waiters)", "pass"
    ),
    "who came after a clear of tags hears nothing": (
        Operation, "settle", "deliver(late, AGAIN, flight.loop)", "pass"
    ),
    "tags of loads in flight are forgotten": (
        Clears, "add", "if not in_flight or ", "if True or "
    ),
    "what an earlier clear meant is not counted when it is replaced": (
        Operation, "drop", "sweep = self.sweeps.get(first)", "pass"
    ),
    "the cache does not hold its tasks": (
        Operation, "start", "self.cache.tasks.add(task)", "pass"
    ),
    "a load that is cancelled before its first step is never settled": (
        Operation, "_never_began", "if flight.waiters is not None:", "if False:"
    ),
    "the cache never lets go of its tasks": (
        Operation, "_load", "self.cache.tasks.discard(flight.task)", "pass"
    ),
    "a joined call is not counted": (
        Operation, "enter", "self.joined += 1", "pass"
    ),
    "a call that looks again is counted again": (
        Operation, "fetch", "counts = False", "pass"
    ),
    "a cancelled load is not counted": (
        Operation, "_load", "self.loads_cancelled += 1", "pass"
    ),
    "a hit does not mind clears": (
        compiling, "TEMPLATE", "{p}entry.seal is {p}op.seal and ", ""
    ),
    "a hit does not mind expiry": (
        compiling, "TEMPLATE", " and {p}entry.expires > {p}clock()", ""
    ),
    "a request that is told to look again returns that": (
        Operation, "lead", "if result is not AGAIN:", "if True:"
    ),
    "a result that belongs to its caller alone is shared": (
        Operation, "_to_share", "return UNSHARED, None", "return loaded.value, None"
    ),
    "an expired value is served at once though only a failed load allows it": (
        Aging, "age", "Age.REFRESH if now < self.stale else Age.FALLBACK", "Age.REFRESH"
    ),
    "a load in the background begins beside the one that runs": (
        Operation, "depart", "if self.in_flight(key) is not None:", "if False:"
    ),
    "who has waited long enough gets nothing where the old value is gone": (
        Operation, "overdue", "return AGAIN", "return None"
    ),
    "a value served at once is not counted": (
        Operation, "_count_hit", "self.stale_hits += counts", "pass"
    ),
    "hits of many do not mind clears": (
        Many, "_look_up", "entry.seal is op.seal and ", ""
    ),
    "of equal calls of many only the first gets a value": (
        Many, "_spread", "for place in others:", "for place in ():"
    ),
    "equal calls of many are not counted": (
        Many, "_look_up", "op.joined += len(left) - len(missing)", "pass"
    ),
    "a load in the background counts as one that has its caller": (
        Operation, "depart", "flight.background = True", "pass"
    ),
    "who joined late and leaves cancels the load of the others": (
        Flight, "leave", "self.waiters.pop(waiter, None)\n    return self.abandon()",
        "late = self.waiters.pop(waiter, self.began) > self.began\n    return late or self.abandon()",
    ),
    "whoever leaves cancels the load of the others": (
        Flight, "leave", "self.waiters.pop(waiter, None)\n    return self.abandon()",
        "only = len(self.waiters) == 1\n    self.waiters.pop(waiter, None)\n    return not only or self.abandon()",
    ),
    "hits of many do not mind expiry": (
        Many, "_look_up", " and entry.expires > now", ""
    ),
    "a failed load gives the old value although it was cleared": (
        Operation, "rescue", "self.find(flight.key)", "self.table.get(flight.key)"
    ),
    "a failed load is followed by the next at once": (
        Operation, "rescue", "old.failed(self.cache.clock())", "pass"
    ),
    "an expired value that may be served is never replaced": (
        Aging, "age", "Age.REFRESH if now < self.stale", "Age.FRESH if now < self.stale"
    ),
    "who has lost patience leaves the load to be cancelled": (
        Flight, "_run_on", "self.background = True", "pass"
    ),
    "a batched load joins a batch from before": (
        Queue, "enter", " and sent.began >= since()", ""
    ),
    "one call for many keys is cancelled though some are waited for": (
        Flight, "abandon",
        "if any(mate.waiters is not None and (mate.waiters or mate.background) for mate in self.mates):", "if False:"
    ),
    "each key of one call gets what the first was given": (
        BatchLoads, "_call", "self._settle(flight, result, started)", "self._settle(flight, results[0], started)"
    ),
    "loads of many keys have no tags": (
        Visit, "_board", "flight.tags, flight.how = self._todo[key].tags, self._batch.loads.how",
        "flight.how = self._batch.loads.how",
    ),
    "flights of many keys that were never launched stay": (
        Visit, "_leave", "op.settle(flight, AGAIN)", "pass"
    ),
    "what is missing is kept as long as what is not": (
        Freshness, "entry", "expire = self.negative_expire", "pass"
    ),
    "an exception that is kept has no tags": (
        Operation, "failed", "flight.tags, cost=seconds", "(), cost=seconds"
    ),
    "a slot that was granted to who leaves is lost": (
        Limiter, "_give_up", "self.running -= waiter.weight", "pass"
    ),
    "a call is invalidated in the scope around alone": (
        CachedFunction, "invalidate", "bool(scopes_in_use)", "False"
    ),
    "a failed refresh drops the old entry": (
        Operation, "count_failure", "self.loads_failed += 1", "self.loads_failed += 1; self.table.clear()"
    ),
    "a load fails though an old value is left": (
        Operation, "failed", "old = self.rescue(flight, type(error).__name__) if isinstance(error, Exception) else AGAIN",
        "old = AGAIN",
    ),
    "a load that its callers have left keeps the next one waiting": (
        Operation,
        "rescue",
        "if flight.anew or flight.cancelled:",
        "if flight.anew:",
    ),
    "who waits has all the patience there is": (
        Operation, "fetch", "patience if key in self.table else None", "None"
    ),
    "who waits for many has all the patience there is": (
        Visit, "_outcome", "if self._patience is not None and key in op.table:", "if False:"
    ),
    "an item is loaded with the options of no item": (
        Operation, "fetch", "= tags, anew, asked, how", "= tags, anew, asked, None"
    ),
    "many items are loaded with the options of no item": (
        Visit, "_board", "self._todo[key].tags, self._batch.loads.how", "self._todo[key].tags, None"
    ),
    "an item that is put lives as long as those without options": (
        Items, "put", '_freshness("put", expire, options)', '_freshness("put", expire, {})'
    ),
    "a request fails though an old value is left": (
        Operation, "_rescue_or_fail", "return old", "return AGAIN"
    ),
    "who waits for a request fails though an old value is left": (
        Operation, "_rescue_or_fail", "failure if old is AGAIN else old", "failure"
    ),
    "a response that tells of a failure is given though an old one is left": (
        Operation, "_lead", "if loaded.failed:", "if False:"
    ),
    "a request in the background is never made": (
        Operation, "lead", "if flight is not None:", "if False:"
    ),
    "a request in the background takes the leader's place": (
        Operation, "_lead_later", "await self._lead(flight, call)", "await call()"
    ),
    "a response has no life after its expiry": (
        Operation, "_entry_of", "if not (stale or last or tags):", "if True:"
    ),
    "a generator is asked for what nobody has asked for": (
        Recording, "is_asked", "while not self.waiters and not self.cancelled:", "while False:"
    ),
    "who waits for an item asks for the one after it": (
        Recording, "is_asked",
        "while not self.waiters and not self.cancelled:", "while not (self.waiters or self.count or self.cancelled):",
    ),
    "who comes late begins in the middle": (
        Recorder, "consume", "found.consumers[consumer] = position = 0", "found.consumers[consumer] = position = found.count"
    ),
    "the items before an error are lost": (
        Recorder, "consume", "if position < found.count:", "if position < found.count and not found.failure:"
    ),
    "the error of a run is lost": (
        Recorder, "consume", "    outcome(found.failure)", "    pass"
    ),
    "an item is left out for who is slow": (
        Recorder, "consume", "position = position + 1", "position = found.count"
    ),
    "a run goes on when its last consumer left": (
        Recording, "quit", "self.consumers or task is None", "True"
    ),
    "a run ends when the first of its consumers left": (
        Recording, "quit", "self.consumers or task is None", "task is None"
    ),
    "who leaves last does not wait until the generator is closed": (
        Recording, "quit", "await asyncio.wait([task])", "pass"
    ),
    "a generator that is closed waits for who closes it": (
        Flight, "block", "if mine is not None:", "if False:"
    ),
    "a run begins while the last one is closed": (
        Recorder, "_enter", "(not flight.cancelled and op.is_fenced(flight))", "(flight.cancelled or op.is_fenced(flight))"
    ),
    "a cleared run is joined": (
        Recorder, "_enter", "not flight.cancelled and op.is_fenced(flight)", "False"
    ),
    "a run that was given up is joined": (
        Recorder, "_bound", "if op.flights.get(recording.key) is recording:", "if False:"
    ),
    "a run that was given up takes another's place": (
        Recorder, "_bound", "if op.flights.get(recording.key) is recording:", "if recording.key in op.flights:"
    ),
    "who is not far behind is told to be": (
        Recording, "add", "min(behind, self.kept)", "(min(behind, self.kept) - 1)"
    ),
    "refresh joins the run under way": (
        Recorder, "_find_or_start", "op.fence(key)", "pass"
    ),
    "a run that its consumers left counts for nothing": (
        Recorder, "_settle", "op.loads_cancelled += 1", "pass"
    ),
    "who joins a run is not counted": (
        Recorder, "_enter", "op.joined += counts and not (anew or flight.cancelled)", "pass"
    ),
    "what came of a run is not told": (
        Recorder, "_settle", "op.settle(recording, None, entry)", "op.settle(recording, None, entry) if entry else None"
    ),
}  # fmt: skip

# {bug: the first seed that shows it}, where that comes late: it is tried before all others
HINTS = {
    "a generator that is closed waits for who closes it": 168276,
    "a run that was given up takes another's place": 11308,
    "an index knows nothing of what came while it was filled": 2773,
    "the items before an error are lost": 2649,
    "what a cancelled load gives is stored": 2760,
    "tags of loads in flight are forgotten": 1940,
    "flights of many keys that were never launched stay": 1176,
    "refresh joins the run under way": 1025,
    "an expired entry is served": 979,
    "a failed load is followed by the next at once": 701,
    "an exception that is kept has no tags": 562,
    "who came after a clear of tags gets what is from before": 421,
    "a sweep ends before it has dropped anything": 401,
    "one call for many keys is cancelled though some are waited for": 362,
    "entries of a tag are served until they are swept": 325,
    "a load may wait for itself through another": 299,
    "a load that is cancelled before its first step is never settled": 258,
    "an index is taken as complete before it is filled": 199,
    "an index takes an entry in twice": 193,
    "who came after a clear of tags hears nothing": 177,
    "loads of many keys have no tags": 177,
    "what is missing is kept as long as what is not": 174,
    "a slot that was granted to who leaves is lost": 174,
    "loads in flight are checked once for all clears": 172,
    "a fence of one key counts as none": 172,
    "a result that belongs to its caller alone is shared": 166,
    "a call is invalidated in the scope around alone": 156,
}


def mutated(owner, name, old, new):
    """Return the method ``name`` of ``owner`` with ``old`` replaced in its source."""
    found = getattr(owner, name)
    source = found if isinstance(found, str) else textwrap.dedent(inspect.getsource(found))
    assert old in source, f"{owner.__name__}.{name} no longer has {old!r}: write the mutant anew"
    if isinstance(found, str):
        return source.replace(old, new)
    scope = {}
    code = compile("from __future__ import annotations\n" + source.replace(old, new), "<mutant>", "exec")
    exec(code, sys.modules[found.__module__].__dict__, scope)
    return scope[name]


def first_found(seeds):
    """Return the first of the seeds whose schedule breaks a rule, and how."""
    for seed in seeds:
        violations = explore(seed).violations
        if violations:
            return seed, violations[0]
    return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bug", MUTANTS)
def test_explorer_finds(bug, monkeypatch):
    """A schedule written by hand or one among some thousand shows the bug."""
    owner, name, old, new = MUTANTS[bug]
    monkeypatch.setattr(owner, name, mutated(owner, name, old, new))
    shown = any(play(scene).violations for scene in SCENES.values())
    assert shown or first_found((HINTS.get(bug, 0), *range(SEEDS))), f"no schedule shows that {bug}"

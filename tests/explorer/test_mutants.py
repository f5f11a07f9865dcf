"""The explorer finds bugs: each of these plausible ones, put into the cache on purpose, within some thousand seeds."""

import inspect
import sys
import textwrap

import pytest

from asyncfan.caching import Cache, Operation, compiling
from asyncfan.caching.flights import Flight
from asyncfan.caching.patterns import Fences

from .explorer import explore

SEEDS = 6_000

MUTANTS = {
    "what was loaded is stored although it was cleared meanwhile": (
        Operation, "settle", " and not self.is_cleared(flight)", ""
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
        Operation, "_load", "self._foreign_cancel(error)", "error"
    ),
    "waiters of a cancelled leader get its cancellation": (
        Operation, "_leading", "self.settle(flight, AGAIN)\n        raise", "self.settle(flight, MISSING)\n        raise"
    ),
    "a call that is told to look again returns that": (
        Operation, "fetch", "if result is not AGAIN:", "if True:"
    ),
    "a cleared flight is joined": (
        Operation, "in_flight", "not flight.cancelled and self.is_cleared(flight)", "False"
    ),
    "a new load does not wait for a cancelled one": (
        Operation, "in_flight", "(not flight.cancelled and self.is_cleared(flight))", "flight.cancelled"
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
        Operation, "_drop_now", "self.disown(key)", "pass"
    ),
    "refresh joins the load in flight": (
        Operation, "_first_visit", "self.disown(key)", "pass"
    ),
    "an expired entry is served": (
        Operation, "find",
        'if entry.gone <= now:\n        self.drop(entry, "expired")\n        return None\n    return entry if now < entry.last else None',
        "return entry",
    ),
    "a cleared entry is served": (
        Operation, "is_cleared", "if item.seal is self.seal:", "if True:"
    ),
    "a replaced entry stays in the order": (
        Operation, "drop", "self.store.order.remove(entry)", "pass"
    ),
    "an entry is dropped by its key, whoever is stored": (
        Operation, "drop", "if self.table.get(entry.key) is entry:", "if entry.key in self.table:"
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
    "fences are forgotten too early": (
        Fences, "forget", "self.floor = max(self.floor, number)", "number += 10"
    ),
    "all is cleared where fences are forgotten": (
        Cache, "_forget_fences", "self._marks.get(op, 0)", "op.seal.number"
    ),
    "a fence says nothing of beginnings": (
        Fences, "cleared_since", "any(self._starts.get(t[:n], 0) > number for n in self._lengths)", "False"
    ),
    "a fence of all says nothing": (
        Fences, "cleared_since", "if number < self.floor:", "if False:"
    ),
    "the cache does not hold its tasks": (
        Operation, "_launch", "self.cache.tasks.add(task)", "pass"
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
    "a failed refresh drops the old entry": (
        Operation, "_count_failure", "self.loads_failed += 1", "self.loads_failed += 1; self.table.clear()"
    ),
}  # fmt: skip


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
    """A schedule among some thousand shows the bug."""
    owner, name, old, new = MUTANTS[bug]
    monkeypatch.setattr(owner, name, mutated(owner, name, old, new))
    assert first_found(range(SEEDS)), f"no schedule shows that {bug}"

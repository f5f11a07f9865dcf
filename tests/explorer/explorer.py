"""Runs one seed's schedule of calls, cancellations, clears and failing loads against a cache, under an oracle.

``python -m tests.explorer.explorer --seed N`` prints the schedule of one seed, and what the oracle says;
``--seeds A B`` runs a range of them.
"""
# ruff: noqa: T201 - a command prints

import argparse
import asyncio
import gc
import logging
import math
import sys
import time

from asyncfan.caching.clears import cleared, clearing
from asyncfan.caching.loads import task_loads
from asyncfan.caching.memory import store
from asyncfan.fanout import crew
from asyncfan.testing import DeadlockError

from .loop import CountingLoop
from .plan import Plan
from .world import FOREVER, World

BETWEEN_COLLECTIONS = 10  # schedules: a collection after each would take as long as the schedule


def explore(seed):
    """Play one seed's schedule; returns the oracle."""
    return play(Plan.of(seed))


def play(plan):
    """Play a schedule on a loop of its own; returns the oracle."""
    loop = CountingLoop()
    before = cleared.SCAN_LIMIT, clearing.LIST_LIMIT, task_loads.MAX_EAGER_DEPTH
    steps = store.STORE_STEPS, store.WORK_SLICE, crew._SLICE
    crew._SLICE = math.inf  # it is of real time, so that a busy machine would play another schedule
    if plan.fences:
        cleared.SCAN_LIMIT, clearing.LIST_LIMIT = plan.scan_limit, plan.list_limit
        store.STORE_STEPS = store.WORK_SLICE = 1
    task_loads.MAX_EAGER_DEPTH = plan.eager_depth
    if plan.eager:
        loop.set_task_factory(asyncio.eager_task_factory)
    world = World(plan, loop)
    try:
        loop.run_until_complete(world.run())
    except DeadlockError as error:
        world.oracle.blame("hang", error)
    finally:
        cleared.SCAN_LIMIT, clearing.LIST_LIMIT, task_loads.MAX_EAGER_DEPTH = before
        store.STORE_STEPS, store.WORK_SLICE, crew._SLICE = steps
        if world.oracle.violations:
            _cancel_all(loop)
        loop.close()
    return world.oracle


def _cancel_all(loop):
    """End whatever a broken schedule left in a loop."""
    loop.set_exception_handler(lambda *_: None)
    for _ in range(3):
        left = asyncio.all_tasks(loop)
        if not left:
            break
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.sleep(FOREVER))


def explore_range(start, stop):
    """Return the violations of the seeds from ``start`` up to ``stop``: ``[(seed, violation)]``."""
    found = []
    gc.collect()
    gc.freeze()  # what was imported is looked at no more
    gc.disable()
    for seed in range(start, stop):
        found += [(seed, violation) for violation in explore(seed).violations]
        if seed % BETWEEN_COLLECTIONS == 0:
            gc.collect()
    gc.enable()
    gc.unfreeze()
    return found


def main():
    """Run what the command line asks for; exit code 1 where a rule is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="print the schedule of this seed")
    parser.add_argument("--seeds", type=int, nargs=2, metavar=("FIRST", "LAST"), help="run these and those between")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if args.seed is not None:
        oracle = explore(args.seed)
        print(Plan.of(args.seed))
        for tick, what in oracle.events:
            print(f"{tick:5}  {' '.join(map(str, what))}")
        print(*oracle.violations or ["every rule was kept"], sep="\n")
        sys.exit(bool(oracle.violations))
    first, last = args.seeds or (0, 9_999)
    started = time.perf_counter()
    found = explore_range(first, last + 1)
    for seed, violation in found[:50]:
        print(f"seed {seed}: {violation}")
    seconds = time.perf_counter() - started
    print(f"{last + 1 - first} schedules, {len(found)} violations, {seconds:.1f} s")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()

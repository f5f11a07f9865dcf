"""What must be true of a cache when everybody has left: nothing runs, nothing leaked, and the figures add up."""

import asyncio

from asyncfan.exceptions import RecursiveLoadError


def look_at_rest(world):
    """Blame what is left of a schedule that should be gone, and what does not fit together."""
    blame, cache = world.oracle.blame, world.cache
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        blame("leaked task", *(task.get_name() for task in left))
    if cache.tasks:
        blame("leaked load", *cache.tasks)
    if world.oracle.pending:
        blame("call that never ended", *world.oracle.pending)
    world.oracle.look_at_late_loads()
    with cache.store.lock:
        while not cache.store.work(100):
            pass
    operations = {name: cached.operation for name, cached in world.cast.items()}
    for name, op in operations.items():
        _look_at_operation(world, name, op)
        limiter = world.cast[name].limiter
        if limiter is not None and (limiter.running or limiter.waiting):
            blame("leaked slot", name, limiter)
    held = sum(len(op.table) for op in operations.values())
    if len(cache.store) != held:
        blame("order and tables differ", len(cache.store), held)
    counted, gone = sum(map(int, world.clears)), sum(op.removed["invalidated"] for op in operations.values())
    if counted != gone:
        blame("wrong counts of clears", counted, "counted of", gone)


def _look_at_operation(world, name, op):
    blame = world.oracle.blame
    if op.flights:
        blame("leaked flight", name, op.flights)
    for key, entry in op.table.items():
        if entry.key != key or entry.seal.operation is not op or entry not in world.cache.store.order:
            blame("entry out of place", name, key)
    alive = sum(not op.first_clear(entry) for entry in op.table.values())
    if alive != op.live or (not world.plan.fences and op.live != len(op.table)):
        blame("wrong number of entries", name, op.live, len(op.table))
    if op.sweeps or op.tag_sweeps or op.fences:
        blame("leaked fence", name, op.sweeps)
    if op.index is not None and len(op.index) != len(op.table):
        blame("index and table differ", name, op.index)
    tagged = {tag: {e for e in op.table.values() if tag in e.tags} for e in op.table.values() for tag in e.tags}
    if len(op.tagged) != len(tagged) or any(op.tagged[tag] != entries for tag, entries in tagged.items()):
        blame("tags and table differ", name, op.tagged)


def look_at_counters(world):
    """Blame figures that do not add up to what was called and loaded."""
    oracle = world.oracle
    for name, cached in world.cast.items():
        op, ended = cached.operation, oracle.ended_calls[name]
        asked = [(call, error) for call, error in ended if not call.anew]
        # perhaps not counted: who may not wait, and those of several of which one failed before it was their turn
        # and who has waited in vain for a generator to be closed
        perhaps = [
            c
            for c, error in asked
            if isinstance(error, RecursiveLoadError) or (error and (c.raises or (c.name == "s" and not c.reads)))
        ]
        counted = op.hits + op.stale_hits + op.misses + op.joined
        if not len(asked) - len(perhaps) <= counted <= len(asked):
            oracle.blame("unbalanced calls", name, counted, "counted of", len(asked), "and perhaps not", len(perhaps))
        loads = [load for load in oracle.loads if load.name == name]
        counted = op.loads_ok + op.loads_failed + op.loads_cancelled
        unknown = oracle.is_limited(name) or any(t.startswith("page") for t in oracle.unshared)
        # of runs that the oracle has not heard of, all consumers left before the first step
        more = sum(bool(error and c.name == "s" and not c.reads) for c, error in ended)
        if not len(loads) <= counted <= len(loads) + more and not unknown:
            oracle.blame("unbalanced loads", name, counted, "counted of", len(loads))

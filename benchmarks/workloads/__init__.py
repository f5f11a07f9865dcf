"""All workloads, by name. A name is also a group: ``hit`` stands for ``hit`` and every ``hit-...``."""

from . import (
    adaptive,
    batched,
    batches,
    clear,
    fanout,
    fanout_named,
    hit,
    hit_method,
    hit_spelled,
    hit_sync,
    import_time,
    miss,
    shared,
    stampede,
    stream,
    traces,
)

WORKLOADS = {
    workload.name: workload
    for workload in (
        hit.HIT,
        hit_method.HIT_METHOD,
        hit_sync.HIT_SYNC,
        hit_spelled.HIT_SPELLED,
        miss.MISS,
        miss.MISS_FULL,
        stampede.STAMPEDE,
        clear.CLEAR,
        clear.CLEAR_MILLION,
        shared.SHARED_GET,
        shared.SHARED_SET,
        shared.SHARED_HIT,
        fanout.FANOUT,
        fanout.FANOUT_INSTANT,
        fanout_named.FANOUT_NAMED,
        stream.STREAM,
        batched.BATCHED,
        batched.BATCHED_MANY,
        batches.BATCHES,
        batches.BATCHES_NEAR,
        batches.BATCHES_IO,
        adaptive.ADAPTIVE,
        traces.TRACES_WORKLOAD,
        import_time.IMPORT,
    )
}

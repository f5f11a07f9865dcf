"""`DataBatcher`: batches in order, pulled lazily, several at a time."""

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfan.batching import DataBatcher
from asyncfan.testing import run


@settings(max_examples=100, deadline=None)
@given(
    items=st.lists(st.integers(1, 9), max_size=40),
    size=st.integers(1, 10),
    limit=st.one_of(st.none(), st.integers(9, 30)),
    source=st.sampled_from(["list", "lazy", "async"]),
    parallel=st.integers(1, 3),
)
def test_batches_are_the_items_in_order_and_full(items, size, limit, source, parallel):
    """No item is lost, doubled or moved; no batch is too long or heavy, or could have taken the next item too."""

    async def trickle():
        for item in items:
            yield item

    async def identity(batch):
        await asyncio.sleep(batch[0])
        return batch

    weight = {} if limit is None else {"weight": lambda x: x, "max_batch_weight": limit}
    batcher = DataBatcher(size, max_concurrent_batches=parallel, **weight)
    given_items = {"list": items, "lazy": iter(items), "async": trickle()}[source]
    batches = run(batcher.process_batches(given_items, identity))
    assert [item for batch in batches for item in batch] == items
    for i, batch in enumerate(batches):
        assert 1 <= len(batch) <= size
        assert limit is None or sum(batch) <= limit
        if i + 1 < len(batches):
            following = batches[i + 1][0]
            assert len(batch) == size or (limit is not None and sum(batch) + following > limit)


@pytest.mark.parametrize("parallel", [1, 3])
async def test_so_many_batches_run_at_once(parallel):
    """Six batches of a second take 6 / max_concurrent_batches seconds."""

    async def work(batch):
        await asyncio.sleep(1)
        return sum(batch)

    found = await DataBatcher(2, max_concurrent_batches=parallel).process_batches(range(12), work)
    assert found == [1, 5, 9, 13, 17, 21]
    assert asyncio.get_running_loop().time() == 6 / parallel


async def test_a_stream_pulls_at_most_one_batch_ahead():
    """`stream_batches` never has more than max_concurrent_batches + 1 batches between source and consumer."""
    pulled = taken = peak = 0

    def source():
        nonlocal pulled, peak
        for i in range(40):
            pulled += 1
            peak = max(peak, pulled - 2 * taken)
            yield i

    async def work(batch):
        await asyncio.sleep(0)
        return len(batch)

    async for n in DataBatcher(2, max_concurrent_batches=2).stream_batches(source(), work):
        await asyncio.sleep(1)
        assert n == 2
        taken += 1
    assert taken == 20
    assert peak <= 2 * (2 + 1 + 1)  # and the one in the consumer's hands


async def test_a_plain_function_runs_in_a_thread():
    """A blocking function is called off the loop, as in a fan-out."""
    found = await DataBatcher(2).process_batches([1, 2, 3], name_of_thread)
    assert threading.main_thread().name not in found
    assert len(found) == 2


def name_of_thread(_):
    """Return the name of the thread that it runs in."""
    return threading.current_thread().name


async def test_a_failed_batch_is_named():
    """The failure is raised itself and notes which batch it was."""

    async def work(batch):
        if 5 in batch:
            raise ValueError(batch)

    with pytest.raises(ValueError, match="4, 5") as caught:
        await DataBatcher(2, name="import").process_batches(range(8), work)
    assert caught.value.__notes__ == ["in import:batch 2"]


async def test_collect_gives_an_outcome_a_batch():
    """`on_error="collect"` works through all batches and says what became of each."""

    async def work(batch):
        return 1 // batch[0]

    found = await DataBatcher(1, on_error="collect").process_batches([1, 0, 1], work)
    assert [(o.key, o.status) for o in found] == [(0, "ok"), (1, "error"), (2, "ok")]


async def test_stats_and_repr_count_batches():
    """The figures are in batches."""
    batcher = DataBatcher(2)
    await batcher.process_batches(range(5), lambda batch: batch)
    assert batcher.stats().ok == 3
    assert repr(batcher) == "<DataBatcher of 2, 0 batches running, 3 ok, 0 failed>"

"""Every message that a wrong use of the batchers gets, in full."""

import re

import pytest

from asyncfan.batching import AsyncQueryBatcher, DataBatcher
from asyncfan.fanout import Limiter


async def select(x=None):
    """Return what it is given."""
    return x


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: DataBatcher(0), ValueError, "batch_size must be >= 1, got 0"),
        (
            lambda: DataBatcher(None),
            TypeError,
            "batch_size must be an int >= 1, 'auto' or an AdaptiveBatchSize, got None",
        ),
        (
            lambda: DataBatcher(max_concurrent_batches=0),
            ValueError,
            "max_concurrent_batches must be >= 1 or None, got 0",
        ),
        (
            lambda: DataBatcher(weight=len),
            TypeError,
            "weight and max_batch_weight go together: weight=len, max_batch_weight=1_000_000",
        ),
        (
            lambda: DataBatcher(weight=3, max_batch_weight=3),
            TypeError,
            "weight must be a function of an item, got 3",
        ),
        (
            lambda: DataBatcher(weight=len, max_batch_weight=0),
            ValueError,
            "max_batch_weight must be > 0 or None, got 0",
        ),
        (
            lambda: DataBatcher().stream_batches("abc", select),
            TypeError,
            "items must be an iterable of items, got one string: ['abc']?",
        ),
        (lambda: AsyncQueryBatcher(0), ValueError, "max_concurrency must be >= 1 or None, got 0"),
        (
            lambda: AsyncQueryBatcher(rate=3, limiter=Limiter()),
            TypeError,
            "limiter has its own limits: give rate and burst to Limiter(...), not here",
        ),
        (
            lambda: AsyncQueryBatcher(key="id"),
            TypeError,
            "key must be a function key(query, *args), got 'id'",
        ),
    ],
)
def test_wrong_options_are_refused_where_they_are_written(make, error, message):
    """A wrong option fails at construction, with its name, the rule and the value."""
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make()


async def test_an_item_heavier_than_a_batch_is_refused():
    """The error says which item it is, its weight and the limit."""
    with pytest.raises(ValueError, match=re.escape("item 1 weighs 5, more than a whole batch may: max_batch_weight=4")):
        await DataBatcher(weight=len, max_batch_weight=4).process_batches(["ok", "heavy"], select)


async def test_a_weight_that_is_none_is_refused():
    """A weight that is negative or no number at all would let batches grow without limit."""
    batcher = DataBatcher(weight=lambda _: float("nan"), max_batch_weight=4)
    with pytest.raises(ValueError, match=re.escape("weight must return a number >= 0, got nan for item 0")):
        await batcher.process_batches(["x"], select)


async def test_a_key_that_cannot_be_compared_is_refused():
    """An unhashable key is named, with the rule."""
    message = "key must return something hashable, or None to join nothing, got [1]"
    with pytest.raises(TypeError, match=re.escape(message)):
        await AsyncQueryBatcher(key=lambda _, *args: list(args)).execute(select, 1)


async def test_a_coroutine_is_not_a_query():
    """A coroutine in place of a function is refused with the right code, and does not warn."""
    message = "expected a function, got the coroutine select(): pass select or lambda: select(...)"
    with pytest.raises(TypeError, match=re.escape(message)):
        await AsyncQueryBatcher().execute(select(1))
    with pytest.raises(TypeError, match=re.escape(message)):
        await AsyncQueryBatcher().execute_many([select(1), select(2)])

"""A cache with a clock moved by hand, whose inner structure is checked after every test."""

import pytest

from asyncfan.caching import Cache
from asyncfan.testing import ManualClock


@pytest.fixture
def clock():
    """A clock at 0 s."""
    return ManualClock()


@pytest.fixture
def cache(clock):
    """A cache on the manual clock."""
    found = Cache(clock=clock)
    yield found
    assert_sound(found)


def assert_sound(cache):
    """Tables, order and counters tell the same story, and nothing is left in flight."""
    operations = list(cache.operations)
    entries = [entry for op in operations for entry in op.table.values()]
    assert len(cache.store.order) == len(entries)
    assert all(entry in cache.store.order for entry in entries)
    for op in operations:
        assert op.live == sum(entry.seal.number >= op.cleared_whole for entry in op.table.values())
        assert all(entry.key == key and entry.seal.operation is op for key, entry in op.table.items())
        assert op.flights == {}
        tagged = {tag for entry in op.table.values() for tag in entry.tags}
        assert len(op.tagged) == len(tagged)
        assert all(op.tagged[tag] == {e for e in op.table.values() if tag in e.tags} for tag in tagged)
        assert op.index is None or len(op.index) == len(op.table) or not op.index.complete
    assert cache.tasks == set()

"""What a value weighs, and what becomes of one that cannot be weighed."""

import asyncio
import dataclasses
import sys
from collections import deque

import numpy as np
import pytest

from asyncfan.caching import MISSING, Cache
from asyncfan.caching.memory.weighing import MAX_VISITS, weigh

from .conftest import assert_sound
from .test_misuse import raises


@dataclasses.dataclass(slots=True)
class Row:
    """A record without a ``__dict__``."""

    text: str
    number: int


class Bag:
    """A record with one."""

    def __init__(self):
        self.payload = bytes(100_000)


def rows(count):
    """Records such as a query returns, of different sizes."""
    return [{"id": n, "name": "n" * 40, "tags": ["a", "b"], "text": "t" * (n * 7_919 % 2_000)} for n in range(count)]


def whole(item):
    """The bytes of all that an item holds."""
    if isinstance(item, dict):
        held = [*item, *item.values()]
    elif isinstance(item, Row):
        held = [item.text, item.number]
    else:
        held = item if isinstance(item, (list, tuple, set, frozenset, deque)) else []
    return sys.getsizeof(item) + sum(map(whole, held))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(["x" * 1_000 for _ in range(1_000)], id="list of strings"),
        pytest.param([[bytes(100) for _ in range(100)] for _ in range(100)], id="lists in a list"),
        pytest.param([[[[bytes(200)] * 10] * 10] * 10] * 10, id="four lists deep"),
        pytest.param(rows(300), id="records"),
        pytest.param(dict(enumerate(rows(300))), id="table"),
        pytest.param({**{f"field{n}": n for n in range(20)}, "rows": rows(100)}, id="big field last"),
        pytest.param({"rows": rows(100), **{f"field{n}": n for n in range(20)}}, id="big field first"),
        pytest.param([None] * 50 + ["x" * 1_000] * 950, id="list with another beginning"),
        pytest.param([Row("x" * 1_000, n) for n in range(100)], id="slotted objects"),
        pytest.param({frozenset(range(n, n + 10)) for n in range(1_000)}, id="sets in a set"),
        pytest.param(deque(bytes(500) for _ in range(100)), id="deque"),
    ],
)
def test_weight_is_about_right(value):
    """Containers in containers weigh what they hold, estimated from a sample."""
    assert 0.7 < weigh(value) / whole(value) < 1.4


@pytest.mark.parametrize("value", [5, None, "text" * 100, bytes(10_000), (), {}, [], object()])
def test_weight_of_what_holds_nothing_is_its_size(value):
    """There is nothing to estimate."""
    assert weigh(value) == sys.getsizeof(value)


def test_object_weighs_its_attributes():
    """An object is as heavy as what it holds."""
    assert 100_000 < weigh(Bag()) < 101_000


class Counted:
    """Counts how often it is weighed."""

    visits = 0

    def __sizeof__(self):
        Counted.visits += 1
        return 100


@pytest.mark.parametrize(
    "shape",
    [
        lambda leaf: [[leaf() for _ in range(100)] for _ in range(100)],
        lambda leaf: {n: leaf() for n in range(10_000)},
        lambda leaf: [{n: [leaf(), leaf()] for n in range(30)} for _ in range(1_000)],
        lambda leaf: {leaf() for _ in range(10_000)},
    ],
)
def test_weighing_visits_few_objects(shape):
    """However large or deep, at most two hundred objects are looked at."""
    value = shape(Counted)
    Counted.visits = 0
    weigh(value)
    assert 1 <= Counted.visits <= MAX_VISITS


def test_value_that_holds_itself_can_be_weighed():
    """A cycle comes to an end."""
    endless = []
    endless.append(endless)
    assert weigh(endless) > 0


# -- a weigher of the user's -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["lru", "lfu", "s3fifo"])
def test_weigher_says_what_a_value_weighs(clock, policy):
    """Its bytes, and 400 for the entry, are what ``max_bytes`` bounds; it is asked once a value."""
    asked = []
    cache = Cache(
        max_bytes=10_000, weigher=lambda value: asked.append(value) or value * 1_000, policy=policy, clock=clock
    )
    f = cache.cache_function(key_prefix="f")(lambda n: n)
    for n in (3, 4, 9, 5):  # 3,400 and 4,400 fit, 9,400 needs the whole cache
        f(n)
    assert asked == [3, 4, 9, 5]
    assert [n for n in (3, 4, 9, 5) if f.peek(n) is not MISSING] == [5]
    assert cache.stats().functions[0].removed["size"] == 3
    assert_sound(cache)


def test_weigher_may_return_numpys_integers(clock):
    """What counts as an index counts as a number of bytes."""
    cache = Cache(max_bytes=10_000, weigher=lambda _: np.int64(100), clock=clock)
    f = cache.cache_function(lambda: 1)
    f()
    assert len(cache) == 1


def broken(value):
    """A weigher with a bug."""
    raise KeyError(value)


BAD_WEIGHERS = pytest.mark.parametrize(
    ("weigher", "error"),
    [
        (lambda _: -1, "ValueError"),
        (lambda _: 1.5, "TypeError"),
        (lambda _: None, "TypeError"),
        (broken, "KeyError"),
    ],
)
POLICIES = pytest.mark.parametrize("policy", ["lru", "lfu", "s3fifo"])


@POLICIES
@BAD_WEIGHERS
def test_value_that_cannot_be_weighed_is_given_out(clock, caplog, policy, weigher, error):
    """The load did not fail: its caller gets the value, nothing is stored, and the log says why, without the value."""
    cache = Cache(max_bytes=10_000, weigher=weigher, policy=policy, clock=clock)
    f = cache.cache_function(key_prefix="f")(lambda: "secret")
    assert (f(), f(), len(cache)) == ("secret", "secret", 0)
    assert f.cache_info().misses == 2
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert caplog.records[0].getMessage().endswith(f"what was loaded is given out but not stored: {error}")
    assert all("secret" not in str(vars(record)) for record in caplog.records)
    assert_sound(cache)


@POLICIES
@BAD_WEIGHERS
async def test_all_callers_get_a_value_that_cannot_be_weighed(clock, policy, weigher, error):
    """So do those who waited for the load."""
    cache = Cache(max_bytes=10_000, weigher=weigher, policy=policy, clock=clock)

    @cache.cache_function
    async def f():
        await asyncio.sleep(1)
        return "value"

    assert await asyncio.gather(f(), f(), f()) == ["value"] * 3
    assert_sound(cache)


@pytest.mark.parametrize(
    ("weigher", "kind", "message"),
    [
        (lambda _: -1, ValueError, "weigher must return a number of bytes >= 0, got -1"),
        (lambda _: 1.5, TypeError, "weigher must return a whole number of bytes, got 1.5"),
    ],
)
def test_put_says_that_a_value_cannot_be_weighed(clock, weigher, kind, message):
    """Who stores a value by hand is told."""
    cache = Cache(max_bytes=10_000, weigher=weigher, clock=clock)
    f = cache.cache_function(lambda: 1)
    with raises(kind, message):
        f.put(2)
    assert_sound(cache)

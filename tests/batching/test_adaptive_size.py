"""A batch size that finds itself: the band, the throughput, refusals, and what is too large."""

import asyncio
import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfan import AdaptiveBatchSize, DataBatcher
from asyncfan.batching.adaptive import is_too_large


def sizes(seconds, batches=150, controller=None, *, noise=0.0, most=None, stragglers=0.0, seed=1):
    """Return the size of each batch, where one of ``n`` items takes ``seconds(n, i)``; more than ``most`` are refused.

    A share of them, ``stragglers``, takes a hundred times as long.
    """
    found, rng, now, seen = controller or AdaptiveBatchSize().controller(), random.Random(seed), 0.0, []
    for i in range(batches):
        size = found.current
        seen.append(size)
        if most is not None and size > most(i):
            found.ended(now, size, 0.01, too_large=True)
        else:
            time = seconds(size, i) * math.exp(rng.gauss(0, noise)) * (100 if rng.random() < stragglers else 1)
            now += time
            found.ended(now, size, time)
    return seen


@given(
    bounds=st.tuples(st.integers(1, 50), st.integers(0, 5000)),
    batches=st.lists(
        st.tuples(st.floats(), st.integers(0, 6000) | st.none(), st.booleans(), st.booleans(), st.floats()),
        max_size=200,
    ),
)
def test_never_outside_the_bounds(bounds, batches):
    """Whatever times, sizes and refusals come, NaN, infinite and negative ones too, it stays within min and max."""
    least, more = bounds
    found = AdaptiveBatchSize(least, least + more).controller()
    for seconds, items, refused, too_large, now in batches:
        size = found.current if items is None else items
        assert least <= found.ended(now, size, seconds, refused=refused, too_large=too_large) <= least + more


def test_many_odd_batches_leave_it_within_the_bounds():
    """Times of every size, refusals and what is too large, in good times and bad, never leave the bounds nor raise."""
    rng, found = random.Random(7), AdaptiveBatchSize(3, 777).controller()
    odd = (0.0, -1.0, math.inf, -math.inf, math.nan, 5e-324, 1e300)
    times = [rng.choice(odd) if rng.random() < 0.2 else rng.lognormvariate(-1, 2) for _ in range(9973)]
    answers = [rng.random() < share for share in (0, 0.05, 0.5, 0, 1) for _ in range(2003)]
    size, seen = found.current, set()
    for i, seconds, no in zip(range(1_000_000), itertools.cycle(times), itertools.cycle(answers), strict=False):
        size = found.ended(i / 100, size, seconds, refused=no and i % 3 > 0, too_large=no and i % 3 == 0)
        seen.add(size)
    assert min(seen) >= 3
    assert max(seen) <= 777
    assert len(seen) > 40


def test_it_begins_in_the_middle():
    """Before anything is known it is the geometric mean: for "auto" what is also the fixed default."""
    assert AdaptiveBatchSize().controller().current == 100


def test_costly_batches_of_cheap_items_grow():
    """Where a batch takes a second and an item a millisecond, nine tenths of what batches could bring are reached."""
    last = sizes(lambda n, _: 1 + 0.001 * n)[-1]
    assert 400 <= last <= 1100
    assert 1 + 0.001 * last <= 2.0


def test_slow_items_come_in_batches_of_the_band():
    """Where an item takes 0.1 s, no batch takes longer than the band allows, after three that did."""
    seen = sizes(lambda n, _: 0.1 * n)
    assert max(seen[3:]) <= 20


def test_quick_batches_grow_until_that_brings_nothing():
    """Below the band the size is doubled, but not where throughput does not rise."""
    assert sizes(lambda n, _: 0.05 + 1e-5 * n)[-1] == 10_000
    assert max(sizes(lambda n, _: 0.001 * n)[20:]) <= 110


def goodput(seconds, seen, *, first):
    """Return the items a second that batches of these sizes bring, from batch ``first`` on."""
    pairs = [(size, seconds(size, i)) for i, size in enumerate(seen)][first:]
    return sum(size for size, _ in pairs) / sum(time for _, time in pairs)


def best(seconds, i):
    """Return the most items a second that batches within the band bring."""
    return max(n / seconds(n, i) for n in range(1, 10_001) if seconds(n, i) <= 2)


def with_knee(n, knee):
    """Return the seconds of a batch whose items cost more and more where there are too many of them."""
    return 0.2 + 0.001 * n * max(1, n / knee) ** 2


BACKENDS = {
    "cost of a batch": lambda n, _: 0.5 + 0.001 * n,
    "slow items": lambda n, _: 0.2 + 0.01 * n,
    "knee": lambda n, _: with_knee(n, 400),
    "knee that falls": lambda n, i: with_knee(n, 400 if i < 200 else 100),
    "knee that rises": lambda n, i: with_knee(n, 100 if i < 200 else 2000),
    "items that get costly": lambda n, i: 0.2 + (0.001 if i < 200 else 0.01) * n,
    "items that get cheap": lambda n, i: 0.2 + (0.01 if i < 200 else 0.0001) * n,
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("noise", "stragglers"), [(0.0, 0.0), (0.1, 0.0), (0.1, 0.01)])
def test_settles_at_the_best_size_and_follows_it(backend, noise, stragglers):
    """Within 20 % of the best, a hundred batches after each change and from then on, and never two steps beyond it."""
    seconds = BACKENDS[backend]
    seen = sizes(seconds, 400, noise=noise, stragglers=stragglers)
    assert goodput(seconds, seen[:200], first=100) >= 0.8 * best(seconds, 0)
    assert goodput(seconds, seen, first=300) >= 0.8 * best(seconds, 399)
    if "knee" in backend:
        knees = {"knee": (400, 400), "knee that falls": (400, 100), "knee that rises": (100, 2000)}[backend]
        assert max(seen[100:200]) <= 1.75 * knees[0]
        assert max(seen[300:]) <= 1.75 * knees[1]
    assert max(seconds(size, 399) for size in seen[300:]) <= 1.2 * 2


@pytest.mark.parametrize("after", [0.0001, 0.05])
def test_a_step_settles_within_50_batches(after):
    """50 batches after items became ten times cheaper or fifty times as costly, it moves by a step at most."""
    seen = sizes(lambda n, i: 0.2 + (0.001 if i < 100 else after) * n, batches=250)
    assert max(seen[150:]) / min(seen[150:]) <= 2**0.5 * 1.1


def test_rests_at_a_steady_load():
    """Where nothing changes nine of ten batches have the same size, to a tenth."""
    seen = sizes(lambda n, _: 0.1 + 0.001 * n, batches=400)[200:]
    usual = max(set(seen), key=seen.count)
    assert sum(0.9 * usual <= size <= 1.1 * usual for size in seen) >= 0.9 * len(seen)


def test_a_refused_batch_halves_it():
    """Once for all the batches that were cut before."""
    found = AdaptiveBatchSize().controller()
    for _ in range(4):
        found.ended(1.0, 100, 1.0, refused=True)
    assert (found.current, found.trace[-1].why) == (50, "because a batch was refused")


def test_what_is_too_large_is_learned():
    """It is found to a tenth in few tries, and kept below."""
    refused = [size for size in sizes(lambda n, _: 0.05 + 1e-5 * n, batches=100, most=lambda _: 333) if size > 333]
    assert len(refused) <= 3
    assert sizes(lambda n, _: 0.05 + 1e-5 * n, batches=100, most=lambda _: 333)[-1] >= 0.9 * 333


def test_what_was_too_large_is_tried_again_seldom():
    """One batch in a hundred or less; and when the backend takes more, the size rises."""
    controller = AdaptiveBatchSize().controller()
    seen = sizes(lambda n, _: 0.05 + 1e-5 * n, 1000, controller, most=lambda _: 333)
    assert 1 <= sum(size > 333 for size in seen[100:]) <= 20
    assert max(sizes(lambda n, _: 0.05 + 1e-5 * n, 4000, controller)) > 2000


def test_a_size_that_goes_through_again_is_forgotten_as_too_large():
    """Where the backend takes a tenth of what it did, that is kept to; where it takes all again, the size rises."""

    def most(i):
        return (1000, 100, 100_000)[min(i // 200, 2)]

    def seconds(n, _):
        return 0.05 + 1e-4 * n

    controller = AdaptiveBatchSize().controller()
    seen = sizes(seconds, 1000, controller, most=most, noise=0.1)
    assert max(seen[210:300]) <= 125
    assert sum(size > most(i) for i, size in enumerate(seen)) <= 20
    assert goodput(seconds, seen, first=900) >= 0.8 * best(seconds, 999)


def test_a_straggler_moves_nothing():
    """One batch that takes a hundred times as long is no reason; three in a row are."""
    controller = AdaptiveBatchSize().controller()
    for _ in range(40):
        controller.ended(1.0, controller.current, 0.5 + 0.001 * controller.current)
    before, decisions = controller.current, len(controller.trace)
    controller.ended(1.0, before, 100.0)
    assert (controller.current, len(controller.trace)) == (before, decisions)
    controller.ended(1.0, before, 100.0)
    controller.ended(1.0, before, 100.0)
    assert controller.current < before


def test_a_rest_of_items_tells_nothing():
    """The last batch of a call, and those cut before a change, move nothing."""
    found = AdaptiveBatchSize().controller()
    for _ in range(20):
        found.ended(1.0, 7, 100.0)
        found.ended(1.0, 150, 100.0)
    assert (found.current, list(found.trace)) == (100, [])


def test_same_measurements_same_sizes():
    """There is no randomness in it."""
    assert sizes(lambda n, _: 0.1 + n / 500, noise=0.2) == sizes(lambda n, _: 0.1 + n / 500, noise=0.2)


def test_the_trace_tells_why():
    """Each change says when, from what to what, and the reason in words."""
    controller = AdaptiveBatchSize().controller()
    sizes(lambda n, _: 0.1 * n, 3, controller)
    assert str(controller.trace[0]) == "at 10.000 s: 100 -> 25, because a batch takes 10 s"
    assert repr(controller).startswith("<SizeController ")


# -- at work ----------------------------------------------------------------------------------------------------------


class TooLargeError(Exception):
    status = 413


async def test_batches_grow_and_nothing_is_lost():
    """Every item is in one batch, in order, and batches are as large as is good."""

    async def insert(rows):
        await asyncio.sleep(0.5 + 0.0001 * len(rows))
        return rows

    batcher = DataBatcher("auto")
    results = await batcher.process_batches(range(20_000), insert)
    assert list(itertools.chain.from_iterable(results)) == list(range(20_000))
    assert batcher.size.current > 500
    assert repr(batcher).startswith(f"<DataBatcher of {batcher.size.current} (auto), 0 batches running")


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("how", ["raises", "returns"])
async def test_a_batch_that_is_too_large_is_sent_in_halves(how, ordered):
    """Whether 413 is raised or returned: each part has a result in its place, in lists and streams."""

    async def insert(rows):
        await asyncio.sleep(0.5)
        if len(rows) > 30:
            if how == "raises":
                raise TooLargeError
            return TooLargeError()
        return rows

    batcher = DataBatcher("auto")
    results = await batcher.process_batches(range(1000), insert)
    assert list(itertools.chain.from_iterable(results)) == list(range(1000))
    assert max(map(len, results)) <= 30
    assert batcher.size.current <= 30
    streamed = [part async for part in DataBatcher("auto").stream_batches(range(500), insert, ordered=ordered)]
    assert list(itertools.chain.from_iterable(streamed)) == list(range(500))


async def test_outcomes_of_parts_are_outcomes():
    """With ``on_error="collect"`` each part of a batch that was cut has an outcome."""

    async def insert(rows):
        if len(rows) > 60:
            raise TooLargeError
        return len(rows)

    outcomes = await DataBatcher("auto", on_error="collect").process_batches(range(100), insert)
    assert [(outcome.key, outcome.value) for outcome in outcomes] == [(0, 50), (0, 50)]


async def test_one_item_that_is_too_large_is_an_error():
    """What cannot be cut is raised as itself."""

    async def insert(rows):
        raise TooLargeError

    with pytest.raises(TooLargeError):
        await DataBatcher("auto").process_batches(range(10), insert)


async def test_a_stream_that_is_left_stops():
    """Leaving the loop early ends the batches of a size that adapts too."""
    running = 0

    async def insert(rows):
        nonlocal running
        running += 1
        try:
            await asyncio.sleep(1)
        finally:
            running -= 1

    async with DataBatcher("auto", max_concurrent_batches=4).stream_batches(range(10_000), insert) as results:
        async for _ in results:
            break
    assert running == 0


async def test_a_timeout_halves_it():
    """A batch that runs into the ``timeout`` was too much."""

    async def insert(rows):
        await asyncio.sleep(0.02 * len(rows))

    batcher = DataBatcher("auto", timeout=0.5, on_error="collect")
    await batcher.process_batches(range(1000), insert)
    assert batcher.size.current <= 25
    assert "because a batch was refused" in [decision.why for decision in batcher.size.trace]


def test_what_says_too_large():
    """A status of 413 by default; or what is said."""
    assert is_too_large(TooLargeError())
    assert not is_too_large(ValueError())
    assert AdaptiveBatchSize(too_large=MemoryError).too_large(MemoryError())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: DataBatcher("big"),
            ValueError,
            "batch_size must be an int >= 1, 'auto' or an AdaptiveBatchSize, got 'big'",
        ),
        (
            lambda: DataBatcher(2.5),
            TypeError,
            "batch_size must be an int >= 1, 'auto' or an AdaptiveBatchSize, got 2.5",
        ),
        (
            lambda: DataBatcher("auto", max_concurrent_batches="auto"),
            TypeError,
            "batch_size and max_concurrent_batches cannot both adapt: each would take the other's steps for the backend's",
        ),
        (lambda: AdaptiveBatchSize(0), ValueError, "min must be >= 1, got 0"),
        (lambda: AdaptiveBatchSize(1, "9"), TypeError, "max must be an int >= 1, got '9'"),
        (lambda: AdaptiveBatchSize(9, 1), ValueError, "max must be >= min=9, got 1"),
        (lambda: AdaptiveBatchSize(band=1), TypeError, "band must be a pair of seconds (least, most), got 1"),
        (lambda: AdaptiveBatchSize(band=(2, 1)), ValueError, "band must be 0 < least < most, in seconds, got (2, 1)"),
        (
            lambda: AdaptiveBatchSize(too_large=413),
            TypeError,
            "too_large must be a type of exception, a tuple of them or a function of what a call gave, got 413",
        ),
    ],
)
def test_wrong_options_are_refused(make, error, message):
    """A wrong option fails at construction, with its name, the rule and the value."""
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value) == message

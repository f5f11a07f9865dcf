"""`AdaptiveExpire`: bounded whatever is measured, quick to settle, quiet when nothing happens."""

import itertools
import math
import random
from datetime import timedelta

import pytest

from asyncfan.caching.freshness.adaptive import AdaptiveExpire
from asyncfan.testing import ManualClock

LEAST, MOST, MIDDLE = 5.0, 600.0, math.sqrt(5 * 600)


def controller(least=LEAST, most=MOST):
    """A controller and its clock."""
    clock = ManualClock()
    return AdaptiveExpire(least, most).controller(clock), clock


def simulate(loads, *, every=math.inf, seconds=0.1, loading=1, rng=None, into=None):
    """One entry, loaded whenever it expires, of a value that changes each ``every`` seconds; return each expiry.

    ``every``, ``seconds`` and ``loading`` may be functions of the load's number; with ``rng`` changes come at random.
    """
    found, clock = into or controller()
    expiries, version = [], 0.0
    for i in range(loads):
        period, took, at_once = (x(i) if callable(x) else x for x in (every, seconds, loading))
        clock.advance(found.current)
        if rng:
            changed = rng.random() < 1 - math.exp(-found.current / period)
        else:
            version += min(found.current / period, 1e9)
            changed, version = version >= 1, version % 1
        expiries.append(found.loaded(took, changed, at_once))
    return expiries


def settled_after(expiries, start=0, within=1.1):
    """Return how many loads after ``start`` the expiry was last off its final value by more than a factor."""
    final = expiries[-1]
    off = [i for i in range(start, len(expiries)) if not final / within <= expiries[i] <= final * within]
    return off[-1] + 1 - start if off else 0


# -- bounds -----------------------------------------------------------------------------------------------------------


def test_expiry_stays_within_its_bounds_whatever_is_measured():
    """A million random measurements, among them 0, infinity, NaN, negative ones and failures, never leave them."""
    rng = random.Random(7)
    odd = [0, 0.0, -1.0, -math.inf, math.inf, math.nan, 1e-300, 1e300]
    found, clock = controller()
    for _ in range(1_000_000):
        seconds = rng.choice(odd) if rng.random() < 0.2 else rng.expovariate(1.0)
        loading = rng.randrange(100)
        if rng.random() < 0.1:
            found.failed(seconds, loading)
        else:
            found.loaded(seconds, rng.choice((True, False, None)), loading)
        assert LEAST <= found.current <= MOST
        clock.advance(rng.choice((0.0, 1.0, 100.0)))


@pytest.mark.parametrize("odd", [0, -1.0, math.inf, -math.inf, math.nan, 1e300])
def test_one_odd_measurement_changes_nothing(odd):
    """A clock that jumped once moves no expiry."""
    found, _ = world = controller()
    before = simulate(100, every=200, into=world)[-1]
    found.loaded(odd, changed=False, loading=1)
    assert simulate(100, every=200, into=world) == [before] * 100


@pytest.mark.parametrize("odd", [-1.0, math.inf, math.nan])
def test_what_follows_odd_measurements_is_learned_from(odd):
    """After a hundred of them the change rate is still found, and slowness noticed."""
    found, _ = world = controller()
    for _ in range(100):
        found.loaded(odd, changed=None, loading=1)
    assert simulate(500, into=world, every=1)[-1] == LEAST
    if odd < math.inf or math.isnan(odd):  # infinite ones are taken for the usual ones, for a time
        assert simulate(50, into=world, every=1, seconds=1.0)[-1] > 2 * LEAST


def test_the_extreme_bounds_are_reached_and_kept():
    """Bounds as far apart as floats allow overflow nowhere."""
    for every, end in ((math.inf, 1e300), (1e-310, 1e-4)):
        assert simulate(2000, every=every, into=controller(1e-4, 1e300), seconds=0.0)[-1] == end


# -- how often values change ------------------------------------------------------------------------------------------


def test_it_begins_in_the_middle():
    """Before anything is known it is the geometric mean of the bounds."""
    assert controller()[0].current == pytest.approx(MIDDLE)


def test_what_never_changes_lives_longest():
    """Values that stay the same get to ``max`` within 50 loads."""
    expiries = simulate(300)
    assert (expiries[-1], settled_after(expiries) <= 50) == (MOST, True)


def test_what_always_changes_lives_shortest():
    """Values that are different each time get to ``min`` within 50 loads."""
    expiries = simulate(300, every=0.01)
    assert (expiries[-1], settled_after(expiries) <= 50) == (LEAST, True)


@pytest.mark.parametrize("every", [60, 150, 400, 1000])
def test_one_load_in_eight_to_one_in_three_finds_a_change(every):
    """Between the bounds it stays at a fraction of the time between changes."""
    assert every / 8 <= simulate(500, every=every)[-1] <= every / 2.5


def test_unknown_changes_leave_it_alone():
    """Without knowing whether values change it stays in the middle."""
    found, _ = controller()
    assert {found.loaded(0.1, changed=None, loading=1) for _ in range(100)} == {found.current}
    assert not found.trace


@pytest.mark.parametrize("before", [1, 30, 100, 1000, 10_000])
@pytest.mark.parametrize("after", [1, 30, 100, 1000, 10_000])
def test_a_step_in_the_change_rate_settles_within_50_loads(before, after):
    """Whatever values did, 50 loads later it is where it will stay, or one step of two away from there."""
    expiries = simulate(1000, every=lambda i: before if i < 400 else after)
    assert settled_after(expiries, 400, within=2.01) <= 50


def test_evenly_spaced_changes_leave_it_still():
    """At a steady rate of change it comes to rest and does not swing."""
    assert all(len(set(simulate(1000, every=every)[300:])) == 1 for every in (30, 70, 100, 300, 700, 2000, 5000))


def test_random_changes_move_it_little():
    """Where changes come at random nine of ten expiries are within a step of two of the ideal."""
    runs = [simulate(1000, every=100, rng=random.Random(seed)) for seed in range(20)]
    expiries = sorted(x for run in runs for x in run[100:])
    ideal = -math.log(1 - 0.2) * 100
    tenth = len(expiries) // 20
    moves = sum(a != b for run in runs for a, b in itertools.pairwise(run))
    assert moves <= 20 * 30
    assert ideal / 2.5 <= expiries[tenth] <= expiries[-tenth] <= ideal * 2.5


def test_entries_of_an_older_expiry_are_no_evidence():
    """A thousand keys that are found unchanged at one moment make one step: they were stored before it."""
    found, clock = controller()
    clock.advance(100)
    for _ in range(1000):
        found.loaded(0.1, changed=False, loading=1)
    assert found.current == pytest.approx(2 * MIDDLE)


# -- what a load costs, and how the origin bears it -------------------------------------------------------------------


def test_a_slow_first_load_is_soon_forgotten():
    """A first load that took a hundred times as long as the others matters no more after 50 loads."""
    expiries = simulate(50, every=1, seconds=lambda i: 0.1 if i else 10.0)
    assert expiries[-1] <= 1.25 * LEAST


def test_costly_loads_live_longer():
    """Even a value that always changes lives twenty times as long as its load takes."""
    assert simulate(300, every=0.01, seconds=10)[-1] == pytest.approx(200, rel=0.5)


@pytest.mark.parametrize("times", [2, 3, 10])
def test_a_slow_origin_is_asked_so_many_times_less_often(times):
    """When loads take longer than usual it is so many times as long, within 50 loads and to the dead band."""
    expiries = simulate(500, every=100, seconds=lambda i: 0.1 if i < 400 else 0.1 * times)
    assert expiries[-1] / expiries[399] == pytest.approx(times, rel=0.5)
    assert settled_after(expiries, 400) <= 50


def test_a_crowded_origin_is_asked_less_often():
    """When many times more loads than usual run at once it is longer."""
    expiries = simulate(500, every=100, loading=lambda i: 10 if i < 400 else 50)
    assert expiries[-1] / expiries[399] == pytest.approx(5, rel=0.5)
    assert settled_after(expiries, 400) <= 50


def test_few_and_quick_loads_are_all_alike():
    """Neither one to four at once nor times below a millisecond are a sign of trouble."""
    assert len(set(simulate(500, every=100, loading=lambda i: 1 + i // 400 * 3)[100:])) == 1
    assert len(set(simulate(500, every=100, seconds=lambda i: 1e-6 if i < 400 else 9e-4)[100:])) == 1


def test_a_failing_origin_is_asked_less_often():
    """A row of failures makes it longer at once, up to ten times."""
    found, _ = controller(1, 10_000)
    expiries = []
    for _ in range(50):
        found.failed(0.001, 1)
        expiries.append(found.current)
    assert expiries == sorted(expiries)
    assert expiries[4] >= 1.5 * 100
    assert expiries[-1] == pytest.approx(1000, rel=0.5)


def test_quick_failures_are_no_sign_of_a_quick_origin():
    """A refusal within a millisecond does not make the loads after it look slow."""
    found, _ = world = controller()
    before = simulate(400, every=100, into=world)[-1]
    for _ in range(50):
        found.failed(0.001, 1)
    assert simulate(100, every=100, into=world)[-1] <= 1.5 * before


def test_an_origin_that_is_well_again_is_asked_as_before():
    """After a time of slowness and failures it comes back, to the dead band, within 50 loads."""
    found, _ = world = controller()
    before = simulate(400, every=100, into=world)[-1]
    for _ in range(20):
        found.failed(5.0, 40)
    assert found.current > 3 * before
    after = simulate(200, every=100, into=world)
    assert after[-1] <= 1.5 * before
    assert settled_after(after) <= 50


def test_slowness_that_lasts_becomes_what_is_usual():
    """An origin that stays three times as slow is not asked less often for ever."""
    assert simulate(3000, every=100, seconds=lambda i: 0.1 if i < 400 else 0.3)[-1] < 1.6 * simulate(400, every=100)[-1]


@pytest.mark.parametrize(("scatter", "moves"), [(0.2, 0), (0.4, 5)])
def test_noise_moves_next_to_nothing(scatter, moves):
    """Load times that scatter by a fifth leave the expiry still; by two fifths, they move it once in 300 loads."""
    for seed in range(10):
        rng = random.Random(seed)
        expiries = simulate(2000, every=100, seconds=lambda _, r=rng: 0.1 * math.exp(r.gauss(0, scatter)))[500:]
        assert sum(a != b for a, b in itertools.pairwise(expiries)) <= moves


def test_changes_seen_while_the_origin_is_slow_shorten_nothing():
    """Values that are kept for longer than they should be are found changed, which is no reason to ask more often."""
    found, _ = world = controller()
    before = simulate(400, every=100, into=world)[-1]
    simulate(200, every=100, seconds=1.0, into=world)
    assert found._calm >= before


# -- what it shows ----------------------------------------------------------------------------------------------------


def test_the_trace_tells_why():
    """Each decision says when, what was measured, from what to what, and the reason in words."""
    found, clock = world = controller()
    simulate(8, into=world)
    (first,) = found.trace
    assert (first.seconds, first.changed, first.loading, first.time) == (0.1, False, 1, clock())
    assert str(first) == "at 438.178 s: 54.8 s -> 110 s, because values hardly ever change"
    assert repr(found) == "<ExpireController 110 s of 5 to 600 s because values hardly ever change>"


@pytest.mark.parametrize(
    ("world", "why"),
    [
        ({"every": 0.01}, "because values often change"),
        ({"every": 0.01, "seconds": 10}, "because a load usually takes 10 s"),
        ({"every": 100, "seconds": lambda i: 0.1 if i < 400 else 1.0}, "because loads take 1.7 times as long as usual"),
        (
            {"every": 100, "loading": lambda i: 10 if i < 400 else 50},
            "because 1.6 times as many loads as usual run at once",
        ),
        ({"every": 100, "seconds": lambda i: 1.0 if 200 < i < 230 else 0.1}, "because the origin is well again"),
    ],
)
def test_each_reason_has_words(world, why):
    """Whatever moved the expiry is found in the trace."""
    found, _ = into = controller()
    simulate(500, into=into, **world)
    assert why in [decision.why for decision in found.trace]


def test_failures_are_named():
    """The share of failed loads stands in the trace."""
    found, _ = controller()
    for _ in range(5):
        found.failed(0.1, 1)
    assert [decision.why for decision in found.trace] == ["because 41% of the loads fail"]


def test_the_trace_holds_changes_only():
    """Further reasons for the bound that is reached already are no decisions."""
    for every in (math.inf, 0.01):
        found, _ = into = controller()
        simulate(300, every=every, into=into)
        assert len(found.trace) == 3


def test_the_trace_is_bounded():
    """It holds the last 64 decisions."""
    found, _ = into = controller()
    for i in range(200):
        simulate(40, every=0.01 if i % 2 else math.inf, into=into)
    assert len(found.trace) == 64


def test_each_function_has_a_controller_of_its_own():
    """What one function measures leaves the others alone."""
    option, clock = AdaptiveExpire(5, 600), ManualClock()
    one, other = option.controller(clock), option.controller(clock)
    for _ in range(50):
        one.failed(1.0, 1)
    assert one.current > other.current == pytest.approx(MIDDLE)


def test_same_measurements_same_decisions():
    """There is no randomness in it."""
    one, other = (simulate(2000, every=lambda i: 1 + i % 97, seconds=lambda i: 0.1 + i % 13) for _ in range(2))
    assert one == other


# -- misuse -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bounds", "kind", "message"),
    [
        ((0, 5), ValueError, "min must be > 0 seconds and finite, got 0"),
        ((-1, 5), ValueError, "min must be > 0 seconds and finite, got -1"),
        ((1, math.inf), ValueError, "max must be > 0 seconds and finite, got inf"),
        ((1, math.nan), ValueError, "max must be > 0 seconds and finite, got nan"),
        ((timedelta(0), 5), ValueError, "min must be > 0 seconds and finite, got datetime.timedelta(0)"),
        (("5", 60), TypeError, "min must be seconds (a number) or a timedelta, got '5'"),
        ((5, None), TypeError, "max must be seconds (a number) or a timedelta, got None"),
        ((True, 5), TypeError, "min must be seconds (a number) or a timedelta, got True"),
        ((600, 5), ValueError, "max must be >= min=600, got 5"),
    ],
)
def test_wrong_bounds_are_refused(bounds, kind, message):
    """Bounds are checked where they are written."""
    with pytest.raises(kind) as caught:
        AdaptiveExpire(*bounds)
    assert str(caught.value) == message


def test_bounds_may_be_timedeltas():
    """And the option shows them in seconds."""
    assert repr(AdaptiveExpire(timedelta(seconds=5), timedelta(minutes=10))) == "AdaptiveExpire(5, 600)"
    assert AdaptiveExpire(5, 5).controller(ManualClock()).current == 5

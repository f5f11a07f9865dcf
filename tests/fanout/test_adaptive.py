"""A limit that finds itself: what it settles at, what moves it and what does not."""

import functools
import itertools
import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfan import AdaptiveLimit
from asyncfan.climbing import Climber, Measured
from asyncfan.fanout.adaptive import is_overload

from .knees import Simulation

KINDS = ["queue", "thrash", "refuse"]
PHASE = 30  # seconds
WORLDS = [(kind, noise) for kind in KINDS for noise in (0.0, 0.1, 0.3)]


@functools.cache
def knees(kind, noise=0.0, seed=1, phase=PHASE):
    """Return a simulation in which the knee is at 40, moves to 10 and to 200, and the limits of each time."""
    found = Simulation(
        AdaptiveLimit().controller(), lambda now: (40, 10, 200)[min(int(now / phase), 2)], kind, noise=noise, seed=seed
    )
    return found, [found.until(phase * (i + 1)) for i in range(3)]


# -- bounds -----------------------------------------------------------------------------------------------------------


@given(
    bounds=st.tuples(st.integers(1, 50), st.integers(0, 500)),
    calls=st.lists(
        st.tuples(
            st.floats() | st.none(),
            st.integers(-1, 600),
            st.booleans(),
            st.floats(),
            st.floats(-1e9, 1e9),
        ),
        max_size=300,
    ),
)
def test_never_outside_the_bounds(bounds, calls):
    """Whatever times, numbers and refusals come, NaN, infinite and negative ones too, it stays within min and max."""
    least, more = bounds
    found = AdaptiveLimit(least, least + more).controller()
    for seconds, running, refused, lag, now in calls:
        assert least <= found.ended(now, seconds, running, lag=lag, refused=refused) <= least + more


def test_many_odd_measurements_leave_it_within_the_bounds():
    """Times of every size, some of them none, and refusals, in good times and bad, never leave the bounds nor raise."""
    rng, found = random.Random(7), AdaptiveLimit(3, 77).controller()
    odd = (0.0, -1.0, math.inf, -math.inf, math.nan, None, 5e-324, 1e300)
    times = [rng.choice(odd) if rng.random() < 0.2 else rng.lognormvariate(-2, 2) for _ in range(9973)]
    refused = [rng.random() < share for share in (0, 0.05, 0.5, 0, 1) for _ in range(2003)]
    limit, seen = found.current, set()
    for i, seconds, no in zip(range(1_000_000), itertools.cycle(times), itertools.cycle(refused), strict=False):
        limit = found.ended(i / 100, seconds, limit, refused=no)
        seen.add(limit)
    assert min(seen) >= 3
    assert max(seen) <= 77
    assert len(seen) > 40


def test_it_begins_in_the_middle():
    """Before anything is known it is the geometric mean: for "auto" what is also the fixed default."""
    assert AdaptiveLimit().controller().current == 32
    assert AdaptiveLimit(5, 5).controller().current == 5


# -- the knee ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "noise"), WORLDS)
def test_settles_at_the_knee_and_follows_it(kind, noise):
    """Within 20 % of what the knee allows in the second half of each time, at 40, then 10, then 200."""
    found, _ = knees(kind, noise)
    for i, knee in enumerate((40, 10, 200)):
        assert found.goodput(PHASE * (i + 0.5), PHASE * (i + 1)) >= 0.8 * knee / (0.1 * math.exp(noise**2 / 2))


@pytest.mark.parametrize(("kind", "noise"), WORLDS)
def test_overshoots_by_half_at_most(kind, noise):
    """A step up goes 1.42 times beyond the knee at most, and once settled a third."""
    _, (first, second, third) = knees(kind, noise)
    assert max(first) <= 1.5 * 40
    assert max(third) <= 1.5 * 200
    for limits, knee in ((first, 40), (second, 10), (third, 200)):
        assert max(limits[-len(limits) // 3 :]) <= 1.35 * knee


@pytest.mark.parametrize("seed", [2, 6, 10])
def test_recovers_whatever_the_noise(seed):
    """Where calls thrash and scatter, and the knee goes from 40 to 10 and to 200, it is not stuck after any noise."""
    found, _ = knees("thrash", 0.3, seed)
    assert found.goodput(PHASE * 2.5, PHASE * 3) >= 0.8 * 200 / (0.1 * math.exp(0.3**2 / 2))


SCATTERS = {
    "exponential, as in M/M/c": (lambda rng: rng.expovariate(1), 1),
    "log-normal with a long tail": (lambda rng: rng.lognormvariate(0, 1), math.exp(0.5)),
    "Pareto": (lambda rng: rng.paretovariate(1.5), 3),
    "one in a hundred takes 100 times as long": (lambda rng: 100 if rng.random() < 0.01 else 1, 1.99),
}


@pytest.mark.parametrize("scatter", SCATTERS)
def test_finds_the_knee_however_times_scatter(scatter):
    """Within a fifth of what the knee allows, where single times tell next to nothing."""
    draw, mean = SCATTERS[scatter]
    found = Simulation(AdaptiveLimit().controller(), lambda _: 40, scatter=draw)
    found.until(60)
    assert found.goodput(20, 60) >= 0.8 * 400 / mean


@functools.cache
def scattered(scatter, runs=6):
    """Return some simulations in which the knee is at 40, moves to 10 and to 200, and the limits of all."""
    draw, knee = SCATTERS[scatter][0], lambda now: (40, 10, 200)[min(int(now / PHASE), 2)]
    found = [Simulation(AdaptiveLimit().controller(), knee, scatter=draw, seed=seed) for seed in range(1, 1 + runs)]
    return found, [[one.until(PHASE * (i + 1)) for i in range(3)] for one in found]


@pytest.mark.parametrize("scatter", SCATTERS)
def test_follows_the_knee_however_times_scatter(scatter):
    """In the second half of each time within a fifth of what the knee allows, on the average of six runs."""
    found, _ = scattered(scatter)
    for i, knee in enumerate((40, 10, 200)):
        served = sum(one.goodput(PHASE * (i + 0.5), PHASE * (i + 1)) for one in found) / len(found)
        assert served >= 0.8 * knee / (0.1 * SCATTERS[scatter][1])


@pytest.mark.parametrize("scatter", SCATTERS)
def test_overshoots_by_twice_at_most_however_times_scatter(scatter):
    """Steps are longer where noise would hide what they bring, but none leads beyond twice the knee."""
    _, limits = scattered(scatter)
    assert max(max(first) for first, _, _ in limits) <= 2 * 40
    assert max(max(third) for _, _, third in limits) <= 2 * 200


@pytest.mark.parametrize("kind", KINDS)
def test_falls_within_seconds_of_the_knee(kind):
    """Where the knee falls from 40 to 10, the limit is below 15 within 5 seconds."""
    found, _ = knees(kind)
    assert min(limit for when, limit in found.limits if PHASE <= when <= PHASE + 5) <= 15


def test_rests_where_nothing_changes():
    """At a steady knee it moves by a step of a tenth, and most of the time not at all."""
    found = Simulation(AdaptiveLimit().controller(), lambda _: 40)
    found.until(30)
    limits = found.until(60)
    assert max(limits) / min(limits) <= 1.2
    assert Counter(limits).most_common(1)[0][1] > 0.5 * len(limits)


def test_does_not_drift_up_where_times_become_usual():
    """A standing queue is never what is usual: after ten minutes at one knee it is still there (Gradient2 climbs on)."""
    found = Simulation(AdaptiveLimit().controller(), lambda _: 10)
    assert max(found.until(600)[-100:]) <= 12


def test_growth_that_brings_nothing_is_undone():
    """Where the throughput is what it is, whatever the limit, it falls to where nothing waits."""
    found = Simulation(AdaptiveLimit(1, 500).controller(), lambda _: 1)
    assert max(found.until(600)[-50:]) <= 2


def test_slower_calls_are_no_crowd():
    """A backend that takes three times as long, but bears as many calls, has its limit back soon."""
    found = Simulation(AdaptiveLimit().controller(), lambda _: 40, slow=lambda now: 0.1 if now < 20 else 0.3)
    found.until(60)
    assert found.goodput(40, 60) >= 0.8 * 40 / 0.3


def test_same_measurements_same_limits():
    """There is no randomness in it."""
    assert knees("refuse", 0.3, phase=5)[1] == knees.__wrapped__("refuse", 0.3, phase=5)[1]


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_few_calls_are_refused_for_trying():
    """Once at the knee of a backend that refuses, trying for more costs less than one call in a hundred."""
    found = Simulation(AdaptiveLimit().controller(), lambda _: 40, "refuse")
    found.until(20)
    before = found.refused
    found.until(60)
    assert found.refused - before < 0.01 * 40 * 400


def test_timeouts_of_all_calls_lead_to_the_least():
    """A backend in which every call times out gets as few as may be, however steady its times (Gradient2 climbs on)."""
    found = AdaptiveLimit(2, 500).controller()
    for i in range(2000):
        found.ended(i, 5.0, found.current, refused=True)
    assert found.current == 2


@pytest.mark.parametrize("share", [0.01, 0.1, 0.2, 0.3])
def test_refusals_that_have_nothing_to_do_with_the_limit_are_borne(share):
    """Where a share of the calls fails whatever the limit, it still finds the knee."""
    found = Simulation(AdaptiveLimit().controller(), lambda _: 40, fail=share, noise=0.1)
    found.until(60)
    assert found.goodput(40, 60) >= 0.8 * 400 * (1 - share)


@pytest.mark.parametrize("kind", ["thrash", "refuse"])
def test_refusals_of_both_kinds_are_told_apart(kind):
    """Where a fifth fails whatever the limit, it follows the knee as it would without."""
    found = Simulation(AdaptiveLimit().controller(), lambda now: 40 if now < 30 else 10, kind, fail=0.2, noise=0.1)
    found.until(60)
    assert found.goodput(15, 30) >= 0.8 * 400 * 0.8
    assert found.goodput(45, 60) >= 0.8 * 100 * 0.8


def test_refusals_that_begin_and_end_are_borne_and_forgotten():
    """A fifth of the calls that fails for half a minute costs that fifth, and nothing later."""
    found = Simulation(AdaptiveLimit().controller(), lambda _: 40, noise=0.1)
    for share, until in ((0.0, 20), (0.2, 50), (0.0, 80)):
        found.fail = share
        found.until(until)
    assert found.goodput(25, 50) >= 0.8 * 400 * 0.8
    assert found.goodput(60, 80) >= 0.9 * 400


def test_a_rate_that_is_enforced_is_found():
    """Where so many calls a second are let in and the others are refused, nearly all of them are used."""
    found = Simulation(AdaptiveLimit().controller(), lambda now: (40, 10, 200)[int(now / 20.1)], "rate", noise=0.1)
    found.until(60)
    for i, knee in enumerate((40, 10, 200)):
        assert found.goodput(20 * i + 10, 20 * i + 20) >= 0.9 * 10 * knee


def test_the_least_is_left_where_refusals_do_not_end_there():
    """Where as many are refused with the least, they are borne, and the limit rises."""
    found = AdaptiveLimit(30, 300).controller()
    for i in range(20_000):
        found.ended(i / 1000, 0.1, found.current, refused=i % 3 == 0)
    assert found.current > 100


def test_an_outage_is_recovered_from():
    """After a time in which all was refused it is at the knee again."""
    found = Simulation(AdaptiveLimit().controller(), lambda now: 0 if 10 <= now < 15 else 40, "refuse")
    found.until(60)
    assert min(limit for when, limit in found.limits if when < 16) == 1
    assert found.goodput(40, 60) >= 0.8 * 400


class _Status(Exception):  # noqa: N818
    def __init__(self, **attributes):
        super().__init__()
        self.__dict__.update(attributes)


class _TimeoutException(Exception):  # noqa: N818
    """Stand for httpx's."""


_TimeoutException.__name__ = "TimeoutException"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (type("ReadTimeout", (_TimeoutException,), {})(), True),
        (_Status(status=429), True),
        (_Status(status_code=503), True),
        (_Status(response=_Status(status_code=429)), True),
        (_Status(status=404), False),
        (_Status(status="429"), False),
        (ValueError(), False),
        ({"status": 429}, False),
        (None, False),
    ],
)
def test_what_says_too_much(answer, expected):
    """Timeouts, connection errors and the statuses 429 and 503 do, as several libraries spell them."""
    assert is_overload(answer) is expected


def test_a_property_that_raises_is_no_refusal():
    """What a value does when it is asked for a status is its own affair."""

    class Lazy:
        @property
        def status(self):
            raise RuntimeError

    assert not is_overload(Lazy())


def test_what_says_too_much_can_be_said():
    """By a type, by some, and by a function of what a call gave."""
    assert AdaptiveLimit(overload=KeyError).overload(KeyError())
    assert not AdaptiveLimit(overload=(KeyError, OSError)).overload(ValueError())
    assert AdaptiveLimit(overload=lambda answer: answer == "busy").overload("busy")


# -- what is left out -------------------------------------------------------------------------------------------------


def feed(controller, calls, seconds, running=None, lag=0.0):
    """Let calls end, one after another."""
    for i in range(calls):
        controller.ended(i * 0.01, seconds, controller.current if running is None else running, lag=lag)


def test_nothing_is_learned_from_a_limit_that_is_not_used():
    """Where few calls run at once the limit stays, however long they take."""
    found = AdaptiveLimit().controller()
    feed(found, 500, 0.1, running=10)
    feed(found, 500, 1.0, running=10)
    assert (found.current, list(found.trace)) == (32, [])


def test_a_busy_event_loop_is_not_the_backends_queue():
    """Calls that take five times as long because the loop was busy do not shrink the limit as those of a queue do."""
    busy, crowded = AdaptiveLimit(32, 32 * 32).controller(), AdaptiveLimit(32, 32 * 32).controller()
    for found, lag in ((busy, 0.4), (crowded, 0.0)):
        found._climber._rest = 10**9  # no trials: only what times lead to
        feed(found, 2000, 0.1)
        feed(found, 2 * found.current + 10, 0.5, lag=lag)
    assert "as long as usual" not in " ".join(decision.why for decision in busy.trace)
    assert "times as long as usual" in crowded.trace[-1].why


# -- what it shows ----------------------------------------------------------------------------------------------------


def test_the_trace_tells_why():
    """Each change says when, from what to what, and the reason in words."""
    found, _ = knees("queue")
    reasons = [decision.why for decision in found.controller.trace]
    assert "to see whether more at once bring more" in reasons
    assert any("at once bring" in why and why.startswith("because") for why in reasons)
    last = found.controller.trace[-1]
    assert str(last) == f"at {last.time:.3f} s: {last.before} -> {last.after}, {last.why}"
    assert repr(found.controller) == f"<LimitController {last.after} of 1 to 1000 {last.why}>"


def test_the_trace_is_bounded():
    """It holds the last 64 changes, each from where the one before went."""
    found, _ = knees("refuse")
    trace = list(found.controller.trace)
    assert len(trace) == 64
    assert all(a.after == b.before != b.after for a, b in itertools.pairwise(trace))


# -- the climb --------------------------------------------------------------------------------------------------------


def test_measurements_are_summed_up_as_if_one_by_one():
    """The mean and the variance of parts are those of the whole."""
    values = [1.0, 2.0, 4.0, 8.0, 16.0]
    one, parts = Measured(), Measured()
    for value in values:
        one.add(value, 0.0, 1)
    parts.add(1.5, 0.25, 2)
    parts.add(28 / 3, (16 + 64 + 256) / 3 - (28 / 3) ** 2, 3)
    assert (one.mean, one.variance) == pytest.approx((6.2, 29.76))
    assert (parts.mean, parts.variance, parts.count) == pytest.approx((6.2, 29.76, 5))


def test_a_difference_within_the_noise_is_no_verdict():
    """A step is judged when what it brought is clear of the noise, or enough was measured."""
    climber = Climber(1, 1000, 0.5, 100)
    climber.learn(0.0, 1.0, 20)
    climber.step(climber.next())
    assert climber.value == 45  # the longest step: a shorter one would be hidden by the noise
    climber.learn(0.2, 1.0, 20)
    assert climber.gain() is None
    climber.learn(0.2, 1.0, 80)
    assert climber.gain() == pytest.approx(0.2 - 0.5 * math.log(45 / 32))


def test_what_a_failed_step_was_compared_to_is_measured_again():
    """As long as the step was on trial: else the next one would be compared to what chance had made of it."""
    climber = Climber(1, 1000, 0.5, 100)
    climber.learn(0.0, 1.0, 100)
    climber.step(climber.next())
    climber.learn(0.0, 1.0, 100)
    climber.undo()
    climber.learn(0.0, 1.0, 90)
    assert climber.next() is None
    climber.learn(0.0, 1.0, 10)
    assert climber.next() is not None

"""`Hedge`: when a second attempt is made, who wins, and what becomes of the loser."""

import asyncio
import gc
import random
import weakref

import pytest

from asyncfan import Hedge, Retry, RetryBudget, amap
from asyncfan.context import current_scope, deadline_scope, scope
from asyncfan.fanout import ParallelProcessor
from asyncfan.fanout.pace import Pace


class Server:
    """A function whose calls take so long, one after the other, and then return their number or raise; notes all."""

    def __init__(self, *plan):
        self.plan = list(plan)  # [seconds | (seconds, error)]
        self.calls = 0
        self.ended = []  # (number, how)

    async def __call__(self):
        number, self.calls = self.calls, self.calls + 1
        seconds, error = self.plan[number] if isinstance(self.plan[number], tuple) else (self.plan[number], None)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.ended.append((number, "cancelled"))
            raise
        self.ended.append((number, "raised" if error else "returned"))
        if error:
            raise error
        return number


def now():
    """Return the loop's time."""
    return asyncio.get_running_loop().time()


async def test_the_first_to_succeed_wins_and_the_other_is_cancelled():
    """A stuck first attempt costs its hedge's delay and time, and does not run on."""
    server = Server(60, 1)
    assert await Hedge(after=2)(server) == 1
    assert (now(), server.ended) == (3, [(1, "returned"), (0, "cancelled")])


async def test_a_first_attempt_that_comes_back_wins_too():
    """The second is cancelled if the first is quicker after all."""
    server = Server(3, 60)
    assert await Hedge(after=2)(server) == 0
    assert (now(), server.ended) == (3, [(0, "returned"), (1, "cancelled")])


async def test_a_quick_call_is_made_once():
    """No second attempt is made of a call that ends in time."""
    server = Server(1)
    assert await Hedge(after=2)(server) == 0
    assert server.calls == 1


async def test_the_loser_has_ended_when_the_result_is_there():
    """The loser's clean-up is over before the caller goes on; what it raises then is nobody's error."""
    done = []

    async def call():
        first = not done
        done.append("begun")
        try:
            await asyncio.sleep(60 if first else 1)
        finally:
            if first:
                await asyncio.sleep(5)
                done.append("cleaned up")
                raise OSError("clean-up failed")
        return "second"

    assert await Hedge(after=2)(call) == "second"
    assert done == ["begun", "begun", "cleaned up"]
    assert now() == 8


async def test_a_failure_before_the_second_begins_is_raised_at_once():
    """An attempt that fails early is no reason for a hedge."""
    server = Server((1, OSError("early")))
    with pytest.raises(OSError, match="early"):
        await Hedge(after=2)(server)
    assert (now(), server.calls) == (1, 1)


async def test_a_failure_of_the_first_waits_for_the_second():
    """While the second runs it may still succeed."""
    server = Server((3, OSError("first")), 9)
    assert await Hedge(after=2)(server) == 1
    assert now() == 11


async def test_a_failure_of_the_second_waits_for_the_first():
    """A second attempt never makes worse what the first would have given."""
    server = Server(9, (1, OSError("second")))
    assert await Hedge(after=2)(server) == 0
    assert now() == 9


@pytest.mark.parametrize("last", [3, 9])
async def test_if_both_fail_the_first_error_is_raised_with_a_note(last):
    """Neither error is lost, whichever came last."""
    server = Server((last, OSError("first")), (4, ValueError("second")))
    with pytest.raises(OSError, match="first") as caught:
        await Hedge(after=2)(server)
    assert caught.value.__notes__ == [
        "a second attempt, made because the first took long, failed too: ValueError: second"
    ]


@pytest.mark.parametrize("moment", [1, 5])
async def test_a_cancelled_caller_cancels_both(moment):
    """All attempts have ended when CancelledError comes out."""
    server = Server(60, 60)
    task = asyncio.ensure_future(Hedge(after=2)(server))
    await asyncio.sleep(moment)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(server.ended) == server.calls == (1 if moment == 1 else 2)
    assert {how for _, how in server.ended} == {"cancelled"}


async def test_a_caller_cancelled_while_the_loser_cleans_up_is_cancelled():
    """A cancellation is never swallowed by a result that was there already."""

    async def call():
        first = not begun
        begun.append(1)
        try:
            await asyncio.sleep(60 if first else 1)
        finally:
            if first:
                await asyncio.sleep(5)

    begun = []
    task = asyncio.ensure_future(Hedge(after=2)(call))
    await asyncio.sleep(4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert now() == 8


async def test_what_a_cancelled_attempt_raises_is_the_cause():
    """An error raised while both are stopped is told with the cancellation."""

    async def call():
        try:
            await asyncio.sleep(60)
        finally:
            raise OSError("clean-up failed")

    task = asyncio.ensure_future(Hedge(after=2)(call))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_an_interrupt_stops_both_and_is_raised_bare(error):
    """KeyboardInterrupt in an attempt ends the other one first, and reaches the caller as itself."""
    server = Server(60, (1, error()))
    with pytest.raises(error):
        await Hedge(after=2)(server)
    assert server.ended == [(1, "raised"), (0, "cancelled")]


async def test_an_attempt_that_cancels_itself_has_failed():
    """CancelledError of the function's own is a failure: the other may win, else it is what comes out."""
    assert await Hedge(after=2)(Server((3, asyncio.CancelledError()), 2)) == 1
    (outcome,) = await amap(
        lambda _: Server((1, asyncio.CancelledError()))(), [0], hedge=Hedge(after=2), on_error="collect"
    )
    assert outcome.status == "cancelled"
    assert asyncio.current_task().cancelling() == 0


async def test_an_attempt_that_a_stranger_cancels_has_failed():
    """Who cancels tasks that are not his own gets an error out of them, even before their first step."""
    task = asyncio.ensure_future(Hedge(after=2)(Server(1)))
    await asyncio.sleep(0)
    (attempt,) = asyncio.all_tasks() - {asyncio.current_task(), task}
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not task.cancelling()


async def test_attempts_see_the_callers_context_and_not_each_others():
    """Each attempt runs in a copy of the context in which the call was made."""
    seen = []

    async def call():
        seen.append(dict(current_scope()))
        scope(tenant="another").__enter__()
        await asyncio.sleep(60 if len(seen) == 1 else 1)

    with scope(tenant="acme"):
        await Hedge(after=2)(call)
    assert seen == [{"tenant": "acme"}] * 2


async def test_nothing_keeps_a_dropped_error_alive():
    """What the loser raises is freed with it, without the garbage collector."""

    class BrokenError(Exception):
        pass

    seen = []

    async def call():
        first = not seen
        seen.append(None)
        try:
            await asyncio.sleep(60 if first else 1)
        finally:
            if first:
                error = BrokenError()
                seen[0] = weakref.ref(error)
                try:
                    raise error
                finally:
                    del error

    gc.collect()
    gc.disable()
    try:
        await Hedge(after=2)(call)
        await asyncio.sleep(0)
        assert seen[0]() is None
    finally:
        gc.enable()


async def test_nothing_keeps_a_raised_error_alive():
    """The error that comes out is freed with its last reference, without the garbage collector."""

    class BrokenError(Exception):
        pass

    async def call():
        await asyncio.sleep(3)
        raise BrokenError

    gc.collect()
    gc.disable()
    try:
        try:
            await Hedge(after=2)(call)
        except BrokenError as error:
            seen = weakref.ref(error)
        await asyncio.sleep(0)
        assert seen() is None
    finally:
        gc.enable()


# -- when a second attempt may be made


async def test_extra_calls_are_bounded():
    """Of 1,000 slow calls at most ``max_extra`` are made twice, and one more."""
    hedge = Hedge(after=0.1, max_extra=0.03)
    calls = []

    async def slow(_):
        calls.append(1)
        await asyncio.sleep(1)

    await amap(slow, range(1000), hedge=hedge)
    assert hedge.hedged == len(calls) - 1000
    assert 28 <= hedge.hedged <= 31
    assert repr(hedge) == f"<Hedge after 0.1 s, {hedge.hedged} of 1000 calls hedged>"


async def test_a_quiet_time_saves_few_second_attempts():
    """After 1,000 quick calls a slow hundred gets ten second attempts and its own five, not all that were not needed."""
    hedge = Hedge(after=0.1)
    await amap(lambda _: asyncio.sleep(0.01), range(1000), hedge=hedge)
    await amap(lambda _: asyncio.sleep(1), range(100), hedge=hedge, max_workers=None)
    assert hedge.hedged == 10


async def test_a_percentile_must_be_known_before_anything_is_hedged():
    """``"p95"`` makes no second attempt before 100 first ones have ended."""
    hedge = Hedge("p95", max_extra=1)
    assert repr(hedge) == "<Hedge after p95 = unknown yet, 0 of 0 calls hedged>"
    waits = iter([1.0] * 99 + [100.0] + [1.0] * 50 + [100.0])
    hedged = []
    for _ in range(150):
        await hedge(lambda: asyncio.sleep(next(waits)))
        hedged.append(hedge.hedged)
    assert hedged == [0] * 150  # the hundredth was slow, and not hedged
    await hedge(lambda: asyncio.sleep(next(waits, 1.0)))
    assert hedge.hedged == 1
    assert repr(hedge) == "<Hedge after p95 = 1.05 s, 1 of 151 calls hedged>"


def test_the_pace_follows_a_change():
    """Within two thousand calls what was usual is replaced by what is."""
    pace = Pace(0.95)
    for _ in range(3000):
        pace.record(0.01)
    assert pace.usual == pytest.approx(0.01, rel=0.2)
    for _ in range(2000):
        pace.record(1.0)
    assert pace.usual == pytest.approx(1.0, rel=0.2)


@pytest.mark.parametrize("share", [0.04, 0.05])
def test_the_pace_is_not_that_of_the_stragglers_by_chance(share):
    """Where about 5 % hang, "p95" is the time of the others, on whichever side of 5 % chance has put them."""
    chance = random.Random(1)
    pace = Pace(0.95)
    for _ in range(5000):
        pace.record(1.0 if chance.random() < share else 0.01)
        assert pace.usual is None or pace.usual < 0.02


async def test_no_second_attempt_without_time_for_it():
    """A hedge that could not end before the deadline is not made."""
    hedge = Hedge(after=5)
    await hedge(lambda: asyncio.sleep(3))  # the quickest so far
    server = Server(7)
    with deadline_scope(7.5, asyncio.get_running_loop().time):
        assert await hedge(server) == 0
    assert server.calls == 1


async def test_no_second_attempt_while_the_budget_is_low():
    """A retry's budget holds for hedges too: a backend in trouble gets none."""
    budget = RetryBudget(max_tokens=2)
    processor = ParallelProcessor(hedge=Hedge(after=1, max_extra=1), retry=Retry(budget=budget))
    await processor.map(lambda _: asyncio.sleep(2), range(3))
    assert processor.stats().hedges == 3
    budget.failed()
    await processor.map(lambda _: asyncio.sleep(2), range(3))
    assert processor.stats().hedges == 3


# -- "The Tail at Scale"


async def simulate(share, hedge, calls=5_000, seed=1):
    """Return (p99, p99.9, calls for each item) of calls of 8 to 12 ms, of which a share takes 1 s."""
    chance = random.Random(seed)
    made = 0

    async def call(_):
        nonlocal made
        made += 1
        await asyncio.sleep(1.0 if chance.random() < share else chance.uniform(0.008, 0.012))

    outcomes = await amap(call, range(calls), max_workers=50, hedge=hedge, on_error="collect")
    times = sorted(outcome.duration for outcome in outcomes)
    return times[int(calls * 0.99)], times[int(calls * 0.999)], made / calls


async def test_one_straggler_in_a_hundred_no_longer_makes_the_tail():
    """With 1 % stragglers hedging cuts p99.9 at least tenfold, at 6 % extra calls or fewer."""
    _, plain, _ = await simulate(0.01, None)
    _, hedged, load = await simulate(0.01, Hedge())
    assert hedged <= plain / 10
    assert load <= 1.06


async def test_one_straggler_in_twenty_no_longer_makes_p99():
    """With 5 % stragglers hedging cuts p99 at least tenfold, at 6 % extra calls or fewer."""
    plain, _, _ = await simulate(0.05, None)
    hedged, _, load = await simulate(0.05, Hedge())
    assert hedged <= plain / 10
    assert load <= 1.06

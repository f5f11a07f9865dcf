"""`Retry`: what is tried again, after how long, and what stops it."""

import asyncio
import gc
import random
import weakref
from datetime import timedelta
from email.utils import formatdate
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfan import Retry, RetryBudget, gather
from asyncfan.context import deadline_scope
from asyncfan.fanout.retry_after import retry_after


class Flaky:
    """A function that raises what it is given, one after the other, then returns "done"; it notes when it is called."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.times = []

    async def __call__(self, *args):
        self.times.append(asyncio.get_running_loop().time())
        if self.errors:
            raise self.errors.pop(0)
        return ("done", *args)


def highest():
    """Draw what makes each wait the longest that it may be."""
    return 1.0


def notes(error):
    """Return the notes of an error."""
    return getattr(error, "__notes__", [])


async def test_a_call_is_tried_until_it_succeeds():
    """Errors that pass by themselves are not seen by the caller; arguments are the same each time."""
    call = Flaky(ConnectionError(), ConnectionError())
    assert await Retry(3)(call, 1, "a") == ("done", 1, "a")
    assert len(call.times) == 3


async def test_waits_double_up_to_the_cap():
    """The longest wait before retry n is base * 2 ** (n - 1), at most cap."""
    call = Flaky(*[ConnectionError()] * 5)
    await Retry(6, base=1, cap=5, random=highest)(call)
    assert call.times == [0, 1, 3, 7, 12, 17]


async def test_waits_are_spread_evenly_from_zero():
    """Full jitter: over many calls, waits fill the whole span from 0 to the longest one."""
    draw = random.Random(1).random
    waits = []
    for _ in range(2000):
        call = Flaky(ConnectionError())
        await Retry(2, base=8, random=draw)(call)
        waits.append(call.times[1] - call.times[0])
    for low in range(8):
        assert 190 < sum(low <= wait < low + 1 for wait in waits) < 310


async def test_the_same_seed_gives_the_same_waits():
    """A seeded ``random`` makes a run repeatable."""
    runs = []
    for _ in range(2):
        call = Flaky(*[ConnectionError()] * 4)
        began = asyncio.get_running_loop().time()
        await Retry(5, random=random.Random(7).random)(call)
        runs.append([round(time - began, 9) for time in call.times])
    assert runs[0] == runs[1]


async def test_the_last_error_is_raised_as_itself():
    """The error of the last attempt comes out unwrapped; a note says how many there were."""
    last = ConnectionError("third")
    call = Flaky(ConnectionError("first"), ConnectionError("second"), last)
    with pytest.raises(ConnectionError) as caught:
        await Retry(3)(call)
    assert caught.value is last
    assert notes(last) == ["raised by the last of 3 attempts"]


@pytest.mark.parametrize(
    "on", [ConnectionError, (ConnectionError, TimeoutError), lambda error: isinstance(error, ConnectionError)]
)
async def test_only_what_on_names_is_tried_again(on):
    """``on`` is a class, a tuple of classes or a function; any other error is raised at once, without a note."""
    assert await Retry(on=on)(Flaky(ConnectionError())) == ("done",)
    call = Flaky(KeyError("a bug"))
    with pytest.raises(KeyError) as caught:
        await Retry(on=on)(call)
    assert len(call.times) == 1
    assert notes(caught.value) == []


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(), GeneratorExit()])
async def test_what_stops_a_program_is_never_retried(error):
    """CancelledError, KeyboardInterrupt and their like pass through at once."""
    call = Flaky(error)
    with pytest.raises(type(error)):
        await Retry(on=lambda _: True)(call)
    assert len(call.times) == 1


@pytest.mark.parametrize("moment", [0.5, 1.5])
async def test_a_cancelled_caller_makes_no_further_attempt(moment):
    """Cancelled in an attempt or between two, the caller gets CancelledError, and nothing runs on."""
    calls = []

    async def slow_failure():
        calls.append(1)
        await asyncio.sleep(1)
        raise ConnectionError

    task = asyncio.ensure_future(Retry(9, base=1, random=highest)(slow_failure))
    await asyncio.sleep(moment)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(100)
    assert calls == [1]


async def test_plain_functions_run_in_a_thread():
    """A plain function may block; it is tried again as an async one is."""
    answers = [ConnectionError(), "rows"]

    def query():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await Retry(2)(query) == "rows"


async def test_no_limit_of_attempts():
    """``attempts=None`` tries for as long as it takes."""
    assert await Retry(None, cap=1)(Flaky(*[ConnectionError()] * 2000)) == ("done",)


# -- Retry-After


def answer(**headers):
    """Return an error as httpx raises it, with these headers in its answer."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = httpx.Request("GET", "http://shop")
    return httpx.HTTPStatusError(
        "busy", request=request, response=httpx.Response(503, headers=headers, request=request)
    )


NOON = 1_800_000_000.0  # seconds since 1970


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (answer(retry_after="7"), 7),
        (answer(Retry_After=formatdate(NOON + 30, usegmt=True)), 30),
        (answer(retry_after=formatdate(NOON + 30, usegmt=True), date=formatdate(NOON + 20, usegmt=True)), 10),
        (answer(retry_after=formatdate(NOON - 30, usegmt=True)), 0),
        (answer(retry_after="soon"), None),
        (answer(), None),
        (SimpleNamespace(headers={"Retry-After": "8"}), 8),
        (SimpleNamespace(headers={"retry-after": "9"}), 9),
        (SimpleNamespace(headers=None, response=None), None),
        (SimpleNamespace(retry_after=1.5), 1.5),
        (SimpleNamespace(retry_after=timedelta(minutes=1)), 60),
        (SimpleNamespace(retry_after="3"), 3),
        (SimpleNamespace(retry_after=-3), 0),
        (SimpleNamespace(retry_after=float("inf")), None),
        (SimpleNamespace(retry_after=float("nan")), None),
        (SimpleNamespace(retry_after=[]), None),
        (httpx.ConnectError("no response, and asking for its request raises"), None),
        (ValueError(), None),
    ],
)
def test_where_retry_after_is_found(error, seconds):
    """An attribute of the error, or a header of its response or of itself: seconds or an HTTP date."""
    assert retry_after(error, lambda: NOON) == seconds


@settings(max_examples=50)
@given(st.text() | st.binary() | st.floats() | st.none() | st.integers())
def test_no_retry_after_breaks_a_retry(value):
    """Whatever a server sends, the answer is a finite number of seconds >= 0, or None."""
    for error in (SimpleNamespace(retry_after=value), SimpleNamespace(headers={"Retry-After": value})):
        found = retry_after(error, lambda: NOON)
        assert found is None or 0 <= found < float("inf")


async def test_retry_after_comes_before_the_random_wait():
    """The server's wait is kept in full, and callers who were told the same still come back spread."""
    call = Flaky(answer(retry_after="20"))
    await Retry(2, base=4, random=lambda: 0.5)(call)
    assert call.times == [0, 22]


async def test_a_retry_after_that_is_too_long_ends_the_attempts():
    """Beyond ``max_retry_after`` the error is raised at once, with a note."""
    error = answer(retry_after="3600")
    with pytest.raises(httpx.HTTPStatusError) as caught:
        await Retry(3, random=highest)(Flaky(error))
    assert notes(caught.value) == ["not tried again after 1 attempt: to wait 3600 s, as it asks, is too long"]
    call = Flaky(answer(retry_after="3600"))
    await Retry(3, base=1, max_retry_after=None, random=highest)(call)
    assert call.times == [0, 3601]


# -- the deadline


async def test_no_retry_starts_that_the_deadline_would_cut_short():
    """Where the wait is longer than the time left, the error is raised at once instead of the deadline's."""
    call = Flaky(*[ConnectionError()] * 9)
    loop = asyncio.get_running_loop()
    with pytest.raises(ConnectionError) as caught, deadline_scope(10, loop.time):
        await Retry(9, base=1, cap=100, random=highest)(call)
    assert call.times == [0, 1, 3, 7]
    assert loop.time() == 7
    assert notes(caught.value) == ["not tried again after 4 attempts: 3 s are left, and the wait is 8 s"]


async def test_no_retry_starts_that_takes_longer_than_is_left():
    """An attempt is not begun if even the quickest success so far would not have fitted."""
    retry = Retry(9, base=1, random=highest)

    async def takes_five():
        await asyncio.sleep(5)

    await retry(takes_five)
    call = Flaky(*[ConnectionError()] * 9)
    loop = asyncio.get_running_loop()
    with pytest.raises(ConnectionError), deadline_scope(8, loop.time):
        await retry(call)
    assert [time - 5 for time in call.times] == [0, 1]  # at 1 + 2 there are 5 s left: not more than the quickest took


async def test_gather_with_a_deadline_raises_the_error_not_the_deadline():
    """The same through a fan-out: its deadline is what the retries see."""
    with pytest.raises(ConnectionError):
        await gather(a=Flaky(*[ConnectionError()] * 9), deadline=10, retry=Retry(9, base=4, random=highest))
    assert asyncio.get_running_loop().time() == 4


# -- the budget


async def test_a_low_budget_stops_retries_and_lets_first_attempts_through():
    """The rule of gRPC: failures cost a token, successes give a ratio back, above half there are retries."""
    budget = RetryBudget("db", max_tokens=4, token_ratio=0.5)
    retry = Retry(3, budget=budget)
    with pytest.raises(ConnectionError) as caught:
        await retry(Flaky(*[ConnectionError()] * 9))  # 3 left: again; 2 left: no more
    assert notes(caught.value) == [
        "not tried again after 2 attempts: too many calls fail, <RetryBudget 'db' 2/4 tokens, no retries>"
    ]
    once = Flaky(ConnectionError())
    with pytest.raises(ConnectionError):
        await retry(once)
    assert (len(once.times), budget.tokens) == (1, 1)
    for _ in range(4):
        await retry(Flaky())
    assert (budget.tokens, budget.allows) == (3, True)
    for _ in range(9):
        await retry(Flaky())
    assert budget.tokens == 4
    assert await retry(Flaky(ConnectionError())) == ("done",)


async def test_errors_that_are_no_ones_business_cost_nothing():
    """What ``on`` does not name says nothing about the backend's health."""
    budget = RetryBudget()
    with pytest.raises(KeyError):
        await Retry(on=ConnectionError, budget=budget)(Flaky(KeyError()))
    assert budget.tokens == 10


async def test_nothing_keeps_a_raised_error_alive():
    """The error that comes out is freed with its last reference, without the garbage collector."""
    gc.collect()
    gc.disable()
    try:

        class BrokenError(Exception):
            pass

        try:
            await Retry(2)(Flaky(BrokenError(), BrokenError()))
        except BrokenError as error:
            seen = weakref.ref(error)
        assert seen() is None
    finally:
        gc.enable()

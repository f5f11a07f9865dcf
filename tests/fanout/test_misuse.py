"""Every message that a wrong use of the fan-out gets, in full."""

import asyncio
import re

import pytest

from asyncfan import AdaptiveLimit
from asyncfan.fanout import Limiter, ParallelProcessor, amap, gather, in_thread, on_loop


async def fetch(x=None):
    """Return what it is given."""
    return x


async def pages():
    """Be an async generator function, which has no one result."""
    yield 1


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ParallelProcessor(0), ValueError, "max_workers must be >= 1 or None, got 0"),
        (lambda: ParallelProcessor(-1), ValueError, "max_workers must be >= 1 or None, got -1"),
        (
            lambda: ParallelProcessor(True),
            TypeError,
            "max_workers must be an int >= 1, None, 'auto' or an AdaptiveLimit, got True",
        ),
        (
            lambda: ParallelProcessor(2.5),
            TypeError,
            "max_workers must be an int >= 1, None, 'auto' or an AdaptiveLimit, got 2.5",
        ),
        (
            lambda: ParallelProcessor("fast"),
            ValueError,
            "max_workers must be an int >= 1, None, 'auto' or an AdaptiveLimit, got 'fast'",
        ),
        (
            lambda: Limiter(max_concurrency=2.5),
            TypeError,
            "max_concurrency must be an int >= 1, None, 'auto' or an AdaptiveLimit, got 2.5",
        ),
        (lambda: AdaptiveLimit(0), ValueError, "min must be >= 1, got 0"),
        (lambda: AdaptiveLimit(1, 2.5), TypeError, "max must be an int >= 1, got 2.5"),
        (lambda: AdaptiveLimit(True), TypeError, "min must be an int >= 1, got True"),
        (lambda: AdaptiveLimit(10, 5), ValueError, "max must be >= min=10, got 5"),
        (
            lambda: AdaptiveLimit(overload=429),
            TypeError,
            "overload must be a type of exception, a tuple of them or a function of what a call gave, got 429",
        ),
        (
            lambda: AdaptiveLimit(overload=(OSError, int)),
            TypeError,
            (
                "overload must be a type of exception, a tuple of them or a function of what a call gave, "
                "got (<class 'OSError'>, <class 'int'>)"
            ),
        ),
        (lambda: ParallelProcessor(timeout=0), ValueError, "timeout must be seconds > 0 or None, got 0"),
        (lambda: ParallelProcessor(timeout="1"), TypeError, "timeout must be seconds > 0 or None, got '1'"),
        (
            lambda: ParallelProcessor(deadline=float("nan")),
            ValueError,
            "deadline must be seconds > 0 or None, got nan",
        ),
        (
            lambda: ParallelProcessor(on_error="ignore"),
            ValueError,
            "on_error must be 'raise', 'group' or 'collect', got 'ignore'",
        ),
        (
            lambda: ParallelProcessor(executor=3),
            TypeError,
            "executor must have submit(), as concurrent.futures.Executor does, got 3",
        ),
        (
            lambda: ParallelProcessor(progress=3),
            TypeError,
            "progress must be a plain function progress(done, total), got 3",
        ),
        (
            lambda: ParallelProcessor().stream(fetch, [], buffer_size=0),
            ValueError,
            "buffer_size must be >= 1 or None, got 0",
        ),
        (
            lambda: ParallelProcessor().stream(fetch, 5),
            TypeError,
            "items must be an iterable or an async iterable, got 5",
        ),
        (lambda: Limiter(max_concurrency=0), ValueError, "max_concurrency must be >= 1 or None, got 0"),
        (lambda: Limiter(rate=0), ValueError, "rate must be a number a second > 0 or None, got 0"),
        (lambda: Limiter(burst=3), TypeError, "burst needs a rate: Limiter(rate=100, burst=10)"),
        (
            lambda: Limiter("db").release(),
            RuntimeError,
            ("<Limiter 'db' 0 running, 0 waiting> cannot release 1: acquire() comes first, once for each release()"),
        ),
        (lambda: Limiter("db").release(-1), ValueError, "weight must be >= 1, got -1"),
        (lambda: in_thread(3), TypeError, "in_thread takes a function, got 3"),
        (lambda: on_loop(None), TypeError, "on_loop takes a function, got None"),
    ],
)
def test_wrong_options_are_refused_where_they_are_written(make, error, message):
    """A wrong option fails at construction, with its name, the rule and the value."""
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: gather({"a": fetch(1), "b": fetch(2)}),
            "tasks['a']: expected a function, got the coroutine fetch(): pass fetch or lambda: fetch(...)",
        ),
        (lambda: gather(a=3), "tasks['a']: expected a function, got 3"),
        (
            lambda: gather(a=pages),
            (
                "tasks['a']: expected a function with one result, got the async generator function pages: "
                "write an async def that collects it, as in return [x async for x in pages()]"
            ),
        ),
        (
            lambda: gather([fetch]),
            (f"tasks must be a mapping {{name: function}}, got [{fetch!r}]; for a list of items: map(fn, items)"),
        ),
        (lambda: amap(None, [1]), "fn: expected a function, got None"),
        (lambda: amap(fetch, 5), "items must be an iterable or an async iterable, got 5"),
    ],
)
async def test_classic_mistakes_get_a_hint(call, message):
    """What is no function, or no mapping, is refused with the right code; no coroutine warns afterwards."""
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        await call()


async def test_a_running_awaitable_is_not_a_function():
    """A future given in place of a function is refused."""
    future = asyncio.get_running_loop().create_future()
    with pytest.raises(TypeError, match="it already runs; pass what makes it"):
        await gather(a=future)


async def test_a_weight_above_the_limit_is_refused():
    """Who could never enter is told so at once."""
    message = "weight must be <= max_concurrency=3 of <Limiter 'db' 0/3 running, 0 waiting>, got 4"
    with pytest.raises(ValueError, match=re.escape(message)):
        await Limiter("db", max_concurrency=3).acquire(4)


async def test_late_bound_lambdas_are_warned_of():
    """Lambdas made in a loop that all see its last value are noticed by their names, with the cure."""
    tasks = {f"item_{i}": lambda: fetch(i) for i in range(3)}  # noqa: B023 - the mistake
    message = "all 3 lambdas in tasks use the last value of 'i', 2: write lambda i=i: ... to bind each its own"
    with pytest.warns(RuntimeWarning, match=re.escape(message)):
        await gather(tasks)


async def test_equal_lambdas_on_purpose_are_not_warned_of():
    """Lambdas that share what they use without being named after it are as good as any."""
    n = 7
    assert await gather({f"call_{k}": lambda: fetch(n) for k in "abc"}) == {
        "call_a": 7,
        "call_b": 7,
        "call_c": 7,
    }
    assert await gather({f"item_{i}": lambda i=i: fetch(i) for i in range(2)}) == {"item_0": 0, "item_1": 1}


async def test_lambdas_from_a_factory_are_never_compared():
    """What lambdas hold may not be comparable, as an array is not; a variable may not be assigned yet."""

    class Array:
        def __eq__(self, other):
            raise ValueError("the truth value of an array is ambiguous")

        __hash__ = None

    def task(array):
        return lambda: fetch(array)

    assert len(await gather({f"part_{i}": task(Array()) for i in range(3)})) == 3


async def test_lambdas_may_use_what_is_assigned_later():
    """A variable that has no value yet is no reason to refuse."""
    waiting = gather({f"part_{i}": lambda: later(7) for i in range(2)})
    calls = asyncio.ensure_future(waiting)
    await asyncio.sleep(0)
    later = fetch
    assert await calls == {"part_0": 7, "part_1": 7}

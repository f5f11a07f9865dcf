"""Every message that a wrong use of the fan-out gets, in full."""

import asyncio
import re

import pytest

from asyncfan import AdaptiveLimit, AsyncQueryBatcher, DataBatcher, Hedge, Retry, RetryBudget, batched
from asyncfan.fanout import Limiter, ParallelProcessor, amap, gather, gather_into, in_thread, on_loop


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
        (
            lambda: ParallelProcessor("auto", chunk_size=10),
            TypeError,
            "chunk_size needs a fixed max_workers: how long a chunk takes says little of one call",
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
        (lambda: ParallelProcessor(chunk_size=0), ValueError, "chunk_size must be >= 1, 'auto' or None, got 0"),
        (
            lambda: ParallelProcessor(chunk_size=2.5),
            TypeError,
            "chunk_size must be an int >= 1, 'auto' or None, got 2.5",
        ),
        (
            lambda: ParallelProcessor(chunk_size="many"),
            ValueError,
            "chunk_size must be an int >= 1, 'auto' or None, got 'many'",
        ),
        (
            lambda: ParallelProcessor(chunk_size=10, timeout=1),
            TypeError,
            "timeout is for one item, and chunk_size sends several in one call: leave one of the two out",
        ),
        *[
            (make, TypeError, 'limiter must be a Limiter such as Limiter("db", max_concurrency=20), got 20')
            for make in (
                lambda: ParallelProcessor(limiter=20),
                lambda: DataBatcher(limiter=20),
                lambda: AsyncQueryBatcher(limiter=20),
                lambda: batched(limiter=20),
            )
        ],
        (
            lambda: ParallelProcessor(chunk_size="auto", limiter=Limiter("db")),
            TypeError,
            "limiter is for one item, and chunk_size sends several in one call: leave one of the two out",
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
        (lambda: ParallelProcessor(retry=3), TypeError, "retry must be a Retry, as in retry=Retry(3), got 3"),
        (lambda: ParallelProcessor(hedge="p95"), TypeError, "hedge must be a Hedge, as in hedge=Hedge(), got 'p95'"),
        (lambda: AsyncQueryBatcher(retry=3), TypeError, "retry must be a Retry, as in retry=Retry(3), got 3"),
        (lambda: ParallelProcessor(first=0), ValueError, "first must be >= 1 or None, got 0"),
        (lambda: ParallelProcessor(min_success=0), ValueError, "min_success must be >= 1 or None, got 0"),
        (lambda: ParallelProcessor(max_errors=1.5), TypeError, "max_errors must be an int >= 1 or None, got 1.5"),
        (
            lambda: ParallelProcessor(first=2, min_success=3),
            ValueError,
            "min_success must be <= first=2, got 3: no more than 2 are waited for",
        ),
        (
            lambda: DataBatcher(max_errors=2),
            ValueError,
            (
                "max_errors=2 never applies with on_error='raise', which stops at the first failure: say "
                "on_error='group' or 'collect', or how many must succeed, as min_success=1"
            ),
        ),
        (
            lambda: ParallelProcessor(first=2).stream(fetch, []),
            TypeError,
            "a stream takes neither first nor min_success: count its results, and leave the loop",
        ),
        (lambda: Retry(0), ValueError, "attempts must be >= 1 or None, got 0"),
        (lambda: Retry(base=0), ValueError, "base must be seconds > 0, got 0"),
        (lambda: Retry(base=None), TypeError, "base must be seconds > 0, got None"),
        (lambda: Retry(base=2, cap=1), ValueError, "base must be <= cap=1, got 2"),
        (
            lambda: Retry(max_retry_after=-1),
            ValueError,
            "max_retry_after must be seconds > 0 or None, got -1",
        ),
        (lambda: Retry(budget=10), TypeError, "budget must be a RetryBudget, got 10"),
        (
            lambda: Retry(on=(OSError, asyncio.CancelledError)),
            ValueError,
            "on must name subclasses of Exception: CancelledError must never be retried",
        ),
        (
            lambda: Retry(on=503),
            TypeError,
            "on must be an exception class, a tuple of them or a plain function on(error), got 503",
        ),
        (
            lambda: Retry(on=()),
            TypeError,
            "on must be an exception class, a tuple of them or a plain function on(error), got ()",
        ),
        (
            lambda: Retry(on=fetch),
            TypeError,
            f"on must be an exception class, a tuple of them or a plain function on(error), got {fetch!r}",
        ),
        (lambda: RetryBudget(max_tokens=0), ValueError, "max_tokens must be a number > 0, got 0"),
        (lambda: RetryBudget(token_ratio="1"), TypeError, "token_ratio must be a number > 0, got '1'"),
        (
            lambda: [RetryBudget.shared("misused"), RetryBudget.shared("misused", max_tokens=5)],
            ValueError,
            "the shared budget 'misused' was made with max_tokens=10 and token_ratio=0.1, got 5 and 0.1",
        ),
        (lambda: Hedge("95"), ValueError, "after must be seconds > 0 or a percentile as 'p95', got '95'"),
        (lambda: Hedge("p100"), ValueError, "after must be seconds > 0 or a percentile as 'p95', got 'p100'"),
        (lambda: Hedge(0), ValueError, "after must be seconds > 0 or a percentile as 'p95', got 0"),
        (lambda: Hedge(None), TypeError, "after must be seconds > 0 or a percentile as 'p95', got None"),
        (lambda: Hedge(max_extra=0), ValueError, "max_extra must be a share of the calls > 0, got 0"),
        (lambda: Hedge(max_extra=5), ValueError, "max_extra must be a share of the calls <= 1, got 5"),
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
        (
            lambda: gather(fetch(1), fetch(2)),
            "tasks[0]: expected a function, got the coroutine fetch(): pass fetch or lambda: fetch(...)",
        ),
        (
            lambda: gather(fetch(1), b=fetch(2)),
            "some tasks have names and some have not: name them all, gather(user=get_user, news=get_news), or none",
        ),
        (
            lambda: gather(orders=lambda usr: usr, user=fetch(1)),
            (
                "tasks['orders'] takes 'usr', but no task is called that: did you mean 'user'? A task gets the results "
                "of the tasks that its parameters name; to bind a value, write lambda usr=value: ..."
            ),
        ),
        (
            lambda: gather(lambda item: item),
            (
                "tasks[0] takes 'item', but no task is called that. A task gets the results "
                "of the tasks that its parameters name; to bind a value, write lambda item=value: ..."
            ),
        ),
        (
            lambda: gather_into(fetch, user=fetch),
            f"gather_into takes a class and named tasks, gather_into(Page, user=get_user), got {fetch!r}",
        ),
        (lambda: amap(None, [1]), "fn: expected a function, got None"),
        (
            lambda: gather(a=dict, hedge=Hedge()),
            (
                "tasks['a']: hedge= needs an async function: a thread cannot be cancelled, so that the result would "
                "wait for the slower attempt anyway"
            ),
        ),
        (
            lambda: AsyncQueryBatcher(hedge=Hedge()).execute(len, []),
            (
                "query: hedge= needs an async function: a thread cannot be cancelled, so that the result would "
                "wait for the slower attempt anyway"
            ),
        ),
        (lambda: Retry()(fetch()), "expected a function, got the coroutine fetch(): pass fetch or lambda: fetch(...)"),
        (lambda: amap(fetch, 5), "items must be an iterable or an async iterable, got 5"),
    ],
)
async def test_classic_mistakes_get_a_hint(call, message):
    """What is no function, or no mapping, is refused with the right code; no coroutine warns afterwards."""
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        await call()


@pytest.mark.parametrize(
    ("tasks", "ring"),
    [
        ({"a": lambda a: a}, "a -> a"),
        ({"x": fetch, "a": lambda b: b, "b": lambda c, x: c, "c": lambda a: a}, "a -> b -> c -> a"),
        ({"c": lambda a: a, "a": lambda b: b, "b": lambda a: a}, "a -> b -> a"),
    ],
)
async def test_a_ring_of_tasks_is_shown(tasks, ring):
    """Tasks that wait for each other are refused, the ring read as "needs"."""
    with pytest.raises(ValueError, match=f"^tasks wait for each other: {re.escape(ring)}$"):
        await gather(tasks)


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

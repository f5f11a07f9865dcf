"""Tasks that take the results of others: when they start, what they get, and what becomes of them when one fails."""

import asyncio
import contextvars
import gc
import pickle
import re
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from unittest.mock import AsyncMock, Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfan import cache_function
from asyncfan.exceptions import AttemptTimeoutError, DeadlineExceededError, DependencyFailedError, SelfCancelledError
from asyncfan.fanout import Limiter, ParallelProcessor, gather, in_thread, on_loop
from asyncfan.testing import run


async def nap(seconds, value=None):
    """Return the value after some seconds."""
    await asyncio.sleep(seconds)
    return value


async def fail():
    """Fail after a second."""
    await asyncio.sleep(1)
    raise ValueError("no")


async def test_a_task_is_called_with_what_its_parameters_name():
    """A parameter is the result of the task of that name; results keep the mapping's order, whatever ran first."""
    found = await gather(
        total=lambda user, orders: nap(1, f"{user} has {len(orders)}"),
        orders=lambda user: nap(1, [f"order of {user}"]),
        user=lambda: nap(1, "ann"),
    )
    assert list(found.items()) == [("total", "ann has 1"), ("orders", ["order of ann"]), ("user", "ann")]
    assert asyncio.get_running_loop().time() == 3


class Shop:
    """Have methods that are tasks."""

    async def orders(self, user):
        """Be an async method."""
        return f"{user}'s"

    def plain(self, user):
        """Be a plain method."""
        return f"{user}'s"

    async def __call__(self, user):
        """Be an object that is called."""
        return f"{user}'s"


async def orders(user, unit=""):
    """Be async."""
    return f"{user}'s{unit}"


async def by_keyword(*, user):
    """Take it by keyword."""
    return f"{user}'s"


async def by_position(user, /):
    """Take it by position."""
    return f"{user}'s"


async def of_two(extra, user):
    """Take something else first."""
    return f"{user}'s{extra}"


def plain(user):
    """Be plain, in a thread."""
    assert threading.current_thread() is not threading.main_thread()
    return f"{user}'s"


def plain_by_keyword(*, user):
    """Be plain, in a thread, and take it by keyword."""
    assert threading.current_thread() is not threading.main_thread()
    return f"{user}'s"


def here(*, user):
    """Be called on the loop."""
    assert asyncio.get_running_loop()
    return f"{user}'s"


def passing_on(function):
    """Decorate a function as most do."""

    @wraps(function)
    async def wrapper(*args, **kwargs):
        return await function(*args, **kwargs)

    return wrapper


@cache_function
async def cached(user):
    """Be cached."""
    return f"{user}'s"


@pytest.mark.parametrize(
    "task",
    [
        orders,
        by_keyword,
        by_position,
        plain,
        plain_by_keyword,
        lambda user: orders(user),  # noqa: PLW0108 - a lambda is what is meant
        lambda *, user: orders(user),
        partial(of_two, ""),
        partial(of_two, extra=""),
        partial(by_keyword),
        Shop().orders,
        Shop().plain,
        Shop(),
        in_thread(plain),
        in_thread(plain_by_keyword),
        in_thread(lambda *, user: plain_by_keyword(user=user)),
        on_loop(here),
        on_loop(lambda user: here(user=user)),
        cached,
        passing_on(orders),
        passing_on(by_keyword),
    ],
    ids=lambda function: re.sub(" at 0x[0-9a-f]+", "", repr(function)),
)
async def test_every_kind_of_function_may_take_results(task):
    """Async, plain, lambda, partial, method, object, placed, cached, decorated: each is called where it belongs."""
    assert await gather(x=task, user=lambda: nap(1, "ann")) == {"x": "ann's", "user": "ann"}


async def test_a_parameter_with_a_default_keeps_it():
    """`lambda i=item: ...` binds the loop's value, even where a task is called like that."""
    assert await gather({i: lambda i=i: nap(1, i) for i in ("a", "i")}) == {"a": "a", "i": "i"}
    assert await gather(x=orders, user=lambda: nap(0, "ann"), unit=lambda: nap(0, "!")) == {
        "x": "ann's",
        "user": "ann",
        "unit": "!",
    }


async def test_what_takes_anything_names_nothing():
    """`*args` and `**kwargs` ask for no task, whatever they are called."""

    async def task(*user, **news):
        return user, news

    assert (await gather(x=task, user=lambda: 1, news=lambda: 2))["x"] == ((), {})


async def test_what_a_decorator_gives_is_no_dependency():
    """A parameter that a decorator fills in may be called as no task is; the others are results."""

    def with_session(function):
        @wraps(function)
        async def wrapper(**kwargs):
            return await function("session", **kwargs)

        return wrapper

    @with_session
    async def load(session, user):
        return session, user

    assert await gather(load=load, user=lambda: "ann") == {"load": ("session", "ann"), "user": "ann"}


async def test_a_builtin_that_tells_nothing_of_itself_is_called():
    """A function in C whose parameters are unknown needs no task."""
    assert (await gather(x=dict, user=lambda: "ann"))["x"] == {}


async def test_a_task_starts_as_soon_as_it_can():
    """It waits for its own dependencies, not for others of their level, and not for its turn in the mapping."""
    started = {}

    def task(name, seconds, *_):
        started[name] = asyncio.get_running_loop().time()
        return nap(seconds)

    await gather(
        late=lambda slow: task("late", 1),
        early=lambda quick: task("early", 1),
        after=lambda early: task("after", 1),
        slow=lambda: task("slow", 9),
        quick=lambda: task("quick", 2),
    )
    assert started == {"slow": 0, "quick": 0, "early": 2, "after": 3, "late": 9}


@settings(max_examples=80, deadline=None)
@given(data=st.data(), workers=st.one_of(st.none(), st.integers(1, 3)))
def test_any_graph_gives_what_one_after_the_other_gives(data, workers):
    """Whatever depends on whatever, under any limit: right results, nothing early, no hang, and no waste of time."""
    n = data.draw(st.integers(1, 9))
    needs = [sorted(data.draw(st.sets(st.integers(0, i - 1), max_size=4))) if i else [] for i in range(n)]
    seconds = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    order = data.draw(st.permutations(range(n)))
    spans = {}
    running = peak = 0

    async def work(i, *values):
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        start = asyncio.get_running_loop().time()
        await asyncio.sleep(seconds[i])
        spans[i] = start, asyncio.get_running_loop().time()
        running -= 1
        return (i, *values)

    def task(i):
        names = ", ".join(f"t{j}" for j in needs[i])
        return eval(f"lambda {names}: work({i}, {names})", {"work": work})

    found = run(ParallelProcessor(workers).execute_parallel({f"t{i}": task(i) for i in order}))
    expected, ends = [], []
    for i in range(n):
        expected.append((i, *(expected[j] for j in needs[i])))
        ends.append(max((ends[j] for j in needs[i]), default=0) + seconds[i])
    assert list(found.items()) == [(f"t{i}", expected[i]) for i in order]
    assert all(spans[i][0] >= spans[j][1] for i in range(n) for j in needs[i])
    assert peak <= (workers or n)
    if workers is None:
        assert [spans[i][1] for i in range(n)] == ends
    if workers == 1:
        assert max(end for _, end in spans.values()) == sum(seconds)


@pytest.mark.parametrize("workers", [1, 2, None])
async def test_a_failure_stops_only_what_needs_it(workers):
    """`on_error="collect"`: what needs the failed one, directly or not, is not started and says so; others go on."""
    called = []
    outcomes = await ParallelProcessor(workers, on_error="collect").execute_parallel(
        {
            "page": lambda orders, news: called.append("page"),
            "orders": lambda user: called.append("orders"),
            "user": fail,
            "news": lambda: nap(2, "news"),
            "more": lambda news: nap(1, news + "!"),
        }
    )
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "page": "not_started",
        "orders": "not_started",
        "user": "error",
        "news": "ok",
        "more": "ok",
    }
    assert called == []
    error = outcomes["page"].exception
    assert isinstance(error, DependencyFailedError)
    assert str(error) == "'page' was not started: it needs 'orders', which needs 'user', which failed"
    assert error.chain == ("page", "orders", "user")
    assert error.__cause__ is outcomes["user"].exception
    assert (outcomes["page"].attempts, outcomes["page"].duration) == (0, 0.0)
    with pytest.raises(DependencyFailedError, match="'orders' was not started: it needs 'user', which failed"):
        outcomes["orders"].unwrap()


async def cancel_itself():
    """Raise CancelledError though nobody cancels."""
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("task", "what", "cause"),
    [
        (lambda: nap(9), "timed out", AttemptTimeoutError),
        (cancel_itself, "was cancelled", SelfCancelledError),
    ],
)
async def test_the_outcome_says_how_the_dependency_failed(task, what, cause):
    """A timeout and a CancelledError of its own stop what needs a task, as a failure does."""
    outcomes = await ParallelProcessor(timeout=5, on_error="collect").execute_parallel({"b": lambda a: 1, "a": task})
    assert str(outcomes["b"].exception) == f"'b' was not started: it needs 'a', which {what}"
    assert isinstance(outcomes["b"].exception.__cause__, cause)


async def test_a_failure_is_raised_itself_and_nothing_starts_after_it():
    """`on_error="raise"`: siblings are cancelled and awaited; what needs the failed one, or them, is never called."""
    called, ended = [], []

    async def sibling():
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(1)
            ended.append(1)

    with pytest.raises(ValueError, match="no") as caught:
        await gather(c=lambda a, b: called.append("c"), a=fail, b=sibling)
    assert (called, ended) == ([], [1])
    assert caught.value.__notes__ == ["in gather:task 'a'"]


async def test_group_has_the_failures_and_not_what_needed_them():
    """`on_error="group"`: all that can run does; the group has what was raised, once each."""
    called = []
    with pytest.raises(ExceptionGroup) as caught:
        await ParallelProcessor(on_error="group").execute_parallel(
            {"c": lambda a: called.append("c"), "a": fail, "d": lambda b: called.append("d"), "b": lambda: nap(1)}
        )
    assert [type(error) for error in caught.value.exceptions] == [ValueError]
    assert called == ["d"]


async def test_at_the_deadline_what_waits_was_not_started():
    """What finished keeps its value, what ran timed out, what needs it was not started and is nobody's fault."""
    tasks = {"c": lambda b: 1, "b": lambda a: nap(9), "a": lambda: nap(1, "a")}
    outcomes = await ParallelProcessor(deadline=5, on_error="collect").execute_parallel(tasks)
    assert [(o.status, o.value, type(o.exception)) for o in outcomes.values()] == [
        ("not_started", None, type(None)),
        ("timeout", None, DeadlineExceededError),
        ("ok", "a", type(None)),
    ]
    with pytest.raises(DeadlineExceededError) as caught:
        await ParallelProcessor(deadline=5).execute_parallel(tasks)
    assert [outcome.status for outcome in caught.value.outcomes.values()] == ["not_started", "timeout", "ok"]


async def test_values_come_through_where_outcomes_are_kept():
    """With a deadline that is kept, tasks get values and not outcomes."""
    found = await ParallelProcessor(deadline=5).execute_parallel({"b": lambda a: nap(1, a + 1), "a": lambda: nap(1, 1)})
    assert found == {"b": 2, "a": 1}


async def test_a_cancelled_caller_awaits_what_runs_and_starts_no_more():
    """Tasks at work are cancelled and have ended; those that wait for them are never called."""
    called, ended = [], []

    async def slow(user):
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(1)
            ended.append(user)

    task = asyncio.ensure_future(gather(page=lambda orders: called.append(1), orders=slow, user=lambda: nap(1, "ann")))
    task.set_name("caller")
    task.get_loop().call_later(3, task.cancel, "stop")
    with pytest.raises(asyncio.CancelledError, match="stop"):
        await task
    assert (called, ended) == ([], ["ann"])
    assert asyncio.get_running_loop().time() == 4


async def test_each_task_has_its_name_and_no_other_ones_context():
    """A dependency's context variables are its own, and debuggers see each task under its name."""
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("caller's")
    seen = []

    async def user():
        variable.set("user's")

    async def page(user):
        seen.append((variable.get(), asyncio.current_task().get_name()))

    await gather(page=page, user=user)
    assert seen == [("caller's", "asyncfan:gather:task 'page'")]


@pytest.mark.real_time
async def test_limits_and_executors_hold_for_tasks_that_take_results():
    """Limiter, timeout, progress and executor are the same with parameters, by keyword too."""

    class Elsewhere(ThreadPoolExecutor):
        def submit(self, fn, /, *args):
            return super().submit(*pickle.loads(pickle.dumps((fn, *args))))

    told = []
    limiter = Limiter(max_concurrency=1)
    with ThreadPoolExecutor(1) as pool, Elsewhere(1) as elsewhere:
        for executor in (pool, SubmitOnly(elsewhere)):
            processor = ParallelProcessor(
                2, limiter=limiter, timeout=5, executor=executor, progress=lambda *counts: told.append(counts)
            )
            found = await processor.execute_parallel({"x": plain_by_keyword, "y": plain, "user": lambda: nap(0, "ann")})
            assert found == {"x": "ann's", "y": "ann's", "user": "ann"}
    assert told == [(1, 3), (2, 3), (3, 3)] * 2
    assert (await processor.execute_parallel({"b": lambda a: a, "a": lambda: 1})) == {"b": 1, "a": 1}


class SubmitOnly:
    """Be an executor that is no thread pool, as those of other processes are."""

    def __init__(self, inner):
        self.submit = inner.submit


async def test_a_ring_is_found_before_anything_starts():
    """Neither a ring nor an unknown name lets any task begin."""
    called = []
    for wrong in ({"a": lambda b: 1, "b": lambda a: 1}, {"a": lambda x: 1}):
        with pytest.raises((ValueError, TypeError)):
            await gather({**wrong, "c": lambda: called.append("c")})
    assert called == []


async def test_a_thousand_tasks_in_a_row():
    """A long chain is no recursion."""
    chain = {f"t{i}": eval(f"lambda t{i - 1}: t{i - 1} + 1") for i in range(1, 1000)}
    assert (await gather({**chain, "t0": lambda: 0}))["t999"] == 999
    outcomes = await ParallelProcessor(1, on_error="collect").execute_parallel({**chain, "t0": fail})
    assert {outcome.status for outcome in outcomes.values()} == {"not_started", "error"}
    assert len(outcomes["t999"].exception.chain) == 1000


async def test_what_failed_is_freed_with_its_error():
    """The values that a task was given are held by nothing else."""

    class Big:
        pass

    async def bad(value):
        big.append(weakref.ref(value))
        raise ValueError

    big = []
    gc.collect()
    gc.disable()
    try:
        try:
            await gather(bad=bad, value=lambda: Big())  # noqa: PLW0108 - a class would run in a thread
        except ValueError as error:
            error.__traceback__ = None
        await asyncio.sleep(0)
        assert [ref() for ref in big] == [None]
    finally:
        gc.enable()


async def test_stand_ins_of_tests_are_tasks():
    """A mock takes anything, so that it names nothing."""
    assert await gather(a=Mock(return_value=1), b=AsyncMock(return_value=2)) == {"a": 1, "b": 2}

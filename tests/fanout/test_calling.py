"""Where a function is called: on the loop, in a thread, or in an executor."""

import asyncio
import contextvars
import functools
import os
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from asyncfan.fanout import ParallelProcessor, amap, gather, in_thread, on_loop

pytestmark = pytest.mark.real_time
VAR = contextvars.ContextVar("VAR", default="unset")


def where(*_):
    """Say which kind of thread it runs in."""
    return "loop" if threading.current_thread() is threading.main_thread() else "thread"


async def async_where(*_):
    """Say the same from a coroutine."""
    return where()


class Service:
    async def method(self, *_):
        return where()

    async def __call__(self, *_):
        return where()


class Blocking:
    def __call__(self, *_):
        return where()


@pytest.mark.parametrize(
    ("function", "place"),
    [
        (async_where, "loop"),
        (functools.partial(async_where, 1), "loop"),
        (Service().method, "loop"),
        (Service(), "loop"),
        (functools.partial(Service()), "loop"),
        (lambda *_: async_where(), "loop"),
        (lambda *_: where(), "loop"),
        (functools.partial(where, 1), "loop"),
        (where, "thread"),
        (Blocking(), "thread"),
        (in_thread(lambda *_: where()), "thread"),
        (in_thread(functools.partial(where, 1)), "thread"),
        (on_loop(where), "loop"),
    ],
)
async def test_each_kind_of_function_is_called_where_it_belongs(function, place):
    """Async functions, lambdas and partials run on the loop, plain functions in a thread, unless they are marked."""
    assert await gather(it=function) == {"it": place}
    assert await amap(function, [1]) == [place]


async def test_an_awaitable_from_a_thread_is_awaited_on_the_loop():
    """A plain function may return an awaitable: its coroutine runs on the loop."""

    def make():
        return async_where() if where() == "thread" else None

    assert await gather(it=make) == {"it": "loop"}


async def test_a_thread_sees_the_callers_context():
    """Context variables are copied into the thread, and what it sets there stays there."""
    VAR.set("mine")

    def look():
        before = VAR.get()
        VAR.set("thread's")
        return before

    assert await gather(a=look, b=look) == {"a": "mine", "b": "mine"}
    with ThreadPoolExecutor(1) as pool:
        assert await ParallelProcessor(executor=pool).execute_parallel({"a": look, "b": look}) == {
            "a": "mine",
            "b": "mine",
        }
    assert VAR.get() == "mine"


async def test_a_cancelled_call_keeps_its_slot_until_the_thread_has_ended():
    """The caller gets its CancelledError when no thread works for it any more."""
    entered, leave = threading.Event(), threading.Event()
    ended = []

    def block():
        entered.set()
        leave.wait(10)
        ended.append(True)

    task = asyncio.ensure_future(gather(it=block))
    await asyncio.to_thread(entered.wait, 10)
    task.cancel()
    await asyncio.sleep(0.05)
    assert not task.done()
    leave.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


@pytest.mark.parametrize("own_pool", [True, False])
async def test_work_that_no_thread_has_taken_never_runs(own_pool):
    """A queued call is withdrawn when its caller is cancelled."""
    entered, leave = threading.Event(), threading.Event()
    ran = []
    pool = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(pool)
    blocker = asyncio.get_running_loop().run_in_executor(pool, lambda: (entered.set(), leave.wait(10)))
    entered.wait(10)
    task = asyncio.ensure_future(ParallelProcessor(executor=pool if own_pool else None).map(ran.append, [1, 2]))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    leave.set()
    await blocker
    pool.shutdown()
    assert ran == []


async def test_stop_iteration_from_a_thread_does_not_hang():
    """A plain function that raises StopIteration fails as a generator would: with RuntimeError."""
    with pytest.raises(RuntimeError, match="StopIteration"):
        await amap(next, [iter(())])


async def test_an_executor_takes_plain_functions_and_partials():
    """With a process pool the work leaves the process; partials bind its arguments; async functions stay."""
    with ProcessPoolExecutor(1) as pool:
        processor = ParallelProcessor(executor=pool)
        found = await processor.execute_parallel(
            {
                "pid": os.getpid,
                "pow": functools.partial(pow, 2, 10),
                "here": async_where,
                "thread": in_thread(os.getpid),
            }
        )
        assert found.pop("pid") != os.getpid()
        assert found == {"pow": 1024, "here": "loop", "thread": os.getpid()}
        assert await processor.map(abs, [-1, -2]) == [1, 2]


async def test_a_task_that_cannot_be_pickled_is_named():
    """The error of a local function in a process pool says which task it was and what to do."""

    def local():
        """Can't be found by name in another process."""

    with ProcessPoolExecutor(1) as pool, pytest.raises((AttributeError, TypeError), match="pickle") as caught:
        await ParallelProcessor(executor=pool, name="p").execute_parallel({"report": local})
    assert caught.value.__notes__ == [
        (
            f"ProcessPoolExecutor sends functions and arguments to another process, but the function {local!r} cannot "
            "be pickled: define functions at the top of a module, bind arguments with functools.partial, not with a "
            "lambda, and open files, locks and connections inside the function"
        ),
        "in p:task 'report'",
    ]


async def test_an_executor_is_anything_with_submit():
    """Only `submit` and its future are used."""

    class Borrowed:
        def __init__(self, pool):
            self.submit = pool.submit

    with ThreadPoolExecutor(1) as pool:
        assert await ParallelProcessor(executor=Borrowed(pool)).map(where, [1, 2]) == ["thread", "thread"]

"""Executors and futures of every kind: nothing but `submit`, `add_done_callback`, `result` and `cancel` is used."""

import asyncio
import inspect
import threading
from concurrent.futures import Future

import pytest

from asyncfan import amap
from asyncfan.fanout import calling, chunked, offload, parcel, sending
from tests.fanout.executors.work import double

pytestmark = pytest.mark.real_time


class Exact:
    """An object that has these attributes, and fails the test where another is asked for."""

    def __init__(self, **attributes):
        self.attributes = attributes

    def __getattr__(self, name):
        if name in self.__dict__.get("attributes", {}):
            return self.attributes[name]
        pytest.fail(f"{name} was asked for")


def submitting(make_future):
    """Return an executor that runs nothing and returns the future made from the function and its arguments."""
    return Exact(submit=make_future)


@pytest.mark.parametrize("size", [None, 2])
async def test_only_the_protocol_is_used(size):
    """An executor and a future that have what the documentation says, and nothing else, are enough."""

    def submit(function, *args):
        value = function(*args)
        return Exact(add_done_callback=lambda callback: callback(None), result=lambda: value, cancel=lambda: False)

    assert await amap(double, [1, 2, 3], executor=submitting(submit), chunk_size=size) == [2, 4, 6]


@pytest.mark.parametrize("module", [calling, chunked, offload, parcel, sending])
def test_no_private_attribute_of_an_executor_is_read(module):
    """The code names no attribute such as `_max_workers`, which half of the engines do not have."""
    source = inspect.getsource(module)
    assert "executor._" not in source
    assert "submitted._" not in source
    assert "getattr(executor" not in source


@pytest.mark.parametrize("answer", [None, False, NotImplementedError("no cancel"), 1])
async def test_a_future_that_cannot_be_cancelled_is_waited_for(answer):
    """Whatever `cancel` makes of it, the caller is free when the call has ended."""
    future, entered = Future(), asyncio.Event()

    def cancel():
        if isinstance(answer, Exception):
            raise answer
        return answer

    def submit(*_):
        entered.set()
        return Exact(add_done_callback=future.add_done_callback, result=future.result, cancel=cancel)

    task = asyncio.ensure_future(amap(double, [1], executor=submitting(submit)))
    await entered.wait()
    await asyncio.sleep(0)
    task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    threading.Thread(target=future.set_result, args=(2,)).start()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_whose_future_somebody_cancels_fails_in_words():
    """It is an error of that item, not a cancellation of the caller."""

    def submit(*_):
        future = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future

    (found,) = await amap(double, [1], executor=submitting(submit), on_error="collect")
    assert found.status == "error"
    assert str(found.exception) == (
        "Exact dropped the call: it was shut down meanwhile, or somebody cancelled its future"
    )


async def test_an_asyncio_future_will_do():
    """Engines whose futures belong to the loop quack too, also when such a future is cancelled."""
    loop = asyncio.get_running_loop()

    def submit(function, x):
        future = loop.create_future()
        loop.call_soon(future.set_result, function(x)) if x else future.cancel()
        return future

    found = await amap(double, [1, 0], executor=submitting(submit), on_error="collect")
    assert [outcome.status for outcome in found] == ["ok", "cancelled"]


async def test_a_submit_that_is_async_is_refused_in_words():
    """A pool with an interface of its own is no executor; its coroutine does not warn."""

    class Pool:
        async def submit(self, function, *args):
            return function(*args)

    with pytest.raises(TypeError) as caught:
        await amap(double, [1], executor=Pool())
    assert str(caught.value).startswith(
        "submit() of Pool must return a future with add_done_callback(), result() and cancel(), as "
        "concurrent.futures.Executor does, got <coroutine object"
    )


async def test_a_call_that_ends_after_its_loop_disturbs_nobody():
    """A future that is done when the loop is closed finds nobody to tell, and says nothing."""
    future = Future()

    async def leave():
        task = asyncio.ensure_future(amap(double, [1], executor=submitting(lambda *_: future)))
        await asyncio.sleep(0)
        task.cancel()

    await asyncio.to_thread(asyncio.run, leave())
    assert future.cancelled()


@pytest.mark.parametrize("size", [None, 2])
async def test_many_ends_at_once_wake_the_loop_once(size, monkeypatch):
    """What ends before the loop comes to it is told in one go; what ends later is told as well."""
    loop, futures, woken = asyncio.get_running_loop(), [], []
    wake = loop.call_soon_threadsafe
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *args: (woken.append(1), wake(*args)))

    def submit(function, *args):
        futures.append((Future(), function, args))
        return futures[-1][0]

    def finish(pairs):
        for future, function, args in pairs:
            future.set_result(function(*args))

    task = asyncio.ensure_future(amap(double, range(8), executor=submitting(submit), chunk_size=size))
    while len(futures) < (8 if size is None else 4):
        await asyncio.sleep(0)
    helper = threading.Thread(target=finish, args=(futures[1:],))
    helper.start()
    helper.join()  # the loop comes to it when all are done
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(woken) == 1
    finish(futures[:1])
    assert await task == [2 * x for x in range(8)]
    assert len(woken) == 2

"""Cached functions as tasks of Taskiq and FastStream: what is injected stays so, and loaders belong to one task."""

import asyncio
import logging
import re
from typing import Annotated, get_args

import pytest
from faststream import ContextRepo, Depends, FastStream, StreamMessage
from faststream.redis import RedisBroker, TestRedisBroker
from taskiq import Context, InMemoryBroker, TaskiqDepends, TaskiqEvents

from asyncfan import Cache, CacheLevel, SelfCancelledError, UnkeyableArgumentError, batched, current_scope
from asyncfan.adapters.faststream import MessageScope
from asyncfan.adapters.taskiq import TaskScope
from asyncfan.testing import Gate

WAYS = (
    "tells who is asking, so only you can say who may share a result. Do one of: ignore=('x',) if it is the same for "
    "everybody; key=lambda ...: (..., {}) to build the key from the arguments and from what tells callers apart; "
    "ignore=('x',), cache_level=CacheLevel.HIGH where asyncfan.adapters.{} declares the principal"
)
REFUSED = {
    Context: ("taskiq.context.Context", "x.message.labels['user_id']", "taskiq.TaskScope"),
    get_args(ContextRepo)[0]: (
        "faststream._internal.context.repository.ContextRepo",
        "x.get('message').headers['user-id']",
        "faststream.MessageScope",
    ),
    StreamMessage: ("faststream.message.message.StreamMessage", "x.headers['user-id']", "faststream.MessageScope"),
}


def factor():
    """Give what the handlers below depend on."""
    return 5


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.__name__)
def test_context_in_a_key_is_refused_where_it_is_written(kind):
    """Who is asking is in it: it is neither left out of keys nor taken into them by itself."""

    async def f(number, x): ...

    name, identity, scope = REFUSED[kind]
    function = f"{__name__}.test_context_in_a_key_is_refused_where_it_is_written.<locals>.f"
    text = f"{function}(): argument 'x' of type {name} {WAYS.format(identity, scope)}"
    for annotation in (kind, Annotated[kind, "a dependency"]):
        f.__annotations__["x"] = annotation
        with pytest.raises(UnkeyableArgumentError, match=f"^{re.escape(text)}$"):
            Cache().cache_function(f)
        Cache().cache_function(ignore=("x",))(f)
        Cache().cache_function(key=lambda number, x: number)(f)


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.__name__)
async def test_context_without_annotation_is_refused_at_the_first_call(kind):
    """The value says what it is."""

    @Cache().cache_function
    async def f(x): ...

    with pytest.raises(UnkeyableArgumentError, match=f"argument 'x' of type {REFUSED[kind][0]} tells who is asking"):
        await f(object.__new__(kind))


async def test_logger_is_refused_with_the_way_out():
    """Loggers, which all of these inject, are no value: ignore= is what to write."""

    @Cache().cache_function
    async def f(logger: logging.Logger): ...

    with pytest.raises(UnkeyableArgumentError, match=r"Do one of: ignore=\('logger',\)"):
        await f(logging.getLogger("a"))


# -- Taskiq -------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["in place", "in tasks"])
async def broker(request):
    """Return a broker of the test's own, whose tasks have scopes."""
    broker = InMemoryBroker(await_inplace=request.param == "in place")
    broker.add_middlewares(TaskScope(lambda message: {"principal": message.labels.get("user_id")}))
    await broker.startup()
    yield broker
    await broker.shutdown()


async def result(task):
    """Return what a task that was sent has returned."""
    found = await task.wait_result(timeout=5, check_interval=0.01)
    found.raise_for_error()
    return found.return_value


async def test_taskiq_task_loads_once(broker):
    """Equal tasks share a load, although each has a context of its own; a dependency's value is in the key."""
    loads = []

    @broker.task
    @Cache().cache_function(expire=60, ignore=("context",))
    async def price(
        number: int, times: Annotated[int, TaskiqDepends(factor)], context: Annotated[Context, TaskiqDepends()]
    ) -> int:
        loads.append(context.message.task_id)
        return number * times

    sent = [await price.kiq(number) for number in (4, 4, 5)]
    assert [await result(task) for task in sent] == [20, 20, 25]
    assert loads == [sent[0].task_id, sent[2].task_id]


async def test_taskiq_users_are_told_apart(broker):
    """At the HIGH level each principal of a task's scope has entries of its own."""
    loads = []

    @broker.task
    @Cache().cache_function(expire=60, ignore=("context",), cache_level=CacheLevel.HIGH)
    async def mine(context: Annotated[Context, TaskiqDepends()]) -> str:
        loads.append(context.message.labels["user_id"])
        return context.message.labels["user_id"]

    sent = [await mine.kicker().with_labels(user_id=user).kiq() for user in ("ann", "bob", "ann")]
    assert [await result(task) for task in sent] == ["ann", "bob", "ann"]
    assert loads == ["ann", "bob"]


async def test_taskiq_loaders_ask_once_a_task(broker):
    """Inside one task each key is loaded once; the next task's loads are its own."""
    batches = []

    @batched
    async def names(numbers):
        batches.append(sorted(numbers))
        return {number: f"item {number}" for number in numbers}

    @broker.task
    async def twice() -> list[str]:
        return [await names(1), await names(1)]

    for _ in range(2):
        assert await result(await twice.kiq()) == ["item 1", "item 1"]
    assert batches == [[1], [1]]


async def test_taskiq_task_that_fails_leaves_its_scope(broker):
    """What comes afterwards in the same place is outside of it, also after tasks that run others in place."""

    @broker.task
    async def fail() -> None:
        raise ValueError

    @broker.task
    async def outer() -> list[str]:
        sent = await fail.kicker().with_labels(user_id="inner").kiq()
        await sent.wait_result(timeout=5, check_interval=0.01)
        return [current_scope()["principal"]]

    assert await result(await outer.kicker().with_labels(user_id="outer").kiq()) == ["outer"]
    assert dict(current_scope()) == {}


async def test_taskiq_task_that_times_out_ends_its_loads(broker):
    """What only it waited for is cancelled: the test fails if a task is left."""
    ended = asyncio.Event()

    @Cache().cache_function
    async def slow() -> None:
        try:
            await Gate().enter()
        finally:
            ended.set()

    @broker.task(timeout=1)
    async def wait() -> None:
        await slow()

    found = await (await wait.kiq()).wait_result(timeout=5, check_interval=0.01)
    assert isinstance(found.error, TimeoutError)
    await ended.wait()


@pytest.fixture
async def loading():
    """Return a cache in which a load is under way that does not end by itself, and its caller."""
    cache, gate = Cache(), Gate()
    caller = asyncio.ensure_future(cache.cache_function(gate.enter)())
    await gate.reached()
    yield cache, caller
    with pytest.raises(SelfCancelledError):
        await caller


async def test_taskiq_closes_the_cache_at_shutdown(loading):
    """One line: loads under way end with the worker."""
    broker, (cache, caller) = InMemoryBroker(), loading
    broker.add_event_handler(TaskiqEvents.WORKER_SHUTDOWN, lambda state: cache.aclose())
    await broker.startup()
    await broker.shutdown()
    await asyncio.wait([caller])


# -- FastStream ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def stream():
    """Return a broker of the test's own, whose messages have scopes; as if Redis were there."""
    broker = RedisBroker(middlewares=[MessageScope(lambda message: {"principal": message.headers.get("user-id")})])

    async def ask(sent, **headers):
        return await (await broker.request(sent, "asked", headers=headers)).decode()

    broker.ask = ask
    return broker


@pytest.mark.real_time
async def test_faststream_handler_loads_once(stream):
    """The wrapper's signature is the handler's: values are coerced, dependencies injected."""
    loads = []

    @stream.subscriber("asked")
    @Cache().cache_function(expire=60, ignore=("context",))
    async def price(number: int, context: ContextRepo, times: int = Depends(factor)) -> int:
        loads.append((number, context.get("broker") is stream))
        return number * times

    async with TestRedisBroker(stream):
        assert [await stream.ask(sent) for sent in (4, "4", 5)] == [20, 20, 25]
    assert loads == [(4, True), (5, True)]


@pytest.mark.real_time
async def test_faststream_users_are_told_apart(stream):
    """At the HIGH level each principal of a message's scope has entries of its own."""
    loads = []

    @stream.subscriber("asked")
    @Cache().cache_function(expire=60, ignore=("context",), cache_level=CacheLevel.HIGH)
    async def mine(number: int, context: ContextRepo) -> str:
        loads.append(number)
        return context.get("message").headers["user-id"]

    async with TestRedisBroker(stream):
        assert [await stream.ask(1, **{"user-id": user}) for user in ("ann", "bob", "ann")] == ["ann", "bob", "ann"]
    assert loads == [1, 1]
    assert dict(current_scope()) == {}


@pytest.mark.real_time
async def test_faststream_loaders_ask_once_a_message(stream):
    """Inside one message's handler each key is loaded once; the next message's loads are its own."""
    batches = []

    @batched
    async def names(numbers):
        batches.append(sorted(numbers))
        return {number: f"item {number}" for number in numbers}

    @stream.subscriber("asked")
    async def twice(number: int) -> list[str]:
        return [await names(number), await names(number)]

    async with TestRedisBroker(stream):
        assert [await stream.ask(1) for _ in range(2)] == [["item 1", "item 1"]] * 2
    assert batches == [[1], [1]]


@pytest.mark.real_time
async def test_faststream_message_that_is_cancelled_ends_its_loads(stream):
    """What only its handler waited for is cancelled: the test fails if a task is left."""
    gate = Gate()

    @Cache().cache_function
    async def slow() -> None:
        await gate.enter()

    @stream.subscriber("asked")
    async def wait(number: int) -> None:
        await slow()

    async with TestRedisBroker(stream):
        asked = asyncio.ensure_future(stream.publish(1, "asked"))
        await gate.reached()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked


@pytest.mark.real_time
async def test_faststream_closes_the_cache_at_shutdown(stream, loading):
    """One line, as an argument of the application."""
    cache, caller = loading
    app = FastStream(stream, after_shutdown=[cache.aclose])
    async with TestRedisBroker(stream):
        await app.start()
        await app.stop()
    await asyncio.wait([caller])

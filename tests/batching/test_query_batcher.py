"""`AsyncQueryBatcher`: one gate for all callers, equal queries once."""

import asyncio
import random

import pytest

from asyncfan.batching import AsyncQueryBatcher
from asyncfan.context import deadline_scope, time_left
from asyncfan.exceptions import SelfCancelledError
from asyncfan.fanout import Limiter
from asyncfan.testing import Gate


async def select(x, seconds=1):
    """Return ``x`` after some seconds."""
    await asyncio.sleep(seconds)
    return x


async def test_all_callers_share_the_limit():
    """Nine queries of a second from three callers, three at a time, take three seconds."""
    queries = AsyncQueryBatcher(3)
    assert await asyncio.gather(
        *(queries.execute(select, i) for i in range(6)),
        queries.execute_many([lambda i=i: select(i) for i in range(3)]),
    ) == [0, 1, 2, 3, 4, 5, [0, 1, 2]]
    assert asyncio.get_running_loop().time() == 3


async def test_the_rate_spaces_queries():
    """At two a second the fourth query starts after 1.5 s."""
    queries = AsyncQueryBatcher(rate=2)
    await queries.execute_many([lambda: select(1, 0)] * 4)
    assert asyncio.get_running_loop().time() == 1.5


async def test_many_keeps_order_and_names():
    """A list gives a list in order, a mapping a dict with its keys."""
    queries = AsyncQueryBatcher()
    assert await queries.execute_many([lambda: select("a", 2), lambda: select("b", 1)]) == ["a", "b"]
    assert await queries.execute_many({"x": lambda: select("a", 2), "y": lambda: select("b", 1)}) == {
        "x": "a",
        "y": "b",
    }


async def test_equal_queries_in_flight_are_one():
    """With `key=`, callers of an equal query join it; a later one executes anew."""
    calls = []

    async def query(x):
        calls.append(x)
        return await select(x)

    queries = AsyncQueryBatcher(key=lambda query, x: x)
    assert await asyncio.gather(*(queries.execute(query, i % 2) for i in range(10))) == [i % 2 for i in range(10)]
    await queries.execute(query, 0)
    assert calls == [0, 1, 0]


async def test_an_error_reaches_all_who_joined_and_nobody_later():
    """Each joined caller gets the query's own exception; the next one starts afresh."""

    async def bad(x):
        await asyncio.sleep(1)
        raise KeyError(x)

    queries = AsyncQueryBatcher(key=lambda query, x: x)
    found = await asyncio.gather(*(queries.execute(bad, 1) for _ in range(3)), return_exceptions=True)
    assert [type(e) for e in found] == [KeyError] * 3
    assert await queries.execute(select, 1) == 1


async def test_a_cancelled_caller_harms_nobody():
    """Whichever caller of a shared query is cancelled, first or last, the others get the result."""
    for victim in range(3):
        queries = AsyncQueryBatcher(key=lambda query, x: x)
        callers = [asyncio.ensure_future(queries.execute(select, 1)) for _ in range(3)]
        await asyncio.sleep(0.5)
        callers[victim].cancel()
        found = await asyncio.gather(*callers, return_exceptions=True)
        assert [isinstance(e, asyncio.CancelledError) or e for e in found] == [i == victim or 1 for i in range(3)]


async def test_the_last_to_leave_cancels_the_query_and_waits():
    """When all callers are cancelled the query is too, and has ended when they return."""
    gate, ended = Gate(), []

    async def query(_):
        try:
            await gate.enter()
        finally:
            await asyncio.sleep(1)
            ended.append(True)

    queries = AsyncQueryBatcher(1, key=lambda query, x: x)
    callers = [asyncio.ensure_future(queries.execute(query, 1)) for _ in range(2)]
    await gate.reached()
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    assert ended == [True]
    assert all(caller.cancelled() for caller in callers)
    assert await queries.execute(select, 1) == 1


async def test_a_query_that_cancels_itself_is_an_error():
    """A joined query that raises CancelledError gives its callers SelfCancelledError."""

    async def leave(_):
        raise asyncio.CancelledError

    queries = AsyncQueryBatcher(key=lambda query, x: x)
    with pytest.raises(SelfCancelledError):
        await queries.execute(leave, 1)


async def test_a_shared_query_has_no_callers_deadline():
    """The first caller's deadline does not count for those who join."""

    async def look(_):
        return time_left()

    with deadline_scope(5, asyncio.get_running_loop().time):
        assert await AsyncQueryBatcher(key=lambda query, x: x).execute(look, 1) is None


async def test_foreign_cancellations_never_arrive():
    """In 2,000 seeded rounds of cancelling some callers, every other caller gets its own result."""
    rng = random.Random(3)
    queries = AsyncQueryBatcher(2, key=lambda query, x: x)

    async def query(x):
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)
        return x

    for _ in range(2000):
        wanted = [rng.randrange(3) for _ in range(rng.randrange(1, 7))]
        callers = [asyncio.ensure_future(queries.execute(query, x)) for x in wanted]
        for _ in range(rng.randrange(5)):
            await asyncio.sleep(0)
        victims = {i for i in range(len(callers)) if rng.random() < 0.4 and callers[i].cancel()}
        found = await asyncio.gather(*callers, return_exceptions=True)
        assert all(found[i] == x for i, x in enumerate(wanted) if i not in victims)
    assert (queries.limiter.running, queries.limiter.waiting, queries._flights) == (0, 0, {})


async def test_a_limiter_can_be_shared_with_others():
    """A limiter made elsewhere takes the place of the own one, and `repr` shows it."""
    limiter = Limiter("db", max_concurrency=1)
    queries = AsyncQueryBatcher(limiter=limiter, name="reports")
    async with limiter:
        task = asyncio.ensure_future(queries.execute(select, 1))
        await asyncio.sleep(5)
        assert not task.done()
        assert repr(queries) == "<AsyncQueryBatcher 'reports' <Limiter 'db' 1/1 running, 1 waiting>, 0 keys in flight>"
    assert await task == 1


@pytest.mark.parametrize("ticks", range(5))
async def test_a_query_that_fails_while_its_caller_leaves_loses_no_error(ticks):
    """Whenever the caller is cancelled, the query's error is its cause, or the caller's own end."""
    queries = AsyncQueryBatcher(key=lambda *_: 1)

    async def fail():
        await asyncio.sleep(1)
        raise ValueError("no")

    caller = asyncio.ensure_future(queries.execute(fail))
    await asyncio.sleep(1)
    for _ in range(ticks):
        await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises((asyncio.CancelledError, ValueError)):
        await caller

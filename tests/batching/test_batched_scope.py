"""`batched` inside ``async with scope()``: one request, each key once, nothing pending after it."""

import asyncio

import pytest

from asyncfan import batched
from asyncfan.context import current_scope, scope
from asyncfan.exceptions import ScopeEndedError
from asyncfan.testing import Gate


def loader():
    """Return a loader that fails for negative keys, and the keys of each call."""
    calls = []

    @batched
    async def load(keys):
        calls.append(keys)
        await asyncio.sleep(1)
        return [ValueError(key) if key < 0 else object() for key in keys]

    return load, calls


async def test_a_key_is_asked_for_once_in_a_scope():
    """Callers one after the other get the same object, `many` too; the next scope asks anew."""
    load, calls = loader()
    async with scope():
        first = await load(1)
        assert await load(1) is first
        assert (await load.many([1, 2]))[0] is first
    async with scope():
        assert await load(1) is not first
    await load(1)
    assert calls == [[1], [2], [1], [1]]
    assert load.stats().remembered == 2


async def test_scopes_share_loads_but_not_what_they_remember():
    """Callers of two scopes join the same load; clearing in one does not make the other forget."""
    load, calls = loader()

    async def request(clear):
        async with scope():
            found = [await load(1)]
            if clear:
                load.clear(1)
            return [*found, await load(1)]

    (a, b), (c, d) = await asyncio.gather(request(clear=False), request(clear=True))
    assert a is b is c
    assert d is not a
    assert calls == [[1], [1]]


async def test_failures_are_not_remembered():
    """A key that failed is asked for again."""
    load, calls = loader()
    async with scope():
        for _ in range(2):
            with pytest.raises(ValueError, match="-1"):
                await load(-1)
    assert calls == [[-1], [-1]]


async def test_prime_and_clear_are_the_scopes():
    """What is primed is not asked for in the scope, until it is cleared."""
    load, calls = loader()
    async with scope():
        load.prime(1, "known")
        load.prime(2, "known too")
        assert await load.many([1, 2]) == ["known", "known too"]
        load.clear(1)
        assert await load(1) != "known"
        assert await load(2) == "known too"
        load.clear()
        assert await load(2) != "known too"
    assert calls == [[1], [2]]


async def test_a_scope_declares_values_as_before():
    """``async with`` gives what ``with`` gives, and takes it back."""
    async with scope(tenant="a") as surroundings:
        with scope(locale="ko"):
            assert dict(current_scope()) == {"tenant": "a", "locale": "ko"}
        assert dict(surroundings) == {"tenant": "a"}
    assert dict(current_scope()) == {}


async def test_who_still_waits_at_the_exit_is_told():
    """A task that the block left behind gets ScopeEndedError; the batch, for it alone, has ended at the exit."""
    gate, ended = Gate(), []

    @batched
    async def load(keys):
        try:
            await gate.enter()
        finally:
            await asyncio.sleep(1)
            ended.append(keys)

    async with scope():
        left = asyncio.ensure_future(load(1))
        more = asyncio.ensure_future(load.many([1, 2]))
        await gate.reached()
    assert ended == [[1, 2]]
    for task in (left, more):
        with pytest.raises(
            ScopeEndedError, match=r"^load\(\) was still waited for when the async scope around the call"
        ):
            await task


async def test_a_scope_may_be_left_by_another_task_than_entered_it():
    """Whoever closes a generator with a scope in it: what waits there is told, and the other task keeps its own."""
    gate = Gate()

    @batched
    async def load(keys):
        await gate.enter()

    async def generator():
        async with scope(tenant="inner"):
            yield asyncio.ensure_future(load(1))

    async def first():
        return await anext(made)

    async def close():
        with scope(tenant="own"):
            await made.aclose()
            return dict(current_scope())

    made = generator()
    left = await asyncio.create_task(first())
    await gate.reached()
    assert await asyncio.create_task(close()) == {"tenant": "own"}
    with pytest.raises(ScopeEndedError):
        await left


async def test_the_exit_harms_no_other_scope():
    """A caller of another scope, or of none, still gets the result of the same load."""
    load, calls = loader()
    other = asyncio.ensure_future(load(1))
    async with scope():
        left = asyncio.ensure_future(load(1))
        await asyncio.sleep(0.5)
    assert isinstance(await other, object)
    with pytest.raises(ScopeEndedError):
        await left
    assert calls == [[1]]


async def test_what_is_not_sent_yet_at_the_exit_is_not_sent():
    """The key of a caller whose scope has ended is dropped from the open batch."""
    load, calls = loader()
    async with scope():
        left = asyncio.ensure_future(load(1))
        await asyncio.sleep(0)
    with pytest.raises(ScopeEndedError):
        await left
    assert calls == []


async def test_after_the_exit_a_task_of_the_scope_remembers_nothing():
    """A task that outlives its scope may ask on, as outside of one."""
    load, calls = loader()
    gate = Gate()

    async def later():
        await load(1)
        await gate.enter()
        await load(1)
        await load(1)

    async with scope():
        task = asyncio.ensure_future(later())
        await gate.reached()
    gate.open()
    await task
    assert calls == [[1], [1], [1]]


async def test_an_exit_that_is_cancelled_still_waits():
    """Leaving the block waits for the batches that nobody wants, and then raises the cancellation."""
    ended = []

    @batched
    async def load(keys):
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(1)
            ended.append(keys)

    async def request():
        async with scope():
            tasks.append(asyncio.ensure_future(load(1)))
            await asyncio.sleep(0.5)

    tasks = []
    leaving = asyncio.ensure_future(request())
    await asyncio.sleep(1)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert ended == [[1]]
    assert isinstance((await asyncio.gather(*tasks, return_exceptions=True))[0], ScopeEndedError)


async def test_a_scope_keeps_an_instance_no_longer_than_it_lasts():
    """Methods are remembered for each instance."""

    class Users:
        calls = 0

        @batched
        async def get(self, keys):
            self.calls += 1
            return keys

    a, b = Users(), Users()
    async with scope():
        assert await asyncio.gather(a.get(1), b.get(1)) == [1, 1]
        assert [await a.get(1), await b.get(1)] == [1, 1]
        a.get.clear()
        assert [await a.get(1), await b.get(1)] == [1, 1]
    assert (a.calls, b.calls) == (2, 1)

"""What our users test with keeps what `asyncfan.testing` promises."""

import asyncio
import contextlib
import random
import time

import pytest

from asyncfan.caching.shared.protocol import KEPT, Granted, Held, Ledger, Stored
from asyncfan.testing import DeadlockError, FailingStore, Gate, ManualClock, MemoryStore, run
from tests.caching.shared.single import lease, renew, write


def test_virtual_hour_takes_no_time():
    """A sleep of an hour ends at once, with the loop's clock an hour later."""

    async def main():
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert run(main()) == 3600


def test_wait_for_nothing_fails_instead_of_hanging():
    """A task that nothing can wake raises DeadlockError."""
    with pytest.raises(DeadlockError, match="every task waits for another and no timer is set"):
        run(asyncio.Event().wait())


def test_thread_is_given_time_before_the_clock_moves():
    """Short work in a thread ends before a timer of virtual seconds fires."""

    async def main():
        async with asyncio.timeout(1):
            return await asyncio.to_thread(time.monotonic) > 0

    assert run(main())


def test_gate_lets_through_only_when_open():
    """A task waits at a closed gate, and goes on when it is opened."""

    async def main():
        gate = Gate()
        task = asyncio.create_task(gate.enter())
        await gate.reached()
        waiting = not task.done()
        gate.open()
        await task
        return waiting, gate.entered

    assert run(main()) == (True, 1)


def test_manual_clock_moves_only_when_told():
    """The clock stands still until it is advanced."""
    clock = ManualClock(5)
    clock.advance(2.5)
    assert clock() == 7.5


# -- a server in this process ----------------------------------------------------------------------------------------


async def test_memory_store_gives_a_lease_to_one():
    """Of two clients one loads; the other is told for how long, and gets what was written."""
    here = MemoryStore()
    there = here.connect()
    assert isinstance(await lease(here, "user:1", "a", 3), Granted)
    assert await lease(there, "user:1", "b", 3) == Held(3)
    assert await write(here, "user:1", "a", b"Ada", None)
    assert await lease(there, "user:1", "b", 3) == Stored(b"Ada", None)
    assert isinstance(await lease(there, "user:1", "b", 3, unless=b"Ada"), Granted)


async def test_memory_store_forgets_in_virtual_time():
    """Values and leases end when the event loop's clock says so."""
    store = MemoryStore()
    await lease(store, "user:1", "a", 3)
    await write(store, "user:1", "a", b"Ada", 10)
    await lease(store, "user:2", "a", 3)
    await asyncio.sleep(4)
    assert await store.read(["user:1"]) == ([Stored(b"Ada", 6)], Ledger("run1"))
    assert isinstance(await lease(store, "user:2", "b", 3), Granted)  # it has run out
    assert not await renew(store, "user:2", "a", 3)
    await asyncio.sleep(6)
    assert await store.read(["user:1"]) == ([None], Ledger("run1"))
    await asyncio.sleep(KEPT * 3)
    assert not await renew(store, "user:2", "b", 3)  # nobody remembers whose it was


async def test_memory_store_remembers_clears():
    """Clears are counted, told to all listeners, and forgotten at once where there are too many."""
    store = MemoryStore(max_clears=2)
    async with contextlib.aclosing(store.listen()) as messages:
        assert await anext(messages) == b""
        assert await store.clear(patterns=["user:*"], tags=["red"], message='%(run)s %(number)d "*"') == 1
        assert await anext(messages) == b'run1 1 "*"'
    assert (await store.read([], ["red", "blue"]))[1] == Ledger("run1", 1, 0, {"red": 1})
    assert await store.ledger() == Ledger("run1", 1, 0, {"red": 1}, {"user:*": 1})
    await store.clear(tags=["blue"], message="")
    assert await store.ledger() == Ledger("run1", 2, 2)


async def test_memory_store_takes_the_lease_with_the_value():
    """A drop or a put leaves nothing to a load under way, and tells all listeners."""
    store = MemoryStore()
    async with contextlib.aclosing(store.connect().listen()) as messages:
        await anext(messages)
        await lease(store, "user:1", "a", 3)
        assert await store.drop(["user:1"], b"dropped") == 0
        assert not await write(store, "user:1", "a", b"Ada", None)
        await lease(store, "user:1", "a", 3)
        await store.put("user:1", b"Ada", None, b"put")
        assert not await write(store, "user:1", "a", b"Bea", None)
        assert [await anext(messages), await anext(messages)] == [b"dropped", b"put"]
    assert [names async for names in store.scan("user")] == [["user:1"]]
    assert await store.remove(["user:1", "user:2"]) == 1


async def test_memory_store_can_be_restarted():
    """Everything is lost then, and every listener knows."""
    store = MemoryStore()
    async with contextlib.aclosing(store.listen()) as messages:
        await anext(messages)
        await store.put("user:1", b"Ada", None, b"put")
        assert repr(store) == "<MemoryStore 1 values, 0 leases, 0 clears>"
        store.restart()
        assert await anext(messages) == b"put"
        with pytest.raises(ConnectionError, match="the connection is lost"):
            await anext(messages)
    assert len(store) == 0


# -- a server that fails ---------------------------------------------------------------------------------------------


async def test_failing_store_refuses_what_is_down():
    """One operation, or all until it is started again; each call is counted."""
    store = FailingStore(MemoryStore())
    store.down.add("read")
    with pytest.raises(ConnectionError, match="read is refused"):
        await store.read(["user:1"])
    assert isinstance(await lease(store, "user:1", "a", 3), Granted)
    store.stop()
    with pytest.raises(ConnectionError, match="lease is refused"):
        await lease(store, "user:1", "a", 3)
    store.start()
    assert await store.read(["user:1"]) == ([None], Ledger("run1"))
    assert store.calls == {"read": 2, "lease": 2}


async def test_failing_store_loses_replies():
    """The caller is told that it failed, yet it is done."""
    store = FailingStore(MemoryStore(), lost_replies=1.0)
    with pytest.raises(ConnectionError, match="the reply to put is lost"):
        await store.put("user:1", b"Ada", None, b"")
    store.lost_replies = 0
    assert (await store.read(["user:1"]))[0] == [Stored(b"Ada", None)]


async def test_failing_store_carries_out_what_was_given_up():
    """A request to a frozen server is on its way: it happens when the server thaws, whoever still waits."""
    store = FailingStore(MemoryStore(), delay=(0.1, 0.1))
    store.freeze()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await store.put("user:1", b"Ada", None, b"")
    assert repr(store) == "<FailingStore frozen, 1 requests on their way>"
    store.thaw()
    assert (await store.read(["user:1"]))[0] == [Stored(b"Ada", None)]
    assert repr(store) == "<FailingStore down: nothing, 0 requests on their way>"


async def test_failing_store_shuffles_messages():
    """With a seed, which messages are lost, repeated and overtaken is the same each time."""

    async def heard(seed):
        server = MemoryStore()
        store = FailingStore(
            server, message_delay=(0, 1), lost_messages=0.2, repeated_messages=0.2, random=random.Random(seed)
        )
        found = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5), contextlib.aclosing(store.listen()) as messages:
                found.append(await anext(messages))
                for n in range(20):
                    await server.drop([], b"%d" % n)
                async for message in messages:
                    found.append(message)  # noqa: PERF401 - what came before the end of time counts
        return found[1:]

    first, second = await heard(1), await heard(1)
    assert first == second
    assert len(set(first)) < 20
    assert len(set(first)) < len(first)
    assert first != sorted(first, key=int)

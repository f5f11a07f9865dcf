"""Each event loop has its own, which ends with it."""

import asyncio
import gc
import os
import threading

import pytest

from asyncfan.caching.shared.server.per_loop import PerLoop


class Thing:
    """Knows its event loop, and whether it was closed in it."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.closed = 0

    async def aclose(self):
        assert asyncio.get_running_loop() is self.loop
        await asyncio.sleep(0)
        self.closed += 1


@pytest.fixture
def things():
    """Things, made when asked for."""
    return PerLoop(Thing, Thing.aclose)


async def get(things):
    """Ask twice."""
    assert things.get() is things.get()
    return things.get()


def test_each_event_loop_has_one(things):
    """One after another."""
    one, other = asyncio.run(get(things)), asyncio.run(get(things))
    assert one is not other


def test_it_is_closed_when_its_event_loop_ends(things):
    """Without anybody having to think of it."""
    assert asyncio.run(get(things)).closed == 1
    assert repr(things) == "<PerLoop 0 event loops>"


def test_loops_in_threads_have_their_own(things):
    """At the same time."""
    found = []
    here = threading.Barrier(3)

    async def main():
        found.append(things.get())
        await asyncio.to_thread(here.wait, 10)

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 3


async def test_closing_closes_the_running_loops(things):
    """And the next one asked for is another."""
    one = things.get()
    await things.aclose()
    assert one.closed == 1
    assert things.get() is not one
    await things.aclose()
    await things.aclose()


async def test_it_is_closed_when_nobody_has_it_any_more():
    """The event loop goes on."""
    things = PerLoop(Thing, Thing.aclose)
    thing = things.get()
    del things
    gc.collect()
    for _ in range(5):
        await asyncio.sleep(0)
    assert thing.closed == 1


def test_a_loop_that_ended_without_notice_is_forgotten(things):
    """Nothing of it can be closed any more; it is not kept either."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(get(things))
    loop.close()
    del loop
    asyncio.run(get(things))
    gc.collect()
    assert len(things) == 0


def test_a_forked_child_has_its_own(things):
    """Its parent's is never touched, even if it goes on with the same event loop."""
    with asyncio.Runner() as runner:
        thing = runner.run(get(things))
        child = os.fork()
        if not child:
            try:
                os._exit(int(runner.run(get(things)) is thing))
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert runner.run(get(things)) is thing

"""The virtual-time loop keeps what `asyncfan.testing` promises."""

import asyncio
import time

import pytest

from asyncfan.testing import DeadlockError, Gate, ManualClock, run


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

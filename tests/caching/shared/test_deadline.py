"""A deadline that strikes at slow servers and not at busy event loops."""

import asyncio

import pytest

from asyncfan.caching.shared.server.deadline import Deadline


async def test_it_strikes_when_it_is_over():
    """Not before, not after."""
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        async with Deadline(10):
            await asyncio.sleep(11)
    assert loop.time() == pytest.approx(10)


async def test_it_leaves_alone_what_is_in_time():
    """And leaves no timer behind."""
    async with Deadline(10) as nothing:
        await asyncio.sleep(9.9)
    assert nothing is None
    await asyncio.sleep(100)


async def test_none_is_no_deadline():
    """As everywhere."""
    async with Deadline(None):
        await asyncio.sleep(1e6)


async def test_a_cancelled_caller_stays_cancelled():
    """It is not told of a timeout instead."""

    async def wait():
        async with Deadline(10):
            await asyncio.sleep(11)

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_other_errors_pass_through():
    """A ``TimeoutError`` of the inside, too."""
    with pytest.raises(ZeroDivisionError):
        async with Deadline(10):
            raise ZeroDivisionError
    with pytest.raises(TimeoutError, match="from inside"):
        async with Deadline(10):
            raise TimeoutError("from inside")


async def test_a_busy_event_loop_does_not_use_it_up():
    """An answer that is there when the loop comes back is taken, however late that is."""
    loop = asyncio.get_running_loop()
    answer = loop.create_future()
    async with Deadline(0.1):
        loop.call_later(0.01, answer.set_result, 42)
        loop.now += 1000  # somebody else has computed that long
        assert await answer == 42


def test_it_shows_how_much_of_it_is_over():
    """In twentieths."""
    assert repr(Deadline(1)) == "<Deadline 0/20 over>"

"""A server that is gone costs nobody more than the deadline, once it is known nearly nothing, and is found again."""

import asyncio
import logging
import time

import pytest

from asyncfan.caching.shared.server.guard import LAST_PAUSE, MAX_FAILURES, Guard, Unavailable
from asyncfan.testing import Gate, ManualClock


class Server:
    """Answers 42, unless ``error`` is to be raised or it is ``frozen``; counts the calls."""

    def __init__(self):
        self.calls = 0
        self.error = None
        self.frozen = False

    async def __call__(self):
        self.calls += 1
        if self.frozen:
            await asyncio.sleep(1e6)
        if self.error is not None:
            raise self.error
        return 42


@pytest.fixture
def server():
    """A server that answers."""
    return Server()


@pytest.fixture
def clock():
    """A clock at 0 s."""
    return ManualClock()


@pytest.fixture
def guard(clock):
    """A guard on the manual clock."""
    return Guard(name="the shared cache", clock=clock)


async def fail(guard, server, error=None):
    """Call once, and expect it to be unavailable."""
    server.error = error or server.error
    with pytest.raises(Unavailable) as caught:
        await guard(server)
    return caught.value


async def test_what_a_call_gives_passes_through(guard, server):
    """Nothing is added to it."""
    assert await guard(server) == 42
    assert repr(guard) == (
        "<Guard 'the shared cache' closed, opened 0 times, 0 failed, 0 of them timed out, 0 refused>"
    )


async def test_a_call_has_a_deadline(guard, server):
    """It is cancelled then."""
    server.frozen = True
    loop = asyncio.get_running_loop()
    began = loop.time()
    error = await fail(guard, server)
    assert loop.time() - began == pytest.approx(0.1)
    assert str(error) == "the shared cache did not answer in time"
    assert (guard.failed, guard.timed_out) == (1, 1)


async def test_no_deadline_is_none(server):
    """As everywhere."""
    assert await Guard(deadline=None)(lambda: asyncio.sleep(1e6, 7)) == 7


async def test_a_lost_connection_is_unavailability(guard, server):
    """Its error is the cause."""
    error = await fail(guard, server, ConnectionResetError("reset"))
    assert str(error) == "the shared cache cannot be reached: reset"
    assert error.__cause__ is server.error


async def test_a_few_failures_in_a_row_open_it(guard, server):
    """From then on the server is not touched."""
    server.error = ConnectionError("lost")
    for _ in range(MAX_FAILURES):
        assert guard.state == "closed"
        await fail(guard, server)
    assert guard.state == "open"
    await fail(guard, server)
    assert (server.calls, guard.opened, guard.refused) == (MAX_FAILURES, 1, 1)


async def test_failures_that_are_not_in_a_row_do_not_open_it(guard, server):
    """One unlucky connection now and then is normal."""
    for _ in range(10):
        await fail(guard, server, ConnectionError("lost"))
        server.error = None
        await guard(server)
    assert guard.state == "closed"


async def test_a_refused_connection_opens_it_at_once(guard, server):
    """There is nobody there."""
    await fail(guard, server, ConnectionRefusedError("refused"))
    assert guard.state == "open"
    assert str(await fail(guard, server)) == "the shared cache cannot be reached: refused"


async def test_what_an_open_one_refuses_costs_next_to_nothing(guard, server):
    """Less than a millisecond."""
    await fail(guard, server, ConnectionRefusedError())
    began = time.perf_counter()
    for _ in range(1000):
        await fail(guard, server)
    assert time.perf_counter() - began < 5
    assert server.calls == 1


async def test_a_frozen_server_costs_a_hundred_callers_one_deadline(guard, server):
    """They wait at the same time, and those that come later do not wait."""
    server.frozen = True
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(*(fail(guard, server) for _ in range(100)))
    await asyncio.gather(*(fail(guard, server) for _ in range(100)))
    assert loop.time() - began <= 0.11
    assert (server.calls, guard.opened, guard.refused) == (100, 1, 100)


async def test_an_error_of_one_command_passes_through_and_opens_nothing(guard, server):
    """The server answered, although with an error; it counts as a failure of that call."""
    server.error = ValueError("WRONGTYPE")
    for _ in range(10):
        with pytest.raises(ValueError, match="WRONGTYPE"):
            await guard(server)
    assert (guard.state, guard.failed) == ("closed", 10)


async def test_after_a_pause_one_probe_goes_through(guard, server, clock):
    """And only one at a time."""
    await fail(guard, server, ConnectionRefusedError())
    server.error = None
    gate = Gate()
    clock.advance(0.11)
    probe = asyncio.ensure_future(guard(gate.enter))
    await gate.reached()
    assert guard.state == "half open"
    await asyncio.gather(*(fail(guard, server) for _ in range(5)))
    gate.open()
    await probe
    assert guard.state == "closed"
    assert await guard(server) == 42


async def test_a_failed_probe_makes_the_pause_longer(guard, server, clock):
    """Up to a bound below a second, so that a restarted server is soon found."""
    await fail(guard, server, ConnectionRefusedError())
    probes = []
    for _ in range(400):
        clock.advance(0.01)
        calls = server.calls
        await fail(guard, server)
        if server.calls > calls:
            probes.append(clock())
    pauses = [after - before for before, after in zip([0.0, *probes], probes, strict=False)]
    assert pauses[:3] == pytest.approx([0.1, 0.2, 0.4], abs=0.02)
    assert max(pauses) <= LAST_PAUSE + 0.02
    assert guard.opened == 1


async def test_after_recovery_the_pause_is_short_again(guard, server, clock):
    """The next outage is another one."""
    for _ in range(2):
        await fail(guard, server, ConnectionRefusedError())
        clock.advance(0.11)
        server.error = None
        assert await guard(server) == 42
    assert guard.opened == 2


async def test_a_probe_that_gets_an_error_as_its_answer_closes_it(guard, server, clock):
    """Somebody answers."""
    await fail(guard, server, ConnectionRefusedError())
    clock.advance(0.11)
    server.error = ValueError("READONLY")
    with pytest.raises(ValueError, match="READONLY"):
        await guard(server)
    assert guard.state == "closed"


async def test_a_cancelled_probe_makes_way_for_the_next(guard, server, clock):
    """Its caller left; nobody else should have to wait for that."""
    await fail(guard, server, ConnectionRefusedError())
    clock.advance(0.11)
    gate = Gate()
    probe = asyncio.ensure_future(guard(gate.enter))
    await gate.reached()
    probe.cancel()
    await asyncio.wait([probe])
    assert guard.state == "open"
    server.error = None
    assert await guard(server) == 42
    assert guard.state == "closed"


async def test_a_probe_that_never_comes_back_is_replaced(guard, server, clock):
    """Its event loop died under it, or it was begun before a fork."""
    await fail(guard, server, ConnectionRefusedError())
    server.error = None
    clock.advance(0.11)
    lost = asyncio.ensure_future(guard(Gate().enter))
    await asyncio.sleep(0)
    clock.advance(0.21)
    assert await guard(server) == 42
    lost.cancel()
    await asyncio.wait([lost])
    assert guard.state == "closed"


async def test_a_late_probe_that_fails_after_another_one_closed_it_is_an_ordinary_failure(guard, server, clock):
    """Its caller is told that the server is unavailable, and the others go on."""
    await fail(guard, server, ConnectionRefusedError())
    server.error = None
    gate = Gate()

    async def late():
        await gate.enter()
        raise ConnectionError("reset")

    clock.advance(0.11)
    slow = asyncio.ensure_future(guard(late))
    await gate.reached()
    clock.advance(0.21)
    assert await guard(server) == 42
    gate.open()
    with pytest.raises(Unavailable, match="reset"):
        await slow
    assert (guard.state, guard.failed) == ("closed", 2)


async def test_a_call_from_before_does_not_close_it(guard, server):
    """Only a probe does: it asked after what went wrong."""
    gate = Gate()
    old = asyncio.ensure_future(guard(gate.enter))
    await gate.reached()
    await fail(guard, server, ConnectionRefusedError())
    gate.open()
    await old
    assert guard.state == "open"


async def test_a_cancelled_call_is_no_failure(guard):
    """The server did nothing wrong."""
    for _ in range(10):
        call = asyncio.ensure_future(guard(Gate().enter))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
    assert (guard.state, guard.failed) == ("closed", 0)


async def test_recovery_is_told(guard, server, clock):
    """To whoever has to catch up; once each time."""
    told = []
    guard.on_recovery.append(lambda: told.append(guard.state))
    await guard(server)
    assert told == []
    await fail(guard, server, ConnectionRefusedError())
    clock.advance(0.11)
    server.error = None
    await guard(server)
    await guard(server)
    assert told == ["closed"]


async def test_it_says_once_that_it_opens_and_that_it_closes(guard, server, clock, caplog):
    """A warning for the first, information for the second, nothing in between."""
    caplog.set_level(logging.DEBUG, logger="asyncfan")
    await fail(guard, server, ConnectionRefusedError("refused by cache.example:6379"))
    for _ in range(20):
        clock.advance(0.3)
        await fail(guard, server)
    clock.advance(1)
    server.error = None
    await guard(server)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "the shared cache cannot be reached: refused by cache.example:6379: going on without it"),
        ("INFO", "the shared cache answers again"),
    ]


async def test_a_busy_event_loop_is_not_the_servers_fault():
    """An answer that is there when the loop comes back is taken."""
    loop = asyncio.get_running_loop()
    guard = Guard(deadline=0.1)

    async def answer():
        done = loop.create_future()
        loop.call_later(0.01, done.set_result, 42)
        loop.now += 1000  # somebody else has computed that long
        return await done

    assert await guard(answer) == 42

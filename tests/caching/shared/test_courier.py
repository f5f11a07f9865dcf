"""Commands of all callers travel together, in tasks that no caller can cancel."""

import asyncio

import pytest

from asyncfan.caching.shared.server import courier as courier_module
from asyncfan.caching.shared.server.courier import Courier
from asyncfan.testing import Gate


class Server:
    """Answers each command with itself when its gate is open, and remembers what came together."""

    def __init__(self):
        self.trips = []
        self.gate = Gate()
        self.gate.open()

    async def __call__(self, commands):
        self.trips.append(list(commands))
        await self.gate.enter()
        return list(commands)


@pytest.fixture
def server():
    """A server that answers at once."""
    return Server()


@pytest.fixture
def slow(server):
    """A server that answers when its gate is opened."""
    server.gate = Gate()
    return server


async def test_commands_of_one_pass_travel_together(server):
    """In the order in which they came; each caller gets its own reply."""
    courier = Courier(server)
    replies = await asyncio.gather(*(courier.send((i,)) for i in range(5)))
    assert replies == [(i,) for i in range(5)]
    assert server.trips == [[(0,), (1,), (2,), (3,), (4,)]]


async def test_one_trip_takes_only_so_many(server):
    """The rest goes with the next."""
    courier = Courier(server, max_batch=2)
    await asyncio.gather(*(courier.send((i,)) for i in range(5)))
    assert [len(trip) for trip in server.trips] == [2, 2, 1]


async def test_only_so_many_trips_are_under_way(slow):
    """What comes meanwhile is gathered and goes together."""
    courier = Courier(slow, max_trips=2)
    calls = []
    for i in range(6):
        calls.append(asyncio.ensure_future(courier.send((i,))))
        await asyncio.sleep(0.1)
    assert slow.trips == [[(0,)], [(1,)]]
    assert repr(courier) == "<Courier 2/2 under way, 4 waiting>"
    slow.gate.open()
    await asyncio.gather(*calls)
    assert slow.trips[2] == [(2,), (3,), (4,), (5,)]


async def test_a_cancelled_caller_does_not_stop_its_trip(slow):
    """The others of the trip get their replies."""
    courier = Courier(slow)
    calls = [asyncio.ensure_future(courier.send((i,))) for i in range(3)]
    await slow.gate.reached()
    calls[0].cancel()
    await asyncio.sleep(0)
    slow.gate.open()
    assert await asyncio.gather(*calls[1:]) == [(1,), (2,)]
    assert calls[0].cancelled()
    assert len(slow.trips) == 1


async def test_a_trip_goes_on_when_all_its_callers_are_gone(slow):
    """Its connection must read the replies, or be closed."""
    courier = Courier(slow)
    call = asyncio.ensure_future(courier.send(("a",)))
    await slow.gate.reached()
    call.cancel()
    await asyncio.sleep(0)
    assert repr(courier) == "<Courier 1/4 under way, 0 waiting>"
    slow.gate.open()
    await asyncio.sleep(0.1)
    assert repr(courier) == "<Courier 0/4 under way, 0 waiting>"


async def test_what_nobody_waits_for_is_not_sent(slow):
    """A command whose caller left before it went."""
    courier = Courier(slow, max_trips=1)
    first = asyncio.ensure_future(courier.send(("first",)))
    await slow.gate.reached()
    calls = [asyncio.ensure_future(courier.send((i,))) for i in range(3)]
    await asyncio.sleep(0)
    calls[1].cancel()
    await asyncio.sleep(0)
    slow.gate.open()
    await asyncio.gather(first, calls[0], calls[2])
    assert slow.trips[1] == [(0,), (2,)]


async def test_no_trip_is_made_for_nobody(server):
    """All callers left before the loop's next pass."""
    courier = Courier(server)
    call = asyncio.ensure_future(courier.send(("a",)))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.sleep(0.1)
    assert server.trips == []


async def test_a_reply_that_is_an_error_fails_its_own_command():
    """The others of the trip are fine."""

    async def exchange(commands):
        return [ValueError("wrong type") if command == ("bad",) else command for command in commands]

    courier = Courier(exchange)
    good, bad, other = await asyncio.gather(
        courier.send(("good",)), courier.send(("bad",)), courier.send(("other",)), return_exceptions=True
    )
    assert (good, other) == (("good",), ("other",))
    assert repr(bad) == "ValueError('wrong type')"


async def test_a_lost_trip_fails_all_its_commands():
    """Each caller gets an exception of its own, with the one that was raised as its cause."""

    async def exchange(_commands):
        raise ConnectionResetError(104, "Connection reset")

    courier = Courier(exchange)
    errors = await asyncio.gather(*(courier.send((i,)) for i in range(3)), return_exceptions=True)
    assert {str(error) for error in errors} == {"[Errno 104] Connection reset"}
    assert {type(error) for error in errors} == {ConnectionResetError}
    assert len(set(map(id, errors))) == 3
    assert len({id(error.__cause__) for error in errors}) == 1


async def test_closing_ends_what_is_under_way(slow):
    """Whoever waits hears that it was closed; the courier can be used again."""
    courier = Courier(slow, max_trips=1)
    under_way = asyncio.ensure_future(courier.send(("a",)))
    await slow.gate.reached()
    waiting = asyncio.ensure_future(courier.send(("b",)))
    await asyncio.sleep(0)
    await courier.aclose()
    for call in (under_way, waiting):
        with pytest.raises(ConnectionAbortedError, match="the connections were closed"):
            await call
    slow.gate.open()
    assert await courier.send(("c",)) == ("c",)
    assert slow.trips == [[("a",)], [("c",)]]


async def test_a_trip_that_is_closed_before_it_began_strands_nobody(slow):
    """Its task never ran a step."""
    courier = Courier(slow)
    call = asyncio.ensure_future(courier.send(("a",)))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(courier.aclose()))
    with pytest.raises(ConnectionAbortedError):
        await call


async def test_its_tasks_have_a_name(slow):
    """Who looks at a dump of tasks sees whose they are."""
    courier = Courier(slow)
    call = asyncio.ensure_future(courier.send(("a",)))
    await slow.gate.reached()
    assert "asyncfan:courier" in {task.get_name() for task in asyncio.all_tasks()}
    slow.gate.open()
    await call


@pytest.mark.parametrize("seed", range(20))
async def test_random_cancellations_mix_no_replies_up(seed):
    """Whoever stays gets its own reply, whoever leaves and whenever."""
    import random

    choose = random.Random(seed)

    async def exchange(commands):
        await asyncio.sleep(choose.random())
        return list(commands)

    async def ask(courier, i):
        await asyncio.sleep(choose.random() * 5)
        assert await courier.send((i,)) == (i,)

    courier = Courier(exchange, max_trips=3, max_batch=7)
    calls = [asyncio.ensure_future(ask(courier, i)) for i in range(200)]
    for call in choose.sample(calls, 100):
        asyncio.get_running_loop().call_later(choose.random() * 6, call.cancel)
    await asyncio.wait(calls)
    assert all(call.cancelled() or call.exception() is None for call in calls)
    await asyncio.sleep(5)
    assert repr(courier) == "<Courier 0/3 under way, 0 waiting>"


def test_the_usual_bounds():
    """Few connections, and batches that end well before a deadline."""
    assert 4 <= courier_module.MAX_TRIPS <= 8
    assert courier_module.MAX_BATCH <= 1000

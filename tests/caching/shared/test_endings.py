"""Whatever is under way when something is closed, or its event loop ends, leaves nothing behind and loses nothing."""

import asyncio
import concurrent.futures
import gc
import socket
import threading
import warnings

import pytest

from asyncfan import Cache
from asyncfan.adapters.redis import RedisStore
from asyncfan.adapters.redis.listening import _next
from asyncfan.caching.shared import tier as tier_module
from asyncfan.caching.shared.portal import Portal, result_of
from asyncfan.caching.shared.protocol import Ledger
from asyncfan.caching.shared.server.guard import Guard
from asyncfan.caching.shared.tier import SharedTier
from asyncfan.http.in_thread import Thread, in_a_loop
from asyncfan.testing import MemoryStore


async def passes(number):
    """Let the event loop go on by so many passes."""
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.fixture
def unclosed():
    """What is complained of as left open."""
    with warnings.catch_warnings(record=True, action="always", category=ResourceWarning) as found:
        yield lambda: (gc.collect(), [str(each.message) for each in found])[1]


class Gated(MemoryStore):
    """A server some of whose methods, in event loops other than the test's own, go on when the test says so."""

    def __init__(self, *held):
        super().__init__()
        self.held = held
        self.arrived, self.gate = concurrent.futures.Future(), concurrent.futures.Future()
        self.stubborn = False  # a cancellation, too, comes through when the test says so only

    async def hold(self, name):
        """Wait at the gate; a method that is not held passes."""
        if name in self.held and threading.current_thread() is not threading.main_thread() and not self.gate.done():
            if not self.arrived.done():
                self.arrived.set_result(None)
            try:
                await result_of(self.gate)
            except asyncio.CancelledError:
                if self.stubborn:
                    await result_of(self.gate)
                raise

    async def read(self, *args):
        """See `Store.read`."""
        await self.hold("read")
        return await super().read(*args)

    async def drop(self, *args):
        """See `Store.drop`."""
        await self.hold("drop")
        return await super().drop(*args)

    async def aclose(self):
        """See `Store.aclose`."""
        await self.hold("aclose")
        await super().aclose()


async def given_up(closing, at):
    """Begin to close something, and give it up when it has come to ``at``."""
    task = asyncio.ensure_future(closing)
    await result_of(at)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# -- connections


@pytest.mark.real_time
@pytest.mark.parametrize("kind", ["plain", "cluster"])
def test_closing_that_is_given_up_leaves_no_socket(kind, request, unclosed):
    """However far it had come; nobody would close the rest."""
    url = request.getfixturevalue(kind).url

    async def main(number):
        store = RedisStore(url, timeout=2)
        names = [f"n{i}" for i in range(1000)]
        await asyncio.gather(*(store.read(names) for _ in range(3)))
        reading = asyncio.ensure_future(asyncio.gather(*(store.read([n]) for n in names[:300]), return_exceptions=True))
        await passes(3)
        closing = asyncio.ensure_future(store.aclose())
        await passes(number)
        closing.cancel()
        await asyncio.wait([closing, reading], timeout=5)
        reading.cancel()

    for number in range(6):
        asyncio.run(main(number))
    assert unclosed() == []


@pytest.mark.real_time
async def test_what_is_closed_opens_nothing_any_more(plain, connect):
    """Nobody would close that: whoever still asks is told."""
    store = connect(plain.url)
    node = store._server.client
    await node.call("PING")
    await store.aclose()
    for asking in (node.call("PING"), node.ask([("PING",)]), node.connect()):
        with pytest.raises(ConnectionAbortedError, match="the connections were closed"):
            await asking


@pytest.mark.real_time
async def test_what_is_asked_as_it_is_closed_keeps_no_connection(plain, connect, unclosed):
    """An errand that a moved slot sent on travels alone: it comes back, and its connection ends with it."""
    store = connect(plain.url)
    node = store._server.client
    await node.call("PING")
    asked = asyncio.ensure_future(node.ask([("PING",)]))
    await asyncio.sleep(0)
    await store.aclose()
    await asyncio.wait([asked])
    del node, asked
    assert unclosed() == []


@pytest.mark.real_time
async def test_closing_a_cluster_ends_its_being_looked_up(unclosed):
    """Whoever waits for the nodes is told, and does not begin anew."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = RedisStore(f"redis+cluster://127.0.0.1:{silent.getsockname()[1]}", timeout=0.5)
        reading = asyncio.ensure_future(store.read(["a"]))
        await passes(3)
        await store.aclose()
        with pytest.raises(ConnectionAbortedError, match="the connections were closed"):
            await reading
        assert "asyncfan:cluster" not in {task.get_name() for task in asyncio.all_tasks()}
    assert unclosed() == []


@pytest.mark.real_time
async def test_a_cluster_that_nobody_waits_for_any_more_may_be_out_of_reach():
    """No error goes unseen: whoever asked had less patience than it took."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = RedisStore(f"redis+cluster://127.0.0.1:{silent.getsockname()[1]}", timeout=0.01)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(store.read(["a"]), 0.005)
            await asyncio.wait([store._server.client._nodes._lookup])
        await store.aclose()


@pytest.mark.real_time
def test_a_greeting_given_up_just_as_it_ends_leaves_no_socket(authority, encrypted, unclosed, monkeypatch):
    """Asyncio itself would say goodbye to a server that may never answer."""
    gate = threading.Event()
    made = asyncio.StreamReaderProtocol.connection_made

    def made_and_cancelled(*args):
        made(*args)
        for task in asyncio.all_tasks():
            task.cancel()

    monkeypatch.setattr(asyncio.StreamReaderProtocol, "connection_made", made_and_cancelled)
    monkeypatch.setattr(encrypted, "_pump", lambda *_: gate.wait(10))
    store = RedisStore(f"rediss://127.0.0.1:{encrypted.port}/0?ssl_ca_certs={authority[1]}", timeout=2)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(store.read(["a"]))
    gate.set()
    assert unclosed() == []


@pytest.mark.parametrize("number", range(5))
async def test_listening_that_fails_just_as_it_is_given_up_leaves_no_error(number):
    """Nobody is there to see it."""

    class Failing:
        async def read_response(self):
            await asyncio.sleep(0)
            raise ConnectionError

    listening = asyncio.ensure_future(_next(Failing()))
    await passes(number)
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening


@pytest.mark.real_time
def test_a_requests_own_event_loop_leaves_no_socket(plain, unclosed):
    """As under a plain view of Flask or Django: each request that loads has one."""
    store = RedisStore(plain.url, timeout=2)

    async def request():
        await in_a_loop()
        return await store.read(["a"])

    for _ in range(3):
        assert Thread().serve(request()) == ([None], Ledger())
    assert unclosed() == []


# -- the thread that a tier sends and listens in


async def nothing():
    """There is nothing to be done last."""


@pytest.mark.real_time
async def test_a_portal_can_be_closed_by_two_at_once():
    """Both are told when it is, whatever the other one would have done last."""
    portal = Portal("asyncfan:here")
    assert await result_of(portal.start(asyncio.sleep(0, "begun"), "one")) == "begun"
    await asyncio.gather(portal.aclose(nothing), portal.aclose(lambda: asyncio.sleep(60)))
    assert "asyncfan:here" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.real_time
async def test_what_is_begun_while_a_portal_is_closed_is_done():
    """In a loop that comes after it."""
    portal = Portal("asyncfan:here")
    first = portal.start(asyncio.sleep(60), "first")
    arrived, gate, end = (concurrent.futures.Future() for _ in range(3))

    async def last():
        arrived.set_result(None)
        await result_of(gate)

    closing = asyncio.ensure_future(portal.aclose(last))
    await result_of(arrived)
    assert first.cancelled()
    second = portal.start(result_of(end), "second")
    gate.set_result(None)
    await closing
    end.set_result("done")
    assert await result_of(second) == "done"
    await portal.aclose(nothing)
    assert "asyncfan:here" not in {thread.name for thread in threading.enumerate()}


# -- tiers and caches


@pytest.fixture
async def tier_of():
    """Make tiers on a server; they are closed at the end."""
    made = []

    def make(store):
        made.append(SharedTier(store, guard=Guard(deadline=None)))
        return made[-1]

    yield make
    for tier in made:
        if not tier._store.gate.done():
            tier._store.gate.set_result(None)
        await tier.aclose()


class Told:
    """A memory tier that only notes what keys it is told of."""

    def __init__(self):
        self.texts = []

    def drop_texts(self, texts):
        self.texts += texts

    def drop_all(self):
        pass


@pytest.mark.real_time
async def test_a_tier_whose_closing_was_given_up_hears_of_invalidations_again(tier_of):
    """As soon as it is used again, even if the closing is still under way."""
    store = Gated("aclose")
    tier, other, told = tier_of(store), tier_of(Gated()), Told()
    other._store._server = store._server
    tier.attach(told)
    await tier.read(["a"])
    await given_up(tier.aclose(), store.arrived)
    await tier.read(["a"])
    async with asyncio.timeout(5):
        while not tier.stats().listening:
            await asyncio.sleep(0.001)
        store.gate.set_result(None)
        await other.drop(["a"])
        while not told.texts:
            await asyncio.sleep(0.001)
    assert tier.stats().losses == 0


@pytest.mark.real_time
async def test_an_invalidation_that_a_closing_cut_short_is_sent_when_the_tier_is_used_again(tier_of, monkeypatch):
    """Even if the cut came after the tier was used: it is refused no longer than that takes."""
    monkeypatch.setattr(tier_module, "CLOSING", 0.01)
    store = Gated("drop")
    store.stubborn = True
    tier = tier_of(store)
    notice = tier.drop(["a"])
    await result_of(store.arrived)
    closing = asyncio.ensure_future(tier.aclose())
    await asyncio.sleep(0.05)
    await tier.read(["a"])
    store.gate.set_result(None)
    await closing
    async with asyncio.timeout(5):
        while await tier.read(["a"]) is None:
            await asyncio.sleep(0.001)
    assert notice.confirmed


@pytest.mark.real_time
async def test_a_plain_function_whose_cache_is_closed_meanwhile_does_without_the_tier():
    """It is not the function that was closed."""
    store = Gated("read")
    cache = Cache(store=SharedTier(store, guard=Guard(deadline=None)))

    @cache.cache_function(expire=60, key_prefix="load")
    def load(number):
        return number

    loading = asyncio.ensure_future(asyncio.to_thread(load, 1))
    await result_of(store.arrived)
    await cache.aclose()
    assert await loading == 1
    await cache.aclose()


async def test_a_ledger_whose_fetch_never_began_is_fetched_again():
    """Its task was cancelled before its first step."""
    loop = asyncio.get_running_loop()
    tier = SharedTier(MemoryStore(), guard=Guard(clock=loop.time), portal=Portal("home", loop))
    catching_up = asyncio.ensure_future(tier._reader._catch_up(Ledger("run1", 1)))
    await asyncio.sleep(0)
    await tier._reader.aclose()
    await asyncio.wait([catching_up])
    await tier._reader._catch_up(Ledger("run1", 1))
    await tier.aclose()

"""The tier that processes share keeps what `SharedTier` promises; each node here is one process."""

import asyncio
import gc
import logging
import threading

import pytest

from asyncfan.caching.clears.patterns import Pattern
from asyncfan.caching.shared.leases import Lease
from asyncfan.caching.shared.portal import Portal
from asyncfan.caching.shared.protocol import Held
from asyncfan.caching.shared.rounds import MAX_PENDING
from asyncfan.caching.shared.server.guard import Guard
from asyncfan.caching.shared.tier import SharedTier
from asyncfan.testing import FailingStore, MemoryStore, run

LEASE = 3.0
GOOD = {"fresh": 60, "kept": 300}


class Told:
    """A memory tier that only notes what it is told."""

    def __init__(self):
        self.texts, self.patterns, self.tags, self.all = [], [], [], 0

    def drop_texts(self, texts):
        self.texts += texts

    def drop_patterns(self, patterns):
        self.patterns += patterns

    def drop_tags(self, tags):
        self.tags += tags

    def drop_all(self):
        self.all += 1


class Net:
    """A server, and the nodes that a test has started on it."""

    def __init__(self):
        self.server = MemoryStore()
        self.tiers = []

    def node(self):
        """Start another process: its tier, with ``.store`` and ``.told`` to hand."""
        loop = asyncio.get_running_loop()
        store = FailingStore(self.server.connect())
        tier = SharedTier(store, guard=Guard(clock=loop.time), lease=LEASE, portal=Portal("home", loop))
        tier.store, tier.told = store, Told()
        tier.attach(tier.told)
        self.tiers.append(tier)
        return tier


@pytest.fixture
async def net():
    """A server without nodes; those that the test starts are closed."""
    found = Net()
    yield found
    for tier in found.tiers:
        tier.store.start()
        tier.store.thaw()
        await tier.aclose()
        await tier.store.aclose()


async def stored(tier, text, value="new", **more):
    """Store a value as after a load."""
    lease = await tier.claim(text)
    assert await tier.write(lease, value, **{**GOOD, **more}) == "stored"


async def values(tier, *texts, tags=()):
    """Return what a node reads, None where there is nothing."""
    return [found and found.value for found in await tier.read(texts, tags) or [None] * len(texts)]


# -- reading -------------------------------------------------------------------------------------------------------


async def test_what_one_process_stores_another_reads(net):
    """A value comes with how long it is fresh and kept, its tags, validator and cost."""
    here, there = net.node(), net.node()
    await stored(here, "user:1", {"name": "Ada"}, tags=("red",), validator="v1", cost=0.5)
    await asyncio.sleep(10)
    (found,) = await there.read(["user:1"], ["red"])
    assert (found.value, found.fresh, found.kept) == ({"name": "Ada"}, 50, 290)
    assert (found.tags, found.validator, found.cost) == (("red",), "v1", 0.5)


async def test_thousand_keys_take_one_round_trip(net):
    """All keys of a read go together, when the copy of the ledger is there."""
    tier = net.node()
    await stored(tier, "user:1")
    await tier.read(["user:1"])
    before = tier.store.calls.total()
    found = await tier.read([f"user:{n}" for n in range(1_000)])
    assert tier.store.calls.total() - before == 1
    assert [n for n in range(1_000) if found[n]] == [1]


async def test_tags_that_were_not_asked_for_are_looked_up(net):
    """A value whose tags the reader did not know is refused if one of them was cleared."""
    here, there = net.node(), net.node()
    await stored(here, "user:1", tags=("red",))
    assert await values(there, "user:1") == ["new"]
    await here.clear(tags=["red"])
    assert await values(there, "user:1") == [None]


@pytest.mark.parametrize("data", [b"", b"garbage", b"\x80\x04K\x01." * 30])
async def test_bytes_of_strangers_are_a_miss_and_overwritten(net, data):
    """What is no value of ours is not served, and does not stop the next load from being stored."""
    tier = net.node()
    await net.server.put("user:1", data, None, b"{}")
    assert await values(tier, "user:1") == [None]
    await stored(tier, "user:1")
    assert await values(tier, "user:1") == ["new"]
    assert sum(tier.stats().unreadable.values()) == 1


async def test_ledger_that_is_lost_takes_all_values_with_it(net):
    """Where nobody knows any more what was cleared, nothing is served."""
    tier = net.node()
    await stored(tier, "user:1")
    net.server.evict()
    assert await values(tier, "user:1") == [None]


async def test_server_that_went_back_is_cleared(net):
    """A server that has forgotten clears may also have old values again: none of them is served."""
    here, there = net.node(), net.node()
    await stored(here, "user:1", "old")
    old = dict(net.server._server.values)
    await here.clear(patterns=[Pattern("user:1")])
    await values(there, "user:1")
    net.server._server.number, net.server._server.patterns = 0, {}
    net.server._server.values.update(old)
    await values(there, "user:2")
    await asyncio.sleep(0.1)
    assert await values(there, "user:1") == await values(here, "user:1") == [None]


async def test_ledger_that_fails_after_its_reader_left_is_not_reported(net):
    """Nobody has to look at the error of a request that nobody waits for any more."""
    here, there = net.node(), net.node()
    await stored(here, "user:1")
    asked, reports = asyncio.Event(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))

    async def ledger():
        asked.set()
        await asyncio.sleep(0.01)
        raise ConnectionError

    there.store.ledger = ledger
    reader = asyncio.create_task(there.claim("user:1"))
    await asked.wait()
    reader.cancel()
    await asyncio.wait([reader])
    assert reader.cancelled()
    del reader  # its traceback holds what it waited for
    await asyncio.sleep(1)
    gc.collect()
    assert reports == []


# -- leases --------------------------------------------------------------------------------------------------------


async def test_processes_load_a_key_once(net):
    """Of many processes that miss at once, one loads; the others wait for what it stores."""
    loads = []

    async def get(tier):
        claim = await tier.claim("user:1")
        if isinstance(claim, Lease):
            loads.append(tier)
            await asyncio.sleep(9 * LEASE)
            assert await tier.write(claim, "new", **GOOD) == "stored"
            return "new"
        return claim.value

    tiers = [net.node() for _ in range(4)]
    assert await asyncio.gather(*map(get, tiers)) == ["new"] * 4
    assert len(loads) == 1


async def test_lease_of_a_dead_process_is_taken_over(net):
    """Nobody waits longer than the lease for a process that died while it loaded."""
    here, dead = net.node(), net.node()
    dead.store.down.add("renew")
    await dead.claim("user:1")
    dead._leases._held.clear()
    began = asyncio.get_running_loop().time()
    lease = await here.claim("user:1")
    assert isinstance(lease, Lease)
    assert asyncio.get_running_loop().time() - began <= LEASE + 0.05
    await here.release(lease)


async def test_released_lease_is_free_at_once(net):
    """After a failed load, the next process loads."""
    here, there = net.node(), net.node()
    await here.release(await here.claim("user:1"))
    lease = await there.claim("user:1")
    assert isinstance(lease, Lease)
    await there.release(lease)


async def test_cancelled_claim_leaves_no_lease(net):
    """A lease that was granted to somebody who had left is given back."""
    here, there = net.node(), net.node()
    await here.read([])
    here.store.delay = (0.02, 0.02)
    task = asyncio.create_task(here.claim("user:1"))
    await asyncio.sleep(0.03)  # it is granted, the answer on its way
    task.cancel()
    await asyncio.sleep(0.05)
    lease = await there.claim("user:1")
    assert isinstance(lease, Lease)
    await there.release(lease)


async def test_many_leases_do_not_wait_for_others(net):
    """Keys that another process loads are told apart, so that nobody holds leases while it waits."""
    here, there = net.node(), net.node()
    other = await there.claim("user:2")
    first, second, third = await here.claim_many(["user:1", "user:2", "user:3"], [None] * 3)
    assert isinstance(first, Lease)
    assert isinstance(second, Held)
    assert isinstance(third, Lease)
    await asyncio.gather(here.release(first), here.release(third), there.release(other))


async def test_endless_load_elsewhere_is_not_waited_for_for_ever(net):
    """Two processes whose loads wait for each other's leases both go on in the end."""
    here, there = net.node(), net.node()
    lease = await there.claim("user:1")
    assert await here.claim("user:1") is None
    assert 30 <= asyncio.get_running_loop().time() < 31
    await there.release(lease)


async def test_forced_claim_takes_the_lease_away(net):
    """What the process loads that had the lease before is not stored."""
    here, there = net.node(), net.node()
    first = await here.claim("user:1")
    second = await there.claim("user:1", force=True)
    assert await here.write(first, "old", **GOOD) == "fenced"
    assert await there.write(second, "new", **GOOD) == "stored"


async def test_lost_lease_is_not_renewed_for_ever(net):
    """When the server says that a lease is another's, the process knows without asking."""
    tier = net.node()
    lease = await tier.claim("user:1")
    net.server.evict("user:1")
    await asyncio.sleep(LEASE)
    assert lease.lost
    assert await tier.write(lease, "old", **GOOD) == "fenced"


async def test_value_without_bytes_is_not_stored_and_frees_the_lease(net, caplog):
    """A value that no other process could read fails, in words, and the next one may load."""
    here, there = net.node(), net.node()
    assert await here.write(await here.claim("user:1"), object(), **GOOD) == "failed"
    assert "stays in this process only" in caplog.text
    lease = await there.claim("user:1")
    assert isinstance(lease, Lease)
    await there.release(lease)


# -- invalidation --------------------------------------------------------------------------------------------------

CLEARS = [
    lambda tier: tier.drop(["user:1"]),
    lambda tier: tier.clear(patterns=[Pattern("user:", tail=True)]),
    lambda tier: tier.clear(tags=["red"]),
    lambda tier: tier.clear(everything=True),
]


@pytest.mark.parametrize("clear", CLEARS)
async def test_slow_load_never_stores_what_was_cleared(net, clear):
    """What began to load before a clear in another process is not served after it (F30)."""
    here, there = net.node(), net.node()
    lease = await here.claim("user:1")
    await clear(there)
    await here.write(lease, "old", **GOOD, tags=("red",))
    assert await values(there, "user:1") == await values(here, "user:1") == [None]


@pytest.mark.parametrize("clear", CLEARS)
async def test_process_never_reads_back_what_it_cleared(net, clear):
    """From the call on, although the server has not heard of it yet, and whichever answer comes first."""
    tier = net.node()
    await stored(tier, "user:1", "old", tags=("red",))
    tier.store.delay = (0.01, 0.01)
    notice = clear(tier)
    assert await values(tier, "user:1") == [None]
    await notice


async def test_load_after_a_clear_is_stored(net):
    """A clear of a pattern means the values of before, not those to come."""
    here, there = net.node(), net.node()
    await stored(here, "user:1", "old")
    await there.clear(patterns=[Pattern("user:", tail=True)])
    await stored(here, "user:1", "new")
    assert await values(there, "user:1") == ["new"]


async def test_others_are_told_and_the_own_process_is_not(net):
    """Each invalidation reaches the memory of the other processes, once."""
    here, there = net.node(), net.node()
    await asyncio.gather(here.read([]), there.read([]))
    await here.drop(["user:1"])
    await here.clear(patterns=[Pattern("user:%2A", subtree=True)], tags=["red"])
    await here.clear(everything=True)
    await asyncio.sleep(0)
    told = there.told
    assert (told.texts, told.tags, told.all) == (["user:1"], ["red"], 1)
    assert told.patterns == [Pattern("user:%2A"), Pattern("user:%2A:", tail=True)]
    assert (here.told.texts, here.told.patterns, here.told.tags, here.told.all) == ([], [], [], 0)


async def test_clear_of_a_pattern_takes_the_values_out(net):
    """Awaiting the clear gives the number of values that are out of the server then."""
    tier = net.node()
    for text in ["user:1", "user:2~s:x", "users:1"]:
        await stored(tier, text)
    assert await tier.clear(patterns=[Pattern("user:2", subtree=True)]) == 1
    assert await tier.clear(patterns=[Pattern("user:1"), Pattern("users:", tail=True)]) == 2
    assert len(net.server) == 0


async def test_messages_of_strangers_drop_all(net):
    """What cannot be understood may have meant anything."""
    tier = net.node()
    await tier.read([])
    await net.server.drop([], b"what?")
    await asyncio.sleep(0.01)
    assert tier.told.all == 1


async def test_lost_connection_drops_what_memory_holds(net):
    """When messages may have been missed, memory starts anew as soon as messages arrive again."""
    tier = net.node()
    await tier.read([])
    assert tier.told.all == 0
    net.server.disconnect()
    await asyncio.sleep(1)
    assert tier.told.all == 1
    assert tier.stats().losses == 1


async def test_what_was_read_before_messages_arrive_is_dropped_when_they_do(net):
    """A process that could not listen at first drops what it has, since nobody told it of changes."""
    tier = net.node()
    tier.store.down.add("listen")
    await tier.read(["user:1"])
    tier.store.down.clear()
    await asyncio.sleep(1)
    assert tier.told.all == 1


# -- put -----------------------------------------------------------------------------------------------------------


async def test_put_value_reaches_the_others(net):
    """It is there for other processes, who drop what they had, and as it was when it was put."""
    here, there = net.node(), net.node()
    await there.read([])
    value = [1]
    notice = here.put("user:1", value, **GOOD)
    value.append(2)
    await notice
    assert await values(there, "user:1") == [[1]]
    assert there.told.texts == ["user:1"]


async def test_process_that_only_puts_hears_the_others(net):
    """Its memory holds what it put, which others may invalidate."""
    here, there = net.node(), net.node()
    await here.put("user:1", "old", **GOOD)
    await asyncio.sleep(0.01)
    await there.drop(["user:1"])
    await asyncio.sleep(0.01)
    assert here.told.texts == ["user:1"]


async def test_put_that_waits_does_not_come_after_a_later_clear(net):
    """Of a put and a clear that wait together, the clear has the last word."""
    tier = net.node()
    tier.store.delay = (0.01, 0.01)
    tier.drop(["user:2"])
    await asyncio.sleep(0.001)  # the drop is on its way: what comes now waits for the next round
    tier.put("user:1", "old", **GOOD)
    await tier.clear(patterns=[Pattern("user:1")])
    assert await values(tier, "user:1") == [None]


async def test_put_without_a_server_is_a_drop(net):
    """A value that could not be put in time is not put later, when it may no longer be true."""
    tier = net.node()
    await stored(tier, "user:1", "old")
    tier.store.stop()
    assert not await tier.put("user:1", "new", **GOOD).sent()
    tier.store.start()
    await asyncio.sleep(1)
    assert await values(tier, "user:1") == [None]


# -- a server in trouble -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["stop", "freeze"])
async def test_without_a_server_everybody_loads(net, trouble):
    """A hundred cold keys are told within 0.3 s to load without the tier, and nothing is raised."""
    tier = net.node()
    await tier.read([])
    lease = await tier.claim("user:0")
    getattr(tier.store, trouble)()

    async def get(n):
        return await tier.read([f"user:{n}"]), await tier.claim(f"user:{n}")

    began = asyncio.get_running_loop().time()
    assert await asyncio.gather(*(get(n) for n in range(100))) == [(None, None)] * 100
    assert asyncio.get_running_loop().time() - began <= 0.3
    assert await tier.write(lease, "new", **GOOD) == "failed"


async def test_frozen_server_delays_the_first_reader_shortly(net):
    """Whoever comes first waits a moment for messages to arrive, not for ever, and leaves nothing behind."""
    tier = net.node()
    tier.store.freeze()
    assert await values(tier, "user:1") == [None]
    assert asyncio.get_running_loop().time() <= 0.21


async def test_refusal_of_the_server_is_as_if_there_were_none(net, caplog):
    """A server that is out of memory or read-only raises for nobody, and the log names the error once."""

    class OutOfMemoryError(Exception):
        """As a client raises what a server answers."""

    async def refuse(*_, **__):
        raise OutOfMemoryError("maxmemory")

    tier = net.node()
    await tier.read([])
    tier.store.lease = refuse
    assert await tier.claim("user:1") is None
    assert await tier.claim("user:1") is None
    assert caplog.text.count("OutOfMemoryError: maxmemory") == 1


async def test_invalidation_without_a_server_is_reported_and_made_good(net, caplog):
    """It is said to be pending, sent within a second of the recovery, and nothing is read before."""
    caplog.set_level(logging.INFO, "asyncfan")
    here, there = net.node(), net.node()
    await stored(here, "user:1", "old")
    await stored(here, "user:2", "as it was")
    here.store.stop()
    notice = here.drop(["user:1"])
    assert await notice == 0
    assert not notice.confirmed
    assert here.stats().pending == 1
    assert "1 invalidations wait for it" in caplog.text
    await asyncio.sleep(60)
    here.store.start()
    assert await values(here, "user:2") == [None]
    await asyncio.sleep(1)
    assert notice.confirmed
    assert await values(there, "user:1") == [None]
    assert await values(here, "user:2") == ["as it was"]
    assert here.stats().pending == 0


async def test_too_many_pending_invalidations_become_one_of_everything(net):
    """The queue is bounded: above ten thousand, all is cleared (F14)."""
    tier = net.node()
    await stored(tier, "other:1", "old")
    tier.store.stop()
    for n in range(MAX_PENDING + 5):
        tier.drop([f"user:{n}"])
    assert 0 < tier.stats().pending <= MAX_PENDING
    tier.store.start()
    await asyncio.sleep(1)
    assert await values(tier, "other:1") == [None]
    assert tier.stats().pending == 0


async def test_same_key_waits_once(net):
    """Dropping one key over and over while the server is down fills nothing."""
    tier = net.node()
    tier.store.stop()
    for _ in range(MAX_PENDING + 5):
        tier.drop(["user:1"])
    assert tier.stats().pending == 1
    tier.store.start()
    await asyncio.sleep(1)


async def test_invalidations_that_come_together_travel_together(net):
    """A thousand drops at once take a few round trips."""
    tier = net.node()
    await asyncio.gather(*(tier.drop([f"user:{n}"]).sent() for n in range(1_000)))
    assert tier.store.calls["drop"] <= 4


async def test_closing_says_what_it_could_not_send(net, caplog):
    """Invalidations get a second to go out, and are sent after all when the tier is used again."""
    tier = net.node()
    tier.store.stop()
    notice = tier.drop(["user:1"])
    await tier.aclose()
    assert "closed before 1 invalidations reached it" in caplog.text
    tier.store.start()
    await tier.read([])
    await asyncio.sleep(1)
    assert notice.confirmed


# -- threads and event loops ---------------------------------------------------------------------------------------


@pytest.mark.real_time
def test_thread_without_event_loop_uses_the_tier():
    """Plain code reads, loads and clears, through the tier's own thread."""
    before = threading.enumerate()
    tier = SharedTier(MemoryStore())
    lease = tier.blocking(tier.claim("user:1"))
    assert tier.blocking(tier.write(lease, "new", **GOOD)) == "stored"
    assert tier.blocking(tier.read(["user:1"]))[0].value == "new"
    assert tier.drop(["user:1"]).wait(5) == 1
    asyncio.run(tier.aclose())
    assert not [x for x in threading.enumerate() if x not in before and x.name.startswith("asyncfan:")]


@pytest.mark.real_time
def test_tier_outlives_event_loops():
    """``asyncio.run`` twice, with an invalidation that nobody awaited at the end of the first."""
    server = MemoryStore()
    tier, other = SharedTier(server), SharedTier(server.connect())
    told = Told()
    other.attach(told)

    async def first():
        await other.read([])
        await stored(tier, "user:1", "old")
        tier.drop(["user:1"])

    async def second():
        async with asyncio.timeout(5):
            while not told.texts:
                await asyncio.sleep(0.001)
        found = await values(tier, "user:1")
        await stored(tier, "user:1")
        return found, await values(other, "user:1")

    asyncio.run(first())
    assert asyncio.run(second()) == ([None], ["new"])

    async def close():
        await tier.aclose()
        await other.aclose()

    asyncio.run(close())


@pytest.mark.real_time
def test_many_threads_and_loops_share_a_tier():
    """Four threads with a loop each load a key once between them."""
    tier = SharedTier(MemoryStore())
    loads = []

    async def get():
        claim = await tier.claim("user:1")
        if isinstance(claim, Lease):
            loads.append(claim)
            await asyncio.sleep(0.01)
            await tier.write(claim, "new", **GOOD)
            return "new"
        return claim.value

    results = []
    threads = [threading.Thread(target=lambda: results.append(asyncio.run(get()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["new"] * 4
    assert len(loads) == 1
    asyncio.run(tier.aclose())


@pytest.mark.real_time
def test_forked_child_has_nothing_of_the_parents():
    """A child begins with no thread, no leases and nothing pending; the parent goes on."""
    tier = SharedTier(MemoryStore())
    tier.blocking(tier.claim("user:1"))
    thread = tier._portal._thread
    tier.after_fork()
    assert repr(tier) == "<SharedTier not listening, 0 leases, 0 invalidations pending>"
    assert tier.blocking(tier.read(["user:1"])) == [None]
    asyncio.run(tier.aclose())
    assert thread.is_alive()


def test_lease_must_be_positive():
    """A lease of no time would be nobody's."""
    with pytest.raises(ValueError, match="lease must be > 0 seconds, got 0"):
        SharedTier(MemoryStore(), lease=0)


def test_reprs_show_the_state():
    """What matters of each object stands in its repr."""

    async def main():
        tier = SharedTier(MemoryStore(), portal=Portal("home", asyncio.get_running_loop()))
        lease = await tier.claim("user:1")
        notice = tier.drop(["user:1"])
        shown = [repr(tier), repr(lease), repr(notice), repr(tier._outbox), repr(tier._bus), repr(tier._portal)]
        await tier.release(lease)
        await notice
        shown += [repr(lease), repr(notice), repr(tier._clears)]
        await tier.aclose()
        return shown

    assert run(main()) == [
        "<SharedTier listening, 1 leases, 1 invalidations pending>",
        "<Lease of 'user:1', held>",
        "<Notice pending, 0 values>",
        "<Outbox 1 pending>",
        "<Bus connected, 0 losses>",
        "<Portal 'home' open>",
        "<Lease of 'user:1', ended>",
        "<Notice confirmed, 0 values>",
        "<Clears of run '' up to 0, 0 patterns>",
    ]

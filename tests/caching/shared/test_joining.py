"""What callers ask of a server at once is one question, and each of them leaves alone."""

import asyncio

import pytest

from asyncfan import Cache
from asyncfan.caching.shared import SharedTier, claiming
from asyncfan.caching.shared.portal import Portal
from asyncfan.caching.shared.server import joining
from asyncfan.caching.shared.server.guard import Guard, Unavailable
from asyncfan.caching.shared.server.joining import MAX_KEYS, MAX_LEASES, MAX_TRIPS, Joined
from asyncfan.caching.shared.server.per_loop import PerLoop
from asyncfan.caching.shared.server.turns import READS, WRITES, Turns
from asyncfan.testing import FailingStore, Gate, MemoryStore


class Server:
    """Answers each question with itself when its gate is open, and remembers what came together."""

    def __init__(self):
        self.asked = []
        self.gate = Gate()

    async def __call__(self, questions):
        self.asked.append(list(questions))
        await self.gate.enter()
        return list(questions)


@pytest.fixture
def server():
    """A server that answers when its gate is opened."""
    return Server()


async def test_questions_of_one_pass_are_asked_together(server):
    """One by one or many at a time: each gets its own answer."""
    joined = Joined(server)
    server.gate.open()
    answers = await asyncio.gather(joined((1,)), joined.each([(2,), (3,)]), joined((4,)))
    assert answers == [(1,), [(2,), (3,)], (4,)]
    assert server.asked == [[(1,), (2,), (3,), (4,)]]


async def test_a_cancelled_caller_leaves_the_others_their_answers(server):
    """What is asked already is answered, to those who still wait."""
    joined = Joined(server)
    calls = [asyncio.create_task(joined.each([(n,), (-n,)])) for n in range(1, 4)]
    await server.gate.reached()
    calls[1].cancel()
    await asyncio.sleep(0)
    server.gate.open()
    assert [await calls[0], await calls[2]] == [[(1,), (-1,)], [(3,), (-3,)]]
    assert calls[1].cancelled()


async def test_what_nobody_waits_for_any_more_is_not_asked(server):
    """All of a caller's questions go with it."""
    joined = Joined(server)
    before = []
    for n in range(MAX_TRIPS):
        before.append(asyncio.create_task(joined((n,))))
        await asyncio.sleep(0.1)
    gone = asyncio.create_task(joined.each([(-1,), (-2,)]))
    stays = asyncio.create_task(joined((-3,)))
    await asyncio.sleep(0.1)
    gone.cancel()
    await asyncio.sleep(0.1)
    server.gate.open()
    assert await stays == (-3,)
    assert server.asked[MAX_TRIPS:] == [[(-3,)]]
    await asyncio.gather(*before)


async def test_a_failure_is_everybodys():
    """Each gets an error of its own."""

    async def ask(_questions):
        raise Unavailable("the server did not answer in time")

    joined = Joined(ask)
    errors = await asyncio.gather(joined((1,)), joined.each([(2,), (3,)]), return_exceptions=True)
    assert [str(error) for error in errors] == ["the server did not answer in time"] * 2
    assert errors[0] is not errors[1]


async def test_whoever_waits_when_it_is_closed_does_without(server):
    """It can be used again."""
    joined = Joined(server)
    call = asyncio.create_task(joined((1,)))
    await server.gate.reached()
    await joined.aclose()
    with pytest.raises(Unavailable, match="the connections were closed"):
        await call
    server.gate.open()
    assert await joined((2,)) == (2,)


def test_each_event_loop_asks_for_itself():
    """No answer has to find its way to another thread."""

    async def ask(questions):
        return [(asyncio.get_running_loop(),) for _ in questions]

    joined = Joined(ask)

    async def main():
        assert await joined((1,)) == (asyncio.get_running_loop(),)

    asyncio.run(main())
    asyncio.run(main())
    assert repr(joined) == "<Joined in 0 event loops>"


def test_waiting_questions_are_soon_asked():
    """With all the time that a server may take they go faster than an event loop asks: nothing piles up."""
    assert MAX_KEYS * MAX_TRIPS / Guard().deadline >= 20_000
    assert MAX_LEASES * MAX_TRIPS / Guard().deadline >= 5_000


async def test_what_was_begun_is_ended_before_more_is_begun():
    """The line lets writes go before reads that have waited longer; but never more at once than it has room for."""
    asked, gate = [], Gate()

    async def ask(questions):
        asked.append(questions)
        await gate.enter()
        return questions

    turns = PerLoop(lambda: Turns(3, 10), lambda _: asyncio.sleep(0))
    writes, reads = (Joined(ask, turns.get, place=place) for place in (WRITES, READS))
    calls = [asyncio.create_task(reads.each([(n,)] * 10)) for n in range(4)]
    await asyncio.sleep(0.1)
    calls += [asyncio.create_task(writes.each([("w",)] * 10)) for _ in range(2)]
    await asyncio.sleep(0.1)
    assert [questions[0] for questions in asked] == [(0,), (1,), ("w",)]  # two of a kind, three in all
    gate.open()
    await asyncio.gather(*calls)
    assert [questions[0] for questions in asked[3:]] == [("w",), (2,), (3,)]


async def test_questions_of_one_pass_stay_together_whoever_arrives_in_it(server):
    """What others of the line do in the middle of a pass parts none of its questions."""
    turns = PerLoop(lambda: Turns(3, 10), lambda _: asyncio.sleep(0))
    reads = Joined(server, turns.get, place=READS)
    first = asyncio.create_task(reads(1))
    asyncio.get_running_loop().call_soon(turns.get().depart)
    second = asyncio.create_task(reads(2))
    server.gate.open()
    assert await asyncio.gather(first, second) == [1, 2]
    assert server.asked == [[1, 2]]


# -- the tier


@pytest.fixture
async def node():
    """Make a cache in virtual time, as one process has it; `store` counts what it asks."""
    loop, server, made = asyncio.get_running_loop(), MemoryStore(), []

    def make(*, lease=3.0, **options):
        store = FailingStore(server.connect(), delay=(0.01, 0.01))
        tier = SharedTier(store, guard=Guard(clock=loop.time), lease=lease, portal=Portal("home", loop))
        cache = Cache(store=tier, clock=loop.time, **options)
        cache.shared = store
        made.append(cache)
        return cache

    yield make
    for cache in made:
        await cache.aclose()


async def crowd(cache, loads, number=200):
    """Call a function with many keys at once; returns how often the server was asked for what."""

    @cache.cache_function(expire=100, key_prefix="f", tags="n:{n}")
    async def f(n):
        loads.append(n)
        return n

    assert await asyncio.gather(*map(f, range(number))) == list(range(number))
    while cache.writes:
        await asyncio.sleep(0.01)
    return {name: cache.shared.calls[name] for name in ("read", "lease", "write", "ledger")}


async def test_cold_keys_asked_for_at_once_are_read_leased_and_written_together(node):
    """Three round trips for all; in another process, one that finds them, and one for the ledger."""
    loads = []
    assert await crowd(node(), loads) == {"read": 1, "lease": 1, "write": 1, "ledger": 0}
    assert await crowd(node(), loads) == {"read": 1, "lease": 0, "write": 0, "ledger": 1}
    assert loads == list(range(200))


async def test_failing_loads_give_their_leases_back_together(node):
    """A crowd of them is no crowd to the server."""
    cache = node()

    @cache.cache_function(expire=100, key_prefix="f")
    async def f(n):
        raise ZeroDivisionError

    await asyncio.gather(*map(f, range(200)), return_exceptions=True)
    assert cache.shared.calls["release"] == 1


async def test_leases_are_renewed_together(node):
    """Two hundred slow loads send one request a second."""
    cache = node()

    @cache.cache_function(expire=100, key_prefix="f")
    async def f(n):
        await asyncio.sleep(2.5)

    await asyncio.gather(*map(f, range(200)))
    assert cache.shared.calls["renew"] == 2


async def test_a_lease_is_renewed_while_its_write_waits_its_turn(node):
    """What was loaded in time is stored, however long the server takes for what others write."""
    cache = node(lease=0.3)
    tier, write = cache.tier, cache.shared.write
    tier._ask._guard.deadline = None

    async def slowly(writes):
        await asyncio.sleep(0.5)
        return await write(writes)

    cache.shared.write = slowly
    ends = []
    for lease in [await tier.claim(f"k{n}") for n in range(3)]:
        ends.append(asyncio.create_task(tier.write(lease, 0, fresh=60, kept=60)))
        await asyncio.sleep(0.05)  # one by one: they need a trip each
    assert await asyncio.gather(*ends) == ["stored"] * 3


async def test_leases_are_renewed_while_more_are_asked_for(node, monkeypatch):
    """Many are granted one after the other; the first ones are still held when the last ones are there."""
    for module in (joining, claiming):
        monkeypatch.setattr(module, "MAX_LEASES", 25)
    cache = node(lease=1.0)
    cache.tier._ask._guard.deadline = None
    cache.shared.delay = (0.15, 0.15)
    texts = [f"k{n}" for n in range(10 * 25)]
    leases = await cache.tier.claim_many(texts, [None] * len(texts))
    assert not [lease for lease in leases if lease.lost]
    assert await cache.tier.write(leases[0], 0, fresh=60, kept=60) == "stored"
    for lease in leases[1:]:
        await cache.tier.release(lease)


async def test_cancelled_in_the_middle_of_many_leases_gives_all_back(node):
    """Those that it had been granted, and those that it had asked for."""
    cache = node()
    texts = [f"k{n}" for n in range(2 * MAX_LEASES)]
    claim = asyncio.create_task(cache.tier.claim_many(texts, [None] * len(texts)))
    while not cache.tier._leases:
        await asyncio.sleep(0.005)
    claim.cancel()
    await asyncio.wait([claim])
    await asyncio.sleep(0.1)
    assert not cache.tier._leases
    for text in (texts[0], texts[-1]):
        await cache.tier.release(await asyncio.wait_for(cache.tier.claim(text), 0.1))


async def test_a_slow_renewal_is_not_asked_for_twice(node):
    """One that waits for its answer is enough: they would pile up."""
    cache = node(lease=0.3)
    cache.tier._ask._guard.deadline = None
    lease = await cache.tier.claim("k")
    before = cache.shared.calls["renew"]
    cache.shared.delay = (0.25, 0.25)
    await asyncio.sleep(0.3)
    assert cache.shared.calls["renew"] - before == 1
    cache.shared.delay = (0, 0)
    await cache.tier.release(lease)


async def test_fewer_leases_than_values_go_together(node):
    """Each is held until what was loaded is written: the first of them must not wait for a thousand others."""
    assert await crowd(node(), [], 1_000) == {"read": 1, "lease": 4, "write": 4, "ledger": 0}


async def test_a_slow_server_answers_a_crowd_larger_than_one_request(node, monkeypatch):
    """The last keys wait for the others, longer than the deadline: that is the server's alone."""
    monkeypatch.setattr(joining, "MAX_KEYS", 25)
    cache = node()
    cache.shared.delay = (0.04, 0.04)
    assert (await crowd(cache, [], 200))["write"] == 8
    assert cache.tier.stats().unavailable == 0
    assert cache.tier.stats().stored == 200


@pytest.mark.parametrize(("number", "deadlines"), [(100, 1), (200, 1), (400, 2)])
async def test_a_frozen_server_holds_a_crowd_up_for_one_deadline(node, number, deadlines, monkeypatch):
    """Whom it gave no value in time does not ask it for a lease; a crowd of more than two requests waits once more."""
    monkeypatch.setattr(joining, "MAX_KEYS", 100)
    cache = node()
    await crowd(cache, [], 1)
    cache.shared.freeze()
    began, leases = asyncio.get_running_loop().time(), cache.shared.calls["lease"]
    loads = []
    await crowd(cache, loads, number)
    assert asyncio.get_running_loop().time() - began <= deadlines * 0.1 + 0.01
    assert cache.shared.calls["lease"] == leases
    assert len(loads) == number
    cache.shared.thaw()


async def test_a_frozen_server_holds_the_third_crowd_up_no_more(node):
    """Two questions in a row without an answer are enough: who comes then does without the server at once."""
    cache = node()
    await crowd(cache, [], 1)
    cache.shared.freeze()
    loop, seconds = asyncio.get_running_loop(), []
    for _ in range(4):
        began = loop.time()
        await crowd(cache, [], 100)
        seconds.append(loop.time() - began)
    assert seconds == pytest.approx([0.1, 0.1, 0, 0], abs=0.011)
    cache.shared.thaw()

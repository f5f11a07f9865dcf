"""What every `Store` promises, whatever is behind it: each sentence of the protocol, over each kind of server."""

import asyncio
import contextlib
import random
import time
from urllib.parse import quote

import pytest

from asyncfan.caching.shared.protocol import HEAD, Granted, Held, Ledger, Stored
from asyncfan.testing import MemoryStore

from .single import lease, release, renew, write

pytestmark = pytest.mark.real_time

DATA = b"h" * HEAD + b"data \0\r\n\xff"
OTHER = b"o" * HEAD + b"other"


# {kind: (the test's fixtures) -> () -> a store, each as another process would have it}
KINDS = {
    "memory": lambda _get: MemoryStore().connect,
    "plain": lambda get: lambda: get("connect")(get("plain").url),
    "password": lambda get: (
        lambda: get("connect")(
            f"redis://default:{quote(get('guarded').password, safe='')}@127.0.0.1:{get('guarded').port}/0"
        )
    ),
    "tls": lambda get: (
        lambda: get("connect")(f"rediss://127.0.0.1:{get('encrypted').port}/0?ssl_ca_certs={get('authority')[1]}")
    ),
    "unix": lambda get: lambda: get("connect")(f"unix://{get('plain').socket}"),
    "cluster": lambda get: lambda: get("connect")(get("cluster").url),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def process(request, connect):
    """Return another process's view of one and the same server."""
    return request.param(request.getfixturevalue)


@pytest.fixture
def store(process):
    """One process's view."""
    return process()


async def hold(store, name, token, data, seconds=None):
    """Write a value the way a load does."""
    assert isinstance(await lease(store, name, token, 10, force=True), Granted)
    assert await write(store, name, token, data, seconds)


async def until(true, timeout=5.0):
    """Wait until ``await true()`` is."""
    deadline = time.monotonic() + timeout
    while not await true():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.005)


async def names_of(store, start):
    """Everything that a scan yields."""
    return [name for names in [names async for names in store.scan(start)] for name in names]


@contextlib.asynccontextmanager
async def listening(store):
    """A connected listener."""
    messages = store.listen()
    assert await heard(messages) == b""
    yield messages
    await messages.aclose()


async def heard(messages):
    """The next message; it must come soon."""
    return await asyncio.wait_for(anext(messages), 10)


# -- reading


async def test_read_returns_what_was_written_in_the_order_of_the_names(store):
    """Each name's bytes are those that were written, and None stands where there is nothing."""
    await hold(store, "a:1", "t", DATA)
    await hold(store, "b:2", "t", OTHER)
    values, _ = await store.read(["b:2", "nothing", "a:1", "b:2"])
    assert values == [Stored(OTHER, None), None, Stored(DATA, None), Stored(OTHER, None)]


async def test_read_of_nothing_returns_the_ledger(store):
    """No names are fine."""
    assert await store.read([]) == ([], Ledger())


async def test_no_ledger_is_an_empty_one(store):
    """Reading makes none."""
    assert await store.ledger() == Ledger()
    assert (await store.read(["a"], ["tag"]))[1] == Ledger()


async def test_a_value_says_how_long_it_is_left(store):
    """Seconds until the server drops it; None if it does not."""
    await hold(store, "short", "t", DATA, 20)
    await hold(store, "long", "t", DATA)
    (short, long), _ = await store.read(["short", "long"])
    assert 15 < short.left <= 20
    assert long.left is None


async def test_an_expired_value_is_gone(store):
    """The server drops it by itself."""
    await hold(store, "a", "t", DATA, 0.05)

    async def gone():
        return (await store.read(["a"]))[0] == [None]

    await until(gone)


async def test_a_thousand_names_are_read_at_once(store):
    """Their values come in order."""
    await asyncio.gather(*(hold(store, f"n:{i}", "t", b"%d" % i) for i in range(0, 1000, 7)))
    values, ledger = await store.read([f"n:{i}" for i in range(1000)])
    assert [None if v is None else int(v.data) for v in values] == [None if i % 7 else i for i in range(1000)]
    assert ledger.run


async def test_more_than_a_thousand_names_are_read_too(store):
    """There is no limit."""
    await hold(store, "n:0", "t", DATA)
    values, _ = await store.read([f"n:{i % 2}" for i in range(2500)])
    assert values == [Stored(DATA, None), None] * 1250


async def test_names_may_have_any_printable_character(store):
    """Quotes, percent signs, dollars and dots are nothing special."""
    name = "a:%3A:\"'!#$%&()+,-./:;<=>@^_`|~:z"
    await hold(store, name, "t", DATA)
    assert (await store.read([name]))[0] == [Stored(DATA, None)]
    assert await names_of(store, "a:%3A:\"'!#$%&(") == [name]


async def test_the_ledger_is_not_older_than_the_values(process):
    """While one process clears and writes, another never sees a value with a number above the ledger's."""
    writer, reader = process(), process()
    choose = random.Random(3)
    done = False

    async def write():
        nonlocal done
        for _ in range(100):
            number = await writer.clear(tags=["t"], message="")
            await asyncio.sleep(choose.random() * 0.002)
            await asyncio.gather(*(writer.put(f"n{i}", b"%d" % number, None, b"") for i in range(4)))
        done = True

    async def read():
        while not done:
            await asyncio.sleep(0)  # a store that needs no network does not wait by itself
            values, ledger = await reader.read(["n0", "n1", "n2", "n3"])
            assert all(v is None or int(v.data) <= ledger.number for v in values)

    await asyncio.gather(write(), read())


# -- leases


async def test_a_lease_is_granted_to_one_only(process):
    """Of many that ask at once, one is to load; all others hear for how long at most."""
    answers = await asyncio.gather(*(lease(process(), "a", f"t{i}", 10) for i in range(10)))
    assert sum(isinstance(answer, Granted) for answer in answers) == 1
    assert all(0 < answer.left <= 10 for answer in answers if isinstance(answer, Held))


async def test_a_lease_makes_the_ledger(store):
    """A value can then carry its run and number."""
    granted = await lease(store, "a", "t", 10)
    assert granted.ledger.run
    assert granted.ledger == Ledger(granted.ledger.run, 0, 0) == await store.ledger()


async def test_a_later_lease_finds_the_ledger_as_it_is(store):
    """The run stays, the number counts."""
    first = await lease(store, "a", "t", 10)
    await store.clear(patterns=["x"], message="")
    second = await lease(store, "b", "t", 10)
    assert (second.ledger.run, second.ledger.number) == (first.ledger.run, 1)


async def test_a_lease_is_not_needed_where_there_is_a_value(store):
    """It is returned with the time it has left."""
    await hold(store, "a", "t", DATA, 20)
    stored = await lease(store, "a", "t2", 10)
    assert isinstance(stored, Stored)
    assert stored.data == DATA
    assert 15 < stored.left <= 20


async def test_a_value_of_no_use_is_no_obstacle(store):
    """It is known by its first bytes."""
    await hold(store, "a", "t", DATA)
    assert isinstance(await lease(store, "a", "t2", 10, unless=DATA[:HEAD]), Granted)


async def test_another_value_than_the_useless_one_is_returned(store):
    """Somebody has loaded it meanwhile."""
    await hold(store, "a", "t", OTHER)
    assert await lease(store, "a", "t2", 10, unless=DATA[:HEAD]) == Stored(OTHER, None)


async def test_a_value_shorter_than_a_head_is_compared_whole(store):
    """Foreign bytes that are of no use do not stop loads for ever."""
    await store.put("a", b"junk", None, b"")
    assert isinstance(await lease(store, "a", "t", 10, unless=b"junk"), Granted)


async def test_an_empty_value_of_no_use_is_no_obstacle(store):
    """Nothing can be shorter."""
    await store.put("a", b"", None, b"")
    assert await lease(store, "a", "t", 10) == Stored(b"", None)
    assert isinstance(await lease(store, "a", "t", 10, unless=b""), Granted)


async def test_a_lease_can_be_forced(store):
    """It is taken from whoever has it, whatever is stored, and the other one can no longer write."""
    await hold(store, "a", "t", DATA)
    await lease(store, "a", "t1", 10, unless=DATA[:HEAD])
    assert isinstance(await lease(store, "a", "t2", 10, force=True), Granted)
    assert not await write(store, "a", "t1", OTHER, None)
    assert (await store.read(["a"]))[0] == [Stored(DATA, None)]


async def test_an_expired_lease_goes_to_the_next(store):
    """Its holder has died; it cannot write any more if it has not."""
    await lease(store, "a", "t1", 0.05)

    async def granted():
        return isinstance(await lease(store, "a", "t2", 10), Granted)

    await until(granted)
    assert not await write(store, "a", "t1", DATA, None)


async def test_a_lease_that_has_run_out_stays_its_holders_until_another_asks(store):
    """Its holder was only held up: what it has loaded is not lost if nobody else has begun to load it."""
    for name in ("a", "b"):
        await lease(store, name, "t1", 0.1)
    await asyncio.sleep(0.2)
    assert await write(store, "a", "t1", DATA, None)
    assert await renew(store, "b", "t1", 10)
    assert isinstance(await lease(store, "b", "t2", 10), Held)
    await store.drop(["b"], b"")
    assert not await write(store, "b", "t1", DATA, None)


async def test_asking_again_with_the_same_token_is_granted(store):
    """The answer to the first question may have been lost."""
    await lease(store, "a", "t", 10)
    assert isinstance(await lease(store, "a", "t", 10), Granted)


async def test_a_renewed_lease_lives_longer(store):
    """From now on, for as long as is said."""
    await lease(store, "a", "t1", 10)
    assert await renew(store, "a", "t1", 30) is True
    assert 25 < (await lease(store, "a", "t2", 10)).left <= 30


async def test_a_lease_of_another_is_not_renewed(store):
    """Its holder learns that it has lost it."""
    await lease(store, "a", "t1", 10)
    assert await renew(store, "a", "t2", 30) is False
    assert await renew(store, "b", "t2", 30) is False
    assert (await lease(store, "a", "t2", 10)).left <= 10


async def test_a_released_lease_goes_to_the_next(store):
    """At once."""
    await lease(store, "a", "t1", 10)
    await release(store, "a", "t1")
    assert isinstance(await lease(store, "a", "t2", 10), Granted)


async def test_a_lease_of_another_is_not_released(store):
    """A late holder takes nothing from the next one."""
    await lease(store, "a", "t1", 10)
    await release(store, "a", "t2")
    assert isinstance(await lease(store, "a", "t3", 10), Held)


# -- writing


async def test_a_write_ends_the_lease(store):
    """The next one finds the value, and once that is dropped, a free lease."""
    await lease(store, "a", "t1", 10)
    assert await write(store, "a", "t1", DATA, None) is True
    assert await lease(store, "a", "t2", 10) == Stored(DATA, None)
    await store.remove(["a"])
    assert isinstance(await lease(store, "a", "t2", 10), Granted)


async def test_a_write_without_the_lease_changes_nothing(store):
    """Not without any, nor with another's token, nor twice (F30)."""
    assert await write(store, "a", "t1", DATA, None) is False
    await lease(store, "a", "t1", 10)
    assert await write(store, "a", "t2", DATA, None) is False
    assert (await store.read(["a"]))[0] == [None]
    assert await write(store, "a", "t1", DATA, None) is True
    assert await write(store, "a", "t1", OTHER, None) is False
    assert (await store.read(["a"]))[0] == [Stored(DATA, None)]


async def test_a_write_replaces_value_and_expiry(store):
    """Nothing of the old one stays."""
    await hold(store, "a", "t", DATA, 20)
    await hold(store, "a", "t", OTHER)
    assert (await store.read(["a"]))[0] == [Stored(OTHER, None)]


async def test_the_shortest_expiry_is_not_for_ever(store):
    """Less than the server can count is the least it can."""
    await hold(store, "a", "t", DATA, 1e-9)

    async def gone():
        return (await store.read(["a"]))[0] == [None]

    await until(gone)


async def test_put_stores_whoever_holds_the_lease_and_takes_it_away(store):
    """A load that began before cannot write over it."""
    await lease(store, "a", "t1", 10)
    await store.put("a", DATA, 20, b"")
    assert not await write(store, "a", "t1", OTHER, None)
    (stored,), _ = await store.read(["a"])
    assert stored.data == DATA
    assert 15 < stored.left <= 20


async def test_drop_removes_values_and_takes_leases_away(store):
    """A load that began before stores nothing; the count is of values."""
    await hold(store, "a", "t", DATA)
    await hold(store, "b", "t", DATA)
    await lease(store, "c", "t1", 10)
    assert await store.drop(["a", "b", "c", "d"], b"") == 2
    assert not await write(store, "c", "t1", DATA, None)
    assert (await store.read(["a", "b", "c", "d"]))[0] == [None] * 4


async def test_drop_takes_any_number_of_names(store):
    """Thousands, or none."""
    await hold(store, "n:1", "t", DATA)
    await hold(store, "n:2499", "t", DATA)
    async with listening(store) as messages:
        assert await store.drop([f"n:{i}" for i in range(2500)], b"many") == 2
        assert await store.drop([], b"none") == 0
        assert {await heard(messages), await heard(messages)} == {b"many", b"none"}


async def test_remove_removes_values_only(store):
    """Leases stay, and the count is of what was there."""
    await hold(store, "a", "t", DATA)
    await hold(store, "b", "t", DATA)
    await lease(store, "b", "t1", 10, unless=DATA[:HEAD])
    assert await store.remove(["a", "b", "c"]) == 2
    assert await write(store, "b", "t1", OTHER, None)


async def test_remove_takes_any_number_of_names(store):
    """Thousands, or none."""
    await hold(store, "n:1", "t", DATA)
    await hold(store, "n:2499", "t", DATA)
    assert await store.remove([f"n:{i}" for i in range(2500)]) == 2
    assert await store.remove([]) == 0


# -- clears


async def test_a_clear_is_in_the_ledger(store):
    """Under its number, by tag and by pattern; the later one counts."""
    assert await store.clear(patterns=["user:42*"], tags=["a"], message="") == 1
    assert await store.clear(tags=["a", "b"], message="") == 2
    ledger = await store.ledger()
    assert (ledger.number, ledger.floor) == (2, 0)
    assert ledger.tags == {"a": 2, "b": 2}
    assert ledger.patterns == {"user:42*": 1}


async def test_read_returns_the_numbers_of_the_tags_asked_for(store):
    """Those that were cleared."""
    await store.clear(tags=["a", "b"], message="")
    await store.clear(tags=["b"], message="")
    _, ledger = await store.read(["n"], ["b", "never", "a"])
    assert ledger.tags == {"a": 1, "b": 2}
    assert (ledger.number, ledger.floor) == (2, 0)


async def test_thousands_of_tags_can_be_asked_for(store):
    """A reader of many values has many tags."""
    await store.clear(tags=["t9000"], message="")
    assert (await store.read([], [f"t{i}" for i in range(10_000)]))[1].tags == {"t9000": 1}


async def test_a_tag_may_be_any_text(store):
    """It is not a name."""
    tags = ["{a} *?[b]\\", "ü €", "%(run)s", "t:", "\n"]
    await store.clear(tags=tags, message="")
    assert (await store.read([], tags))[1].tags == dict.fromkeys(tags, 1)


async def test_clearing_everything_raises_the_floor(store):
    """What was remembered of earlier clears is needless then."""
    await store.clear(tags=["a"], message="")
    assert await store.clear(everything=True, message="") == 2
    ledger = await store.ledger()
    assert (ledger.number, ledger.floor) == (2, 2)


async def test_a_clear_keeps_the_run(store):
    """Another run would say that clears were forgotten."""
    run = (await lease(store, "a", "t", 10)).ledger.run
    await store.clear(tags=["a"], message="")
    await store.clear(everything=True, message="")
    assert (await store.ledger()).run == run


async def test_concurrent_clears_have_different_numbers(process):
    """Numbers are counted in the server."""
    numbers = await asyncio.gather(*(process().clear(tags=["a"], message="") for _ in range(20)))
    assert sorted(numbers) == list(range(1, 21))


# -- messages


async def test_listeners_hear_every_message(process):
    """From the moment on at which they were told that they are connected; in any order, as nodes of a cluster do."""
    store = process()
    async with listening(process()) as here, listening(process()) as there:
        await store.put("a", DATA, None, b"put \0\xff")
        await store.drop(["a"], b"dropped")
        await store.clear(tags=["a"], message="cleared")
        for messages in (here, there):
            assert {await heard(messages) for _ in range(3)} == {b"put \0\xff", b"dropped", b"cleared"}


async def test_a_listener_hears_its_own_process(store):
    """It is for the reader to tell whose messages are its own."""
    async with listening(store) as messages:
        await store.drop(["a"], b"mine")
        assert await heard(messages) == b"mine"


async def test_the_message_of_a_clear_has_its_run_and_number(store):
    """They are known in the server only."""
    async with listening(store) as messages:
        await store.clear(tags=["a"], message='{"run":"%(run)s","number":%(number)d}')
        ledger = await store.ledger()
        assert await heard(messages) == f'{{"run":"{ledger.run}","number":{ledger.number}}}'.encode()


async def test_what_was_changed_is_changed_when_its_message_comes(process):
    """Whoever hears of it and reads finds it so."""
    store, other = process(), process()
    async with listening(other) as messages:
        await hold(store, "a", "t", DATA)
        await store.drop(["b", "c", "a"], b"")
        await heard(messages)
        assert (await other.read(["a"]))[0] == [None]
        await store.put("a", OTHER, None, b"")
        await heard(messages)
        assert (await other.read(["a"]))[0] == [Stored(OTHER, None)]
        number = await store.clear(tags=["t"], message="")
        await heard(messages)
        assert (await other.read([], ["t"]))[1].tags == {"t": number}


async def test_writing_and_removing_tell_nobody(process):
    """A load is no change, nor is making room."""
    store = process()
    async with listening(process()) as messages:
        await hold(store, "a", "t", DATA)
        await store.remove(["a"])
        await release(store, "a", "t")
        await store.drop([], b"the first one")
        assert await heard(messages) == b"the first one"


# -- scanning


async def test_scan_yields_the_names_with_a_beginning(store):
    """Values only: neither leases nor the ledger."""
    await asyncio.gather(*(hold(store, f"user:{i}", "t", DATA) for i in range(30)))
    await hold(store, "users", "t", DATA)
    await hold(store, "other:user:1", "t", DATA)
    await lease(store, "user:leased", "t", 10)
    assert set(await names_of(store, "user:")) == {f"user:{i}" for i in range(30)}
    assert set(await names_of(store, "")) == {*(f"user:{i}" for i in range(30)), "users", "other:user:1"}
    assert await names_of(store, "nothing") == []


async def test_scan_finds_what_is_there_throughout(store):
    """Whatever is added or removed meanwhile."""
    await asyncio.gather(*(hold(store, f"stays:{i}", "t", DATA) for i in range(1500)))
    found = set()
    number = 0
    async for names in store.scan("stays:"):
        found |= set(names)
        number += 1
        await store.put(f"stays:new{number}", DATA, None, b"")
        await store.remove([f"stays:new{number - 1}"])
    assert {f"stays:{i}" for i in range(1500)} <= found
    assert number > 1


# -- life


async def test_a_closed_store_can_be_used_again(store):
    """Closing ends connections, not the store."""
    await hold(store, "a", "t", DATA)
    await store.aclose()
    assert (await store.read(["a"]))[0] == [Stored(DATA, None)]


async def test_a_cancelled_call_leaves_the_others_alone(store):
    """It may have happened all the same."""
    await hold(store, "a", "t", DATA)
    calls = [asyncio.ensure_future(store.read(["a"])) for _ in range(20)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    assert [(await call)[0] for call in calls[1::2]] == [[Stored(DATA, None)]] * 10


def test_a_store_shows_itself(store):
    """In one line."""
    assert repr(store).startswith(f"<{type(store).__name__} ")
    assert "\n" not in repr(store)

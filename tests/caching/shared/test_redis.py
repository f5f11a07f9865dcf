"""What is Redis's own: addresses, keys, connections of each event loop, clusters whose slots move."""

import asyncio
import contextlib
import contextvars
import gc
import logging
import os
import subprocess
import sys
import time
import traceback
import warnings
import weakref
from functools import partial
from urllib.parse import quote

import pytest
from redis.crc import key_slot

from asyncfan.adapters.redis import RedisStore, listening
from asyncfan.caching.shared.protocol import Granted, Ledger, Stored
from tests.servers import ValkeyCluster

from .single import lease, write

pytestmark = pytest.mark.real_time

SECRET = "p@ss/w:rd#%"


# -- addresses


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host", "redis://host"),
        (f"redis://user:{quote(SECRET, safe='')}@host:6379/2", "redis://user:***@host:6379/2"),
        ("rediss://:hidden@host:6379?ssl_keyfile=hidden", "rediss://:***@host:6379"),
        ("redis://host?password=hidden&db=3", "redis://host"),
        ("unix://user:hidden@/run/redis.sock?db=1", "unix://user:***@/run/redis.sock"),
        ("rediss+cluster://user:hidden@host:7000", "rediss+cluster://user:***@host:7000"),
    ],
)
def test_a_url_is_shown_without_its_password(url, shown):
    """Options may be secret, too."""
    assert repr(RedisStore(url)) == f"<RedisStore <Server {shown} <Keys 'asyncfan'>, 0 event loops>>"


@pytest.mark.parametrize("url", ["redis://user:hid/den@host", "redis://:hid#den@host:1", "http://hidden", "hidden", ""])
def test_a_url_that_makes_no_sense_is_refused_and_not_shown(url):
    """It may hold a password in a place where nobody would look for one."""
    with pytest.raises(ValueError, match="cannot read the server's URL") as caught:
        RedisStore(url)
    assert str(caught.value) == (
        "cannot read the server's URL (not shown: it may hold a password): write redis://, rediss:// (TLS), unix://, "
        'redis+cluster:// or rediss+cluster://, such as "redis://user:password@host:6379/0", '
        "with what is special in a password percent-encoded"
    )
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_an_option_that_redis_py_does_not_know_is_refused():
    """Where it is written."""
    with pytest.raises(TypeError, match="no_such_option"):
        RedisStore("redis://host", no_such_option=1)
    with pytest.raises(TypeError, match="no_such_option"):
        RedisStore("redis://host?no_such_option=1")


def test_a_timeout_that_makes_no_sense_is_refused():
    """Nothing would ever be in time."""
    with pytest.raises(ValueError, match=r"timeout must be > 0 seconds, got 0"):
        RedisStore("redis://host", timeout=0)


@pytest.mark.parametrize("namespace", ["", "a{b", "{}"])
def test_a_namespace_that_breaks_keys_is_refused(namespace):
    """Braces say in a cluster which part of a key counts."""
    with pytest.raises(ValueError, match=r"namespace must be a text without braces, and not empty, got "):
        RedisStore("redis://host", namespace=namespace)


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
async def test_a_wrong_password_is_said_without_it(scheme, guarded, connect, caplog):
    """In no error, no cause of it, no log, and no traceback that shows what lies in its frames."""
    caplog.set_level(logging.DEBUG)
    store = connect(f"{scheme}://default:wrong-{quote(SECRET, safe='')}@127.0.0.1:{guarded.port}")
    with pytest.raises(ConnectionError, match="invalid username-password pair") as caught:
        await store.read(["a"])
    error = caught.value
    error.__traceback__ = error.__traceback__.tb_next  # what this test has in its own frame
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "store = <RedisStore" in shown or "self = <" in shown
    assert SECRET not in shown + repr(error) + caplog.text + repr(store)


# -- keys


async def test_value_and_lease_share_a_slot(plain, connect):
    """The braces in their keys see to that; the ledger is one hash."""
    store = connect(plain.url, namespace="keys")
    await lease(store, "user:42", "token", 10)
    await write(store, "user:42", "token", b"Ada", None)
    await lease(store, "user:43", "token", 10)
    await store.clear(tags=["t"], patterns=["p*"], message="")
    with plain.client() as client:
        assert set(client.scan_iter("keys:*")) == {b"keys:{user:42}", b"keys:{user:43}:lease", b"keys:ledger"}
        fields = client.hgetall("keys:ledger")
    assert set(fields) == {b"run", b"number", b"floor", b"t:t", b"p:p*"}


async def test_namespaces_do_not_mix(plain, connect):
    """Not even where one looks like a pattern of the other."""
    one, other = connect(plain.url, namespace="n*"), connect(plain.url, namespace="nb")
    await other.put("a", b"b", None, b"")
    await other.clear(tags=["t"], message="")
    assert await one.read(["a"], ["t"]) == ([None], Ledger())
    assert [names async for names in one.scan("")] == []


async def test_a_key_of_another_type_is_no_value(plain, connect):
    """It is overwritten by the next load."""
    store = connect(plain.url, namespace="foreign")
    with plain.client() as client:
        client.rpush("foreign:{a}", "x")
        client.rpush("foreign:{a}:lease", "x")
    assert (await store.read(["a"]))[0] == [None]
    assert isinstance(await lease(store, "a", "t", 10), Granted)
    assert await write(store, "a", "t", b"data", None)
    assert (await store.read(["a"]))[0] == [Stored(b"data", None)]


async def test_a_lost_ledger_begins_another_run(plain, connect):
    """Whatever was written before is then known to be from another time."""
    store = connect(plain.url, namespace="lost")
    runs = set()
    for _ in range(10):
        runs.add((await lease(store, "a", "t", 10)).ledger.run)
        await store.clear(tags=["t"], message="")
        with plain.client() as client:
            client.delete("lost:ledger")
    assert len(runs) == 10


async def test_the_ledger_is_bounded(plain, connect):
    """After ten thousand different tags, whatever is older is taken as cleared: too much, never too little."""
    store = connect(plain.url)
    for i in range(0, 10_000, 1000):
        await store.clear(tags=[f"t{j}" for j in range(i, i + 1000)], message="")
    assert (await store.ledger()).floor == 0
    number = await store.clear(tags=["one more"], message="")
    ledger = await store.ledger()
    assert ledger.floor == ledger.number == number
    assert len(ledger.tags) + len(ledger.patterns) <= 10_000


async def test_a_restarted_server_needs_no_scripts(server, connect):
    """They are sent whole each time."""
    store = connect(server.url)
    await store.put("a", b"data", None, b"")
    server.kill()
    server.start()
    assert (await store.read(["a"]))[0] == [None]


async def test_a_thousand_names_are_one_round_trip(plain, connect):
    """One command, even."""
    store = connect(plain.url)
    await store.read(["warm"])
    before = _commands(plain)
    await store.read([f"n{i}" for i in range(1000)])
    assert _commands(plain) - before == 1


async def test_calls_of_one_pass_share_a_connection(plain, connect):
    """A thousand of them need four."""
    store = connect(plain.url)
    before = plain.connections_received()
    await asyncio.gather(*(store.read([f"n{i}"]) for i in range(1000)))
    assert plain.connections_received() - before - 1 <= 4


async def test_a_connection_keeps_nothing_of_the_context_that_it_was_opened_in(plain, connect):
    """The first caller's request does not live as long as the connection."""

    class Request:
        pass

    store, current, seen = connect(plain.url), contextvars.ContextVar("current"), []

    async def request():
        current.set(Request())
        seen.append(weakref.ref(current.get()))
        await store.read(["a"])

    await asyncio.create_task(request())
    await asyncio.sleep(0)
    gc.collect()
    assert seen[0]() is None


def _commands(server):
    with server.client() as client:
        return client.info("commandstats")["cmdstat_eval"]["calls"]


# -- event loops and processes


def test_asyncio_run_twice(plain):
    """The second event loop has its own connections; those of the first are closed with it."""
    store = RedisStore(plain.url, namespace="twice", timeout=2)
    before = _clients(plain)
    for _ in range(2):
        assert asyncio.run(store.read(["a"]))[0] == [None]
    assert repr(store).endswith("0 event loops>>")
    gc.collect()
    _settle(lambda: _clients(plain) <= before)


def test_a_program_that_never_closes_says_nothing_at_its_end(plain):
    """No "Event loop is closed", no warning of open connections."""
    program = f"""
import asyncio
from asyncfan.adapters.redis import RedisStore
store = RedisStore({plain.url!r}, timeout=5)
async def main():
    listening = store.listen()
    await anext(listening)
    await asyncio.gather(*(store.read([str(i)]) for i in range(1000)))
    return listening
for _ in range(2):
    listening = asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-X", "dev", "-c", program], capture_output=True, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]  # slow, says dev mode
    assert (done.returncode, errors) == (0, [])


def test_a_forked_child_opens_its_own_connections(plain):
    """Two processes on one connection would get each other's replies."""
    store = RedisStore(plain.url, namespace="forked", timeout=2)
    with asyncio.Runner() as runner:
        runner.run(store.put("a", b"data", None, b""))
        before = plain.connections_received()
        child = os.fork()
        if not child:
            try:
                found = asyncio.run(store.read(["a"]))[0] == [Stored(b"data", None)]
                os._exit(0 if found else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert plain.connections_received() - before == 2
        assert runner.run(store.read(["a"]))[0] == [Stored(b"data", None)]
        assert plain.connections_received() - before == 3


async def test_closing_leaves_no_connection(plain, connect):
    """The server has none of them any more."""
    before = _clients(plain)
    store = connect(plain.url)
    await asyncio.gather(*(store.read([f"n{i}"]) for i in range(1000)))
    assert _clients(plain) > before
    await store.aclose()
    _settle(lambda: _clients(plain) <= before)


def test_a_greeting_over_tls_that_is_given_up_leaves_no_socket(encrypted, authority):
    """The event loop ends at once, and nobody would be there to hear the other side's goodbye."""
    url = f"rediss://127.0.0.1:{encrypted.port}/0?ssl_ca_certs={authority[1]}"
    encrypted.mode = "blackhole"
    with warnings.catch_warnings(record=True, action="always", category=ResourceWarning) as unclosed:
        for _ in range(4):
            with pytest.raises(TimeoutError):
                asyncio.run(RedisStore(url, timeout=0.05).read(["a"]))
        gc.collect()
    encrypted.mode = "pass"
    assert [str(each.message) for each in unclosed] == []


def _clients(server):
    return len(server.command("CLIENT", "LIST"))


def _settle(true):
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# -- listening


async def test_a_dead_peer_is_noticed(server, connect, monkeypatch):
    """It neither says goodbye nor answers."""
    monkeypatch.setattr(listening, "BEAT", 0.1)
    messages = connect(server.url).listen()
    assert await anext(messages) == b""
    server.freeze()
    began = time.monotonic()
    with pytest.raises(ConnectionError, match="no sign of life for 0 s"):
        await anext(messages)
    assert time.monotonic() - began < 5
    server.thaw()


async def test_a_quiet_peer_is_not_taken_for_dead(plain, connect, monkeypatch):
    """It answers when it is asked for a sign of life."""
    monkeypatch.setattr(listening, "BEAT", 0.02)
    store = connect(plain.url)
    messages = store.listen()
    assert await anext(messages) == b""
    heard = asyncio.ensure_future(anext(messages))
    await asyncio.sleep(0.5)
    await store.drop([], b"at last")
    assert await heard == b"at last"
    await messages.aclose()


async def test_a_killed_server_ends_listening(server, connect):
    """At once; whoever listens again is told when it is connected anew."""
    store = connect(server.url)
    messages = store.listen()
    assert await anext(messages) == b""
    server.kill()
    with pytest.raises(OSError, match="closed"):
        await anext(messages)
    with pytest.raises(OSError, match=r"refused|[Cc]onnect"):
        await anext(store.listen())
    server.start()
    messages = store.listen()
    assert await anext(messages) == b""
    await messages.aclose()


# -- clusters


async def test_a_cluster_spreads_names_over_its_nodes(cluster, connect):
    """And reads them all at once."""
    store = connect(cluster.url, namespace="spread")
    await asyncio.gather(*(store.put(f"n{i}", b"%d" % i, None, b"") for i in range(300)))
    sizes = [sum(1 for _ in _scan(node, "spread:{*}")) for node in cluster.nodes]
    assert sum(sizes) == 300
    assert min(sizes) > 50
    values, _ = await store.read([f"n{i}" for i in range(300)])
    assert [int(value.data) for value in values] == list(range(300))


async def test_names_at_one_node_of_a_cluster_travel_together(cluster, connect):
    """A thousand names, each a script of its own: a few trips a node, over its four connections."""
    store = connect(cluster.url, namespace="together")
    names = [f"n{i}" for i in range(1000)]
    await store.read(names)  # finds the nodes, and has them know the script
    trips = []
    for node in await store._server.client.nodes():
        node._courier._exchange = partial(counted, trips, node._courier._exchange)
    assert await store.read(names) == ([None] * 1000, Ledger())
    assert len(trips) <= 3 * 2 + 1  # two of up to 250 for each node, and the ledger
    assert {command[0] for commands in trips for command in commands} == {"EVALSHA"}


async def counted(trips, exchange, commands):
    """Remember the commands of an exchange."""
    trips.append(commands)
    return await exchange(commands)


async def test_a_node_that_forgot_a_script_is_told_it_again(cluster, connect):
    """As after a restart: nobody hears of it."""
    store = connect(cluster.url, namespace="forgot")
    names = [f"n{i}" for i in range(50)]
    await store.drop(names, b"")
    cluster.command("SCRIPT", "FLUSH")
    assert await asyncio.gather(*(store.drop(names, b"") for _ in range(3))) == [0] * 3


async def test_many_names_of_a_moving_slot_are_followed(cluster, connect):
    """Those that are there already are asked for there, over one connection; when it has moved for good, all are."""
    store = connect(cluster.url, namespace="moving")
    slot = key_slot(b"a")
    names = ["a", *(f"n{i}" for i in range(100_000) if key_slot(b"n%d" % i) == slot)]
    await asyncio.gather(*(store.put(name, b"data", None, b"") for name in names))
    with moving(cluster, slot) as (here, there, moved):
        here.command("MIGRATE", "127.0.0.1", there.port, "", 0, 1000, "KEYS", *(f"moving:{{{n}}}" for n in names[:-1]))
        before = there.connections_received()
        assert (await store.read(names))[0] == [Stored(b"data", None)] * len(names)
        assert there.connections_received() - before <= 2  # this question's own among them
        here.command("MIGRATE", "127.0.0.1", there.port, f"moving:{{{names[-1]}}}", 0, 1000)
        moved()
        assert (await store.read(names))[0] == [Stored(b"data", None)] * len(names)
        assert await store.drop(names, b"") == len(names)


@contextlib.contextmanager
def moving(cluster, slot):
    """Have a slot on its way from one node to another, until what is yielded third is called; it returns in the end."""
    here = next(node for node, end in zip(cluster.nodes, cluster.BOUNDS[1:], strict=True) if slot < end)
    there = next(node for node in cluster.nodes if node is not here)
    ids = {node: node.command("CLUSTER", "MYID") for node in cluster.nodes}

    def give(to):
        for node in (to, here, *cluster.nodes):
            node.command("CLUSTER", "SETSLOT", slot, "NODE", ids[to])

    there.command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[here])
    here.command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[there])
    try:
        yield here, there, lambda: give(there)
    finally:
        here.command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[there])
        give(here)


def _scan(node, pattern):
    with node.client() as client:
        yield from client.scan_iter(pattern)


async def test_a_moved_slot_is_followed(cluster, connect):
    """First asked for at its new place while it moves, then found there."""
    store = connect(cluster.url, namespace="moved")
    await store.put("a", b"data", None, b"")
    with moving(cluster, key_slot(b"a")) as (here, there, moved):
        here.command("MIGRATE", "127.0.0.1", there.port, "moved:{a}", 0, 1000)
        assert (await store.read(["a"]))[0] == [Stored(b"data", None)]
        moved()
        assert (await store.read(["a"]))[0] == [Stored(b"data", None)]
        await store.put("a", b"more", None, b"")
        assert (await store.read(["a"]))[0] == [Stored(b"more", None)]
        await store.drop(["a"], b"")


async def test_a_cluster_is_asked_for_its_ledger_after_the_values(cluster, connect, monkeypatch):
    """Another node has it: asked at the same time, its answer could be from before that of the others."""
    store, other = (connect(cluster.url, namespace="order") for _ in range(2))
    each = store._server.each

    async def then_clear(*args):
        replies = await each(*args)
        assert await other.clear(tags=["t"], message="") == 1
        return replies

    monkeypatch.setattr(store._server, "each", then_clear)
    assert (await store.read(["a"], ["t"]))[1].number == 1


async def test_a_lost_node_takes_its_own_names_only(connect):
    """It is no reason to give up the others; it is found again when it is back."""
    with ValkeyCluster() as cluster:
        for node in cluster.nodes:
            node.command("CONFIG", "SET", "cluster-require-full-coverage", "no")
        store = connect(cluster.url, timeout=0.2)
        names = [f"n{i}" for i in range(30)]
        await asyncio.gather(*(store.put(name, b"data", None, b"") for name in names))
        cluster.nodes[2].kill()
        found = await asyncio.gather(*(store.remove([name]) for name in names), return_exceptions=True)
        lost = [name for name, one in zip(names, found, strict=True) if isinstance(one, Exception)]
        assert 0 < len(lost) < 20
        assert {type(one) for one in found} == {int, ConnectionError}  # not refused: that would open a breaker at once


async def test_a_server_that_is_no_cluster_says_so(plain, connect):
    """Instead of failing for ever without a reason."""
    with pytest.raises(ConnectionError, match="cluster support disabled"):
        await connect(f"redis+cluster://127.0.0.1:{plain.port}").read(["a"])

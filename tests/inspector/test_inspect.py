"""``python -m asyncfan inspect`` shows what processes share, and clears it in all of them."""

import asyncio
import io
import json

import pytest

from asyncfan import Cache
from asyncfan.__main__ import main
from asyncfan.adapters.redis import RedisStore
from asyncfan.testing import MemoryStore
from tests.servers import Valkey, free_port

SECRET = "s3cret"


@pytest.fixture(scope="module")
def server():
    """A server with a password."""
    with Valkey(password=SECRET) as server:
        yield server


@pytest.fixture
def opened(monkeypatch):
    """A server in this process, which every URL leads to."""
    server = MemoryStore(clock=lambda: 0.0)
    monkeypatch.setattr("asyncfan.inspector.running.open_store", lambda *_, **__: server.connect())
    return server


def fill(store, *numbers):
    """Have a process put users into the store, and end."""

    async def load():
        cache = Cache(store=store)

        @cache.cache_function(expire=300, key_prefix="user", tags="team:{number}")
        async def user(number):
            return {"number": number}

        for number in numbers:
            await user(number)
        await cache.aclose()

    asyncio.run(load())


def inspect(*arguments):
    """Run the command, and return its exit code."""
    try:
        return main(["inspect", "--store", "redis://localhost", *arguments])
    except SystemExit as ended:
        return ended.code


@pytest.mark.real_time
def test_list_shows_keys_that_a_pattern_means(opened, capsys):
    """A pattern with a star shows those keys, with their tags, and counts them."""
    fill(opened.connect(), 7, 77, 8)
    assert inspect("user:7*") == 0
    heading, one, two, count = capsys.readouterr().out.splitlines()
    assert heading.split() == ["bytes", "state", "fresh", "kept", "key"]
    assert one.endswith("user:7  [team:7]")
    assert two.endswith("user:77  [team:77]")
    assert count.startswith("2 values, ")


@pytest.mark.real_time
def test_limit_hides_rows_but_counts_all(opened, capsys):
    """The last line is about everything, whatever is shown; JSON shows all by default."""
    fill(opened.connect(), *range(120))
    assert inspect("--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 120
    assert inspect() == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 100 + 1
    assert lines[-1] == f"120 values, 20 of them not shown, {sum(row['size'] for row in rows)} bytes"


@pytest.mark.real_time
def test_explain_tells_the_state_and_why(opened, capsys):
    """A value's state comes with what readers do about it."""
    fill(opened.connect(), 7)
    assert inspect("--explain", "user:7") == 0
    assert "fresh: it is served" in capsys.readouterr().out


@pytest.mark.parametrize("how", [[], ["--explain"]])
def test_empty_store_says_so(opened, capsys, how):
    """Nothing stored is an answer, not a failure."""
    assert inspect(*how) == 0
    assert capsys.readouterr().out == "nothing is stored under such a key\n"


@pytest.mark.real_time
@pytest.mark.parametrize(("answer", "left"), [("", 2), ("\n", 2), ("n\n", 2), ("y\n", 0)])
def test_clear_asks_first(opened, capsys, monkeypatch, answer, left):
    """Only a yes clears; no answer is a no, with code 1."""
    fill(opened.connect(), 7, 77)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert inspect("--clear", "user:*") == (1 if left else 0)
    assert "clear 2 values" in capsys.readouterr().out
    assert inspect("--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len([row for row in rows if row["state"] == "fresh"]) == left


@pytest.mark.parametrize("wrong", [["--clear"], ["--clear", "--json", "*"], ["--limit", "0"], ["--timeout", "0"]])
def test_misuse_is_code_2(capsys, wrong):
    """Options that make no sense are told in one line."""
    assert inspect(*wrong) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("url", [f"me:{SECRET}@host", f"no://{SECRET}@host", f"redis://:{SECRET}@host:port/0"])
def test_wrong_url_is_code_2_and_shows_no_password(capsys, url):
    """What cannot be read as a store's URL is not repeated."""
    assert inspect("--store", url) == 2
    assert SECRET not in capsys.readouterr().err


@pytest.mark.real_time
def test_server_down_is_code_1(capsys):
    """One line says that nobody answers, without the password."""
    assert inspect("--store", f"redis://:{SECRET}@127.0.0.1:{free_port()}") == 1
    error = capsys.readouterr().err
    assert error.startswith("asyncfan inspect: ")
    assert SECRET not in error


@pytest.mark.real_time
def test_server_that_hangs_is_code_1_in_time(server, capsys):
    """A frozen server is told as such."""
    server.freeze()
    try:
        assert inspect("--store", server.url, "--timeout", "0.1") == 1
    finally:
        server.thaw()
    assert "did not answer within 0.1 s" in capsys.readouterr().err


@pytest.mark.real_time
async def test_clear_reaches_the_memory_of_running_caches(server, capsys):
    """What another process holds is gone when the command is over, or very soon."""
    loads = []
    cache = Cache(store=RedisStore(server.url, timeout=2))

    @cache.cache_function(expire=300, key_prefix="user")
    async def user(number):
        loads.append(number)
        return number

    async with cache:
        await user(7)
        await user(7)
        assert loads == [7]
        assert await asyncio.to_thread(inspect, "--store", server.url, "--clear", "--yes", "user:*") == 0
        assert capsys.readouterr().out == "cleared 1 value\n"
        async with asyncio.timeout(5):
            while user.peek(7) == 7:
                await asyncio.sleep(0.001)
        await user(7)
        assert loads == [7, 7]

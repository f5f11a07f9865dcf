"""The database reads in threads, only reads, and ends at once when it is closed."""

import asyncio
import sqlite3
import threading
import time
from contextlib import closing

import pytest

from asyncfan.demo.database import Database, QueryError

pytestmark = pytest.mark.real_time  # threads are the promise

_ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"


@pytest.fixture
def path(tmp_path):
    """Give the path of a database with two items."""
    file = tmp_path / "a ?#%.db"  # characters that mean something in the URI
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("create table items (id integer primary key, name text)")
        connection.executemany("insert into items values (?, ?)", [(1, "one"), (2, "two")])
    return file


async def test_query_binds_its_arguments(path):
    """The value takes the place of the question mark."""
    with Database(path) as database:
        assert await database.query("select name from items where id = ?", (2,)) == [("two",)]


async def test_queries_run_beside_the_loop_and_each_other(path):
    """Four queries with four connections are under way at once, and the loop turns meanwhile."""
    together = threading.Barrier(5)

    class Waiting:
        """In place of the latency: goes on when all five are there, the loop's thread too."""

        is_set = staticmethod(lambda: False)
        set = staticmethod(lambda: None)
        wait = staticmethod(lambda _: together.wait(10))

    with Database(path, connections=4) as database:
        database._closing = Waiting()
        queries = asyncio.gather(*(database.query("select 1") for _ in range(4)))
        while together.n_waiting < 4:
            await asyncio.sleep(0.001)
        together.wait(10)
        assert await queries == [[(1,)]] * 4


async def test_each_thread_has_its_own_connection(path):
    """No connection is seen by two threads, and no thread sees two."""
    pairs = set()
    with Database(path, latency=0.01, connections=3) as database:
        connect = database._connection

        def noted():
            connection = connect()
            pairs.add((threading.get_ident(), id(connection)))
            return connection

        database._connection = noted
        await asyncio.gather(*(database.query("select 1") for _ in range(12)))
    assert len(pairs) == len(dict(pairs)) == len({connection for _, connection in pairs}) == 3


async def test_tally_counts_queries_where_they_run(path):
    """The tally has each query that gave rows, with its latency, and starts again when taken."""
    with Database(path, latency=0.02) as database:
        await database.query("select 1")
        await database.query("select 2")
        tally = database.take_tally()
        assert tally.count == 2
        assert tally.p50 >= 0.02
        assert database.take_tally().count == 0


async def test_connections_are_closed_at_the_end(path):
    """After the block no connection can be used, and no thread is left."""
    with Database(path, connections=2) as database:
        await asyncio.gather(database.query("select 1"), database.query("select 2"))
        connections = list(database._open)
    assert connections
    for connection in connections:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("select 1")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("asyncfan-demo")]


@pytest.mark.parametrize(("sql", "latency"), [("select 1", 60.0), (_ENDLESS, 0.0)], ids=["waits", "computes"])
async def test_close_ends_a_query_at_once(path, sql, latency):
    """Closing does not wait for a query that waits for a minute or computes for ever, which it lets do little more."""
    with Database(path, latency=latency) as database:
        query = asyncio.ensure_future(database.query(sql))
        await asyncio.sleep(0.05)
        started, computed = time.perf_counter(), time.process_time()
    assert time.process_time() - computed < 0.5
    assert time.perf_counter() - started < 20  # on however busy a machine: not the minute
    with pytest.raises(QueryError):
        await query


@pytest.mark.parametrize(
    "sql",
    [
        "delete from items where id = ?",
        "update items set name = 'x' where id = ? returning name",
        "insert into items values (?, 'x') returning id",
        "attach 'other.db' as other",
        "pragma journal_mode = wal",
        "drop table items",
    ],
)
async def test_sql_that_writes_is_refused(path, sql, monkeypatch):
    """Whatever would change a file fails in words, and the file stays as it was, byte for byte."""
    monkeypatch.chdir(path.parent)
    before = path.read_bytes()
    with (
        Database(path) as database,
        pytest.raises(QueryError, match="the SQL does more than read, and the demo only reads"),
    ):
        await database.query(sql, (1,) if "?" in sql else ())
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_vacuum_into_another_file_is_refused(path):
    """VACUUM INTO, which would write a new file beside a read-only one, fails."""
    with Database(path) as database, pytest.raises(QueryError):
        await database.query(f"vacuum into '{path.parent / 'copy.db'}'")
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_full_text_tables_can_be_read(path):
    """Virtual tables, which prepare more than they run, are no victims of the guard."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create virtual table notes using fts5(body)")
        connection.execute("insert into notes values ('hello world')")
    with Database(path) as database:
        assert await database.query("select body from notes where notes match ?", ("hello",)) == [("hello world",)]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select 1", 'the SQL must have exactly one ? for the key, got 0: write "select ... where id = ?"'),
        ("select ?, ?", 'the SQL must have exactly one ? for the key, got 2: write "select ... where id = ?"'),
        ("select ?; select 2", 'the SQL is more than one statement: write one "select ... where id = ?"'),
        ("create temp table t as select ?", 'the SQL gives no rows: write "select ... where id = ?"'),
        ("selec ?", 'the query failed: near "selec": syntax error'),
        ("select * from nowhere where id = ?", "the query failed: no such table: nowhere"),
    ],
)
async def test_wrong_sql_is_refused_in_words(path, sql, message):
    """Each mistake in a query has one message."""
    with Database(path) as database, pytest.raises(QueryError) as caught:
        await database.query(sql, (1,))
    assert str(caught.value) == message


async def test_text_file_is_no_database(tmp_path):
    """A file of another kind is named as such."""
    file = tmp_path / "notes.txt"
    file.write_text("no database at all, but long enough to have been one" * 20)
    with Database(file) as database, pytest.raises(QueryError) as caught:
        await database.query("select ?", (1,))
    assert str(caught.value) == f"{file} is not a SQLite database"


async def test_missing_file_is_not_created(tmp_path):
    """A file that is not there is an error, not an empty database."""
    with (
        Database(tmp_path / "none.db") as database,
        pytest.raises(QueryError, match=r"none\.db cannot be opened"),
    ):
        await database.query("select 1")
    assert not list(tmp_path.iterdir())


def test_repr_shows_the_file_and_its_connections(tmp_path):
    """A database tells what it reads."""
    with Database(tmp_path / "a.db") as database:
        assert repr(database) == f"<Database '{tmp_path / 'a.db'}', 0 connections>"

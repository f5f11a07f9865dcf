"""A SQLite file behind an ``async`` method: blocking queries run in threads that each have a connection."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..metrics import Histogram, Latency

__all__ = ["Database", "QueryError", "Row"]

Row = tuple[Any, ...]

_STEPS_BETWEEN_LOOKS = 10_000  # of SQLite's machine: about a millisecond until a closed database stops a query


class QueryError(Exception):
    """Raised when a query cannot be run; the message is one line for the user."""


class Database:
    """Reads a SQLite file, and writes neither to it nor to another one.

    (Beside a database in WAL mode SQLite itself keeps its ``-shm`` and ``-wal`` files, as for every reader.)
    Use it as a context manager: leaving it stops the queries that still run and closes all.

    Args:
        path: The file.
        latency: Seconds that each query waits before it runs: what a network would add.
        connections: How many queries can run at once; each has a thread and a connection.
    """

    def __init__(self, path: Path, *, latency: float = 0.0, connections: int = 1) -> None:
        self.path = path
        self._uri = f"{path.resolve().as_uri()}?mode=ro"
        self._latency = latency
        self._threads = ThreadPoolExecutor(connections, "asyncfan-demo")
        self._mine = threading.local()  # .connection: the thread's own, made by its first query
        self._open: list[sqlite3.Connection] = []  # all of them; appended to by each thread, read when all have ended
        self._closing = threading.Event()
        self._tally_lock = threading.Lock()
        self._tally = Histogram()

    async def query(self, sql: str, arguments: Iterable[Any] = ()) -> list[Row]:
        """Return the rows that ``sql`` gives.

        Raises:
            QueryError: It does not give rows, would write, fails, or the file cannot be read.

        Cancellation:
            The query itself goes on in its thread and is counted; closing the database stops it.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._query, sql, tuple(arguments))

    def take_tally(self) -> Latency:
        """Return how many queries ran since the last call of this, and how long they took."""
        with self._tally_lock:
            tally, self._tally = self._tally, Histogram()
        return tally.snapshot()

    def _query(self, sql: str, arguments: Row) -> list[Row]:
        started = time.perf_counter()
        self._closing.wait(self._latency)  # a sleep that closing ends
        if self._closing.is_set():
            raise QueryError("the database was closed while queries waited")
        try:
            cursor = self._connection().execute(sql, arguments)
            rows = cursor.fetchall()
        except (sqlite3.Error, sqlite3.Warning, UnicodeEncodeError) as error:
            raise QueryError(_in_words(error, self.path)) from error
        if cursor.description is None:
            raise QueryError('the SQL gives no rows: write "select ... where id = ?"')
        self._count(time.perf_counter() - started)
        return rows

    def _count(self, seconds: float) -> None:
        with self._tally_lock:
            self._tally.record(seconds)

    def _connection(self) -> sqlite3.Connection:
        with suppress(AttributeError):
            return self._mine.connection  # type: ignore[no-any-return]
        # Only this thread uses it; another one closes it, after this one has ended.
        connection = sqlite3.connect(self._uri, uri=True, isolation_level=None, check_same_thread=False)
        self._open.append(connection)
        connection.execute("select 1 from sqlite_master limit 1")  # "select ?" alone would not look at the file
        connection.set_authorizer(_only_this_file)
        connection.set_progress_handler(self._closing.is_set, _STEPS_BETWEEN_LOOKS)
        self._mine.connection = connection
        return connection

    def close(self) -> None:
        """Stop what still runs, wait until the threads have ended, and close every connection."""
        self._closing.set()
        self._threads.shutdown(cancel_futures=True)
        while self._open:
            self._open.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Database {str(self.path)!r}, {len(self._open)} connections>"


def _only_this_file(action: int, *_: object) -> int:
    # mode=ro guards the file itself; ATTACH, and VACUUM INTO, which uses it, could write another. Allowing
    # just SQLITE_READ would break virtual tables (FTS5, R-tree), which prepare more than they run.
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK


def _in_words(error: Exception, path: Path) -> str:
    """Say in one line what is wrong and how to do it right."""
    text = str(error)
    if "not authorized" in text or "authorization denied" in text or "readonly" in text:
        return 'the SQL does more than read, and the demo only reads: write "select ... where id = ?"'
    if found := re.search(r"uses (\d+), and there are", text):
        return f'the SQL must have exactly one ? for the key, got {found[1]}: write "select ... where id = ?"'
    if "one statement" in text:
        return 'the SQL is more than one statement: write one "select ... where id = ?"'
    if "file is not a database" in text:
        return f"{path} is not a SQLite database"
    if "unable to open" in text:
        return f"{path} cannot be opened for reading: {text}"
    return f"the query failed: {text}"

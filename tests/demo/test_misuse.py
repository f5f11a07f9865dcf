"""Every mistake on the command line is one line on stderr and exit code 2."""

import sqlite3
from contextlib import closing

import pytest

from asyncfan.__main__ import main

_MORE = "(more: asyncfan demo --help)\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in a folder with a database, a text file and a folder."""
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect("shop.db")) as connection, connection:
        connection.execute("create table items (id integer primary key, name text)")
    (tmp_path / "notes.txt").write_text("no database at all, but long enough to have been one" * 20)
    (tmp_path / "data").mkdir()


def _refused(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["demo", *arguments])
    output = capsys.readouterr()
    assert caught.value.code == 2
    assert output.out == ""
    return output.err


_OWN = '--db shop.db --sql "select * from items where id = ?" --keys 1-500'
_HOW = "write a range (1-500), numbers (1,5,9) or texts (a,b,c)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "argument --workers: must be a whole number from 1 to 256, got '0'"),
        (["--workers", "many"], "argument --workers: must be a whole number from 1 to 256, got 'many'"),
        (["--workers", "257"], "argument --workers: must be a whole number from 1 to 256, got '257'"),
        (["--batch-size", "0"], "argument --batch-size: must be a whole number from 1 to 10000, got '0'"),
        (["--latency", "-1"], "argument --latency: must be 0 to 60 seconds, as in 0.02, got '-1'"),
        (["--latency", "nan"], "argument --latency: must be 0 to 60 seconds, as in 0.02, got 'nan'"),
        (["--latency", "fast"], "argument --latency: must be 0 to 60 seconds, as in 0.02, got 'fast'"),
        (["--keys", "500-1"], "argument --keys: the range '500-1' runs backwards: write 1-500"),
        (["--keys", "x-"], f"argument --keys: the range 'x-' has one end only: {_HOW}"),
        (["--db", "none.db"], "argument --db: there is no file 'none.db': name an existing SQLite file"),
        (["--db", "data"], "argument --db: 'data' is a folder: name the SQLite file in it"),
        (
            ["--db", "shop.db"],
            f"your own database needs three options together: {_OWN}",
        ),
        (
            ["--sql", "select ?"],
            f"your own database needs three options together: {_OWN}",
        ),
        (["--frobnicate"], "unrecognized arguments: --frobnicate"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_wrong_option_is_refused_in_words(arguments, message, capsys):
    """Each wrong option has one line that says the rule, the value and what to write."""
    found = _refused(arguments, capsys)
    assert found.replace("asyncfan: ", "asyncfan demo: ").replace("asyncfan --help", "asyncfan demo --help") == (
        f"asyncfan demo: {message} {_MORE}"
    )


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("file", "sql", "message"),
    [
        ("notes.txt", "select ?", "notes.txt is not a SQLite database"),
        ("shop.db", "select * from things where id = ?", "the query failed: no such table: things"),
        (
            "shop.db",
            "delete from items where id = ?",
            'the SQL does more than read, and the demo only reads: write "select ... where id = ?"',
        ),
        (
            "shop.db",
            "select * from items",
            'the SQL must have exactly one ? for the key, got 0: write "select ... where id = ?"',
        ),
        (
            "shop.db",
            "select * from items where id between ? and ?",
            'the SQL must have exactly one ? for the key, got 2: write "select ... where id = ?"',
        ),
    ],
)
@pytest.mark.usefixtures("folder")
def test_wrong_database_or_query_is_refused_in_words(file, sql, message, capsys):
    """A file or a query that does not work is one line, before any run begins."""
    found = _refused(["--db", file, "--sql", sql, "--keys", "1-5", "--latency", "0"], capsys)
    assert found == f"asyncfan demo: {message} {_MORE}"


def test_sample_that_cannot_be_built_is_said(monkeypatch, capsys):
    """A full disk is one line that says where else to go."""

    def fail(path):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("asyncfan.demo.command.build_sample", fail)
    found = _refused([], capsys)
    assert found.startswith("asyncfan demo: no sample can be built in ")
    assert found.endswith(f" (database or disk is full): set TMPDIR to another folder {_MORE}")


def test_no_command_is_refused(capsys):
    """Without a command the message names the place where one belongs."""
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert (
        capsys.readouterr().err == "asyncfan: the following arguments are required: COMMAND (more: asyncfan --help)\n"
    )

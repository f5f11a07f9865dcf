"""The command as a user starts it: a process with its streams, signals and exit code."""

import json
import os
import pty
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.real_time  # processes and signals are the promise

_FAST = ["--keys", "1-40", "--latency", "0.001"]
_WITHOUT_RICH = (
    "import sys; sys.modules['rich'] = None; from asyncfan.__main__ import main; sys.exit(main(sys.argv[1:]))"
)
_IGNORING_CTRL_C = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "from asyncfan.__main__ import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture
def environment(tmp_path):
    """Give an environment whose temporary folder is seen by this test only."""
    (tmp_path / "temporary").mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR", "FORCE_COLOR"}}
    return {**kept, "TMPDIR": str(tmp_path / "temporary"), "PYTHONIOENCODING": "utf-8", "TERM": "xterm-256color"}


def _demo(environment, *arguments, launch=("-m", "asyncfan")):
    return subprocess.run(
        [sys.executable, *launch, "demo", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("launch", [("-m", "asyncfan"), ("-c", _WITHOUT_RICH)], ids=["rich", "plain"])
def test_demo_prints_a_report(environment, launch):
    """With and without rich, a pipe gets both tables and the waterfall, at most 80 columns wide, and no controls."""
    done = _demo(environment, *_FAST, launch=launch)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("all four gave equal answers") == 2
    assert "vehicle_20" in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_json_is_all_that_stdout_gets(environment):
    """--json writes one object with two use cases of four runs each."""
    done = _demo(environment, *_FAST, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert found["equal"] is True
    assert [[run["queries"] for run in case["runs"]] for case in found["use_cases"]] == [[48, 40, 0, 20], [15, 5, 0, 2]]
    assert all(run["joined"] > 0 for case in found["use_cases"] for run in case["runs"][1:2])


def test_temporary_database_is_removed(environment, tmp_path):
    """Nothing is left in the temporary folder."""
    assert _demo(environment, *_FAST).returncode == 0
    assert not list((tmp_path / "temporary").iterdir())


def test_own_database_is_only_read(environment, tmp_path):
    """A user's file is found by its text keys, and is the same byte for byte afterwards."""
    file = tmp_path / "shop.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("create table items (code text primary key, name text)")
        connection.executemany("insert into items values (?, ?)", [(letter, letter * 3) for letter in "abcdef"])
    before = file.read_bytes()
    own = ["--db", str(file), "--sql", "select name from items where code = ?", "--keys", "a,b,c,z", "--latency", "0"]
    done = _demo(environment, *own, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["equal"], found["use_cases"][0]["found"]) == (0, True, 4)
    assert file.read_bytes() == before
    assert not list((tmp_path / "temporary").iterdir())


def test_answers_that_differ_are_exit_code_1(environment, tmp_path):
    """A query that gives other rows each time is found out, in one line on stderr."""
    file = tmp_path / "shop.db"
    sqlite3.connect(file).close()
    own = ["--db", str(file), "--sql", "select ?, random()", "--keys", "1-3", "--latency", "0"]
    done = _demo(environment, *own)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "asyncfan demo: the runs gave different answers: caller 1, record_1: sequential [(1, "
    )
    assert done.stderr.count("\n") == 1
    assert "the answers differ" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("latency", ["0.02", "30"], ids=["short", "long"])
def test_signal_ends_it_at_once(environment, tmp_path, number, latency):
    """Ctrl-C and SIGTERM: exit code 130, one line, no traceback, no file left, in the middle of a long query too."""
    process = subprocess.Popen(
        [sys.executable, "-m", "asyncfan", "demo", "--latency", latency],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_until(lambda: list((tmp_path / "temporary").glob("*/dealer.db")))
    time.sleep(0.3)  # in its first queries by now
    reaped, before = _seconds_of_children(), _seconds_of(process)
    process.send_signal(number)
    output = process.communicate(timeout=20)  # on however busy a machine: a query takes 30
    assert _seconds_of_children() - reaped - before < 1
    assert (process.returncode, *output) == (130, "", "asyncfan: stopped\n")
    assert not list((tmp_path / "temporary").iterdir())


def test_sigterm_works_where_sigint_is_ignored(environment, tmp_path):
    """A job in the background of a script, which ignores Ctrl-C, is ended by SIGTERM as cleanly."""
    process = subprocess.Popen(
        [sys.executable, "-c", _IGNORING_CTRL_C, "demo", "--latency", "30"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_until(lambda: list((tmp_path / "temporary").glob("*/dealer.db")))
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[1] == "asyncfan: stopped\n"
    assert process.returncode == 130
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize("launch", [("-m", "asyncfan"), ("-c", _WITHOUT_RICH)], ids=["rich", "plain"])
def test_terminal_sees_a_progress_bar(environment, launch):
    """Where stderr is a terminal the run's name and count are drawn there, and stdout stays as it is."""
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *launch, "demo", *_FAST, "--json"], env=environment, stdout=subprocess.PIPE, stderr=inner
    )
    os.close(inner)
    assert json.loads(process.communicate(timeout=30)[0])["equal"] is True
    drawn = _read_all(outer)
    assert b"sequential" in drawn
    assert b"/48" in drawn


@pytest.mark.parametrize("launch", [("-m", "asyncfan"), ("-c", _WITHOUT_RICH)], ids=["rich", "plain"])
def test_reader_that_leaves_is_no_error(environment, launch):
    """A pipe that is closed early, as by `head`, gives no traceback."""
    process = subprocess.Popen(
        [sys.executable, *launch, "demo", *_FAST],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=30) == 0
    process.stderr.close()


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"]])
def test_help_is_exit_code_0(environment, arguments):
    """--help explains on stdout, in 80 columns but for the example that is one line."""
    done = subprocess.run(
        [sys.executable, "-m", "asyncfan", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: asyncfan" in done.stdout


def _seconds_of(process):
    """Return how much of a processor it has used so far."""
    used = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, used)) / os.sysconf("SC_CLK_TCK")


def _seconds_of_children():
    """Return how much all have used whose end was waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _wait_until(true):
    for _ in range(3_000):
        if true():
            return
        time.sleep(0.01)
    pytest.fail("it did not happen within 30 seconds")


def _read_all(descriptor):
    drawn = b""
    with suppress(OSError):  # how Linux says that the other side is closed
        while chunk := os.read(descriptor, 65536):
            drawn += chunk
    os.close(descriptor)
    return drawn

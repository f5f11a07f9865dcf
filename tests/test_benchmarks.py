"""The benchmarks run end to end, on tiny sizes and the standard library's contestants; nothing is timed."""

import asyncio
import json
import re
import subprocess
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from benchmarks import __main__ as command_line
from benchmarks import conformance, runner, soak, table
from benchmarks import run as one_measurement
from benchmarks.result import Entry, Result
from benchmarks.workload import Bar, Contestants, NotOfferedError, Workload
from benchmarks.workloads import WORKLOADS, fanout, hit, miss, stampede

pytestmark = pytest.mark.real_time  # other processes are what is tested


async def refuses(make, n):
    """Do as a workload does whose contestant has no way to take part."""
    raise NotOfferedError("has no size limit")


def workload(**changes):
    """Return a workload of which nothing needs to be run."""
    contestants = Contestants()
    for name in ("ours", "theirs", "another"):
        contestants.add(name)(lambda: None)
    fields = {
        "name": "unknown",
        "title": "Work on {size:,} items",
        "figures": ("us", "MB"),
        "compared": ("us",),
        "reference": "theirs",
        "size": 1_000,
        "quick_size": 100,
        "measure": refuses,
        "contestants": contestants,
        "bars": {"ours": Bar(0.50, 0.33, "us")},
    }
    return Workload(**fields | changes)


def result(ours=2.0, theirs=10.0, **changes):
    """Return a result of two rounds, in which the contestant called "another" is not installed."""
    entries = {
        "ours": Entry("ours", 1_000, [{"us": ours, "MB": 20.0}, {"us": ours * 1.5, "MB": 19.0}]),
        "theirs": Entry("theirs", 1_000, [{"us": theirs, "MB": 1300.0}, {"us": theirs, "MB": 1300.0}]),
        "another": Entry("another", 100, trouble="is not installed"),
    }
    return Result(workload(**changes), entries)


@pytest.mark.parametrize("name", [name for name in WORKLOADS if name != "hit-spelled"])
def test_each_workload_is_measured_in_a_process_of_its_own(name):
    """Every contestant that needs only the standard library yields every figure of every workload."""
    full = WORKLOADS[name]
    alone = Contestants({name: entry for name, entry in full.contestants.items() if entry.package is None})
    tiny = runner.run(replace(full, size=5, contestants=alone), rounds=1)
    assert tiny.entries
    for entry in tiny.entries.values():
        assert entry.trouble is None
        assert [set(sample) for sample in entry.samples] == [set(full.figures)]
        assert entry.samples[0][full.figures[0]] > 0


def test_contestants_take_turns(monkeypatch):
    """Each round measures everyone once and begins with another contestant."""
    order = []
    monkeypatch.setattr(runner, "_measure", lambda _, entry: order.append(entry.name))
    runner.run(workload(), rounds=3)
    assert order == ["ours", "theirs", "another", "theirs", "another", "ours", "another", "ours", "theirs"]


def test_missing_package_is_said():
    """A contestant whose package is missing is in the result, with the reason."""
    contestants = Contestants()
    contestants.add("absent", package="no-such-distribution")(lambda: None)
    assert runner.run(workload(contestants=contestants), rounds=1).entries["absent"].trouble == "is not installed"


def test_failure_is_said():
    """A contestant that raises is in the result, with the last line of its traceback."""
    assert runner.run(workload(), rounds=2).entries["ours"].trouble == "failed: KeyError: 'unknown'"


def test_what_is_not_offered_is_said(monkeypatch, capsys):
    """A contestant that cannot do the work says why on one line of JSON."""
    monkeypatch.setitem(WORKLOADS, "unknown", workload())
    one_measurement.main("unknown", "ours", 5)
    assert json.loads(capsys.readouterr().out) == {"not_offered": "has no size limit"}


def test_what_is_not_offered_is_no_failure(monkeypatch):
    """The reason is in the result, in the contestant's words."""
    answer = subprocess.CompletedProcess([], 0, stdout='{"not_offered": "has no size limit"}', stderr="")
    monkeypatch.setattr(runner.subprocess, "run", lambda *_, **__: answer)
    assert runner.run(workload(), rounds=1).entries["ours"].trouble == "has no size limit"


async def test_cache_that_does_not_cache_is_caught():
    """The hit workload refuses to time a contestant that loads each time."""
    with pytest.raises(AssertionError, match="this contestant does not cache"):
        await hit.measure(lambda load: load, 5)


async def test_cache_that_does_not_evict_is_caught():
    """The miss workload refuses to time an unbounded contestant as a bounded one."""
    with pytest.raises(AssertionError, match="does not evict when full"):
        await miss.measure(lambda load, _: miss.naive(load, None), 5, maxsize=3)


async def test_every_load_of_a_stampede_is_counted():
    """A contestant without single flight shows one load a caller."""
    figures = await stampede.measure(stampede.naive, 7)
    assert figures["loads"] == 7


@pytest.mark.parametrize("limit", [fanout.WORKERS - 1, fanout.WORKERS + 1])
async def test_fan_out_with_another_limit_is_caught(limit, monkeypatch):
    """The fan-out workload refuses to time a contestant that runs fewer or more at once than it should."""

    async def run(fn, items):
        semaphore = asyncio.Semaphore(limit)

        async def one(x):
            async with semaphore:
                return await fn(x)

        return await asyncio.gather(*map(one, items))

    monkeypatch.setattr(fanout, "PATIENCE", 0.05)
    with pytest.raises((AssertionError, TimeoutError)):
        await fanout.check_limit_and_results(run)


@pytest.mark.parametrize(
    ("ours", "verdict"), [(3.3, "aim"), (3.4, "bar"), (5.0, "bar"), (5.1, "missed"), (float("nan"), "missed")]
)
def test_verdict_is_the_best_bar_reached(ours, verdict):
    """The best of ours against the best of the reference decides, the limits included."""
    assert result(ours).verdict("ours") == verdict


def test_absolute_bar_needs_no_reference():
    """A bar in its own unit is compared with the best sample itself."""
    assert result(bars={"ours": Bar(40, 19, "MB", relative=False)}).verdict("ours") == "aim"


def test_unmeasured_bar_is_not_reached():
    """A contestant with a bar and no sample has not reached it, and the table says so."""
    assert result(bars={"another": Bar(0.5, 0.3, "us")}).verdict("another") == "not measured"


def test_table_for_a_terminal():
    """The table has every contestant, the ratios, the bar, and below it what the figures do not say."""
    assert table.text(result().title, table.cells(result()), table.notes(result())).splitlines() == [
        "Work on 1,000 items",
        "contestant  us  ratio     MB  spread   bar   aim  reached",
        "----------  --  -----  -----  ------  ----  ----  -------",
        "ours         2   0.20     19     50%  0.50  0.33  aim",
        "theirs      10   1.00  1,300      0%",
        "another      -      -      -       -",
        "Ratio: theirs is 1.00.",
        "another ran with 100, not 1,000.",
        "another is not installed.",
    ]


def test_table_for_a_readme():
    """The Markdown has the same cells."""
    assert table.markdown(result().title, table.cells(result()), table.notes(result())).splitlines() == [
        "**Work on 1,000 items**",
        "",
        "| contestant | us | ratio | MB | spread | bar | aim | reached |",
        "| :-- | --: | --: | --: | --: | --: | --: | :-- |",
        "| ours | 2 | 0.20 | 19 | 50% | 0.50 | 0.33 | aim |",
        "| theirs | 10 | 1.00 | 1,300 | 0% |  |  |  |",
        "| another | - | - | - | - |  |  |  |",
        "",
        "Ratio: theirs is 1.00. another ran with 100, not 1,000. another is not installed.",
    ]


def test_table_of_the_bars():
    """Each bar of each workload is one row: what was measured, against what, and what that reaches."""
    absolute = result(bars={"another": Bar(40, 30, "MB", relative=False)})
    assert table.bars([result(), absolute]) == [
        ["work", "asyncfan", "ratio", "bar/aim", "reached"],
        ["Work on 1,000 items: ours", "2 us", "0.20 of theirs", "0.5/0.33", "aim"],
        ["Work on 1,000 items: another", "- MB", "", "40/30", "not measured"],
    ]


def test_command_writes_json(tmp_path, monkeypatch, capsys):
    """The file has each sample, the ratios, the verdict, how it was run and the machine."""
    monkeypatch.setattr(command_line, "run", lambda *_, **__: result())
    path = tmp_path / "figures.json"
    assert command_line.main(["hit", "--rounds", "1", "--json", str(path)]) == 0
    assert "Work on 1,000 items" in capsys.readouterr().out
    written = json.loads(path.read_text())
    assert (written["machine"], written["rounds"], written["quick"]) == (table.machine(), 1, False)
    ours = written["workloads"][0]["contestants"][0]
    assert ours["ratio"] == {"us": 0.2}
    assert ours["verdict"] == "aim"
    assert ours["samples"] == [{"us": 2.0, "MB": 20.0}, {"us": 3.0, "MB": 19.0}]


def test_versions_name_every_package_that_takes_part():
    """Each distribution that a contestant needs is there with its version, or as not installed."""
    contestants = Contestants()
    contestants.add("present", package="pytest")(lambda: None)
    contestants.add("absent", package="no-such-distribution")(lambda: None)
    assert table.versions([workload(), workload(contestants=contestants)]) == {
        "no-such-distribution": "not installed",
        "pytest": pytest.__version__,
    }


def test_command_fails_when_a_contestant_failed(monkeypatch, capsys):
    """The exit code is 1, so that a script sees it; what is not installed is no failure."""
    failed = result()
    failed.entries["another"].trouble = "failed: ValueError"
    monkeypatch.setattr(command_line, "run", lambda *_, **__: failed)
    assert command_line.main(["import"]) == 1
    assert "another failed: ValueError." in capsys.readouterr().out


def test_group_stands_for_its_workloads():
    """A name chooses its workload and every one that begins with it and a hyphen, once."""
    chosen = [found.name for found in command_line.chosen(["hit", "hit-sync", "miss-full"])]
    assert chosen == ["hit", "hit-method", "hit-sync", "hit-spelled", "miss-full"]


def test_list_shows_every_workload(capsys):
    """``--list`` prints names and titles and measures nothing."""
    assert command_line.main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(WORKLOADS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hits"], f"no workload is called 'hits'; there are {', '.join(WORKLOADS)}"),
        (["--rounds", "0"], "--rounds must be >= 1, got 0"),
    ],
)
def test_wrong_argument_is_refused_in_words(arguments, message, capsys):
    """The exit code is 2 and the message says what is allowed."""
    with pytest.raises(SystemExit) as refused:
        command_line.main(arguments)
    assert refused.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_soak_keeps_its_promises(capsys):
    """A short chaos run, a restart of the server in it, ends without a violation."""
    assert command_line.main(["soak", "--seconds", "2"]) == 0
    assert re.search(r" [1-9]\d* restarts; .* 0 violations", capsys.readouterr().out)


@pytest.mark.parametrize(("version", "found"), [(0, "version 0 after 1 was confirmed"), (1, None)])
async def test_soak_finds_a_stale_value(version, found):
    """A cache that gives what was there before an invalidation that was confirmed does not pass."""

    async def cached(n):
        return version

    run = soak.Soak(SimpleNamespace(url="redis://127.0.0.1:1"), seed=1)  # which nobody asks for anything
    run.nodes = [cached, cached]
    for known in run.confirmed.values():
        known.append((0.0, 1))
    await run.caller(1, time.monotonic() + 0.2)
    assert run.calls
    assert (run.violations[0].partition(": ")[2] if run.violations else None) == found


@pytest.mark.parametrize(("a_call", "leaks"), [(0, False), (0.5, False), (500, True)])
def test_soak_finds_a_leak(a_call, leaks):
    """Memory that goes up and down is none, memory that grows with the calls is."""
    rows = [(n * 1_000, 5_000_000 + n * 1_000 * a_call + n % 3 * 100_000) for n in range(40)]
    grown, calls = soak.growth(rows)
    assert (grown > soak.NOISE + soak.LEAK * calls) == leaks


def report(check="a check", when="call", outcome="passed", reason=""):
    """Return what pytest tells of a part of a test."""
    told = SimpleNamespace(when=when, passed=False, failed=False, skipped=False, longrepr=("", 1, f"Skipped: {reason}"))
    told.user_properties = [("check", ("django", check))]
    setattr(told, outcome, True)
    return told


def test_check_passes_if_each_case_did_that_the_framework_can_have(tmp_path):
    """One failed case, or a failing fixture, fails its check; a check is lacking only if all of its cases are."""
    notes = conformance.Notes(tmp_path)
    for told in (
        report("whole", "setup", "skipped", "no such thing"),
        report("whole"),
        report("lacking", "setup", "skipped", "django: no such thing"),
        report("lacking", "teardown"),
        report("broken", outcome="failed"),
        report("broken"),
        report("left open"),
        report("left open", "teardown", "failed"),
    ):
        notes.pytest_runtest_logreport(told)
    assert notes.found == {
        "django": {"whole": "✓", "lacking": "no such thing", "broken": "FAILS", "left open": "FAILS"},
    }


def test_conformance_fails_if_a_check_did_or_did_not_run(monkeypatch, capsys):
    """The command's exit code is 1 unless every check passed or has a reason to be lacking."""
    checks = [check for group in conformance.groups().values() for check in group]
    for outcome, code in (("✓", 0), ("a reason", 0), ("FAILS", 1), ("not run", 1)):
        found = {"django": dict.fromkeys(checks, "✓") | {checks[0]: outcome}}
        monkeypatch.setattr(conformance, "collected", lambda *_, found=found: found)
        assert command_line.main(["conformance"]) == code
        assert (f"django, {checks[0]}: {outcome}" in capsys.readouterr().out) == bool(code)

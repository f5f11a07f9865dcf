"""The conformance suite of the adapters as a table: ``python -m benchmarks conformance``.

Workload: the checks of tests/adapters/test_conformance.py, through real sockets, over each framework and both
    middlewares; with --incumbents over what else caches responses (benchmarks/controls.py), to see that they can fail.
Reading: first how many checks of each group a framework keeps, as the README has it, then each check; a number stands
    for why a framework cannot have a check. It fails if a check does. Further options are pytest's, as `-n 2`.
Command: python -m benchmarks conformance
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from . import table

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests" / "adapters"
SUITE = FOLDER / "test_conformance.py"
CONTROLS = Path(__file__).parent / "controls.py"
PASSES, FAILS, NOT_RUN = "✓", "FAILS", "not run"


def main(arguments: list[str]) -> int:
    """Run the suite and print the tables. Returns 1 if a framework fails a check, 0 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks conformance", description="Framework by check.")
    parser.add_argument("--incumbents", action="store_true", help="count what other products fail, as a control")
    options, given = parser.parse_known_args(arguments)
    if options.incumbents:
        found = collected([CONTROLS], *given)
        print(table.markdown("Negative controls", controls(found), []))
        return 0
    found = collected(files(), *given)
    print(table.markdown("What each framework keeps", summary(found), []), end="\n\n")
    print(table.markdown("Check by check", details(found), []), end="\n\n")
    print("\n".join(f"{number}. {reason}" for reason, number in reasons(found).items()))
    missed = [
        f"{framework}, {check}: {outcome}"
        for framework, checks in found.items()
        for check, outcome in checks.items()
        if outcome in {FAILS, NOT_RUN}
    ]
    print("\n".join(missed))
    return int(bool(missed) or not found)


def files():
    """Return the files that run the suite."""
    return sorted(FOLDER.glob("test_*conformance*.py"))


def collected(paths, *options):
    """Run the suite, or with --collect-only look at it, and return {framework: {check: outcome or why it has none}}."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.json"
        command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", "-p", __name__]
        command += [f"--conformance={told}", *options, *map(str, paths)]
        ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if ran.returncode not in {0, 1}:
            raise RuntimeError(ran.stdout)
        return json.loads(told.read_text())


def groups():
    """Return {group: its checks}: as the comments of the suite divide it."""
    found = {}
    for group, check in re.findall(r"^# ---- (.+)$|^def test_(\w+)", SUITE.read_text(), re.MULTILINE):
        if group:
            checks = found.setdefault(group, [])
        else:
            checks.append(check.replace("_", " "))
    return found


def of(checks, outcome):
    """Return the checks that ended so."""
    return [check for check, ended in checks.items() if ended == outcome]


def reasons(found):
    """Return {why a framework cannot have a check: the number that stands for it}."""
    told = {ended for checks in found.values() for ended in checks.values()} - {PASSES, FAILS}
    return {reason: number for number, reason in enumerate(sorted(told), 1)}


def summary(found):
    """Return rows of frameworks, columns of groups: how many checks are kept."""
    numbers = reasons(found)
    rows = [["framework", *(f"{group} ({len(checks)})" for group, checks in groups().items())]]
    for framework, outcomes in found.items():
        row = [framework]
        for checks in groups().values():
            ended = [outcomes.get(check, FAILS) for check in checks]
            kept = ended.count(PASSES)
            notes = sorted({numbers[end] for end in ended if end in numbers})
            mark = "all" if kept == len(checks) else str(kept)
            row.append(FAILS if FAILS in ended else " ".join([mark, *(f"({note})" for note in notes)]))
        rows.append(row)
    return rows


def details(found):
    """Return rows of checks, columns of frameworks."""
    numbers = reasons(found)
    checks = [check for group in groups().values() for check in group]
    rows = [["check", *found]]
    for check in checks:
        ended = [outcomes.get(check, FAILS) for outcomes in found.values()]
        rows.append([check, *(f"({numbers[end]})" if end in numbers else end for end in ended)])
    return rows


def controls(found):
    """Return rows of controls: how many checks each fails, and how many of those that no cache at all would pass."""
    harmless = set(of(found["no cache"], PASSES))
    rows = [["control", "fails", "of", "of those passed without a cache", "of"]]
    for name, checks in found.items():
        failed = set(of(checks, FAILS))
        rows.append([name, *map(str, (len(failed), len(checks), len(failed & harmless), len(harmless)))])
    return rows


# ---- what runs inside of pytest, which loads this file as a plugin


def pytest_addoption(parser):
    parser.addoption("--conformance", help="where to write {framework: {check: outcome}}")


def pytest_configure(config):
    config.pluginmanager.register(Notes(config.getoption("--conformance")))


def framework_of(item):
    """Return the row of a case, whatever server it runs behind."""
    fixed = {"flask": "flask", "asgi": "ASGI middleware", "wsgi": "WSGI middleware"}
    place = fixed.get(item.path.stem.removeprefix("test_").partition("_")[0]) or item.callspec.params["site"]
    return place.partition(" behind ")[0]


class Notes:
    """What became of each check in each framework, over all of its cases and servers."""

    def __init__(self, path):
        self.path = Path(path)
        self.found = {}  # {framework: {check: outcome}}

    def pytest_collection_modifyitems(self, items):
        for item in items:
            if item.function.__code__.co_filename == str(SUITE):
                check = item.originalname.removeprefix("test_").replace("_", " ")
                item.user_properties.append(("check", (framework_of(item), check)))
                self.found.setdefault(framework_of(item), {}).setdefault(check, NOT_RUN)

    def pytest_runtest_logreport(self, report):
        told = dict(report.user_properties).get("check")
        if told is None:
            return
        framework, check = told
        checks = self.found.setdefault(framework, {})
        if report.failed:
            checks[check] = FAILS
        elif report.passed and report.when == "call" and checks.get(check) != FAILS:
            checks[check] = PASSES  # even if the framework lacks one of the check's cases
        elif report.skipped and checks.get(check, NOT_RUN) == NOT_RUN:
            checks[check] = report.longrepr[2].removeprefix("Skipped: ").removeprefix(f"{framework}: ")

    def pytest_sessionfinish(self, session):
        if not hasattr(session.config, "workerinput"):
            found = {framework: self.found[framework] for framework in sorted(self.found, key=str.lower)}
            self.path.write_text(json.dumps(found))

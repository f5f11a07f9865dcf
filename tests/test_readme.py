"""The README is true: every code block in it runs, in order, as one program, and prints what its comments say."""

import contextlib
import io
import re
import shlex
import sys
from pathlib import Path

import pytest

from benchmarks import conformance

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text() if README.exists() else ""
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.real_time
def test_every_block_runs_and_prints_what_it_says(tmp_path, monkeypatch):
    """Each ``print(...)  # text`` of the README prints that text."""
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__readme__"}
    module = type(sys)("__readme__")
    module.__dict__.update(namespace)
    monkeypatch.setitem(sys.modules, "__readme__", module)
    for number, block in enumerate(BLOCKS, 1):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, f"README block {number}", "exec"), module.__dict__)
        said = [line.rpartition("  # ")[2] for line in block.splitlines() if re.match(r"\s*print\(.*  # ", line)]
        assert printed.getvalue().splitlines() == said, f"block {number}:\n{block}"


def test_no_code_is_cut_off():
    """A line of code, and what it prints, is as wide at most as a page shows it."""
    wide = [line for block in BLOCKS for line in block.splitlines() if len(line) > 98]
    assert wide == []


def test_links_lead_to_headings():
    """Every link within the README has a heading to go to."""
    headings = re.findall(r"^#+ (.*)", TEXT, re.MULTILINE)
    places = {re.sub(r"[^a-z0-9_ -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", TEXT)) <= places


def test_figures_at_the_top_are_those_of_the_benchmarks():
    """What the first screen says was measured stands in the tables at the end."""
    top = TEXT[TEXT.index("| [Measured]") :].partition("\n\n")[0].splitlines()[2:]
    figures = {figure for row in top for figure in re.findall(r"[\d.,]*\d", row.partition(" | ")[2])}
    known = set(re.findall(r"[\d.,]*\d", TEXT[TEXT.index("## Benchmarks") :]))
    assert figures
    assert figures <= known


def test_first_code_comes_by_line_20():
    """A reader sees code before anything is explained."""
    assert TEXT.splitlines().index("```python") < 20


def test_the_two_commands_of_the_readme_are_the_ones_that_ci_runs():
    """The command that passes the tests stands in the gate letter for letter."""
    gate = (README.parent / ".ci" / "run").read_text()
    command = "pip install '.[test]' && python -m pytest"
    assert command in TEXT
    assert all(word in gate for word in shlex.split(command) if word != "&&")
    assert "pip install . && python -m asyncfan demo" in TEXT


@pytest.mark.real_time  # another process collects them
def test_conformance_table_has_the_frameworks_and_checks_that_the_suite_has():
    """Its rows are the frameworks, its columns the groups of checks with their numbers; what became of them is not compared."""
    header, *rows = conformance.summary(conformance.collected(conformance.files(), "--collect-only"))
    table = TEXT[TEXT.index("| framework |") :].partition("\n\n")[0].splitlines()
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert lines[0] == header
    assert [line[0] for line in lines[2:]] == [row[0] for row in rows]

"""The results as text for a terminal, as Markdown and as JSON; the machine and the versions they hold for."""

import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .result import Entry, Result
from .runner import version
from .workload import Bar, Workload


def text(title: str, rows: list[list[str]], notes: list[str]) -> str:
    """Return a table for a terminal; the first row is its header."""
    columns = [_padded(column) for column in zip(*rows, strict=True)]
    header, *body = ("  ".join(row).rstrip() for row in zip(*columns, strict=True))
    rule = "  ".join("-" * len(column[0]) for column in columns)
    return "\n".join([title, header, rule, *body, *notes])


def markdown(title: str, rows: list[list[str]], notes: list[str]) -> str:
    """Return a table for a README; the first row is its header."""
    header, *body = ("| " + " | ".join(row) + " |" for row in rows)
    sides = ("--:" if _is_numbers(column) else ":--" for column in zip(*rows, strict=True))
    rule = "| " + " | ".join(sides) + " |"
    return "\n\n".join([f"**{title}**", "\n".join([header, rule, *body]), *filter(None, [" ".join(notes)])])


def _padded(column: tuple[str, ...]) -> list[str]:
    width = max(map(len, column))
    return [cell.rjust(width) if _is_numbers(column) else cell.ljust(width) for cell in column]


def _is_numbers(column: tuple[str, ...]) -> bool:
    return all(cell in {"", "-"} or cell[0].isdigit() for cell in column[1:])


def cells(result: Result) -> list[list[str]]:
    """Return the header and one row a contestant."""
    workload = result.workload
    header = ["contestant"]
    for figure in workload.figures:
        header += [figure, "ratio"] if figure in workload.compared else [figure]
    header.append("spread")
    header += ["bar", "aim", "reached"] if workload.bars else []
    return [header, *(_row(result, entry) for entry in result.entries.values())]


def _row(result: Result, entry: Entry) -> list[str]:
    workload = result.workload
    row = [entry.name]
    for figure in workload.figures:
        row.append(_number(entry.best(figure)))
        if figure in workload.compared:
            row.append(_number(result.ratio(entry.name, figure), "{:.2f}"))
    row.append(_number(entry.spread(workload.figures[0]), "{:.0%}"))
    if workload.bars:
        bar = workload.bars.get(entry.name)
        row += [_bar(bar, bar.limit), _bar(bar, bar.aim), result.verdict(entry.name) or ""] if bar else [""] * 3
    return row


def _bar(bar: Bar, value: float) -> str:
    return f"{value:.2f}" if bar.relative else f"{value:g} {bar.figure}"


def _number(value: float | None, form: str | None = None) -> str:
    if value is None:
        return "-"
    if form is None:
        whole = value == int(value) or abs(value) >= 100
        form = "{:,.0f}" if whole else "{:.1f}" if abs(value) >= 10 else "{:.2f}"
    return form.format(value)


def notes(result: Result) -> list[str]:
    """Return what the figures do not say: who is 1.00, who ran with fewer items, who did not run and why."""
    entries = result.entries.values()
    fewer = [entry for entry in entries if entry.size < result.size]
    return [
        f"Ratio: {result.workload.reference} is 1.00.",
        *(f"{entry.name} ran with {entry.size:,}, not {result.size:,}." for entry in fewer),
        *(f"{entry.name} {entry.trouble}." for entry in entries if entry.trouble),
    ]


def bars(results: list[Result]) -> list[list[str]]:
    """Return one row for each bar there is to reach, with a header."""
    rows = [["work", "asyncfan", "ratio", "bar/aim", "reached"]]
    for result in results:
        for name, bar in result.workload.bars.items():
            work = result.title if name == "asyncfan" else f"{result.title}: {name.removeprefix('asyncfan: ')}"
            best = f"{_number(result.entries[name].best(bar.figure))} {bar.figure}"
            ratio = f"{_number(result.ratio(name, bar.figure), '{:.2f}')} of {result.workload.reference}"
            bars = f"{bar.limit:g}/{bar.aim:g}"
            rows.append([work, best, ratio if bar.relative else "", bars, result.verdict(name) or ""])
    return rows


def machine() -> str:
    """Return the interpreter and the machine in one line."""
    cpu = platform.processor() or platform.machine()
    try:
        info = Path("/proc/cpuinfo").read_text()
        cpu = info.partition("model name")[2].partition(":")[2].partition("\n")[0].strip() or cpu
    except OSError:
        pass
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{python}, {platform.system()} {platform.machine()}, {cpu}, {os.cpu_count()} cores"


def versions(workloads: Iterable[Workload]) -> dict[str, str]:
    """Return ``{distribution: version or "not installed"}`` for all that the workloads need."""
    needed = {contestant.package for workload in workloads for contestant in workload.contestants.values()}
    return {package: version(package) or "not installed" for package in sorted(filter(None, needed))}


def as_dict(results: list[Result], rounds: int, *, quick: bool) -> dict[str, Any]:
    """Return everything, for JSON."""
    return {
        "machine": machine(),
        "versions": versions(result.workload for result in results),
        "rounds": rounds,
        "quick": quick,
        "workloads": [result.as_dict() for result in results],
    }

"""The command line: ``python -m benchmarks [NAME ...]``."""

import argparse
import json
import sys
from pathlib import Path

from . import browser, conformance, plots, soak, table
from .runner import run
from .workload import Workload
from .workloads import WORKLOADS

OTHERS = {"browser": browser, "conformance": conformance, "plots": plots, "soak": soak}  # {name: what has a main}


def main(arguments: list[str] | None = None) -> int:
    """Measure what was asked for and print it. Returns 1 if a contestant failed, 0 otherwise."""
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in OTHERS:
        return OTHERS[given[0]].main(given[1:])
    options = parse(given)
    if options.list:
        print(
            "\n".join(
                f"{workload.name:<24}{workload.title.format(size=workload.size)}" for workload in WORKLOADS.values()
            )
        )
        return 0
    rounds = options.rounds or (2 if options.quick else 5)
    show = table.markdown if options.markdown else table.text
    results = []
    for workload in options.workloads:
        results.append(run(workload, rounds, quick=options.quick, say=progress))
        progress("")
        print(
            show(results[-1].title, table.cells(results[-1]), table.notes(results[-1])),
            end="\n\n",
            flush=True,
        )
    print(show("The bars", table.bars(results), [foot(options.workloads, rounds, quick=options.quick)]))
    if options.json:
        options.json.write_text(json.dumps(table.as_dict(results, rounds, quick=options.quick), indent=2) + "\n")
    return int(
        any((entry.trouble or "").startswith("failed") for result in results for entry in result.entries.values())
    )


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options; the names become workloads."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="asyncfan beside its peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a workload or a group, as `hit`; all without one")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, 2 rounds: to look, not to publish")
    parser.add_argument("--rounds", type=int, metavar="N", help="fresh processes a contestant (5; 2 with --quick)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write everything measured to this file")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument("--list", action="store_true", help="print the workloads")
    options = parser.parse_args(arguments)
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds must be >= 1, got {options.rounds}")
    for name in options.names:
        if not chosen([name]):
            parser.error(f"no workload is called {name!r}; there are {', '.join(WORKLOADS)}")
    options.workloads = chosen(options.names or list(WORKLOADS))
    return options


def chosen(names: list[str]) -> list[Workload]:
    """Return the workloads of these names and groups, each once, in the usual order."""
    return [
        workload
        for workload in WORKLOADS.values()
        if any(workload.name == name or workload.name.startswith(f"{name}-") for name in names)
    ]


def foot(workloads: list[Workload], rounds: int, *, quick: bool) -> str:
    """Return what the figures hold for."""
    sizes = "Smaller sizes: no verdict on the bars. " if quick else ""
    installed = ", ".join(f"{package} {number}" for package, number in table.versions(workloads).items())
    return f"{sizes}Best of {rounds} processes each, taking turns. {table.machine()}. {installed}."


def progress(message: str) -> None:
    """Show on a terminal what is being measured."""
    if sys.stderr.isatty():
        print(f"\r\033[K{message}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

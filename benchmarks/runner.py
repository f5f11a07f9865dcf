"""Runs the measurements: each in a fresh process, the contestants taking turns."""

import json
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from .result import Entry, Result
from .workload import Workload

TIMEOUT = 600  # seconds that one measurement may take
ROOT = Path(__file__).parents[1]


def run(
    workload: Workload,
    rounds: int,
    *,
    quick: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Result:
    """Measure every contestant once a round, each round beginning with another one.

    Turns, not one contestant after the other: what disturbs the machine for a minute then disturbs them all.
    """
    entries = {name: Entry(name, workload.size_for(name, quick=quick)) for name in workload.contestants}
    names = list(entries)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            if entries[name].trouble is None:
                say(f"{workload.name}: round {number + 1} of {rounds}: {name}")
                _measure(workload, entries[name])
    return Result(workload, entries)


def _measure(workload: Workload, entry: Entry) -> None:
    """Add one sample to the entry, or say in it why there is none."""
    package = workload.contestants[entry.name].package
    if package is not None and version(package) is None:
        entry.trouble = "is not installed"
        return
    command = [sys.executable, "-m", "benchmarks.run", workload.name, entry.name, str(entry.size)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    except subprocess.TimeoutExpired:
        entry.trouble = f"failed: it took more than {TIMEOUT} s"
        return
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip() or f"exit code {error.returncode}").splitlines()[-1]
        entry.trouble = f"failed: {last}"
        return
    answer = json.loads(done.stdout.splitlines()[-1])
    if "figures" in answer:
        entry.samples.append(answer["figures"])
    else:
        entry.trouble = answer["not_offered"]


def version(package: str) -> str | None:
    """Return the installed version of a distribution, None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None

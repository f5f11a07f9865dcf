"""The cache keeps every rule of the oracle in 20,000 schedules; the gate plays 60,000, on one Python."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .explorer import explore, play
from .scenes import SCENES

SCHEDULES = int(os.environ.get("ASYNCFAN_SCHEDULES", "20000"))
ROOT = Path(__file__).parents[2]


def test_one_seed_is_one_schedule():
    """The same seed gives the same events in the same order, so that what is found can be looked at."""
    first, second = (explore(5) for _ in range(2))
    assert [str(event) for event in first.events] == [str(event) for event in second.events]
    assert first.events


@pytest.mark.parametrize("scene", SCENES)
def test_every_scene_keeps_every_rule(scene):
    """Nor is one broken in the schedules that chance comes to too seldom."""
    assert play(SCENES[scene]).violations == []


def test_every_schedule_keeps_every_rule():
    """No foreign cancellation, hang, dead key, stale read, second live load, leaked task or wrong count in any (F2 to F7, F11, F12)."""
    pieces = os.cpu_count() or 1
    edges = [SCHEDULES * i // pieces for i in range(pieces + 1)]
    running = [command("--seeds", str(first), str(stop - 1)) for first, stop in itertools.pairwise(edges)]
    printed = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * pieces, "".join(printed)


def test_command_prints_a_schedule():
    """``--seed N`` prints what happens in that schedule, and that every rule was kept."""
    printed = command("--seed", "3").communicate()[0]
    assert "begins for" in printed
    assert printed.endswith("every rule was kept\n")


def command(*args):
    """Start the explorer in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.explorer.explorer", *args], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )

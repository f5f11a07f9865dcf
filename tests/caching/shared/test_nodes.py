"""Two and three processes with one server never serve what one of them cleared, whatever befalls the messages."""

import inspect
import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from asyncfan.caching.shared.clears import Clears
from asyncfan.caching.shared.outbox import Outbox
from asyncfan.caching.shared.reading import Reader
from asyncfan.caching.shared.tier import SharedTier
from asyncfan.caching.shared.unsent import Unsent
from asyncfan.testing.memory_store import _Server

from .world import explore

SCHEDULES = int(os.environ.get("ASYNCFAN_SCHEDULES", "6000")) // 50
MUTANT_SEEDS = 600
ROOT = Path(__file__).parents[3]

# {bug: (a seed that shows it, to be tried first, class, method, what is replaced in it, by what)}
MUTANTS = {
    "the server takes a value whose lease was taken away": (
        16, _Server, "write", "if not self.owns(name, token):", "if False:"
    ),
    "values from before the floor are served": (
        49, Clears, "mean", " or number < ledger.floor", ""
    ),
    "values of another run are served": (
        26, Clears, "mean", " or run != ledger.run", ""
    ),
    "clears of tags say nothing": (
        5, Clears, "mean", "ledger.tags.get(tag, 0) > number", "False"
    ),
    "clears of patterns say nothing": (
        5, Clears, "mean", "return self._fences.cleared_since(number, lambda: untyped(text))", "return False"
    ),
    "missing clears are not fetched": (
        2, Clears, "knows", "return ledger.run == self.run and ledger.number <= self.number", "return True"
    ),
    "a gap between clears is not seen": (
        2216, Clears, "note", "number == self.number + 1", "number > self.number"
    ),
    "the floor of a fetched ledger says nothing": (
        1530, Clears, "adopt", "self._fences.raise_floor(ledger.floor)", "pass"
    ),
    "tags that were not asked for are not looked up": (
        78, Reader, "_judge", "ledger is None or not tags.issubset(asked)", "ledger is None"
    ),
    "a value is stamped when it is written": (
        7, SharedTier, "write", "Header(lease.run, lease.number,", "Header(self._clears.run, self._clears.number,"
    ),
    "what was not yet sent is read back": (
        11, Unsent, "mean", "return self._fences.cleared_since(mark, lambda: untyped(text))", "return False"
    ),
    "what was just sent is read back": (
        12, Unsent, "confirm", "self._fences.forget(oldest)", "self._fences = Fences()"
    ),
    "what could not be sent is forgotten": (
        5, Outbox, "_send_all", "self._put_back(batch)", "self._confirm(batch, None)"
    ),
    "a put is sent again after a failure": (
        120, Outbox, "_put_back", "batch.puts.clear()", "pass"
    ),
    "what was said while nobody listened is not minded": (
        16, SharedTier, "_connected", "self._invalidated.drop_all()", "pass"
    ),
    "other processes' drops are not minded": (
        29, SharedTier, "_heard", "if message.texts:", "if False:"
    ),
    "other processes' clears of tags are not minded": (
        60, SharedTier, "_heard", "if message.tags:", "if False:"
    ),
    "other processes' clears of everything are not minded": (
        34, SharedTier, "_heard", "message is None or message.everything", "message is None"
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def quiet():
    """The nodes' troubles are no news."""
    logging.getLogger("asyncfan").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("asyncfan").setLevel(logging.NOTSET)


def test_one_seed_is_one_schedule():
    """The same seed gives the same events, so that what is found can be looked at."""
    first, second = explore(4), explore(4)
    assert first.served == second.served
    assert first.loop.time() == second.loop.time()
    assert sum(first.served.values()) > 0


def test_nodes_never_serve_what_was_cleared():
    """No seed gives a call a value older than a confirmed invalidation, from the server, nor anybody one at rest (F13)."""
    pieces = os.cpu_count() or 1
    edges = [SCHEDULES * i // pieces for i in range(pieces + 1)]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.caching.shared.world", str(edges[i]), str(edges[i + 1])],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )
        for i in range(pieces)
    ]  # fmt: skip
    printed = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * pieces, "".join(printed)


def mutated(owner, name, old, new):
    """Return the method ``name`` of ``owner`` with ``old`` replaced in its source."""
    source = textwrap.dedent(inspect.getsource(getattr(owner, name)))
    assert old in source, f"{owner.__name__}.{name} no longer has {old!r}: write the mutant anew"
    scope = {}
    code = compile("from __future__ import annotations\n" + source.replace(old, new), "<mutant>", "exec")
    exec(code, sys.modules[owner.__module__].__dict__, scope)
    return scope[name]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bug", MUTANTS)
def test_simulation_finds(bug, monkeypatch):
    """One of the first seeds shows the bug."""
    hint, owner, name, old, new = MUTANTS[bug]
    monkeypatch.setattr(owner, name, mutated(owner, name, old, new))
    assert any(explore(seed).violations for seed in (hint, *range(MUTANT_SEEDS)))

"""What came out: each contestant's samples, the best, its ratio to the reference, the verdict."""

from dataclasses import asdict, dataclass, field
from typing import Any

from .workload import Workload


@dataclass(slots=True)
class Entry:
    """What one contestant did in one workload."""

    name: str
    size: int
    samples: list[dict[str, float]] = field(default_factory=list)  # one {figure: value} a round
    trouble: str | None = None  # why there are no samples, or no more: the predicate of a sentence

    def best(self, figure: str) -> float | None:
        """Return the lowest value over the rounds, None without one."""
        return min((sample[figure] for sample in self.samples), default=None)

    def spread(self, figure: str) -> float | None:
        """Return how far the worst round lies above the best one, as a share of the best; None for zero."""
        lowest = self.best(figure)
        return max(sample[figure] for sample in self.samples) / lowest - 1 if lowest else None


@dataclass(slots=True)
class Result:
    """All that was measured in one workload."""

    workload: Workload
    entries: dict[str, Entry]

    @property
    def size(self) -> int:
        """The size that contestants were measured with, but for those that ran with fewer."""
        return max(entry.size for entry in self.entries.values())

    @property
    def title(self) -> str:
        """The workload's title, with the size that was run."""
        return self.workload.title.format(size=self.size)

    def ratio(self, name: str, figure: str) -> float | None:
        """Return the contestant's best in times the reference's best."""
        mine = self.entries[name].best(figure)
        theirs = self.entries[self.workload.reference].best(figure)
        return mine / theirs if mine is not None and theirs and theirs > 0 else None

    def verdict(self, name: str) -> str | None:
        """Return ``aim``, ``bar`` or ``missed``, whichever was reached; None with no bar to reach."""
        bar = self.workload.bars.get(name)
        if bar is None:
            return None
        reached = self.ratio(name, bar.figure) if bar.relative else self.entries[name].best(bar.figure)
        if reached is None:
            return "not measured"
        return "aim" if reached <= bar.aim else "bar" if reached <= bar.limit else "missed"

    def as_dict(self) -> dict[str, Any]:
        """Return everything, for JSON."""
        return {
            "name": self.workload.name,
            "title": self.title,
            "reference": self.workload.reference,
            "contestants": [self._entry_as_dict(entry) for entry in self.entries.values()],
        }

    def _entry_as_dict(self, entry: Entry) -> dict[str, Any]:
        bar = self.workload.bars.get(entry.name)
        return {
            "name": entry.name,
            "size": entry.size,
            "trouble": entry.trouble,
            "best": {figure: entry.best(figure) for figure in self.workload.figures},
            "ratio": {figure: self.ratio(entry.name, figure) for figure in self.workload.compared},
            "bar": asdict(bar) if bar else None,
            "verdict": self.verdict(entry.name),
            "samples": entry.samples,
        }

"""What limits and sizes that find themselves have in common: steps on trial, kept if they were worth it, and a trace.

A value climbs the hill of a score that can only be measured while it is in force, with noise. Each step is judged by
what was measured before and after it, when the difference is clear of the noise; one that was not worth it is undone.
Steps that succeed grow, steps that fail shrink; where both ways fail, it rests for longer and longer between trials.
"""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["TRACE", "Climber", "Decision", "Measured"]

# Decisions that a trace holds.
TRACE = 64
# Steps, as powers of two: the first one; the longest, so that nothing overshoots by more than 1.42 times; the shortest,
# which is how far the value moves to and fro where it rests. It is longer where noise would hide what it brings.
FIRST, LONGEST, SHORTEST = 1 / 4, 1 / 2, 1 / 8
# Standard errors by which two scores must differ before that.
CLEAR = 3.0
# Turns to rest between trials at most, where none succeeds.
REST = 16


class Decision(NamedTuple):
    """One change of a limit or a size, and what led to it.

    Attributes:
        time: When, by the clock of the event loop.
        before: The value until then.
        after: The value from then on.
        why: The reason, in words.
    """

    time: float
    before: int
    after: int
    why: str

    def __str__(self) -> str:
        return f"at {self.time:.3f} s: {self.before} -> {self.after}, {self.why}"


class Measured:
    """The mean and the variance of what was measured; the past is worth ``memory`` measurements at most."""

    __slots__ = ("count", "mean", "memory", "variance")

    def __init__(
        self, mean: float = 0.0, variance: float = 0.0, count: float = 0.0, *, memory: float = math.inf
    ) -> None:
        self.mean: float = mean
        self.variance: float = variance
        self.count: float = count  # up to `memory`
        self.memory: float = memory

    def add(self, mean: float, variance: float, count: float) -> None:
        """Take in ``count`` more measurements with this mean and variance."""
        self.count = min(self.count + count, max(self.memory, count))
        share = count / self.count
        apart = mean - self.mean
        self.variance += share * (variance - self.variance + (1 - share) * apart * apart)
        self.mean += share * apart

    @property
    def error(self) -> float:
        """The standard error of the mean, squared; infinite before anything was measured."""
        return self.variance / self.count if self.count else math.inf


class Climber:
    """A whole number between bounds, on its way to where its score is best.

    Args:
        least: The lower bound.
        most: The upper bound.
        worth: How many per cent the score must rise by for each per cent that the value rises by, and may fall by for
            each that it falls by. Scores are logarithms.
        enough: Measurements after which a difference counts however noisy it is.

    Attributes:
        value: What is in force; it begins in the middle, the geometric mean of the bounds.
        here: The score that was measured since it is.
        tried: While a step is on trial: the value and the score before it.
    """

    def __init__(self, least: int, most: int, worth: float, enough: float) -> None:
        self.least: int = least
        self.most: int = most
        self._worth = worth
        self._noticed = max(worth, 1 - worth)  # how much the gain of a step can differ from what is asked for
        self.value: int = self.bounded(math.sqrt(least) * math.sqrt(most))
        self._enough = enough
        self.here: Measured = Measured(memory=enough)
        self.tried: tuple[int, Measured] | None = None
        self._way = 1.0  # up or down, the next trial
        self._stride = FIRST
        self._failed = False  # whether the step before was not worth it either
        self._rest = 0  # turns between trials
        self._rested = 0

    def next(self) -> int | None:
        """Return the value to try now; None while the last step is on trial or it is time to rest."""
        if self.tried is not None or not self.here.count:
            return None
        self._rested += 1
        if self._rested <= self._rest:
            return None
        for _ in range(2):
            value = self.bounded(self.value * 2.0 ** (self._way * self._stride))
            if value == self.value:
                value = self.bounded(value + self._way)
            if value != self.value:
                return value
            self._way = -self._way
        return None

    def step(self, value: int, before: Measured | None = None) -> None:
        """Put ``value`` in force, on trial; ``before`` is the score until now, if it is not `here`."""
        self.tried = (self.value, before or self.here)
        self.value, self.here = value, Measured(memory=self._enough)

    def gain(self) -> float | None:
        """Return how much more the step on trial brought than it must; None while that is not clear."""
        if self.tried is None or not self.here.count:
            return None
        value, before = self.tried
        gain = self.here.mean - before.mean - self._worth * math.log(self.value / value)
        if self.here.count < self._enough and abs(gain) < CLEAR * math.sqrt(self.here.error + before.error):
            return None
        return gain

    def keep(self) -> None:
        """End the trial: go on the same way at once, in a longer step."""
        assert self.tried is not None  # noqa: S101 - only called on trial
        self._way = 1.0 if self.value > self.tried[0] else -1.0
        self._stride = min(2 * self._stride, LONGEST)
        self._rest = self._rested = 0
        self._failed = False
        self.tried = None

    def undo(self) -> None:
        """End the trial with the value before it, and try the other way; in a shorter step where neither was worth it.

        Where neither way is worth the shortest step, it is time for a rest.
        """
        assert self.tried is not None  # noqa: S101 - only called on trial
        self.value, self.here = self.tried
        self.tried = None
        self.turn()

    def turn(self) -> None:
        """Note that the step that is next is not worth it, tried or not."""
        self._way = -self._way
        self._rested = 0
        if self._failed and self._stride > self._shortest:
            self._stride = max(self._stride / 2, self._shortest)
        elif self._failed:
            self._rest = min(max(2 * self._rest, 1), REST)
        self._failed = not self._failed

    @property
    def _shortest(self) -> float:
        """The shortest step whose gain is one and a half times the noise that remains when enough was measured."""
        noise = 1.5 * math.sqrt(2 * self.here.variance / self._enough)
        return min(max(SHORTEST, noise / (math.log(2) * self._noticed)), LONGEST)

    def jump(self, value: int) -> None:
        """Put ``value`` in force without a trial, and climb from there."""
        self.value, self.here, self.tried = value, Measured(memory=self._enough), None
        self._way, self._stride, self._rest, self._rested, self._failed = 1.0, FIRST, 1, 0, False

    def bounded(self, value: float) -> int:
        """Return the whole number within the bounds that is nearest."""
        return int(min(max(value + 0.5, self.least), self.most))

"""What limits and sizes that find themselves have in common: steps on trial, kept if they were worth it, and a trace.

A value climbs the hill of a score that can only be measured while it is in force, with noise. Each step is judged by
what was measured before and after it, as soon as that makes it likely enough that it was worth it, or that it was not:
then it is undone. What was kept is measured again before the next one, for it may have been lucky. Steps that succeed
grow, steps that fail or bring little shrink; where both ways fail, it rests for longer and longer between trials.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

__all__ = ["TRACE", "Climber", "Decision", "Measured", "check_bounds"]

# Decisions that a trace holds.
TRACE = 64
# Steps, as powers of two: the first one; the longest, so that nothing overshoots by more than 1.42 times; the shortest,
# which is how far the value moves to and fro where it rests. It is longer where noise would hide what it brings, and
# the longest twice that: half the step needs four times the measurements. A step down, which costs more than a step up
# that brings nothing, is no longer than the last of these where there is noise.
FIRST, LONGEST, SHORTEST, DOWN = 1 / 4, 1 / 2, 1 / 8, 0.4
# A step is judged when one verdict is so many times as likely as the other, given what was measured: Wald, "Sequential
# tests of statistical hypotheses" (Annals of Mathematical Statistics 16, 1945). Where three standard errors were asked
# for, it took five times as long where times scatter by 0.3.
SURE = math.log(40)
# A difference of two scores in a row counts for so many times the variance until then at most, or so many times what is
# faint: where it is larger, what is measured has changed.
FAR, FAINT = 9.0, 0.003
# Turns to rest between trials at most, where none succeeds.
REST = 16


def check_bounds(least: Any, most: Any) -> None:
    """Refuse ``min`` and ``max`` that bound no whole number >= 1.

    Raises:
        TypeError: One is not an int.
        ValueError: ``least`` is less than 1, or ``most`` less than ``least``.
    """
    for name, value in (("min", least), ("max", most)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an int >= 1, got {value!r}")
    if least < 1:
        raise ValueError(f"min must be >= 1, got {least!r}")
    if most < least:
        raise ValueError(f"max must be >= min={least!r}, got {most!r}")


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


class Climber:
    """A whole number between bounds, on its way to where its score is best.

    Args:
        least: The lower bound.
        most: The upper bound.
        worth: How many per cent the score must rise by for each per cent that the value rises by, and may fall by for
            each that it falls by. Scores are logarithms.
        enough: Measurements after which a difference counts however noisy it is.
        rounds: The same, in times of the value, where that is more.

    Attributes:
        value: What is in force; it begins in the middle, the geometric mean of the bounds.
        here: The score that was measured since it is.
        tried: While a step is on trial: the value and the score before it.
    """

    def __init__(self, least: int, most: int, worth: float, enough: float, rounds: float = 0.0) -> None:
        self.least: int = least
        self.most: int = most
        self._worth = worth
        self._apart = 2 * math.sqrt(worth * (1 - worth))  # how far the gains are apart that are to be told from another
        self._fewest, self._rounds = enough, rounds
        self.value: int = self.bounded(math.sqrt(least) * math.sqrt(most))
        self.here: Measured = Measured(memory=self._enough)
        self.tried: tuple[int, Measured] | None = None
        # The variance of scores, whatever the value: that of the first few under a new one may be small by chance.
        self._noise = Measured(memory=10 * enough)
        self._last = 0.0  # the score before
        self._owed = 0.0  # measurements to take before the next trial
        self._way = 1.0  # up or down, the next trial
        self._stride = FIRST
        self._failed = False  # whether the step before was not worth it either
        self._rest = 0  # turns between trials
        self._rested = 0

    def learn(self, mean: float, variance: float, count: float) -> None:
        """Take in ``count`` more scores with this mean and variance."""
        if count > 1:
            self._noise.add(variance, 0.0, count)
        elif self.here.count:  # of two in a row: a change of what is measured is no noise
            self._noise.add(min((mean - self._last) ** 2 / 2, FAR * max(self._noise.mean, FAINT)), 0.0, count)
        self._last = mean
        self.here.add(mean, variance, count)
        self._owed -= count

    def next(self) -> int | None:
        """Return the value to try now; None while the last step is on trial or it is time to rest."""
        if self.tried is not None or not self.here.count:
            return None
        self._rested += 1
        if self._rested <= self._rest or self._owed > 0:
            return None
        for _ in range(2):
            stride = max(self._stride, self._shortest)
            if self._way < 0 and self._noise.mean > FAINT:
                stride = min(stride, DOWN)
            value = self.bounded(self.value * 2.0 ** (self._way * stride))
            if value == self.value:
                value = self.bounded(value + self._way)
            if value != self.value:
                return value
            self._way = -self._way
        return None

    def step(self, value: int, before: Measured | None = None, *, further: bool = False) -> None:
        """Put ``value`` in force, on trial.

        Args:
            value: The new value.
            before: The score until now, if it is not `here`.
            further: The step on trial goes on: what it brings is compared to the score before all of it.
        """
        if self.tried is None or not further:
            self.tried = (self.value, before or self.here)
        self._put(value)

    def gain(self) -> float | None:
        """Return how much more the step on trial brought than it must; None while that is not clear.

        Where enough was measured and it is not, more is kept rather than less.
        """
        if self.tried is None or not self.here.count:
            return None
        value, before = self.tried
        way = math.log(self.value / value)
        gain = self.here.mean - before.mean - self._worth * way
        doubt = self._error(self.here) + self._error(before)
        if self._apart * abs(way * gain) < SURE * doubt:
            # to go on would tell little where the score before is itself hardly known
            if self.here.count < min(self._enough, 4 * before.count):
                return None
            if way < 0:
                return min(gain, 0.0)
        return gain

    def doubt(self) -> float:
        """Return the standard error of the score here; 0.0 when enough was measured."""
        return math.sqrt(self._error(self.here)) if self.here.count < self._enough else 0.0

    def _error(self, score: Measured) -> float:
        """Return the standard error of a score, squared; infinite before anything was measured."""
        return self._noise.mean / score.count if score.count else math.inf

    def keep(self, gain: float) -> None:
        """End the trial: go on the same way, in a longer step if this one was clear."""
        assert self.tried is not None  # noqa: S101 - only called on trial
        way = math.log(self.value / self.tried[0])
        self._way = math.copysign(1.0, way)
        if way > 0 and 2 * gain < way * (1 - self._worth):  # the best is near
            self._stride = max(self._stride / 2, SHORTEST)
        elif self.here.count < self._enough:
            self._stride = min(2 * self._stride, self._longest)
        self._rest = self._rested = 0
        self._failed = False
        self.tried = None
        if self._noise.mean > FAINT:  # what was kept for its luck is no fair score to compare the next step to
            self._owed = self.here.count
            self.here.count /= 4

    def undo(self) -> None:
        """End the trial with the value before it, and try the other way; in a shorter step where neither was worth it.

        Where neither way is worth the shortest step, it is time for a rest.
        """
        assert self.tried is not None  # noqa: S101 - only called on trial
        # What was lucky before the trial would be as lucky in the next one, unless it is measured again for as long.
        self._owed = self.here.count
        self.value, self.here = self.tried
        self.here.count /= 2
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
    def _enough(self) -> float:
        """Measurements after which a difference counts."""
        return max(self._fewest, self._rounds * self.value)

    @property
    def _shortest(self) -> float:
        """The shortest step whose gain is one and a half times the noise that remains when enough was measured."""
        noise = 1.5 * math.sqrt(2 * self._noise.mean / self._enough)
        return min(max(SHORTEST, 2 * noise / (math.log(2) * self._apart)), LONGEST)

    @property
    def _longest(self) -> float:
        """The longest step."""
        return max(LONGEST, 2 * self._shortest)

    def jump(self, value: int) -> None:
        """Put ``value`` in force without a trial, and climb from there."""
        self.tried = None
        self._put(value)
        self._way, self._stride, self._rest, self._rested, self._failed = 1.0, FIRST, 1, 0, False
        self._owed = 0.0

    def _put(self, value: int) -> None:
        self.value = value
        self.here = Measured(memory=self._enough)

    def bounded(self, value: float) -> int:
        """Return the whole number within the bounds that is nearest."""
        return int(min(max(value + 0.5, self.least), self.most))

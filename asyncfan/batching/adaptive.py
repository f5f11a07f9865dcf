"""`AdaptiveBatchSize`: a batch size that is found while batches are processed, and what decides it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

from ..climbing import TRACE, Climber, Decision, Measured, check_bounds
from ..fanout.adaptive import Overload, has_status, judge

__all__ = ["AdaptiveBatchSize", "SizeController", "is_too_large"]

# One per cent more items in a batch must bring so much more throughput, in per cent: at that point nine tenths of the
# time go into the items, and one tenth into the batch.
WORTH = 0.1
# Batches after which a difference in throughput counts however noisy it is, and those that are needed in any case.
ENOUGH, LEAST = 8, 2
# A first batch that takes so many times as long as it may counts alone (in logarithms). One that takes so many times as
# long as those before it does not count, unless another one follows: it may be a straggler.
FAR = math.log(4.0)
# How far the size falls or rises at once; and how much of the band's upper end is aimed at where batches take longer.
# To aim at the middle cost half of the throughput where noise had led across the edge.
QUARTER, DOUBLE, BELOW = 0.25, 2.0, 0.8
# Batches after which a size that was too large is tried again; twice as many each time that it still is.
SELDOM = 100
# A size that goes through, in times of the one that did before, shows that the backend takes more than it did.
BEYOND = 1.2


class AdaptiveBatchSize:
    """A batch size that is found while batches are processed: ``batch_size=AdaptiveBatchSize(min=10, max=5000)``.

    ``"auto"`` is ``AdaptiveBatchSize()``. It begins in the middle (the geometric mean: 100), and then:

    - Batches that take longer than the ``band`` allows get smaller, in proportion; those that take less than its lower
      end are tried twice as large (joblib's rule, with its 0.2 to 2 s). One straggler moves nothing.
    - Within the band it climbs to where throughput is highest, in steps on trial: one per cent more items must bring a
      tenth of a per cent more of them a second.
    - A batch that is refused or times out halves it.
    - A batch that is too large for the backend, which answers 413 or what ``too_large`` says, is cut in two, and both
      halves are sent: two results in the place of one. The size then stays below, and is tried again after 100 batches,
      200, 400 and so on, until that goes through.

    There is no randomness: the same measurements give the same sizes.

    Args:
        min: The smallest size.
        max: The largest.
        band: How long a batch should take, in seconds: at least, and at most.
        overload: What says that a batch was too much for the backend, as for `AdaptiveLimit`.
        too_large: What says that a batch is too large to be taken at all: a type of exception, a tuple of them, or a
            function of what the call raised or returned. By default a ``status``, ``status_code`` or ``code`` of 413.

    Raises:
        TypeError: A bound is no int, ``band`` no pair of numbers, or the last two neither types nor functions.
        ValueError: ``min`` is less than 1, or ``max`` less than ``min``; ``band`` is not 0 < least < most.

    Example:
        >>> controller = AdaptiveBatchSize(1, 1000).controller()
        >>> for i in range(100):  # a batch costs a second, an item a millisecond, and no batch may take longer than 2 s
        ...     size = controller.ended(i, controller.current, 1 + 0.001 * controller.current)
        >>> 500 <= size <= 1000
        True
    """

    def __init__(
        self,
        min: int = 1,  # noqa: A002 - what it is
        max: int = 10_000,  # noqa: A002
        *,
        band: tuple[float, float] = (0.2, 2.0),
        overload: Overload | None = None,
        too_large: Overload | None = None,
    ) -> None:
        check_bounds(min, max)
        _check_band(band)
        self.min: int = min
        self.max: int = max
        self.band: tuple[float, float] = band
        self.overload: Callable[[Any], bool] = judge("overload", overload)
        self.too_large: Callable[[Any], bool] = is_too_large if too_large is None else judge("too_large", too_large)

    def controller(self) -> SizeController:
        """Return what finds one size."""
        return SizeController(self.min, self.max, *self.band)

    def __repr__(self) -> str:
        return f"AdaptiveBatchSize({self.min}, {self.max}, band={self.band})"


def _check_band(band: Any) -> None:
    if not (isinstance(band, tuple) and len(band) == 2 and all(isinstance(edge, int | float) for edge in band)):  # noqa: PLR2004
        raise TypeError(f"band must be a pair of seconds (least, most), got {band!r}")
    if not 0 < band[0] < band[1] < math.inf:
        raise ValueError(f"band must be 0 < least < most, in seconds, got {band!r}")


def is_too_large(answer: Any) -> bool:
    """Say whether what a call raised or returned means 413 Content Too Large (RFC 9110, 15.5.14)."""
    return has_status(answer, frozenset({413}))


class SizeController:
    """Finds one batch size, from one batch to the next.

    Args:
        least: The smallest size.
        most: The largest.
        quick: How long a batch should take at least, in seconds.
        slow: How long it may take, in seconds.

    Attributes:
        least: The smallest size.
        most: The largest.
        trace: The last 64 decisions, the oldest first.
    """

    def __init__(self, least: int, most: int, quick: float, slow: float) -> None:
        self.least: int = least
        self.most: int = most
        self.trace: deque[Decision] = deque(maxlen=TRACE)
        self._quick, self._slow = math.log(quick), math.log(slow)
        self._climber = Climber(least, most, WORTH, ENOUGH)
        self._times = Measured(memory=ENOUGH)  # how long batches of this size take, in logarithms
        self._far = False  # whether the last batch took longer than those before it by far
        self._doubling = True  # whether a size that is quick may be tried twice as large: until that once was no good
        self._patience = SELDOM  # batches to wait until what was too large is tried again
        self._waited = 0  # since then; only counted while there is such a size
        self._known = most  # the largest size that may be taken to go through
        self._retrying = False  # whether a larger one is tried again

    @property
    def current(self) -> int:
        """The size in force."""
        return self._climber.value

    def ended(
        self,
        now: float,
        items: int,
        seconds: float,
        *,
        refused: bool = False,
        too_large: bool = False,
    ) -> int:
        """Take in a batch that ended, and return the size from now on.

        Args:
            now: The time, in seconds.
            items: How many items it had.
            seconds: How long it took; what is no time (negative, NaN) says nothing.
            refused: It was too much for the backend.
            too_large: The backend takes no batch of this size.
        """
        if too_large:
            self._lower_ceiling(now, items)
        elif self._is_current(items):
            if refused:
                self._jump(now, self.current * 0.5, "because a batch was refused")
            elif seconds >= 0:  # NaN is no time either
                self._learn(now, items, math.log(min(max(seconds, 1e-6), 1e6)))
        return self.current

    def _is_current(self, items: int) -> bool:
        """Say whether a batch tells of the size in force: it is no rest, nor was it cut before the last change."""
        return 0.95 * self.current <= items <= 1.05 * self.current

    def _learn(self, now: float, items: int, time: float) -> None:
        climber, times = self._climber, self._times
        far = times.count >= LEAST and time > times.mean + FAR
        straggler, self._far = far and not self._far, far
        if straggler:
            return
        times.add(time, 0.0, 1)
        climber.learn(math.log(items) - time, 0.0, 1)
        self._raise_ceiling(items)
        too_slow = times.mean - self._slow
        if too_slow > (climber.doubt() if times.count >= LEAST else FAR):
            size = self.current * max(QUARTER, math.exp(-too_slow) * BELOW)
            why = f"because a batch takes {math.exp(times.mean):.2g} s"
            if climber.tried is not None and climber.tried[0] < self.current:
                self._undo(now, why)
            else:
                self._jump(now, size, why)
        elif times.count >= LEAST:
            self._climb(now, times.mean)

    def _climb(self, now: float, level: float) -> None:
        """Judge the step on trial, or try the next one."""
        climber = self._climber
        if climber.tried is not None:
            gain = climber.gain()
            if gain is None:
                return
            if gain <= 0:
                change = math.expm1(climber.here.mean - climber.tried[1].mean)
                way = "more" if change > 0 else "less"
                self._undo(now, f"because {self.current} a batch bring {abs(change):.0%} {way}")
                return
            climber.keep(gain)
        value = climber.next()
        if value is not None and value > self.current:
            if level < self._quick and self._doubling:
                value = climber.bounded(self.current * min(DOUBLE, math.exp(self._slow - level)))
            if climber.most < self.most:  # half-way to what is too large, in proportion
                value = min(value, int(math.sqrt(self.current) * math.sqrt(climber.most + 1)))
        if value is None:
            return
        if self._may_try(value, level):
            self._step(now, value)
        else:
            climber.turn()

    def _may_try(self, value: int, level: float) -> bool:
        """Say whether a size is likely to stay in the band, and is not as good as too large."""
        then = level + math.log(value / self.current)
        if value < self.current:
            return then >= self._quick
        return then <= self._slow and value >= min(1.05 * self.current, self.most)

    # -- what is too large

    def _lower_ceiling(self, now: float, items: int) -> None:
        """Stay below ``items``; half-way back, in proportion, to the largest that is known to go through."""
        climber = self._climber
        if items <= self._known:  # it takes less than it did
            self._patience, self._waited, self._known = SELDOM, 0, items - 1
        elif self._retrying:
            self._patience, self._waited = min(2 * self._patience, 16 * SELDOM), 0
        self._retrying = False
        if items > climber.most and climber.most < self.current:
            return
        climber.most = max(self.least, min(climber.most, items - 1))
        if self.current <= climber.most:
            return
        why = f"because {items} are too large a batch"
        if climber.tried is not None and climber.tried[0] <= climber.most:
            self._undo(now, why)
        else:
            self._jump(now, min(items * 0.5, climber.most), why)

    def _raise_ceiling(self, items: int) -> None:
        """Let what was too large be tried again, seldom; forget it if that goes through."""
        climber = self._climber
        if climber.most == self.most:
            return
        self._waited += 1
        if self._retrying and items > BEYOND * self._known:
            climber.most, self._known, self._retrying = self.most, self.most, False
        elif self._waited >= self._patience:
            self._known = self.current
            climber.most = min(self.most, 2 * climber.most)
            self._waited, self._retrying = 0, True

    # -- changes

    def _step(self, now: float, value: int) -> None:
        was = self.current
        self._climber.step(value)
        self._moved(now, was, f"to see whether {'more' if value > was else 'fewer'} a batch do better")

    def _undo(self, now: float, why: str) -> None:
        was, self._doubling = self.current, False
        self._climber.undo()
        self._moved(now, was, why)

    def _jump(self, now: float, size: float, why: str) -> None:
        was, self._doubling = self.current, True
        self._climber.jump(self._climber.bounded(size - 0.5))
        self._moved(now, was, why)

    def _moved(self, now: float, was: int, why: str) -> None:
        self._times = Measured(memory=ENOUGH)
        if self.current != was:
            self.trace.append(Decision(now, was, self.current, why))

    def __repr__(self) -> str:
        why = f" {self.trace[-1].why}" if self.trace else ""
        return f"<SizeController {self.current} of {self.least} to {self.most}{why}>"

"""`AdaptiveExpire`: an expiry that follows how often values change, what a load costs, and how the origin bears it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ..calls.level import bare_seconds

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ["AdaptiveExpire", "Decision", "ExpireController"]

# What the origin's state asks for is followed when it is so many times more, or less, than what is in force:
# hysteresis. Noise seldom moves anything, and what it moved goes back.
RISE = 1.5
FALL = 1.25
# An entry lives at least so many times as long as its load usually takes.
LOAD_SHARE = 20.0
# Evidence that asks for a step. Both tests run towards 0 where one load in three to one in eight finds a change.
SAME = 8
OTHER = 8
# Decisions that the trace holds.
TRACE = 64


class Decision(NamedTuple):
    """One change of an expiry, and what led to it.

    Attributes:
        time: When, by the cache's clock.
        seconds: How long the load took that decided, as it was measured.
        changed: Whether it gave another value than the one before; None if that is unknown.
        loading: How many loads of the function ran then.
        before: The expiry until then, in seconds.
        after: The expiry from then on, in seconds.
        why: The reason, in words.
    """

    time: float
    seconds: float
    changed: bool | None
    loading: int
    before: float
    after: float
    why: str

    def __str__(self) -> str:
        return f"at {self.time:.3f} s: {self.before:.3g} s -> {self.after:.3g} s, {self.why}"


class AdaptiveExpire:
    """An expiry that each function finds by itself, between bounds: ``expire=AdaptiveExpire(min=5, max=600)``.

    It begins in the middle (their geometric mean). Then, by what the loads of the function measure:

    - *How often values change.* It doubles when nearly all reloads find the same value, and is halved when many find
      another one, so that about one reload in five finds a change. Then 9 of 10 answers are up to date (for changes
      that come at random, see Cho and Garcia-Molina, "Effective page refresh policies for web crawlers", ACM TODS 28,
      2003). What counts as evidence are two CUSUM tests (Page, "Continuous inspection schemes", Biometrika 41, 1954).
    - *What a load costs.* It is at least 20 times as long as a load usually takes.
    - *How the origin bears the load.* While loads take some times as long as usual, or so many times more of them run
      at once, or only a part of them succeeds, it is so many times as long. By Little's law as many loads are then
      under way as before. A slowdown that lasts for many hundred loads becomes what is usual.

    Values whose change cannot be known leave the first rule out. There is no randomness: the same measurements at the
    same times give the same expiry.

    Args:
        min: The shortest expiry, in seconds or as a `timedelta`.
        max: The longest.

    Raises:
        TypeError: One is neither a number nor a `timedelta`.
        ValueError: One is not above 0 or not finite, or ``max`` is less than ``min``.

    Example:
        >>> from asyncfan.testing import ManualClock
        >>> clock = ManualClock()
        >>> controller = AdaptiveExpire(5, 500).controller(clock)
        >>> for _ in range(8):
        ...     clock.advance(controller.current)
        ...     expire = controller.loaded(0.2, changed=False, loading=1)
        >>> print(f"{expire:.0f} s")
        100 s
        >>> print(*controller.trace)
        at 400.000 s: 50 s -> 100 s, because values hardly ever change
    """

    def __init__(self, min: float | timedelta, max: float | timedelta) -> None:  # noqa: A002 - what they are
        self.min: float = _seconds("min", min)
        self.max: float = _seconds("max", max)
        if self.max < self.min:
            raise ValueError(f"max must be >= min={min!r}, got {max!r}")

    def controller(self, clock: Callable[[], float]) -> ExpireController:
        """Return what finds the expiry of one function."""
        return ExpireController(self.min, self.max, clock)

    def __repr__(self) -> str:
        return f"AdaptiveExpire({self.min:g}, {self.max:g})"


class ExpireController:
    """Finds the expiry of one function, from one load to the next.

    Two threads that report at the same moment may lose one of two updates; what is returned stays within the bounds.

    Args:
        least: The shortest expiry, in seconds.
        most: The longest.
        clock: Gives the time in seconds; it must not go back.

    Attributes:
        current: The expiry in force, in seconds.
        trace: The last 64 decisions, the oldest first.
    """

    def __init__(self, least: float, most: float, clock: Callable[[], float]) -> None:
        self._least, self._most, self._clock = least, most, clock
        self.current: float = self._bounded(math.sqrt(least) * math.sqrt(most))
        self.trace: deque[Decision] = deque(maxlen=TRACE)
        self._calm = self.current  # the expiry while the origin is well
        self._changes = _Changes()
        self._counts_from = -math.inf  # what is loaded before may have been stored under an older expiry
        self._latency = _Level(alike=1e-3)  # in seconds
        self._loading = _Level(alike=4.0)  # loads at once
        self._failing = 0.0  # the share of loads that fail

    def loaded(self, seconds: float, changed: bool | None, loading: int) -> float:  # noqa: FBT001 - a measurement
        """Take in a load that gave a value, and return the value's expiry in seconds.

        Args:
            seconds: How long the load took. What is no time (negative, NaN) is left out.
            changed: Whether the value differs from the one before under the same key; None if that is unknown.
            loading: How many loads of the function run at once.
        """
        self._latency.add(seconds)
        self._failing -= self._failing / 8
        return self._decide(seconds, changed, loading, step=self._learn(changed))

    def failed(self, seconds: float, loading: int) -> None:
        """Take in a load that failed or ran out of time: what is loaded in such times lives longer."""
        if seconds > self._latency.now:  # a quick refusal is no quick origin
            self._latency.add(seconds)
        self._failing += (1 - self._failing) / 8
        self._decide(seconds, None, loading, step=0.0)

    def _learn(self, changed: bool | None) -> float:  # noqa: FBT001 - a measurement
        """Return the power of two that the expiry should change by, 0 for none."""
        now = self._clock()
        if changed is None or now < self._counts_from:
            return 0.0
        # what was kept for longer than it should be says nothing against a shorter expiry
        step = self._changes.add(changed, stretched=self.current > self._calm * RISE)
        if step:
            self._calm = self._bounded(self._calm * 2.0**step)
            # steps are by two at least: what was stored under the old expiry has been reloaded by then
            self._counts_from = now + self._calm / 2
        return step

    def _decide(self, seconds: float, changed: bool | None, loading: int, *, step: float) -> float:  # noqa: FBT001
        self._loading.add(loading)
        stretch = max(self._latency.ratio, self._loading.ratio) * self._tries
        wanted = self._bounded(max(self._calm, LOAD_SHARE * self._latency.usual) * stretch)
        if step or not self.current / FALL <= wanted <= self.current * RISE:
            if wanted != self.current:
                why = self._why(step, wanted, stretch)
                self.trace.append(Decision(self._clock(), seconds, changed, loading, self.current, wanted, why))
            self.current = wanted
        return self.current

    def _why(self, step: float, wanted: float, stretch: float) -> str:
        latency, loading = self._latency.ratio, self._loading.ratio
        if step:
            return f"because values {'hardly ever' if step > 0 else 'often'} change"
        if wanted < self.current:
            return "because the origin is well again"
        if stretch < FALL:
            return f"because a load usually takes {self._latency.usual:.3g} s"
        if self._tries > max(latency, loading):
            return f"because {self._failing:.0%} of the loads fail"
        if latency > loading:
            return f"because loads take {latency:.1f} times as long as usual"
        return f"because {loading:.1f} times as many loads as usual run at once"

    @property
    def _tries(self) -> float:
        """How many loads it takes to get a value."""
        return 1 / (1 - min(self._failing, 0.9))

    def _bounded(self, seconds: float) -> float:
        return min(max(seconds, self._least), self._most)

    def __repr__(self) -> str:
        why = f" {self.trace[-1].why}" if self.trace else ""
        return f"<ExpireController {self.current:.3g} s of {self._least:g} to {self._most:g} s{why}>"


class _Changes:
    """Two CUSUM tests: for fewer changes than one load in eight, and for more than one in three.

    Between the two lies a dead band: there both sums fall back to 0, and no step is due.
    """

    def __init__(self) -> None:
        self._same = 0  # evidence that values hardly change
        self._other = 0  # evidence that they often do
        self._loads = 0  # since the last step
        self._last = 0.0  # the last step, as a power of two

    def add(self, changed: bool, *, stretched: bool) -> float:  # noqa: FBT001 - a measurement
        """Take in a load; return the power of two that it is time to change by, 0 for none.

        Args:
            changed: Whether it found a change.
            stretched: The expiry is longer than changes ask for, so that finding many is no reason to shorten it.
        """
        self._loads += 1
        self._same = max(0, self._same - 7) if changed else self._same + 1
        self._other = 0 if stretched else self._other + 2 if changed else max(0, self._other - 1)
        # a step back takes twice the evidence, or chance would move the expiry to and fro
        if self._same >= SAME * (1 + (self._last < 0)):
            return self._step(1.0)
        if self._other >= OTHER * (1 + (self._last > 0)):
            return self._step(-1.0)
        return 0.0

    def _step(self, way: float) -> float:
        """Return the next step: one that follows at once on another one of its kind is longer, x 2, x 4, x 16."""
        follows = self._last * way > 0 and self._loads <= SAME
        self._last = way * min(2 * abs(self._last), 16.0) if follows else way
        self._same = self._other = self._loads = 0
        return self._last


class _Level:
    """What a measure is now, and what it usually is: geometric means, on which no single value has much influence."""

    def __init__(self, alike: float) -> None:
        self._alike = math.log(alike)  # up to here there is no more and less
        self._now = self._usual = math.log(1e-6)
        self._count = 0  # measurements, up to 16

    def add(self, value: float) -> None:
        """Take in a measurement; what is negative or NaN is none, and what is huge or tiny counts as 1e6 or 1e-6."""
        if not value >= 0:
            return
        log = math.log(min(max(value, 1e-6), 1e6))
        if not self._count:
            self._now = self._usual = log
        self._count = min(self._count + 1, 16)
        jump = math.log(8)
        self._now += min(max(log - self._now, -jump), jump) / self._count
        # better times are soon what is usual; worse ones only if they last
        self._usual += (self._now - self._usual) / self._count / (64 if self._now > self._usual else 2)

    @property
    def now(self) -> float:
        """The mean of the last loads."""
        return math.exp(self._now)

    @property
    def usual(self) -> float:
        """The mean in good times."""
        return math.exp(self._usual)

    @property
    def ratio(self) -> float:
        """How many times as much as usual it is now, at least 1.0."""
        return math.exp(max(0.0, self._now - max(self._usual, self._alike)))


def _seconds(name: str, value: Any) -> float:
    """Return a bound in seconds, as `expiry` does."""
    seconds = bare_seconds(value)
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{name} must be seconds (a number) or a timedelta, got {value!r}")
    if not 0 < seconds < math.inf:
        raise ValueError(f"{name} must be > 0 seconds and finite, got {value!r}")
    return float(seconds)

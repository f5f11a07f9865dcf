"""`AdaptiveLimit`: a limit of calls at once that follows what the backend can bear, and what decides it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

from ..climbing import TRACE, Climber, Decision, Measured, check_bounds

__all__ = ["AdaptiveLimit", "Auto", "LimitController", "Overload", "has_status", "is_overload", "judge"]

Auto = Literal["auto"]
# What says that a call was too much: what it raised or returned.
Overload = type[BaseException] | tuple[type[BaseException], ...] | Callable[[Any], bool]

# Gradient2's: calls that take so many times as long as usual are a sign of a queue, and the limit falls by as much as
# they take longer than that, but no further than to the half.
TOLERANCE = math.log(1.5)
HALF = 0.5
# A limit is looked at when so many calls have ended under it, and no fewer than run at once.
WINDOW = 10
# A limit of which less than this share is used is not what holds the calls back: nothing is learned from them.
USED = 0.75
# More refusals than usual that are taken for chance, and standard deviations beside that.
CHANCE, DEVIATIONS = 0.05, 3
# Where more calls than this fail, the backend is down, which is not what is usual.
DOWN = 0.5
# A step up costs as much latency as it may: one per cent more at once must bring half a per cent more throughput. There
# the ratio of throughput to latency, Kleinrock's power, is highest.
WORTH = 0.5
# Calls after which a difference counts however noisy it is, and rounds of as many calls as run at once. With 200 calls,
# ten at once whose times scatter as in a queue took minutes to find out that the knee had moved.
ENOUGH, ROUNDS = 80, 8
# Calls in which what is usual fades: half of Gradient2's long window.
LONG = 300
# Times below this are all alike, in seconds.
ALIKE = 1e-4
# No time counts for more than so many times the mean: see `_in_logarithms`.
LIKE = 3.0


class AdaptiveLimit:
    """A limit that is found while calls run, between bounds: ``max_workers=AdaptiveLimit(min=2, max=200)``.

    ``"auto"`` is ``AdaptiveLimit()``. It begins in the middle (the geometric mean: 32), and then:

    - *It grows* as long as that brings throughput: each step up must bring half of what it would bring if nothing
      queued, or it is undone and tried again later. There the ratio of throughput to latency is best (Kleinrock,
      "Power and deterministic rules of thumb", ICC 1979). Steps down are tried too, and kept where they cost less.
    - *It shrinks* when calls take 1.5 times as long as usual (Netflix concurrency-limits, Gradient2), by as much as
      they do, and goes back if fewer calls at once turn out to bring less: then the backend is slower, not crowded.
      The time for which the event loop was busy with other things is not the backend's, and is left out.
    - *It shrinks* when calls are refused or time out, by half of their share (as DCTCP, SIGCOMM 2010), and goes back
      if fewer calls at once turn out to bring less, or half the limit to be refused as well: then they fail for other
      reasons, and as many are borne from then on. While more than half of all calls fail it only shrinks.

    Nothing is learned while less than three quarters of the limit are used. There is no randomness: the same
    measurements give the same limits.

    Args:
        min: The lowest limit.
        max: The highest.
        overload: What says that a call was too much for the backend: a type of exception, a tuple of them, or a
            function of what the call raised or returned (of None, for what leaves a `Limiter` without an error). By
            default timeouts, connection errors and the statuses 429 and 503, of asyncio, httpx, aiohttp, requests,
            redis and what looks like them: see `is_overload`.

    Raises:
        TypeError: A bound is no int, or ``overload`` is neither types nor a function.
        ValueError: ``min`` is less than 1, or ``max`` less than ``min``.

    Example:
        >>> controller = AdaptiveLimit(4, 100).controller()
        >>> for i in range(3000):  # a backend in which 30 calls at once take as long as one
        ...     now = controller.current
        ...     limit = controller.ended(i / 100, 0.1 * max(1, now / 30), now)
        >>> 25 <= limit <= 35
        True
    """

    def __init__(self, min: int = 1, max: int = 1000, *, overload: Overload | None = None) -> None:  # noqa: A002
        check_bounds(min, max)
        self.min: int = min
        self.max: int = max
        self.overload: Callable[[Any], bool] = judge("overload", overload)

    def controller(self) -> LimitController:
        """Return what finds one limit."""
        return LimitController(self.min, self.max)

    def __repr__(self) -> str:
        return f"AdaptiveLimit({self.min}, {self.max})"


class LimitController:
    """Finds one limit, from one call to the next.

    Args:
        least: The lowest limit.
        most: The highest.

    Attributes:
        least: The lowest limit.
        most: The highest.
        trace: The last 64 decisions, the oldest first.
    """

    def __init__(self, least: int, most: int) -> None:
        self.trace: deque[Decision] = deque(maxlen=TRACE)
        self.least: int = least
        self.most: int = most
        self._climber = Climber(least, most, WORTH, ENOUGH, ROUNDS)
        self._window = _Window()
        self._settling = self.current  # calls yet to end that began under another limit, or when few ran
        self._since = -math.inf  # what began before, in worse times, is not counted
        self._seen = 0  # calls that ended since then
        # how long calls take when all is well, in logarithms, without the loop's own time
        self._usual = Measured(memory=LONG)
        self._blamed = False  # whether the step on trial was made because calls took longer than that, or were refused
        self._share = Measured(memory=LONG)  # of the calls, how many are refused
        self._borne = 0.0  # how much of that is usual: it was found not to have to do with the limit
        self._early = 0  # calls refused since a higher limit is on trial
        # Whether too many were refused in the window before, or took too long: it takes two, since one that is picked
        # for that is no fair score to compare what follows to.
        self._suspect = False

    @property
    def current(self) -> int:
        """The limit in force."""
        return self._climber.value

    def ended(self, now: float, seconds: float | None, running: int, *, lag: float = 0.0, refused: bool = False) -> int:
        """Take in a call that ended, and return the limit from now on.

        Args:
            now: The time, in seconds.
            seconds: How long the call took; None if that says nothing of the backend. Neither does what is no time
                (negative, NaN).
            running: How many calls ran until now, this one included.
            lag: For how much of that time the event loop was busy with other things, in seconds.
            refused: The call was too much for the backend.
        """
        self._seen += 1
        self._settling -= 1
        if seconds is not None and now - seconds < self._since <= now and not refused:
            return self.current
        if refused and self._trying_more:
            self._early += 1
            if self._early > self._expected(self._seen):
                self._undo(now, running, "because calls are refused")
                return self.current
        if self._settling >= 0:
            return self.current
        window = self._window
        window.add(now, seconds, running, lag, refused=refused)
        if window.count >= WINDOW and window.count >= min(window.peak, self.current):
            self._window = _Window()
            self._look(now, running, window)
        return self.current

    @property
    def _trying_more(self) -> bool:
        tried = self._climber.tried
        return tried is not None and tried[0] < self.current

    def _expected(self, calls: int) -> float:
        """Return how many of so many calls may be refused by chance."""
        usual = min(self._borne, self._share.mean)
        return 1 + (usual + CHANCE) * calls + DEVIATIONS * math.sqrt(usual * (1 - usual) * calls)

    def _look(self, now: float, running: int, window: _Window) -> None:
        """Decide by what was measured under the limit in force."""
        share = window.refused / window.count
        self._share.add(share, 0.0, window.count)
        refused = window.refused > self._expected(window.count)
        suspect, self._suspect = self._suspect, refused
        sure = share > DOWN or (suspect and not self._blamed)
        if refused and sure and self._give_way(now, running, window):
            return
        limit = self.current
        if window.good and window.used() >= USED * limit:
            self._learn(now, running, window, suspect=suspect)
        if refused and self._blamed and self.current == limit:
            self._give_way(now, running, window)

    def _learn(self, now: float, running: int, window: _Window, *, suspect: bool) -> None:
        """Follow how long calls took, and what they brought."""
        times = window.times()
        slower = times.mean - self._usual.mean if self._usual.count else 0.0
        variance = max(self._usual.variance, times.variance)
        doubt = 2.5 * math.sqrt(variance * (1 / window.good + 1 / self._usual.count)) if self._usual.count else 0.0
        slow = slower > TOLERANCE + doubt
        self._suspect = self._suspect or slow
        if slow and not self._blamed:
            if not (suspect or self._trying_more or slower > TOLERANCE + 2 * doubt):
                return
            if self._shrink(now, running, window, slower):
                return
        if not self._blamed:
            self._usual.add(times.mean, times.variance, times.count * (4 if slower < -doubt else 1))
        score = window.score()
        self._climber.learn(score.mean, score.variance, score.count)
        self._climb(now, running, window)
        if slow and self._climber.tried is None:  # a shrink that was worth it, and not enough
            self._shrink(now, running, window, slower)

    def _climb(self, now: float, running: int, window: _Window) -> None:
        """Judge the step on trial, or try the next one."""
        climber = self._climber
        if climber.tried is not None:
            gain = climber.gain()
            if gain is None:
                return
            if gain <= 0:
                if self._blamed:
                    self._usual = times = window.times()
                    times.memory = LONG
                    self._bear()
                change = math.expm1(climber.here.mean - climber.tried[1].mean)
                way = "more" if change > 0 else "less"
                self._undo(now, running, f"because {self.current} at once bring {abs(change):.0%} {way}")
                return
            climber.keep(gain)
            if self._blamed:
                self._blamed = False
                return
        value = climber.next()
        if value is not None:
            more = value > self.current
            why = "to see whether more at once bring more" if more else "to see whether fewer do as well"
            self._step(now, running, value, why)

    def _shrink(self, now: float, running: int, window: _Window, slower: float) -> bool:
        """Follow Gradient2: calls take longer than usual. Return whether the limit could fall."""
        why = f"because calls take {math.exp(slower):.1f} times as long as usual"
        if self._trying_more:
            self._undo(now, running, why)
            return True
        value = self._climber.bounded(self.current * max(HALF, math.exp(TOLERANCE - slower)) - 0.5)
        if value < self.current:
            self._step(now, running, value, why, window.score())
            self._blamed, self._since = True, now
            return True
        return False

    def _give_way(self, now: float, running: int, window: _Window) -> bool:
        """Let fewer in: a share of the calls is too much for the backend. Return whether the limit could fall."""
        share = window.refused / window.count
        why = f"because {share:.0%} of the calls are refused"
        if self._trying_more:
            self._undo(now, running, why)
            return True
        value = self._climber.bounded(self.current * (1 - (share - self._borne) / 2) - 0.5)
        if value >= self.current:
            self._bear()
            return False
        tried = self._climber.tried
        if self._blamed and tried is not None and value < HALF * tried[0] and max(share, self._share.mean) <= DOWN:
            self._bear()
            self._undo(now, running, f"because {share:.0%} of the calls are refused with half the limit too")
        elif self._blamed or window.good:
            if not self._blamed:
                self._share = Measured(share, 0.0, window.count, memory=LONG)
            self._step(now, running, value, why, None if self._blamed else window.score(), further=self._blamed)
            self._blamed = True
        else:
            self._jump(now, running, value, why)
        self._since = now
        return True

    def _bear(self) -> None:
        """Take what is refused for usual, unless the backend is down: fewer at once would not change it."""
        if self._share.mean <= DOWN:
            self._borne = self._share.mean

    # -- changes

    def _step(
        self, now: float, running: int, value: int, why: str, before: Measured | None = None, *, further: bool = False
    ) -> None:
        was = self.current
        self._climber.step(value, before, further=further)
        self._moved(now, running, was, why)

    def _undo(self, now: float, running: int, why: str) -> None:
        was = self.current
        self._climber.undo()
        self._moved(now, running, was, why)

    def _jump(self, now: float, running: int, value: int, why: str) -> None:
        was = self.current
        self._climber.jump(value)
        self._moved(now, running, was, why)

    def _moved(self, now: float, running: int, was: int, why: str) -> None:
        self._window, self._settling, self._seen, self._early = _Window(), running, 0, 0
        self._blamed = self._suspect = False
        if self.current != was:
            self.trace.append(Decision(now, was, self.current, why))

    def __repr__(self) -> str:
        why = f" {self.trace[-1].why}" if self.trace else ""
        return f"<LimitController {self.current} of {self.least} to {self.most}{why}>"


class _Window:
    """What the calls measured that ended one after another under one limit."""

    def __init__(self) -> None:
        self.count = 0  # calls
        self.refused = 0  # those that were too much
        self.peak = 0  # the most that ran at once
        self._raw: list[float] = []  # how long calls took that were not refused, in fourth roots
        self._net: list[float] = []  # the same without the loop's own time
        self._wasted = 0.0  # seconds that refused calls took
        self._running = 0.0  # the sum of how many ran, call by call
        self._area = 0.0  # the same by time
        self._span = 0.0
        self._last = -math.inf

    def add(self, now: float, seconds: float | None, running: int, lag: float, *, refused: bool) -> None:
        self.count += 1
        self.refused += refused
        self.peak = max(self.peak, running)
        self._running += running
        if seconds is None or not seconds >= 0:  # NaN is no time either
            return
        seconds = min(seconds, 1e6)
        span = max(0.0, min(now - self._last, seconds))  # what is longer was a pause; the first one had begun before
        self._span += span
        self._area += running * span
        self._last = now
        if refused:
            self._wasted += seconds
        else:
            self._raw.append(max(seconds, ALIKE))
            self._net.append(max(seconds - lag, ALIKE) if lag > 0 else self._raw[-1])

    @property
    def good(self) -> int:
        """How many calls were not refused and took a time."""
        return len(self._raw)

    def used(self) -> float:
        """Return how many ran at once, on the average."""
        return self._area / self._span if self._span else self._running / self.count

    def times(self) -> Measured:
        """Return how long the calls took, without the loop's own time."""
        return _in_logarithms(self._net)

    def score(self) -> Measured:
        """Return the throughput, by Little's law: how many ran, for as long as one that is not refused takes."""
        times = _in_logarithms(self._raw)
        wasted = self._wasted / self.good
        seconds = math.exp(times.mean) + wasted
        mean = math.log(max(self.used(), 1.0)) - math.log(seconds)
        variance = times.variance
        if self.refused:  # by chance it may be some more or fewer
            variance += (wasted / seconds) ** 2 * (1 + self.good / self.refused)
        return Measured(mean, variance, self.good, memory=LONG)


def _in_logarithms(times: list[float]) -> Measured:
    """Return the logarithm of a mean, in which no time counts for more than three times that mean itself.

    So one call in a hundred that takes a hundred times as long moves it by a fiftieth, and yet it grows by what all
    calls wait. A mean of fourth roots, which did as much for stragglers, took the wait of a queue whose times scatter
    for half as much again, and rested at four fifths of the knee.
    """
    count = len(times)
    mean, cut = sorted(times)[count // 2], times
    for _ in range(5):
        cut = [min(seconds, LIKE * mean) for seconds in times]
        mean = sum(cut) / count
    variance = sum((seconds - mean) ** 2 for seconds in cut) / count
    return Measured(math.log(mean), variance / mean**2, count)


# What libraries call their own errors of this kind, besides the standard ones: httpx, requests, redis, SQLAlchemy.
_NAMES = frozenset({"ConnectionError", "NetworkError", "Timeout", "TimeoutError", "TimeoutException"})
_STATUSES = frozenset({429, 503})


def is_overload(answer: Any) -> bool:
    """Say whether what a call raised or returned means that it was too much for the backend.

    That is an exception whose class or one of its bases is called ``TimeoutError``, ``TimeoutException``, ``Timeout``,
    ``ConnectionError`` or ``NetworkError``, and whatever has, or whose ``response`` has, a ``status``,
    ``status_code`` or ``code`` of 429 or 503.

    Example:
        >>> is_overload(ConnectionRefusedError()), is_overload(KeyError("status"))
        (True, False)
    """
    if isinstance(answer, BaseException) and any(base.__name__ in _NAMES for base in type(answer).__mro__):
        return True
    return has_status(answer, _STATUSES)


def has_status(answer: Any, statuses: frozenset[int]) -> bool:
    """Say whether ``answer`` or its ``response`` has one of these HTTP statuses."""
    for thing in (answer, _attribute(answer, "response")):
        found = (_attribute(thing, name) for name in ("status", "status_code", "code"))
        if any(isinstance(status, int) and status in statuses for status in found):
            return True
    return False


def _attribute(thing: Any, name: str) -> Any:
    try:
        return getattr(thing, name, None)
    except Exception:  # noqa: BLE001 - a property of the user's, which has reasons of its own
        return None


def judge(name: str, given: Any) -> Callable[[Any], bool]:
    """Return a function of what a call raised or returned: `is_overload`, or what is made of types of exceptions.

    Raises:
        TypeError: ``given`` is neither None, a function, nor a type of exception or a tuple of them.
    """
    if given is None:
        return is_overload
    kinds = given if isinstance(given, tuple) else (given,)
    if kinds and all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        return lambda answer: isinstance(answer, kinds)
    if callable(given) and not isinstance(given, type):
        return given  # type: ignore[no-any-return]
    raise TypeError(
        f"{name} must be a type of exception, a tuple of them or a function of what a call gave, got {given!r}"
    )

"""How long calls usually take: learned from the last thousands of them."""

from __future__ import annotations

import math
import threading

from ..metrics import Histogram

__all__ = ["Pace"]

_PERIOD = 1000  # calls after which what was learned is replaced, so that a change is noticed within 2,000
_LOOK = 50  # calls between two looks at the first period's figures, until it is full
_JUMP = 1.5  # how far apart two figures are that cannot both be usual
_STEPS = 8  # in which a jump is looked for


class Pace:
    """Learns the time within which a share of the calls end.

    Args:
        share: As 0.95; there is no answer before five calls are expected to have been slower.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.enough: int = math.ceil(round(5 / (1 - share), 6))
        self.usual: float | None = None  # the answer, in seconds; None until enough calls have ended
        self._period = max(_PERIOD, self.enough)
        self._times = Histogram()
        self._lock = threading.Lock()
        self._first = True

    def record(self, seconds: float) -> None:
        """Add a call that took so long, or was stopped then: without those it would seem that no call is slow."""
        with self._lock:
            times = self._times
            times.record(seconds)
            full = times.count >= self._period
            if full or (self._first and times.count >= self.enough and not times.count % _LOOK):
                self.usual = self._look(times)
            if full:
                self._times, self._first = Histogram(), False

    def _look(self, times: Histogram) -> float:
        """Return the figure, or where its own uncertainty spans a jump, the last one before that.

        If 5 % of the calls hang, whether "p95" is the usual time or the hanging ones' is a matter of chance.
        """
        doubt = 3 * math.sqrt(self.share * (1 - self.share) / times.count)  # three standard errors
        figures = [times.quantile(max(0.0, self.share - doubt * step / _STEPS)) for step in range(_STEPS + 1)]
        return next(figure for figure in figures if figure <= _JUMP * figures[-1])

    def __repr__(self) -> str:
        return f"<Pace p{100 * self.share:g} {'unknown' if self.usual is None else f'{self.usual:g} s'}>"

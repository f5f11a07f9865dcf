"""Backends with a knee, simulated call by call without an event loop, under a limit that a controller finds."""

import heapq
import math
import random
from collections import deque


class Simulation:
    """As many calls as the limit allows, all the time, against a backend that serves ``knee(now)`` of them at once.

    Beyond the knee a call waits its turn (``queue``), all slow each other down (``thrash``), or it is refused after 5 ms
    (``refuse``); or no more than ``knee(now)`` begin in a tenth of a second, and the others are refused (``rate``).
    ``slow(now)`` is how long a call takes by itself, and ``scatter(random)`` how many times that: by default the
    logarithm has the standard deviation ``noise``.
    """

    def __init__(
        self, controller, knee, kind="queue", *, slow=lambda _: 0.1, noise=0.0, scatter=None, fail=0.0, seed=1
    ):
        self.controller, self.knee, self.kind, self.slow = controller, knee, kind, slow
        self.scatter = scatter or (lambda random: math.exp(random.gauss(0, noise)))
        self.fail, self.random = fail, random.Random(seed)
        self.limits = []  # (when, limit) at the end of each call
        self.done = []  # when a call ended that was served
        self.refused = 0
        self.now = 0.0
        self.running = self.serving = self.made = 0
        self._events, self._waiting = [], deque()
        self._tokens, self._filled = 0.0, 0.0

    def until(self, end):
        """Let time pass until ``end``; return the limits of that time."""
        first = len(self.limits)
        self._fill()
        while self._events[0][0] <= end:
            self.now, _, began, served = heapq.heappop(self._events)
            self._end(began, served)
        return [limit for _, limit in self.limits[first:]]

    def goodput(self, begin, end):
        """Return the calls served a second in this time."""
        return sum(begin <= when < end for when in self.done) / (end - begin)

    def _end(self, began, served):
        if served:
            self.serving -= 1
            while self._waiting and self.serving < self.knee(self.now):
                self._serve(self._waiting.popleft())
        fails = self.random.random() < self.fail
        self.refused += not served
        if served and not fails:
            self.done.append(self.now)
        limit = self.controller.ended(self.now, self.now - began, self.running, refused=fails or not served)
        self.limits.append((self.now, limit))
        self.running -= 1
        self._fill()

    def _fill(self):
        while self.running < self.controller.current:
            self.running += 1
            full = self._empty() if self.kind == "rate" else self.serving >= self.knee(self.now)
            if self.kind in ("refuse", "rate") and full:
                self._push(0.005, self.now, served=False)
            elif self.kind == "queue" and full:
                self._waiting.append(self.now)
            else:
                self._serve(self.now)

    def _empty(self):
        knee = self.knee(self.now)
        self._tokens = min(knee, self._tokens + (self.now - self._filled) * knee / 0.1)
        self._filled = self.now
        empty = self._tokens < 1
        self._tokens -= not empty
        return empty

    def _serve(self, began):
        self.serving += 1
        crowd = max(1.0, self.serving / self.knee(self.now)) ** 2 if self.kind == "thrash" else 1.0
        self._push(self.slow(self.now) * crowd * self.scatter(self.random), began, served=True)

    def _push(self, seconds, began, *, served):
        self.made += 1
        heapq.heappush(self._events, (self.now + seconds, self.made, began, served))

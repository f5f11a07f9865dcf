"""An event loop of virtual time that counts its turns, and costs less than one that might have to wait for sockets."""

import asyncio
import heapq

from asyncfan.testing import DeadlockError


class CountingLoop(asyncio.BaseEventLoop):
    """As `VirtualTimeLoop`, in asyncio's own order, without what reaches out of the process: a selector, threads."""

    def __init__(self):
        super().__init__()
        self.now = 0.0  # virtual seconds
        self.ticks = 0  # turns so far

    def time(self):
        """Return the virtual time in seconds."""
        return self.now

    def _run_once(self):
        """Do what `BaseEventLoop._run_once` does: add the timers that are due to what is ready, then run that."""
        self.ticks += 1
        ready, timers = self._ready, self._scheduled
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False
        if not (ready or self._stopping):
            if not timers:
                raise DeadlockError("every task waits for another and no timer is set")
            self.now = max(self.now, timers[0]._when)
        due = self.now + self._clock_resolution
        while timers and timers[0]._when < due:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _write_to_self(self):
        """Nothing: nobody is to be woken from another thread."""

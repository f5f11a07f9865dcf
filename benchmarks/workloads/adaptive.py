"""A limit that finds itself, beside fixed ones.

Workload: as many items as there is time for, against a simulated backend on virtual time. It serves as many calls at
    once as its knee, in 0.1 s each (and some noise, seeded); beyond that they slow each other down, by the square of
    how many times too many they are. The knee is at 40, moves to 10 and to 200, so many seconds each.
Unit: what is lost of the calls that the knees allow: over all the run, and (``settled``) over the second half of the
    worst of the three times. ``overshoot`` is the highest limit of a second half, in times of its knee; ``call`` the
    mean time of a call.
Reading: a fixed limit is right for one knee at most: too low it wastes what the backend offers, too high it wears it
    down. ``spread`` is 0: every round is the same, to the call.
Command: python -m benchmarks adaptive
"""

import asyncio
import math
import random
from itertools import pairwise

from benchmarks.workload import Bar, Contestants, Workload

KNEES = (40, 10, 200)
SECONDS = 0.1  # that a call takes
NOISE = 0.1
SEED = 20231023
contestants = Contestants()


class Backend:
    """Serves calls, and keeps a record of them."""

    def __init__(self, phase):
        self.phase = phase  # seconds that a knee stays where it is
        self.running = 0
        self.calls = []  # (when it ended, how long it took)
        self._random = random.Random(SEED)

    def knee(self, now):
        return KNEES[min(int(now / self.phase), len(KNEES) - 1)]

    async def __call__(self, item):
        clock = asyncio.get_running_loop().time
        began = clock()
        self.running += 1
        times = max(1.0, self.running / self.knee(began)) ** 2
        await asyncio.sleep(SECONDS * times * math.exp(self._random.gauss(0, NOISE)))
        self.running -= 1
        self.calls.append((clock(), clock() - began))
        return item

    def items(self):
        """Yield items while there is time."""
        clock = asyncio.get_running_loop().time
        n = 0
        while clock() < self.phase * len(KNEES):
            yield n
            n += 1


def run(make, phase):
    """Return the backend after the run, and the limits as [(from when, limit)]."""
    from asyncfan.testing import run as run_in_virtual_time

    async def main():
        backend = Backend(phase)
        process, limit = make()
        limits = [(0.0, limit())]

        async def call(item):
            await backend(item)
            if limit() != limits[-1][1]:
                limits.append((asyncio.get_running_loop().time(), limit()))

        await process(call, backend.items())
        return backend, limits

    return run_in_virtual_time(main())


async def measure(make, seconds):
    backend, limits = await asyncio.to_thread(run, make, seconds)
    possible = [knee / SECONDS * seconds for knee in KNEES]
    done = [0, 0, 0]
    late = [0, 0, 0]
    for when, _ in backend.calls:
        phase = int(when / seconds)
        if phase < len(KNEES):
            done[phase] += 1
            late[phase] += when % seconds >= seconds / 2
    spans = [*pairwise(limits), (limits[-1], (math.inf, 0))]
    return {
        "lost %": 100 * (1 - sum(done) / sum(possible)),
        "settled %": 100 * max(0.0, *(1 - 2 * n / most for n, most in zip(late, possible, strict=True))),
        "overshoot": max(
            limit / knee
            for i, knee in enumerate(KNEES)
            for (begin, limit), (end, _) in spans
            if begin < (i + 1) * seconds and end >= (i + 0.5) * seconds
        ),
        "call s": sum(took for _, took in backend.calls) / len(backend.calls),
    }


ADAPTIVE = Workload(
    name="adaptive",
    title="A backend that bears 40, then 10, then 200 calls at once, {size:,} s each",
    figures=("lost %", "settled %", "overshoot", "call s"),
    compared=("lost %",),
    reference="fixed: 40",
    size=40,
    quick_size=20,
    measure=measure,
    contestants=contestants,
    bars={"asyncfan: auto": Bar(20, 10, "settled %", relative=False)},
)


@contestants.add("asyncfan: auto", package="asyncfan")
def auto():
    from asyncfan import ParallelProcessor

    processor = ParallelProcessor(max_workers="auto")
    return processor.map, lambda: processor.limit.current


def _fixed(limit):
    @contestants.add(f"fixed: {limit}")
    def make():
        async def process(fn, items):
            async def work():
                for item in items:
                    await fn(item)

            await asyncio.gather(*(work() for _ in range(limit)))

        return process, lambda: limit


for _limit in KNEES:
    _fixed(_limit)

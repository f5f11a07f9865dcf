"""The figures of the README: ``python -m benchmarks plots [FIGURES.json]``.

svg.py        shapes and text, readable on light and on dark
fanout.svg    what a fan-out costs an item, beside its peers: measured, or from the JSON of ``python -m benchmarks``
adaptive.svg  a limit that follows a knee: simulated, the same each time
"""

import argparse
import json
import math
from pathlib import Path

from benchmarks.runner import run
from benchmarks.workloads import adaptive, fanout

from .svg import Drawing

FOLDER = Path(__file__).parent
PHASE = 40  # seconds of each knee


def main(arguments: list[str]) -> int:
    """Draw both figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks plots", description="Draw the figures of the README.")
    parser.add_argument("figures", nargs="?", type=Path, help="what `python -m benchmarks fanout --json PATH` wrote")
    options = parser.parse_args(arguments)
    if options.figures is None:
        found = run(fanout.FANOUT, 3).as_dict()
    else:
        everything = json.loads(options.figures.read_text())["workloads"]
        found = next(workload for workload in everything if workload["name"] == "fanout")
    costs = {entry["name"]: entry["best"]["us an item"] for entry in found["contestants"]}
    for name, drawing in (
        ("fanout", fan_out({name: cost for name, cost in costs.items() if cost is not None}, found["title"])),
        ("adaptive", moving_knee(*adaptive.run(adaptive.auto, PHASE))),
    ):
        (FOLDER / f"{name}.svg").write_text(drawing)
        print(FOLDER / f"{name}.svg")
    return 0


def fan_out(costs: dict[str, float], title: str) -> str:
    """Return bars of what each contestant takes, in times of the reference, the lowest first."""
    naive = costs[fanout.FANOUT.reference]
    costs = {name: cost / naive for name, cost in sorted(costs.items(), key=lambda pair: pair[1])}
    drawing = Drawing(720, 64 + 22 * len(costs))
    drawing.text(0, 16, title.replace("`", ""), "title")
    drawing.text(0, 34, "Time an item, in times of what gather with a Semaphore takes; less is better", "note")
    left, most = 250, max(costs.values())
    for i, (name, cost) in enumerate(costs.items()):
        y = 48 + 22 * i
        kind = "ours" if name.startswith("asyncfan") else "floor" if name.startswith("floor") else "theirs"
        drawing.text(left - 8, y + 12, name, "name", anchor="end")
        drawing.box(left, y, max(1.0, cost / most * (720 - left - 60)), 16, kind)
        drawing.text(left + cost / most * (720 - left - 60) + 6, y + 12, f"{cost:.2f}", "name")
    return drawing.finished(f"{title}: time an item")


def moving_knee(backend: adaptive.Backend, limits: list[tuple[float, int]]) -> str:
    """Return the limit and the knee over time, and below them what was done each second of what could be."""
    end = PHASE * len(adaptive.KNEES)
    drawing = Drawing(720, 330)
    drawing.text(0, 16, 'max_workers="auto" follows what the backend bears', "title")
    drawing.text(
        0, 34, "Calls at once, logarithmic, over seconds: the knee of a simulated backend, and the limit", "note"
    )

    def x(seconds: float) -> float:
        return 40 + seconds / end * 670

    def y(calls: float) -> float:
        return 220 - math.log2(calls) / 8.2 * 170

    for mark in (1, 4, 10, 40, 100, 200):
        drawing.line([(40, y(mark)), (710, y(mark))], "grid")
        drawing.text(34, y(mark) + 4, str(mark), "name", anchor="end")
    steps = [(x(PHASE * (i + side)), y(knee)) for i, knee in enumerate(adaptive.KNEES) for side in (0, 1)]
    drawing.line(steps, "knee")
    corners = [(0.0, limits[0][1])]
    for when, limit in limits[1:]:
        corners += [(when, corners[-1][1]), (when, limit)]
    corners.append((end, corners[-1][1]))
    drawing.line([(x(min(when, end)), y(limit)) for when, limit in corners], "limit")
    drawing.text(x(PHASE) - 6, y(40) - 14, "knee 40", "knee-name", anchor="end")
    drawing.text(x(2 * PHASE) - 6, y(10) + 22, "10", "knee-name", anchor="end")
    drawing.text(x(3 * PHASE) - 6, y(200) - 12, "200", "knee-name", anchor="end")
    drawing.text(40, 248, "Calls done, of what the knee allows", "note")
    done = [0] * end
    for when, _ in backend.calls:
        if when < end:
            done[int(when)] += 1
    shares = [n / (backend.knee(second) / adaptive.SECONDS) for second, n in enumerate(done)]
    for share, name in ((0, "0"), (0.8, "80 %"), (1, "100 %")):
        drawing.line([(40, 318 - 58 * share), (710, 318 - 58 * share)], "grid")
        if share != 1:
            drawing.text(34, 322 - 58 * share, name, "name", anchor="end")
    drawing.line([(x(second + 0.5), 318 - 58 * min(share, 1.05)) for second, share in enumerate(shares)], "limit")
    return drawing.finished("The limit of max_workers='auto' following the knee of a simulated backend")

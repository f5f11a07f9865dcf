"""The report is legible at 80 columns, and says the same to machines."""

import json

import pytest

from asyncfan.demo.measure import Measured, Run
from asyncfan.demo.report import Marks, as_json, duration, report
from asyncfan.demo.waterfall import Span

_RUNS = [
    Run("sequential", 4.88, 240, 0, 0, 0.0203, 0.0211),
    Run("parallel, cold", 0.439, 200, 36, 4, 0.0203, 0.0276),
    Run("cached, warm", 0.00059, 0, 240, 0, 0.0, 0.0),
    Run("half cached", 0.224, 100, 138, 2, 0.0203, 0.0211),
]


def _measured(*, difference=None, tasks=3):
    spans = [Span(f"vehicle_{n}", n * 0.01, n * 0.01 + 0.02) for n in range(tasks)]
    return Measured("Many vehicles", "2 callers", 240, 239, _RUNS, spans, difference)


def _text(width, **facts):
    lines = report([_measured(**facts)], "a sample", width, Marks())
    return ["".join(text for text, _ in line).rstrip() for line in lines]


@pytest.mark.parametrize("width", [80, 100, 120, 140])
def test_no_line_is_wider_than_the_terminal(width):
    """From 80 columns on nothing is wrapped."""
    assert max(map(len, _text(width))) <= width


def test_table_has_a_line_a_run():
    """Each run has its figures in one line; a dash stands where there is nothing to count."""
    found = [" ".join(line.split()) for line in _text(80)]
    assert "sequential 4.88 s 1.0x 240 - - 20.3 ms 21.1 ms" in found
    assert "parallel, cold 439 ms 11.1x 200 36 4 20.3 ms 27.6 ms" in found
    assert "cached, warm 0.59 ms 8,271x 0 240 0 - -" in found


def test_columns_stand_under_their_heads():
    """Every figure ends where the head of its column ends."""
    lines = _text(80)
    head = next(line for line in lines if "speed-up" in line)
    cold = next(line for line in lines if "parallel, cold" in line)
    for word, figure in (
        ("time", "439 ms"),
        ("speed-up", "11.1x"),
        ("queries", "200"),
        ("hits", "36"),
        ("p95", "27.6 ms"),
    ):
        assert head.index(word) + len(word) == cold.index(figure) + len(figure)


def test_wide_terminal_shows_the_times_as_bars():
    """At 120 columns the slowest run has the longest bar."""
    lines = _text(120)
    bars = {run.name: next(line for line in lines if line.startswith(f" {run.name}")).count("━") for run in _RUNS}
    assert bars["sequential"] > bars["parallel, cold"] > bars["cached, warm"] == 1


def test_equal_answers_are_said():
    """A reader sees that the runs agree, and how much was found."""
    assert " all four gave equal answers; 239 of 240 have rows" in _text(80)


def test_different_answers_are_said():
    """A disagreement stands under the table instead."""
    found = _text(80, difference="caller 1, ...")
    assert " the answers differ" in found
    assert not [line for line in found if "equal answers" in line]


def test_waterfall_has_a_line_a_task():
    """Each task's waiting and running stand on the axis that all share."""
    first, second, third = [line for line in _text(80) if line.startswith(" vehicle_")]
    assert first.index("━") < second.index("━") < third.index("━")
    assert second.index("·") == first.index("━")
    assert third.split()[-4:] == ["20.0", "ms", "20.0", "ms"]


def test_long_waterfall_is_cut():
    """More than 40 tasks are counted, not drawn."""
    found = _text(80, tasks=45)
    assert len([line for line in found if line.startswith(" vehicle_")]) == 40
    assert " and 5 more" in found


def test_json_has_every_figure():
    """The JSON object has settings, verdict, runs and spans; times are in seconds."""
    found = json.loads(as_json([_measured()], {"latency": 0.02}))
    case = found["use_cases"][0]
    assert found["settings"] == {"latency": 0.02}
    assert found["equal"] is True
    assert case["runs"][1] == {
        "name": "parallel, cold",
        "seconds": 0.439,
        "queries": 200,
        "hits": 36,
        "joined": 4,
        "p50": 0.0203,
        "p95": 0.0276,
        "speed_up": 11.12,
    }
    assert case["spans"][0] == {"name": "vehicle_0", "started": 0.0, "ended": 0.02}


def test_json_says_when_answers_differ():
    """A machine sees the disagreement in one place."""
    assert json.loads(as_json([_measured(difference="caller 1")], {}))["equal"] is False


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 ms"),
        (0.00009, "0.09 ms"),
        (0.0203, "20.3 ms"),
        (0.412, "412 ms"),
        (4.912, "4.91 s"),
        (1234, "1,234 s"),
    ],
)
def test_duration_has_three_figures(seconds, text):
    """Durations have a unit and as many figures as matter."""
    assert duration(seconds) == text

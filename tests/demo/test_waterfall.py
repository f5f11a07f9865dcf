"""The waterfall shows when each task of a fan-out waited and when it ran."""

import asyncio

import pytest

from asyncfan.demo.waterfall import Recorder, Span, bars


async def test_recorder_sees_the_wait_and_the_run():
    """A task called 2 s after the fan-out was started, which takes 3 s, has the span (2, 5)."""
    recorder = Recorder(clock=asyncio.get_running_loop().time)
    tasks = recorder.watch({"a": lambda: asyncio.sleep(3, "done")})
    await asyncio.sleep(2)
    assert await tasks["a"]() == "done"
    assert recorder.spans == [Span("a", 2.0, 5.0)]


async def test_recorder_leaves_later_fan_outs_alone():
    """Only the first fan-out is recorded."""
    recorder = Recorder()
    call = lambda: asyncio.sleep(0)  # noqa: E731
    await recorder.watch({"a": call})["a"]()
    assert recorder.watch({"b": call}) == {"b": call}
    assert repr(recorder) == "<Recorder 1 spans>"


async def test_failed_task_leaves_no_span():
    """A task that raises is not drawn as one that ran."""

    async def fail():
        raise LookupError

    recorder = Recorder()
    with pytest.raises(LookupError):
        await recorder.watch({"a": fail})["a"]()
    assert recorder.spans == []


def test_bars_share_one_axis():
    """Bars are in the order of their start, and the last to end fills the columns."""
    found = bars([Span("b", 1.0, 4.0), Span("a", 0.0, 1.0)], 40)
    assert [(bar.span.name, bar.waits, bar.runs) for bar in found] == [("a", 0, 10), ("b", 10, 30)]


@pytest.mark.parametrize("span", [Span("a", 0.0, 0.0), Span("a", 9.999, 10.0), Span("a", 10.0, 10.0)])
def test_every_task_that_ran_can_be_seen(span):
    """However short a run is, it has a mark inside the columns."""
    bar = next(bar for bar in bars([span, Span("z", 0.0, 10.0)], 20) if bar.span is span)
    assert bar.runs >= 1
    assert bar.waits + bar.runs <= 20


def test_nothing_to_draw_is_no_bars():
    """A fan-out without tasks is an empty waterfall."""
    assert bars([], 20) == []

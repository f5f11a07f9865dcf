"""The use cases give equal answers four ways, and the counts say where each answer came from."""

import asyncio
from collections import Counter

import pytest

from asyncfan.demo.measure import measure
from asyncfan.demo.options import Options
from asyncfan.demo.use_cases import own_use_cases, sample_use_cases
from asyncfan.metrics import Histogram


class _FakeDatabase:
    """Answers each query with its argument after a second of virtual time, and notes what was asked."""

    def __init__(self):
        self.asked = Counter()
        self.running = self.most = 0
        self._tally = Histogram()
        self.row = lambda sql, arguments: (sql, *arguments)

    async def query(self, sql, arguments=()):
        self.asked[sql, *arguments] += 1
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(1)
        self.running -= 1
        self._tally.record(1.0)
        return [self.row(sql, arguments)]

    def take_tally(self):
        tally, self._tally = self._tally, Histogram()
        return tally.snapshot()


def _options(count=50, workers=4, batch_size=10):
    return Options(None, None, list(range(1, count + 1)), 0.0, workers, batch_size, json=False)


def _no_tick():
    pass


async def _measured(number, options=None, database=None):
    database = database or _FakeDatabase()
    case = sample_use_cases(database, options or _options(), _no_tick)[number]
    return await measure(case, database, lambda *_: None)


async def test_four_runs_agree():
    """Sequential, cold, warm and half cached give equal answers in both use cases."""
    assert [(await _measured(number)).difference for number in (0, 1)] == [None, None]


@pytest.mark.parametrize(("number", "queries"), [(0, [60, 50, 0, 25]), (1, [15, 5, 0, 2])])
async def test_each_run_asks_the_database_for_what_the_cache_lacks(number, queries):
    """Sequential asks for repeats too, cold once for each item, warm for nothing, half cached for half."""
    measured = await _measured(number)
    assert [run.queries for run in measured.runs] == queries


@pytest.mark.parametrize("number", [0, 1])
async def test_every_item_is_a_query_a_hit_or_joined(number):
    """Nothing is counted twice or lost, and the cold run really joins."""
    measured = await _measured(number)
    assert [run.queries + run.hits + run.joined for run in measured.runs] == [measured.asked] * 4
    assert measured.runs[1].joined > 0


async def test_half_of_the_items_stay_cached():
    """The fourth run queries exactly every second item again."""
    database = _FakeDatabase()
    case = sample_use_cases(database, _options(), _no_tick)[0]
    await case.together()
    database.asked.clear()
    case.forget_half()
    await case.together()
    assert sorted(arguments[1] for arguments in database.asked) == list(range(2, 51, 2))


async def test_workers_bound_each_caller():
    """Two callers with four workers each never run more than eight queries."""
    database = _FakeDatabase()
    await _measured(0, database=database)
    assert 4 < database.most <= 8


async def test_first_batch_is_recorded():
    """The waterfall shows the first batch of the first caller, whole."""
    measured = await _measured(0)
    assert {span.name for span in measured.spans} == {f"vehicle_{key}" for key in range(1, 11)}


async def test_progress_ticks_once_an_item():
    """Each run ticks as often as it has items."""
    database, ticks = _FakeDatabase(), Counter()
    runs = []
    case = sample_use_cases(database, _options(), lambda: ticks.update([runs[-1]]))[0]
    await measure(case, database, lambda name, total: runs.append((name, total)))
    assert dict(runs) == {name: ticks[name, total] for name, total in runs}
    assert [name for name, _ in runs] == ["sequential", "parallel, cold", "cached, warm", "half cached"]


async def test_different_answers_are_found():
    """A database that changes between the runs is noticed, with the first item that differs."""
    database = _FakeDatabase()
    counter = Counter()

    def changing(sql, arguments):
        counter.update([arguments])
        return arguments if arguments != (7,) else ("changed", counter[arguments])

    database.row = changing
    measured = await _measured(0, database=database)
    assert measured.difference == ("caller 1, vehicle_7: sequential [('changed', 1)], parallel, cold [('changed', 2)]")


async def test_overview_splits_the_keys_in_five_parts():
    """A user's overview reads at most four keys of each part, and counts rows."""
    database = _FakeDatabase()
    case = own_use_cases(database, "sql", _options(count=100), _no_tick)[1]
    answers = await case.one_by_one()
    assert list(answers[0]) == ["1..20", "21..40", "41..60", "61..80", "81..100"]
    assert answers[0]["1..20"] == [(4, 4, 4)]
    assert {arguments for _, arguments in database.asked} >= {1, 6, 11, 16}


@pytest.mark.parametrize("count", [1, 2, 4, 7])
async def test_few_keys_make_few_parts(count):
    """Fewer keys than parts work too."""
    database = _FakeDatabase()
    case = own_use_cases(database, "sql", _options(count=count), _no_tick)[1]
    measured = await measure(case, database, lambda *_: None)
    assert measured.difference is None
    assert measured.found == measured.asked

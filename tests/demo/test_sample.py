"""The sample is a real database with the same content every time."""

import sqlite3
from contextlib import closing

import pytest

from asyncfan.demo.sample import DASHBOARD, VEHICLE_BY_ID, VEHICLES, build_sample


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Give a connection to the sample."""
    path = tmp_path_factory.mktemp("sample") / "dealer.db"
    build_sample(path)
    with closing(sqlite3.connect(path)) as connection:
        yield connection


def test_sample_is_the_same_every_time(sample, tmp_path):
    """Two builds have the same rows in every table."""
    build_sample(tmp_path / "again.db")
    with closing(sqlite3.connect(tmp_path / "again.db")) as again:
        assert list(sample.iterdump()) == list(again.iterdump())


def test_sample_has_all_vehicles(sample):
    """The ids run from 1 to 5,000."""
    assert sample.execute("select min(id), max(id), count(*) from vehicles").fetchone() == (1, 5_000, VEHICLES)


def test_no_row_points_nowhere(sample):
    """Every reference between the tables holds."""
    assert sample.execute("pragma foreign_key_check").fetchall() == []


@pytest.mark.parametrize("panel", DASHBOARD)
def test_each_panel_has_rows_without_gaps(sample, panel):
    """A panel gives a few rows, and no null in them."""
    rows = sample.execute(DASHBOARD[panel]).fetchall()
    assert 3 <= len(rows) <= 24
    assert not any(value is None for row in rows for value in row)


def test_a_vehicle_is_found_by_an_index(sample):
    """The query by id scans no table."""
    plan = sample.execute(f"explain query plan {VEHICLE_BY_ID}", (1,)).fetchall()
    assert not [step for *_, step in plan if step.startswith("SCAN")]

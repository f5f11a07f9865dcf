"""The README's table of what a caller gets at each age is true: each of its cells is tried."""

import asyncio
import pathlib
import random
import re

import pytest

from asyncfan.caching import Cache

README = pathlib.Path(__file__).parents[2] / "README.md"


def table():
    """The header and the rows of the table, as lists of cells."""
    text = README.read_text(encoding="utf-8")
    block = text.partition("| beside `expire=60` |")
    lines = (block[1] + block[2]).partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not line.startswith("|--")]


HEADER, *ROWS = table()
CELLS = [(row[0], column, cell) for row in ROWS for column, cell in zip(HEADER[1:], row[1:], strict=True)]


def test_table_is_found():
    """The README has it, with a row for each setting that changes what a caller gets."""
    named = re.findall(r"(\w+)=", " ".join(row[0] for row in ROWS))
    assert set(named) >= {
        "stale_while_revalidate", "stale_if_error", "soft_timeout", "hard_timeout", "negative_expire",
    }  # fmt: skip


@pytest.mark.parametrize(("settings", "column", "expected"), CELLS)
async def test_caller_gets_what_the_table_says(settings, column, expected):
    """One cell: the value, or the error, after how long, and whether a new one is there later."""
    age, _, origin = column.partition(" s, ")
    options = dict(re.findall(r"(\w+)=([\w.]+)", settings))
    behaviour = "fast"
    old = None if "None" in settings else "old"

    async def load():
        if behaviour == "fast":
            return old if loop.time() < float(age) else "new"
        await asyncio.sleep(5)
        if behaviour == "failing":
            raise ConnectionError
        return "new"

    loop = asyncio.get_running_loop()
    cache = Cache(clock=loop.time, random=random.Random(4).random)
    get = cache.cache_function(expire=60, **{name: eval(value) for name, value in options.items()})(load)
    await get()
    await asyncio.sleep(float(age))
    behaviour = origin
    before = loop.time()
    try:
        value = await get()
        got = "old" if value == old else value
    except ConnectionError:
        got = "error"
    except TimeoutError:
        got = "timeout"
    seconds = loop.time() - before
    if seconds:
        got += f" after {seconds:g} s"
    await asyncio.sleep(6)
    if got.startswith("old") and get.peek() == "new":
        got += ", new later"
    await cache.aclose()
    assert got == expected

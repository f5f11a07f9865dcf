"""How long an import takes.

Workload: ``python -c "import ..."``, a whole process from its start to its end, each run paired with a bare
    ``python -c pass``; bytecode is cached.
Unit: ms of the whole process; ms of it above the bare one. The shortest of many.
Reading: what a command line tool pays on each start. asyncfan needs asyncio and cachetools: the reference.
    Two names of asyncfan are touched, so that nothing is gained by loading its parts later. anyio's users
    load asyncio only when their loop starts, so asyncio is imported for everyone.
Command: python -m benchmarks import
"""

import os
import subprocess
import sys
from time import perf_counter

from benchmarks.workload import Bar, Contestants, Workload

contestants = Contestants()


def start(code):
    """Run the code in a new interpreter and return the seconds until it has ended."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begun = perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    return perf_counter() - begun


async def measure(make, n):
    code = make()
    start(code)  # leaves its bytecode behind
    pairs = [(start(code), start("pass")) for _ in range(n)]
    whole, bare = (min(times) * 1e3 for times in zip(*pairs, strict=True))
    return {"ms": whole, "ms net": whole - bare}


IMPORT = Workload(
    name="import",
    title="Start of a process that imports",
    figures=("ms", "ms net"),
    compared=("ms", "ms net"),
    reference="asyncio, cachetools",
    size=20,
    quick_size=5,
    measure=measure,
    contestants=contestants,
    bars={"asyncfan": Bar(1.5, 1.2, "ms")},
)


@contestants.add("asyncfan", package="asyncfan")
def asyncfan():
    return "import asyncfan; asyncfan.cache_function, asyncfan.ParallelProcessor"


@contestants.add("asyncio, cachetools", package="cachetools")
def needed():
    return "import asyncio, cachetools"


@contestants.add("asyncio")
def asyncio():
    return "import asyncio"


@contestants.add("async-lru", package="async-lru")
def async_lru():
    return "import asyncio, async_lru"


@contestants.add("aiocache", package="aiocache")
def aiocache():
    return "import asyncio, aiocache"


@contestants.add("cashews", package="cashews")
def cashews():
    return "import asyncio, cashews"


@contestants.add("aiometer", package="aiometer")
def aiometer():
    return "import asyncio, aiometer"


@contestants.add("aiostream", package="aiostream")
def aiostream():
    return "import asyncio, aiostream"

"""The two use cases of the documentation, as users of asyncfan write them, and the same work one by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from ..caching import Cache
from ..parallel_processor import DataBatcher, ParallelProcessor
from .database import Database, Row
from .keys import Key
from .options import Options
from .sample import DASHBOARD, VEHICLE_BY_ID
from .waterfall import Recorder

__all__ = ["Answer", "Dashboard", "RecordsByKey", "UseCase", "own_use_cases", "sample_use_cases"]

Answer = dict[str, list[Row]]
Load = Callable[[Key], Awaitable[list[Row]]]

_VIEWERS = 3
_PARTS = 5
_KEYS_A_PART = 4


class UseCase(ABC):
    """One kind of request, sent by several callers.

    Attributes:
        title: What it is, in one line.
        callers: Who asks for what, in one line.
        requests: The items that each caller asks for.
        cache: Where its results stay; its own.
        recorder: Where its first fan-out is recorded.
    """

    title: str
    callers: str

    def __init__(
        self, load: Load, requests: list[Sequence[Key]], *, noun: str, expire: float, tick: Callable[[], None]
    ) -> None:
        self.requests = requests
        self.cache: Cache = Cache()
        self.recorder: Recorder = Recorder()
        self._load = load
        self._fetch = self.cache.cache_function(expire=expire, key_prefix=noun)(load)
        self._noun = noun
        self._tick = tick  # called when an item is answered

    async def one_by_one(self) -> list[Answer]:
        """Answer each caller after the other by plain queries, without asyncfan: the measure of the rest."""
        return [{self._name(item): await self._done(self._load(item)) for item in request} for request in self.requests]

    async def together(self) -> list[Answer]:
        """Answer all callers at the same time, in parallel and through the cache."""
        callers = {f"caller_{number}": partial(self.serve, items) for number, items in enumerate(self.requests, 1)}
        answers = await ParallelProcessor(max_workers=None).execute_parallel(callers)
        return list(answers.values())

    @abstractmethod
    async def serve(self, items: Sequence[Key]) -> Answer:
        """Answer one caller, in parallel and through the cache."""

    def forget_half(self) -> None:
        """Invalidate every second item, as if it had changed."""
        for item in self.requests[0][1::2]:
            self._fetch.invalidate(item)

    def _tasks(self, items: Sequence[Key]) -> dict[str, Callable[[], Awaitable[list[Row]]]]:
        return self.recorder.watch({self._name(item): partial(self._ask, item) for item in items})

    async def _ask(self, item: Key) -> list[Row]:
        return await self._done(self._fetch(item))

    def _name(self, item: Key) -> str:
        return f"{self._noun}_{item}"

    async def _done(self, rows: Awaitable[list[Row]]) -> list[Row]:
        found = await rows
        self._tick()
        return found


class RecordsByKey(UseCase):
    """Many records by key, in batches: one caller asks for all keys, another for every fifth at once."""

    def __init__(self, load: Load, options: Options, noun: str, tick: Callable[[], None]) -> None:
        keys = options.keys
        super().__init__(load, [keys, keys[::5]], noun=noun, expire=300, tick=tick)
        self.title: str = f"Many {noun}s by key, in batches of {options.batch_size}"
        self.callers: str = f"2 callers, for {len(keys)} {noun}s and for every fifth of them"
        self._options = options

    async def serve(self, items: Sequence[Key]) -> Answer:
        """Answer one caller: a batch after the other, each a fan-out of single cached queries."""
        batcher = DataBatcher(batch_size=self._options.batch_size)
        processor = ParallelProcessor(max_workers=self._options.workers)

        async def process_batch(batch: Sequence[Key]) -> Answer:
            return await processor.execute_parallel(self._tasks(batch))

        answers: Answer = {}
        for batch_answers in await batcher.process_batches(items, process_batch):
            answers.update(batch_answers)
        return answers


class Dashboard(UseCase):
    """A few independent parts at once: three callers open the same dashboard at the same time."""

    def __init__(
        self, load: Load, parts: Sequence[Key], options: Options, title: str, tick: Callable[[], None]
    ) -> None:
        super().__init__(load, [parts] * _VIEWERS, noun="dashboard", expire=600, tick=tick)
        self.title = title
        self.callers: str = f"{_VIEWERS} callers, each for all {len(parts)} parts"
        self._options = options

    async def serve(self, items: Sequence[Key]) -> Answer:
        """Answer one caller: all parts in one fan-out of cached queries."""
        processor = ParallelProcessor(max_workers=self._options.workers)
        return await processor.execute_parallel(self._tasks(items))

    def _name(self, item: Key) -> str:
        return str(item)


def sample_use_cases(database: Database, options: Options, tick: Callable[[], None]) -> list[UseCase]:
    """Return the use cases of the sample database: vehicles by id, and the master dashboard."""

    async def vehicle(key: Key) -> list[Row]:
        return await database.query(VEHICLE_BY_ID, (key,))

    async def panel(name: Key) -> list[Row]:
        return await database.query(DASHBOARD[str(name)])

    title = f"The master dashboard: {', '.join(DASHBOARD)}"
    return [
        RecordsByKey(vehicle, options, "vehicle", tick),
        Dashboard(panel, list(DASHBOARD), options, title, tick),
    ]


def own_use_cases(database: Database, sql: str, options: Options, tick: Callable[[], None]) -> list[UseCase]:
    """Return the use cases of a user's database: its records by key, and an overview of them in five parts.

    A part of the overview is a stretch of the keys. It reads up to four of them, spread evenly, one after
    another, and answers with one row: how many keys it read, how many of them gave rows, how many rows.
    """
    parts = _in_parts(options.keys)

    async def record(key: Key) -> list[Row]:
        return await database.query(sql, (key,))

    async def stretch(name: Key) -> list[Row]:
        found = [len(await record(key)) for key in parts[str(name)]]
        return [(len(found), sum(map(bool, found)), sum(found))]

    title = f"An overview of the keys: {len(parts)} parts, up to {_KEYS_A_PART} queries each"
    return [
        RecordsByKey(record, options, "record", tick),
        Dashboard(stretch, list(parts), options, title, tick),
    ]


def _in_parts(keys: Sequence[Key]) -> dict[str, Sequence[Key]]:
    """Return a few keys of each stretch of ``keys``, by the stretch's name."""
    size = -(-len(keys) // _PARTS)
    stretches = [keys[first : first + size] for first in range(0, len(keys), size)]
    return {f"{s[0]}..{s[-1]}": s[:: -(-len(s) // _KEYS_A_PART)] for s in stretches}

"""Ways to stream that several workloads measure: each function returns what builds one, for so many workers."""

import asyncio
from itertools import islice


def asyncfan_stream(workers, **options):
    def make():
        from asyncfan import ParallelProcessor

        processor = ParallelProcessor(max_workers=workers)
        return lambda fn, items: processor.stream(fn, items, **options)

    return make


def gather_all(workers):
    def make():
        async def stream(fn, items):
            semaphore = asyncio.Semaphore(workers)

            async def one(x):
                async with semaphore:
                    return await fn(x)

            for result in await asyncio.gather(*map(one, items)):
                yield result

        return stream

    return make


def gather_chunks(workers):
    def make():
        async def stream(fn, items):
            numbers = iter(items)
            while chunk := list(islice(numbers, workers)):
                for result in await asyncio.gather(*map(fn, chunk)):
                    yield result

        return stream

    return make


def aiostream_map(workers, **options):
    def make():
        from aiostream import stream

        async def run(fn, items):
            async with stream.map(stream.iterate(items), fn, task_limit=workers, **options).stream() as results:
                async for result in results:
                    yield result

        return run

    return make


def streamable_map(workers, **options):
    def make():
        from streamable import stream

        return lambda fn, items: stream(items).map(fn, concurrency=workers, **options)

    return make

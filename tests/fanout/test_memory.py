"""What a fan-out holds besides its results."""

import asyncio
import tracemalloc

from asyncfan.fanout import amap, astream


async def step(x):
    """Wait now and then: tracing makes it slow."""
    if isinstance(x, bytes) or x % 20 == 0:
        await asyncio.sleep(0)
    return x


async def test_a_hundred_thousand_items_take_the_room_of_their_results():
    """At a limit of 100, no more than 8 MiB are in use besides the list (F45)."""
    tracemalloc.start()
    try:
        results = await amap(step, (x for x in range(100_000)), max_workers=100)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(results) == 100_000
    assert peak - held <= 8 * 2**20


async def test_a_stream_takes_the_room_of_its_window():
    """Of 5,000 items of 1 kB, never more than the window's are held."""
    tracemalloc.start()
    try:
        async for _ in astream(step, (bytes(1000) for _ in range(5_000)), max_workers=100, buffer_size=100):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 2 * 2**20

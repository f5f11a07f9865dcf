"""A load starts at once, whatever else wants the event loop at that moment."""

import asyncio

from asyncfan.caching.loads.eager import start_eagerly


async def test_finalizer_during_the_start_keeps_its_callback():
    """A callback that a finalizer asks for while the task is made runs later, and is not taken for the task's step."""
    loop, ran = asyncio.get_running_loop(), []

    class Finalized:
        def __del__(self):
            loop.call_soon(ran.append, "finalizer")

    class Name(str):
        __slots__ = ()

        def __str__(self):
            Finalized()
            return "name"

    async def work():
        ran.append("work")
        await asyncio.sleep(0)
        ran.append("end")

    await start_eagerly(loop, work(), Name("name"))
    assert ran[0] == "work"
    assert sorted(ran) == ["end", "finalizer", "work"]


async def test_first_step_sees_its_own_task():
    """Code before the first wait sees the task that will run the rest, as `asyncio.timeout` needs."""
    seen = []

    async def work():
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())

    me = asyncio.current_task()
    task = start_eagerly(asyncio.get_running_loop(), work(), "name")
    assert asyncio.current_task() is me
    await task
    assert seen == [task, task]

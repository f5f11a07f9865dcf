"""Every test runs in virtual time, and leaves no task behind, unless it is marked `real_time`."""

import asyncio
import gc
import inspect
import os

import hypothesis
import pytest

from asyncfan.testing import VirtualTimeLoop

# The gate asks the same questions each time, on however slow a machine; HYPOTHESIS_PROFILE=searching asks new ones.
patient = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("gate", derandomize=True, **patient)
hypothesis.settings.register_profile("searching", derandomize=False, **patient)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))


def pytest_collection_finish():
    """Let the collections after each test pass over what imports have made: they take half of the time otherwise."""
    gc.collect()
    gc.freeze()


def pytest_asyncio_loop_factories(config, item):
    """Give each async test a loop whose clock jumps; `real_time` opts out."""
    if item.get_closest_marker("real_time"):
        return {"real": asyncio.new_event_loop}
    return {"virtual": VirtualTimeLoop}


@pytest.fixture(autouse=True)
async def no_task_outlives_its_test(request):
    """Fail a test that leaves a task running or an error unseen."""
    if not inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        yield
        return
    loop = asyncio.get_running_loop()
    unseen = []
    loop.set_exception_handler(lambda _, context: unseen.append(context))
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    gc.collect()
    assert not left, f"left behind: {left}"
    assert not unseen, f"reported to the loop only: {unseen}"

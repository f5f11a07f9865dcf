"""The adapter of Ray, over a stand-in of the four names it uses; ASYNCFAN_ENGINES=ray runs the real one's contract."""

import asyncio
import sys
import types
from concurrent.futures import Future

import pytest

from asyncfan import amap


class RayTaskError(Exception):
    """What Ray raises in place of a function's own error."""

    def __init__(self, cause):
        super().__init__("ray::call()")
        self.cause = cause


class Ref:
    """The reference to a result: ended at once, unless it is to be held."""

    def __init__(self, function, args):
        self.ended = Future()
        if function is print:  # held until it is cancelled
            return
        try:
            self.ended.set_result(function(*args))
        except ValueError as error:
            self.ended.set_exception(RayTaskError(error))

    def future(self):
        return self.ended


@pytest.fixture
def ray(monkeypatch):
    """Put the stand-in where Ray would be imported from."""
    module, errors = types.ModuleType("ray"), types.ModuleType("ray.exceptions")
    module.asked = []

    def remote(function=None, /, **options):
        module.asked.append(options)
        if function is None:
            return remote
        return types.SimpleNamespace(remote=lambda *args: Ref(function if args[0] is not print else print, args))

    module.remote = remote
    module.cancel = lambda ref: ref.ended.set_exception(RayTaskError(KeyboardInterrupt()))
    errors.RayTaskError = RayTaskError
    monkeypatch.setitem(sys.modules, "ray", module)
    monkeypatch.setitem(sys.modules, "ray.exceptions", errors)
    return module


@pytest.mark.real_time
async def test_ray_gives_values_and_the_functions_own_errors(ray):
    """What a function raised there is raised here, with Ray's account as the cause."""
    from asyncfan.adapters.ray import RayExecutor

    executor = RayExecutor(num_cpus=1)
    assert repr(executor) == "<RayExecutor {'num_cpus': 1}>"
    assert ray.asked[0] == {"num_cpus": 1}
    assert await amap(abs, [-1, -2], executor=executor) == [1, 2]
    with pytest.raises(ValueError, match="invalid literal") as caught:
        await amap(int, ["x"], executor=executor)
    assert isinstance(caught.value.__cause__, RayTaskError)


@pytest.mark.real_time
async def test_a_cancelled_call_is_interrupted_and_waited_for(ray):
    """Ray is told, and the caller is free when it says that the call has ended."""
    from asyncfan.adapters.ray import RayExecutor

    task = asyncio.ensure_future(amap(print, ["never"], executor=RayExecutor()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

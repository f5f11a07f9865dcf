"""Ray as an executor: it has no ``submit`` of its own."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["RayExecutor"]


class RayExecutor:
    """What ``executor=`` takes, on the Ray cluster that ``ray.init()`` has joined: ``RayExecutor(num_cpus=1)``.

    Errors are the function's own, with Ray's account of them as the cause. A worker that dies is retried by Ray.
    Unlike other engines, Ray interrupts what runs when its caller is cancelled.

    Args:
        **options: What ``ray.remote`` takes: ``num_cpus=1``, ``max_retries=0``, ``resources={...}``.
    """

    def __init__(self, **options: Any) -> None:
        def call(function: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
            return function(*args, **named)  # a local function is sent by value: the workers need no asyncfan for it

        ray = import_module("ray")
        self.options: dict[str, Any] = options
        self._call = (ray.remote(**options) if options else ray.remote)(call)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **named: Any) -> _RayFuture:
        """Take ``fn`` to be run on the cluster, and return its future."""
        return _RayFuture(self._call.remote(fn, args, named))

    def __repr__(self) -> str:
        return f"<RayExecutor {self.options}>"


class _RayFuture:
    def __init__(self, ref: Any) -> None:
        self._ref = ref
        self._future = ref.future()

    def add_done_callback(self, fn: Callable[[Any], object], /) -> None:
        self._future.add_done_callback(lambda _: fn(self))

    def result(self) -> Any:
        try:
            return self._future.result()
        except import_module("ray.exceptions").RayTaskError as error:
            raise error.cause from error

    def cancel(self) -> bool:
        """Withdraw or interrupt it; False, because it has ended only when Ray says so."""
        import_module("ray").cancel(self._ref)
        return False
